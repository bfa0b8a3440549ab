"""Weights and images by rule: every weight follows from its name in the original's files and its shape alone, so that
test vectors need no file of weights."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
STEPS = ("dt_projs_bias", "dt_proj_1.bias", "dt_proj_2.bias")


def fill(name: str, shape: Sequence[int], rule: str = "") -> Array:
    """The value of one weight, float64.

    Args:
        name: in the original's files.
        rule: what is special: ``small_residuals`` (FEANet, EAEFNet), ``bytes`` (their variant for images in 0..255),
            ``warm`` (EAEFNet's temperatures times their width), ``strong`` (Sigma's scans), joined by spaces.
    """
    draw = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little"))
    leaf, size = name.rpartition(".")[2], math.prod(shape)
    if leaf == "num_batches_tracked":
        return np.ones(shape, np.int64)
    if leaf == "running_var":
        return 0.5 + draw.random(shape)
    noise = np.asarray(draw.standard_normal(tuple(shape)))
    if "strong" in rule and leaf in ("x_proj_weight", "dt_projs_weight"):
        return noise / math.sqrt(shape[-1])
    if "strong" in rule and name.endswith(STEPS):
        return noise - 4
    if re.fullmatch(r"A_logs?(_\d)?", leaf):
        return np.log(np.arange(1, shape[-1] + 1)) + 0.1 * noise
    if re.fullmatch(r"Ds?(_\d)?|scale\d", leaf):
        return 1 + 0.1 * noise
    if size == 1 and leaf not in ("bias", "running_mean", "weight"):
        width = re.search(r"idam_(\d)\.T_c", name)
        return (0.5 + 0.1 * noise) * ((64, 256, 512, 1024, 2048)[int(width[1])] if width and "warm" in rule else 1)
    if len(shape) >= 2:
        images = "bytes" in rule and re.search(r"encoder_(rgb|thermal)_conv1\.weight$", name)
        noise /= math.sqrt(math.prod(shape[1:]))  # in place: some hold 40 million values
        return noise / 255 if images else noise
    if leaf == "weight":
        residual = "small_residuals" in rule and re.search(r"encoder_\w+_layer\d\.\d+\.bn3\.weight$", name)
        return (1 + 0.1 * noise) * (0.2 if residual else 1)
    return 0.1 * noise


def fill_all(shapes: Mapping[str, Sequence[int]], rule: str = "") -> dict[str, Array]:
    """The values of all weights by name."""
    return {name: fill(name, shape, rule) for name, shape in shapes.items()}


def images(height: int, width: int, batch: int = 1) -> tuple[Array, Array]:
    """RGB (B, 3, H, W) and thermal (B, 1, H, W) in 0..1, float64."""
    rgb, thermal = np.random.default_rng(7), np.random.default_rng(8)
    return rgb.random((batch, 3, height, width)), thermal.random((batch, 1, height, width))
