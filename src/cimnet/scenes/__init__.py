"""A procedural aerial RGB-thermal world with known truth, in the classes of Kust4K.

`render` draws one pair, `synthesize` writes a data set folder; `cimnet.scenes.dataset.SceneDataset` draws pairs
while a model trains, `cimnet.scenes.contact_sheet` shows some to a person."""

from __future__ import annotations

from cimnet.scenes.classes import CLASSES, COLORS
from cimnet.scenes.pair import ScenePair, render
from cimnet.scenes.synthesis import synthesize

__all__ = ["CLASSES", "COLORS", "ScenePair", "render", "synthesize"]
