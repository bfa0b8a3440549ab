"""A decoded frame of a video as an image: colours or thermal values, upright, cropped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cimnet.data.io.palettes import name_palette
from cimnet.deploy.video.crop import Crop
from cimnet.deploy.video.frames import Image, Kind
from cimnet.errors import DataError

if TYPE_CHECKING:
    import av

COLOURED = 0.05
"""Share of coloured pixels from which a thermal video is refused; a camera's own marks take less."""
_GREY_TOLERANCE = 16
_MOST_BITS = 14
_SKEW = 0.01
"""Share of a display matrix that may be off, as by rounding."""


def frame_image(
    frame: av.VideoFrame, kind: Kind, path: Path | str, crop: Crop | None = None, dtype: str | None = None
) -> Image:
    """A decoded frame as RGB (H, W, 3) uint8 or raw thermal values (H, W), upright, then cropped.

    Colours of 9 to 14 bits fill their range, and are brought to 8 bits. Those of 16 may hold fewer (12 in 16). Thermal
    pictures in such formats are for display, too: they are brought to 8 bits if the model takes these.

    Args:
        frame: as decoded.
        kind: which sensor it is of.
        path: file or stream that messages name.
        crop: the part of it that this sensor's picture takes; None: all of it.
        dtype: depth of the model's thermal values; None: not known.

    Raises:
        DataError: a thermal frame in colours, a format that is not read, or a display matrix other than quarter turns
            and mirroring; it names ``path``.
    """
    layout, bits = frame.format.name, frame.format.components[0].bits
    if kind == "rgb":
        if bits > _MOST_BITS:
            raise DataError(
                f"{path}: RGB values of {bits} bits ({layout}), which may hold fewer; convert them to 8 bits: "
                "`ffmpeg -i VIDEO -pix_fmt yuv420p NEW.mp4` if they fill all bits; 12 bits in 16 need "
                "`-vf colorlevels=rimax=0.0625:gimax=0.0625:bimax=0.0625` in it"
            )
        return shown_image(frame, path, crop)
    if layout in ("gray16le", "gray16be"):
        return _part(frame.to_ndarray(format="gray16le"), frame, path, crop)
    shown = dtype == "uint8" and bits <= _MOST_BITS and not layout.startswith("gray")
    if bits > 8 and not shown:
        raise DataError(
            f"{path}: thermal values of the format {layout} ({bits} bits); convert them to the depth of training: "
            "`ffmpeg -i VIDEO -c:v ffv1 -pix_fmt gray16le NEW.mkv` stretches them to 16 bits, `-pix_fmt gray` to 8"
        )
    if layout == "gray":
        return _part(frame.to_ndarray(format="gray"), frame, path, crop)
    colours = shown_image(frame, path, crop)
    if coloured_share(colours) > COLOURED:
        name = name_palette(colours.astype(np.uint8))
        which = f"a palette much like '{name}'" if name else "a palette, or it is the RGB video"
        raise DataError(f"{path}: a thermal video in colours ({which}); export it in grey (white hot)")
    return np.ascontiguousarray(colours[..., 1])


def shown_image(frame: av.VideoFrame, path: Path | str, crop: Crop | None = None) -> Image:
    """A decoded frame as a player shows it, whichever sensor it is of: (H, W, 3) uint8, upright, then cropped."""
    return _part(frame.to_ndarray(format="rgb24"), frame, path, crop)


def _part(image: Image, frame: av.VideoFrame, path: Path | str, crop: Crop | None) -> Image:
    upright = _upright(image, frame, path)
    return upright if crop is None else crop.cut(upright, path)


def coloured_share(colours: Image) -> float:
    """Share of the pixels of an RGB image (H, W, 3) whose channels differ by more than a codec does."""
    spread = colours.max(axis=2) - colours.min(axis=2)
    return float(np.mean(spread > _GREY_TOLERANCE))


def _upright(image: Image, frame: av.VideoFrame, path: Path | str) -> Image:
    """The image turned and mirrored as the file says, by quarter turns.

    Raises:
        DataError: the file says another angle, or a skew.
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return image
    (x_of_x, y_of_x), (x_of_y, y_of_y) = matrix
    straight, across = max(abs(x_of_x), abs(y_of_y)), max(abs(x_of_y), abs(y_of_x))
    if min(straight, across) > _SKEW * max(straight, across):
        angle = np.degrees(np.arctan2(y_of_x, x_of_x))
        raise DataError(
            f"{path}: its display matrix turns the picture by {angle:.0f} degrees clockwise, or skews it; only quarter "
            "turns and mirroring are read. Convert it (`ffmpeg -i VIDEO NEW.mkv` turns it), or, if it is upright as "
            "stored, drop the matrix (`ffmpeg -display_rotation 0 -i VIDEO -c copy NEW.mp4`)"
        )
    if across > straight:
        image, x_of_x, y_of_y = image.swapaxes(0, 1), x_of_y, y_of_x
    return np.ascontiguousarray(image[:: -1 if y_of_y < 0 else 1, :: -1 if x_of_x < 0 else 1])


def _display_matrix(frame: av.VideoFrame) -> npt.NDArray[np.float64] | None:
    """[[x of x, y of x], [x of y, y of y]]: where the file's right and down point in the upright picture. None: it does
    not say."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    matrix = np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]].reshape(2, 2) / 65536
    return matrix if matrix.any() else None
