"""Check how a pair of rasters lies, and move the thermal one."""

from qgis.core import QgsProcessingOutputNumber, QgsProcessingOutputString, QgsProcessingParameterRasterDestination

from .algorithm import CimnetAlgorithm


class CheckPair(CimnetAlgorithm):
    """`cimnet geo-check`."""

    OUTPUT = "OUTPUT"

    def name(self):
        """cimnet:check."""
        return "check"

    def displayName(self):
        """As it is shown."""
        return "Check and register a pair of rasters"

    def shortHelpString(self):
        """The text beside the dialog."""
        return (
            "Measures from the image content how far a thermal raster is displaced from an RGB raster. With an output, "
            "it writes a copy of the thermal raster, moved onto the RGB raster; its pixels are not resampled."
        )

    def initAlgorithm(self, configuration=None):
        """The parameters."""
        self.add_rasters()
        self.addParameter(
            QgsProcessingParameterRasterDestination(
                self.OUTPUT, "Thermal raster, moved", optional=True, createByDefault=False
            )
        )
        self.addOutput(QgsProcessingOutputString("STATUS", "ok or unknown"))
        for name, text in (("DX", "Offset to the right, RGB pixels"), ("DY", "Offset down, RGB pixels")):
            self.addOutput(QgsProcessingOutputNumber(name, text))
        self.addOutput(QgsProcessingOutputNumber("CONFIDENCE", "Confidence, 0 to 1"))
        self.add_last()

    def processAlgorithm(self, parameters, context, feedback):
        """Run it."""
        import json

        words = ["geo-check", *self.shared_words(parameters, context), "--json"]
        result = {}
        if parameters.get(self.OUTPUT):
            result[self.OUTPUT] = self.parameterAsOutputLayer(parameters, self.OUTPUT, context)
            words += ["--out", result[self.OUTPUT]]
        lines = []
        push = feedback.pushInfo
        feedback.pushInfo = lambda line: (lines.append(line), push(line))
        if not self.run_words(words, parameters, context, feedback):
            return {}
        found = next(json.loads(line) for line in reversed(lines) if line.startswith("{"))
        result.update(STATUS=found["status"], DX=found["dx"], DY=found["dy"], CONFIDENCE=found["confidence"])
        return result
