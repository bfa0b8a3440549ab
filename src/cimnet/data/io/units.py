"""Units of thermal values: their names in files, and conversions."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

UNITS: dict[str, tuple[float, float]] = {
    "kelvin": (1.0, 0.0),
    "celsius": (1.0, 273.15),
    "fahrenheit": (5 / 9, 459.67 * 5 / 9),
    "centikelvin": (0.01, 0.0),
    "decikelvin": (0.1, 0.0),
    "centicelsius": (0.01, 273.15),
    "decicelsius": (0.1, 273.15),
    "tlinear_0.04": (0.04, 0.0),
    "tlinear_0.4": (0.4, 0.0),
}
"""Units by name: kelvin = factor · value + offset. FLIR's TLinear output has 0.04 K or 0.4 K a count (Tau, Vue, XT2) or
is centikelvin or decikelvin (Boson, Lepton)."""

_SPELLINGS = {
    "k": "kelvin", "kelvins": "kelvin", "degk": "kelvin", "degreek": "kelvin", "degreekelvin": "kelvin",
    "c": "celsius", "degc": "celsius", "degreec": "celsius", "degreecelsius": "celsius", "degreescelsius": "celsius",
    "degcelsius": "celsius", "centigrade": "celsius", "celsiusdegree": "celsius",
    "f": "fahrenheit", "degf": "fahrenheit", "degreefahrenheit": "fahrenheit", "degreesfahrenheit": "fahrenheit",
    "ck": "centikelvin", "k*100": "centikelvin", "kx100": "centikelvin", "100k": "centikelvin",
    "k/100": "centikelvin", "0.01k": "centikelvin", "kelvin*100": "centikelvin", "kelvin/100": "centikelvin",
    "0.01kelvin": "centikelvin", "dk": "decikelvin", "k*10": "decikelvin", "kx10": "decikelvin",
    "k/10": "decikelvin", "0.1k": "decikelvin", "kelvin*10": "decikelvin", "kelvin/10": "decikelvin",
    "0.1kelvin": "decikelvin", "0.01degc": "centicelsius", "0.1degc": "decicelsius",
    "cdegc": "centicelsius", "c*100": "centicelsius", "degc*100": "centicelsius", "centidegc": "centicelsius",
    "ddegc": "decicelsius", "c*10": "decicelsius", "degc*10": "decicelsius", "decidegc": "decicelsius",
    "centidegree": "centicelsius", "centidegreecelsius": "centicelsius", "decidegreecelsius": "decicelsius",
    "tlinear0.04": "tlinear_0.04", "tlinear0.4": "tlinear_0.4",
}  # fmt: skip
_NO_UNIT = (
    "", "dn", "count", "counts", "digitalnumber", "digitalnumbers", "none", "unknown", "unitless", "dimensionless",
    "metre", "meter", "foot", "ussurveyfoot",
)  # fmt: skip
"""What says nothing about temperatures: of counts, and of the heights of a reference system, which GDAL gives."""
_TLINEAR = {0.04: "tlinear_0.04", 0.4: "tlinear_0.4", 0.01: "centikelvin", 0.1: "decikelvin"}


def name_unit(text: str) -> str | None:
    """The unit, one of `UNITS`, that a file calls so ("degC", "°C", "K"); None for one that is not known."""
    bare = _bare(text)
    bare = bare.replace("degrees", "degree") if bare not in _SPELLINGS else bare
    return bare if bare in UNITS else _SPELLINGS.get(bare)


def says_no_unit(text: str) -> bool:
    """Whether the unit that a file states leaves open what its thermal values are: it is empty, or one of counts."""
    return _bare(text) in _NO_UNIT


def _bare(text: str) -> str:
    plain = text.lower().replace("℃", "°c").replace("℉", "°f").replace("º", "°").replace("°", "deg").replace("×", "x")
    return re.sub(r"[\s_\-]", "", plain)


def tlinear_unit(gain: float) -> str | None:
    """The unit of FLIR's counts by their step in kelvin; None for a gain that no camera has, or 0: raw counts."""
    return next((unit for known, unit in _TLINEAR.items() if abs(gain - known) < 1e-6), None)


def convert_unit(values: npt.NDArray[np.generic], source: str, target: str) -> npt.NDArray[np.float32]:
    """Thermal values of one unit in another, float32."""
    (factor, offset), (wanted, zero) = UNITS[source], UNITS[target]
    kelvin = np.asarray(values, dtype=np.float64) * factor + offset
    return ((kelvin - zero) / wanted).astype(np.float32)
