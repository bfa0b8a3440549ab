"""To CVAT and Label Studio and back: what comes back is what went out, and nothing is lost on the way."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cimnet.curation.label import export_for_labelling, import_masks
from cimnet.curation.label.brush_rle import decode_mask, encode_mask
from cimnet.curation.label.names import read_table
from cimnet.curation.label.tool_classes import ToolClasses
from cimnet.data import open_dataset
from cimnet.errors import CimnetError, DataError
from tests.conftest import Trained
from tests.data.io.test_flir_visible import write as write_visible
from tests.fakes.bands import make_stack

from .conftest import NAMES, guess, truth


def test_cvat_and_back(data: Path, tmp_path: Path) -> None:
    done = export_for_labelling(data, tmp_path / "out", "cvat", prelabel=guess)
    assert done.pairs == 3
    table = read_table(tmp_path / "out" / "names.csv")
    assert list(table.values()) == ["c", "flight 2/a", "d e"]  # the least certain first, whichever way a tool sorts
    assert sorted(table) == list(table)
    with zipfile.ZipFile(tmp_path / "out" / "images.zip") as images:
        shown = images.namelist()
        assert shown[:2] == ["0001_c.png", "related_images/0001_c_png/0001_c_thermal.png"]
        with images.open(shown[0]) as file:
            np.testing.assert_array_equal(np.array(Image.open(file)), np.array(Image.open(data / "rgb" / "c.png")))
        with images.open(shown[1]) as file:
            assert np.array(Image.open(file)).dtype == np.uint8
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert [label["name"] for label in labels] == list(NAMES[1:])
    assert len({label["color"] for label in labels}) == 3
    imported = import_masks(data, tmp_path / "out" / "annotations.zip", tmp_path / "out")
    assert (imported.written, imported.replaced, imported.same, imported.waiting) == (3, 0, 0, 0)
    dataset = open_dataset(data, "all")
    for pair in dataset.pairs:
        expected = truth("ab".index(pair.id)) if pair.id in "ab" else guess(dataset.decode(pair), pair)[0]
        np.testing.assert_array_equal(dataset.decode(pair).label, expected)
    again = import_masks(data, tmp_path / "out" / "annotations.zip", tmp_path / "out")
    assert (again.written, again.same) == (0, 3)


def test_images_on_which_nothing_is_painted(data: Path, tmp_path: Path) -> None:
    """CVAT lists them and has no mask of them: not labelled yet, unless --empty says that nothing is on them."""
    out, result = tmp_path / "out", tmp_path / "result.zip"
    export_for_labelling(data, out, "cvat", prelabel=guess)
    bare, *painted = read_table(out / "names.csv")
    with zipfile.ZipFile(out / "annotations.zip") as exported, zipfile.ZipFile(result, "w") as made:
        for name in exported.namelist():
            if not name.endswith(f"/{bare}.png"):
                made.writestr(name, exported.read(name))
    first = import_masks(data, result, out)
    assert (first.written, first.waiting) == (len(painted), 1)
    pair = read_table(out / "names.csv")[bare]
    assert not (data / "labels" / f"{pair}.png").exists()
    second = import_masks(data, result, out, empty=True)
    assert (second.written, second.same, second.waiting) == (1, len(painted), 0)
    np.testing.assert_array_equal(np.array(Image.open(data / "labels" / f"{pair}.png")), np.zeros((20, 30)))
    (data / "classes.yaml").write_text("classes: [car, person walking, tree, road]\n")
    with pytest.raises(DataError, match="no class is called background, unlabelled, unlabeled or void"):
        import_masks(data, result, out, empty=True)


def test_tasks_that_were_submitted_without_paint(data: Path, tmp_path: Path) -> None:
    export_for_labelling(data, tmp_path / "out", "label-studio")
    names, result = read_table(tmp_path / "out" / "names.csv"), tmp_path / "result.json"
    annotations: list[list[Any]] = [[{"result": []}], [], [{"result": [], "was_cancelled": True}]]
    tasks = [{"data": {"name": name}, "annotations": made} for name, made in zip(names, annotations, strict=True)]
    result.write_text(json.dumps(tasks))
    done = import_masks(data, result, tmp_path / "out")
    assert (done.written, done.waiting) == (0, 3)
    done = import_masks(data, result, tmp_path / "out", empty=True)
    assert (done.written, done.waiting) == (1, 2)  # nobody has submitted the others
    [first, *_] = names.values()
    assert not np.array(Image.open(data / "labels" / f"{first}.png")).any()


@pytest.mark.parametrize("embedded", [False, True])
def test_masks_of_images_of_which_bands_are_chosen(tmp_path: Path, embedded: bool) -> None:
    """More bands than Pillow opens; a visible picture that is larger than the temperatures."""
    root, result = tmp_path / "data", tmp_path / "result.zip"
    if embedded:
        pytest.importorskip("flyr")
        (root / "img").mkdir(parents=True)
        for number in range(2):
            write_visible(root / "img" / f"{number}.jpg")
        (root / "classes.yaml").write_text(
            "classes: [background, plant]\nfiles: {rgb: 'img/{name}', thermal: 'img/{name}'}\n"
            "bands: {rgb: embedded}\nthermal_range: {kind: kelvin, low: 260, high: 340, unit: kelvin}\n"
        )
    else:
        pytest.importorskip("rasterio")
        make_stack(root)
        (root / "classes.yaml").write_text((root / "classes.yaml").read_text().replace("ground", "background"))
        for path in (root / "labels").iterdir():
            path.unlink()
    export_for_labelling(root, tmp_path / "out", "cvat", prelabel=lambda arrays, _: (paint(arrays.thermal.shape), 0.5))
    bare, *painted = read_table(tmp_path / "out" / "names.csv")
    with zipfile.ZipFile(tmp_path / "out" / "annotations.zip") as exported, zipfile.ZipFile(result, "w") as made:
        for name in exported.namelist():
            if not name.endswith(f"/{bare}.png"):
                made.writestr(name, exported.read(name))
    assert import_masks(root, result, tmp_path / "out", empty=True).written == len(painted) + 1
    dataset = open_dataset(root, "all")
    found = [dataset.arrays(number).label for number in range(len(dataset))]
    assert sum(bool(label.any()) for label in found if label is not None) == len(painted)


def paint(size: tuple[int, ...]) -> Any:
    label = np.zeros(size, np.uint8)
    label[:5] = 1
    return label


def annotate(tasks: Path, out: Path, change: dict[str, Any] | None = None) -> Path:
    """What Label Studio exports when somebody accepts the predictions."""
    content = json.loads(tasks.read_text())
    for task in content:
        results = task.pop("predictions")[0]["result"]
        task["annotations"] = [
            {"result": [], "was_cancelled": True, "updated_at": "2030"},
            {"result": []},
            {"result": [], "updated_at": "2021-01-01T00:00:00Z"},
            {"result": results, "updated_at": "2021-01-01T00:00:00.9Z"},  # as text, it comes before the one above
            {"result": [], "updated_at": "2021-01-01T02:00:00+02:00"},
        ]
        for entry in results:
            entry.update(change or {})
    out.write_text(json.dumps(content))
    return out


def test_label_studio_and_back(data: Path, tmp_path: Path) -> None:
    export_for_labelling(data, tmp_path / "out", "label-studio", prelabel=guess)
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert tasks[0]["data"]["rgb"] == "/data/local-files/?d=out/images/0001_c.png"
    assert (tmp_path / "out" / "images" / "0001_c_thermal.png").is_file()
    view = ET.parse(tmp_path / "out" / "config.xml").getroot()
    assert [label.get("value") for label in view.iter("Label")] == list(NAMES[1:])
    assert {image.get("value") for image in view.iter("Image")} == {"$rgb", "$thermal"}
    result = annotate(tmp_path / "out" / "tasks.json", tmp_path / "result.json")
    result.write_text(result.read_text(), encoding="utf-8-sig")  # as editors of some systems save it
    imported = import_masks(data, result, tmp_path / "out" / "names.csv")
    assert imported.written == 3
    dataset = open_dataset(data, "all")
    for pair in dataset.pairs:
        if pair.id not in "ab":
            np.testing.assert_array_equal(dataset.decode(pair).label, guess(dataset.decode(pair), pair)[0])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_brush_masks_come_back(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    packed = encode_mask(mask)
    assert all(0 <= byte < 256 for byte in packed)
    np.testing.assert_array_equal(decode_mask(packed, height, width), mask)
    with pytest.raises(DataError):
        decode_mask(packed, height + 1, width)
    with pytest.raises(DataError):
        decode_mask(packed[:-1] if len(packed) > 8 else [], height, width)


def test_labels_that_are_there_are_kept(data: Path, tmp_path: Path) -> None:
    export_for_labelling(data, tmp_path / "out", "cvat", labelled=True)
    assert len(read_table(tmp_path / "out" / "names.csv")) == 5
    before = (data / "labels" / "a.png").read_bytes()
    Image.fromarray(truth(9)).save(data / "labels" / "b.png")
    changed = (data / "labels" / "b.png").read_bytes()
    with pytest.raises(CimnetError, match=r"b\.png: exists and differs .*--overwrite"):
        import_masks(data, tmp_path / "out" / "annotations.zip", tmp_path / "out")
    assert (data / "labels" / "b.png").read_bytes() == changed
    done = import_masks(data, tmp_path / "out" / "annotations.zip", tmp_path / "out", overwrite=True)
    assert (done.written, done.replaced, done.same, done.waiting) == (1, 1, 1, 3)
    np.testing.assert_array_equal(np.array(Image.open(data / "labels" / "b.png")), truth(1))
    assert (data / "labels" / "a.png").read_bytes() == before


def test_without_a_background_class_what_is_not_painted_is_ignored() -> None:
    known = ToolClasses.of(("road", "car"), ((0, 0, 0), (0, 0, 0)))
    assert known.names == ("road", "car")
    assert known.unpainted == 255
    assert len({*known.colors, (0, 0, 0)}) == 3
    assert ToolClasses.of(("car", "Unlabelled"), ((9, 9, 9), (1, 1, 1))).unpainted == 1


def test_results_that_do_not_fit_change_nothing(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_for_labelling(data, out, "label-studio", prelabel=guess)
    there = sorted((data / "labels").rglob("*.png"))

    def refused(result: Path, text: str, names: Path = out) -> None:
        with pytest.raises(DataError, match=text):
            import_masks(data, result, names)
        assert sorted((data / "labels").rglob("*.png")) == there

    tasks, made = out / "tasks.json", tmp_path / "r.json"
    refused(
        annotate(tasks, made, {"value": {"format": "rle", "rle": [1], "brushlabels": ["lorry"]}}), "'lorry' is no class"
    )
    refused(annotate(tasks, made, {"type": "polygonlabels"}), "polygonlabels")
    refused(annotate(tasks, made, {"original_height": 21}), "task 1: a brush label of length")
    refused(annotate(tasks, made, {"image_rotation": 90}), "turned image")
    refused(
        annotate(tasks, made, {"value": {"format": "rle", "rle": [1], "brushlabels": ["car", "tree"]}}),
        "has car, tree",
    )
    refused(annotate(tasks, made, {"original_width": "wide"}), "task 1: is damaged")
    twice = json.loads(annotate(tasks, made).read_text())
    made.write_text(json.dumps([*twice, twice[0]]))  # imported twice into the tool: which one is meant?
    refused(made, "'c' comes twice, the second time as '0001_c'")
    refused(tasks, "has no 'annotations'")
    refused(data / "classes.yaml", "cannot be opened")
    made.write_text("<html>")
    refused(made, "is not JSON")
    annotate(tasks, made)
    (tmp_path / "names.csv").write_text("file,pair\n0001_c,gone\n")
    refused(made, "'0001_c' is not in", tmp_path / "names.csv")
    (tmp_path / "names.csv").write_text("a,b\n1,2\n")
    refused(made, "columns file,pair", tmp_path / "names.csv")
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as file:
        file.writestr("labelmap.txt", "car:1,2,3::\n")
    refused(tmp_path / "r.zip", "no masks in SegmentationClass")
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as file:
        file.writestr("labelmap.txt", "background:0,0,0::\ncar:1,2,3::\n")
        Image.new("RGB", (30, 20), (9, 9, 9)).save(tmp_path / "wrong.png")
        file.write(tmp_path / "wrong.png", "SegmentationClass/0001_c.png")
    refused(tmp_path / "r.zip", r"colour \(9, 9, 9\) at x 0, y 0 is no label's")
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as file:
        file.writestr("labelmap.txt", "background:0,0,0::\ncar:1,2,3::\n")
        Image.new("RGB", (31, 20), (1, 2, 3)).save(tmp_path / "wrong.png")
        file.write(tmp_path / "wrong.png", "SegmentationClass/0001_c.png")
    refused(tmp_path / "r.zip", "a mask of 31x20, but .* is 30x20")
    with zipfile.ZipFile(tmp_path / "r.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("labelmap.txt", "background:0,0,0::\ncar:1,2,3::\n" * 50)
    packed = (tmp_path / "r.zip").read_bytes()
    (tmp_path / "r.zip").write_bytes(packed[:42] + b"\xff\xff" + packed[44:])  # the first bytes of what is packed
    refused(tmp_path / "r.zip", "labelmap.txt cannot be read")


def test_the_least_certain_come_before_those_with_labels(data: Path, tmp_path: Path) -> None:
    export_for_labelling(data, tmp_path / "all", "cvat", prelabel=guess, labelled=True)
    assert list(read_table(tmp_path / "all" / "names.csv").values()) == ["c", "flight 2/a", "d e", "a", "b"]
    export_for_labelling(data, tmp_path / "few", "label-studio", prelabel=guess, labelled=True, most=2)
    assert list(read_table(tmp_path / "few" / "names.csv").values()) == ["c", "flight 2/a"]
    tasks = json.loads((tmp_path / "few" / "tasks.json").read_text())
    assert all(task["predictions"] for task in tasks)


def test_without_a_model_the_pairs_are_spread_over_the_names(data: Path, tmp_path: Path) -> None:
    """The first twenty frames of a flight show one thing; so the names' first and last are among a few."""
    for most, names in ((2, ["c", "flight 2/a"]), (9, ["c", "d e", "flight 2/a"])):
        export_for_labelling(data, tmp_path / str(most), "cvat", most=most)
        assert list(read_table(tmp_path / str(most) / "names.csv").values()) == names


