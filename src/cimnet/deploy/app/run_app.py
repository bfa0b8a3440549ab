"""Run the model for the page."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from cimnet.analysis.offset_agreement import found_offsets
from cimnet.deploy.app.uploaded_pair import Knobs, Pair, degrade
from cimnet.errors import CheckpointError
from cimnet.inference import Predictor
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.images import shrink
from cimnet.inference.overlay import to_rgb
from cimnet.inference.settings import WHOLE


@dataclass(frozen=True)
class Result:
    """A mask with what the model saw.

    Attributes:
        rgb: (H, W, 3) uint8. thermal: (H, W) float32 in 0..1. mask: class ids (H, W) uint8.
        missing: the sensor of which there was no image.
        seconds: that the model took.
    """

    rgb: npt.NDArray[np.uint8]
    thermal: npt.NDArray[np.float32]
    mask: npt.NDArray[np.uint8]
    missing: str | None
    seconds: float


def segment(predictor: Predictor, pair: Pair, knobs: Knobs, resize: bool = False) -> Result:
    """Degrade a pair and segment it.

    Raises:
        DataError: see `Pair.tensors`.
    """
    rgb, thermal = degrade(*pair.tensors(predictor, resize), knobs)
    start = time.perf_counter()
    mask = predictor.predict(rgb, thermal)
    seconds = time.perf_counter() - start
    return Result(to_rgb(rgb), thermal[0].numpy(), mask, pair.missing, seconds)


def judge(predictor: Predictor, result: Result) -> Alarm | None:
    """The alarms for what the model saw. None: the checkpoint has none, or an image is missing.

    Raises:
        CheckpointError: the checkpoint's alarm is of another version.
    """
    if predictor.info.alarm is None or result.missing:
        return None
    return predictor.alarm(result.rgb, result.thermal)


def offsets(predictor: Predictor, result: Result) -> tuple[str, npt.NDArray[np.float32]] | None:
    """Return how far the model moves the thermal image, (2, H, W), (dy, dx) in pixels: what RGB shows at p, the model
    looks for at p + offset(p). The name tells which part found it: ``alignment``, or ``stage 1`` of the paper's
    offsets.

    None: an image is missing, or the model has no offsets or is an exported one. Images above `WHOLE` pixels are shrunk
    to it.
    """
    try:
        network = predictor.network
    except CheckpointError:
        return None
    if result.missing:
        return None
    rgb, thermal = predictor.tensors(result.rgb, result.thermal)
    height, width = rgb.shape[-2:]
    rgb, thermal = shrink(rgb, thermal, WHOLE)
    factor = rgb.shape[-1] / width
    found = found_offsets(network, rgb.to(predictor.device), thermal.to(predictor.device))
    for name in ("alignment", "stage 1"):
        if name in found:
            field = torch.from_numpy(np.asarray(found[name], np.float32))[None] / factor
            whole = field if factor == 1 else F.interpolate(field, (height, width), mode="bilinear")
            return name, whole[0].numpy()
    return None
