"""Measurements of single images, each cheap compared with decoding the file."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.utils.numbers import value_range

Border = tuple[int, int, int, int]
Thumbnail = npt.NDArray[np.int8]

THUMBNAIL_SIDE = 24
THUMBNAIL_STEPS = 32  # a standard deviation in steps of a thumbnail's values; ±4 of them fit int8
_NOISE = 2.0  # mean deviation in 8-bit levels that JPEG leaves in a constant line
_PEAK = 24.0  # largest one, near the edge of the picture
_MARGIN = 0.02  # share of the pixels from which a constant part at the edge is looked at
_JUMP = 0.1  # of the contrast; three in four pixels along padding differ more from it


def fingerprint(values: npt.NDArray[Any], small: Thumbnail) -> bytes:
    """Equal for equal arrays, and as good as never for others: a checksum, size and type, and the thumbnail. Quicker
    than a cryptographic hash, which would take a tenth of the time of decoding."""
    checksum = zlib.crc32(np.ascontiguousarray(values).data)
    return repr((checksum, values.shape, values.dtype.str)).encode() + small.tobytes()


def thumbnail(values: npt.NDArray[Any]) -> Thumbnail:
    """Means of 24 by 24 cells of every second row of an image (H, W), as distances from their mean in steps of 1/32
    standard deviation: (576,) int8.

    Independent of size, gain and offset; zero for a constant image.
    """
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    rows = values[::2].astype(np.float32)
    small = np.asarray(Image.fromarray(rows).resize(side, Image.Resampling.BOX)).ravel()
    small = small - small.mean()
    spread = float(small.std())
    if spread < 1e-6:
        return np.zeros(small.size, np.int8)
    return np.clip(np.round(small * (THUMBNAIL_STEPS / spread)), -127, 127).astype(np.int8)


def count_values(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The different values of an image (H, W), rising, and how many pixels have each; of floats every sixteenth."""
    if values.dtype.kind == "f":
        return np.unique(values[::4, ::4], return_counts=True)
    if values.dtype.kind == "i":
        return np.unique(values, return_counts=True)
    eight_bits = values.dtype == np.uint8  # Pillow counts several times as fast as numpy
    counts = np.array(Image.fromarray(values).histogram()) if eight_bits else np.bincount(values.ravel())
    present = np.flatnonzero(counts)
    return present, counts[present]


def laplacian_variance(values: npt.NDArray[Any]) -> float:
    """Variance of the Laplacian on every third row of an image (H, W); 0 for less than 3 by 3 pixels."""
    height, width = values.shape
    if min(height, width) < 3:
        return 0.0
    rows = values[: height - height % 3].astype(np.float32 if values.dtype.kind == "f" else np.int32)
    above, row, below = rows[0::3], rows[1::3], rows[2::3]
    laplacian = 4 * row[:, 1:-1] - row[:, :-2] - row[:, 2:] - above[:, 1:-1] - below[:, 1:-1]
    return float(laplacian.var())


def dead_border(values: npt.NDArray[Any]) -> Border:
    """Count the constant rows and columns at the top, right, bottom and left of an image (H, W); zeros for an image
    that is constant altogether. In 8 bits the noise that JPEG leaves in a constant line is tolerated."""
    noise, peak = (_NOISE, _PEAK) if values.dtype == np.uint8 else (0.0, 0.0)
    top = _dead_lines(values, noise, peak)
    if top == len(values):
        return 0, 0, 0, 0
    bottom = _dead_lines(values[::-1], noise, peak)
    left, right = _dead_lines(values.T, noise, peak), _dead_lines(values.T[::-1], noise, peak)
    return (0, 0, 0, 0) if left == len(values.T) else (top, right, bottom, left)


def constant_margin(values: npt.NDArray[Any]) -> str:
    """Describe the padding around a turned or warped image in words; "" if there is none. Padding is a region of one
    value that is connected to the edge of the image (H, W) and ends with a jump, larger than the image's other steps
    over that distance. A sky at the end of the range is constant, too, but the picture passes into it gradually."""
    data, declared = np.ma.getdata(values)[::2, ::2], np.ma.getmaskarray(values)[::2, ::2]
    edge = np.concatenate([data[0], data[-1], data[:, 0], data[:, -1]])
    kept = edge[~np.concatenate([declared[0], declared[-1], declared[:, 0], declared[:, -1]])]
    if not kept.size:
        return ""
    levels, counts = np.unique(kept, return_counts=True)
    level = levels[counts.argmax()]
    same = (data == level) & ~declared
    if same.mean() < _MARGIN:
        return ""
    from scipy.ndimage import binary_dilation, label  # here: it takes a while, and few images get so far

    regions, _ = label(same)
    touching = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    margin = np.isin(regions, touching[touching > 0])
    share = float(margin.mean())
    around = (
        binary_dilation(margin, iterations=2) & ~binary_dilation(margin) & ~declared
    )  # the first pixel may be mixed
    rest = data[~margin & ~declared]
    if share < _MARGIN or not around.any() or not rest.size:
        return ""
    low, high = (float(value) for value in np.percentile(rest, (1, 99)))
    picture = np.where(margin | declared, np.nan, data.astype(np.float32))
    steps = np.abs(picture[2:] - picture[:-2])
    step = float(np.percentile(steps[np.isfinite(steps)], 90)) if np.isfinite(steps).any() else 0.0
    some, half = (float(v) for v in np.percentile(np.abs(picture[around] - np.float32(level)), (25, 50)))
    if some <= _JUMP * max(high - low, 1e-6) or half <= step:
        return ""
    return f"{100 * share:.0f}% of the pixels, along the edge, hold {level:g}, and the image begins with a jump"


def widest(a: Border, b: Border, shape: tuple[int, ...]) -> Border:
    """The border that covers both, for images (H, W); `a` where it would leave nothing."""
    top, right, bottom, left = (max(sides) for sides in zip(a, b, strict=True))
    return (top, right, bottom, left) if top + bottom < shape[0] and left + right < shape[1] else a


def _dead_lines(lines: npt.NDArray[Any], noise: float, peak: float) -> int:
    level = float(np.median(lines[0]))
    for count, line in enumerate(lines):
        deviation = np.abs(line.astype(np.float32) - level)
        if float(deviation.mean()) > noise or float(deviation.max()) > peak:
            return count
    return len(lines)


def correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Pearson's correlation of two images (H, W) on every fourth pixel; 0 where one of them is constant."""
    x, y = (values[::4, ::4].astype(np.float32).ravel() for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norm if norm > 0 else 0.0


def stretched(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """An image (H, W) from its 1st to its 99th percentile, without a dead border, as 0..1, float32."""
    low, high = value_range(inside(values, dead_border(values)), 1, 99)
    return np.clip((values.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def inside(values: npt.NDArray[Any], border: Border) -> npt.NDArray[Any]:
    """An image without its border, (top, right, bottom, left) in pixels; empty where the border is all of it."""
    top, right, bottom, left = border
    height, width = values.shape[:2]
    return values[top : max(height - bottom, 0), left : max(width - right, 0)]
