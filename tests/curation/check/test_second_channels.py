"""`cimnet data check` on second images of several channels: each is decoded and looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")

from cimnet.curation.check import Report, check_dataset
from cimnet.data import open_dataset
from tests.fakes.bands import CLASSES, HEIGHT, WIDTH, make_second, make_stack, write_bands

COUNTS = np.random.default_rng(0).integers(900, 1100, (2, HEIGHT, WIDTH)).astype(np.uint16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_second(tmp_path)
    (root / "classes.yaml").write_text(f"{CLASSES}second: {{name: nir, channels: 2}}\nthermal_range: [0, 4000]\n")
    return root


def _found(report: Report) -> dict[str, list[str]]:
    return {finding.code: [item.name for item in finding.items] for finding in report.findings}


def test_a_sound_set_is_sound(root: Path) -> None:
    report = check_dataset(root, estimate=lambda rgb, thermal: (0.0, 0.0) if thermal.ndim == 2 else None)
    assert not [finding for finding in report.findings if finding.severity == "error"], report.findings
    assert report.summary["formats"]["thermal"] == {"TIFF of 2 bands": 6}
    assert report.summary["depths"] == {"uint16": 6}
    assert report.summary["alignment"]["median"] == 0
    highest = max(int(open_dataset(root, split).arrays(k).thermal.max()) for split in ("train", "val") for k in (0, 1))
    assert report.summary["thermal"]["low"] >= 900
    assert 2900 < report.summary["thermal"]["high"] <= highest + 100
    assert report.sheet is not None


def test_what_is_wrong_with_any_channel_is_reported(root: Path) -> None:
    """A dead second channel, padding in it, saturation; another number of bands; another depth; a copy."""
    dead, saturated, padded = COUNTS.copy(), COUNTS.copy(), COUNTS.copy()
    dead[1], saturated[1, 2:-2:3, 2:-2], padded[1, :4, :40] = 7, 1099, 65000
    for number, values in enumerate((dead, saturated, padded, COUNTS[[0, 1, 1]], COUNTS.astype(np.float32), COUNTS)):
        write_bands(root / "nir" / f"{number}.tif", values)
    found = _found(check_dataset(root))
    assert found["thermal-constant"] == ["0"]
    assert found["thermal-saturated"] == ["1"]
    assert found["thermal-padding"] == ["2"]
    assert found["mixed-depths"] == ["4"]
    assert found["other-bands"] == ["nir/3.tif"]


def test_copies_are_copies_in_all_channels(root: Path) -> None:
    for number in (0, 1):
        values = COUNTS.copy()
        values[1] += np.uint16(number)
        write_bands(root / "nir" / f"{number}.tif", values)
    assert "repeated-thermal" not in _found(check_dataset(root))
    write_bands(root / "nir" / "1.tif", COUNTS)
    assert _found(check_dataset(root))["repeated-thermal"] == ["0"]


def test_bands_of_the_rgb_file(tmp_path: Path) -> None:
    root = make_stack(tmp_path)
    (root / "classes.yaml").write_text(
        f"{CLASSES}second: {{name: nir, channels: 2}}\n"
        "files: {rgb: 'img/{name}', nir: 'img/{name}', labels: 'labels/{name}'}\n"
        "bands: {rgb: [3, 2, 1], nir: [4, 5], rgb_range: [0, 4000]}\nthermal_range: [0, 4000]\n"
    )
    report = check_dataset(root)
    assert not [finding for finding in report.findings if finding.code == "unreadable"], report.findings
    assert report.summary["formats"]["thermal"] == {"TIFF of 6 bands": 4}
    (root / "classes.yaml").write_text(
        f"{CLASSES}second: {{name: nir, channels: 2}}\nfiles: {{rgb: 'img/{{name}}', nir: 'img/{{name}}'}}\n"
    )
    texts = [item.detail for finding in check_dataset(root).findings for item in finding.items]
    assert any("given for both images, where nir (2 channels) is expected" in text for text in texts), texts
