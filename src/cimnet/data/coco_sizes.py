"""The size that a COCO file states for an image, and whether the image has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cimnet.data.io.bands import Bands
from cimnet.data.pairs import rgb_size, turned_hint
from cimnet.errors import DataError

_MOST = 1e9


def stated_size(path: Path, entry: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width) in an entry of `images`; None where it does not say.

    Raises:
        DataError: a side is missing or no whole number of pixels.
    """
    sides: list[Any] = [entry.get("height"), entry.get("width")]
    if sides == [None, None]:
        return None
    for side in sides:
        number = isinstance(side, int | float) and not isinstance(side, bool)
        if not number or not 1 <= side < _MOST or side != round(side):
            raise DataError(
                f"{path}: images: {entry['file_name']!r}: width is {sides[1]!r} and height is {sides[0]!r}; give both "
                "in pixels, or leave both out"
            )
    return int(sides[0]), int(sides[1])


def check_stated_size(path: Path, name: str, size: tuple[int, int], image: Path, bands: Bands | None) -> None:
    """Compare the size (height, width) that a COCO file states for an image `name` with that of the image file.

    Raises:
        DataError: it is another one, so what was drawn lies elsewhere.
    """
    height, width = rgb_size(image, bands)
    if size != (height, width):
        raise DataError(
            f"{path}: images: {name!r} is {size[1]}x{size[0]}, but {image} is {width}x{height}{turned_hint(image)}; "
            "annotate images of this size, or scale the annotations to it"
        )
