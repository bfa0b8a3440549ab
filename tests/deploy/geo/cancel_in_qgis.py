"""Run `cimnet:predict` in the Python that QGIS brings, and cancel it after a fifth of the way.

    /usr/bin/python3 tests/deploy/geo/cancel_in_qgis.py '{"RGB": …, "OUTPUT": …}'

Prints what the algorithm returned, its progress, and that of a second run to the end, as JSON.
"""

import json
import sys
from pathlib import Path

from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingFeedback


class Feedback(QgsProcessingFeedback):
    """Collects progress, and cancels the run if asked."""

    def __init__(self, cancels):
        super().__init__()
        self.told, self.errors = [], []
        self.progressChanged.connect(lambda percent: self.take(percent, cancels))

    def take(self, percent, cancels):
        """One step of progress."""
        self.told.append(percent)
        if cancels and percent > 20:
            self.cancel()

    def reportError(self, text, fatal=False):
        """Why a run failed."""
        self.errors.append(text)


application = QgsApplication([], False)
application.initQgis()
sys.path.insert(0, str(Path(__file__).parents[3] / "desktop" / "qgis"))
from cimnet.provider import CimnetProvider  # noqa: E402 - QGIS must run

provider = CimnetProvider()
QgsApplication.processingRegistry().addProvider(provider)
asked = json.loads(sys.argv[1])
found = []
for stops in (True, False):
    algorithm = QgsApplication.processingRegistry().algorithmById("cimnet:predict").create()
    feedback = Feedback(stops)
    result, _ = algorithm.run(asked, QgsProcessingContext(), feedback)
    there = Path(asked["OUTPUT"]).exists()
    found.append({"result": result, "progress": feedback.told, "errors": feedback.errors, "there": there})
print(json.dumps(found))
sys.stdout.flush()
application.exitQgis()
