"""What training says of the labels before its first step, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.check import check_dataset
from cimnet.data import open_dataset
from cimnet.data.class_pixels import check_classes, check_scorable, check_splits
from cimnet.errors import DataError
from tests.fakes.layouts import make_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", 12)


def relabel(root: Path, change: dict[int, int], yaml: str = "") -> None:
    for path in (root / "labels").iterdir():
        ids = np.array(Image.open(path))
        table = np.arange(256, dtype=np.uint8)
        for value, new in change.items():
            table[value] = new
        Image.fromarray(table[ids]).save(path)
    if yaml:
        (root / "classes.yaml").write_text(yaml)


def checked(root: Path, allow_absent: bool = False) -> str:
    train_set = open_dataset(root, "train")
    return check_classes(train_set, train_set.check(), allow_absent)


MASKS = {1: 255, 2: 255}


def test_masks_of_0_and_255_are_refused_by_name(root: Path) -> None:
    relabel(root, MASKS, "classes: [background, warm]\n")
    wanted = (
        r"data, split 'train': labels hold 0 and 255 alone, .* no pixel of warm; write .*\{0: background, 255: warm\}"
    )
    for allow_absent in (False, True):
        with pytest.raises(DataError, match=wanted):
            checked(root, allow_absent)


@pytest.mark.parametrize("table", ["{0: background, 255: warm}", "{0: 0, 255: 1}"])
def test_a_label_table_says_that_255_is_a_class(root: Path, table: str) -> None:
    relabel(root, MASKS, f"classes: [background, warm]\nlabel_table: {table}\n")
    assert checked(root) == ""
    label = open_dataset(root, "train").arrays(0).label
    assert label is not None
    assert set(np.unique(label)) == {0, 1}


def test_255_that_is_meant_to_be_ignored(root: Path) -> None:
    relabel(root, MASKS, "classes: [background, warm]\nlabel_table: {0: background, 255: ignore}\n")
    with pytest.raises(DataError, match=r"no label has a pixel of warm, and .*% of the label pixels are 255"):
        checked(root)
    assert "no label has a pixel of warm" in checked(root, allow_absent=True)


def test_an_absent_class_is_refused_unless_allowed(root: Path) -> None:
    relabel(root, {2: 255})
    with pytest.raises(DataError, match=r"'train': no label has a pixel of car, and .*ignored\); .*--allow-absent"):
        checked(root)
    assert "no label has a pixel of car" in checked(root, allow_absent=True)
    train_set, val_set = open_dataset(root, "train"), open_dataset(root, "val")
    pixels, said = check_splits(train_set, val_set, allow_absent=True)
    assert pixels[2] == 0
    assert train_set.ignored > 0
    assert f"{100 * train_set.ignored / (train_set.ignored + pixels.sum()):.1f}%" in said


def test_nothing_to_say(root: Path) -> None:
    assert checked(root) == ""


def test_another_value_to_ignore_is_no_mask(root: Path) -> None:
    relabel(root, {1: 7, 2: 7}, "classes: [background, warm]\nignore_index: 7\n")
    with pytest.raises(DataError, match="no label has a pixel of warm"):
        checked(root)


def test_everything_ignored(root: Path) -> None:
    relabel(root, {0: 255, 1: 255, 2: 255})
    with pytest.raises(DataError, match="every label pixel is 255"):
        checked(root, allow_absent=True)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_ids_in_equal_channels(tmp_path: Path, mode: str) -> None:
    root = make_folder(tmp_path / "data")
    wanted = open_dataset(root, "all").arrays(0).label
    for path in (root / "labels").iterdir():
        Image.open(path).convert(mode).save(path)
    found = open_dataset(root, "all").arrays(0).label
    np.testing.assert_array_equal(found, wanted)  # type: ignore[arg-type]
    if mode != "RGB":  # a pixel that is not there has no class
        picture = Image.open(path)
        picture.putpixel((0, 0), (0,) * len(mode))
        picture.save(path)
        with pytest.raises(DataError, match=f"a label of mode {mode}"):
            open_dataset(root, "all").check()


def test_scoring_says_and_refuses_the_same(root: Path) -> None:
    """By the labels alone: images are not decoded."""
    for path in (root / "thermal").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    assert check_scorable(open_dataset(root, "test")) == ""
    relabel(root, {2: 255})
    assert re.search(
        r"'test': no label has a pixel of car, and .*% of .* 255", check_scorable(open_dataset(root, "test"))
    )
    relabel(root, MASKS)
    with pytest.raises(
        DataError, match=r"split 'test': labels hold 0 and 255 alone, .* no pixel of person, car; write"
    ):
        check_scorable(open_dataset(root, "test"))
    relabel(root, {0: 255})
    with pytest.raises(DataError, match="every label pixel is 255"):
        check_scorable(open_dataset(root, "test"))


def test_masks_in_three_equal_channels_are_masks(root: Path) -> None:
    relabel(root, MASKS, "classes: [background, warm]\n")
    for path in (root / "labels").iterdir():
        Image.open(path).convert("RGB").save(path)
    with pytest.raises(DataError, match="labels hold 0 and 255 alone"):
        check_scorable(open_dataset(root, "test"))
    with pytest.raises(DataError, match="labels hold 0 and 255 alone"):
        checked(root)


def test_masks_of_one_class_need_a_background(root: Path) -> None:
    """0 would be the class, and its own pixels ignored."""
    relabel(root, MASKS, "classes: [crack]\n")
    wanted = r"background is crack; write `classes: \[background, crack\]` and `label_table: \{0: background, 255: cra"
    for check in (checked, lambda folder: check_scorable(open_dataset(folder, "test"))):
        with pytest.raises(DataError, match=wanted):
            check(root)
    assert "binary-mask" in {finding.code for finding in check_dataset(root, workers=1).findings}
    (root / "classes.yaml").write_text("classes: [crack]\nlabel_table: {0: crack, 255: ignore}\n")
    assert "are 255 (ignored)" in checked(root)
