"""What converting does to classes, splits and the names of pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cimnet.curation.convert import convert
from cimnet.data import LAYOUTS, open_dataset
from cimnet.errors import DataError
from tests.fakes import layouts as fakes
from tests.fakes.layouts import make_arrays, save_array, write_list

from .test_convert import NAMES, assert_same, lists_below, make_source


def test_labels_in_colours(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", "folder")
    content = yaml.safe_load((source / "classes.yaml").read_text())
    content["classes"] = [{"name": n, "color": c} for n, c in (("on", "#102030"), ("car", [224] * 3), ("1", [0, 0, 9]))]
    (source / "classes.yaml").write_text(yaml.safe_dump(content))
    there = convert(source, tmp_path / "there", "colors")
    with Image.open(there / "labels" / f"{NAMES[0]}.png") as image:
        assert image.mode == "RGB"
        assert image.getpixel((0, 0)) == (223, 223, 223)  # ignored: 224 is the car's
    assert_same(open_dataset(source, "val"), open_dataset(there, "val"))
    assert open_dataset(there, "val").colors == ((16, 32, 48), (224, 224, 224), (0, 0, 9))
    content["classes"][1]["color"] = [0, 0, 9]
    (source / "classes.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match="classes car, 1 have one colour"):
        convert(source, tmp_path / "other", "colors")


def test_classes_go_by_name(tmp_path: Path) -> None:
    source = fakes.make_mfnet(tmp_path / "source")
    missing = "kust4k has no class person, bike, curve, car_stop, guardrail, colour_cone, bump; it has unlabelled, road"
    with pytest.raises(DataError, match=f"{missing}.*person=unlabelled.*layout folder"):
        convert(source, tmp_path / "there", "kust4k")
    class_map = {"person": "human", "bike": "ignore", "curve": "road", "car_stop": "traffic_facilities"}
    class_map |= dict.fromkeys(("guardrail", "colour_cone", "bump"), "traffic_facilities")
    there = convert(source, tmp_path / "there", "kust4k", class_map=class_map)
    table = np.full(256, 255)
    table[:9] = [0, 4, 7, 255, 1, 8, 8, 8, 8]
    for before, after in zip(open_dataset(source, "all"), open_dataset(there, "all"), strict=True):
        np.testing.assert_array_equal(after.label, table[before.label])
    with pytest.raises(DataError, match=r"class_map: .* has no class boat; it has unlabelled"):
        convert(source, tmp_path / "x", "folder", class_map={"boat": "car"})
    with pytest.raises(DataError, match="no class boat"):
        convert(source, tmp_path / "x", "kust4k", class_map={**class_map, "person": "boat"})
    with pytest.raises(DataError, match="every class is ignored"):
        convert(
            source, tmp_path / "x", "folder", class_map=dict.fromkeys(LAYOUTS["mfnet"].info.classes.names, "ignore")
        )


def test_classes_of_a_folder_are_renamed_and_joined(tmp_path: Path) -> None:
    source = fakes.make_mfnet(tmp_path / "source")
    class_map = {"person": "human", "unlabelled": "ignore", "bump": "cone", "colour_cone": "cone"}
    there = open_dataset(convert(source, tmp_path / "there", "folder", class_map=class_map), "all")
    assert there.classes == ("car", "human", "bike", "curve", "car_stop", "guardrail", "cone")
    before = open_dataset(source, "all")
    assert there.colors == (*before.colors[1:7], before.colors[7])
    table = np.full(256, 255)
    table[1:9] = [0, 1, 2, 3, 4, 5, 6, 6]
    np.testing.assert_array_equal(there.arrays(3).label, table[before.arrays(3).label])
    assert there.file.about["home"].startswith("https://www.mi.t.u-tokyo.ac.jp/")


def test_splits_are_chosen_and_renamed(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", "msrs")
    there = convert(source, tmp_path / "a", "msrs", splits={"half": "train", "all": "test"})
    assert open_dataset(there, "train").ids == [NAMES[3], NAMES[4]]
    assert open_dataset(there, "test", require_labels=False).ids == sorted(NAMES[index] for index in (0, 1, 2, 5, 6))
    there = convert(source, tmp_path / "b", "folder", splits=["val", "half"])
    assert open_dataset(there, "all").ids == sorted(NAMES[index] for index in (1, 3, 4, 5))
    assert lists_below(there) >= {"val.txt", "half.txt"}
    assert not lists_below(there) & {"train.txt", "test.txt", "all.txt"}
    there = convert(source, tmp_path / "c", "folder", splits={"val": "dev", "test": "dev"})
    assert open_dataset(there, "dev").ids == [NAMES[index] for index in (1, 5, 6, 3)]
    with pytest.raises(DataError, match=r"no list week.txt"):
        convert(source, tmp_path / "d", "folder", splits=["week"])
    for to in ("msrs", "coco_panoptic"):
        (source / "val.txt").rename(source / "extra.txt")
        remedy = "--split train --split " + ("extra=train" if to == "msrs" else "all=train")
        if to == "coco_panoptic":
            (source / "extra.txt").unlink()
        with pytest.raises(DataError, match=f"{NAMES[1]}, {NAMES[5]} of .* keeps pairs by split .*{remedy}"):
            convert(source, tmp_path / "e", to)
        write_list(source / "val.txt", [NAMES[1], NAMES[5]])


def test_one_name_in_two_split_folders(tmp_path: Path) -> None:
    source = fakes.make_fmb(tmp_path / "source")
    for kind in ("Visible", "Infrared", "Label"):
        (source / "test" / kind / "00004.png").rename(source / "test" / kind / "00000.png")
    before = {split: open_dataset(source, split) for split in ("train", "test")}
    assert before["test"].ids == ["test/00000", "00005"]
    for to in ("fmb", "folder", "coco_panoptic"):
        there = convert(source, tmp_path / to, to)
        for split, dataset in before.items():
            assert_same(dataset, open_dataset(there, split))
    there = convert(source, tmp_path / "flat", "kust4k", class_map=dict.fromkeys(before["train"].classes, "road"))
    assert open_dataset(there, "test").ids == ["test_00000", "00005"]


def test_folders_in_names(tmp_path: Path) -> None:
    source = fakes.make_described(tmp_path / "source", "visible/{name}", "ir/{name}", "gt/{name}")
    assert_same(open_dataset(source, "train"), open_dataset(convert(source, tmp_path / "a", "colors"), "train"))
    class_map = {"background": "unlabelled"}
    there = convert(source, tmp_path / "b", "mfnet", class_map=class_map)
    assert open_dataset(there, "train").ids == [n.replace("/", "_") for n in open_dataset(source, "train").ids]
    save_array(source / "visible" / "flight 1_0000.png", make_arrays(0)[0])
    save_array(source / "ir" / "flight 1_0000.png", make_arrays(0)[1])
    with pytest.raises(DataError, match="flight 1/0000 and flight 1_0000 would both be flight 1_0000 in mfnet"):
        convert(source, tmp_path / "c", "mfnet", class_map=class_map)
