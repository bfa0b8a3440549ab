"""Use a trained model: images in, class ids out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cimnet.checkpoint import ModelInfo, load_checkpoint
from cimnet.confidence.alarm import Alarm, AlarmModel
from cimnet.confidence.signals import measure
from cimnet.data import RGBTDataset, open_dataset
from cimnet.data.base import Broken
from cimnet.data.readers import read_rgb
from cimnet.data.thermal_files import as_uint16, check_depth, read_pair, read_thermal_counts
from cimnet.errors import CheckpointError, ConfigError, DataError
from cimnet.models import RGBTModel

ImageLike = str | Path | Image.Image | npt.NDArray[Any] | Tensor


def load(path: str | Path, device: str | torch.device | None = None) -> Predictor:
    """Open a checkpoint for prediction.

    Args:
        path: ``.safetensors`` file or run folder.
        device: by default CUDA where there is one, else the CPU.

    Raises:
        CheckpointError: if the file cannot be used.
        ConfigError: if there is no such device here.
    """
    return Predictor(*load_checkpoint(path), choose_device(device))


def choose_device(name: str | torch.device | None) -> torch.device:
    """A device by name; None: CUDA where there is one, else the CPU.

    Raises:
        ConfigError: if there is no such device here.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch raises either, by how it was built
        raise ConfigError(f"device '{name}': not usable here ({str(error).splitlines()[0]}); try cpu") from error


