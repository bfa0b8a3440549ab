"""Keys of classes.yaml, and lists of pairs, that a layout could not obey are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cimnet.curation.check import check_dataset
from cimnet.curation.convert import convert
from cimnet.data import open_dataset
from cimnet.errors import DataError
from tests.fakes.layouts import make_folder, make_kust4k, write_list

FILES = "files: {thermal: 'corrected/{name}'}"


@pytest.mark.parametrize("key", ["files: {max_gap: 1}", FILES])
def test_files_of_a_published_layout(tmp_path: Path, key: str) -> None:
    (make_kust4k(tmp_path) / "classes.yaml").write_text(f"{key}\n")
    with pytest.raises(DataError, match=r"classes\.yaml: files would have no effect: the layout kust4k .*: folder"):
        open_dataset(tmp_path, "train", layout="kust4k")
    (error,) = check_dataset(tmp_path, layout="kust4k").findings
    assert (error.severity, error.code) == ("error", "layout")
    (tmp_path / "classes.yaml").write_text("files:\nignore_index: 7\n")
    assert len(open_dataset(tmp_path, "train", layout="kust4k")) == 4


def test_a_list_of_pairs_beside_a_published_layout(tmp_path: Path) -> None:
    names = open_dataset(make_kust4k(tmp_path), "train").ids
    rows = [f"RGB/{name}.png,TIR/{names[0]}.png,Seg_annos/{name}.png,{name}" for name in names]
    write_list(tmp_path / "pairs.csv", ["rgb,thermal,label,name", *rows])
    with pytest.raises(DataError, match=r"pairs\.csv: this list would have no effect: the layout kust4k"):
        open_dataset(tmp_path, "train", layout="kust4k")
    (tmp_path / "classes.yaml").write_text(f"classes: [{', '.join('abcdefghi')}]\n")
    assert {pair.thermal for pair in open_dataset(tmp_path, "train").pairs} == {tmp_path / f"TIR/{names[0]}.png"}


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("label_table", "label_table: {1: person}"),
        ("ignore_index", "ignore_index: 2"),
        ("label_format", "label_format: colors"),
        ("files", FILES),
    ],
)
def test_keys_that_panoptic_labels_do_not_need(tmp_path: Path, key: str, line: str) -> None:
    root = convert(make_folder(tmp_path / "source"), tmp_path / "panoptic", "coco_panoptic", workers=1)
    (root / "classes.yaml").write_text(
        "classes: [background, person, car]\nlabel_format: ids\nignore_index: 255\nborder: 2\n"
    )
    assert len(open_dataset(root, "train")) == 3
    (root / "classes.yaml").write_text(f"classes: [background, person, car]\n{line}\n")
    with pytest.raises(DataError, match=rf"classes\.yaml: {key} would have no effect: the layout coco_panoptic"):
        open_dataset(root, "train")
