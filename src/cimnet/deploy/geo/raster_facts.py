"""Facts about a raster, read by GDAL, in the terms of `cimnet.data.io.facts`, and the roles of its bands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from cimnet.data.io.bands import Bands
from cimnet.data.io.facts import FileFacts, Georeference, Sign
from cimnet.data.io.local_rasters import source_files
from cimnet.data.io.refusals import heed_unknown_unit
from cimnet.data.io.rule import Use
from cimnet.data.io.rules import refuse_by_rules
from cimnet.data.io.second_modality import SecondModality
from cimnet.data.io.thermal_files import Wanted, to_unit
from cimnet.data.io.tiff_tags import ORIENTATION, PHOTOMETRIC, read_tiff
from cimnet.data.io.units import name_unit
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@dataclass(frozen=True)
class ThermalBands:
    """The thermal band of a raster, or the bands of a second image of several channels.

    Attributes:
        numbers: from 1.
        scale, offset: meaning = scale · value + offset.
        unit: of the scaled values; None: not known.
        wanted: unit and depth that the checkpoint expects.
        alpha: number of the band of opacity; None: there is none beside these bands.
    """

    numbers: tuple[int, ...]
    scale: float
    offset: float
    unit: str | None
    wanted: Wanted
    alpha: int | None

    def __call__(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Values as stored to what they mean, in the checkpoint's unit where both are known."""
        if (self.scale, self.offset) != (1.0, 0.0):
            values = (values.astype(np.float64) * self.scale + self.offset).astype(np.float32)
        return to_unit(values, self.unit, self.wanted)


def raster_facts(raster: DatasetReader, band: int = 1) -> FileFacts:
    """Return the facts about the values in one band."""
    dtype = np.dtype(raster.dtypes[band - 1])
    signs: dict[str, Sign] = {"u": "unsigned", "i": "signed", "f": "float"}
    if dtype.kind not in signs:
        raise DataError(f"{raster.name}: values of type {dtype}, expected integers or floats")
    georeference: Georeference = ""
    if raster.crs is not None and not raster.transform.is_identity:
        georeference = "affine"
    elif raster.gcps[0]:
        georeference = "gcps"
    elif raster.rpcs is not None:
        georeference = "rpc"
    named = tuple("" if kind == ColorInterp.undefined else kind.name for kind in raster.colorinterp)
    unit = raster.units[band - 1] or ""
    return FileFacts(
        Path(raster.name),
        "GDAL",
        raster.height,
        raster.width,
        bands=raster.count,
        bits=8 * dtype.itemsize,
        sign=signs[dtype.kind],
        palette=raster.colorinterp[0] == ColorInterp.palette,
        band_colours=named,
        nodata=raster.nodatavals[band - 1],
        scale=raster.scales[band - 1],
        offset=raster.offsets[band - 1],
        unit=name_unit(unit),
        unit_text=unit,
        georeference=georeference,
        **_tagged(Path(raster.name)),
    )


def check_raster(raster: DatasetReader, use: Use, band: int = 1) -> FileFacts:
    """Check a raster, with the sources of a VRT, and return the facts about it.

    Raises:
        DataError: it says something that cannot be obeyed.
    """
    facts = raster_facts(raster, band)
    if use == "raster_thermal" or raster.count < 3:  # of several bands GDAL tells the colours
        facts = replace(facts, band_colours=())
    refuse_by_rules(facts, use)
    for source in source_files(facts.path)[1:]:
        refuse_by_rules(replace(facts, path=source, **_tagged(source)), use)
    return facts


def _tagged(path: Path) -> dict[str, Any]:
    """The facts that the tags of a TIFF tell and GDAL does not; those of no TIFF are as if it had no tags."""
    tiff = read_tiff(path)
    return {
        "white_is_zero": bool(tiff.pages) and tiff.number(PHOTOMETRIC, 1) == 0,
        "orientation": tiff.number(ORIENTATION, 1),
        "pages": max(1, len(tiff.pages)),
    }


