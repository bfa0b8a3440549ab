"""The sentences that refuse a property of a file, for `cimnet.data.io.rules`, where they need more than a few words."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cimnet.data.io.facts import FileFacts
from cimnet.data.io.notices import notice
from cimnet.data.io.units import UNITS
from cimnet.errors import DataError


def say_colour_depth(facts: FileFacts) -> str:
    """The sentence about 16-bit colours, with the depth that is really used: Pillow keeps the upper byte."""
    top = 255
    with Image.open(facts.path) as image:
        if image.mode in ("RGB", "RGBA", "LA"):
            top = int(np.array(image)[..., : 1 if image.mode == "LA" else 3].max())
    used = next((bits for bits in (10, 12, 14) if top < 1 << (bits - 8)), 16)
    seen = f"{used} bits in 16" if used < 16 else "16 bits"
    return (
        f"RGB values of {seen}, expected 8; say their range (`bands: {{rgb_range: [0, {2**used - 1}]}}` in "
        f"classes.yaml, or --rgb-range 0,{2**used - 1}), or convert with gdal_translate -ot Byte -scale 0 "
        f"{2**used - 1} 0 255"
    )


_CONVERTERS = {
    "DJI": "dji-thermal-cli, or DJI's Thermal SDK (dji_irp -a measure) and numpy.save",
    "InfiRay": "InfiRay's own software",
    "other": "the camera maker's software",
}


def _name_camera(facts: FileFacts) -> str:
    """ "a radiometric JPEG by DJI M3T", or what else is known of the camera."""
    unnamed = {"DJI": "a DJI camera", "InfiRay": "an InfiRay camera", "other": "a camera that it does not name"}
    return f"a radiometric JPEG by {facts.camera or unnamed[facts.maker]}"


def say_unread(facts: FileFacts) -> str:
    """The sentence about temperatures that are not read here, with what writes them as TIFF or .npy."""
    return (
        f"{_name_camera(facts)}, whose temperatures are not read here; write them as TIFF or .npy with "
        f"{_CONVERTERS[facts.maker]}"
    )


def say_unread_or_picture(facts: FileFacts) -> str:
    """The same, with the way to take the 8-bit picture instead."""
    return (
        f"{say_unread(facts)}; or take its 8-bit picture, whose grey values are no temperatures: "
        "--thermal-band picture, or `bands: {thermal: picture}` in classes.yaml"
    )


def say_no_colours(facts: FileFacts) -> str:
    """The sentence about a radiometric JPEG where an RGB image is expected."""
    return f"{_name_camera(facts)}: its picture shows temperatures, not colours; give the RGB camera's image"


FLIR_PICTURE = (
    "a radiometric FLIR JPEG: its picture shows the temperatures, not colours; give the visible image (the one inside "
    "is taken by --rgb-bands embedded, or `bands: {rgb: embedded}` in classes.yaml)"
)
NO_JPEG = "JPEG changes class ids; save labels as PNG"
_MANY_PAGES = "split it into files of one page (tiffsplit, or tifffile), or use `cimnet video` for a recording"


def say_pages(facts: FileFacts) -> str:
    """The sentence about a file of several pages."""
    return f"{facts.pages} pages (images) in one {facts.format}, and nothing says which one is meant; {_MANY_PAGES}"


def say_scale(facts: FileFacts) -> str:
    """The sentence about scale and offset where values are no measurements."""
    return f"scale {facts.scale:g} and offset {facts.offset:g} in the file, of values that measure nothing; remove them"


def say_warp(facts: FileFacts) -> str:
    """The sentence about a raster that is placed by something else than a grid."""
    if facts.georeference == "rpc":
        return "placed by rational polynomial coefficients (RPC); rectify it: gdalwarp -rpc -t_srs EPSG:CODE IN OUT"
    return "placed by ground control points; rectify it: gdalwarp -t_srs EPSG:CODE IN OUT (or rasterio's WarpedVRT)"


def heed_unknown_unit(facts: FileFacts, needed: str | None) -> None:
    """Warn, once for a folder, of thermal values in a unit that is not known.

    Args:
        facts: of the file.
        needed: the unit that the values must have or are said to have; None: any will do.

    Raises:
        DataError: a unit is needed; it names the file and its text.
    """
    if not facts.unit_unknown:
        return
    said = f"states the unit {facts.unit_text!r}, which is not known"
    if needed is None:
        notice(f"{facts.path.parent}: a file there {said}; values are taken as they are")
        return
    raise DataError(
        f"{facts.path}: {said}, where {needed} is expected; convert the values to one of {', '.join(UNITS)}, or "
        "correct the unit (gdal_edit.py -units degC FILE, for degrees Celsius)"
    )
