"""Names, partners, lists and splits: everything that does not fit together is reported, all at once."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.check import check_dataset
from cimnet.curation.check.splits import read_splits
from cimnet.data import LAYOUTS, Folder
from cimnet.data.io.patterns import FileIndex
from cimnet.errors import DataError
from tests.data.layouts.test_broken_folders import AT_OPENING, AT_READING, save
from tests.fakes.layouts import make_folder, make_kust4k, make_mfnet, write_list

from .sets import Break, by_code, change, check, check_broken, make_msrs, names

NO_ERRORS = {"missing labels folder", "no list"}
"""What `open_dataset` refuses if asked for it, but what a set for prediction, or for tests alone, may lack."""

CASES: dict[str, tuple[Break, str, str, list[str]]] = {
    "no thermal": (lambda r: (r / "thermal/001.png").unlink(), "missing-partner", "error", ["001"]),
    "no rgb": (lambda r: (r / "rgb/007.png").unlink(), "missing-partner", "error", ["007"]),
    "no thermal, not listed": (lambda r: save(r / "rgb/extra.png", "RGB"), "spare-image", "warning", ["extra"]),
    "no label": (lambda r: (r / "labels/001.png").unlink(), "missing-label", "error", ["001"]),
    "label alone": (lambda r: save(r / "labels/extra.png"), "leftover-label", "warning", ["extra"]),
    "no labels": (lambda r: (r / "labels").rename(r / "old"), "no-labels", "warning", []),
    "no thermal at all": (lambda r: [p.unlink() for p in (r / "thermal").iterdir()], "no-pairs", "error", []),
    "other names": (
        lambda r: [p.rename(p.with_stem(f"{p.stem}_ir")) for p in (r / "thermal").iterdir()],
        "no-pairs",
        "error",
        [],
    ),
    "other name": (lambda r: (r / "rgb/003.png").rename(r / "rgb/003a.png"), "missing-partner", "error", ["003"]),
    "two files of one name": (lambda r: save(r / "thermal/001.bmp"), "same-name", "error", ["thermal/001.png"]),
    "name without files": (
        lambda r: write_list(r / "val.txt", ["006", "007", "008", "nine"]),
        "listed-missing",
        "error",
        ["nine"],
    ),
    "flag of nothing": (
        lambda r: write_list(r / "broke_TIR.txt", ["777"]),
        "listed-missing-elsewhere",
        "warning",
        ["777"],
    ),
    "scene of nothing": (
        lambda r: write_list(r / "night.txt", ["777"]),
        "listed-missing-elsewhere",
        "warning",
        ["777"],
    ),
    "listed twice": (
        lambda r: write_list(r / "val.txt", ["006", "007", "008", "rgb/006.png"]),
        "listed-twice",
        "error",
        ["006"],
    ),
    "in two splits": (
        lambda r: write_list(r / "val.txt", ["006", "007", "008", "000"]),
        "in-two-splits",
        "error",
        ["000"],
    ),
    "not listed": (lambda r: write_list(r / "val.txt", ["006"]), "unlisted", "warning", ["007", "008"]),
    "empty list": (lambda r: (r / "val.txt").write_text("\n"), "empty-list", "error", ["val.txt"]),
    "no UTF-8": (lambda r: (r / "val.txt").write_bytes(b"\xff\xfe0"), "list-unreadable", "error", ["val.txt"]),
    "flags not UTF-8": (
        lambda r: (r / "broke_RGB.txt").write_bytes(b"\xff\xfe0"),
        "list-unreadable",
        "error",
        ["broke_RGB.txt"],
    ),
    "scenes not UTF-8": (
        lambda r: [(r / "scenes").mkdir(), (r / "scenes/fog.txt").write_bytes(b"\xff\xfe0")],
        "list-unreadable",
        "error",
        ["scenes/"],
    ),
    "bad yaml": (lambda r: (r / "classes.yaml").write_text("classes: [a"), "class-file", "error", []),
    "no layout": (lambda r: (r / "rgb").rename(r / "colour"), "layout", "error", []),
    "no classes": (lambda r: (r / "classes.yaml").unlink(), "no-classes", "error", []),
}


@pytest.mark.parametrize("case", CASES)
def test_found(tmp_path: Path, case: str) -> None:
    break_, code, severity, concerned = CASES[case]
    findings = check_broken(tmp_path, break_)
    assert code in findings, findings
    assert findings[code].severity == severity
    assert names(findings[code]) == concerned
    assert "\n" not in findings[code].message + findings[code].remedy


@pytest.mark.parametrize("case", [*AT_OPENING, *AT_READING])
def test_whatever_opening_or_reading_refuses_is_an_error(tmp_path: Path, case: str) -> None:
    {**AT_OPENING, **AT_READING}[case][0](make_folder(tmp_path))
    assert check(tmp_path).exit_code() == (case not in NO_ERRORS)


def test_clean_sets(tmp_path: Path) -> None:
    clean = [
        make_folder(tmp_path / "png"),
        make_folder(tmp_path / "jpeg", ext="jpg", n=12),
        make_mfnet(tmp_path / "mfnet"),
        make_msrs(tmp_path / "msrs"),
        make_msrs(tmp_path / "same names", same_names=True),
    ]
    for root in clean:
        assert check(root).findings == (), root
    kust4k = check(make_kust4k(tmp_path / "kust4k"))
    assert kust4k.exit_code(strict=True) == 0
    assert kust4k.layout == "kust4k"
    assert kust4k.summary["flags"] == {"broken": 1, "rgb_broken": 1, "thermal_broken": 1, "weakly_aligned": 1}


def test_everything_at_once(tmp_path: Path) -> None:
    keys = ["no thermal", "no rgb", "no label", "label alone", "flag of nothing"]
    findings = check_broken(
        tmp_path,
        *(CASES[key][0] for key in keys),
        lambda r: save(r / "thermal/002.bmp"),
        lambda r: write_list(r / "val.txt", ["006", "007", "008", "nine", "000", "006"]),
        lambda r: (r / "rgb/004.png").write_bytes(b""),
        lambda r: save(r / "labels/005.png", "1"),
    )
    assert findings.keys() >= {
        "missing-partner", "missing-label", "leftover-label", "same-name", "listed-missing-elsewhere", "listed-missing",
        "in-two-splits", "listed-twice", "empty-file", "one-bit",
    }  # fmt: skip
    assert names(findings["missing-partner"]) == ["001", "007"]
    assert names(findings["missing-label"]) == ["001"]
    assert names(findings["same-name"]) == ["thermal/002.png"]


def test_upper_and_lower_case(tmp_path: Path) -> None:
    make_folder(tmp_path, names=["a", "b", "c", "d"])
    (tmp_path / "rgb/b.png").rename(tmp_path / "rgb/B.png")
    write_list(tmp_path / "test.txt", ["D"])
    findings = by_code(check(tmp_path))
    assert [(item.name, item.detail) for item in findings["case"].items] == [("B", "b in thermal, b in labels")]
    assert set(findings) == {"case", "listed-missing", "unlisted"}
    assert findings["listed-missing"].items[0].detail == "named in test.txt; d differs in upper and lower case only"


def test_pairs_alone_are_enough_to_predict_and_to_label(tmp_path: Path) -> None:
    make_folder(tmp_path, n=8)
    for path in [*(tmp_path / "labels").iterdir(), *tmp_path.glob("*.txt"), tmp_path / "classes.yaml"]:
        path.unlink()
    (tmp_path / "labels").rmdir()
    report = check(tmp_path)
    assert [(f.severity, f.code) for f in report.findings] == [("warning", "no-labels")]
    assert report.exit_code() == 0
    for word in ("predict", "data align", "data label", "eval --boxes", "train", "--classes"):
        assert word in report.findings[0].remedy
    write_list(tmp_path / "train.txt", ["000", "001"])
    assert "no-classes" in by_code(check(tmp_path))
    (tmp_path / "train.txt").unlink()
    (tmp_path / "labels").mkdir()
    save(tmp_path / "labels/001.png")
    findings = by_code(check(tmp_path))
    assert (findings["no-classes"].severity, findings["missing-label"].severity) == ("error", "error")


def test_labels_that_are_not_needed(tmp_path: Path) -> None:
    make_folder(tmp_path, n=8)
    for name in ("006", "007"):
        (tmp_path / "labels" / f"{name}.png").unlink()
    write_list(tmp_path / "test.txt", [])
    (tmp_path / "test.txt").rename(tmp_path / "unlabelled.txt")
    write_list(tmp_path / "unlabelled.txt", ["006", "007"])
    write_list(tmp_path / "README.txt", ["These pairs", "were made", "up 001"])
    report = check(tmp_path)
    assert [(f.severity, f.code, names(f)) for f in report.findings] == [("note", "unlabelled", ["006", "007"])]
    counts = {split: (row["pairs"], row["labelled"]) for split, row in report.summary["splits"].items()}
    assert counts == {"train": (4, 4), "val": (2, 2), "unlabelled": (2, 0)}
    (tmp_path / "rgb/000.png").write_bytes(b"")
    assert [f.code for f in check(tmp_path).findings] == ["empty-file", "unlabelled"]  # the worst comes first


def test_lists_that_are_parts_of_splits(tmp_path: Path) -> None:
    make_folder(tmp_path)
    write_list(tmp_path / "small.txt", ["000", "001"])
    report = check(tmp_path)
    assert not report.findings
    assert set(report.summary["splits"]) == {"train", "val", "test"}


def test_split_folders(tmp_path: Path) -> None:
    make_msrs(tmp_path, same_names=True)
    (tmp_path / "test/ir/00001D.png").unlink()
    (tmp_path / "train/Segmentation_labels/00002D.png").unlink()
    findings = by_code(check(tmp_path))
    assert {code: names(finding) for code, finding in findings.items()} == {
        "missing-partner": ["test/00001D"],
        "missing-label": ["train/00002D"],
    }


def test_mirrored_names_of_mfnet(tmp_path: Path) -> None:
    make_mfnet(tmp_path)
    write_list(tmp_path / "train.txt", ["00000D", "00001N", "00002D", "00000D_flip"])
    assert not check(tmp_path).findings
    write_list(tmp_path / "val.txt", ["00003N", "00001N_flip"])
    assert names(by_code(check(tmp_path))["in-two-splits"]) == ["00001N"]
    write_list(make_folder(tmp_path / "other") / "val.txt", ["003", "000_flip"])
    assert names(by_code(check(tmp_path / "other"))["listed-missing"]) == ["000_flip"]


def test_patterns_in_the_yaml_with_two_files_of_one_name(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for path in (tmp_path / "rgb").iterdir():
        path.rename(path.with_stem(f"{path.stem}_V"))
    with (tmp_path / "classes.yaml").open("a") as file:
        file.write('files: {rgb: "rgb/{name}_V"}\n')
    assert not check(tmp_path).findings
    save(tmp_path / "rgb/003_V.bmp", "RGB")
    report = check(tmp_path)
    assert [f.code for f in report.findings] == ["same-name"]
    assert report.summary["pairs"] == 6


def test_a_layout_with_a_will_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Folder):
        @classmethod
        def index(cls, root: Path) -> FileIndex:
            raise DataError(f"{root}: too odd")

    monkeypatch.setitem(LAYOUTS, "odd", Odd)
    report = check(make_folder(tmp_path), layout="odd")
    assert [(f.code, f.message) for f in report.findings] == [("layout", "too odd")]


def test_strange_names_and_links(tmp_path: Path) -> None:
    make_folder(tmp_path, names=["frame 1.left", "Bäume 二", "c*_[d]"])
    assert not check(tmp_path).findings
    try:
        (tmp_path / "rgb" / "loop").symlink_to(tmp_path / "rgb")
        (tmp_path / "rgb" / "self.png").symlink_to(tmp_path / "rgb" / "self.png")
    except OSError:
        pytest.skip("no links here")
    Image.new("L", (40, 32)).save(tmp_path / "thermal" / "self.png")
    findings = by_code(check(tmp_path))
    assert names(findings["unreadable"]) == ["rgb/self.png"]
    assert names(findings["unlisted"]) == ["self"]


def test_classes_asked_for(tmp_path: Path) -> None:
    make_folder(tmp_path)
    assert not check(tmp_path, classes=["background", "person", "car"]).findings
    report = check(tmp_path, classes=["background", "car", "person"])
    assert [f.code for f in report.findings] == ["other-classes"]
    (tmp_path / "classes.yaml").unlink()
    assert not check(tmp_path, classes=["a", "b", "c"]).findings
    for path in (tmp_path / "labels").iterdir():
        change(path, lambda v: np.where(v == 2, 4, v).astype(np.uint8))
    report = check(tmp_path)
    assert [f.code for f in report.findings] == ["no-classes"]
    rows = {row["name"]: row["images"] for row in report.summary["classes"]}
    assert rows == {"id 0": 6, "id 1": 6, "id 2": 0, "id 3": 0, "id 4": 6}


def test_arguments_that_mean_nothing(tmp_path: Path) -> None:
    make_folder(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        check_dataset(tmp_path / "absent")
    with pytest.raises(DataError, match="no layout 'coco'"):
        check_dataset(tmp_path, layout="coco")
    with pytest.raises(DataError, match="no built-in list 'coco'"):
        check_dataset(tmp_path, classes="coco")
    with pytest.raises(DataError, match="thermal_range"):
        check_dataset(tmp_path, thermal_range=(3, 1))
    assert [f.code for f in check(tmp_path, layout="mfnet").findings] == ["layout"]


def test_names_in_two_splits_are_found_in_time_that_follows_their_number(tmp_path: Path) -> None:
    make_folder(tmp_path)
    index = Folder.index(tmp_path)

    def seconds(count: int) -> float:
        listed = [f"{n:06}" for n in range(count)]
        write_list(tmp_path / "train.txt", listed)
        write_list(tmp_path / "val.txt", listed[::-1])
        start = time.process_time()
        found = {finding.code: finding for finding in read_splits(tmp_path, Folder, index)[1]}
        assert len(found["in-two-splits"].items) == count
        return time.process_time() - start

    few = min(seconds(1000) for _ in range(3))
    assert seconds(16_000) < 60 * few  # of a quadratic search it is more than 120
