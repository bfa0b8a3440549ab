"""The contact sheet: RGB, thermal and label of typical pairs and of findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from cimnet.curation.check.decode_pair import Job, Settings, read_files
from cimnet.curation.check.image_stats import stretched
from cimnet.data.io.pixels import first_channel
from cimnet.data.labels import ignore_color
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import CimnetError
from cimnet.utils.colors import Color, color_table
from cimnet.utils.files import write_atomically
from cimnet.utils.legend import draw_legend

_Item = TypeVar("_Item")
FORMATS = (".png", ".jpg", ".jpeg")
_GAP, _LINE, _WIDTH, _COLUMNS = 6, 16, 176, 2
_INK, _SOFT, _PAPER, _MISSING = (20, 20, 20), (110, 110, 110), (250, 250, 250), (215, 215, 215)
_BAR = (226, 232, 240)
_OUTSIDE = (255, 0, 255)


@dataclass(frozen=True)
class Group:
    """Pairs under one title, each with a caption."""

    title: str
    pairs: tuple[tuple[Job, str], ...]


@dataclass(frozen=True)
class Sheet:
    """The content of a contact sheet. `lookup`: class id by label value; `colors`: by class id."""

    title: str = ""
    groups: tuple[Group, ...] = ()
    settings: Settings = field(default_factory=Settings)
    names: tuple[str, ...] = ()
    colors: tuple[Color, ...] = ()
    lookup: npt.NDArray[np.int16] | None = None

    def write(self, path: Path) -> None:
        """Write the sheet, PNG or JPEG by the suffix.

        Raises:
            CimnetError: another suffix, no pair to show, or the file cannot be written.
        """
        if path.suffix.lower() not in FORMATS:
            raise CimnetError(f"{path}: the contact sheet's name must end in one of {', '.join(FORMATS)}")
        if not self.groups:
            raise CimnetError(f"{path}: no pairs to show")
        image = self.draw()
        write_atomically(path, lambda p: image.save(p))

    def draw(self) -> Image.Image:
        """The sheet; its files are decoded again."""
        width = _COLUMNS * (3 * _WIDTH + 4 * _GAP)
        rows = [_text_line(self.title, width, _PAPER)]
        for group in self.groups:
            cells = [self._cell(job, caption) for job, caption in group.pairs]
            rows.append(_text_line(group.title, width, _BAR))
            rows += [_beside(cells[start : start + _COLUMNS]) for start in range(0, len(cells), _COLUMNS)]
        rows.append(self._legend(width))
        sheet = Image.new("RGB", (width, sum(row.height for row in rows)), _PAPER)
        top = 0
        for row in rows:
            sheet.paste(row, (0, top))
            top += row.height
        return sheet

    def _cell(self, job: Job, caption: str) -> Image.Image:
        """RGB, thermal and label of a pair under its caption."""
        files = read_files(job, self.settings)
        rgb = None if files.rgb is None else Image.fromarray(files.rgb)
        grey = None if files.thermal is None else stretched(first_channel(files.thermal))
        thermal = None if grey is None else Image.fromarray((255 * grey).astype(np.uint8))
        label = None if files.label is None else Image.fromarray(self._coloured(files.label))
        sizes = [picture.size for picture in (rgb, thermal, label) if picture is not None]
        height = round(_WIDTH * sizes[0][1] / sizes[0][0]) if sizes else _WIDTH
        height = min(height, 2 * _WIDTH)
        cell = Image.new("RGB", (3 * _WIDTH + 4 * _GAP, height + _LINE + _GAP), _PAPER)
        draw = ImageDraw.Draw(cell)
        draw.text((_GAP, 2), _printable(caption, draw, cell.width - 2 * _GAP), _SOFT)
        for column, (kind, picture) in enumerate((("rgb", rgb), ("thermal", thermal), ("label", label))):
            left = _GAP + column * (_WIDTH + _GAP)
            if picture is None:
                draw.rectangle((left, _LINE, left + _WIDTH - 1, _LINE + height - 1), _MISSING)
                unread = any(problem.kind == kind for problem in files.problems)
                draw.text((left + 8, _LINE + 8), f"{kind}: {'cannot be read' if unread else 'none'}", _INK)
                continue
            how = Image.Resampling.NEAREST if kind == "label" else Image.Resampling.BOX
            cell.paste(picture.convert("RGB").resize((_WIDTH, height), how), (left, _LINE))
        return cell

    def _coloured(self, label: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        table = color_table(self.colors, ignore=ignore_color(self.colors))
        ids = np.clip(label, 0, 65535)
        if self.lookup is not None:
            ids = self.lookup[ids]
        outside = (ids < 0) | ((ids >= len(self.colors)) & (ids != IGNORE_INDEX))
        colours = table[np.where(outside, 0, ids)]
        colours[outside] = _OUTSIDE
        return colours

    def _legend(self, width: int) -> Image.Image:
        """Names of the classes beside their colours, and of what has no class."""
        entries = [*zip(self.names, self.colors, strict=True), ("ignore", ignore_color(self.colors))]
        return Image.fromarray(draw_legend(width, [*entries, ("outside the classes", _OUTSIDE)], _PAPER))


def _text_line(text: str, width: int, paper: Color) -> Image.Image:
    line = Image.new("RGB", (width, _LINE + 8), paper)
    draw = ImageDraw.Draw(line)
    draw.text((_GAP, 5), _printable(text, draw, width - 2 * _GAP), _INK)
    return line


def _beside(cells: Sequence[Image.Image]) -> Image.Image:
    width = 3 * _WIDTH + 4 * _GAP
    row = Image.new("RGB", (_COLUMNS * width, max(cell.height for cell in cells)), _PAPER)
    for column, cell in enumerate(cells):
        row.paste(cell, (column * width, 0))
    return row


def _printable(text: str, draw: ImageDraw.ImageDraw, width: int) -> str:
    """The text cut to a width in pixels, in letters that every font of Pillow's has."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    while text and draw.textlength(text) > width:
        text = text[:-1]
    return text
