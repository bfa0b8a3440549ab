"""Facts in the headers of image files: everything that changes the meaning of the numbers.

`read_facts` gathers it, `cimnet.data.io.rules` says what happens then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
from PIL import Image

from cimnet.data.io import radiometric
from cimnet.data.io import tiff_tags as tags
from cimnet.data.io.open_image import LOSSY, channel_bits, opened, orientation
from cimnet.data.io.side_files import SIDE_FILES
from cimnet.data.io.tiff_tags import TiffFile, read_tiff
from cimnet.data.io.units import name_unit, says_no_unit, tlinear_unit
from cimnet.utils.files import is_there

Sign = Literal["unsigned", "signed", "float"]
Alpha = Literal["", "associated", "unassociated", "unspecified"]
Georeference = Literal["", "affine", "gcps", "rpc"]
_SIGNS: dict[int, Sign] = {1: "unsigned", 2: "signed", 3: "float"}
_ALPHAS: dict[int, Alpha] = {0: "unspecified", 1: "associated", 2: "unassociated"}
_COLOUR_BANDS = {2: 3, 5: 4, 6: 3, 8: 3}  # by photometric interpretation; others have one
_START = 1 << 16  # bytes in which a JPEG 2000 codestream tells its depth, and a WebP its kind


@dataclass(frozen=True)
class FileFacts:
    """The facts about an image file. If it has several pages, those of the first.

    Attributes:
        path, format: "PNG", "JPEG", "MPO", "TIFF", "BMP", "WEBP", "AVIF", "JPEG2000", "HEIF", "NPY" or "GDAL".
        height, width: pixels, as displayed.
        bands: channels, opacity among them.
        bits, sign: of one value.
        colours: whether the bands are colours (also by a palette), not one grey channel.
        white_is_zero: the smallest value is the brightest (TIFF's photometric interpretation 0, ImageJ's inverting
            look-up table).
        palette: values are indices into a table of colours.
        orientation: EXIF's 1..8.
        alpha: kind of the channel beside the colours or the grey values: "associated" (colours are multiplied with it),
            "unassociated", "unspecified" (it may be anything); "" for none.
        band_colours: what each band is declared to be ("red", "blue", "grey" …); () where nothing is declared.
        pages: images in the file that are no overview or mask.
        mask: what holds the mask of the missing pixels: a page, or the file FILE.msk that GDAL writes beside.
        nodata: value of missing pixels.
        scale, offset: meaning = scale · value + offset.
        unit: of the (scaled) values, one of `UNITS`; `unit_text` as the file spells it.
        maker: whose temperatures a JPEG holds beside its picture: "FLIR", "DJI", "InfiRay", "other"; "" for none.
        camera: maker and model of the camera, where the maker's temperatures are not read; "" where it is not known.
        georeference: how the image is placed on a map.
        lossy: values may differ from those that were saved.
    """

    path: Path
    format: str
    height: int
    width: int
    bands: int = 1
    bits: int = 8
    sign: Sign = "unsigned"
    colours: bool = False
    white_is_zero: bool = False
    palette: bool = False
    orientation: int = 1
    alpha: Alpha = ""
    band_colours: tuple[str, ...] = ()
    pages: int = 1
    mask: int | Path | None = None
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    unit: str | None = None
    unit_text: str = ""
    maker: str = ""
    camera: str = ""
    georeference: Georeference = ""
    lossy: bool = False

    @property
    def scaled(self) -> bool:
        """Whether scale and offset change anything."""
        return (self.scale, self.offset) != (1.0, 0.0)

    @property
    def unit_unknown(self) -> bool:
        """Whether a unit is stated that is not known here."""
        return self.unit is None and not says_no_unit(self.unit_text)

    @property
    def depth(self) -> str:
        """ "16-bit unsigned integers" and the like."""
        kind = {"unsigned": "unsigned integers", "signed": "signed integers", "float": "floats"}[self.sign]
        return f"{self.bits}-bit {kind}"


def orders_colours(facts: FileFacts) -> bool:
    """Whether the first three bands are red, green and blue by declaration, in another order."""
    first = facts.band_colours[:3]
    return set(first) == {"red", "green", "blue"} and first != ("red", "green", "blue")


def names_odd_colours(facts: FileFacts) -> bool:
    """Whether bands of a TIFF are declared as colours other than red, green and blue."""
    named = {name for name in facts.band_colours if name not in ("", "undefined", "alpha", "gray", "grey")}
    return facts.format == "TIFF" and bool(named) and not named.issuperset({"red", "green", "blue"})


def has_deep_colours(facts: FileFacts) -> bool:
    """Whether colours, or grey values with opacity, have more than 8 bits each; not in AVIF."""
    return facts.bits > 8 and facts.format != "AVIF" and (facts.colours or facts.alpha != "")


def read_facts(path: Path) -> FileFacts:
    """Read the facts in a file's headers.

    Raises:
        DataError: it is not there, not an image, too large, or of a kind that cannot be decoded; it says which.
    """
    with opened(path) as image:
        return facts_of(image, path)


def facts_of(image: Image.Image, path: Path) -> FileFacts:
    """The same of a file that Pillow has opened."""
    turned = orientation(image)
    height, width = image.size[::-1] if turned < 5 else image.size
    bands = image.getbands()
    shared: dict[str, Any] = {
        "path": path,
        "format": image.format or "",
        "height": height,
        "width": width,
        "orientation": turned,
    }
    if image.format == "TIFF":
        return _tiff_facts(read_tiff(path), shared)
    colours = len(bands) >= 3 or image.mode in ("P", "PA")
    has_alpha = bands[-1] in ("A", "a") or (image.mode == "P" and "transparency" in image.info)
    bits = _bits(image, path)
    sidecar = {**_sidecar(path), **_clear_value(image, bits)}
    maker = radiometric.maker(image)
    return FileFacts(
        **shared,
        bands=len(bands),
        bits=bits,
        colours=colours,
        palette=image.mode in ("P", "PA"),
        alpha="unassociated" if has_alpha else "",
        pages=1 if image.format in LOSSY else int(getattr(image, "n_frames", 1)),
        maker=maker,
        camera=radiometric.camera(image) if maker else "",
        lossy=_lossy(image, path),
        **sidecar,
    )


def nodata_remedy(path: Path) -> str:
    """How to remove what an image declares as nodata. Only in a TIFF can GDAL do so in place."""
    with opened(path) as image:
        if image.format == "TIFF":
            return "remove the tag (gdal_edit.py -unsetnodata FILE)"
        if _clear_value(image, 8):
            return "save it again without its transparent value (tRNS)"
    return f"delete <NoDataValue> in {path.name}.aux.xml"


def stated_unit(path: Path, band: int) -> str:
    """The unit of a band, counted from 1, as the file, or before it FILE.aux.xml, spells it; "" for none."""
    beside = _sidecar(path, band).get("unit_text")
    return read_tiff(path).gdal("unittype").get(band - 1, "") if beside is None else str(beside)


def array_facts(path: Path, values: npt.NDArray[Any]) -> FileFacts:
    """Return the facts about a .npy file."""
    height, width = values.shape[:2]
    signs: dict[str, Sign] = {"u": "unsigned", "i": "signed", "f": "float"}
    return FileFacts(path, "NPY", height, width, bits=8 * values.dtype.itemsize, sign=signs[values.dtype.kind])


def _tiff_facts(tiff: TiffFile, shared: dict[str, Any]) -> FileFacts:
    photometric = tiff.number(tags.PHOTOMETRIC, 1)
    bands = tiff.number(tags.SAMPLES, 1)
    extra = tiff.numbers(tags.EXTRA)
    alphas = [_ALPHAS.get(kind, "unspecified") for kind in extra] or (
        ["unassociated"] if bands - _COLOUR_BANDS.get(photometric, 1) == 1 else []
    )
    named = tiff.gdal("colorinterp")
    unit_text = tiff.gdal("unittype").get(0, "")
    gain = re.search(r"TlinearGain(?:>|=\")\s*([0-9.]+)", tiff.text(tags.XMP), re.IGNORECASE)
    shared["orientation"] = tiff.number(tags.ORIENTATION, 1)
    facts = FileFacts(
        **shared,
        bands=bands,
        bits=tiff.number(tags.BITS, 1),
        sign=_SIGNS.get(tiff.number(tags.SAMPLE_FORMAT, 1), "unsigned"),
        colours=photometric not in (0, 1),
        white_is_zero=photometric == 0,
        palette=photometric == 3,
        alpha=alphas[0] if alphas else "",
        band_colours=tuple(named.get(i, "").lower() for i in range(bands)) if named else (),
        pages=len(tiff.pages),
        mask=tiff.mask,
        nodata=_number(tiff.text(tags.GDAL_NODATA)),
        scale=_number(tiff.gdal("scale").get(0, "")) or 1.0,
        offset=_number(tiff.gdal("offset").get(0, "")) or 0.0,
        unit_text=unit_text,
        unit=name_unit(unit_text) or (tlinear_unit(float(gain[1])) if gain else None),
        georeference=_georeference(tiff),
        lossy=tiff.number(tags.COMPRESSION, 1) in (6, 7, 34712, 50001),
    )
    beside = _sidecar(facts.path)
    if facts.mask is not None:  # a mask inside comes before one beside it; of all else GDAL takes what lies beside
        beside.pop("mask", None)
    return replace(facts, **beside)


def _georeference(tiff: TiffFile) -> Georeference:
    page = tiff.pages[0] if tiff.pages else {}
    if tags.RPC in page:
        return "rpc"
    if tags.PIXEL_SCALE in page or tags.MATRIX in page:
        return "affine"
    return "gcps" if len(page.get(tags.TIEPOINTS, ())) > 6 else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _sidecar(path: Path, number: int = 1) -> dict[str, Any]:
    """Read the files beside it: the mask FILE.msk, and nodata, scale, offset and unit of a band in FILE.aux.xml."""
    mask, beside = (path.with_name(path.name + ending) for ending in SIDE_FILES)
    found: dict[str, Any] = {"mask": mask} if is_there(mask) else {}
    try:
        with beside.open("rb") as file:
            text = file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return found
    band = re.search(rf'<PAMRasterBand\b[^>]*\bband=["\']{number}["\'].*?</PAMRasterBand>', text, re.DOTALL)
    for key, element in (("nodata", "NoDataValue"), ("scale", "Scale"), ("offset", "Offset")):
        match = re.search(rf"<{element}[^>]*>([^<]*)<", band[0]) if band else None
        value = _number(match[1]) if match else None
        if value is not None:
            found[key] = value
    if found.keys() & {"scale", "offset"}:  # GDAL takes both from here then
        found = {"scale": 1.0, "offset": 0.0, **found}
    unit = re.search(r"<UnitType[^>]*>\s*([^<\s][^<]*)<", band[0]) if band else None
    return {**found, "unit_text": unit[1].strip(), "unit": name_unit(unit[1])} if unit else found


def _clear_value(image: Image.Image, bits: int) -> dict[str, float]:
    """The transparent value of a PNG without a channel or palette of opacity (tRNS), by which GDAL writes nodata: of
    colours, where all three channels have the same."""
    clear = image.info.get("transparency")
    values = set(clear) if isinstance(clear, tuple) else {clear}
    if image.mode not in ("1", "L", "I", "I;16", "RGB") or len(values) != 1 or not isinstance(clear, int | tuple):
        return {}
    return {"nodata": float(min(*values, 2**bits - 1))}  # Pillow says 255 of the white of 1 bit


def _bits(image: Image.Image, path: Path) -> int:
    """Bits of one value as stored; Pillow's mode tells those in memory."""
    if image.format == "JPEG2000":
        with path.open("rb") as file:
            start = file.read(_START)
        place = start.find(b"\xff\x4f\xff\x51")  # the codestream's size segment
        if 0 <= place <= len(start) - 43:
            return (start[place + 42] & 0x7F) + 1
    bits = channel_bits(image, path)
    return bits if bits is not None else 16 if image.mode.startswith("I;16") else 8


def _lossy(image: Image.Image, path: Path) -> bool:
    """Whether values may have changed; of a JPEG 2000 and an AVIF this cannot be told, so they count as such."""
    if image.format != "WEBP":
        return image.format in (*LOSSY, "AVIF", "JPEG2000", "HEIF")
    with path.open("rb") as file:
        return b"VP8L" not in file.read(_START)
