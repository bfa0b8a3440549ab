"""What QGIS makes of the outputs of `cimnet geo`: run with the Python that QGIS brings.

    QT_QPA_PLATFORM=offscreen /usr/bin/python3 benchmarks/open_in_qgis.py classes.tif [classes.gpkg] [--picture map.png]

Prints reference system, renderer and legend and, of polygons, how many there are and how many are not valid.
"""

import argparse

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raster")
    parser.add_argument("polygons", nargs="?")
    parser.add_argument("--picture", help="PNG of the raster")
    options = parser.parse_args()
    application = QgsApplication([], False)
    application.initQgis()
    show(options.raster, options.polygons, options.picture)
    application.exitQgis()


def show(raster: str, polygons: str | None, picture: str | None) -> None:
    """Open them. The layers are gone when this returns, as QGIS needs it before it ends."""
    print("QGIS", Qgis.QGIS_VERSION)
    layer = QgsRasterLayer(raster, "classes")
    assert layer.isValid(), layer.error().message()
    print(raster, layer.crs().authid(), f"{layer.width()}×{layer.height()}", layer.extent().toString(1))
    print("   ", layer.renderer().type(), [(entry.label, entry.color.name()) for entry in layer.renderer().classes()])
    if polygons:
        shapes = QgsVectorLayer(polygons, "polygons", "ogr")
        assert shapes.isValid(), shapes.error().message()
        broken = sum(not feature.geometry().isGeosValid() for feature in shapes.getFeatures())
        print(polygons, shapes.crs().authid(), f"{shapes.featureCount()} polygons, {broken} not valid")
        print("   ", shapes.renderer().type(), [item.label() for item in shapes.renderer().legendSymbolItems()])
    if picture:
        settings = QgsMapSettings()
        settings.setLayers([layer])
        settings.setExtent(layer.extent())
        settings.setDestinationCrs(layer.crs())
        settings.setOutputSize(QSize(800, round(800 * layer.height() / layer.width())))
        job = QgsMapRendererSequentialJob(settings)
        job.start()
        job.waitForFinished()
        job.renderedImage().save(picture)


if __name__ == "__main__":
    main()
