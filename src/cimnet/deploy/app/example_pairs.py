"""The pairs that the page opens with: synthetic scenes (`cimnet.data.synthetic`), drawn when it starts."""

from __future__ import annotations

from functools import cache

import torch

from cimnet.data.corruptions import corrupt
from cimnet.data.sample import RGBTSample
from cimnet.data.synthetic import render
from cimnet.deploy.app.uploaded_pair import Knobs, Pair, degrade
from cimnet.inference.overlay import to_rgb

_SEED, _SIZE, _SCALE = 3, (256, 320), 0.5
_SOUND = {"Day": 0, "Night": 12, "Fog": 10, "RGB broken": 6, "Misaligned": 2}  # index of the scene

EXAMPLES = tuple(_SOUND)
"""Names, in the order of the page."""


@cache
def example(name: str) -> Pair:
    """One of `EXAMPLES`, 320×256 pixels.

    Raises:
        KeyError: there is none of that name.
    """
    scene = render(_SEED, split="test", index=_SOUND[name], size=_SIZE, scale=_SCALE)
    rgb = torch.from_numpy(scene.rgb).permute(2, 0, 1).float() / 255
    sample = RGBTSample(rgb, torch.from_numpy(scene.thermal)[None].float() / 255, None, name)
    if name == "Fog":
        sample = corrupt(sample, "fog", level=12)
    thermal = sample.thermal
    if name == "Misaligned":
        thermal = degrade(sample.rgb, thermal, Knobs(right=14, down=-7, turn=2))[1]
    return Pair(to_rgb(sample.rgb), thermal[0].contiguous().numpy(), example=True)
