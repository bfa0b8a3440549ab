"""COCO's panoptic format: ours, and files as others write them."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from cimnet.curation.convert import convert
from cimnet.data import open_dataset, palette
from cimnet.data.layouts.coco import CocoPanoptic
from cimnet.errors import DataError
from tests.fakes.layouts import HEIGHT, WIDTH, make_arrays, make_folder, make_kust4k, save_array, write_list

CATEGORIES: list[dict[str, Any]] = [
    {"id": 200, "name": "sky", "isthing": 0, "supercategory": "outdoor", "color": [70, 130, 180]},
    {"id": 1, "name": "person", "isthing": 1, "color": [220, 20, 60]},
    {"id": 92, "name": "banner", "isthing": 0},
]
SEGMENTS = {3226956: 200, 70001: 1, 70002: 1, 255: 92}  # by segment; two persons


def segment_map() -> npt.NDArray[np.int64]:
    """(H, W) segment by pixel: rows of sky, two persons, a banner; the first column is void."""
    segments = np.full((HEIGHT, WIDTH), 3226956)
    segments[10:14, 5:9], segments[20:30, 8:12], segments[31] = 70001, 70002, 255
    segments[:, 0] = 0
    return segments


def make_coco(root: Path) -> Path:
    """As COCO's site packs it: annotations/, pictures by split, file names with extension; the second image has no
    annotation."""
    for index, name in enumerate(("000139", "000285")):
        rgb, thermal, _ = make_arrays(index)
        save_array(root / "val2017" / f"{name}.jpg", rgb)
        save_array(root / "thermal" / f"{name}.tiff", thermal.astype(np.uint16) + 3000)
    ids = segment_map()
    save_array(
        root / "annotations" / "panoptic_val2017" / "000139.png",
        np.dstack([ids % 256, ids // 256 % 256, ids // 65536]).astype(np.uint8),
    )
    write_json(root, change={})
    return root


def write_json(root: Path, change: dict[str, Any]) -> None:
    infos = [
        {"id": id_, "category_id": category, "area": 1, "bbox": [0, 0, 1, 1]} for id_, category in SEGMENTS.items()
    ]
    content = {
        "images": [{"id": 139, "file_name": "000139.jpg"}, {"id": 285, "file_name": "000285.jpg"}],
        "annotations": [{"image_id": 139, "file_name": "000139.png", "segments_info": infos}],
        "categories": CATEGORIES,
    }
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(content | change))
    now = root.stat().st_mtime_ns + len(repr(change)) * 10**9  # another time, however coarse the clock is
    os.utime(root / "annotations" / "panoptic_val2017.json", ns=(now, now))


def test_a_file_of_others(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path), "val2017", require_labels=False, thermal_range=(3000, 3255))
    assert isinstance(dataset, CocoPanoptic)
    assert dataset.classes == ("person", "banner", "sky")  # by id of the category
    assert dataset.colors[::2] == ((220, 20, 60), (70, 130, 180))
    assert dataset.colors[1] in palette(6)
    assert dataset.ids == ["000139", "000285"]
    label = dataset[0].label
    assert label is not None
    expected = {0: 255, 70001: 0, 70002: 0, 255: 1, 3226956: 2}
    for segment, class_id in expected.items():
        assert set(label[torch.from_numpy(segment_map() == segment)].tolist()) == {class_id}
    assert dataset[1].label is None
    np.testing.assert_array_equal(dataset.arrays(0).thermal, make_arrays(0)[1].astype(int) + 3000)
    assert dataset.check().tolist() == [4 * 4 + 10 * 4, WIDTH - 1, (HEIGHT - 1) * (WIDTH - 1) - 56]
    with pytest.raises(DataError, match=r"no image for 000285 \(labels are required\)"):
        open_dataset(tmp_path, "val2017")
    with pytest.raises(DataError, match="splits found: val2017"):
        open_dataset(tmp_path, "train")


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = make_coco(tmp_path) / "annotations" / "panoptic_val2017.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert open_dataset(tmp_path, "val2017", require_labels=False).ids == ["000139", "000285"]


def test_a_file_of_others_is_converted(tmp_path: Path) -> None:
    source = make_coco(tmp_path / "source")
    there = open_dataset(convert(source, tmp_path / "there", "folder"), "val2017", require_labels=False)
    before = open_dataset(source, "val2017", require_labels=False)
    assert (there.classes, there.colors) == (before.classes, before.colors)
    np.testing.assert_array_equal(there.arrays(0).label, before.arrays(0).label)
    assert (tmp_path / "there" / "rgb" / "000139.jpg").read_bytes() == (source / "val2017" / "000139.jpg").read_bytes()


def test_what_we_write_follows_the_format(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source")
    label = np.full((HEIGHT, WIDTH), 255, np.uint8)
    label[3:9, 4:20], label[9, 30] = 2, 2
    save_array(source / "labels" / "000.png", label)
    (source / "labels" / "001.png").unlink()
    there = convert(source, tmp_path / "there", "coco_panoptic")
    content = json.loads((there / "panoptic_train.json").read_text(encoding="utf-8"))
    assert content["categories"][2] == {"id": 3, "name": "car", "isthing": 0, "color": [60, 180, 75]}
    assert content["images"][0] == {"id": 1, "file_name": "000.png", "height": HEIGHT, "width": WIDTH}
    assert [entry["image_id"] for entry in content["annotations"]] == [1, 3]
    info = {"id": 3, "category_id": 3, "area": 97, "bbox": [4, 3, 27, 7], "iscrowd": 0}
    assert content["annotations"][0] == {"image_id": 1, "file_name": "000.png", "segments_info": [info]}
    pixels = np.array(Image.open(there / "panoptic_train" / "000.png")).astype(int) @ [1, 256, 65536]
    np.testing.assert_array_equal(pixels, np.where(label == 2, 3, 0))
    for entry in content["annotations"]:
        pixels = np.array(Image.open(there / "panoptic_train" / entry["file_name"])).astype(int) @ [1, 256, 65536]
        for info in entry["segments_info"]:
            assert info["area"] == (pixels == info["id"]).sum()
        assert {info["id"] for info in entry["segments_info"]} == set(np.unique(pixels)) - {0}


def test_255_classes(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", n=4)
    (source / "classes.yaml").write_text(f"classes: [{', '.join(f'class {k}' for k in range(255))}]\n")
    save_array(source / "labels" / "000.png", np.arange(HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH))
    for to in ("coco_panoptic", "colors"):
        after = open_dataset(convert(source, tmp_path / to, to), "train")
        np.testing.assert_array_equal(after.arrays(0).label.ravel(), np.arange(HEIGHT * WIDTH) % 256)


def test_a_list_and_several_splits(tmp_path: Path) -> None:
    there = convert(make_kust4k(tmp_path / "source"), tmp_path / "there", "coco_panoptic")
    write_list(there / "mine.txt", ["00006D", "rgb/00001N.png"])
    assert open_dataset(there, "mine").ids == ["00006D", "00001N"]
    assert len(open_dataset(there, "all")) == 8
    content = json.loads((there / "panoptic_val.json").read_text())
    content["images"][0]["file_name"] = "rgb/00004D.png"
    (there / "panoptic_val.json").write_text(json.dumps(content))
    assert open_dataset(there, "val").ids == ["00004D", "00005N"]
    content["categories"][1]["name"] = "street"
    (there / "panoptic_val.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"panoptic_val.json: its categories are not those of panoptic_test.json"):
        open_dataset(there, "val")


def test_an_image_in_two_files(tmp_path: Path) -> None:
    there = convert(make_kust4k(tmp_path / "source"), tmp_path / "there", "coco_panoptic")
    for old, new in ((there / "panoptic_val", there / "panoptic_dev"),):
        old.rename(new)
    text = (there / "panoptic_val.json").read_text()
    (there / "panoptic_dev.json").write_text(text)
    new_label = np.zeros((HEIGHT, WIDTH, 3), np.uint8) + np.array([2, 0, 0], np.uint8)
    for name in ("00004D", "00005N"):
        save_array(there / "panoptic_val" / f"{name}.png", new_label)
    assert open_dataset(there, "dev").ids == ["dev/00004D", "dev/00005N"]
    label = open_dataset(there, "val")[0].label
    assert label is not None
    assert label.unique().tolist() == [1]
    assert open_dataset(there, "dev")[0].label.unique().numel() > 1


def test_a_segment_that_is_not_told(tmp_path: Path) -> None:
    path = make_coco(tmp_path) / "annotations" / "panoptic_val2017" / "000139.png"
    pixels = np.array(Image.open(path))
    pixels[0, 5], pixels[1, 5:8] = (1, 1, 1), (0, 2, 0)
    save_array(path, pixels)
    dataset = open_dataset(tmp_path, "val2017", require_labels=False)
    match = r"000139.png: segment 512 \(3 pixels\), segment 65793 \(1 pixel\) not in segments_info"
    with pytest.raises(DataError, match=match):
        dataset[0]
    save_array(path, pixels[..., 0])
    with pytest.raises(DataError, match=r"000139.png: a PNG of mode L; panoptic labels are RGB PNG files"):
        dataset[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "not COCO's panoptic format"),
        ({"images": [{"id": 139}]}, r"no field 'file_name'"),
        ({"images": [{"id": 139, "file_name": "../../etc/x.jpg"}]}, "'../../etc/x.jpg' is not a path inside"),
        ({"images": [{"id": 139, "file_name": "/etc/x.jpg"}]}, "'/etc/x.jpg' is not a path inside"),
        (
            {"images": [{"id": 1, "file_name": "000139.jpg"}]},
            "an annotation of image 139, which is not among the images",
        ),
        (
            {"images": [{"id": 139, "file_name": "000139.jpg", "width": 20, "height": 16}]},
            r"images: '000139.jpg' is 20x16, but .*000139.jpg is 40x32",
        ),
        ({"images": [{"id": 139, "file_name": "000139.jpg", "width": 20}]}, "width is 20 and height is None; give"),
        ({"categories": CATEGORIES[:2]}, "000139.png: category_id 92 is not among the categories"),
        ({"categories": [*CATEGORIES, {"id": 3, "name": "sky"}]}, "class names must differ: sky"),
        ({"annotations": [{"image_id": 139, "file_name": "000139.png"}]}, "no field 'segments_info'"),
    ],
)
def test_json_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_json(make_coco(tmp_path), change)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(tmp_path, "val2017", require_labels=False)
    assert "panoptic_val2017.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_json_and_no_files(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "data")
    path = root / "annotations" / "panoptic_val2017.json"
    path.write_text("{")
    with pytest.raises(DataError, match=r"panoptic_val2017.json: cannot be read as JSON"):
        open_dataset(root, "val2017")
    path.unlink()
    with pytest.raises(DataError, match=r"not in the layout coco_panoptic; expected panoptic_\{train,test\}.json"):
        open_dataset(root, "val2017", layout="coco_panoptic")
    with pytest.raises(DataError, match="no such folder"):
        CocoPanoptic(root / "nowhere", "val2017")
    make_coco(root)
    (root / "val2017" / "000139.jpg").unlink()
    with pytest.raises(DataError, match="rgb: no image for 000139"):
        open_dataset(root, "val2017", require_labels=False)
    make_coco(root)
    (root / "annotations" / "panoptic_val2017" / "000139.png").unlink()
    with pytest.raises(DataError, match=r"000139.png: no such file"):
        open_dataset(root, "val2017", require_labels=False)


def test_classes_must_be_those_asked_for(tmp_path: Path) -> None:
    make_coco(tmp_path)
    names = ["person", "banner", "sky"]
    assert open_dataset(tmp_path, "val2017", require_labels=False, classes=names).colors[0] == (220, 20, 60)
    with pytest.raises(DataError, match=r"its classes \(person, banner, sky\) are not those asked for"):
        open_dataset(tmp_path, "val2017", require_labels=False, classes=names[::-1])


def test_the_disk_cache_knows_the_json(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "data")
    options: dict[str, Any] = {"require_labels": False, "cache": "disk", "cache_folder": tmp_path / "cache"}
    before = open_dataset(root, "val2017", **options)[0].label
    names = [{**category, "id": {200: 1, 1: 200}.get(category["id"], category["id"])} for category in CATEGORIES]
    write_json(root, {"categories": names})
    dataset = open_dataset(root, "val2017", **options)
    assert dataset.classes == ("sky", "banner", "person")
    np.testing.assert_array_equal(dataset[0].label, before)  # the same ids, by other names
    infos = [{"id": id_, "category_id": 92} for id_ in SEGMENTS]
    write_json(root, {"annotations": [{"image_id": 139, "file_name": "000139.png", "segments_info": infos}]})
    dataset = open_dataset(root, "val2017", **options)
    assert dataset[0].label.unique().tolist() == [1, 255]
    assert pickle.loads(pickle.dumps(dataset))[0].label.unique().tolist() == [1, 255]
    assert len(list((tmp_path / "cache").glob("*.bin"))) == 2  # other names alone decode nothing again


def test_the_disk_cache_knows_the_bands(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    root = make_coco(tmp_path / "data")
    options: dict[str, Any] = {"require_labels": False, "cache_folder": tmp_path / "cache"}
    open_dataset(root, "val2017", cache="disk", **options)
    (root / "classes.yaml").write_text("bands: {rgb: [3, 2, 1]}\n")
    found, expected = (open_dataset(root, "val2017", cache=cache, **options).arrays(0) for cache in ("disk", "none"))
    np.testing.assert_array_equal(found.rgb, expected.rgb)
