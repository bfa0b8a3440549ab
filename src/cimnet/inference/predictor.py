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
from cimnet.data import RGBTDataset, open_dataset
from cimnet.data.readers import read_rgb, read_thermal
from cimnet.errors import DataError
from cimnet.models import RGBTModel

ImageLike = str | Path | Image.Image | npt.NDArray[Any] | Tensor


def load(path: str | Path, device: str | torch.device | None = None) -> Predictor:
    """Open a checkpoint for prediction.

    Args:
        path: ``.safetensors`` file or run folder.
        device: by default CUDA where there is one, else the CPU.

    Raises:
        CheckpointError: if the file cannot be used.
    """
    model, info = load_checkpoint(path)
    return Predictor(model, info, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))


class Predictor:
    """A model with what it needs to read a user's images.

    Attributes:
        model: in evaluation mode on ``device``.
        info: classes, colours, thermal range, scores.
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

    @property
    def thermal_range(self) -> tuple[float, float] | None:
        """Raw counts that map to 0 and 1."""
        return self.info.thermal_range

    def open_dataset(self, root: str | Path, split: str, *, layout: str = "auto") -> RGBTDataset:
        """Open a split to be scored with this model: its classes and thermal range are the checkpoint's.

        Raises:
            DataError: if the data cannot be used or names other classes than the model was trained on.
        """
        return open_dataset(root, split, layout=layout, classes=self.classes, thermal_range=self.thermal_range)

    def predict(self, rgb: ImageLike, thermal: ImageLike) -> npt.NDArray[np.uint8]:
        """Segment one pair.

        Args:
            rgb: path, PIL image, uint8 array (H, W, 3), or float tensor (3, H, W) in 0..1.
            thermal: path, PIL image, integer array (H, W) of raw counts, or float tensor or array in 0..1.

        Returns:
            Class ids (H, W), uint8.

        Raises:
            DataError: if an image cannot be read or the sizes differ.
        """
        rgb_tensor, thermal_tensor = self._rgb(rgb), self._thermal(thermal)
        if rgb_tensor.shape[-2:] != thermal_tensor.shape[-2:]:
            sizes = " and ".join(f"{t.shape[-1]}×{t.shape[-2]}" for t in (rgb_tensor, thermal_tensor))
            raise DataError(
                f"{_name(rgb)} and {_name(thermal)}: sizes {sizes} differ; register the pair to one size first"
            )
        ids = self.model.predict(rgb_tensor[None].to(self.device), thermal_tensor[None].to(self.device))
        return ids[0].cpu().numpy().astype(np.uint8)

    def _rgb(self, image: ImageLike) -> Tensor:
        if isinstance(image, Tensor):
            return image.float()
        array = read_rgb(Path(image)) if isinstance(image, str | Path) else np.asarray(_pil(image, "RGB"))
        if array.ndim != 3 or array.shape[2] != 3:
            raise DataError(f"rgb: got an array of shape {array.shape}, expected (H, W, 3)")
        tensor = torch.from_numpy(np.array(array)).permute(2, 0, 1)
        return tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()

    def _thermal(self, image: ImageLike) -> Tensor:
        if isinstance(image, Tensor):
            return image.float().reshape(1, *image.shape[-2:])
        if isinstance(image, str | Path):
            return torch.from_numpy(read_thermal(Path(image), self.thermal_range))[None]
        array = np.asarray(image)
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[..., 0]
        if array.ndim != 2:
            raise DataError(f"thermal: got an array of shape {array.shape}, expected (H, W)")
        if not np.issubdtype(array.dtype, np.integer):
            return torch.from_numpy(array.astype(np.float32))[None]
        low, high = self.thermal_range or (0.0, 255.0 if array.dtype == np.uint8 else 65535.0)
        return torch.from_numpy(((array.astype(np.float32) - low) / (high - low)).clip(0, 1))[None]


def _pil(image: Any, mode: str) -> Any:
    return image.convert(mode) if isinstance(image, Image.Image) else image


def _name(image: ImageLike) -> str:
    return str(image) if isinstance(image, str | Path) else type(image).__name__
