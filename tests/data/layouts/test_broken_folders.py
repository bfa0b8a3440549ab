"""Every way a folder can be wrong gives one line that names the file and says what to do, before training starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.data import open_dataset
from cimnet.errors import DataError
from tests.fakes.layouts import HEIGHT, WIDTH, make_folder, make_kust4k, make_mfnet, write_list

Break = Callable[[Path], object]


def save(path: Path, mode: str = "L", size: tuple[int, int] = (WIDTH, HEIGHT), color: str | int = 0) -> None:
    Image.new(mode, size, color).save(path)


def keep_header(path: Path) -> None:
    """Cut a file in its pixels: the header stays good."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1500])


def label_with_id(root: Path, value: int) -> None:
    label = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    label[:2, :5] = value
    Image.fromarray(label).save(root / "labels" / "001.png")


AT_OPENING: dict[str, tuple[Break, list[str]]] = {
    "missing thermal": (lambda r: (r / "thermal/001.png").unlink(), ["thermal", "001", "add it"]),
    "missing rgb": (lambda r: (r / "rgb/001.png").unlink(), ["rgb", "001"]),
    "missing label": (lambda r: (r / "labels/001.png").unlink(), ["labels", "001"]),
    "missing labels folder": (lambda r: (r / "labels").rename(r / "old"), ["labels: no such folder"]),
    "several missing": (
        lambda r: [path.unlink() for path in (r / "thermal").iterdir()],
        ["000, 001 and 1 more"],
    ),
    "thermal of another size": (
        lambda r: save(r / "thermal/001.png", size=(20, 16)),
        ["thermal/001.png is 20x16", "rgb/001.png is 40x32", "resample"],
    ),
    "label of another size": (
        lambda r: [save(r / f"labels/00{i}.png", size=(20, 16)) for i in range(3)],
        ["labels/000.png is 20x16", "and 2 more pairs"],
    ),
    "text named png": (lambda r: (r / "rgb/001.png").write_text("hello"), ["rgb/001.png", "not a PNG"]),
    "no bytes": (lambda r: (r / "labels/001.png").write_bytes(b""), ["labels/001.png", "empty (0 bytes)"]),
    "empty list": (lambda r: (r / "train.txt").write_text("\n \r\n"), ["train.txt", "empty", "one name a line"]),
    "no list": (lambda r: (r / "train.txt").unlink(), ["no list train.txt", "splits found: test, val"]),
    "list names an absent file": (lambda r: write_list(r / "train.txt", ["000", "777"]), ["777", "'train'"]),
    "name twice": (lambda r: write_list(r / "train.txt", ["000", "001", "000.png"]), ["train.txt", "000", "once"]),
    "list in another encoding": (
        lambda r: (r / "train.txt").write_bytes("000\n".encode("utf-16")),
        ["train.txt", "UTF-8"],
    ),
    "two files of one name": (lambda r: save(r / "rgb/001.bmp"), ["001.bmp and 001.png"]),
    "no yaml": (lambda r: (r / "classes.yaml").unlink(), ["classes: [background, person", "--classes"]),
    "yaml without classes": (lambda r: (r / "classes.yaml").write_text("home: x"), ["classes: [background"]),
    "yaml that is none": (lambda r: (r / "classes.yaml").write_text("classes: [a"), ["classes.yaml", "not valid"]),
    "yaml that is a list": (lambda r: (r / "classes.yaml").write_text("[a, b]"), ["classes.yaml", "classes:"]),
    "class that is no name": (lambda r: (r / "classes.yaml").write_text("classes: [a, 7]"), ["class 1", "7"]),
    "class twice": (lambda r: (r / "classes.yaml").write_text("classes: [a, b, a]"), ["classes.yaml", "a listed"]),
    "bad colour": (
        lambda r: (r / "classes.yaml").write_text("classes: [{name: a, color: [1, 2, 256]}]"),
        ["class a", "color must be"],
    ),
    "range upside down": (
        lambda r: (r / "classes.yaml").write_text("classes: [a]\nthermal_range: [9, 1]"),
        ["classes.yaml", "thermal range", "low must be less than high"],
    ),
    "range of one number": (
        lambda r: (r / "classes.yaml").write_text("classes: [a]\nthermal_range: 9"),
        ["classes.yaml", "thermal_range must be [low, high]"],
    ),
    "bad ignore index": (
        lambda r: (r / "classes.yaml").write_text("classes: [a]\nignore_index: none"),
        ["classes.yaml", "ignore_index"],
    ),
}

