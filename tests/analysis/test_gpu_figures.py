"""The figures of one GPU: what counts as measured."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import OpenScript


def test_a_trial_on_the_cpu_stands_for_no_figure(tmp_path: Path, open_script: OpenScript) -> None:
    done = open_script("gpu.py")["done"]
    file = tmp_path / "gpu.jsonl"
    rows = [
        {"job": "tests", "what": "end", "tiny": True},
        {"job": "real steps", "what": "end", "tiny": False},
        {"job": "real steps", "what": "failed", "error": "no CUDA device here"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"job": "cut')
    assert done(file, False) == {("real steps", "end")}
    assert done(file, True) == {("tests", "end")}
