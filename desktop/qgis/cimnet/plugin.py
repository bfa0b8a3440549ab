"""Adds the provider to Processing."""

from qgis.core import QgsApplication

from .provider import CimnetProvider


class CimnetPlugin:
    """What QGIS loads."""

    def __init__(self):
        self.provider = None

    def initProcessing(self):
        """Register the provider; `qgis_process` calls this alone."""
        self.provider = CimnetProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """The same in the window."""
        self.initProcessing()

    def unload(self):
        """Take the provider out again."""
        QgsApplication.processingRegistry().removeProvider(self.provider)