AT_READING: dict[str, tuple[Break, list[str]]] = {
    "id outside the classes": (
        lambda r: label_with_id(r, 3),
        ["labels/001.png", "id 3 (10 pixels)", "3 classes 0..2", "255"],
    ),
    "truncated rgb": (lambda r: keep_header(r / "rgb/001.png"), ["rgb/001.png", "cannot be read"]),
    "truncated thermal": (lambda r: keep_header(r / "thermal/001.png"), ["thermal/001.png", "cannot be read"]),
    "label in colours": (
        lambda r: save(r / "labels/001.png", "RGB", color="red"),
        ["labels/001.png", "label_format: colors"],
    ),
    "label of one bit": (lambda r: save(r / "labels/001.png", "1"), ["labels/001.png", "1-bit"]),
    "rgb and thermal swapped": (
        lambda r: Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)).save(r / "rgb/001.png"),
        ["rgb/001.png", "swapped"],
    ),
    "thermal in false colours": (
        lambda r: Image.new("RGB", (WIDTH, HEIGHT), (200, 30, 90)).save(r / "thermal/001.png"),
        ["thermal/001.png", "palette"],
    ),
}


def assert_one_line(error: DataError, words: list[str]) -> None:
    message = str(error)
    assert "\n" not in message
    for word in words:
        assert word in message.replace("\\", "/"), message


@pytest.mark.parametrize("case", AT_OPENING)
def test_found_when_the_folder_is_opened(tmp_path: Path, case: str) -> None:
    breaks, words = AT_OPENING[case]
    breaks(make_folder(tmp_path))
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path, "train")
    assert_one_line(caught.value, words)


@pytest.mark.parametrize("case", AT_READING)
def test_found_when_the_pair_is_read(tmp_path: Path, case: str) -> None:
    breaks, words = AT_READING[case]
    breaks(make_folder(tmp_path))
    dataset = open_dataset(tmp_path, "train")
    dataset[0]
    with pytest.raises(DataError) as caught:
        dataset[1]
    assert_one_line(caught.value, words)


def test_check_labels_finds_ids_before_training(tmp_path: Path) -> None:
    label_with_id(make_folder(tmp_path), 200)
    with pytest.raises(DataError, match=r"001\.png: id 200 \(10 pixels\)"):
        open_dataset(tmp_path, "train").check()
    label_with_id(tmp_path, 255)
    assert open_dataset(tmp_path, "train").check().sum() == 3 * HEIGHT * WIDTH - 10


def test_missing_partner_without_lists(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "rgb" / "002.png").unlink()
    with pytest.raises(DataError, match="no image for 002"):
        open_dataset(tmp_path, "all")


def test_unknown_built_in_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are cart, fmb, kust4k, mfnet, pst900"):
        open_dataset(make_folder(tmp_path), "train", classes="coco")


@pytest.mark.parametrize("bounds", [(5, 5), (float("nan"), 1), (0, float("inf")), (1,)])
def test_impossible_range(tmp_path: Path, bounds: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="thermal_range"):
        open_dataset(make_folder(tmp_path), "train", thermal_range=bounds)


def test_mfnet_without_the_fourth_channel(tmp_path: Path) -> None:
    save(make_mfnet(tmp_path) / "images" / "00000D.png", "RGB")
    with pytest.raises(DataError, match=r"00000D\.png: mode RGB, expected RGBA"):
        open_dataset(tmp_path, "train")[0]


def test_mfnet_flip_name_of_nothing(tmp_path: Path) -> None:
    write_list(make_mfnet(tmp_path) / "train.txt", ["00099D_flip"])
    with pytest.raises(DataError, match="00099D_flip"):
        open_dataset(tmp_path, "train")


def test_mfnet_missing_label(tmp_path: Path) -> None:
    (make_mfnet(tmp_path) / "labels" / "00001N.png").unlink()
    with pytest.raises(DataError, match="no image for 00001N"):
        open_dataset(tmp_path, "train")


def test_kust4k_missing_partner_and_bad_truth(tmp_path: Path) -> None:
    make_kust4k(tmp_path)
    (tmp_path / "truth" / "00000D.npz").write_bytes(b"no archive")
    dataset = open_dataset(tmp_path, "train", layout="kust4k")
    with pytest.raises(DataError, match=r"00000D\.npz"):
        dataset.truth(0)
    (tmp_path / "TIR" / "00001N.png").unlink()
    with pytest.raises(DataError, match="TIR: no image for 00001N"):
        open_dataset(tmp_path, "train")
