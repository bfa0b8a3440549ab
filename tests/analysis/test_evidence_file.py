"""The file that benchmarks of several data sets share."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from .conftest import OpenScript


def test_one_run_writes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_script: OpenScript) -> None:
    """So that a run of another data set, which reads, adds and writes, loses nothing."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = tmp_path / "scores.json"
    merge = open_script("evidence.py")["merge"]
    writing = threading.Thread(target=merge, args=(file, "second", {"miou": 2}, lambda *item: str(item)), daemon=True)
    with FileLock(tmp_path / "scores.json.lock"):
        writing.start()
        writing.join(0.3)
        assert writing.is_alive()
        file.write_text(json.dumps({"first": {"miou": 1}}))
    writing.join(60)
    assert json.loads(file.read_text()) == {"first": {"miou": 1}, "second": {"miou": 2}}
    assert file.with_suffix(".md").read_text() == "('first', {'miou': 1})\n('second', {'miou': 2})"
