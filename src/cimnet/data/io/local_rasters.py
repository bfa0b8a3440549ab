"""Read only local GeoTIFFs: GDAL without its network, and with a check of the files behind a raster.

GDAL opens whatever a file names: a VRT its sources, any file its overviews and masks, and each of them by whichever of
150 drivers knows it, some of which send requests. So the files are followed here first; each must be a local GeoTIFF,
or a VRT of such. What this overlooks cannot reach the network, see :mod:`cimnet.utils.gdal`.
"""

from __future__ import annotations

import re
import stat
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from cimnet.errors import DataError, one_line

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_VRT = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?<VRTDataset", re.IGNORECASE)
_LONGEST_VRT, _MOST_FILES, _DEEPEST = 64_000_000, 100_000, 8
RASTERS_BESIDE = (".ovr", ".msk", ".msk.ovr")
_TEXTS_BESIDE = (".aux.xml", ".ovr.aux.xml", ".msk.aux.xml")
_WORLD_FILES = (".tfw", ".tifw", ".wld", ".prj", ".rpb")
_SOURCES = {"sourcefilename", "sourcedataset", "dempath"}
_KEYS = ("_dataset", "overview_file")  # ends of keys of metadata that name files: of longitudes, of overviews
_DATASETS = {"", "vrtdataset", "vrtwarpeddataset", "vrtpansharpeneddataset"}
_BANDS = {"vrtsourcedrasterband", "vrtderivedrasterband", "vrtwarpedrasterband", "vrtpansharpenedrasterband"}


def raster_files(raster: Path) -> list[Path]:
    """All files that are read for a raster: itself, the sources of a VRT and theirs, overviews, masks, georeferences.

    Raises:
        DataError: one of them is not a local GeoTIFF or a VRT of such, or is missing.
    """
    found: dict[Path, None] = {}
    for path in source_files(raster):
        found |= dict.fromkeys((path, *gdal_side_files(path)))
    return list(found)


def source_files(raster: Path) -> list[Path]:
    """The raster itself, and the sources of a VRT through all levels.

    Raises:
        DataError: as `raster_files`, except for files beside them.
    """
    found: dict[Path, None] = {}
    waiting = [(raster, raster, 0)]
    while waiting:
        path, parent, depth = waiting.pop()
        path = path.absolute()  # a name such as http:x.tif is none of an address then
        if path in found:
            continue
        found[path] = None
        if len(found) > _MOST_FILES or depth > _DEEPEST:
            raise DataError(f"{raster}: a VRT of more than {_MOST_FILES:,} files or {_DEEPEST} levels; build a new one")
        if _start(path, parent)[:4] not in _TIFF:
            waiting += [(source, path, depth + 1) for source in _sources(path, parent)]
    return list(found)


def driver_of(raster: Path) -> str:
    """The one driver that is to open a file that `raster_files` let pass: a COG is a GeoTIFF."""
    return "GTiff" if _start(raster, raster)[:4] in _TIFF else "VRT"


def _start(path: Path, parent: Path) -> bytes:
    where = path if path == parent.absolute() else f"{path}, which {parent} names,"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{where} is not a file; give a GeoTIFF of this machine")
        with path.open("rb") as file:
            return file.read(1024)
    except (OSError, ValueError) as error:
        reason = one_line(error)
        raise DataError(f"{where} cannot be read ({reason}); only files of this machine are read") from error


def gdal_side_files(path: Path) -> list[Path]:
    """Files that GDAL finds by the name of a raster or image and reads with it: overviews, masks, georeferences.

    Raises:
        DataError: overviews or a mask that are no GeoTIFF, which GDAL would open with any of its drivers.
    """
    for suffix in RASTERS_BESIDE:
        side = path.with_name(f"{path.name}{suffix}")
        if side.exists() and _start(side, path)[:4] not in _TIFF:
            raise DataError(f"{side}: lies beside {path.name} and is not a GeoTIFF; remove it")
    return files_beside(path)


def files_beside(path: Path) -> list[Path]:
    """The files that GDAL would read with this one because of their names, whatever they hold."""
    found = [path.with_name(f"{path.name}{suffix}") for suffix in (*RASTERS_BESIDE, *_TEXTS_BESIDE)]
    found += [path.with_suffix(suffix) for suffix in _WORLD_FILES]
    return [side for side in found if side.is_file()]


def _sources(path: Path, parent: Path) -> list[Path]:
    """The files that a VRT names."""
    if not _VRT.match(_start(path, parent)) or path.stat().st_size > _LONGEST_VRT:
        where = f"{path}" if path == parent.absolute() else f"{path}, which {parent} names"
        raise DataError(
            f"{where}: not a GeoTIFF, nor a VRT of GeoTIFFs, or damaged; convert it with gdal_translate -of GTiff"
        )
    text = path.read_bytes()
    try:
        if b"<!" in text.replace(b"<!--", b"").replace(b"<![CDATA[", b""):
            raise DataError(f"{path}: a VRT that declares entities; write it again with gdalbuildvrt")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise DataError(f"{path}: a damaged VRT ({error}); write it again with gdalbuildvrt") from error
    return [source for element in root.iter() for source in _named(element, path)]


def _named(element: ElementTree.Element, vrt: Path) -> list[Path]:
    tag = element.tag.lower()
    attributes = {name.lower(): value for name, value in element.attrib.items()}
    content = "".join(element.itertext()).strip()
    kind = attributes.get("subclass", "")
    if tag == "vrtdataset" and kind.lower() not in _DATASETS:
        raise DataError(f"{vrt}: a VRT of the kind {kind[:40]}; convert it to GeoTIFF")
    if tag == "vrtrasterband" and attributes.get("subclass", "VRTSourcedRasterBand").lower() not in _BANDS:
        raise DataError(f"{vrt}: a VRT with a band of the kind {attributes['subclass'][:40]}; convert it to GeoTIFF")
    if tag == "pixelfunctionlanguage" and content.lower() == "python":
        raise DataError(f"{vrt}: a VRT that holds Python code, which is not run; convert it to GeoTIFF")
    named = tag in _SOURCES or (tag == "mdi" and attributes.get("key", "").lower().endswith(_KEYS))
    if not named:
        return []
    relative = attributes.get("relativetovrt", "0") not in ("0", "")
    return [vrt.parent / content if relative else Path(content)]
