"""The report as text, JSON and pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from rich.markdown import Markdown

from cimnet.curation.check import Report
from cimnet.errors import CimnetError
from tests.fakes.layouts import make_folder, write_list

from .sets import broken, by_code, check, make_msrs

TYPES: dict[str, Any] = {
    "version": int, "cimnet": str, "root": str, "layout": str, "counts": dict, "findings": list, "summary": dict,
}  # fmt: skip
SUMMARY = {
    "layout": str, "pairs": int, "images": dict, "splits": dict, "sizes": dict, "formats": dict, "depths": dict,
    "scenes": dict, "flags": dict, "thermal": dict, "classes": list, "ignore": dict, "alignment": type(None),
}  # fmt: skip


def assert_types(content: dict[str, Any], types: dict[str, Any]) -> None:
    assert {key: type(value) for key, value in content.items()} == types


def test_json(tmp_path: Path) -> None:
    content = json.loads(check(broken(tmp_path)).to_json())
    assert_types(content, TYPES)
    assert_types(content["summary"], SUMMARY)
    assert content["version"] == 1
    assert content["counts"] == {"error": 4, "warning": 1, "note": 2}
    severities = [finding["severity"] for finding in content["findings"]]
    assert severities == ["error"] * 4 + ["warning"] + ["note"] * 2
    for finding in content["findings"]:
        assert_types(
            finding,
            {"severity": str, "code": str, "message": str, "remedy": str, "count": int, "items": list},
        )
        assert finding["count"] == len(finding["items"])
        for item in finding["items"]:
            assert_types(item, {"name": str, "detail": str, "others": list})
    codes = {finding["code"]: [item["name"] for item in finding["items"]] for finding in content["findings"]}
    assert codes["missing-partner"] == ["00003N"]
    assert codes["empty-file"] == ["RGB/00004D.png"]
    assert codes["rgb-black"] == ["00006D"]
    assert content["summary"]["images"] == {"rgb": 12, "thermal": 11, "label": 12}
    assert content["summary"]["pairs"] == 11
    assert content["summary"]["splits"]["train"]["pairs"] == 5
    assert content["summary"]["splits"]["val"] == {"pairs": 3, "labelled": 3, "scenes": {"day": 2, "night": 1}}
    assert content["summary"]["thermal"]["scaling"] == "the whole range of the bit depth"


def test_a_fatal_report_has_the_same_form(tmp_path: Path) -> None:
    report = check(tmp_path)
    content = json.loads(report.to_json())
    assert_types(content, TYPES)
    assert (content["layout"], content["summary"], report.exit_code()) == ("", {}, 1)
    assert "layout" in report.to_markdown()
    with pytest.raises(CimnetError, match="no pairs"):
        report.contact_sheet(tmp_path / "sheet.png")


def test_exit_codes(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    assert [check(root).exit_code(strict) for strict in (False, True)] == [0, 0]
    write_list(root / "val.txt", [])
    write_list(root / "val.txt", ["000x"])
    assert [check(root).exit_code(strict) for strict in (False, True)] == [1, 1]
    (root / "val.txt").unlink()
    assert [check(root).exit_code(strict) for strict in (False, True)] == [0, 1]


def printed(report: Report) -> str:
    console = Console(width=120, force_terminal=False, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(Markdown(report.to_markdown()))
    return console.export_text()


def test_markdown(tmp_path: Path) -> None:
    report = check(broken(tmp_path))
    text = report.to_markdown()
    assert text.startswith(f"# `{tmp_path.as_posix()}`: 4 errors, 1 warning, 2 notes")
    assert text.index("## Errors") < text.index("## Warnings") < text.index("## Notes") < text.index("## Classes")
    shown = printed(report)
    assert "RGB/00004D.png: the file is empty (0 bytes)" in shown
    assert "name them in broke_RGB.txt (then broken: drop leaves them out)" in " ".join(shown.split())
    assert "traffic_facilities" in shown
    assert "\\" not in shown


def test_markdown_shows_examples_only(tmp_path: Path) -> None:
    make_folder(tmp_path, n=20)
    for path in (tmp_path / "labels").glob("00?.png"):
        path.unlink()
    report = check(tmp_path)
    assert report.to_markdown().count("`00") == 5
    assert "and 5 more" in report.to_markdown()
    assert "and 8 more" in report.to_markdown(shown=2)
    assert by_code(report)["missing-label"].count == 10


def test_names_that_markdown_could_mistake(tmp_path: Path) -> None:
    make_folder(tmp_path, names=["a*b_c_[1]", "x`y", "z"])
    for name in ("a*b_c_[1]", "x`y"):
        (tmp_path / f"labels/{name}.png").unlink()
    (tmp_path / "classes.yaml").write_text("classes: ['*x*', _y_, '<z>|']\n")
    shown = printed(check(tmp_path))
    assert all(name in shown for name in ("*x*", "_y_", "<z>|"))
    assert "a*b_c_[1]" in shown
    assert "x'y" in shown


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_contact_sheet(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "sheets" / f"sheet.{suffix}"
    report = check(broken(tmp_path / "data"))
    report.contact_sheet(path)
    sheet = Image.open(path)
    assert sheet.width == 2 * (3 * 176 + 4 * 6)
    titles = [group.title for group in report.sheet.groups]
    assert titles[:3] == ["train: 6 pairs", "val: 3 pairs", "test: 3 pairs"]
    assert any(title.startswith("rgb-black: 1 RGB image") for title in titles)
    assert [job.name for job, _ in report.sheet.groups[1].pairs] == ["00008D"]  # the others have findings
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(CimnetError, match=r"\.png, \.jpg"):
        report.contact_sheet(tmp_path / "sheet.gif")


def test_contact_sheet_shows_what_is_there(tmp_path: Path) -> None:
    make_folder(tmp_path, n=1)
    label = np.zeros((32, 40), np.uint8)
    label[:, 20:], label[:4], label[-4:] = 1, 255, 7
    Image.fromarray(label).save(tmp_path / "labels/000.png")
    Image.new("RGB", (40, 32), (10, 200, 30)).save(tmp_path / "rgb/000.png")
    write_list(tmp_path / "train.txt", ["000"])
    report = check(tmp_path)
    report.contact_sheet(tmp_path / "sheet.png")
    pixels = np.array(Image.open(tmp_path / "sheet.png"))
    cells = pixels[24 + 24 + 16 : 24 + 24 + 16 + 141]
    assert cells[70, 90].tolist() == [10, 200, 30]
    (background, person), left = report.sheet.colors[:2], 6 + 2 * 182
    assert cells[70, left + 40].tolist() == list(background)
    assert cells[70, left + 130].tolist() == list(person)
    assert cells[4, left + 40].tolist() == [224, 224, 224]
    assert cells[138, left + 40].tolist() == [255, 0, 255]


def test_nothing_in_the_folder_changes(tmp_path: Path) -> None:
    root = make_msrs(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    check(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
