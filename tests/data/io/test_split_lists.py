"""Lists that are written can be read back; names that a list cannot hold are refused."""

from __future__ import annotations

import os
import unicodedata
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cimnet.curation.convert import convert
from cimnet.curation.split import split_dataset
from cimnet.data import open_dataset
from cimnet.data.io.split_lists import list_text, parse_names
from cimnet.errors import CimnetError, DataError

HARD = [" a", "a ", "a\tb", "a\rb", "a\\b", "a.png,b", "c.tif"]
FINE = ["a b", "a\u00a0b", "a\u0085b", "a\u2028b", "a,b", "a.b", "a;b", "ä", "图", "#a", "a'b", 'a"b', "a|b"]


@given(st.text(st.characters(codec=None), min_size=1, max_size=12))
def test_what_is_written_is_read_back(name: str) -> None:
    name = unicodedata.normalize("NFC", name)
    with suppress(DataError):  # refused, which the tests below ask for by name
        assert parse_names(list_text([name, "other"])) == [name, "other"]


@pytest.mark.parametrize("name", FINE)
def test_names_that_a_list_holds(name: str) -> None:
    assert parse_names(list_text([name])) == [name]


@pytest.mark.parametrize("name", [*HARD, "a\nb", "", "\udcff"])
def test_names_that_a_list_cannot_hold(name: str) -> None:
    with pytest.raises(DataError, match="cannot stand in a list"):
        list_text(["fine", name])


def make(root: Path, name: str) -> Path:
    """Ten pairs, one of them with that name."""
    for folder in ("rgb", "thermal", "labels"):
        (root / folder).mkdir(parents=True)
        for number in range(9):
            _save(root / folder / f"{number}.png", folder)
        try:
            _save(root / folder / f"{name}.png", folder)
        except OSError:
            pytest.skip("this file system does not hold such names")
    (root / "classes.yaml").write_text("classes: [a, b]\n", encoding="utf-8")
    return root


def _save(path: Path, folder: str) -> None:
    values = np.arange(64, dtype=np.uint8).reshape(8, 8) % (2 if folder == "labels" else 64)
    Image.fromarray(np.dstack([values] * 3) if folder == "rgb" else values).save(path)


@pytest.mark.parametrize("name", FINE)
def test_a_split_can_be_opened(tmp_path: Path, name: str) -> None:
    root = make(tmp_path / "data", name)
    split_dataset(root).write()
    found = [pair for part in ("train", "val", "test") for pair in open_dataset(root, part).ids]
    assert sorted(found) == sorted([*map(str, range(9)), unicodedata.normalize("NFC", name)])
    convert(root, tmp_path / "out", "folder")
    assert sorted(open_dataset(tmp_path / "out", "train").ids) == sorted(open_dataset(root, "train").ids)


@pytest.mark.parametrize("name", [*HARD, "a\nb", os.fsdecode(b"\xff")])
def test_a_name_that_lists_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    root = make(tmp_path / "data", name)
    before = sorted(path.name for path in root.iterdir())
    with pytest.raises(CimnetError, match=r"cannot stand in a list|holds a line break"):
        split_dataset(root).write()
    assert sorted(path.name for path in root.iterdir()) == before
    with pytest.raises(CimnetError, match=r"cannot stand in a list|holds a line break"):
        convert(root, tmp_path / "out", "folder")
    assert not (tmp_path / "out").exists()
