"""Class ids: outside, absent, shifted, ignored; the table of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fakes.layouts import HEIGHT, WIDTH, make_folder

from .sets import Change, by_code, change, check, names


def relabel(root: Path, how: Change, which: str = "*") -> Path:
    for path in (root / "labels").glob(f"{which}.png"):
        change(path, how)
    return root


def test_ids_outside_the_classes(tmp_path: Path) -> None:
    relabel(make_folder(tmp_path), lambda v: np.where(np.arange(WIDTH) < 2, 7, v).astype(np.uint8), "00[01]")
    relabel(tmp_path, lambda v: np.where(np.arange(WIDTH) < 1, 300, v.astype(np.uint16)), "002")
    findings = by_code(check(tmp_path))
    assert "labels-shifted" not in findings
    finding = findings["id-outside-classes"]
    assert "0..2 in 3 labels: 7 (128 pixels), 300 (32 pixels)" in finding.message
    assert [(item.name, item.detail) for item in finding.items] == [
        ("000", "id 7 (64 pixels)"),
        ("001", "id 7 (64 pixels)"),
        ("002", "id 300 (32 pixels)"),
    ]


def test_table_of_classes(tmp_path: Path) -> None:
    make_folder(tmp_path, n=8)
    truth = {path.stem: np.array(Image.open(path)) for path in (tmp_path / "labels").iterdir()}
    relabel(tmp_path, lambda v: np.where(v == 2, 255, v).astype(np.uint8), "001")
    truth["001"][truth["001"] == 2] = 255
    summary = check(tmp_path).summary
    every = np.stack(list(truth.values()))
    for row in summary["classes"]:
        there = every == row["id"]
        assert row["pixels"] == there.sum()
        assert row["images"] == there.any((1, 2)).sum()
        assert row["share"] == pytest.approx(there.sum() / (every != 255).sum())
        assert row["splits"]["val"] == sum((truth[name] == row["id"]).sum() for name in ("004", "005"))
    assert summary["ignore"] == {
        "pixels": (every == 255).sum(),
        "share": pytest.approx((every == 255).mean()),
        "images": 1,
    }


def test_absent_and_rare_classes(tmp_path: Path) -> None:
    relabel(make_folder(tmp_path, n=8), lambda v: np.minimum(v, 1))
    findings = by_code(check(tmp_path))
    assert set(findings) == {"class-absent"}
    assert names(findings["class-absent"]) == ["car"]

    def one_pixel(values: np.ndarray) -> np.ndarray:
        values[:, :] = np.minimum(values, 1)
        values[0, 0] = 2
        return values

    relabel(tmp_path, one_pixel, "000")
    findings = by_code(check(tmp_path))
    assert set(findings) == {"class-absent-in-split", "class-rare"}
    assert [(item.name, item.detail) for item in findings["class-absent-in-split"].items] == [
        ("car", "not in val"),
        ("car", "not in test"),
    ]
    assert "1 image" in findings["class-rare"].items[0].detail


def test_ids_one_too_high(tmp_path: Path) -> None:
    relabel(make_folder(tmp_path), lambda v: v + 1)
    findings = by_code(check(tmp_path))
    assert "id-outside-classes" in findings
    assert findings["labels-shifted"].severity == "warning"
    assert "one too high: 0 (background) is never used, but 3" in findings["labels-shifted"].message


def test_ids_one_too_low(tmp_path: Path) -> None:
    relabel(make_folder(tmp_path), lambda v: v - 1)  # 0 becomes 255
    findings = by_code(check(tmp_path))
    assert "one too low: 2 (car) is never used, and 255 (ignore) has" in findings["labels-shifted"].message
    assert findings["ignored"].severity == "warning"


@pytest.mark.parametrize("table", ["{1: background, 2: person, 3: car}", "{1: 0, 2: 1, 3: 2, 0: ignore}"])
def test_a_label_table_explains_a_shift(tmp_path: Path, table: str) -> None:
    relabel(make_folder(tmp_path), lambda v: v + 1)
    with (tmp_path / "classes.yaml").open("a") as file:
        file.write(f"label_table: {table}\n")
    assert not check(tmp_path).findings


def test_ignored_pixels(tmp_path: Path) -> None:
    relabel(make_folder(tmp_path), lambda v: np.where(np.arange(WIDTH) < 8, 255, v).astype(np.uint8))
    findings = by_code(check(tmp_path))
    assert findings["ignored"].severity == "note"
    assert findings["ignored"].message.startswith("20% of")
    relabel(tmp_path, lambda v: np.where(v == 2, 1, v).astype(np.uint8))
    assert by_code(check(tmp_path)).keys() == {"ignored", "class-absent"}
    with (tmp_path / "classes.yaml").open("a") as file:
        file.write("ignore_index: 1\n")
    assert check(tmp_path).summary["ignore"]["share"] > 0.2


def test_what_looks_like_a_shift_only(tmp_path: Path) -> None:
    relabel(make_folder(tmp_path), lambda v: np.where(np.arange(WIDTH) < 2, 3, v).astype(np.uint8))
    assert set(by_code(check(tmp_path))) == {"id-outside-classes"}
    relabel(tmp_path, lambda v: np.where(np.arange(WIDTH) < 16, 255, v).astype(np.uint8))
    relabel(tmp_path, lambda v: np.where(v == 2, 1, v).astype(np.uint8), "00[1-5]")
    assert by_code(check(tmp_path)).keys() & {"labels-shifted", "class-absent"} == set()
    with (tmp_path / "classes.yaml").open("a") as file:
        file.write("label_table: {0: background, 1: person, 2: person}\n")
    assert by_code(check(tmp_path)).keys() & {"labels-shifted", "class-absent"} == {"class-absent"}


def test_labels_of_one_class_or_none(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for name, value in (("000", 0), ("001", 255)):
        Image.fromarray(np.full((HEIGHT, WIDTH), value, np.uint8)).save(tmp_path / "labels" / f"{name}.png")
    findings = by_code(check(tmp_path))
    assert (findings["one-class"].severity, names(findings["one-class"])) == ("note", ["000"])
    assert (findings["label-empty"].severity, names(findings["label-empty"])) == ("warning", ["001"])


def test_cart_labels_of_three_channels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("color", "thermal16", "annotations"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (32, 40, 3), np.uint8)).save(tmp_path / f"color/a_eo-{number}.png")
        counts = rng.integers(0, 60000, (32, 40), np.uint16)
        Image.fromarray(counts).save(tmp_path / f"thermal16/a_thermal-{number}.tiff")
        label = rng.integers(0, 12, (32, 40, 1), np.uint8).repeat(3, 2)
        Image.fromarray(label).save(tmp_path / f"annotations/a_mask-{number}.png")
    report = check(tmp_path)
    assert report.layout == "cart"
    assert {f.code for f in report.findings} <= {"ignored"}
    assert report.summary["pairs"] == 3


def test_masks_of_0_and_255(tmp_path: Path) -> None:
    """As labelling tools write them: 255 is the object. Adding 1 to all ids would exchange the classes."""
    relabel(make_folder(tmp_path), lambda v: (255 * (v > 0)).astype(np.uint8))
    (tmp_path / "classes.yaml").write_text("classes: [background, warm]\n")
    findings = by_code(check(tmp_path))
    assert "labels-shifted" not in findings
    assert findings["binary-mask"].severity == "error"
    assert "no pixel of warm" in findings["binary-mask"].message
    assert "`label_table: {0: background, 255: warm}`" in findings["binary-mask"].remedy
    (tmp_path / "classes.yaml").write_text("classes: [background, warm]\nlabel_table: {0: background, 255: warm}\n")
    assert not {"binary-mask", "class-absent", "ignored", "labels-shifted"} & set(by_code(check(tmp_path)))
