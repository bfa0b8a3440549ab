"""A folder that holds one pair of rasters."""

from __future__ import annotations

from pathlib import Path

import pytest

from cimnet.cli.geo import _only_pair
from cimnet.errors import DataError


def test_the_pair_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("site_rgb.tif", "site_thermal.tif"):
        (tmp_path / name).touch()
    assert _only_pair(tmp_path, tmp_path) == (tmp_path / "site_rgb.tif", tmp_path / "site_thermal.tif")
    assert "site_thermal.tif" in capsys.readouterr().out.replace("\n", "")
    for name in ("b_rgb.tif", "b_thermal.tif"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="2 pairs by their names; give two files"):
        _only_pair(tmp_path, tmp_path)
