"""The modules that build the site lie beside its pages."""

from __future__ import annotations

import sys

from tests import ROOT

sys.path.append(str(ROOT / "docs" / "_site"))
