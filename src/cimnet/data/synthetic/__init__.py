"""A procedural aerial RGB-thermal world with known truth, in the classes of Kust4K.

`render` draws one pair, `synthesize` writes a data set folder, `contact_sheet` shows some pairs to a person."""

from __future__ import annotations

from cimnet.data.synthetic.class_ids import CLASSES, COLORS
from cimnet.data.synthetic.render import ScenePair, render
from cimnet.data.synthetic.synthesis import synthesize

__all__ = ["CLASSES", "COLORS", "ScenePair", "render", "synthesize"]
