"""Boxes become labels: what is painted, what stays, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.label import label_from_boxes
from cimnet.curation.label.box_labels import otsu_threshold, paint_boxes
from cimnet.data import open_dataset
from cimnet.data.boxes import PairBox, Rect
from cimnet.data.pairs import Arrays
from cimnet.errors import CimnetError, DataError
from tests.conftest import Result

HEAD = "image,class,x0,y0,x1,y1,seen_in,ignore\n"
IGNORED = 255


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Pairs of 20x30 on noise: a is warm in a diamond, b bright in RGB in a square, c has neither; a and c have labels
    of trees (3)."""
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for kind in ("rgb", "thermal", "labels"):
        (root / kind).mkdir(parents=True)
    for name in "abc":
        rgb = rng.integers(20, 40, (20, 30, 3), np.uint8)
        thermal = rng.integers(1000, 1100, (20, 30), np.uint16)
        thermal[diamond()] += 900 if name == "a" else 0
        rgb[5:10, 5:15] += 150 if name == "b" else 0
        Image.fromarray(rgb).save(root / "rgb" / f"{name}.png")
        Image.fromarray(thermal).save(root / "thermal" / f"{name}.png")
    for name in "ac":
        Image.fromarray(np.full((20, 30), 3, np.uint8)).save(root / "labels" / f"{name}.png")
    (root / "classes.yaml").write_text("classes: [background, person, car, tree]\n")
    return root


def diamond() -> np.ndarray:
    """13 pixels within 2 steps of row 10, column 12."""
    rows, columns = np.mgrid[:20, :30]
    return np.abs(rows - 10) + np.abs(columns - 12) <= 2


def write(data: Path, *rows: str) -> Path:
    path = data.parent / "boxes.csv"
    path.write_text(HEAD + "\n".join(rows) + "\n")
    return path


def label(data: Path, name: str) -> np.ndarray:
    with Image.open(data / "labels" / f"{name}.png") as image:
        return np.array(image)


def test_the_warm_part_of_a_box_becomes_the_object(data: Path) -> None:
    boxes = write(data, "a,person,9,7,16,14,thermal,")
    done = label_from_boxes(data, boxes, overwrite=True)
    assert (done.written, done.replaced, done.objects, done.whole) == (1, 1, 1, 0)
    expected = np.where(diamond(), 1, IGNORED)
    np.testing.assert_array_equal(label(data, "a"), expected)
    np.testing.assert_array_equal(label(data, "c"), 3)  # no box: left alone
    assert not (data / "labels" / "b.png").exists()
    assert label_from_boxes(data, boxes).same == 1


def test_labels_are_of_the_images_as_stored(data: Path) -> None:
    """The border is cut off when the data set is read, which finds the object where it is."""
    with (data / "classes.yaml").open("a") as file:
        file.write("border: [7, 5, 0, 3]\n")
    label_from_boxes(data, write(data, "a,person,9,7,16,14,thermal,"), overwrite=True)
    np.testing.assert_array_equal(label(data, "a"), np.where(diamond(), 1, IGNORED))
    read = open_dataset(data, "all", require_labels=False).read(0).label
    assert read is not None
    np.testing.assert_array_equal(read, np.where(diamond(), 1, IGNORED)[7:, 3:25])


def test_a_cold_object_is_found_as_well(data: Path) -> None:
    with Image.open(data / "thermal" / "a.png") as image:
        turned = 3000 - np.array(image)
    Image.fromarray(turned.astype(np.uint16)).save(data / "thermal" / "a.png")
    label_from_boxes(data, write(data, "a,person,9,7,16,14,thermal,"), overwrite=True)
    np.testing.assert_array_equal(label(data, "a"), np.where(diamond(), 1, IGNORED))


def test_second_images_of_several_channels_are_measured_by_their_mean(data: Path) -> None:
    thermal = np.zeros((20, 30, 2), np.uint16)
    thermal[diamond()] = 900, 700
    arrays = Arrays(np.zeros((20, 30, 3), np.uint8), thermal, None)
    mask, whole = paint_boxes(arrays, [PairBox(1, Rect(9, 7, 16, 14))], "otsu", IGNORED)
    np.testing.assert_array_equal(mask, np.where(diamond(), 1, IGNORED))
    assert whole == 0


def test_rgb_decides_for_what_rgb_alone_sees(data: Path) -> None:
    label_from_boxes(data, write(data, "b,car,3,3,17,12,rgb,"), outside="background", overwrite=True)
    expected = np.zeros((20, 30))
    expected[3:12, 3:17] = IGNORED
    expected[5:10, 5:15] = 2
    np.testing.assert_array_equal(label(data, "b"), expected)
    np.testing.assert_array_equal(label(data, "b")[:3], 0)