def colour_bands(raster: DatasetReader, bands: Bands | None) -> tuple[int, int, int]:
    """Numbers of the red, green and blue band: those asked for, those that the file declares, or the first three.

    Raises:
        DataError: a band that there is not, or more bands than three and opacity without a declaration.
    """
    if bands is not None and bands.embedded:
        raise DataError(
            f"{raster.name}: --rgb-bands embedded is for FLIR JPEGs; a GeoTIFF holds no visible picture beside"
        )
    if bands is not None and isinstance(bands.rgb, tuple):
        if max(bands.rgb) > raster.count:
            raise DataError(f"{raster.name}: {_count(raster)}, and band {max(bands.rgb)} is asked for")
        return bands.rgb
    interpretation = list(raster.colorinterp)
    if all(colour in interpretation for colour in _COLOURS):
        red, green, blue = (interpretation.index(colour) + 1 for colour in _COLOURS)
        return red, green, blue
    if raster.count - (alpha_band(raster) is not None) != 3:
        raise DataError(
            f"{raster.name}: {_count(raster)}, expected red, green, blue and at most opacity; choose three with "
            "--rgb-bands, e.g. --rgb-bands 3,2,1, or with gdal_translate -b 1 -b 2 -b 3 (one file of RGB and thermal "
            "bands: give it for both)"
        )
    return 1, 2, 3


def alpha_band(raster: DatasetReader, images: tuple[int, ...] = ()) -> int | None:
    """Number of the band of opacity; None where there is none, or where it is one of the bands that hold images."""
    interpretation = list(raster.colorinterp)
    number = interpretation.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in interpretation else None
    return None if number in images else number


def thermal_bands(raster: DatasetReader, bands: Bands | None, fused: bool, second: SecondModality) -> tuple[int, ...]:
    """Numbers of the bands of the second image: those asked for, of one channel the fourth of a raster that is RGB,
    too, or all that there are apart from opacity.

    Raises:
        DataError: none of these is there.
    """
    if bands is not None and bands.picture:
        raise DataError(f"{raster.name}: --thermal-band picture is for radiometric JPEGs; give the number of a band")
    if bands is not None and (numbers := bands.thermal_numbers):
        if len(numbers) != second.channels:
            raise DataError(
                f"{raster.name}: the bands {', '.join(map(str, numbers))} are chosen, where {second} is expected; give "
                f"{pluralize(second.channels, 'number')} to --thermal-band"
            )
        if max(numbers) > raster.count:
            raise DataError(f"{raster.name}: {_count(raster)}, and band {max(numbers)} is asked for")
        return numbers
    if fused and second.channels > 1:
        raise DataError(
            f"{raster.name}: given for both images, where {second} is expected; choose its bands with --thermal-band"
        )
    if fused:
        if raster.count != 4:
            raise DataError(
                f"{raster.name}: {_count(raster)}; given for RGB and thermal it needs four, the thermal image "
                "last, or --thermal-band N"
            )
        return (4,)
    if second.channels > 1:
        opacity = alpha_band(raster)
        if raster.count - (opacity is not None) != second.channels:
            tagged = "" if opacity is None else f", of which band {opacity} is tagged as opacity"
            raise DataError(
                f"{raster.name}: {_count(raster)}{tagged}, where {second} is expected; choose the bands, e.g. "
                "--thermal-band 1,2, or with gdal_translate -b 1 -b 2"
            )
        return tuple(number for number in range(1, raster.count + 1) if number != opacity)
    opaque = raster.count == 2 and raster.colorinterp[1] == ColorInterp.alpha
    if raster.count != 1 and not opaque:
        raise DataError(
            f"{raster.name}: {_count(raster)}, expected one thermal band and at most opacity; choose it with "
            "--thermal-band N, or with gdal_translate -b N"
        )
    return (1,)


def _count(raster: DatasetReader) -> str:
    return pluralize(raster.count, "band")


def meaning(raster: DatasetReader, numbers: tuple[int, ...], wanted: Wanted) -> ThermalBands:
    """Return how values of the bands become those that are wanted.

    Raises:
        DataError: a band says something that cannot be obeyed, or they differ in what they say.
    """
    said = [check_raster(raster, "raster_thermal", number) for number in numbers]
    if len({(f.bits, f.sign, f.scale, f.offset, f.unit_text, str(f.nodata)) for f in said}) > 1:
        raise DataError(
            f"{raster.name}: its bands {', '.join(map(str, numbers))} differ in type, scale, offset, unit or nodata; "
            "write them in one unit (gdal_translate -unscale, gdal_edit.py)"
        )
    facts, unit = said[0], said[0].unit or wanted.declared
    heed_unknown_unit(facts, wanted.unit or wanted.declared)
    return ThermalBands(numbers, facts.scale, facts.offset, unit, wanted, alpha_band(raster, numbers))
