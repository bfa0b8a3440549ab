"""A picture of QGIS with the plugin at work: its main window with a segmented pair, and the plugin's dialog.

    make plugin
    mkdir -p q/profiles/default/python/plugins && cp -r desktop/qgis/cimnet q/profiles/default/python/plugins/
    export RGB=ortho.tif THERMAL=heat.tif CLASSES=classes.tif PICTURE=qgis.png
    xvfb-run -s "-screen 0 1400x900x24" \\
        qgis --profiles-path q --noversioncheck --nologo --code benchmarks/qgis_screenshot.py

QGIS runs this file in its own Python once it is open, and closes when the picture is written.
"""

import os

import processing
from qgis.core import Qgis, QgsApplication, QgsProject, QgsRasterLayer, QgsRectangle
from qgis.PyQt.QtCore import QPoint, QRect, QTimer
from qgis.PyQt.QtGui import QColor, QPainter
from qgis.utils import iface, loadPlugin, startPlugin

WIDTH, HEIGHT = 1280, 800


def show() -> None:
    """Load the plugin and the rasters, open the dialog, and wait for the map to be drawn."""
    from processing.core.Processing import Processing

    Processing.initialize()
    loadPlugin("cimnet")
    startPlugin("cimnet")
    window = iface.mainWindow()
    window.resize(WIDTH, HEIGHT)
    for name in ("messagebar", "Browser", "mBrowserToolBar"):
        for widget in window.findChildren(object, name):
            widget.hide()
    for name, path in (("RGB", os.environ["RGB"]), ("classes", os.environ["CLASSES"])):
        layer = QgsRasterLayer(path, name)
        assert layer.isValid(), layer.error().message()
        QgsProject.instance().addMapLayer(layer)
    values = {"RGB": os.environ["RGB"], "THERMAL": os.environ["THERMAL"]}
    dialog = processing.createAlgorithmDialog("cimnet:predict", values)
    dialog.resize(600, 640)
    dialog.show()
    QTimer.singleShot(2000, arrange)
    QTimer.singleShot(7000, lambda: save(window, dialog))


def arrange() -> None:
    """Open the legend, and leave room for the dialog on the right of the map."""
    layer = QgsProject.instance().mapLayersByName("classes")[0]
    iface.layerTreeView().expandAll()
    map_ = layer.extent()
    iface.mapCanvas().setExtent(
        QgsRectangle(map_.xMinimum(), map_.yMinimum(), map_.xMaximum() + 0.9 * map_.width(), map_.yMaximum())
    )
    iface.mapCanvas().refresh()


def save(window, dialog) -> None:
    """Draw the dialog over the window, as on a screen."""
    print("QGIS", Qgis.QGIS_VERSION)
    picture = window.grab(QRect(QPoint(0, 0), window.size()))
    over = dialog.grab()
    painter = QPainter(picture)
    place = QPoint(picture.width() - over.width() - 24, picture.height() - over.height() - 40)
    painter.fillRect(QRect(place - QPoint(1, 1), over.size()).adjusted(0, 0, 2, 2), QColor("#666666"))
    painter.drawPixmap(place, over)
    painter.end()
    picture.save(os.environ["PICTURE"])
    QgsApplication.instance().exit()
    os._exit(0)


QTimer.singleShot(3000, show)
