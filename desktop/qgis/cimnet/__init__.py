"""QGIS plugin: the Processing algorithms of cimnet."""


def classFactory(iface):
    """The plugin, as QGIS asks for it."""
    from .plugin import CimnetPlugin

    return CimnetPlugin()