class Predictor:
    """A model with what it needs to read a user's images.

    Attributes:
        model: in evaluation mode on ``device``.
        info: classes, colours, thermal scaling, scores.
    """

    def __init__(self, model: RGBTModel, info: ModelInfo, device: torch.device) -> None:
        self.model = model.to(device).eval()
        self.info = info
        self.device = device
        if device.type == "cpu":
            self.model = self.model.to(memory_format=torch.channels_last)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by class id."""
        return self.info.classes

    @property
    def colors(self) -> tuple[tuple[int, int, int], ...]:
        """(red, green, blue) by class id."""
        return self.info.colors

    def open_dataset(
        self, root: str | Path, split: str, *, layout: str = "auto", broken: Broken = "keep"
    ) -> RGBTDataset:
        """Open a split to be scored with this model: its classes and thermal scaling are the checkpoint's.

        Raises:
            DataError: if the data cannot be used or names other classes than the model was trained on.
        """
        return open_dataset(
            root,
            split,
            layout=layout,
            classes=self.classes,
            thermal_range=self.info.scaling,
            broken=broken,
            thermal_dtype=self.info.thermal_dtype,
        )

    def predict(self, rgb: ImageLike, thermal: ImageLike) -> npt.NDArray[np.uint8]:
        """Segment one pair.

        Args:
            rgb: path, PIL image, array (H, W, 3) or tensor (3, H, W); uint8 in 0..255, or floats in 0..1.
            thermal: path, PIL image, array (H, W) or tensor (1, H, W); integers (and a PIL image of any kind) are raw
                counts that ``info.scaling`` maps to 0..1, floats are in 0..1 already. The same path as ``rgb`` for a
                4-channel file.

        Returns:
            Class ids (H, W), uint8.

        Raises:
            DataError: if an image cannot be read, has another shape, type or depth, or the sizes differ.
        """
        rgb_tensor, thermal_tensor = self.tensors(rgb, thermal)
        ids = self.model.predict(rgb_tensor[None].to(self.device), thermal_tensor[None].to(self.device))
        return ids[0].cpu().numpy().astype(np.uint8)

    @torch.inference_mode()
    def predict_proba(self, rgb: ImageLike, thermal: ImageLike) -> npt.NDArray[np.float32]:
        """Probabilities of the classes for one pair; arguments and errors as in `predict`.

        Returns:
            (K, H, W) float32, summing to 1 over the classes; with the checkpoint's temperature where `cimnet calibrate`
            has fitted one, which changes no class.
        """
        rgb_tensor, thermal_tensor = self.tensors(rgb, thermal)
        logits = self.model(rgb_tensor[None].to(self.device), thermal_tensor[None].to(self.device)).logits[0]
        return (logits.float() / (self.info.temperature or 1.0)).softmax(0).cpu().numpy()

    def alarm(self, rgb: ImageLike, thermal: ImageLike) -> Alarm:
        """Whether a sensor looks broken or the pair misaligned; three passes of the model. Arguments as in `predict`.

        Raises:
            CheckpointError: the checkpoint has no alarm, or one of another version.
            DataError: as in `predict`.
        """
        if self.info.alarm is None:
            raise CheckpointError("the checkpoint has no alarm; run `cimnet calibrate CHECKPOINT DATASET` first")
        judge = AlarmModel.from_dict(self.info.alarm)
        return judge(measure(self.model, *self.tensors(rgb, thermal), self.device))

    def tensors(self, rgb: ImageLike, thermal: ImageLike) -> tuple[Tensor, Tensor]:
        """What the model gets for one pair, (3, H, W) and (1, H, W) in 0..1; arguments and errors as in predict."""
        if isinstance(rgb, str | Path) and isinstance(thermal, str | Path) and Path(rgb) == Path(thermal):
            rgb, thermal = read_pair(Path(rgb), Path(thermal))
        rgb_tensor, thermal_tensor = self._rgb(rgb), self._thermal(thermal)
        if rgb_tensor.shape[-2:] != thermal_tensor.shape[-2:]:
            sizes = " and ".join(f"{t.shape[-1]}×{t.shape[-2]}" for t in (rgb_tensor, thermal_tensor))
            raise DataError(
                f"{_name(rgb)} and {_name(thermal)}: sizes {sizes} differ; register the pair to one size first"
            )
        return rgb_tensor, thermal_tensor

    def _rgb(self, image: ImageLike) -> Tensor:
        if isinstance(image, str | Path):
            image = read_rgb(Path(image))
        elif isinstance(image, Image.Image):
            image = np.array(image.convert("RGB"))
        given = tuple(image.shape)
        if isinstance(image, np.ndarray):
            image = torch.from_numpy(np.moveaxis(image, -1, 0).copy())
        if image.ndim != 3 or image.shape[0] != 3:
            raise DataError(f"rgb: got the shape {given}, expected an array (H, W, 3) or a tensor (3, H, W)")
        if image.dtype == torch.uint8:
            return image.float() / 255
        if not image.is_floating_point():
            raise DataError(f"rgb: got values of type {image.dtype}, expected uint8 in 0..255 or floats in 0..1")
        return _unit(image.float(), "rgb")

    def _thermal(self, image: ImageLike) -> Tensor:
        name, is_image = _name(image), isinstance(image, str | Path | Image.Image)
        if isinstance(image, str | Path):
            image = read_thermal_counts(Path(image))
        values = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        given = values.shape
        if values.ndim == 3 and 1 in (given[0], given[2]):
            values = values[0] if isinstance(image, Tensor) else values[..., 0]
        if values.ndim != 2:
            raise DataError(f"thermal: got the shape {given}, expected (H, W)")
        if np.issubdtype(values.dtype, np.floating) and not is_image:
            return _unit(torch.from_numpy(values.astype(np.float32))[None], "thermal")
        counts = values if values.dtype in (np.uint8, np.float32) else as_uint16(values, name)
        check_depth(counts, self.info.thermal_dtype, name)
        return torch.from_numpy(self.info.scaling(counts, name))[None]


def _unit(image: Tensor, name: str) -> Tensor:
    low, high = image.aminmax() if image.numel() else (image.new_tensor(0), image.new_tensor(0))
    if not (low >= -0.01 and high <= 1.01):  # also false for NaN; resampling may overshoot a little
        raise DataError(f"{name}: float values from {low:.4g} to {high:.4g}, expected 0 to 1")
    return image


def _name(image: ImageLike) -> str:
    return str(image) if isinstance(image, str | Path) else type(image).__name__
