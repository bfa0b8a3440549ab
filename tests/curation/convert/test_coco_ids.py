"""Ids in COCO's panoptic files: each stands for one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimnet.data import open_dataset
from cimnet.errors import DataError
from tests.fakes.layouts import HEIGHT, WIDTH, save_array

from .test_coco import CATEGORIES, SEGMENTS, make_coco, write_json

IMAGES = [{"id": 139, "file_name": "000139.jpg"}, {"id": 285, "file_name": "000285.jpg"}]
SECOND: dict[str, Any] = {"image_id": 139, "file_name": "000285.png", "segments_info": []}
FIRST = {
    **SECOND,
    "file_name": "000139.png",
    "segments_info": [{"id": k, "category_id": c} for k, c in SEGMENTS.items()],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": [IMAGES[0], {**IMAGES[1], "id": 139}]},
            "images: id 139 stands for '000139.jpg' and '000285.jpg'; give each an id of its own",
        ),
        (
            {"images": [*IMAGES, {"id": 7, "file_name": "000139.png"}]},
            "images: the name '000139' stands for '000139.jpg' and '000139.png'; rename one",
        ),
        (
            {"categories": [*CATEGORIES, {"id": 1, "name": "rider"}]},
            r"categories: id 1 stands for \('person', \(220, 20, 60\)\) and \('rider', None\); give each an id",
        ),
        (
            {"annotations": [FIRST, SECOND]},
            r"annotations: the image '000139' stands for annotation 1 \(image_id 139, '000139.png'\) and annotation 2 "
            r"\(image_id 139, '000285.png'\); keep one",
        ),
        (
            {"images": [*IMAGES, {**IMAGES[0], "id": 7}], "annotations": [FIRST, {**SECOND, "image_id": 7}]},
            r"the image '000139' stands for annotation 1 \(image_id 139, .* and annotation 2 \(image_id 7, '000285.png",
        ),
        (
            {"annotations": [FIRST, {**SECOND, "image_id": 285, "file_name": "000139.png"}]},
            r"annotations: the label '000139.png' stands for annotation 1 \(.*\) and annotation 2 \(image_id 285, ",
        ),
        (
            {"annotations": [{**FIRST, "segments_info": [*FIRST["segments_info"], {"id": 255, "category_id": 1}]}]},
            r"annotation 1 \(image_id 139, '000139.png'\): segments_info: id 255 stands for 92 and 1; give each an id",
        ),
    ],
)
def test_an_id_that_stands_for_two_things(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Each would give pixels, or a pair, to another class or name without a word."""
    write_json(make_coco(tmp_path), change)
    with pytest.raises(DataError, match=f"panoptic_val2017.json: .*{message}"):
        open_dataset(tmp_path, "val2017", require_labels=False)


def test_an_entry_that_is_there_twice(tmp_path: Path) -> None:
    """As in files that were put together: it says the same both times."""
    write_json(make_coco(tmp_path), {})
    before = open_dataset(tmp_path, "val2017", require_labels=False)
    write_json(
        tmp_path, {"images": IMAGES * 2, "annotations": [FIRST, FIRST], "categories": [*CATEGORIES, CATEGORIES[0]]}
    )
    after = open_dataset(tmp_path, "val2017", require_labels=False)
    assert (after.ids, after.classes) == (before.ids, before.classes)
    np.testing.assert_array_equal(after.arrays(0).label, before.arrays(0).label)


def test_labels_of_one_name_in_two_folders(tmp_path: Path) -> None:
    """They are two files."""
    folder = make_coco(tmp_path) / "annotations" / "panoptic_val2017"
    other = {**FIRST, "image_id": 285, "file_name": "b/000139.png", "segments_info": [{"id": 1, "category_id": 92}]}
    save_array(folder / "b" / "000139.png", np.full((HEIGHT, WIDTH, 3), (1, 0, 0), np.uint8))
    write_json(tmp_path, {"annotations": [FIRST, other]})
    label = open_dataset(tmp_path, "val2017").arrays(1).label
    assert label is not None
    assert (label == 1).all()
