"""To a labelling tool and back: pairs with prelabels out, corrected masks in."""

from __future__ import annotations

from cimnet.curation.label.export import TOOLS, Exported, export_for_labelling
from cimnet.curation.label.import_masks import Imported, import_masks

__all__ = ["TOOLS", "Exported", "Imported", "export_for_labelling", "import_masks"]