def test_without_contrast_and_with_box_the_whole_box_is_filled(data: Path) -> None:
    with Image.open(data / "thermal" / "b.png") as image:
        flat = np.full_like(np.array(image), 1050)
    Image.fromarray(flat).save(data / "thermal" / "b.png")
    expected = np.full((20, 30), IGNORED)
    expected[3:12, 3:17] = 2
    boxes = write(data, "b,car,3,3,17,12,thermal,")
    assert label_from_boxes(data, boxes).whole == 1
    np.testing.assert_array_equal(label(data, "b"), expected)
    assert label_from_boxes(data, boxes, fill="box").same == 1


def test_keep_paints_on_the_label(data: Path) -> None:
    """The person is painted over the larger car, which has no contrast; a crowd is ignored; trees stay."""
    boxes = write(data, "a,person,9,7,16,14,thermal,", "a,car,2,2,28,18,both,", "a,person,0,19,30,20,,1")
    label_from_boxes(data, boxes, split="all", outside="keep", overwrite=True)
    found = label(data, "a")
    assert (found[diamond()] == 1).all()
    assert (found[19] == IGNORED).all()
    assert (found[0] == 3).all()
    assert (found[2:18, 2:28][~diamond()[2:18, 2:28]] == 2).all()


def test_larger_boxes_lie_behind(data: Path) -> None:
    boxes = write(data, "b,person,5,5,8,9,,", "b,car,2,2,28,18,,")
    label_from_boxes(data, boxes, fill="box")
    found = label(data, "b")
    assert (found[5:9, 5:8] == 1).all()
    assert found[4, 5] == 2


def test_labels_that_are_there_are_kept_unless_asked(data: Path) -> None:
    boxes = write(data, "a,person,9,7,16,14,thermal,", "b,person,9,7,16,14,thermal,")
    with pytest.raises(CimnetError, match=r"a.png: exists and differs \(1 label in all\); nothing was"):
        label_from_boxes(data, boxes)
    assert not (data / "labels" / "b.png").exists()
    np.testing.assert_array_equal(label(data, "a"), 3)


def test_a_class_outside_labels_the_empty_pairs_too(data: Path) -> None:
    done = label_from_boxes(data, write(data, "a,person,9,7,16,14,thermal,"), outside="background", overwrite=True)
    assert done.written == 3
    assert (label(data, "b") == 0).all()


def test_only_the_split_is_labelled(data: Path) -> None:
    (data / "train.txt").write_text("b\n")
    boxes = write(data, "a,person,9,7,16,14,thermal,", "b,person,9,7,16,14,thermal,")
    assert label_from_boxes(data, boxes, split="train").objects == 1
    np.testing.assert_array_equal(label(data, "a"), 3)


def test_what_is_refused(data: Path) -> None:
    boxes = write(data, "b,person,9,7,16,14,thermal,")
    with pytest.raises(DataError, match="b has no label to keep"):
        label_from_boxes(data, boxes, outside="keep")
    with pytest.raises(DataError, match="--outside sky: give ignore, keep, or a class: background"):
        label_from_boxes(data, boxes, outside="sky")
    with pytest.raises(DataError, match="fill is 'grabcut'"):
        label_from_boxes(data, boxes, fill="grabcut")  # type: ignore[arg-type]  # that is the fault
    (data / "train.txt").write_text("a\n")
    with pytest.raises(DataError, match="no box of a pair of the split 'train'"):
        label_from_boxes(data, boxes, split="train")
    (data / "classes.yaml").write_text("classes: [background, person, car, tree]\nignore_index: 9\n")
    with pytest.raises(DataError, match="other values than class ids"):
        label_from_boxes(data, boxes)
    assert not (data / "labels" / "b.png").exists()


def test_otsu_by_hand() -> None:
    """Two groups, ten around 1 and thirty around 9: the threshold lies between."""
    values = np.array([0, 1, 2, 1, 0] * 2 + [8, 9, 10] * 10, dtype=np.float32)
    assert 2 <= otsu_threshold(values) < 8
    assert otsu_threshold(np.full(5, 3, np.float32)) == 3


def test_the_command(cli: Callable[..., Result], data: Path) -> None:
    boxes = write(data, "b,human,9,7,16,14,thermal,")
    ran = cli("data", "label", "boxes", data, boxes, "--map", "human=person", "--fill", "box")
    assert ran.code == 0, ran
    assert "1 label written from 1 box" in ran.out
    labelled = open_dataset(data, "all")[1].label
    assert labelled is not None
    assert (labelled[7:14, 9:16] == 1).all()
    ran = cli("data", "label", "boxes", data, boxes)
    assert ran.code == 2
    assert "class 'human' is none of" in ran.err
