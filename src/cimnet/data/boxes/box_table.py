"""Boxes in a CSV table: one object a row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from cimnet.data.boxes.object_box import MOST_PIXELS, SEEN_IN, BoxFile, ObjectBox, Rect, SeenIn
from cimnet.data.io.csv_table import CsvTable
from cimnet.errors import DataError

EXPECTED = "image,class,x0,y0,x1,y1[,seen_in][,scene][,ignore]"
_CORNERS, _CENTRE = ("x0", "y0", "x1", "y1"), ("cx", "cy", "w", "h")
_SENSORS = ("", "rgb_", "thermal_")
_TRUE, _FALSE = ("1", "true", "yes"), ("", "0", "false", "no")


def read_box_table(path: Path) -> BoxFile:
    """Boxes of a CSV file in UTF-8 whose first line names the columns.

    `image` and `class`, and a rectangle in pixels as corners (`x0,y0,x1,y1`) or as centre and size (`cx,cy,w,h`). Where
    the two sensors have rectangles of their own, the columns begin with `rgb_` and `thermal_`; cells stay empty for a
    sensor that does not show the object. By wish: `seen_in` (rgb, thermal, both, unsure), `scene`, and `ignore` (1: a
    region that is not scored). Other columns are left alone.

    Raises:
        DataError: not CSV, columns that are missing or there twice, a row of another length, or a cell that is wrong.
    """
    table = CsvTable(path)
    forms = _rect_columns(table.header)
    table.require({"image", "class"} <= set(table.header) and bool(forms), EXPECTED)
    boxes = (_Row(f"{path}: row {number}", cells, forms).box(f"row {number}") for number, cells in table.rows())
    return BoxFile(path, tuple(boxes))


def _rect_columns(header: list[str]) -> dict[str, tuple[str, ...]]:
    """Find the columns that hold the rectangle of each sensor."""
    return {
        sensor: form
        for sensor in _SENSORS
        for form in (_CENTRE, _CORNERS)
        if all(f"{sensor}{name}" in header for name in form)
    }


class _Row:
    """One row; errors begin with `where`."""

    def __init__(self, where: str, cells: Mapping[str, str], forms: Mapping[str, tuple[str, ...]]) -> None:
        self.where, self.cells, self.forms = where, cells, forms

    def box(self, place: str) -> ObjectBox:
        """The object of the row."""
        for column in ("image", "class"):
            if not self.cells[column]:
                raise DataError(f"{self.where}: {column} is empty; give one, or remove the row")
        rects = {sensor: self._rect(sensor, form) for sensor, form in self.forms.items()}
        rgb, thermal = rects.get("") or rects.get("rgb_"), rects.get("thermal_")
        if rgb is None and thermal is None:
            raise DataError(f"{self.where}: no rectangle; fill in the cells of one, or remove the row")
        return ObjectBox(
            place=place,
            image=self.cells["image"],
            class_name=self.cells["class"],
            rgb=rgb,
            thermal=thermal,
            seen_in=self._seen_in(rgb, thermal),
            scene=self.cells.get("scene", ""),
            ignore=self._flag("ignore"),
        )

    def _seen_in(self, rgb: Rect | None, thermal: Rect | None) -> SeenIn:
        """Return the row's own entry, otherwise the sensor that has a rectangle, if the sensors have their own
        columns."""
        text = self.cells.get("seen_in", "").lower()
        if text and text not in SEEN_IN:
            raise DataError(f"{self.where}: seen_in is {text!r}; write one of {', '.join(SEEN_IN)}, or leave it empty")
        if text:
            return cast(SeenIn, text)
        if not {"rgb_", "thermal_"} <= self.forms.keys():
            return ""
        return "both" if rgb and thermal else "rgb" if rgb else "thermal"

    def _flag(self, column: str) -> bool:
        text = self.cells.get(column, "").lower()
        if text not in (*_TRUE, *_FALSE):
            raise DataError(f"{self.where}: {column} is {text!r}; write 1 or 0, or leave it empty")
        return text in _TRUE

    def _rect(self, sensor: str, form: tuple[str, ...]) -> Rect | None:
        columns = [f"{sensor}{name}" for name in form]
        texts = [self.cells[column] for column in columns]
        if not any(texts):
            return None
        values = []
        for column, text in zip(columns, texts, strict=True):
            try:
                values.append(float(text))
            except ValueError:
                values.append(math.nan)
            if not abs(values[-1]) < MOST_PIXELS:  # NaN, too
                raise DataError(f"{self.where}: {column} is {text!r}; write a number of pixels")
        if form == _CENTRE:
            x, y, width, height = values
            return Rect(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return Rect(*values)
