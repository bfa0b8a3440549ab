"""The visible picture inside a radiometric FLIR JPEG, cut to what the thermal sensor sees.

The camera's record of picture-in-picture says where the thermal image lies in the visible one: `Real2IR` is the width
of the visible picture in widths of the thermal image, `OffsetX` and `OffsetY` are the distance of their centres in
pixels of the visible picture (https://exiftool.org/TagNames/FLIR.html). They hold at the distance that the camera was
focused on; nearer and farther things are displaced by the parallax of its two lenses.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.data.io.directories import check_tags
from cimnet.data.io.facts import facts_of
from cimnet.data.io.notices import notice
from cimnet.data.io.open_image import MAX_PIXELS, opened, too_large
from cimnet.data.io.pixels import FEW, turned
from cimnet.data.io.radiometric import read_kelvin, read_records
from cimnet.errors import DataError, one_line

_PICTURE, _PLACE = 14, 42  # FLIR's types of records
_HEADER = 32  # bytes before the picture
_ORIENTATION = 0x0112
_WIDEST = 20.0  # largest Real2IR that is believed
_TAKE_OUT = "take it out (exiftool -b -EmbeddedImage FILE > rgb.jpg) and register it (`cimnet data align`)"


@dataclass(frozen=True)
class ThermalPlace:
    """The place of the thermal image in the visible picture: the fields of FLIR's picture-in-picture record."""

    real_to_ir: float
    offset_x: int
    offset_y: int

    def box(self, visible: tuple[int, int], thermal: tuple[int, int]) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in pixels of the visible picture; sizes are (width, height)."""
        width = visible[0] / self.real_to_ir
        height = width * thermal[1] / thermal[0]
        left = visible[0] / 2 + self.offset_x - width / 2
        top = visible[1] / 2 + self.offset_y - height / 2
        return left, top, left + width, top + height

    def __str__(self) -> str:
        return f"Real2IR {self.real_to_ir:g}, OffsetX {self.offset_x}, OffsetY {self.offset_y}"


def read_visible(path: Path) -> npt.NDArray[np.uint8]:
    """The visible picture (H, W, 3) uint8 of a radiometric FLIR JPEG, in the size and field of view of its temperatures
    and turned as they are. Where it shows up to 5% less than these the rest is black, with a `DataWarning`.

    Raises:
        DataError: not a radiometric FLIR JPEG; it holds no visible picture, or one that is not a JPEG or is turned by a
            tag of its own; it does not say where the thermal image lies; or the picture shows less of it.
    """
    with opened(path) as image:
        facts = facts_of(image, path)
    if facts.maker != "FLIR":
        raise DataError(
            f"{path}: not a radiometric FLIR JPEG, so there is no visible picture inside; leave `embedded` out, or "
            "give such files"
        )
    records = read_records(path, (_PICTURE, _PLACE))
    height, width = read_kelvin(path).shape
    picture = _open_picture(records.get(_PICTURE, b"")[_HEADER:], path)
    place = _read_place(records.get(_PLACE, b""), path)
    box = place.box(picture.size, (width, height))
    lost = 1 - _overlap(box, picture.size)
    if lost > FEW:
        raise DataError(
            f"{path}: its visible picture lacks {100 * lost:.0f}% of what the thermal image shows ({place}); "
            f"{_TAKE_OUT}"
        )
    if lost > 0.001:
        notice(f"{path}: its visible picture lacks {100 * lost:.1f}% of what the thermal image shows: black there")
    outer = math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3])
    inner = (box[0] - outer[0], box[1] - outer[1], box[2] - outer[0], box[3] - outer[1])
    cut = picture.crop(outer).resize((width, height), Image.Resampling.BILINEAR, inner)
    return turned(np.array(cut), facts.orientation)


def _open_picture(data: bytes, path: Path) -> Image.Image:
    """The picture as RGB.

    Raises:
        DataError: there is none, or one that is not read.
    """
    if not data:
        raise DataError(f"{path}: holds no visible picture; give the RGB images as files of their own")
    if not data.startswith(b"\xff\xd8"):
        raise DataError(
            f"{path}: its visible picture is not a JPEG, and the file does not say whether its colours are RGB or "
            f"YCbCr; {_TAKE_OUT}"
        )
    try:
        check_tags(data, path)
        with Image.open(BytesIO(data), formats=("JPEG",)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise too_large(path, "its visible picture has ", _TAKE_OUT)
            if picture.getexif().get(_ORIENTATION, 1) != 1:
                raise DataError(f"{path}: its visible picture has an orientation tag of its own; {_TAKE_OUT}")
            return picture.convert("RGB")
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(path, "its visible picture has ", _TAKE_OUT) from error
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise DataError(f"{path}: its visible picture cannot be read ({one_line(error)}); restore the file") from error


def _read_place(record: bytes, path: Path) -> ThermalPlace:
    try:
        place = ThermalPlace(*struct.unpack_from("<fhh", record))
    except struct.error as error:
        raise DataError(
            f"{path}: does not say where the thermal image lies in its visible picture (no Real2IR, OffsetX, OffsetY); "
            f"{_TAKE_OUT}"
        ) from error
    if not 0 < place.real_to_ir <= _WIDEST:  # also of NaN
        raise DataError(
            f"{path}: the place of the thermal image in its visible picture is not plausible ({place}); {_TAKE_OUT}"
        )
    return place


def _overlap(box: tuple[float, float, float, float], size: tuple[int, int]) -> float:
    """Share of a box that lies in a picture (width, height)."""
    wide = max(min(box[2], size[0]) - max(box[0], 0.0), 0.0)
    high = max(min(box[3], size[1]) - max(box[1], 0.0), 0.0)
    return wide * high / ((box[2] - box[0]) * (box[3] - box[1]))
