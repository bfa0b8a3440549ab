"""Segment a pair of rasters."""

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterVectorDestination,
)

from .algorithm import CimnetAlgorithm


class PredictPair(CimnetAlgorithm):
    """`cimnet geo`."""

    CHECKPOINT, WINDOW, BOTH, OUTPUT, POLYGONS = "CHECKPOINT", "WINDOW", "REQUIRE_BOTH", "OUTPUT", "POLYGONS"

    def name(self):
        """cimnet:predict."""
        return "predict"

    def displayName(self):
        """As it is shown."""
        return "Segment a pair of rasters"

    def shortHelpString(self):
        """The text beside the dialog."""
        return (
            "Segments an RGB and a thermal raster into the classes of a cimnet checkpoint. The rasters may differ in "
            "resolution, extent and reference system; the result lies on the grid of the RGB raster, in the colours of "
            "its classes. Run it again with the same output to resume a cancelled run."
        )

    def initAlgorithm(self, configuration=None):
        """The parameters."""
        self.add_rasters()
        self.addParameter(
            QgsProcessingParameterFile(
                self.CHECKPOINT,
                "Checkpoint: file, run folder, USER/NAME on the Hub, or starter (comes with cimnet)",
                defaultValue="starter",
                optional=True,  # else `qgis_process` asks for it in spite of the default
                fileFilter="Checkpoints (*.safetensors *.onnx *.xml);;All files (*)",  # * also lets names pass
            )
        )
        self.addParameter(
            QgsProcessingParameterNumber(
                self.WINDOW, "Side of the windows, pixels (empty: automatic)", optional=True, minValue=32
            )
        )
        self.addParameter(QgsProcessingParameterBoolean(self.BOTH, "Only where both rasters have data", False))
        self.addParameter(QgsProcessingParameterRasterDestination(self.OUTPUT, "Classes"))
        self.addParameter(
            QgsProcessingParameterVectorDestination(self.POLYGONS, "Polygons", optional=True, createByDefault=False)
        )
        self.add_last()

    def processAlgorithm(self, parameters, context, feedback):
        """Run it."""
        out = self.parameterAsOutputLayer(parameters, self.OUTPUT, context)
        words = ["geo", self.parameterAsFile(parameters, self.CHECKPOINT, context)]
        words += [*self.shared_words(parameters, context), "--out", out]
        result = {self.OUTPUT: out}
        if parameters.get(self.WINDOW) is not None:
            words += ["--window", str(self.parameterAsInt(parameters, self.WINDOW, context))]
        if self.parameterAsBool(parameters, self.BOTH, context):
            words.append("--require-both")
        if parameters.get(self.POLYGONS):
            result[self.POLYGONS] = self.parameterAsOutputLayer(parameters, self.POLYGONS, context)
            words += ["--polygons", result[self.POLYGONS]]
        return result if self.run_words(words, parameters, context, feedback) else {}
