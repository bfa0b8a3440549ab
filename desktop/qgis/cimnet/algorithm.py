"""What both algorithms share: the rasters, the Python, the run."""

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsSettings,
)

from .run import CimnetError, run_cimnet

SETTING = "cimnet/python"


class CimnetAlgorithm(QgsProcessingAlgorithm):
    """Base of the algorithms: subclasses say which words they give to the command line."""

    RGB, THERMAL, PYTHON = "RGB", "THERMAL", "PYTHON"

    def createInstance(self):
        """A new one, as QGIS asks for it."""
        return type(self)()

    def group(self):
        """No groups: there are two algorithms."""
        return ""

    def groupId(self):
        """See `group`."""
        return ""

    def add_rasters(self):
        """The pair."""
        self.addParameter(QgsProcessingParameterRasterLayer(self.RGB, "RGB raster"))
        self.addParameter(QgsProcessingParameterRasterLayer(self.THERMAL, "Thermal raster"))

    def add_python(self):
        """Which Python runs cimnet; the last choice is remembered."""
        parameter = QgsProcessingParameterString(
            self.PYTHON,
            'Python that has cimnet (pip install "cimnet[geo]")',
            defaultValue=QgsSettings().value(SETTING, "python3"),
        )
        parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
        self.addParameter(parameter)

    def rasters(self, parameters, context):
        """The files of both rasters."""
        found = []
        for name in (self.RGB, self.THERMAL):
            layer = self.parameterAsRasterLayer(parameters, name, context)
            if layer is None:
                raise QgsProcessingException(f"{name}: not a raster; choose a GeoTIFF")
            found.append(layer.source())
        return found

    def run_words(self, words, parameters, context, feedback):
        """Run cimnet; raises what it says when it fails, and ends quietly when it is cancelled."""
        python = self.parameterAsString(parameters, self.PYTHON, context)
        feedback.pushCommandInfo(f"{python} -m cimnet.cli {' '.join(words)}")
        try:
            done = run_cimnet(python, words, feedback.setProgress, feedback.pushInfo, feedback.isCanceled)
        except CimnetError as error:
            raise QgsProcessingException(str(error)) from error
        if done:
            QgsSettings().setValue(SETTING, python)
        return done
