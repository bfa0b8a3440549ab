"""The file of confusion matrices by image."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from cimnet.analysis.cross_validation.held_out import HeldOut, read_held_out
from cimnet.errors import DataError


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    HeldOut(("a", "b"), np.arange(18).reshape(1, 2, 3, 3)).write(path)
    assert read_held_out(path, "").pooled.sum() == 153
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("matrices.npy")
    begin = (
        entry.header_offset
        + 30
        + len(entry.filename)
        + int.from_bytes(content[entry.header_offset + 28 : entry.header_offset + 30], "little")
    )
    for damaged in (content[:200], content[:begin] + b"\xff\xff" + content[begin + 2 :], b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"images\.npz: cannot be read .*; score it again"):
            read_held_out(path, "score it again")
