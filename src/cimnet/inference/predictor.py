"""Use a trained model: images in, class ids out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cimnet.checkpoint import ModelInfo, load_checkpoint
from cimnet.confidence.alarm import Alarm, AlarmModel
from cimnet.confidence.signals import measure
from cimnet.data import RGBTDataset, open_dataset
from cimnet.data.base import Broken
from cimnet.data.readers import read_rgb, upright
from cimnet.data.thermal_files import as_uint16, check_depth, read_pair, read_thermal_counts
from cimnet.errors import CheckpointError, ConfigError, DataError
from cimnet.inference.hub import locate, push, save_folder
from cimnet.inference.windows import Block, Read, Windows, blend
from cimnet.models import Output, RGBTModel

ImageLike = str | Path | Image.Image | npt.NDArray[Any] | Tensor
WHOLE = 1280 * 1024
"""Pixels up to which an image is seen at once, if nothing else is said."""
Precision = Literal["float32", "bfloat16", "float16"]
EXPORTED = (".onnx", ".xml", ".pt2")


class Segmenter(Protocol):
    """What a predictor runs: a model of this package, or an exported one."""

    def __call__(self, rgb: Tensor, thermal: Tensor, /) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1 to :class:`cimnet.models.Output`."""

    def predict(self, rgb: Tensor, thermal: Tensor, /) -> Tensor:
        """The same images to class ids (B, H, W), int64."""


def load(source: str | Path, device: str | torch.device | None = None, **settings: Any) -> Predictor:
    """Open a trained model for prediction.

    Args:
        source: run folder, ``.safetensors`` file or folder that `Predictor.save` wrote; exported ``.onnx``, ``.xml``
            (OpenVINO) or ``.pt2`` file; or the name of a repository on the Hugging Face Hub, ``user/name``.
        device: by default CUDA where there is one, else the CPU.
        settings: fields of :class:`Settings`.

    Raises:
        CheckpointError: if the file cannot be used.
        ConfigError: if there is no such device here, or a setting is out of range.
    """
    path = locate(source)
    if path.suffix in EXPORTED:
        from cimnet.export.runtime import load_exported

        if device is not None and choose_device(device).type != "cpu":
            raise ConfigError(f"device '{device}': exported models run on the CPU; load the checkpoint for another one")
        if settings.get("precision", "float32") != "float32":
            raise ConfigError("precision: of an exported model it is chosen by `cimnet export`; leave it out")
        model, info = load_exported(path)
        return Predictor(model, info, torch.device("cpu"), Settings(**settings))
    return Predictor(*load_checkpoint(path), choose_device(device), Settings(**settings))


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


