"""The style that QGIS gives to a layer without being asked: NAME.qml beside NAME.tif and NAME.gpkg.

Without it the legend of the raster has 256 entries, as many as its colour table, and all polygons have one colour.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from cimnet.utils.colors import Color, hex_color


def qgis_style(classes: Sequence[str], colors: Sequence[Color]) -> str:
    """One style for both kinds of layer: a raster of class ids takes the palette, polygons take the categories of
    their field `id`."""
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    paletted = {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    palette = ElementTree.SubElement(ElementTree.SubElement(pipe, "rasterrenderer", paletted), "colorPalette")
    renderer = ElementTree.SubElement(root, "renderer-v2", type="categorizedSymbol", attr="id")
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for index, (name, color) in enumerate(zip(classes, colors, strict=True)):
        value, written = str(index), hex_color(color)
        ElementTree.SubElement(palette, "paletteEntry", value=value, color=written, alpha="255", label=name)
        ElementTree.SubElement(categories, "category", value=value, symbol=value, label=name, render="true")
        symbol = ElementTree.SubElement(symbols, "symbol", type="fill", name=value, alpha="1")
        fill = ElementTree.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1"})
        for key, setting in (("color", written), ("style", "solid"), ("outline_style", "no")):
            ElementTree.SubElement(fill, "prop", k=key, v=setting)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
