"""Compare the offsets that a model learned with true ones, where a data set has them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cimnet.data import RGBTDataset, RGBTSample
from cimnet.data.layouts.kust4k import Kust4K
from cimnet.errors import DataError
from cimnet.inference import Predictor
from cimnet.models import Output, RGBTModel

Field = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Agreement of found offsets with true ones over some pixels, in pixels of the image.

    Attributes:
        pixels: how many pixels were compared.
        true_magnitude, found_magnitude: mean lengths. ``true_magnitude`` is also the end-point error of finding no
            offset anywhere.
        correlation_dy, correlation_dx: Pearson's r of each component; NaN if one of the two does not vary.
        endpoint_error: mean length of the difference.
    """

    pixels: int
    true_magnitude: float
    found_magnitude: float
    correlation_dy: float
    correlation_dx: float
    endpoint_error: float


def offset_agreement(found: Field, true: Field, mask: Mask | None = None) -> Agreement:
    """Compare two offset fields over the pixels of a mask.

    Args:
        found, true: (2, …) of one shape, (dy, dx) in pixels of the image.
        mask: (…), which pixels to compare; None for all. Without any pixel all values are NaN.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if found.shape != true.shape or len(found) != 2 or (mask is not None and mask.shape != found.shape[1:]):
        shapes = [found.shape, true.shape, None if mask is None else mask.shape]
        raise ValueError(f"found, true and mask have shapes {shapes}, expected (2, …), the same, and (…)")
    chosen = np.ones(found.shape[1:], dtype=bool) if mask is None else mask
    f, t = found[:, chosen].astype(np.float64), true[:, chosen].astype(np.float64)
    if not chosen.any():
        return Agreement(0, *[math.nan] * 5)
    return Agreement(
        pixels=int(chosen.sum()),
        true_magnitude=float(np.hypot(*t).mean()),
        found_magnitude=float(np.hypot(*f).mean()),
        correlation_dy=_pearson(f[0], t[0]),
        correlation_dx=_pearson(f[1], t[1]),
        endpoint_error=float(np.hypot(*(f - t)).mean()),
    )


def _pearson(a: Field, b: Field) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / norm if norm > 1e-12 else math.nan


def found_offsets(model: RGBTModel, rgb: torch.Tensor, thermal: torch.Tensor) -> dict[str, Field]:
    """The offsets that a model applies to one pair, averaged over the taps.

    Args:
        rgb, thermal: (3, H, W) and (1, H, W) in 0..1, on the model's device.

    Returns:
        (2, H, W) float32, (dy, dx) in pixels of the image, by name: ``stage 1`` … ``stage 4``, and ``alignment`` where
        the model aligns explicitly; empty for models without offsets.
    """
    size = (rgb.shape[-2], rgb.shape[-1])
    with torch.inference_mode():
        output: Output = model(rgb[None], thermal[None])
    return offset_fields(model, output, size)


def offset_fields(model: RGBTModel, output: Output, size: tuple[int, int]) -> dict[str, Field]:
    """Tap-averaged offsets of a model's output for one pair of a size (H, W); see :func:`found_offsets`."""
    with torch.inference_mode():
        maps = {f"stage {n}": (4 * 2 ** (n - 1), offset) for n, offset in enumerate(output.offsets, start=1)}
        if output.flow is not None:
            maps["alignment"] = (4, output.flow)
        fields = {}
        for name, (stride, offset) in maps.items():
            height, width = offset.shape[-2:]
            mean = offset.float().view(1, -1, 2, height, width).mean(1) * (stride / model.input_scale)
            fields[name] = model.restore(mean, (stride * height, stride * width), size)[0].cpu().numpy()
    return fields


@dataclass(frozen=True)
class Compared:
    """Offsets of one test image: found by name, each (2, H, W), true (2, H, W), moving (H, W)."""

    sample: RGBTSample
    found: dict[str, Field]
    true: Field
    moving: Mask


def compare_offsets(predictor: Predictor, dataset: RGBTDataset) -> Iterator[Compared]:
    """Run the model over the pairs that carry a truth; nothing if there are none or the model has no offsets.

    Raises:
        DataError: if a truth cannot be read or does not fit its image.
    """
    if not isinstance(dataset, Kust4K):
        return
    for index, name in enumerate(dataset.ids):
        truth = dataset.truth(index)
        if truth is None or not {"offset", "moving"} <= truth.keys():
            continue
        sample = dataset.read(index)
        found = found_offsets(predictor.network, sample.rgb.to(predictor.device), sample.thermal.to(predictor.device))
        if not found:
            return
        true, moving = truth["offset"].astype(np.float32), truth["moving"].astype(bool)
        size = (2, *sample.rgb.shape[-2:])
        if true.shape != size or moving.shape != true.shape[1:]:
            raise DataError(
                f"{dataset.root}/truth/{name}.npz: offset {true.shape} and moving {moving.shape} do not fit the image, "
                f"expected {size} and {size[1:]}"
            )
        yield Compared(sample, found, true, moving)