@dataclass(frozen=True)
class Settings:
    """How a model is run.

    Attributes:
        window: side of the square windows in which large images are seen, pixels, see
            :mod:`cimnet.inference.windows`. None: images up to `WHOLE` pixels at once, larger ones in windows of 640.
        overlap: of neighbouring windows, share of their side.
        batch_size: images or windows in one pass.
        flip: also see each image mirrored, and average the probabilities.
        scales: see each image at these sizes, and average the probabilities.
        precision: ``float32``; ``bfloat16`` or ``float16`` for autocast.

    Raises:
        ConfigError: naming a field that is out of range.
    """

    window: int | None = None
    overlap: float = 0.5
    batch_size: int = 1
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.scales))
        for field, right, expected in (
            ("window", self.window is None or self.window >= 32, "at least 32 pixels"),
            ("overlap", 0 <= self.overlap <= 0.75, "0 to 0.75"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("scales", self.scales and all(0.1 <= scale <= 4 for scale in self.scales), "one or more of 0.1 to 4"),
            ("precision", self.precision in get_args(Precision), " or ".join(get_args(Precision))),
        ):
            if not right:
                raise ConfigError(f"{field} is {getattr(self, field)}, expected {expected}")

    def windows(self, height: int, width: int) -> Windows | None:
        """The grid for an image of this size; None: the image is seen at once."""
        if self.window is None and height * width <= WHOLE:
            return None
        return Windows(height, width, self.window or 640, self.overlap)


class Predictor:
    """A model with what it needs to read a user's images.

    Attributes:
        model: in evaluation mode on ``device``; for exported files what :mod:`cimnet.export.runtime` makes of them.
        info: classes, colours, thermal scaling, scores.
        settings: how the model is run.
    """

    def __init__(
        self, model: Segmenter, info: ModelInfo, device: torch.device, settings: Settings | None = None
    ) -> None:
        if isinstance(model, torch.nn.Module):
            model = model.to(device).eval()
            if device.type == "cpu":
                model = model.to(memory_format=torch.channels_last)
        self.model = model
        self.info = info
        self.device = device
        self.settings = settings or Settings()

    @property
    def network(self) -> RGBTModel:
        """The model as a torch module.

        Raises:
            CheckpointError: the model was exported: its weights and inner maps are not to be had.
        """
        if not isinstance(self.model, RGBTModel):
            raise CheckpointError("this needs the checkpoint (.safetensors), not a model exported from it")
        return self.model

    @property
    def has_alarm(self) -> bool:
        """Whether `alarm` can be asked: the checkpoint went through `cimnet calibrate` and was not exported."""
        return self.info.alarm is not None and isinstance(self.model, RGBTModel)

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

    def predict(self, rgb: ImageLike | None, thermal: ImageLike | None) -> npt.NDArray[np.uint8]:
        """Segment one pair of any size.

        Args:
            rgb: path, PIL image, array (H, W, 3) or tensor (3, H, W): uint8 in 0..255 or floats in 0..1; None: missing.
            thermal: path, PIL image, array (H, W) or tensor (1, H, W); integers (and a PIL image of any kind) are raw
                counts that ``info.scaling`` maps to 0..1, floats are in 0..1 already. The same path as ``rgb`` for a
                4-channel file. None: missing.

        Returns:
            Class ids (H, W), uint8.

        Raises:
            DataError: if an image cannot be read, has another shape, type or depth, the sizes differ, or both are
                missing.
        """
        return self.predict_batch([(rgb, thermal)])[0]

    def predict_batch(self, pairs: Iterable[tuple[ImageLike | None, ImageLike | None]]) -> list[npt.NDArray[np.uint8]]:
        """Segment pairs, of one size or several; neighbours of one size share passes of up to ``batch_size``. Arguments
        and errors as in `predict`."""
        masks: list[npt.NDArray[np.uint8]] = []
        waiting: list[tuple[Tensor, Tensor]] = []
        for pair in pairs:
            tensors = self.tensors(*pair)
            if waiting and (len(waiting) == self.settings.batch_size or waiting[0][0].shape != tensors[0].shape):
                masks += self._masks(waiting)
                waiting = []
            waiting.append(tensors)
        return masks + self._masks(waiting) if waiting else masks

    def predict_proba(self, rgb: ImageLike | None, thermal: ImageLike | None) -> npt.NDArray[np.float32]:
        """Probabilities of the classes for one pair; arguments and errors as in `predict`.

        Returns:
            (K, H, W) float32, summing to 1 over the classes; with the checkpoint's temperature where `cimnet calibrate`
            has fitted one. They take 4·K bytes a pixel.
        """
        rgb_tensor, thermal_tensor = self.tensors(rgb, thermal)
        windows = self.settings.windows(rgb_tensor.shape[-2], rgb_tensor.shape[-1])
        if windows is None:
            return self.probabilities(rgb_tensor[None], thermal_tensor[None])[0].numpy()
        found = np.empty((len(self.classes), windows.height, windows.width), dtype=np.float32)
        for top, left, block in self.blend(windows, cutter(rgb_tensor, thermal_tensor)):
            found[:, top : top + block.shape[1], left : left + block.shape[2]] = block.numpy()
        return found

    def blend(self, windows: Windows, read: Read, skip: int = 0) -> Iterator[Block]:
        """Run over a large image that is read window by window, see :func:`cimnet.inference.windows.blend`."""
        return blend(windows, read, self.probabilities, len(self.classes), self.settings.batch_size, skip)

    @torch.inference_mode()
    def logits(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1 to (B, K, H, W) float32 on ``device``, in one pass."""
        with self._autocast():
            return self.model(rgb.to(self.device), thermal.to(self.device)).logits.float()

    @torch.inference_mode()
    def probabilities(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1 to probabilities (B, K, H, W) float32 on the CPU: the mean over
        the settings' sizes and mirror images."""
        total: Tensor | None = None
        size = (rgb.shape[-2], rgb.shape[-1])
        for scale in self.settings.scales:
            scaled = (max(1, round(scale * size[0])), max(1, round(scale * size[1])))
            pair = (rgb, thermal) if scaled == size else (_resize(rgb, scaled), _resize(thermal, scaled))
            for mirrored in (False, True)[: 1 + self.settings.flip]:
                seen = [image.flip(-1) if mirrored else image for image in pair]
                found = (self.logits(*seen) / (self.info.temperature or 1.0)).softmax(1)
                found = _resize(found.flip(-1) if mirrored else found, size)
                total = found if total is None else total + found
        assert total is not None  # there is at least one scale
        return (total / (len(self.settings.scales) * (1 + self.settings.flip))).cpu()

    def segment(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1 to class ids (B, H, W), int64, by the settings but in one
        window."""
        if self.settings.flip or self.settings.scales != (1.0,):
            return self.probabilities(rgb, thermal).argmax(1)
        with self._autocast():  # predict: exported files may give class ids alone
            return self.model.predict(rgb.to(self.device), thermal.to(self.device))

    def _autocast(self) -> torch.autocast:
        precision = self.settings.precision
        return torch.autocast(self.device.type, getattr(torch, precision), enabled=precision != "float32")

    def _masks(self, pairs: list[tuple[Tensor, Tensor]]) -> list[npt.NDArray[np.uint8]]:
        """Masks of pairs of one size."""
        height, width = pairs[0][0].shape[-2:]
        windows = self.settings.windows(height, width)
        if windows is not None:
            return [self._mask(windows, cutter(*pair)) for pair in pairs]
        rgb, thermal = (torch.stack([pair[k] for pair in pairs]) for k in (0, 1))
        return list(self.segment(rgb, thermal).to(torch.uint8).cpu().numpy())

    def _mask(self, windows: Windows, read: Read) -> npt.NDArray[np.uint8]:
        mask = np.empty((windows.height, windows.width), dtype=np.uint8)
        for top, left, block in self.blend(windows, read):
            mask[top : top + block.shape[1], left : left + block.shape[2]] = block.argmax(0).numpy()
        return mask

    def alarm(self, rgb: ImageLike, thermal: ImageLike) -> Alarm:
        """Whether a sensor looks broken or the pair misaligned; three passes of the model over the whole pair, reduced
        to `WHOLE` pixels if it is larger. Arguments as in `predict`.

        Raises:
            CheckpointError: the checkpoint has no alarm, or one of another version.
            DataError: as in `predict`.
        """
        if self.info.alarm is None:
            raise CheckpointError("the checkpoint has no alarm; run `cimnet calibrate CHECKPOINT DATASET` first")
        judge = AlarmModel.from_dict(self.info.alarm)
        pair = self.tensors(rgb, thermal)
        height, width = pair[0].shape[-2:]
        if height * width > WHOLE:
            scale = (WHOLE / (height * width)) ** 0.5
            size = max(1, int(scale * height)), max(1, int(scale * width))
            pair = _resize(pair[0][None], size)[0], _resize(pair[1][None], size)[0]
        return judge(measure(self.network, *pair, self.device))

    def save(self, folder: str | Path) -> None:
        """Write a folder to share: weights, JSON, model card. `cimnet.load(folder)` opens it.

        Raises:
            CimnetError: the folder is not empty or cannot be written, or the model was exported.
        """
        save_folder(Path(folder), self.network, self.info)

    def push_to_hub(self, repository: str, private: bool = True, token: str | None = None) -> str:
        """Upload that folder to the Hugging Face Hub, see :func:`cimnet.inference.hub.push`."""
        return push(self.network, self.info, repository, private, token)

    def tensors(self, rgb: ImageLike | None, thermal: ImageLike | None) -> tuple[Tensor, Tensor]:
        """What the model gets for one pair, (3, H, W) and (1, H, W) in 0..1; arguments and errors as in predict."""
        if rgb is None and thermal is None:
            raise DataError("rgb and thermal are both missing; give at least one image")
        if isinstance(rgb, str | Path) and isinstance(thermal, str | Path) and Path(rgb) == Path(thermal):
            rgb, thermal = read_pair(Path(rgb), Path(thermal))
        rgb_tensor = None if rgb is None else self._rgb(rgb)
        thermal_tensor = None if thermal is None else self._thermal(thermal)
        if rgb_tensor is None:
            assert thermal_tensor is not None
            rgb_tensor = thermal_tensor.new_zeros(3, *thermal_tensor.shape[1:])
        if thermal_tensor is None:
            thermal_tensor = rgb_tensor.new_zeros(1, *rgb_tensor.shape[1:])
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
            if image.mode.startswith(("I", "F")):
                raise DataError(f"rgb: a picture of mode {image.mode}, expected 8-bit RGB")
            image = np.array(upright(image).convert("RGB"))
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
        elif isinstance(image, Image.Image):
            if image.mode == "P":
                raise DataError("thermal: a palette picture holds colours, not temperatures; give grey values")
            image = upright(image)
        values = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        given = values.shape
        if values.ndim == 3 and given[0 if isinstance(image, Tensor) else 2] == 1:
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


def cutter(rgb: Tensor, thermal: Tensor) -> Read:
    """Read windows out of images (3, H, W) and (1, H, W) that are in memory."""

    def read(top: int, left: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        place = (slice(None), slice(top, top + height), slice(left, left + width))
        return rgb[place], thermal[place]

    return read


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=size[0] < images.shape[-2])


def _name(image: ImageLike | None) -> str:
    return str(image) if isinstance(image, str | Path) else type(image).__name__
