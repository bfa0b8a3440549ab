"""What the YAML and lists beside a folder may say: places of files, label values, a border, scenes, broken pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from cimnet.data import RGBTDataset, open_dataset
from cimnet.data.dataset import Broken
from cimnet.data.labels import ignore_color
from cimnet.errors import DataError, DataWarning
from tests.fakes.layouts import CLASSES, HEIGHT, WIDTH, make_arrays, make_folder, save_array, write_list


def describe(root: Path, **content: Any) -> Path:
    """Write the YAML; classes are those of the makers unless given."""
    text = yaml.safe_dump({"classes": list(CLASSES), **content}, sort_keys=False)
    (root / "classes.yaml").write_text(text, encoding="utf-8")
    return root


def assert_read(dataset: RGBTDataset, index: int, number: int) -> None:
    for got, written in zip(dataset.arrays(index), make_arrays(number), strict=True):
        np.testing.assert_array_equal(got, written)


# Where the files are; test_contract has more


def test_some_patterns_only(tmp_path: Path) -> None:
    """The others stay as they are."""
    make_folder(tmp_path)
    (tmp_path / "thermal").rename(tmp_path / "lwir")
    describe(tmp_path, files={"thermal": "lwir/{name}"})
    dataset = open_dataset(tmp_path, "train")
    assert dataset.ids == ["000", "001", "002"]
    assert_read(dataset, 1, 1)


def test_one_flat_folder(tmp_path: Path) -> None:
    for number in range(3):
        for suffix, array in zip(("V", "T", "L"), make_arrays(number), strict=True):
            save_array(tmp_path / f"DJI_{number}_{suffix}.png", array)
    describe(tmp_path, files={"rgb": "{name}_V", "thermal": "{name}_T", "labels": "{name}_L"})
    dataset = open_dataset(tmp_path, "all")
    assert dataset.ids == ["DJI_0", "DJI_1", "DJI_2"]
    assert_read(dataset, 2, 2)
    (tmp_path / "DJI_1_T.png").unlink()
    with pytest.raises(DataError, match=r"no image for DJI_1 .*add it"):
        open_dataset(tmp_path, "all")


def test_split_folders(tmp_path: Path) -> None:
    """As in DroneVehicle, with a white border around every image."""
    inside = (slice(8, -8), slice(6, -6))
    for number, split in enumerate(("train", "train", "val")):
        for kind, array in zip(("img", "imgr", "label"), make_arrays(number), strict=True):
            whole = np.full((HEIGHT + 16, WIDTH + 12, *array.shape[2:]), 255, np.uint8)
            whole[inside] = array
            save_array(tmp_path / split / f"x{kind}" / f"{number:05d}.png", whole)
    files = {"rgb": "{split}/ximg/{name}", "thermal": "{split}/ximgr/{name}", "labels": "{split}/xlabel/{name}"}
    describe(tmp_path, files=files, border=[8, 6, 8, 6])
    assert open_dataset(tmp_path, "train").ids == ["00000", "00001"]
    dataset = open_dataset(tmp_path, "val")
    assert_read(dataset, 0, 2)
    assert dataset[0].rgb.shape == (3, HEIGHT, WIDTH)


def test_labels_alone_in_split_folders(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "train" / "gt").mkdir(parents=True)
    for name in ("000", "001"):
        (tmp_path / "labels" / f"{name}.png").rename(tmp_path / "train" / "gt" / f"{name}.png")
    (tmp_path / "train.txt").unlink()
    describe(tmp_path, files={"labels": "{split}/gt/{name}"})
    dataset = open_dataset(tmp_path, "train")
    assert dataset.ids == ["000", "001"]
    assert_read(dataset, 1, 1)


def test_the_same_name_in_two_split_folders(tmp_path: Path) -> None:
    """Pairs are never put together across the folders, whatever is missing."""
    files = {"rgb": "{split}/rgb/{name}", "thermal": "{split}/th/{name}", "labels": "{split}/gt/{name}"}
    describe(tmp_path, files=files)
    for number, split in enumerate(("train", "test")):
        for kind, array in zip(("rgb", "th", "gt"), make_arrays(number), strict=True):
            save_array(tmp_path / split / kind / "0001.png", array)
    assert [open_dataset(tmp_path, split).ids for split in ("train", "test")] == [["train/0001"], ["test/0001"]]
    assert_read(open_dataset(tmp_path, "test"), 0, 1)
    (tmp_path / "train" / "th" / "0001.png").unlink()
    with pytest.raises(DataError, match="train/th: no image for train/0001"):
        open_dataset(tmp_path, "train")
    assert_read(open_dataset(tmp_path, "test"), 0, 1)
    (tmp_path / "test" / "rgb" / "0001.png").unlink()  # now train has the RGB image, test the thermal one
    for split in ("train", "test", "all"):
        with pytest.raises(DataError, match=r"no image for (train|test)/0001"):
            open_dataset(tmp_path, split)


def test_a_listed_folder_is_not_left_out(tmp_path: Path) -> None:
    """flight 2/001 is not 001, though lists may have folders before a name."""
    make_folder(tmp_path, names=["001", "002"])
    for kind in ("rgb", "thermal", "labels"):
        (tmp_path / kind / "flight 2").mkdir()
        (tmp_path / kind / "002.png").rename(tmp_path / kind / "flight 2" / "002.png")
    write_list(tmp_path / "train.txt", ["rgb/001.png", "rgb/flight 2/002.png"])
    assert open_dataset(tmp_path, "train").ids == ["001", "flight 2/002"]
    write_list(tmp_path / "train.txt", ["flight 2/001"])
    with pytest.raises(DataError, match="no image for flight 2/001"):
        open_dataset(tmp_path, "train")


# What label values mean


def write_label(root: Path, values: dict[int, int], dtype: type = np.uint8) -> np.ndarray[Any, Any]:
    """Label 001 with other values for the ids; returns the ids."""
    ids = make_arrays(1)[2]
    table = np.array([values[class_id] for class_id in range(3)], dtype)
    save_array(root / "labels" / "001.png", table[ids])
    return ids


@pytest.mark.parametrize("meanings", [["background", "person", "car"], [0, 1, 2]])
@pytest.mark.parametrize("values", [[0, 7, 254], [0, 128, 255], [1, 2, 0], [1000, 65535, 300]])
def test_label_table(tmp_path: Path, meanings: list[Any], values: list[int]) -> None:
    """By name or id; 255 is a class where the table says so, and only then."""
    describe(make_folder(tmp_path), label_table=dict(zip(values, meanings, strict=True)))
    ids = write_label(tmp_path, dict(enumerate(values)), np.uint16 if max(values) > 255 else np.uint8)
    np.testing.assert_array_equal(open_dataset(tmp_path, "train").arrays(1).label, ids)
    Image.fromarray(np.full((HEIGHT, WIDTH), 65536 + max(values), np.int32)).save(
        tmp_path / "labels" / "001.png", "TIFF"
    )
    with pytest.raises(DataError, match=rf"id {65536 + max(values)} \(1,280 pixels\) outside"):
        open_dataset(tmp_path, "train")[1]


@pytest.mark.parametrize("ignore", ["ignore", 255])
def test_label_table_with_values_to_ignore(tmp_path: Path, ignore: Any) -> None:
    describe(make_folder(tmp_path), label_table={0: "background", 7: ignore, 9: "background"}, ignore_index=77)
    ids = write_label(tmp_path, {0: 0, 1: 7, 2: 9})
    label = open_dataset(tmp_path, "train").arrays(1).label
    assert label is not None
    np.testing.assert_array_equal(label, np.where(ids == 1, 255, 0))
    write_label(tmp_path, {0: 255, 1: 77, 2: 0})  # 255 and ignore_index are ignored without an entry
    label = open_dataset(tmp_path, "train").arrays(1).label
    np.testing.assert_array_equal(label, np.where(ids == 2, 0, 255))
    write_label(tmp_path, {0: 0, 1: 1, 2: 9})
    with pytest.raises(DataError, match=rf"001\.png: id 1 \({(ids == 1).sum()} pixels\) outside .* label_table"):
        open_dataset(tmp_path, "train")[1]


COLORS = ((10, 20, 30), (255, 128, 0), (0, 0, 0))


def colored(root: Path, *colors: tuple[int, int, int], **content: Any) -> np.ndarray[Any, Any]:
    """Label 001 in these colours, the YAML with COLORS; returns the ids."""
    classes = [{"name": name, "color": list(color)} for name, color in zip(CLASSES, COLORS, strict=True)]
    describe(root, classes=classes, label_format="colors", **content)
    ids = make_arrays(1)[2]
    save_array(root / "labels" / "001.png", np.array(colors, np.uint8)[ids])
    return ids


def test_labels_in_colours(tmp_path: Path) -> None:
    ids = colored(make_folder(tmp_path), *COLORS)
    dataset = open_dataset(tmp_path, "train")
    assert dataset.colors == COLORS
    np.testing.assert_array_equal(dataset.arrays(1).label, ids)
    path = tmp_path / "labels" / "001.png"
    image = Image.open(path)
    for other in (image.convert("RGBA"), image.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)):
        other.save(path)
        np.testing.assert_array_equal(open_dataset(tmp_path, "train").arrays(1).label, ids)


def test_a_colour_to_ignore_and_one_of_no_class(tmp_path: Path) -> None:
    ids = colored(make_folder(tmp_path), COLORS[0], (224, 224, 224), COLORS[2])
    label = open_dataset(tmp_path, "train").arrays(1).label
    np.testing.assert_array_equal(label, np.where(ids == 1, 255, ids))
    colored(tmp_path, COLORS[0], (255, 128, 1), COLORS[2])  # one off
    with pytest.raises(DataError, match=rf"001\.png: #ff8001 \({(ids == 1).sum()} pixels\) is the colour of no class"):
        open_dataset(tmp_path, "train")[1]
    assert ignore_color(COLORS) == (224, 224, 224)
    assert ignore_color([*COLORS, (224, 224, 224)]) == (223, 223, 223)


def test_labels_in_colours_as_jpeg(tmp_path: Path) -> None:
    colored(make_folder(tmp_path), *COLORS)
    with Image.open(tmp_path / "labels" / "001.png") as image:
        image.save(tmp_path / "labels" / "001.png", "JPEG")
    with pytest.raises(DataError, match=r"001\.png: JPEG changes class ids; save labels as PNG"):
        open_dataset(tmp_path, "train")[1]


# A border


@pytest.mark.parametrize(
    ("border", "cut"), [(3, (3, 3, 3, 3)), ([1, 2, 3, 4], (1, 2, 3, 4)), ([0, 0, 5, 0], (0, 0, 5, 0))]
)
def test_border(tmp_path: Path, border: Any, cut: tuple[int, int, int, int]) -> None:
    describe(make_folder(tmp_path), border=border)
    top, right, bottom, left = cut
    dataset = open_dataset(tmp_path, "train")
    for got, whole in zip(dataset.arrays(1), make_arrays(1), strict=True):
        np.testing.assert_array_equal(got, whole[top : HEIGHT - bottom, left : WIDTH - right])
    assert dataset[1].rgb.shape == (3, HEIGHT - top - bottom, WIDTH - left - right)


def test_a_border_is_part_of_what_the_cache_holds(tmp_path: Path) -> None:
    options: dict[str, Any] = {"cache": "disk", "cache_folder": tmp_path / "cache"}
    make_folder(tmp_path / "data")
    assert open_dataset(tmp_path / "data", "train", **options)[0].rgb.shape == (3, HEIGHT, WIDTH)
    describe(tmp_path / "data", border=2)
    assert open_dataset(tmp_path / "data", "train", **options)[0].rgb.shape == (3, HEIGHT - 4, WIDTH - 4)
    describe(tmp_path / "data", label_table={0: 0, 1: 1, 2: 1})
    assert open_dataset(tmp_path / "data", "train", **options).check()[2] == 0


def test_a_table_that_stops_palettes_is_part_of_what_the_cache_holds(tmp_path: Path) -> None:
    """The table says what the values say without one: only the palette does not count any more."""
    options: dict[str, Any] = {"cache": "disk", "cache_folder": tmp_path / "cache"}
    root = make_folder(tmp_path / "data")
    colors = open_dataset(root, "train").colors
    with Image.open(root / "labels" / "000.png") as image:
        values = np.asarray(image)
    swapped = Image.fromarray(values).convert("P")
    swapped.putpalette([part for k in (0, 2, 1) for part in colors[k]])
    swapped.save(root / "labels" / "000.png")
    by_colour = open_dataset(root, "train", **options).arrays(0).label
    np.testing.assert_array_equal(by_colour, np.array([0, 2, 1], np.uint8)[values])
    describe(root, label_table={0: 0, 1: 1, 2: 2})
    np.testing.assert_array_equal(open_dataset(root, "train", **options).arrays(0).label, values)


@pytest.mark.parametrize("border", [16, [0, 20, 0, 20], 500])
def test_a_border_that_leaves_nothing(tmp_path: Path, border: Any) -> None:
    describe(make_folder(tmp_path), border=border)
    with pytest.raises(DataError, match=r"000\.png: 40x32 pixels leave nothing inside the border"):
        open_dataset(tmp_path, "train")[0]


# Scenes and broken pairs


def test_scenes_of_any_name(tmp_path: Path) -> None:
    make_folder(tmp_path, names=["00000D", "00001N", "a", "b", "c", "d"])
    write_list(tmp_path / "scenes" / "fog.txt", ["rgb/00001N.png", "a"])
    write_list(tmp_path / "scenes" / "under bridges.txt", ["b"])
    write_list(tmp_path / "night.txt", ["a", "c"])
    assert open_dataset(tmp_path, "all").scenes == ["day", "fog", "fog", "under bridges", "night", ""]
    assert open_dataset(tmp_path, "train")[2].scene == "fog"


def test_which_sensor_is_broken(tmp_path: Path) -> None:
    make_folder(tmp_path)
    write_list(tmp_path / "broke_RGB.txt", ["000"])
    write_list(tmp_path / "splits" / "broke_TIR.txt", ["thermal/001.png"])
    write_list(tmp_path / "broken_in_val.txt", ["003"])
    write_list(tmp_path / "broken_in_all.txt", ["000", "001", "004"])
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "rgb" / "003.png")  # black: RGB; 004 is not: thermal
    wanted: list[tuple[Broken, list[str]]] = [
        ("rgb", ["000", "003"]),
        ("thermal", ["001", "004"]),
        ("only", ["000", "001", "003", "004"]),
        ("drop", ["002", "005"]),
        ("keep", ["000", "001", "002", "003", "004", "005"]),
    ]
    for broken, ids in wanted:
        assert open_dataset(tmp_path, "all", broken=broken).ids == ids
    with pytest.raises(DataError, match="no pairs left with broken='thermal'"):
        open_dataset(tmp_path, "val", broken="thermal")
    with pytest.raises(DataError, match="broken must be one of keep, drop, only, rgb, thermal, not 'both'"):
        open_dataset(tmp_path, "val", broken="both")  # type: ignore[arg-type]
    (tmp_path / "rgb" / "003.png").unlink()
    (tmp_path / "rgb" / "003.png").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"rgb/003\.png: a link to a file that is not there"):
        open_dataset(tmp_path, "all")


def _lists(root: Path, lists: dict[str, list[str]]) -> None:
    make_folder(root)
    for name, names in lists.items():
        write_list(root / f"{name}.txt", names)


@pytest.mark.parametrize(
    ("lists", "choices", "fault"),
    [
        ({"broke_RGB": ["RGB_0", "RGB_1", "RGB_2"], "broke_TIR": ["001"]}, ["rgb"], "broke_RGB.*RGB_0, RGB_1 and 1 m"),
        ({"broke_RGB": ["005"], "broke_TIR": ["x"]}, ["thermal"], r"broke_TIR.*x\)"),
        ({"broke_RGB": ["x"], "broke_TIR": ["y"]}, ["drop", "only"], r"broke_RGB\.txt, broke_TIR\.txt: .*x, y\)"),
        ({"broken_in_train": ["x"], "broken_in_val": ["y"]}, ["drop", "rgb"], r"broken_in_train.*x, y\)"),
    ],
)
def test_lists_of_broken_pairs_that_name_none(
    tmp_path: Path, lists: dict[str, list[str]], choices: list[Broken], fault: str
) -> None:
    _lists(tmp_path, lists)
    for broken in choices:
        with pytest.raises(DataError, match=rf"{fault}.*, so they have no effect; correct them, or remove"):
            open_dataset(tmp_path, "train", broken=broken)


@pytest.mark.parametrize(
    ("lists", "chosen"),
    [
        ({"broke_RGB": ["000"], "broke_TIR": ["x"]}, {"rgb": ["000"], "drop": ["001", "002"], "only": ["000"]}),
        ({"broke_RGB": ["x"], "broke_TIR": ["001"]}, {"thermal": ["001"], "drop": ["000", "002"]}),
        ({"broke_RGB": ["000"], "broken_in_day": ["x"], "broken_in_night": ["y"]}, {"rgb": ["000"]}),
        ({"broke_TIR": ["x"]}, {"keep": ["000", "001", "002"]}),
    ],
)
def test_a_list_of_broken_pairs_that_names_none_beside_others(
    tmp_path: Path, lists: dict[str, list[str]], chosen: dict[Broken, list[str]]
) -> None:
    """As in a part of a data set with the lists of the whole."""
    _lists(tmp_path, lists)
    with pytest.warns(DataWarning, match=r": no pair goes by the names listed there \(x"):
        assert {broken: open_dataset(tmp_path, "train", broken=broken).ids for broken in chosen} == chosen


def test_lists_of_other_splits_and_empty_ones(tmp_path: Path) -> None:
    """A list may concern another split, and of those for each split, one that is not here."""
    make_folder(tmp_path)
    for name, names in {"broke_RGB": ["005"], "broke_TIR": [], "broken_in_a": ["x"], "broken_in_b": ["004"]}.items():
        write_list(tmp_path / f"{name}.txt", names)
    assert open_dataset(tmp_path, "train", broken="drop").ids == ["000", "001", "002"]
    write_list(tmp_path / "weakly_aligned.txt", ["img_000"])
    with pytest.warns(DataWarning, match=r"weakly_aligned\.txt: no pair goes by the names listed there \(img_000\)"):
        open_dataset(tmp_path, "train", broken="drop")
    (tmp_path / "weakly_aligned.txt").unlink()
    write_list(tmp_path / "night.txt", ["img_000"])
    with pytest.warns(DataWarning, match=r"night\.txt: no pair goes by the names listed there"):
        assert open_dataset(tmp_path, "train").scenes == ["", "", ""]


def test_a_key_that_is_nearly_right_is_pointed_out(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    with (root / "classes.yaml").open("a") as file:
        file.write("boarder: 3\nlabels_fine: {0: x}\n")
    with pytest.raises(DataError, match="key 'boarder': did you mean 'border'"):
        open_dataset(root, "train")
