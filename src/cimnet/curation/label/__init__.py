"""Labels for pairs that have none: to a labelling tool and back, or from boxes."""

from __future__ import annotations

from cimnet.curation.label.box_labels import BoxLabels, label_from_boxes
from cimnet.curation.label.export import TOOLS, Exported, export_for_labelling
from cimnet.curation.label.import_masks import Imported, import_masks

__all__ = ["TOOLS", "BoxLabels", "Exported", "Imported", "export_for_labelling", "import_masks", "label_from_boxes"]
