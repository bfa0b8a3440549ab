"""RTFNet's and FEANet's pass with basic blocks, written out from the specification: functions of the weights under the
original's names, with nothing of the networks here. Images are not padded and logits not cropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]
Fuse = Callable[[State, int, Tensor, Tensor], tuple[Tensor, Tensor]]


def add(_: State, __: int, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
    """RTFNet's fusion: the sum goes on as RGB, the thermal stream as it was."""
    return rgb + thermal, thermal


def attend(w: State, stage: int, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
    """FEANet's fusion: both streams weighed by channel and place; stages 1 and 3 are exceptions."""
    name = {3: "3_1", 4: "4_1"}.get(stage, str(stage))

    def channels(x: Tensor) -> Tensor:
        largest = x.amax((2, 3), keepdim=True)
        hidden = F.relu(F.conv2d(largest, w[f"atten_depth_channel_{name}.fc1.weight"]))
        return x * torch.sigmoid(F.conv2d(hidden, w[f"atten_depth_channel_{name}.fc2.weight"]))

    def places(x: Tensor) -> Tensor:
        kernel = w[f"atten_depth_spatial_{name}.conv1.weight"]
        return torch.sigmoid(F.conv2d(x.amax(1, keepdim=True), kernel, padding=3))

    r, t = channels(rgb), channels(thermal)
    fused = r * places(r) + (thermal if stage == 3 else t) * places(t)
    return fused, t if stage == 1 else thermal


def run(w: State, rgb: Tensor, thermal: Tensor, fuse: Fuse) -> Tensor:
    """Images (B, 3, H, W) and (B, 1, H, W) in 0..1 to logits (B, K, 32·⌈H/32⌉, 32·⌈W/32⌉)."""
    streams = [
        F.relu(_norm(w, f"encoder_{name}_bn1", F.conv2d(x, w[f"encoder_{name}_conv1.weight"], stride=2, padding=3)))
        for name, x in (("rgb", rgb), ("thermal", thermal))
    ]
    r, t = (F.max_pool2d(x, 3, 2, 1) for x in fuse(w, 0, *streams))
    for stage in (1, 2, 3, 4):
        r, t = (_layer(w, f"encoder_{name}_layer{stage}", x) for name, x in (("rgb", r), ("thermal", t)))
        r, t = fuse(w, stage, r, t)
    for stage in (1, 2, 3, 4, 5):
        r = _up(w, f"deconv{stage}.1", _same(w, f"deconv{stage}.0", r))
    return r


def _norm(w: State, name: str, x: Tensor) -> Tensor:
    parts = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts, eps=1e-5)


def _layer(w: State, name: str, x: Tensor) -> Tensor:
    """Two basic blocks."""
    for block in (f"{name}.0", f"{name}.1"):
        projected = f"{block}.downsample.0.weight"
        stride = 2 if projected in w else 1
        y = F.relu(_norm(w, f"{block}.bn1", F.conv2d(x, w[f"{block}.conv1.weight"], stride=stride, padding=1)))
        y = _norm(w, f"{block}.bn2", F.conv2d(y, w[f"{block}.conv2.weight"], padding=1))
        if projected in w:
            x = _norm(w, f"{block}.downsample.1", F.conv2d(x, w[projected], stride=2))
        x = F.relu(y + x)
    return x


def _same(w: State, name: str, x: Tensor) -> Tensor:
    """Block A of a stage of the decoder."""
    y = F.relu(_norm(w, f"{name}.bn1", F.conv2d(x, w[f"{name}.conv1.weight"])))
    y = F.relu(_norm(w, f"{name}.bn2", F.conv2d(y, w[f"{name}.conv2.weight"], padding=1)))
    return F.relu(_norm(w, f"{name}.bn3", F.conv2d(y, w[f"{name}.conv3.weight"], padding=1)) + x)


def _up(w: State, name: str, x: Tensor) -> Tensor:
    """Block B: twice the size."""
    y = F.relu(_norm(w, f"{name}.bn1", F.conv2d(x, w[f"{name}.conv1.weight"])))
    y = F.relu(_norm(w, f"{name}.bn2", F.conv2d(y, w[f"{name}.conv2.weight"], padding=1)))
    y = _norm(w, f"{name}.bn3", F.conv_transpose2d(y, w[f"{name}.conv3.weight"], stride=2))
    shortcut = F.conv_transpose2d(x, w[f"{name}.upsample.0.weight"], stride=2)
    return F.relu(y + _norm(w, f"{name}.upsample.1", shortcut))
