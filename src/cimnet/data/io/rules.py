"""The reading contract: what happens with each property of a file, one row each. Nothing that a file says is ignored.

`docs/reference/files.md` shows this table; `cimnet.data.io.reading_table` writes it.
"""

from __future__ import annotations

from cimnet.data.io.facts import FileFacts, has_deep_colours, names_odd_colours, orders_colours
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
from cimnet.data.io.radiometric import UNREAD_MAKERS
from cimnet.data.io.refusals import (
    FLIR_PICTURE,
    NO_JPEG,
    say_colour_depth,
    say_no_colours,
    say_pages,
    say_scale,
    say_unread,
    say_unread_or_picture,
    say_warp,
)
from cimnet.data.io.rule import USES, Action, Rule, Use, applied, left_to_reader, refused
from cimnet.errors import DataError


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


_CANNOT = Action("cannot occur")
_CANNOT_ELSEWHERE: dict[Use, Action] = {"rgbt": _CANNOT, "raster_rgb": _CANNOT, "raster_thermal": _CANNOT}

RULES: tuple[Rule, ...] = (
    Rule(
        "temperatures by FLIR",
        "JPEG (APP1)",
        lambda f: f.maker == "FLIR",
        {
            "rgb": refused("its picture shows temperatures; `embedded` takes the visible one inside", FLIR_PICTURE),
            "thermal": left_to_reader("read, kelvin (extra `thermal`)"),
            "label": refused("lossy", NO_JPEG),
            "rgbt": refused("its picture shows temperatures", FLIR_PICTURE),
            "raster_rgb": refused("its picture shows temperatures", FLIR_PICTURE),
            "raster_thermal": refused("not a GeoTIFF", "a radiometric FLIR JPEG; export its temperatures as GeoTIFF"),
        },
    ),
    Rule(
        "temperatures by DJI, InfiRay or a camera not known here",
        "JPEG (APP2 to APP9)",
        lambda f: f.maker in UNREAD_MAKERS,
        {
            "rgb": refused("its picture shows temperatures", say_no_colours),
            "thermal": refused(
                "names the camera and the remedy; `picture` takes its 8-bit picture", say_unread_or_picture
            ),
            "label": refused("lossy", NO_JPEG),
            "rgbt": refused("its picture shows temperatures", say_no_colours),
            "raster_rgb": refused("its picture shows temperatures", say_no_colours),
            "raster_thermal": refused("export as GeoTIFF", say_unread),
        },
    ),
    Rule(
        "lossy compression",
        "JPEG, WebP, AVIF, JPEG 2000",
        lambda f: f.lossy,
        {
            "rgb": left_to_reader("read"),
            "thermal": left_to_reader("read; grey may differ by 16 levels"),
            "label": refused(
                "ids would change",
                lambda f: (
                    NO_JPEG if f.format in ("JPEG", "MPO") else f"{f.format} may change class ids; save labels as PNG"
                ),
            ),
            "rgbt": left_to_reader("read"),
            "raster_rgb": left_to_reader("read"),
            "raster_thermal": left_to_reader("read"),
        },
    ),
    Rule(
        "several pages",
        "TIFF, APNG, WebP",
        lambda f: f.pages > 1,
        dict.fromkeys(USES, refused("names their number", say_pages)),
    ),
    Rule(
        "floats",
        "TIFF",
        lambda f: f.sign == "float",
        {
            "rgb": refused("needs 8 bits", lambda f: f"RGB values of {f.depth}; save them with 8 bits (0 to 255)"),
            "thermal": left_to_reader("read as they are, float32"),
            "label": refused("ids are whole numbers", lambda f: f"a label of {f.depth}; save class ids as integers"),
            "rgbt": refused("needs 8 bits", lambda f: f"values of {f.depth}; save RGB with 8 bits"),
            "raster_rgb": left_to_reader("read with --rgb-range, otherwise refused"),
            "raster_thermal": left_to_reader("read as they are, float32"),
        },
    ),
    Rule(
        "signed integers",
        "TIFF",
        lambda f: f.sign == "signed",
        {
            "rgb": refused("needs 0 to 255", lambda f: f"RGB values of {f.depth}; save them unsigned, 8 bits"),
            "thermal": left_to_reader("read; below zero with a `thermal_range`"),
            "label": left_to_reader("read; below zero is outside the classes"),
            "rgbt": refused("needs 0 to 255", lambda f: f"values of {f.depth}; save them unsigned, 8 bits"),
            "raster_rgb": left_to_reader("read with --rgb-range, otherwise refused"),
            "raster_thermal": left_to_reader("read; below zero with a `thermal_range`"),
        },
    ),
    Rule(
        "colours of more than 8 bits",
        "PNG, TIFF",
        has_deep_colours,
        {
            "rgb": refused("names the bits in use, and the remedy", say_colour_depth),
            "thermal": refused(
                "one grey channel",
                lambda f: (
                    f"16-bit thermal values in a {f.format} of {f.bands} channels would be cut to 8 bits; save "
                    "one 16-bit grey channel"
                ),
            ),
            "label": refused("ids are one channel", "a label of 16-bit colours; save class ids as a grey PNG"),
            "rgbt": refused(
                "would be cut",
                "16-bit RGBA would be cut to 8 bits; save RGB and 16-bit thermal separately, or choose bands "
                "(--rgb-bands 1,2,3 --thermal-band 4)",
            ),
            "raster_rgb": left_to_reader("read with --rgb-range, otherwise refused"),
            "raster_thermal": left_to_reader("read"),
        },
    ),
    Rule(
        "inverted greys (white is zero), or an inverting look-up table",
        "TIFF",
        lambda f: f.white_is_zero,
        {
            "rgb": applied("inverted", invert),
            "thermal": applied("inverted; refused for signed, float and 32-bit values", invert),
            "label": left_to_reader("ids as stored (ImageJ: 255 is the object)"),
            "rgbt": _CANNOT,
            "raster_rgb": refused("not RGB", "white is zero: not an RGB raster"),
            "raster_thermal": refused(
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
            "rgb": refused("needs 0 to 255", lambda f: f"white is zero, of {f.depth}"),
            "thermal": refused(
                "the file does not say which value is white",
                lambda f: (
                    f"white is zero (photometric interpretation 0) of {f.depth}: the file does not say which value "
                    "is black; set the tag to MINISBLACK (gdal_translate -co PHOTOMETRIC=MINISBLACK IN OUT)"
                ),
            ),
            "label": left_to_reader("ids as stored"),
            **_CANNOT_ELSEWHERE,
        },
    ),
    Rule(
        "palette",
        "PNG, TIFF, BMP",
        lambda f: f.palette,
        {
            "rgb": left_to_reader("applied when decoded"),
            "thermal": left_to_reader("grey applied; colours of a known palette undone with a warning, others refused"),
            "label": left_to_reader(
                "by colour if all colours are classes', otherwise by index; refused if they contradict"
            ),
            "rgbt": refused(
                "not four channels",
                "mode P, expected RGBA with the thermal image in the fourth channel: a palette has three",
            ),
            "raster_rgb": refused("expand it", "a palette raster; expand it: gdal_translate -expand rgb IN OUT"),
            "raster_thermal": refused("expand it", "a palette raster; expand it: gdal_translate -expand gray IN OUT"),
        },
    ),
    Rule(
        "colour interpretation of the bands",
        "TIFF (GDAL)",
        orders_colours,
        {
            "rgb": applied("put in the order red, green, blue", order_colours),
            "thermal": left_to_reader("refused as colours"),
            "label": left_to_reader("refused as colours, or read by colour"),
            "rgbt": applied("put in the order red, green, blue", order_colours),
            "raster_rgb": left_to_reader("put in the order red, green, blue"),
            "raster_thermal": left_to_reader("one band has no order"),
        },
    ),
    Rule(
        "bands declared as other colours",
        "TIFF (GDAL)",
        names_odd_colours,
        {
            use: refused(
                "names them",
                lambda f: (
                    f"its bands are declared as {', '.join(name or 'undefined' for name in f.band_colours)}; "
                    "choose three with --rgb-bands, or `bands:` in classes.yaml"
                ),
            )
            for use in ("rgb", "rgbt", "raster_rgb")
        }
        | {
            "thermal": left_to_reader("one band has no colour"),
            "label": left_to_reader("one band has no colour"),
            "raster_thermal": left_to_reader("one band has no colour"),
        },
    ),
    Rule(
        "opacity",
        "PNG, TIFF, WebP",
        lambda f: f.alpha != "",
        {
            "rgb": left_to_reader("dropped: colours as stored; associated opacity is divided out"),
            "thermal": left_to_reader("pixels with opacity 0 are missing"),
            "label": left_to_reader("dropped if it is 255 everywhere or belongs to a palette; otherwise refused"),
            "rgbt": left_to_reader("holds the thermal image; refused if 255 everywhere"),
            "raster_rgb": left_to_reader("pixels with opacity 0 are missing"),
            "raster_thermal": left_to_reader("pixels with opacity 0 are missing"),
        },
    ),
    Rule(
        "associated opacity in a 4-channel file",
        "TIFF",
        lambda f: f.alpha == "associated",
        {
            "rgb": left_to_reader("divided out"),
            "thermal": left_to_reader("grey as stored"),
            "label": left_to_reader("refused as colours"),
            "rgbt": refused(
                "colours would be divided by the thermal band",
                "its fourth channel is tagged as associated opacity: colours would be divided by the thermal image; "
                "choose bands (--rgb-bands 1,2,3 --thermal-band 4, or `bands:` in classes.yaml), or save it as PNG",
            ),
            "raster_rgb": left_to_reader("colours as stored"),
            "raster_thermal": left_to_reader("grey as stored"),
        },
    ),
    Rule(
        "nodata",
        "TIFF (GDAL_NODATA), PNG (tRNS), .aux.xml",
        lambda f: f.nodata is not None,
        {
            "rgb": applied("black if all three channels have it", blacken_nodata),
            "thermal": applied("missing: 0 for the model, left out of percentiles", mark_nodata),
            "label": left_to_reader("ignored pixels; refused if the value, or the colour, is a class's"),
            "rgbt": applied("black; missing", nodata_of_both),
            "raster_rgb": left_to_reader("missing"),
            "raster_thermal": left_to_reader("missing"),
        },
    ),
    Rule(
        "nodata as an index of a palette",
        "TIFF",
        lambda f: f.palette and f.nodata is not None,
        {
            "rgb": refused("expand it", "nodata in a palette image; expand it with gdal_translate -expand rgb IN OUT"),
            "thermal": refused("expand it", "nodata in a palette image; expand it with gdal_translate -expand gray"),
            "label": left_to_reader("ignored pixels"),
            **_CANNOT_ELSEWHERE,
        },
    ),
    Rule(
        "mask of missing pixels",
        "TIFF (page), .msk",
        lambda f: f.mask is not None,
        {
            "rgb": applied("black", lambda p, f: blacken(p, masked_out(f))),
            "thermal": applied("missing, as nodata", lambda p, f: mark(p, masked_out(f))),
            "label": refused(
                "write 255",
                "a mask of missing pixels (a page, or FILE.msk) of a label; write 255 (ignore) there instead",
            ),
            "rgbt": applied("black; missing", lambda p, f: mark(blacken(p, masked_out(f)), masked_out(f))),
            "raster_rgb": left_to_reader("missing"),
            "raster_thermal": left_to_reader("missing"),
        },
    ),
    Rule(
        "scale and offset",
        "TIFF (GDAL), .aux.xml",
        lambda f: f.scaled,
        {
            "rgb": refused("no measurements", say_scale),
            "thermal": applied("applied: float32", scale),
            "label": refused("no measurements", say_scale),
            "rgbt": refused("no measurements", say_scale),
            "raster_rgb": refused("no measurements", say_scale),
            "raster_thermal": left_to_reader("applied: float32"),
        },
    ),
    Rule(
        "orientation",
        "JPEG, PNG, WebP, AVIF; TIFF",
        lambda f: f.orientation != 1,
        {
            "rgb": left_to_reader("turned; a TIFF is refused"),
            "thermal": applied("turned, a FLIR file's temperatures too; a TIFF is refused", turn),
            "label": left_to_reader("turned; a TIFF is refused"),
            "rgbt": left_to_reader("turned; a TIFF is refused"),
            "raster_rgb": refused("save it upright", "an orientation tag; save it upright, without the tag"),
            "raster_thermal": refused("save it upright", "an orientation tag; save it upright, without the tag"),
        },
    ),
    Rule(
        "unit",
        "FLIR JPEG, TIFF (GDAL, FLIR's TLinear), .aux.xml",
        lambda f: f.unit is not None,
        {
            "rgb": left_to_reader("colours have none"),
            "thermal": applied("converted if the checkpoint's or the data set's is known, too", take_unit),
            "label": left_to_reader("ids have none"),
            "rgbt": left_to_reader("8-bit counts have none"),
            "raster_rgb": left_to_reader("colours have none"),
            "raster_thermal": left_to_reader("converted if the checkpoint's is known, too"),
        },
    ),
    Rule(
        "unit that is not known",
        "TIFF (GDAL), .aux.xml",
        lambda f: f.unit_unknown,
        {
            "rgb": left_to_reader("colours have none"),
            "thermal": left_to_reader("refused if a unit is expected or declared; otherwise a warning"),
            "label": left_to_reader("ids have none"),
            "rgbt": left_to_reader("8-bit counts have none"),
            "raster_rgb": left_to_reader("colours have none"),
            "raster_thermal": left_to_reader("refused if the checkpoint's is known; otherwise a warning"),
        },
    ),
    Rule(
        "values that are not finite",
        "TIFF, .npy, FLIR JPEG",
        lambda f: f.sign == "float" or f.maker == "FLIR",
        {
            "rgb": _CANNOT,
            "thermal": applied("up to 5% filled and counted, more refused with their number", fill_invalid),
            "label": _CANNOT,
            "rgbt": _CANNOT,
            "raster_rgb": left_to_reader("missing"),
            "raster_thermal": left_to_reader("missing"),
        },
    ),
    Rule(
        "control points or RPC instead of a grid",
        "GeoTIFF",
        lambda f: f.georeference in ("gcps", "rpc"),
        {use: left_to_reader("not used: pairs fit pixel by pixel") for use in ("rgb", "thermal", "label", "rgbt")}
        | {use: refused("gdalwarp", say_warp) for use in ("raster_rgb", "raster_thermal")},
    ),
)
