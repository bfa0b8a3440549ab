"""Exports of labelling tools open by the classes.yaml that is documented for each."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.check import check_dataset
from cimnet.data import open_dataset
from cimnet.data.class_pixels import check_classes
from tests.data.exports.make import COUNT, EXPORTS, HERE, main, truth

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "layouts.md"


@pytest.mark.filterwarnings("ignore:.*both fit")
@pytest.mark.parametrize("tool", EXPORTS)
def test_each_opens_with_the_classes_that_were_drawn(tool: str) -> None:
    dataset = open_dataset(HERE / tool, "all")
    assert len(dataset) == COUNT
    for index, pair in enumerate(dataset.pairs):
        arrays = dataset.arrays(index)
        expected = truth(index, len(dataset.classes))
        assert arrays.label is not None
        if tool == "labelme":
            assert arrays.label[-1, -1] == 255
            expected[-1, -1] = 255
        np.testing.assert_array_equal(arrays.label, expected)
        np.testing.assert_array_equal(arrays.thermal, 20 + 70 * truth(index))
        assert pair.thermal is not None
    check_classes(dataset, dataset.check(), allow_absent=False)


@pytest.mark.filterwarnings("ignore:.*both fit")
@pytest.mark.parametrize("tool", EXPORTS)
def test_the_doctor_finds_no_error(tool: str) -> None:
    assert [f for f in check_dataset(HERE / tool, workers=1).findings if f.severity == "error"] == []


@pytest.mark.parametrize("tool", EXPORTS)
def test_the_docs_show_this_yaml(tool: str) -> None:
    """Up to spaces and line breaks."""
    text = re.sub(r"\s+", "", DOCS.read_text(encoding="utf-8"))
    assert re.sub(r"\s+", "", (HERE / tool / "classes.yaml").read_text()) in text


def test_the_files_are_those_that_the_script_writes(tmp_path: Path) -> None:
    main(tmp_path)
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {
        path.relative_to(HERE) for tool in EXPORTS for path in (HERE / tool).rglob("*") if path.is_file()
    }
    for path in written:
        if path.suffix == ".png":
            with Image.open(tmp_path / path) as new, Image.open(HERE / path) as old:
                assert new.mode == old.mode
                np.testing.assert_array_equal(np.array(new), np.array(old))
        else:
            assert (tmp_path / path).read_bytes() == (HERE / path).read_bytes()


def test_splits_of_a_list_of_pairs() -> None:
    assert len(open_dataset(HERE / "label_studio", "train")) == COUNT - 1
    assert open_dataset(HERE / "label_studio", "val").ids == [f"images/8f2a1b3c-{COUNT - 1:04d}"]
