"""Files beside an image that tell more of its values: the mask FILE.msk; FILE.aux.xml with nodata, scale and unit."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from cimnet.utils.files import is_there

SIDE_FILES = (".msk", ".aux.xml")
"""Endings of the files that GDAL writes beside an image and that readers obey."""
_LONGEST_XML = 16_000_000


def side_files(image: Path) -> list[Path]:
    """The side files of an image that are there."""
    return [side for ending in SIDE_FILES if is_there(side := image.with_name(image.name + ending))]


def side_content(side: Path) -> bytes:
    """The bytes that tell one side file from another: all of them, but of GDAL's .aux.xml without statistics, which
    QGIS puts in when it merely shows the image. Empty: there is nothing else in it.

    Raises:
        OSError: it cannot be read.
    """
    content = side.read_bytes()
    if not side.name.endswith(".aux.xml") or len(content) > _LONGEST_XML or b"<!" in content:  # "<!": entities
        return content
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return content
    _drop_statistics(root)
    if not len(root):
        return b""
    return ElementTree.canonicalize(ElementTree.tostring(root, "unicode"), strip_text=True).encode()


def _drop_statistics(element: ElementTree.Element) -> None:
    """Take statistics and histograms out of the tree, and what is empty then."""
    for child in list(element):
        _drop_statistics(child)
        counts = child.tag == "Histograms" or child.get("key", "").startswith("STATISTICS_")
        if counts or (child.tag in ("Metadata", "PAMRasterBand") and not len(child)):
            element.remove(child)
