"""The reading contract: what happens with each property of a file, one row each. Nothing that a file says is ignored.

A rule has one action for each use of a file: the property is applied (a function changes the pixels), refused (a
sentence names it and the remedy), or kept, where a reader obeys it itself or it does not change what is read.
`docs/reference/files.md` shows this table; `cimnet.data.io.reading_table` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from cimnet.data.io.facts import FileFacts
from cimnet.data.io.pixels import (
    Pixels,
    blacken,
    blacken_nodata,
    fill_invalid,
    invert,
    mark,
    mark_nodata,
    masked_out,
    nodata_of_both,
    order_colours,
    scale,
    take_unit,
    turn,
)
from cimnet.errors import DataError

UNREAD_MAKERS = ("DJI", "InfiRay", "other")
"""Whose temperatures inside a JPEG are not read here, see `cimnet.data.io.radiometric.maker`."""
Use = Literal["rgb", "thermal", "label", "rgbt", "raster_rgb", "raster_thermal"]
USES: dict[Use, str] = {
    "rgb": "RGB image",
    "thermal": "thermal image",
    "label": "label",
    "rgbt": "4-channel file",
    "raster_rgb": "`geo`, RGB",
    "raster_thermal": "`geo`, thermal",
}


@dataclass(frozen=True)
class Action:
    """The treatment of a property in one use; `words` are for the table. At most one of `apply` and `refuse`."""

    words: str
    apply: Callable[[Pixels, FileFacts], Pixels] | None = None
    refuse: Callable[[FileFacts], str] | None = None


@dataclass(frozen=True)
class Rule:
    """A property, which formats carry it, when it counts, and what is done in each use."""

    name: str
    carriers: str
    holds: Callable[[FileFacts], bool]
    actions: Mapping[Use, Action]


def refuse_by_rules(facts: FileFacts, use: Use) -> None:
    """Refuse a file that says something that this use cannot obey.

    Raises:
        DataError: naming file, property and remedy.
    """
    for rule in RULES:
        action = rule.actions[use]
        if action.refuse is not None and rule.holds(facts):
            raise DataError(f"{facts.path}: {action.refuse(facts)}")


def apply_rules(pixels: Pixels, facts: FileFacts, use: Use) -> Pixels:
    """Obey everything that a file says, in the order of `RULES`."""
    for rule in RULES:
        action = rule.actions[use]
        if action.apply is not None and rule.holds(facts):
            pixels = action.apply(pixels, facts)
    return pixels


def _kept(words: str) -> Action:
    return Action(words)


def _refused(words: str, text: Callable[[FileFacts], str] | str) -> Action:
    return Action(f"refused: {words}", refuse=(lambda facts: text) if isinstance(text, str) else text)


def _applied(words: str, change: Callable[[Pixels, FileFacts], Pixels]) -> Action:
    return Action(words, apply=change)


def orders_colours(facts: FileFacts) -> bool:
    """Whether the first three bands are red, green and blue by declaration, in another order."""
    first = facts.band_colours[:3]
    return set(first) == {"red", "green", "blue"} and first != ("red", "green", "blue")


def _odd_colours(facts: FileFacts) -> bool:
    named = {name for name in facts.band_colours if name not in ("", "undefined", "alpha", "gray", "grey")}
    return facts.format == "TIFF" and bool(named) and not named.issuperset({"red", "green", "blue"})


def _colour_depth(facts: FileFacts) -> str:
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


def _deep_colour(facts: FileFacts) -> bool:
    return facts.bits > 8 and facts.format != "AVIF" and (facts.colours or facts.alpha != "")


_CONVERTERS = {
    "DJI": "dji-thermal-cli, or DJI's Thermal SDK (dji_irp -a measure) and numpy.save",
    "InfiRay": "InfiRay's own software",
    "other": "the camera maker's software",
}


def _name_camera(facts: FileFacts) -> str:
    """ "a radiometric JPEG by DJI M3T", or what else is known of the camera."""
    unnamed = {"DJI": "a DJI camera", "InfiRay": "an InfiRay camera", "other": "a camera that it does not name"}
    return f"a radiometric JPEG by {facts.camera or unnamed[facts.maker]}"


def _say_unread(facts: FileFacts) -> str:
    return (
        f"{_name_camera(facts)}, whose temperatures are not read here; write them as TIFF or .npy with "
        f"{_CONVERTERS[facts.maker]}"
    )


def _refuse_unread(facts: FileFacts) -> str:
    return (
        f"{_say_unread(facts)}; or take its 8-bit picture, whose grey values are no temperatures: "
        "--thermal-band picture, or `bands: {thermal: picture}` in classes.yaml"
    )


def _refuse_as_rgb(facts: FileFacts) -> str:
    return f"{_name_camera(facts)}: its picture shows temperatures, not colours; give the RGB camera's image"


_FLIR_PICTURE = (
    "a radiometric FLIR JPEG: its picture shows the temperatures, not colours; give the visible image (the one inside "
    "is taken by --rgb-bands embedded, or `bands: {rgb: embedded}` in classes.yaml)"
)
_NO_JPEG = "JPEG changes class ids; save labels as PNG"
_MANY_PAGES = "split it into files of one page (tiffsplit, or tifffile), or use `cimnet video` for a recording"


def _say_pages(facts: FileFacts) -> str:
    return f"{facts.pages} pages (images) in one {facts.format}, and nothing says which one is meant; {_MANY_PAGES}"


def _say_scale(facts: FileFacts) -> str:
    return f"scale {facts.scale:g} and offset {facts.offset:g} in the file, of values that measure nothing; remove them"


def _say_warp(facts: FileFacts) -> str:
    if facts.georeference == "rpc":
        return "placed by rational polynomial coefficients (RPC); rectify it: gdalwarp -rpc -t_srs EPSG:CODE IN OUT"
    return "placed by ground control points; rectify it: gdalwarp -t_srs EPSG:CODE IN OUT (or rasterio's WarpedVRT)"


_CANNOT = _kept("cannot occur")
_SAME_AS_RGB: dict[Use, Action] = {"rgbt": _CANNOT, "raster_rgb": _CANNOT, "raster_thermal": _CANNOT}

RULES: tuple[Rule, ...] = (
    Rule(
        "temperatures by FLIR",
        "JPEG (APP1)",
        lambda f: f.maker == "FLIR",
        {
            "rgb": _refused("its picture shows temperatures; `embedded` takes the visible one inside", _FLIR_PICTURE),
            "thermal": _kept("read, kelvin (extra `thermal`)"),
            "label": _refused("lossy", _NO_JPEG),
            "rgbt": _refused("its picture shows temperatures", _FLIR_PICTURE),
            "raster_rgb": _refused("its picture shows temperatures", _FLIR_PICTURE),
            "raster_thermal": _refused("not a GeoTIFF", "a radiometric FLIR JPEG; export its temperatures as GeoTIFF"),
        },
    ),
    Rule(
        "temperatures by DJI, InfiRay or a camera not known here",
        "JPEG (APP2 to APP9)",
        lambda f: f.maker in UNREAD_MAKERS,
        {
            "rgb": _refused("its picture shows temperatures", _refuse_as_rgb),
            "thermal": _refused("names the camera and the remedy; `picture` takes its 8-bit picture", _refuse_unread),
            "label": _refused("lossy", _NO_JPEG),
            "rgbt": _refused("its picture shows temperatures", _refuse_as_rgb),
            "raster_rgb": _refused("its picture shows temperatures", _refuse_as_rgb),
            "raster_thermal": _refused("export as GeoTIFF", _say_unread),
        },
    ),
    Rule(
        "lossy compression",
        "JPEG, WebP, AVIF, JPEG 2000",
        lambda f: f.lossy,
        {
            "rgb": _kept("read"),
            "thermal": _kept("read; grey may differ by 16 levels"),
            "label": _refused(
                "ids would change",
                lambda f: (
                    _NO_JPEG if f.format in ("JPEG", "MPO") else f"{f.format} may change class ids; save labels as PNG"
                ),
            ),
            "rgbt": _kept("read"),
            "raster_rgb": _kept("read"),
            "raster_thermal": _kept("read"),
        },
    ),
    Rule(
        "several pages",
        "TIFF, APNG, WebP",
        lambda f: f.pages > 1,
        {use: _refused("names their number", _say_pages) for use in ("rgb", "thermal", "label", "rgbt")}
        | {
            "raster_rgb": _refused("names their number", _say_pages),
            "raster_thermal": _refused("names their number", _say_pages),
        },
    ),
    Rule(
        "floats",
        "TIFF",
        lambda f: f.sign == "float",
        {
            "rgb": _refused("needs 8 bits", lambda f: f"RGB values of {f.depth}; save them with 8 bits (0 to 255)"),
            "thermal": _kept("read as they are, float32"),
            "label": _refused("ids are whole numbers", lambda f: f"a label of {f.depth}; save class ids as integers"),
            "rgbt": _refused("needs 8 bits", lambda f: f"values of {f.depth}; save RGB with 8 bits"),
            "raster_rgb": _kept("read with --rgb-range, otherwise refused"),
            "raster_thermal": _kept("read as they are, float32"),
        },
    ),
    Rule(
        "signed integers",
        "TIFF",
        lambda f: f.sign == "signed",
        {
            "rgb": _refused("needs 0 to 255", lambda f: f"RGB values of {f.depth}; save them unsigned, 8 bits"),
            "thermal": _kept("read; below zero with a `thermal_range`"),
            "label": _kept("read; below zero is outside the classes"),
            "rgbt": _refused("needs 0 to 255", lambda f: f"values of {f.depth}; save them unsigned, 8 bits"),
            "raster_rgb": _kept("read with --rgb-range, otherwise refused"),
            "raster_thermal": _kept("read; below zero with a `thermal_range`"),
        },
    ),
    Rule(
        "colours of more than 8 bits",
        "PNG, TIFF",
        _deep_colour,
        {
            "rgb": _refused("names the bits in use, and the remedy", _colour_depth),
            "thermal": _refused(
                "one grey channel",
                lambda f: (
                    f"16-bit thermal values in a {f.format} of {f.bands} channels would be cut to 8 bits; save "
                    "one 16-bit grey channel"
                ),
            ),
            "label": _refused("ids are one channel", "a label of 16-bit colours; save class ids as a grey PNG"),
            "rgbt": _refused(
                "would be cut",
                "16-bit RGBA would be cut to 8 bits; save RGB and 16-bit thermal separately, or choose bands "
                "(--rgb-bands 1,2,3 --thermal-band 4)",
            ),
            "raster_rgb": _kept("read with --rgb-range, otherwise refused"),
            "raster_thermal": _kept("read"),
        },
    ),
    Rule(
        "inverted greys (white is zero), or an inverting look-up table",
        "TIFF",
        lambda f: f.white_is_zero,
        {
            "rgb": _applied("inverted", invert),
            "thermal": _applied("inverted; refused for signed, float and 32-bit values", invert),
            "label": _kept("ids as stored (ImageJ: 255 is the object)"),
            "rgbt": _CANNOT,
            "raster_rgb": _refused("not RGB", "white is zero: not an RGB raster"),
            "raster_thermal": _refused(
                "invert it first",
                "white is zero (photometric interpretation 0), which GDAL does not apply; invert it, or set the tag to "
                "MINISBLACK",
            ),
        },
    ),
    Rule(
        "inverted greys (white is zero), signed, float or 32-bit",
        "TIFF",
        lambda f: f.white_is_zero and (f.sign != "unsigned" or f.bits > 16),
        {
            "rgb": _refused("needs 0 to 255", lambda f: f"white is zero, of {f.depth}"),
            "thermal": _refused(
                "the file does not say which value is white",
                lambda f: (
                    f"white is zero (photometric interpretation 0) of {f.depth}: the file does not say which value "
                    "is black; set the tag to MINISBLACK (gdal_translate -co PHOTOMETRIC=MINISBLACK IN OUT)"
                ),
            ),
            "label": _kept("ids as stored"),
            **_SAME_AS_RGB,
        },
    ),
    Rule(
        "palette",
        "PNG, TIFF, BMP",
        lambda f: f.palette,
        {
            "rgb": _kept("applied when decoded"),
            "thermal": _kept("grey applied; colours of a known palette undone with a warning, others refused"),
            "label": _kept("by colour if all colours are classes', otherwise by index; refused if they contradict"),
            "rgbt": _refused(
                "not four channels",
                "mode P, expected RGBA with the thermal image in the fourth channel: a palette has three",
            ),
            "raster_rgb": _refused("expand it", "a palette raster; expand it: gdal_translate -expand rgb IN OUT"),
            "raster_thermal": _refused("expand it", "a palette raster; expand it: gdal_translate -expand gray IN OUT"),
        },
    ),
    Rule(
        "colour interpretation of the bands",
        "TIFF (GDAL)",
        orders_colours,
        {
            "rgb": _applied("put in the order red, green, blue", order_colours),
            "thermal": _kept("refused as colours"),
            "label": _kept("refused as colours, or read by colour"),
            "rgbt": _applied("put in the order red, green, blue", order_colours),
            "raster_rgb": _kept("put in the order red, green, blue"),
            "raster_thermal": _kept("one band has no order"),
        },
    ),
    Rule(
        "bands declared as other colours",
        "TIFF (GDAL)",
        _odd_colours,
        {
            use: _refused(
                "names them",
                lambda f: (
                    f"its bands are declared as {', '.join(name or 'undefined' for name in f.band_colours)}; "
                    "choose three with --rgb-bands, or `bands:` in classes.yaml"
                ),
            )
            for use in ("rgb", "rgbt", "raster_rgb")
        }
        | {
            "thermal": _kept("one band has no colour"),
            "label": _kept("one band has no colour"),
            "raster_thermal": _kept("one band has no colour"),
        },
    ),
    Rule(
        "opacity",
        "PNG, TIFF, WebP",
        lambda f: f.alpha != "",
        {
            "rgb": _kept("dropped: colours as stored; associated opacity is divided out"),
            "thermal": _kept("pixels with opacity 0 are missing"),
            "label": _kept("dropped if it is 255 everywhere or belongs to a palette; otherwise refused"),
            "rgbt": _kept("holds the thermal image; refused if 255 everywhere"),
            "raster_rgb": _kept("pixels with opacity 0 are missing"),
            "raster_thermal": _kept("pixels with opacity 0 are missing"),
        },
    ),
    Rule(
        "associated opacity in a 4-channel file",
        "TIFF",
        lambda f: f.alpha == "associated",
        {
            "rgb": _kept("divided out"),
            "thermal": _kept("grey as stored"),
            "label": _kept("refused as colours"),
            "rgbt": _refused(
                "colours would be divided by the thermal band",
                "its fourth channel is tagged as associated opacity: colours would be divided by the thermal image; "
                "choose bands (--rgb-bands 1,2,3 --thermal-band 4, or `bands:` in classes.yaml), or save it as PNG",
            ),
            "raster_rgb": _kept("colours as stored"),
            "raster_thermal": _kept("grey as stored"),
        },
    ),
    Rule(
        "nodata",
        "TIFF (GDAL_NODATA), .aux.xml",
        lambda f: f.nodata is not None,
        {
            "rgb": _applied("black if all three channels have it", blacken_nodata),
            "thermal": _applied("missing: 0 for the model, left out of percentiles", mark_nodata),
            "label": _kept("ignored pixels; refused if the value is a class id"),
            "rgbt": _applied("black; missing", nodata_of_both),
            "raster_rgb": _kept("missing"),
            "raster_thermal": _kept("missing"),
        },
    ),
    Rule(
        "nodata as an index of a palette",
        "TIFF",
        lambda f: f.palette and f.nodata is not None,
        {
            "rgb": _refused("expand it", "nodata in a palette image; expand it with gdal_translate -expand rgb IN OUT"),
            "thermal": _refused("expand it", "nodata in a palette image; expand it with gdal_translate -expand gray"),
            "label": _kept("ignored pixels"),
            **_SAME_AS_RGB,
        },
    ),
    Rule(
        "mask of missing pixels",
        "TIFF (page), .msk",
        lambda f: f.mask is not None,
        {
            "rgb": _applied("black", lambda p, f: blacken(p, masked_out(f))),
            "thermal": _applied("missing, as nodata", lambda p, f: mark(p, masked_out(f))),
            "label": _refused(
                "write 255",
                "a mask of missing pixels (a page, or FILE.msk) of a label; write 255 (ignore) there instead",
            ),
            "rgbt": _applied("black; missing", lambda p, f: mark(blacken(p, masked_out(f)), masked_out(f))),
            "raster_rgb": _kept("missing"),
            "raster_thermal": _kept("missing"),
        },
    ),
    Rule(
        "scale and offset",
        "TIFF (GDAL), .aux.xml",
        lambda f: f.scaled,
        {
            "rgb": _refused("no measurements", _say_scale),
            "thermal": _applied("applied: float32", scale),
            "label": _refused("no measurements", _say_scale),
            "rgbt": _refused("no measurements", _say_scale),
            "raster_rgb": _refused("no measurements", _say_scale),
            "raster_thermal": _kept("applied: float32"),
        },
    ),
    Rule(
        "orientation",
        "JPEG, PNG, WebP, AVIF; TIFF",
        lambda f: f.orientation != 1,
        {
            "rgb": _kept("turned; a TIFF is refused"),
            "thermal": _applied("turned, a FLIR file's temperatures too; a TIFF is refused", turn),
            "label": _kept("turned; a TIFF is refused"),
            "rgbt": _kept("turned; a TIFF is refused"),
            "raster_rgb": _refused("save it upright", "an orientation tag; save it upright, without the tag"),
            "raster_thermal": _refused("save it upright", "an orientation tag; save it upright, without the tag"),
        },
    ),
    Rule(
        "unit",
        "FLIR JPEG, TIFF (GDAL, FLIR's TLinear)",
        lambda f: f.unit is not None,
        {
            "rgb": _kept("colours have none"),
            "thermal": _applied("converted if the checkpoint's or the data set's is known, too", take_unit),
            "label": _kept("ids have none"),
            "rgbt": _kept("8-bit counts have none"),
            "raster_rgb": _kept("colours have none"),
            "raster_thermal": _kept("converted if the checkpoint's is known, too"),
        },
    ),
    Rule(
        "values that are not finite",
        "TIFF, .npy, FLIR JPEG",
        lambda f: f.sign == "float" or f.maker == "FLIR",
        {
            "rgb": _CANNOT,
            "thermal": _applied("up to 5% filled and counted, more refused with their number", fill_invalid),
            "label": _CANNOT,
            "rgbt": _CANNOT,
            "raster_rgb": _CANNOT,
            "raster_thermal": _kept("missing"),
        },
    ),
    Rule(
        "control points or RPC instead of a grid",
        "GeoTIFF",
        lambda f: f.georeference in ("gcps", "rpc"),
        {use: _kept("not used: pairs fit pixel by pixel") for use in ("rgb", "thermal", "label", "rgbt")}
        | {use: _refused("gdalwarp", _say_warp) for use in ("raster_rgb", "raster_thermal")},
    ),
)
