"""The provider: two algorithms."""

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .check import CheckPair
from .predict import PredictPair


class CimnetProvider(QgsProcessingProvider):
    """Groups the algorithms under the name cimnet."""

    def loadAlgorithms(self):
        """Add the algorithms."""
        self.addAlgorithm(PredictPair())
        self.addAlgorithm(CheckPair())

    def id(self):
        """Part of the algorithms' names: cimnet:predict."""
        return "cimnet"

    def name(self):
        """As it is shown."""
        return "cimnet"

    def icon(self):
        """As it is shown."""
        return QIcon(str(Path(__file__).parent / "icon.svg"))
