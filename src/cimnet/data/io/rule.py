"""A row of the reading contract: a property of a file, and its treatment in each use.

The property is applied (a function changes the pixels), refused (a sentence names it and the remedy), or left to the
reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from cimnet.data.io.facts import FileFacts
from cimnet.data.io.pixels import Pixels

Use = Literal["rgb", "thermal", "label", "rgbt", "raster_rgb", "raster_thermal"]
USES: dict[Use, str] = {
    "rgb": "RGB image",
    "thermal": "thermal image",
    "label": "label",
    "rgbt": "4-channel file",
    "raster_rgb": "`geo`, RGB",
    "raster_thermal": "`geo`, thermal",
}


@dataclass(frozen=True)
class Action:
    """The treatment of a property in one use; `words` are for the table. At most one of `apply` and `refuse`."""

    words: str
    apply: Callable[[Pixels, FileFacts], Pixels] | None = None
    refuse: Callable[[FileFacts], str] | None = None


@dataclass(frozen=True)
class Rule:
    """A property, which formats carry it, when it counts, and what is done in each use."""

    name: str
    carriers: str
    holds: Callable[[FileFacts], bool]
    actions: Mapping[Use, Action]


def left_to_reader(words: str) -> Action:
    """This table does nothing: the reader applies or refuses the property itself, or it does not matter."""
    return Action(words)


def refused(words: str, text: Callable[[FileFacts], str] | str) -> Action:
    """The file is refused; `text` names the property and the remedy."""
    return Action(f"refused: {words}", refuse=(lambda facts: text) if isinstance(text, str) else text)


def applied(words: str, change: Callable[[Pixels, FileFacts], Pixels]) -> Action:
    """The property is applied: `change` gives the pixels as they are meant."""
    return Action(words, apply=change)
