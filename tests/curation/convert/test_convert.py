"""From layouts to others: what is read afterwards is what was read before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from cimnet.curation.convert import convert
from cimnet.data import LAYOUTS, RGBTDataset, open_dataset
from cimnet.errors import DataError
from tests.fakes import layouts as fakes
from tests.fakes.layouts import make_arrays, save_array, to_16_bit, write_list

TARGETS = (*LAYOUTS, "colors")
DEEP = ("pst900_raw", "cart")
MAKERS: dict[str, Callable[[Path], Path]] = {
    "folder": fakes.make_folder,
    "mfnet": fakes.make_mfnet,
    "kust4k": fakes.make_kust4k,
    "msrs": fakes.make_msrs,
    "pst900": fakes.make_pst900,
    "pst900_raw": partial(fakes.make_pst900, eight_bit=False),
    "fmb": fakes.make_fmb,
    "cart": fakes.make_cart,
}
NAMES = [f"trip {index % 2}_{index:04d}" for index in range(7)]  # a name as every layout can keep it


def make_source(root: Path, to: str) -> Path:
    """The generic layout with what a target can hold: its classes, its depth, ignored pixels, scenes, flags, splits
    that are not in order, a pair without a label."""
    classes = LAYOUTS[to].info.classes if to in LAYOUTS else None
    names = ("ground", "car", "person") if classes is None else classes.names
    for index, name in enumerate(NAMES):
        rgb, thermal, label = make_arrays(index, classes=len(names))
        label[index, :9] = 255
        save_array(root / "rgb" / f"{name}.png", rgb)
        save_array(root / "thermal" / f"{name}.png", to_16_bit(thermal) if to in DEEP else thermal)
        if index != 2:
            save_array(root / "labels" / f"{name}.png", label)
    write_list(root / "train.txt", [NAMES[index] for index in (4, 0, 2)])
    write_list(root / "val.txt", [NAMES[index] for index in (1, 5)])
    write_list(root / "test.txt", [NAMES[index] for index in (6, 3)])
    write_list(root / "half.txt", [NAMES[index] for index in (3, 4)])
    write_list(root / "night.txt", NAMES[1:3])
    write_list(root / "dark_night.txt", NAMES[3:4])
    write_list(root / "scenes" / "fog.txt", NAMES[4:5])
    write_list(root / "broke_RGB.txt", NAMES[:1])
    write_list(root / "broke_TIR.txt", [])
    write_list(root / "weakly_aligned.txt", NAMES[:2])
    (root / "notes.txt").write_text("no names\n")
    (root / "sähne.txt").write_bytes(b"not \xff\xfe UTF-8")
    head = {"classes": list(names), "citation": "A and B, 2024", "licence": "CC BY 4.0"}
    (root / "classes.yaml").write_text(
        yaml.safe_dump(head | {"thermal_range": [10, 20000] if to in DEEP else [5, 250]})
    )
    return root


def assert_same(before: RGBTDataset, after: RGBTDataset, names: Callable[[str], str] = str) -> None:
    """Pixels, ids, scenes and flags of two data sets."""
    assert [names(name) for name in before.ids] == after.ids
    assert (before.scenes, before.flags) == (after.scenes, after.flags)
    assert before.classes == after.classes
    for index in range(len(before)):
        for left, right in zip(before.arrays(index), after.arrays(index), strict=True):
            if left is None or right is None:
                assert left is right
                continue
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)


def lists_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*.txt")}


@pytest.mark.parametrize("to", TARGETS)
def test_there_and_back(tmp_path: Path, to: str) -> None:
    source = make_source(tmp_path / "source", to)
    there = convert(source, tmp_path / "there", to)
    assert there == tmp_path / "there"
    back = convert(there, tmp_path / "back", "folder")
    opened = open_dataset(there, "all", require_labels=False)
    assert opened.name == ("folder" if to == "colors" else to)
    for split in ("train", "val", "test", "half", "all"):
        before = open_dataset(source, split, require_labels=False)
        assert_same(before, open_dataset(there, split, require_labels=False))
        after = open_dataset(back, split, require_labels=False)
        assert_same(before, after)
        assert before.scaling == after.scaling
        assert after.file.about == before.file.about
        if LAYOUTS["folder" if to == "colors" else to].info.classes is None:
            assert before.colors == after.colors
    assert not open_dataset(back, "all", require_labels=False, broken="drop").flags[0]
    lists = {"train.txt", "val.txt", "test.txt", "half.txt", "night.txt", "dark_night.txt", "scenes/fog.txt"}
    lists |= {"broke_RGB.txt", "broke_TIR.txt", "weakly_aligned.txt"}
    assert lists_below(back) == lists
    if LAYOUTS["folder" if to == "colors" else to].forms[0].labels.count("{split}"):  # a folder says it already
        unsorted = set() if to == "coco_panoptic" else {"train.txt"}
        assert lists_below(there) == lists - {"train.txt", "val.txt", "test.txt"} | unsorted
    assert open_dataset(there, "all", require_labels=False, broken="only").ids == NAMES[:1]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One data set a layout; do not write into them."""
    base = tmp_path_factory.mktemp("sources")
    return {name: make(base / name) for name, make in MAKERS.items()}


