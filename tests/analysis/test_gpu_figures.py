"""The figures of one GPU: what counts as measured."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from tests import ROOT


def test_a_trial_on_the_cpu_stands_for_no_figure(tmp_path: Path) -> None:
    done = runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"))["done"]
    file = tmp_path / "gpu.jsonl"
    rows = [
        {"job": "tests", "what": "end", "tiny": True},
        {"job": "real steps", "what": "end", "tiny": False},
        {"job": "real steps", "what": "failed", "error": "no CUDA device here"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"job": "cut')
    assert done(file, False) == {("real steps", "end")}
    assert done(file, True) == {("tests", "end")}
