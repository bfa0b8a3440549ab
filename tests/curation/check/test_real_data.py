"""What real data give; skipped where they are not."""

from __future__ import annotations

from pathlib import Path

from tests.data.test_real_data import real

from .sets import check


def test_mm5() -> None:
    report = check(real("mm5"))
    assert [f.code for f in report.findings] == ["thermal-range", "class-absent-in-split"]
    assert report.exit_code() == 0
    assert report.summary["depths"] == {"uint16": 283}
    low, high = report.summary["thermal"]["low"], report.summary["thermal"]["high"]
    assert 17_900 < low < high < 22_400


def test_msrs_real(tmp_path: Path) -> None:
    report = check(real("msrs-real"), classes="mfnet")
    assert [f.code for f in report.findings] == ["class-absent-in-split", "unlabelled", "class-rare"]
    assert {split: row["pairs"] for split, row in report.summary["splits"].items()} == {
        "train": 45,
        "test": 15,
        "unlabelled": 150,
    }
    assert report.summary["scenes"] == {"night": 106, "day": 104}
    report.contact_sheet(tmp_path / "sheet.jpg")