def test_what_cannot_be_exported(data: Path, tmp_path: Path) -> None:
    for name in ("c", "d e", "flight 2/a"):
        Image.fromarray(truth(1)).save(data / "labels" / f"{name}.png")
    with pytest.raises(DataError, match="every pair has a label"):
        export_for_labelling(data, tmp_path / "out", "cvat")
    with pytest.raises(CimnetError):
        export_for_labelling(data, data / "out", "cvat", labelled=True)
    assert not (tmp_path / "out").exists()
    assert export_for_labelling(data, tmp_path / "out", "cvat", labelled=True, most=2).pairs == 2
    (data / "classes.yaml").write_text('{"classes": ["background", "b:c", "d", "e"]}')
    with pytest.raises(DataError, match="without a colon"):
        export_for_labelling(data, tmp_path / "other", "cvat", labelled=True)
    assert not (tmp_path / "other").exists()


def test_the_commands(cli: Any, trained: Trained, tmp_path: Path) -> None:
    """Prelabels of a model; the least certain pair first."""
    root = tmp_path / "own"
    source = open_dataset(trained.root, "train")
    for kind in ("rgb", "thermal"):
        (root / kind).mkdir(parents=True)
    for pair in source.pairs[:3]:
        arrays = source.decode(pair)
        Image.fromarray(arrays.rgb).save(root / "rgb" / f"{pair.id}.png")
        Image.fromarray(arrays.thermal).save(root / "thermal" / f"{pair.id}.png")
    ran = cli("data", "label", "export", root, tmp_path / "out", "--to", "cvat", "--model", trained.best)
    assert ran.code == 0
    rows = [line.split(",") for line in (tmp_path / "out" / "names.csv").read_text().splitlines()[1:]]
    assert [float(row[2]) for row in rows] == sorted((float(row[2]) for row in rows), reverse=True)
    names = json.dumps({"classes": list(source.classes)})
    (root / "classes.yaml").write_text(names)
    ran = cli("data", "label", "import", root, tmp_path / "out" / "annotations.zip", "--names", tmp_path / "out")
    assert ran.code == 0
    assert "3 labels written" in ran.out
    assert len(open_dataset(root, "all")) == 3
    (root / "classes.yaml").write_text("classes: [a, b]\n")
    again = [root, tmp_path / "again", "--to", "cvat", "--model", trained.best, "--labelled"]
    for more in ([], ["--classes", "a,b"]):
        refused = cli("data", "label", "export", *again, *more)
        assert refused.code == 2, refused.out
        assert "take data and checkpoint, or data and recipe, of the same classes" in refused.err
