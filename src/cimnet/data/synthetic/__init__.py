"""A procedural aerial RGB-thermal world with known truth, in the classes of Kust4K.

`render` draws one pair, `synthesize` writes a data set folder; `cimnet.data.synthetic.dataset.SceneDataset` draws pairs
while a model trains, `cimnet.data.synthetic.contact_sheet` shows some to a person."""

from __future__ import annotations

from cimnet.data.synthetic.classes import CLASSES, COLORS
from cimnet.data.synthetic.pair import ScenePair, render
from cimnet.data.synthetic.synthesis import synthesize

__all__ = ["CLASSES", "COLORS", "ScenePair", "render", "synthesize"]
