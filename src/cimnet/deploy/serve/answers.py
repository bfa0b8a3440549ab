"""Masks as answers: a PNG of class ids, JSON, a picture."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from cimnet.inference import Predictor
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.overlay import overlay_mask, to_rgb, with_legend
from cimnet.utils.colors import color_table

Format = Literal["png", "json", "overlay"]
Mask = npt.NDArray[np.uint8]


def encode(
    predictor: Predictor, kind: Format, mask: Mask, alarm: Alarm | None, background: Tensor
) -> tuple[bytes, str]:
    """Body and media type of an answer.

    Args:
        mask: class ids (H, W).
        background: what an overlay lies on, (3, H, W) or (C, H, W) in 0..1.
    """
    if kind == "json":
        return _json(predictor, mask, alarm), "application/json"
    return (_ids(predictor, mask) if kind == "png" else _overlay(predictor, mask, background)), "image/png"


def _ids(predictor: Predictor, mask: Mask) -> bytes:
    """A palette PNG: its values are class ids, its palette the classes' colours."""
    image = Image.fromarray(mask)
    image.putpalette(color_table(predictor.colors).tobytes())
    return _png(image)


def _overlay(predictor: Predictor, mask: Mask, background: Tensor) -> bytes:
    covered = overlay_mask(to_rgb(background), mask, predictor.colors)
    return _png(with_legend(covered, mask, predictor.classes, predictor.colors))


def _json(predictor: Predictor, mask: Mask, alarm: Alarm | None) -> bytes:
    counts = np.bincount(mask.ravel(), minlength=len(predictor.classes))
    classes = [
        {"id": k, "name": name, "color": color, "share": counts[k] / mask.size}
        for k, (name, color) in enumerate(zip(predictor.classes, predictor.colors, strict=True))
    ]
    content = {
        "height": mask.shape[0],
        "width": mask.shape[1],
        "classes": classes,
        "mask": {"encoding": "base64 png", "data": base64.b64encode(_ids(predictor, mask)).decode("ascii")},
        "alarm": None if alarm is None else asdict(alarm),
    }
    return json.dumps(content, ensure_ascii=False).encode()


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