A_THIRD = [(origin, to) for i, origin in enumerate(MAKERS) for j, to in enumerate(TARGETS) if (i + j) % 3 == 0]
"""Reading and writing do not know each other: every layout is read and written thrice, depths meet in both ways."""


@pytest.mark.parametrize(("origin", "to"), A_THIRD)
def test_layouts_to_others(sources: dict[str, Path], tmp_path: Path, origin: str, to: str) -> None:
    """Classes go by name: the source's k-th becomes the target's (k + 1)-th, the last is ignored."""
    source = sources[origin]
    before = open_dataset(source, "all", layout=origin)
    known = LAYOUTS[to].info.classes if to in LAYOUTS else None
    names = [f"new {k}" for k in range(9)] if known is None else known.names
    partners = {name: names[(k + 1) % len(names)] for k, name in enumerate(before.classes[:-1])}
    class_map = {**partners, before.classes[-1]: "ignore"}
    options: dict[str, Any] = {"layout": origin, "class_map": class_map}
    deep = origin in DEEP
    if to in DEEP and not deep:
        with pytest.raises(DataError, match=f"uint8 thermal values, but {to} holds uint16 alone; a sensor's counts"):
            convert(source, tmp_path / "there", to, **options)
        return
    if deep and to not in (*DEEP, "folder", "colors", "coco_panoptic"):
        with pytest.raises(DataError, match=f"uint16 thermal values, but {to} holds uint8 alone; say --thermal scale"):
            convert(source, tmp_path / "there", to, **options)
        options |= {"thermal": "scale", "thermal_range": (18000, 24000)}
    after = open_dataset(convert(source, tmp_path / "there", to, **options), "all")
    assert len(before) == len(after)
    for index, name in enumerate(after.ids):
        assert name == (
            f"{before.ids[index]}_0" if to == "cart" and "_" not in before.ids[index] else before.ids[index]
        )
        rgb, thermal, label = before.arrays(index)
        assert label is not None
        if "thermal" in options:
            scaled = np.clip((thermal.astype(float) - 18000) / 6000, 0, 1) * 255
            assert np.abs(after.arrays(index).thermal - scaled).max() <= 0.5001
            assert after.arrays(index).thermal.dtype == np.uint8
        else:
            np.testing.assert_array_equal(after.arrays(index).thermal, thermal)
            assert after.arrays(index).thermal.dtype == thermal.dtype
        np.testing.assert_array_equal(after.arrays(index).rgb, rgb)
        expected = np.full_like(label, 255)
        for k, partner in enumerate(partners.values()):
            expected[label == k] = after.classes.index(partner)
        np.testing.assert_array_equal(after.arrays(index).label, expected)
    for split in before.index(before.root).folders or ("train", "val", "test"):
        ids = open_dataset(source, split, layout=origin).ids
        read = open_dataset(tmp_path / "there", split).ids
        assert [name.removesuffix("_0") if to == "cart" and origin != "cart" else name for name in read] == ids


def test_published_label_values_of_cart(tmp_path: Path) -> None:
    """By its table: class 0 is written as 2, ignored pixels as 0."""
    source = make_source(tmp_path / "source", "cart")
    convert(source, tmp_path / "there", "cart")
    label = np.array(Image.open(source / "labels" / f"{NAMES[0]}.png"))
    trip, _, frame = NAMES[0].rpartition("_")
    values = np.array(Image.open(tmp_path / "there" / "annotations" / f"{trip}_mask-{frame}.png"))
    np.testing.assert_array_equal(values, np.where(label == 255, 0, label.astype(int) + 2))
    assert (tmp_path / "there" / "thermal16" / f"{trip}_thermal-{frame}.tiff").is_file()
