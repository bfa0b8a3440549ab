"""Conversion of users' images to tensors; sizes of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cimnet.checkpoint import ModelInfo
from cimnet.data.io.bands import Bands
from cimnet.data.io.open_image import upright
from cimnet.data.io.readers import is_rgbt, read_rgb
from cimnet.data.io.thermal_files import Wanted, as_counts, check_depth, read_pair, read_thermal_counts
from cimnet.data.pairs import turned_hint
from cimnet.data.sample import channels_first
from cimnet.errors import DataError
from cimnet.inference.windows import Read

ImageLike = str | Path | Image.Image | npt.NDArray[Any] | Tensor


def wanted(info: ModelInfo, bands: Bands | None = None, unit: str | None = None) -> Wanted:
    """Return the requirements of a checkpoint for the thermal values of a file.

    Args:
        bands, unit: `bands` and `thermal_unit` of :class:`cimnet.inference.settings.Settings`.
    """
    return Wanted(info.scaling.known_unit, info.thermal_dtype, unit, bands, info.second)


def pair_tensors(
    rgb: ImageLike | None,
    thermal: ImageLike | None,
    info: ModelInfo,
    *,
    force_range: bool = False,
    bands: Bands | None = None,
    unit: str | None = None,
    source: Path | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the model's input for one pair, (3, H, W) and (C, H, W) in 0..1, black for a missing image; arguments and
    errors as in :meth:`cimnet.inference.Predictor.predict`; `force_range`, `bands` and `unit` (there `thermal_unit`) as
    in its settings; `source` as in :meth:`cimnet.inference.Predictor.tensors`. Each file is decoded once."""
    second, needs = info.second, wanted(info, bands, unit)
    if rgb is None and thermal is None:
        raise DataError(f"rgb and {second.name} are both missing; give at least one image")
    thermal_name, names = str(source or _name(thermal)), [_path_or(rgb, "rgb"), _path_or(thermal, second.name)]
    paths = [Path(image) for image in (rgb, thermal) if isinstance(image, str | Path)]
    if isinstance(rgb, str | Path) and isinstance(thermal, str | Path) and is_rgbt(Path(rgb), Path(thermal), bands):
        rgb, thermal = read_pair(Path(rgb), Path(thermal), needs)
    rgb_tensor = None if rgb is None else _rgb(rgb, bands)
    thermal_tensor = None if thermal is None else _thermal(thermal, info, thermal_name, force_range, needs)
    if rgb_tensor is None:
        assert thermal_tensor is not None
        rgb_tensor = thermal_tensor.new_zeros(3, *thermal_tensor.shape[1:])
    if thermal_tensor is None:
        thermal_tensor = rgb_tensor.new_zeros(second.channels, *rgb_tensor.shape[1:])
    if rgb_tensor.shape[-2:] != thermal_tensor.shape[-2:]:
        sizes = [f"{tensor.shape[-1]}x{tensor.shape[-2]}" for tensor in (rgb_tensor, thermal_tensor)]
        raise DataError(
            f"{names[1]} is {sizes[1]} but {names[0]} is {sizes[0]}{turned_hint(*paths)}; "
            "register and resample to the size of the RGB image first (`cimnet data align`)"
        )
    return rgb_tensor, thermal_tensor


def _rgb(image: ImageLike, bands: Bands | None) -> Tensor:
    if isinstance(image, str | Path):
        image = read_rgb(Path(image), bands, of_pair=True)
    elif isinstance(image, Image.Image):
        if image.mode.startswith(("I", "F")):
            raise DataError(f"rgb: a picture of mode {image.mode}, expected 8-bit RGB")
        image = np.array(upright(image).convert("RGB"))
    given = tuple(image.shape)
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.moveaxis(image, -1, 0).copy())
    image = image.detach().cpu()  # as thermal images are: the model's device gets both
    if image.ndim != 3 or image.shape[0] != 3:
        raise DataError(f"rgb: got the shape {given}, expected an array (H, W, 3) or a tensor (3, H, W)")
    if image.dtype == torch.uint8:
        return image.float() / 255
    if not image.is_floating_point():
        raise DataError(f"rgb: got values of type {image.dtype}, expected uint8 in 0..255 or floats in 0..1")
    return _unit(image.float(), "rgb")


def _thermal(image: ImageLike, info: ModelInfo, name: str, force_range: bool, needs: Wanted) -> Tensor:
    is_image, second = isinstance(image, str | Path | Image.Image), info.second
    if isinstance(image, str | Path):
        image = read_thermal_counts(Path(image), needs)
    elif isinstance(image, Image.Image):
        if image.mode == "P":
            raise DataError(f"{second.name}: a palette picture holds colours, not measured values; give grey values")
        image = upright(image)
    values = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asanyarray(image)
    given = values.shape
    if values.ndim == 3 and isinstance(image, Tensor):
        values = np.moveaxis(values, 0, 2)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.shape[2:] != (() if second.channels == 1 else (second.channels,)) or values.ndim < 2:
        expected = "(H, W)" if second.channels == 1 else f"(H, W, {second.channels}), or a tensor with channels first"
        raise DataError(f"{second.name}: got the shape {given}, expected {expected}")
    if np.issubdtype(values.dtype, np.floating) and not is_image:
        return _unit(channels_first(values.astype(np.float32)), second.name)
    counts = values if values.dtype in (np.uint8, np.int16, np.float32) else as_counts(values, name)
    check_depth(counts, info.thermal_dtype, name)
    info.scaling.check_range(counts, name, force_range)
    return channels_first(info.scaling(counts, name))


def _unit(image: Tensor, name: str) -> Tensor:
    low, high = image.aminmax() if image.numel() else (image.new_tensor(0), image.new_tensor(0))
    if not (low >= -0.01 and high <= 1.01):  # also false for NaN; resampling may overshoot a little
        raise DataError(f"{name}: float values from {low:.4g} to {high:.4g}, expected 0 to 1")
    return image


def cutter(rgb: Tensor, thermal: Tensor) -> Read:
    """Read windows out of images (3, H, W) and (C, H, W) that are in memory."""

    def read(top: int, left: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        place = (slice(None), slice(top, top + height), slice(left, left + width))
        return rgb[place], thermal[place]

    return read


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, H, W) at another size: bilinear, with antialiasing where they shrink."""
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=size[0] < images.shape[-2])


def shrink(rgb: Tensor, thermal: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """A pair (3, H, W) and (C, H, W) of at most so many pixels; as it is, if it has no more."""
    height, width = rgb.shape[-2:]
    scale = (pixels / (height * width)) ** 0.5
    if scale >= 1:
        return rgb, thermal
    size = max(1, int(scale * height)), max(1, int(scale * width))
    return resize(rgb[None], size)[0], resize(thermal[None], size)[0]


def _name(image: ImageLike | None) -> str:
    return _path_or(image, type(image).__name__)


def _path_or(image: ImageLike | None, name: str) -> str:
    return str(image) if isinstance(image, str | Path) else name
