"""Box files: what is read from them, and one line for everything that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cimnet.data import open_dataset
from cimnet.data.boxes import Rect, boxes_of_pairs, read_boxes
from cimnet.errors import DataError, DataWarning
from tests.fakes.layouts import make_folder

Write = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Write:
    def write(*lines: str, name: str = "boxes.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def coco(tmp_path: Path) -> Write:
    """A JSON file with one annotation, changed by the arguments; `size`: width and height of its image."""

    def write(size: tuple[Any, Any] | None = None, **changes: Any) -> Path:
        annotation = {"id": 7, "image_id": 1, "category_id": 3, "bbox": [2, 3, 4, 5], **changes}
        stated = {} if size is None else {"width": size[0], "height": size[1]}
        images = [{"id": 1, "file_name": "000.png", **stated}, {"id": 2, "file_name": "rgb/001.png"}]
        content = {"images": images, "annotations": [annotation], "categories": [{"id": 3, "name": "car"}]}
        path = tmp_path / "boxes.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


def test_corners_and_centres_are_the_same_rectangle(table: Write) -> None:
    corners = table("image,class,x0,y0,x1,y1", "000,car,2,3,8,13", name="corners.csv")
    centre = table("\ufeffclass, image, cx, cy, w, h, note", "car,000,5,8,6,10,hm", name="centre.csv")
    for path in (corners, centre):
        (box,) = read_boxes(path).boxes
        assert (box.rgb, box.thermal, box.seen_in, box.ignore) == (Rect(2, 3, 8, 13), None, "", False)
        assert (box.image, box.class_name) == ("000", "car")
    assert read_boxes(corners).images is None


def test_rectangles_of_two_sensors(table: Write) -> None:
    path = table(
        "image,class,rgb_cx,rgb_cy,rgb_w,rgb_h,thermal_x0,thermal_y0,thermal_x1,thermal_y1,seen_in,scene,ignore",
        "a,car,5,5,2,2,1,2,3,4,,day,",
        "a,car,5,5,2,2,,,,,,day,1",
        "a,car,,,,,1,2,3,4,,day,0",
        "a,car,,,,,1,2,3,4,Unsure,day,no",
    )
    boxes = read_boxes(path).boxes
    assert [box.seen_in for box in boxes] == ["both", "rgb", "thermal", "unsure"]
    assert [box.ignore for box in boxes] == [False, True, False, False]
    assert [box.rgb is None for box in boxes] == [False, False, True, True]
    assert boxes[2].thermal == Rect(1, 2, 3, 4)
    assert boxes[0].scene == "day"


def test_coco(coco: Write) -> None:
    file = read_boxes(coco(attributes={"seen_in": "thermal"}, iscrowd=1))
    (box,) = file.boxes
    assert (box.rgb, box.class_name, box.image) == (Rect(2, 3, 6, 8), "car", "000.png")
    assert (box.seen_in, box.ignore) == ("thermal", True)
    assert file.images == {"000.png", "rgb/001.png"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["image,x0,y0,x1,y1", "000,1,1,2,2"], r"boxes.csv: first line: found .*; expected the columns image,class"),
        (["image,class,x0,y0,x1"], "first line"),
        (["image,class,x0,y0,x1,y1,class"], "first line"),
        ([""], "first line: found 'nothing'"),
        (["image,class,x0,y0,x1,y1"], "boxes.csv: holds no box"),
        (["image,class,x0,y0,x1,y1", "000,car,1,2,3"], "row 2: 5 cells where the first line has 6"),
        (["image,class,x0,y0,x1,y1", "000,car,1,2,3,4", "000,car,1,2,x,4"], "row 3: x1 is 'x'; write a number"),
        (["image,class,x0,y0,x1,y1", "000,car,1,2,nan,4"], "row 2: x1 is 'nan'"),
        (["image,class,x0,y0,x1,y1", "000,car,1,2,,4"], "row 2: x1 is ''"),
        (["image,class,cx,cy,w,h", "000,car,1,2,1e308,4"], "row 2: w is '1e308'; write a number of pixels"),
        (["image,class,x0,y0,x1,y1", "000,,1,2,3,4"], "row 2: class is empty"),
        (["image,class,x0,y0,x1,y1", ",car,1,2,3,4"], "row 2: image is empty"),
        (["image,class,x0,y0,x1,y1", "000,car,,,,"], "row 2: no rectangle"),
        (["image,class,x0,y0,x1,y1,seen_in", "000,car,1,2,3,4,ir"], "row 2: seen_in is 'ir'; write one of rgb, ther"),
        (["image,class,x0,y0,x1,y1,ignore", "000,car,1,2,3,4,maybe"], "row 2: ignore is 'maybe'; write 1 or 0"),
    ],
)
def test_a_table_that_cannot_be_used(table: Write, lines: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_boxes(table(*lines))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bbox": [1, 2, 3]}, r"annotation 7: bbox is \[1, 2, 3\]; write"),
        ({"bbox": [1, 2, True, 3]}, "bbox"),
        ({"bbox": None}, "bbox is None"),
        ({"bbox": [1, 2, 10**400, 4]}, "bbox is"),
        ({"image_id": 9}, "annotation 7: image_id 9 is not among the images"),
        ({"category_id": [3]}, "category_id"),
        ({"seen_in": 3}, "annotation 7: seen_in is 3"),
    ],
)
def test_coco_that_cannot_be_used(coco: Write, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_boxes(coco(**changes))


def test_what_coco_leaves_open_is_not_said(coco: Write) -> None:
    (box,) = read_boxes(coco(seen_in=None, scene=None, attributes={"scene": "night"})).boxes
    assert (box.seen_in, box.scene) == ("", "night")
    assert read_boxes(coco(scene=None)).boxes[0].scene == ""


@pytest.mark.parametrize(("what", "name"), [("images", "file_name"), ("categories", "name")])
def test_an_id_that_stands_for_two_things_is_refused(coco: Write, what: str, name: str) -> None:
    """Two exports that were put together: the boxes of one would go to the images of the other."""
    path = coco()
    content = json.loads(path.read_text())
    first = content[what][0]
    path.write_text(json.dumps({**content, what: [*content[what], first, {**first, name: "other"}]}))
    with pytest.raises(DataError, match=f"boxes.json: {what}: id {first['id']} stands for '{first[name]}' and 'other'"):
        read_boxes(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("b.json", "{", "cannot be read as JSON"),
        ("b.json", "[]", "not COCO's detection format"),
        ("b.json", '{"images": []}', "no field 'categories'"),
        ("b.json", '{"images": [], "annotations": [4], "categories": []}', "annotation 1: 4 is no mapping"),
        ("b.json", '{"images": [], "annotations": [], "categories": []}', "holds no box"),
        ("b.xml", "", "boxes are read from .csv and .json"),
        ("b.csv", None, "cannot be read"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=f"{name}: .*{words}"):
        read_boxes(tmp_path / name)


# ---- in a data set: names 000 to 005, 40x32 pixels, classes background, person, car; test is 004 and 005


def test_names_classes_and_splits(tmp_path: Path, table: Write) -> None:
    data = open_dataset(make_folder(tmp_path / "data"), "test")
    path = table(
        "image,class,x0,y0,x1,y1,seen_in",
        "004,car,1,2,3,4,rgb",
        "rgb/005.png,bicycle,-3,4,9,40,thermal",
        "000.jpg,person,1,2,3,4,",
        "005,crowd,1,2,3,4,",
    )
    found = boxes_of_pairs(read_boxes(path), data, {"bicycle": "person", "crowd": "ignore"})
    assert found.elsewhere == 1
    assert found.annotated == ("004", "005")
    (car,), (person, crowd) = found.by_pair["004"], found.by_pair["005"]
    assert (car.class_id, car.rect, car.seen_in, car.ignore) == (2, Rect(1, 2, 3, 4), "rgb", False)
    assert (person.class_id, person.rect) == (1, Rect(0, 4, 9, 32))  # what sticks out is cut off
    assert (crowd.class_id, crowd.ignore) == (None, True)


def test_only_images_that_coco_lists_are_annotated(tmp_path: Path, coco: Write) -> None:
    data = open_dataset(make_folder(tmp_path / "data"), "all")
    assert boxes_of_pairs(read_boxes(coco()), data).annotated == ("000", "001")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("009,car,1,2,3,4,,", "row 2: image '009' is not in"),
        ("004,tram,1,2,3,4,,", "row 2: class 'tram' is none of background, person, car; .*--map tram=car or"),
        ("004,car,3,2,3,4,,", "row 2: the rectangle .* = 3, 2, 3, 4 holds no pixel"),
        ("004,car,9,2,3,4,,", "holds no pixel"),
        ("004,car,0.1,0.2,0.3,0.4,,", "holds no pixel; give pixels"),  # shares of the image
        ("004,car,100,2,300,4,,", r"lies outside the image \(.*004.png: 40x32\)"),
        ("004,car,30,2,60,9,,", "lies outside the image"),  # more than half of it
    ],
)
def test_boxes_that_do_not_fit(tmp_path: Path, table: Write, row: str, words: str) -> None:
    data = open_dataset(make_folder(tmp_path / "data"), "test")
    file = read_boxes(table("image,class,x0,y0,x1,y1,seen_in,scene", row))
    with pytest.raises(DataError, match=words):
        boxes_of_pairs(file, data)


def test_coco_states_the_size_of_the_image_as_stored(tmp_path: Path, coco: Write) -> None:
    root = make_folder(tmp_path / "data")
    (root / "classes.yaml").write_text("classes: [background, person, car]\nborder: 2\n")
    data = open_dataset(root, "all")
    assert boxes_of_pairs(read_boxes(coco(size=(40, 32))), data).by_pair["000"][0].rect == Rect(0, 1, 4, 6)
    assert boxes_of_pairs(read_boxes(coco(size=(None, None))), data).elsewhere == 0  # not said
    with pytest.raises(DataError, match=r"boxes.json: images: '000.png' is 20x16, but .*000.png is 40x32; annotate"):
        boxes_of_pairs(read_boxes(coco(size=(20, 16))), data)


@pytest.mark.parametrize("size", [(40, None), (0, 32), ("40", 32), (40.5, 32), (True, 32), (40, 10**400)])
def test_a_size_that_is_none(coco: Write, size: tuple[Any, Any]) -> None:
    with pytest.raises(DataError, match=r"boxes.json: images: '000.png': width is .* and height is .*; give both in"):
        read_boxes(coco(size=size))


def test_one_scene_for_an_image(tmp_path: Path, table: Write) -> None:
    data = open_dataset(make_folder(tmp_path / "data"), "test")
    head, row = "image,class,x0,y0,x1,y1,scene", "004,car,1,2,3,4,"
    assert boxes_of_pairs(read_boxes(table(head, row + "fog", row)), data).scenes == {"004": "fog"}
    with pytest.raises(DataError, match="row 3: scene 'day', but 'fog' in another row"):
        boxes_of_pairs(read_boxes(table(head, row + "fog", row + "day")), data)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [({"bike": "car"}, "--map bike=car: no box has this class"), ({"car": "bus"}, "the data set has no class 'bus'")],
)
def test_maps_that_lead_nowhere(tmp_path: Path, table: Write, pairs: dict[str, str], words: str) -> None:
    data = open_dataset(make_folder(tmp_path / "data"), "test")
    file = read_boxes(table("image,class,x0,y0,x1,y1", "004,car,1,2,3,4"))
    with pytest.raises(DataError, match=words):
        boxes_of_pairs(file, data, pairs)


def test_a_border_is_taken_off_the_boxes(tmp_path: Path, table: Write) -> None:
    """Boxes are drawn in the images as stored, 40x32; with the border 28x18 are left, of which a box shows the same."""
    root = make_folder(tmp_path / "data")
    whole = open_dataset(root, "test").read(0).rgb
    (root / "classes.yaml").write_text("classes: [background, person, car]\nborder: [10, 4, 4, 8]\n")
    head = "image,class,x0,y0,x1,y1"
    rows = "004,car,20,15,30,25", "004,car,5,12,12,40", "004,car,0,0,40,10", "005,car,38,0,40,9"
    file = read_boxes(table(head, *rows))
    with pytest.warns(DataWarning, match=r"boxes.csv: 2 boxes inside the border that .*classes.yaml cuts off, left"):
        found = boxes_of_pairs(file, cropped := open_dataset(root, "test")).by_pair
    assert [box.rect for box in found["004"]] == [Rect(12, 5, 22, 15), Rect(0, 2, 4, 18)]
    assert "005" not in found
    assert cropped.read(0).rgb.shape == (3, 18, 28)
    assert torch.equal(cropped.read(0).rgb[:, *found["004"][0].rect.pixels], whole[:, 15:25, 20:30])
    outside = read_boxes(table(head, "004,car,30,2,60,9"))
    with pytest.raises(DataError, match=r"lies outside the image \(.*004.png: 40x32\)"):
        boxes_of_pairs(outside, cropped)


def test_pixels_are_those_whose_centres_lie_inside() -> None:
    assert Rect(1.4, 0.6, 3.5, 2.6).pixels == (slice(1, 3), slice(1, 3))
    assert Rect(2, 3, 4, 5).pixels == (slice(3, 5), slice(2, 4))
    assert Rect(2.6, 0, 3.4, 5).is_empty
