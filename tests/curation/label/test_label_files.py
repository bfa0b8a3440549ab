"""Where masks go: to files that the data set reads, and never over others that nobody asked to replace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.convert import convert
from cimnet.curation.label.label_files import LabelFiles
from cimnet.data import open_dataset
from cimnet.data.dataset import RGBTDataset
from cimnet.errors import CimnetError, DataError

from .conftest import truth


def opened(data: Path) -> RGBTDataset:
    return open_dataset(data, "all", require_labels=False)


def list_pairs(data: Path, *rows: str) -> None:
    (data / "pairs.csv").write_text("rgb,thermal,label,name\n" + "".join(f"{row}\n" for row in rows))


def test_a_list_of_pairs_without_a_label_is_refused(data: Path, tmp_path: Path) -> None:
    """It alone says which labels are read: a file in labels/ would be lost. A converted copy needs no list."""
    list_pairs(data, "rgb/a.png,thermal/a.png,labels/a.png,a", "rgb/c.png,thermal/c.png,,c")
    dataset = opened(data)
    labels = LabelFiles(dataset)
    labels.add(dataset.pairs[0], truth(7))  # its row names a label
    with pytest.raises(DataError, match=r"pairs.csv: names no label of c, .*`cimnet data convert .*data NEW --to fold"):
        labels.add(dataset.pairs[1], truth(7))
    assert not (data / "labels" / "c.png").exists()
    copy = opened(convert(data, tmp_path / "copy", "folder"))
    labels = LabelFiles(copy)
    labels.add(copy.pairs[copy.ids.index("c")], truth(7))
    assert labels.write(overwrite=False).written == 1
    np.testing.assert_array_equal(opened(copy.root).arrays(copy.ids.index("c")).label, truth(7))


def test_a_file_where_the_label_belongs_is_not_replaced_unasked(data: Path) -> None:
    dataset = opened(data)
    pair = replace(dataset.pairs[0], label=None)  # as of a file that came after the data set was opened
    before = (data / "labels" / "a.png").read_bytes()
    labels = LabelFiles(dataset)
    labels.add(pair, truth(0))
    assert labels.same == 1
    labels = LabelFiles(dataset)
    labels.add(pair, truth(7))
    with pytest.raises(CimnetError, match=r"a\.png: exists and differs \(1 label in all\).*--overwrite"):
        labels.write(overwrite=False)
    assert (data / "labels" / "a.png").read_bytes() == before
    assert labels.write(overwrite=True).replaced == 1


@pytest.mark.parametrize("ext", ["tif", "bmp"])
def test_a_label_that_is_no_png_is_not_replaced(data: Path, ext: str) -> None:
    old = data / "labels" / f"a.{ext}"
    with Image.open(data / "labels" / "a.png") as image:
        image.save(old)
    (data / "labels" / "a.png").unlink()
    before, dataset = old.read_bytes(), opened(data)
    labels = LabelFiles(dataset)
    labels.add(dataset.pairs[0], truth(0))
    assert labels.same == 1
    with pytest.raises(
        DataError, match=rf"a\.{ext}: labels are written as PNG.*move it away so that a\.png is written"
    ):
        LabelFiles(dataset).add(dataset.pairs[0], truth(7))
    assert old.read_bytes() == before
    old.unlink()
    dataset = opened(data)
    labels = LabelFiles(dataset)
    labels.add(dataset.pairs[dataset.ids.index("a")], truth(7))
    labels.write(overwrite=True)
    np.testing.assert_array_equal(opened(data).arrays(dataset.ids.index("a")).label, truth(7))


def test_two_pairs_of_one_label_file_cannot_have_two_masks(data: Path) -> None:
    list_pairs(data, "rgb/a.png,thermal/a.png,labels/a.png,a", "rgb/b.png,thermal/b.png,labels/a.png,b")
    dataset = opened(data)
    labels = LabelFiles(dataset)
    labels.add(dataset.pairs[0], truth(7))
    labels.add(dataset.pairs[1], truth(7))
    with pytest.raises(DataError, match=r"a\.png: the label of several pairs, the last b, with different masks; give"):
        labels.add(dataset.pairs[1], truth(8))
