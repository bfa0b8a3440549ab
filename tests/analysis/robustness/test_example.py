"""examples/robustness_of_your_model.py runs as it is, and docs/guides/robustness.md shows its heart."""

from __future__ import annotations

import re
import runpy

from cimnet.analysis.robustness import PRESETS
from tests import ROOT

from .conftest import make_columns

EXAMPLE = ROOT / "examples" / "robustness_of_your_model.py"
DOCS = (ROOT / "docs" / "guides" / "robustness.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path, capsys) -> None:
    root = make_columns(tmp_path / "columns", names=("0D", "1N"))
    runpy.run_path(str(EXAMPLE))["main"]([str(root), "--out", str(tmp_path / "out")])
    assert "# Robustness of your model" in capsys.readouterr().out
    assert (tmp_path / "out" / "robustness.html").is_file()


def test_the_docs_show_lines_of_the_example() -> None:
    shown = DOCS.split("```python\n")[1].split("```")[0]
    example = EXAMPLE.read_text(encoding="utf-8")
    for line in filter(None, map(str.strip, shown.splitlines())):
        assert line in example, line


def test_the_docs_name_every_preset() -> None:
    page = (ROOT / "docs" / "reference" / "robustness.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(PRESETS)
