"""What both algorithms share: the rasters, the Python, the run."""

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterBoolean,
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
    RGB_BANDS, THERMAL_BAND, OVERWRITE = "RGB_BANDS", "THERMAL_BAND", "OVERWRITE"

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

    def add_last(self):
        """What to do with outputs that exist, the bands, and which Python runs cimnet: the last one is remembered."""
        self.addParameter(QgsProcessingParameterBoolean(self.OVERWRITE, "Replace outputs that exist", False))
        python = QgsSettings().value(SETTING, "python3")
        for name, text, default in (
            (self.RGB_BANDS, "Bands that are red, green and blue, e.g. 3,2,1 (empty: automatic)", None),
            (self.THERMAL_BAND, "Band that is thermal, from 1 (empty: automatic)", None),
            (self.PYTHON, 'Python that has cimnet (pip install "cimnet[geo]")', python),
        ):
            optional = default is None
            parameter = QgsProcessingParameterString(name, text, defaultValue=default, optional=optional)
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
            self.addParameter(parameter)

    def shared_words(self, parameters, context):
        """The options of both commands: rasters, bands, whether to replace outputs, and how to tell the progress."""
        words = ["--progress-lines"]
        for option, name in (("--rgb", self.RGB), ("--thermal", self.THERMAL)):
            layer = self.parameterAsRasterLayer(parameters, name, context)
            if layer is None:
                raise QgsProcessingException(f"{name}: not a raster; choose a GeoTIFF")
            words += [option, layer.source()]
        for option, name in (("--rgb-bands", self.RGB_BANDS), ("--thermal-band", self.THERMAL_BAND)):
            bands = self.parameterAsString(parameters, name, context).strip()
            words += [option, bands] if bands else []
        if self.parameterAsBool(parameters, self.OVERWRITE, context):
            words.append("--overwrite")
        return words

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
