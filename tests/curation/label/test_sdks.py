"""What goes to a labelling tool is read by its own library, and what that writes is read here.

The libraries tie themselves to versions that cimnet does not need; ``.ci/sdks`` installs them for these tests alone.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.label import export_for_labelling, import_masks
from cimnet.curation.label.brush_rle import decode_mask, encode_mask
from cimnet.curation.label.names import read_table

from .conftest import NAMES, guess, truth


def test_masks_are_those_of_datumaro(data: Path, tmp_path: Path) -> None:
    """The library that CVAT reads and writes formats with."""
    datumaro = pytest.importorskip("datumaro")
    export_for_labelling(data, tmp_path / "out", "cvat", prelabel=guess)
    with zipfile.ZipFile(tmp_path / "out" / "annotations.zip") as file:
        file.extractall(tmp_path / "voc")
    read = datumaro.Dataset.import_from(str(tmp_path / "voc"), "voc_segmentation")
    names = [label.name for label in read.categories()[datumaro.AnnotationType.label]]
    assert set(NAMES) <= set(names)
    assert len(read) == 3
    table = read_table(tmp_path / "out" / "names.csv")
    for item in read:
        mask = np.zeros((20, 30), int)
        for annotation in item.annotations:
            mask[annotation.image.astype(bool)] = NAMES.index(names[annotation.label])
        np.testing.assert_array_equal(mask, truth(sum(map(ord, table[item.id]))))


def test_what_datumaro_writes_is_read(data: Path, tmp_path: Path) -> None:
    """One image has a mask, one has none, and one is not in the export."""
    datumaro = pytest.importorskip("datumaro")
    from datumaro.components.annotation import Mask
    from datumaro.components.dataset_base import DatasetItem

    export_for_labelling(data, tmp_path / "out", "cvat")
    painted, bare, _ = table = read_table(tmp_path / "out" / "names.csv")
    masks = [Mask(truth(7) == k, label=k) for k in range(1, len(NAMES))]
    picture = datumaro.Image.from_numpy(np.zeros((20, 30, 3), np.uint8))
    items = [
        DatasetItem(name, subset="default", media=picture, annotations=found)
        for name, found in ((painted, masks), (bare, []))
    ]
    made = datumaro.Dataset.from_iterable(items, categories=list(NAMES))
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    colors = {"background": (0, 0, 0)} | {one["name"]: tuple(bytes.fromhex(one["color"][1:])) for one in labels}
    label_map = {name: [color, [], []] for name, color in colors.items()}
    made.export(str(tmp_path / "voc"), "voc_segmentation", label_map=label_map, apply_colormap=True)
    first = import_masks(data, tmp_path / "voc", tmp_path / "out")
    assert (first.written, first.waiting) == (1, 2)
    with_empty = import_masks(data, tmp_path / "voc", tmp_path / "out", empty=True)
    assert (with_empty.written, with_empty.same, with_empty.waiting) == (1, 1, 1)
    for name, mask in ((painted, truth(7)), (bare, np.zeros((20, 30)))):
        with Image.open(data / "labels" / f"{table[name]}.png") as label:
            np.testing.assert_array_equal(np.array(label), mask)


def test_labels_are_those_of_cvat(data: Path, tmp_path: Path) -> None:
    """The server's own description of a task and its labels: names of fields, types, lengths."""
    models = pytest.importorskip("cvat_sdk.models")
    export_for_labelling(data, tmp_path / "out", "cvat")
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    task = models.TaskWriteRequest(name="pairs", labels=[models.PatchedLabelRequest(**label) for label in labels])
    assert task.to_dict()["labels"] == labels
    assert all(set(label) <= set(models.PatchedLabelRequest.attribute_map) for label in labels)


def test_thermal_lies_where_cvat_looks_for_context_images(data: Path, tmp_path: Path) -> None:
    """The rule of its server (``utils/dataset_manifest/utils.py``; cvat-sdk has no reader of it): beside an image, in
    ``related_images``, in a folder of the image's name whose last dot is an underscore."""
    export_for_labelling(data, tmp_path / "out", "cvat")
    with zipfile.ZipFile(tmp_path / "out" / "images.zip") as images:
        files = [PurePosixPath(name) for name in images.namelist()]
    shown = [file for file in files if "related_images" not in file.parts]
    assert len(shown) == 3
    for file in shown:
        place = file.parent / "related_images" / "_".join(file.name.rsplit(".", 1))
        assert [other.name for other in files if other.parent == place] == [f"{file.stem}_thermal.png"]


def test_brush_masks_are_those_of_label_studio() -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    mask = truth(3, 2).astype(bool)
    theirs = brush.mask2rle((mask * 255).astype(np.uint8))
    np.testing.assert_array_equal(decode_mask(theirs, 20, 30), mask)
    ours = brush.decode_rle(encode_mask(mask)).reshape(20, 30, 4)
    np.testing.assert_array_equal(ours[..., 3] > 0, mask)


def test_tasks_fit_the_labelling_interface(data: Path, tmp_path: Path) -> None:
    """Label Studio's own check of a configuration, of tasks and of predictions."""
    label_interface = pytest.importorskip("label_studio_sdk.label_interface")
    export_for_labelling(data, tmp_path / "out", "label-studio", prelabel=guess)
    interface = label_interface.LabelInterface((tmp_path / "out" / "config.xml").read_text())
    interface.validate()
    for task in json.loads((tmp_path / "out" / "tasks.json").read_text()):
        assert interface.validate_task({"data": task["data"]})
        [prediction] = task["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []
        prediction["result"][0]["value"]["brushlabels"] = ["lorry"]
        assert interface.validate_prediction(prediction, return_errors=True) != []
