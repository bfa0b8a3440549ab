"""Scale thermal values to 0..1 by a named method, which is stored with the weights of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cimnet.data.io.notices import notice
from cimnet.data.io.units import UNITS
from cimnet.errors import DataError, RangeError
from cimnet.utils.numbers import value_range

Counts = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.int16] | npt.NDArray[np.float32]
"""Raw values of a thermal image, (H, W); int16 where a file has values below zero. A `numpy.ma.MaskedArray` where the
file says that pixels are missing (nodata, opacity): under the mask lie the nearest values that are there."""

EDGE, MOST_OUTSIDE = 0.05, 0.5
"""Share of the values outside a range from which a user is warned, and from which the image is refused."""


@dataclass(frozen=True)
class ThermalScaling:
    """The scaling of a thermal image to 0..1. Values outside ``low`` to ``high`` are clipped.

    Attributes:
        kind: "range": one range for every image, in the unit of the files. "kelvin": one range in kelvin, for files in
            ``unit``. "gain_control": a range of its own for each image, between two percentiles of its values, as a
            camera's automatic gain does; temperatures are lost.
        low, high: the values that become 0 and 1: file values, kelvin or percentiles 0..100, by ``kind``. Both None,
            for "range" only: the whole range of the bit depth.
        unit: unit of the files' values for "kelvin", a name in ``cimnet.data.io.units.UNITS``: "kelvin", "celsius",
            "fahrenheit", "centikelvin", "decikelvin", "centicelsius", "decicelsius", "tlinear_0.04" or "tlinear_0.4".

    Raises:
        DataError: the values do not fit the kind.
    """

    kind: Literal["range", "kelvin", "gain_control"] = "range"
    low: float | None = None
    high: float | None = None
    unit: str = "counts"

    def __post_init__(self) -> None:
        low, high = self.low, self.high
        if (low is None) != (high is None) or (low is None and self.kind != "range"):
            raise DataError(f"thermal {self.kind}: give both low and high")
        if low is not None and high is not None and not -1e30 < low < high < 1e30:
            raise DataError(f"thermal {self.kind}: low must be less than high, not {low:g} and {high:g}")
        if self.kind == "gain_control" and not ((low or 0) >= 0 and (high or 0) <= 100):
            raise DataError(f"thermal gain_control: low and high are percentiles in 0..100, not {low:g} and {high:g}")
        if self.kind == "kelvin" and self.unit not in UNITS:
            raise DataError(f"thermal kelvin: unit {self.unit!r}; give one of {', '.join(UNITS)}")

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "the whole range of the bit depth"
        return {
            "range": f"{self.low:g} to {self.high:g}",
            "kelvin": f"{self.low:g} K to {self.high:g} K ({self.unit})",
            "gain_control": f"percentiles {self.low:g} to {self.high:g} of each image",
        }[self.kind]

    @property
    def range(self) -> tuple[float, float] | None:
        """(low, high) in raw counts for the kind "range"; None for other kinds and without a range."""
        return (
            (self.low, self.high) if self.kind == "range" and self.low is not None and self.high is not None else None
        )

    def __call__(self, counts: Counts, path: Path | str = "thermal") -> npt.NDArray[np.float32]:
        """Scale raw values to 0..1.

        Args:
            counts: (H, W), or (H, W, C) of another second modality. Pixels under a mask become 0, and percentiles leave
                them out.
            path: file that errors name.

        Returns:
            float32 in 0..1, of the same shape.

        Raises:
            DataError: values are not finite; or there is no range and values are floats or below zero.
        """
        missing = np.ma.getmaskarray(counts) if isinstance(counts, np.ma.MaskedArray) else None
        values: npt.NDArray[Any] = np.ma.getdata(counts)
        if values.dtype == np.float32 and not np.isfinite(values).all():
            raise DataError(f"{path}: thermal values that are not finite (NaN or infinite); fill them first")
        if missing is not None and missing.all():
            return np.zeros(values.shape, np.float32)
        low, high = self._bounds(values if missing is None else values[~missing], path)
        scaled = values.astype(np.float32)
        scaled -= np.float32(low)
        scaled *= np.float32(1.0 / (high - low))
        if missing is not None:
            scaled[missing] = 0
        return np.clip(scaled, 0.0, 1.0, out=scaled)

    def share_outside(self, counts: Counts, path: Path | str = "thermal") -> float:
        """The share of the values (missing ones left out) outside a fixed range; 0 for kinds without one."""
        return self._outside(valid_values(counts), path)

    def _outside(self, values: npt.NDArray[Any], path: Path | str) -> float:
        if not values.size or self.kind == "gain_control" or self.low is None:
            return 0.0
        low, high = self._bounds(values, path)
        return float(((values < low) | (values > high)).mean())

    def check_range(
        self,
        counts: Counts,
        path: Path | str = "thermal",
        force: bool = False,
        warn: Callable[[str], object] = notice,
        *,
        what: str = "the range of training",
        remedy: str = "Convert the image",
    ) -> None:
        """Warn of values outside the range, and refuse an image with half of them or more outside: they would all
        become 0 or 1. For kinds without a fixed range, only padding is found.

        Args:
            counts: raw values (H, W).
            path: file that messages name.
            force: warn, never refuse.
            warn: called with each warning.
            what: the range, in messages.
            remedy: what to do if the unit is another one, in messages.

        Raises:
            RangeError: half of the values or more lie outside; the message has the share, the values and the remedy.
            DataError: padding would set the percentiles.
        """
        values = valid_values(counts)
        padded = find_padding(values)
        if padded is not None and self.kind == "gain_control" and not force:
            raise DataError(f"{path}: {padded}, and would set the percentiles; declare it as nodata: {DECLARE}")
        outside = self._outside(values, path)
        if outside <= EDGE:
            return
        low, high = self._bounds(values, path)
        said = padded or f"values {values.min():g} to {values.max():g}"
        unit = f" ({self.unit})" if self.kind == "kelvin" else ""
        text = (
            f"{path}: {100 * outside:.0f}% of the thermal values lie outside {what}, {low:g} to {high:g}{unit}: {said}"
        )
        if outside >= MOST_OUTSIDE and not force:
            first = f"declare it as nodata: {DECLARE}" if padded else f"is the unit another one? {remedy}"
            raise RangeError(f"{text}; {first}, or give --force-range (force_range=True) to clip them")
        warn(f"{text}; they are clipped")

    def _bounds(self, counts: npt.NDArray[Any], path: Path | str) -> tuple[float, float]:
        """(low, high) in the unit of the values."""
        if self.low is None or self.high is None:
            if counts.dtype == np.float32:
                raise DataError(f"{path}: float thermal values need a thermal_range, e.g. thermal_range: [270, 330]")
            if counts.dtype == np.int16:
                raise DataError(
                    f"{path}: thermal values below zero need a thermal_range, e.g. thermal_range: [-1000, 5000]"
                )
            return 0.0, 255.0 if counts.dtype == np.uint8 else 65535.0
        if self.kind == "kelvin":
            factor, offset = UNITS[self.unit]
            return (self.low - offset) / factor, (self.high - offset) / factor
        if self.kind == "gain_control":
            low, high = value_range(counts, self.low, self.high)
            return low, max(high, low + 1e-6)
        return self.low, self.high

    @property
    def known_unit(self) -> str | None:
        """The unit of the values, where the scaling says one."""
        return self.unit if self.kind == "kelvin" else None


DECLARE = "gdal_edit.py -a_nodata VALUE FILE"
_PADDED = 0.05  # share of the pixels with one value from which it may be padding


def valid_values(counts: Counts) -> npt.NDArray[Any]:
    """The values (N,) of the pixels that are there and finite."""
    values = counts.compressed() if isinstance(counts, np.ma.MaskedArray) else np.asarray(counts).ravel()
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def find_padding(values: npt.NDArray[Any]) -> str | None:
    """Describe padding that no file declares: one value, in more than 5% of the pixels, that lies three times further
    from all others than those do from each other. None if there is none, and for 8-bit values: 0 may be black."""
    if values.dtype == np.uint8 or not values.size:
        return None
    for value, others in ((values.min(), np.greater), (values.max(), np.less)):
        rest = values[others(values, value)]
        share = 1 - rest.size / values.size
        if rest.size and share > _PADDED:
            gap = abs(float(rest.min() if value < rest[0] else rest.max()) - float(value))
            if gap > 3 * max(float(rest.max()) - float(rest.min()), 1.0):
                return f"{100 * share:.0f}% of the pixels hold {value:g}, far from all others: padding"
    return None


ThermalRange = ThermalScaling | tuple[float, float] | Mapping[str, Any]
"""What a caller may give, see `parse_thermal`."""


def parse_thermal(value: Any, where: str) -> ThermalScaling | None:
    """A scaling from what a YAML file or recipe says: `[low, high]`, or a mapping such as
    `{kind: kelvin, low: 270, high: 330, unit: celsius}` or `{kind: gain_control}` (1st to 99th percentile).

    Raises:
        DataError: anything else; `where` is named.
    """
    if value is None or isinstance(value, ThermalScaling):
        return value
    try:
        if isinstance(value, Mapping):
            given = dict(value)
            if given.get("kind") == "gain_control":
                given = {"low": 1.0, "high": 99.0, **given}
            if given.get("kind", "range") not in ("range", "kelvin", "gain_control"):
                raise DataError(f"thermal kind {given['kind']!r}: there are range, kelvin and gain_control")
            if given.get("kind", "range") != "kelvin" and given.get("unit", "counts") != "counts":
                raise DataError(f"thermal unit {given['unit']!r} is for kind: kelvin; say so, or leave it out")
            numbers = {
                key: None if given[key] is None else float(given[key]) for key in ("low", "high") if key in given
            }
            return ThermalScaling(**{**given, **numbers})
        if isinstance(value, str):
            raise TypeError("text, of which each letter would be a number")
        low, high = (float(bound) for bound in value)
        return ThermalScaling("range", low, high)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where}: thermal_range must be [low, high] in raw counts, or kind, low, high and unit, not {value!r}"
        ) from error
