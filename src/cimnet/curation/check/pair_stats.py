"""Measurements of a pair: its files are decoded once, and the checks get a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.curation.check import image_stats as measures
from cimnet.curation.check.decode_pair import Files, Job, Kind, Problem, Settings, read_files
from cimnet.curation.check.image_stats import Border, Thumbnail
from cimnet.data.io.pixels import first_channel
from cimnet.data.io.readers import Ids
from cimnet.data.io.thermal_scaling import Counts, ThermalScaling, find_padding, valid_values
from cimnet.errors import one_line

_BLACK = 16  # the darkest night photographs of three sets have a 99th percentile of 59
_BRIGHT = 250
_FLAT = 8  # grey levels from the darkest to the brightest pixel
_COLOUR = 1.5  # mean difference of the largest and smallest channel; colour cameras at night: 7 and more
_PERCENTILES = (0.001, 0.999)  # as cimnet.data.statistics.suggest_thermal_range


@dataclass(frozen=True)
class RGBStats:
    """Everything but `size`, `digest` and `border` (dead rows and columns) is about the part inside the border.

    `dark`: 99th percentile of the grey values; `spread`: their range; `bright`: share of overexposed pixels.
    """

    size: tuple[int, int]
    digest: bytes
    thumbnail: Thumbnail
    border: Border
    dark: int
    spread: int
    bright: float
    grey: bool

    @property
    def black(self) -> bool:
        """Whether it shows nothing."""
        return self.dark < _BLACK

    @property
    def constant(self) -> bool:
        """Whether it has one grey value."""
        return self.spread <= _FLAT

    @property
    def plain(self) -> bool:
        """Whether it shows too little to be compared with others."""
        return self.black or self.constant


@dataclass(frozen=True)
class ThermalStats:
    """Everything but `size`, `digest`, `border` and `padding` is about the part inside the border.

    `low`, `high`: 0.1st and 99.9th percentile, raw; `levels`: different values; `at_low`, `at_high`: share of pixels
    at the smallest value, and within 1/128 of the range (JPEG's noise) of the largest; `contrast`: variance;
    `clipped`: share that the data set's scaling cuts off; `padding`: what looks like pixels that are no image, in
    words, and whether some of it lies inside the border.

    Of several channels each is measured, and the worst values stand here: the fewest levels, the largest shares, the
    lowest and the highest value; thumbnail, sharpness and contrast are those of the first one.
    """

    size: tuple[int, int]
    dtype: str
    digest: bytes
    thumbnail: Thumbnail
    border: Border
    low: float
    high: float
    levels: int
    at_low: float
    at_high: float
    laplacian_variance: float
    contrast: float
    clipped: float
    padding: str = ""
    padded_inside: bool = False

    @property
    def constant(self) -> bool:
        """Whether it shows nothing."""
        return self.levels <= 2 or self.low == self.high


@dataclass(frozen=True)
class LabelStats:
    """`values`: pixels by value in the file (class ids already, where labels are in colours), without the `unlabelled`
    ones, which the file declares as nodata."""

    size: tuple[int, int]
    values: dict[int, int]
    unlabelled: int = 0


@dataclass(frozen=True)
class PairStats:
    """Measurements of a pair; a part is None if its file is missing or cannot be used.

    `unit`: the one that the thermal file states, or that it is converted to; `formats`: "PNG RGB" and the like by kind;
    `turned`: EXIF orientation by kind; `similarity`: correlation of grey and
    thermal, 0 where one of them shows nothing; `measured`: whether the offset was measured; `offset`: (dx, dy) in
    pixels, None where it is unknown.
    """

    name: str
    problems: tuple[Problem, ...] = ()
    doubts: tuple[Problem, ...] = ()
    rgb: RGBStats | None = None
    thermal: ThermalStats | None = None
    label: LabelStats | None = None
    unit: str | None = None
    formats: tuple[tuple[Kind, str], ...] = ()
    turned: tuple[tuple[Kind, int], ...] = ()
    similarity: float = 0.0
    measured: bool = False
    offset: tuple[float, float] | None = None


def measure_pair(job: Job, settings: Settings) -> PairStats:
    """Decode the files of a pair and measure them. Nothing that is wrong with them raises."""
    try:
        return _measure(job, settings, read_files(job, settings))
    except Exception as error:  # whatever a strange file does, the other pairs are still looked at
        return PairStats(job.name, (Problem("rgb", None, f"cannot be examined ({one_line(error, None)})"),))


def _measure(job: Job, settings: Settings, files: Files) -> PairStats:
    whole, counts = files.rgb, files.thermal
    grey = None if whole is None else np.asarray(Image.fromarray(whole).convert("L"))
    rgb_border = (0, 0, 0, 0) if grey is None else measures.dead_border(grey)
    thermal_border = (0, 0, 0, 0) if counts is None else measures.dead_border(first_channel(counts))
    shared = None  # the same part of both is compared
    if grey is not None and counts is not None and grey.shape == counts.shape[:2]:
        shared = measures.widest(rgb_border, thermal_border, grey.shape)
    rgb, thermal, similarity, measured, offset = None, None, 0.0, False, None
    if whole is not None and grey is not None:
        grey = measures.inside(grey, shared or rgb_border)
        rgb = _measure_rgb(files.sizes["rgb"], whole, grey, rgb_border)
    if counts is not None:
        live = measures.inside(counts, shared or thermal_border)
        channels = zip(_channels(counts), _channels(live), strict=True)
        thermal = _worst(
            [_measure_thermal(files.sizes["thermal"], *part, thermal_border, settings.scaling) for part in channels]
        )
        if grey is not None and shared and rgb and not (rgb.plain or thermal.constant):
            similarity = measures.correlation(grey, first_channel(live))
            measured = job.estimate and settings.estimate is not None
            offset = _offset(job, settings, files) if measured else None
    return PairStats(
        name=job.name,
        problems=tuple(files.problems),
        doubts=tuple(files.doubts),
        rgb=rgb,
        thermal=thermal,
        label=None if files.label is None else _measure_label(files.sizes["label"], files.label, files.unlabelled),
        unit=files.unit,
        turned=tuple(files.turned.items()),
        formats=tuple(files.formats.items()),
        similarity=similarity,
        measured=measured,
        offset=offset,
    )


def _offset(job: Job, settings: Settings, files: Files) -> tuple[float, float] | None:
    if settings.estimate is None or files.rgb is None or files.thermal is None:
        return None
    try:
        return settings.estimate(files.rgb, measures.stretched(first_channel(files.thermal)))
    except Exception as error:  # of code from elsewhere
        files.problems.append(Problem("rgb", None, f"the offset cannot be measured ({one_line(error, None)})"))
        return None


def _measure_rgb(
    size: tuple[int, int], rgb: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8], border: Border
) -> RGBStats:
    levels, pixels = measures.count_values(grey)
    some = rgb[::16, ::16].astype(np.int16)
    small = measures.thumbnail(grey)
    return RGBStats(
        size=size,
        digest=measures.fingerprint(rgb, small),
        thumbnail=small,
        border=border,
        dark=int(levels[np.searchsorted(pixels.cumsum(), 0.99 * grey.size)]),
        spread=int(levels[-1] - levels[0]),
        bright=float(pixels[levels >= _BRIGHT].sum() / grey.size),
        grey=float((some.max(2) - some.min(2)).mean()) < _COLOUR,
    )


def _measure_thermal(
    size: tuple[int, int], counts: Counts, live: Counts, border: Border, scaling: ThermalScaling | None
) -> ThermalStats:
    values, pixels = measures.count_values(live[::2])
    share = pixels / pixels.sum()
    low, high = (float(values[np.searchsorted(share.cumsum(), percentile)]) for percentile in _PERCENTILES)
    top = float(values[-1]) - (float(values[-1]) - float(values[0])) / 128
    clipped = 0.0
    if scaling is not None and scaling.low is not None and scaling.kind != "gain_control":
        scaled = scaling(live[::8, ::8])
        clipped = float(((scaled <= 0) | (scaled >= 1)).mean())
    small, padding = measures.thumbnail(live), _padding(counts)
    return ThermalStats(
        size=size,
        dtype=counts.dtype.name,
        digest=measures.fingerprint(counts, small),
        thumbnail=small,
        border=border,
        low=low,
        high=high,
        levels=len(values),
        at_low=float(share[0]),
        at_high=float(share[values >= top].sum()),
        laplacian_variance=measures.laplacian_variance(live),
        contrast=float(live[::2, ::2].astype(np.float32).var()),
        clipped=clipped,
        padding=padding,
        padded_inside=bool(padding and _padding(live)),
    )


def _channels(counts: Counts) -> list[Counts]:
    """Images (H, W)."""
    return [counts] if counts.ndim == 2 else [counts[..., k] for k in range(counts.shape[2])]


def _worst(channels: Sequence[ThermalStats]) -> ThermalStats:
    """See `ThermalStats`."""
    if len(channels) == 1:
        return channels[0]
    return replace(
        channels[0],
        digest=b"".join(part.digest for part in channels),
        low=min(part.low for part in channels),
        high=max(part.high for part in channels),
        levels=min(part.levels for part in channels),
        at_low=max(part.at_low for part in channels),
        at_high=max(part.at_high for part in channels),
        clipped=sum(part.clipped for part in channels) / len(channels),
        padding=next((part.padding for part in channels if part.padding), ""),
        padded_inside=any(part.padded_inside for part in channels),
    )


def _padding(counts: Counts) -> str:
    return find_padding(valid_values(counts[::4])) or measures.constant_margin(counts)


def _measure_label(size: tuple[int, int], label: Ids, unlabelled: npt.NDArray[np.bool_] | None) -> LabelStats:
    values, pixels = measures.count_values(label if unlabelled is None else label[~unlabelled][None])
    missing = 0 if unlabelled is None else int(unlabelled.sum())
    return LabelStats(size, dict(zip(values.tolist(), pixels.tolist(), strict=True)), missing)
