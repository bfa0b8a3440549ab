"""The YAML beside a folder: every key of a wrong form is a one-line error that names the file and the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cimnet.curation.check import check_dataset
from cimnet.data import open_dataset
from cimnet.errors import DataError
from tests.fakes.layouts import CLASSES, make_folder

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "files is a list": ({"files": ["rgb/{name}"]}, "files must give patterns"),
    "files is an empty list": ({"files": []}, "files must give patterns"),
    "files is text": ({"files": "rgb/{name}"}, "files must give patterns"),
    "files of another kind": ({"files": {"rgb": "a/{name}", "depth": "b/{name}"}}, "files: depth: unknown; its keys"),
    "pattern with an extension": ({"files": {"rgb": "rgb/{name}.PNG"}}, "files: rgb: .* no extension; leave out .PNG"),
    "pattern of another sensor": (
        {"second": {"name": "nir", "channels": 1}, "files": {"nir": "nir/{name}.npy"}},
        "files: nir: .* no extension; leave out .npy",
    ),
    "pattern without a name": ({"files": {"rgb": "images"}}, r"files: rgb: pattern 'images': expected \{name\}"),
    "pattern with two names": ({"files": {"rgb": "{name}/{name}"}}, "files: rgb: .* each once"),
    "pattern that leads out": ({"files": {"rgb": "../{name}"}}, "files: rgb: .* must be a path below"),
    "pattern from the root": ({"files": {"labels": "/data/{name}"}}, "files: labels: .* must be a path below"),
    "pattern that is none": ({"files": {"thermal": 7}}, "files: thermal: 7 must be a path"),
    "table is a list": ({"label_table": [0, 1]}, "label_table must be a mapping"),
    "table of an unknown class": ({"label_table": {0: "tree"}}, "label_table: 0: 'tree' is not .* background, person"),
    "table of an id without a class": ({"label_table": {0: 3}}, "label_table: 0: 3 is not"),
    "table of a negative id": ({"label_table": {0: -1}}, "label_table: 0: -1 is not"),
    "table of a truth value": ({"label_table": {0: True}}, "label_table: 0: True is not"),
    "table of a list": ({"label_table": {0: [1]}}, "label_table: 0: .* is not"),
    "table of nothing": ({"label_table": {0: None}}, "label_table: 0: None is not"),
    "table from text": ({"label_table": {"0": "car"}}, "label_table: '0': 'car' is not a value"),
    "table from a truth value": ({"label_table": {True: "car"}}, "label_table: True: 'car' is not a value"),
    "table from a large value": ({"label_table": {65536: "car"}}, "label_table: 65536: 'car' is not a value"),
    "table without classes": (
        {"classes": None, "label_table": {0: 0}},
        "label_table must be a mapping .* beside classes",
    ),
    "format": ({"label_format": "rgb"}, "label_format must be ids or colors, not 'rgb'"),
    "format that is a list": ({"label_format": ["colors"]}, "label_format must be ids or colors"),
    "format of nothing": ({"label_format": None}, "label_format must be ids or colors, not None"),
    "colours and a table": ({"label_format": "colors", "label_table": {0: 0}}, "label_table .* label_format"),
    "colours and a value to ignore": (
        {"label_format": "colors", "ignore_index": 0},
        "ignore_index and label_format: colors exclude .*#e0e0e0",
    ),
    "colours that are the same": (
        {"classes": [{"name": "a", "color": [1, 2, 3]}, {"name": "b", "color": "#010203"}], "label_format": "colors"},
        r"label_format: colors needs .* a and b",
    ),
    "border below zero": ({"border": -1}, "border must be a number of pixels, or"),
    "border of three": ({"border": [1, 2, 3]}, "border must be"),
    "border of a fraction": ({"border": 1.5}, "border must be"),
    "border of text": ({"border": "8px"}, "border must be"),
    "border of a truth value": ({"border": True}, "border must be"),
    "ignore below zero": ({"ignore_index": -1}, "ignore_index must be a whole number"),
    "ignore too large": ({"ignore_index": 65536}, "ignore_index must be a whole number"),
    "ignore of a truth value": ({"ignore_index": True}, "ignore_index must be a whole number"),
    "range": ({"thermal_range": {"kind": "auto"}}, "thermal kind 'auto'"),
    "classes twice": ({"labels": list(CLASSES)}, "classes and labels are both given; .* keep classes"),
    "no class": ({"classes": []}, "classes must be a list of names"),
    "classes from 1": ({"classes": {1: "a", 2: "b"}}, "classes must be a list of names"),
    "classes are text": ({"classes": "a, b"}, "classes must be a list of names"),
    "class without a name": ({"classes": [{"color": [1, 2, 3]}]}, "class 0: expected a name"),
    "blank class": ({"classes": ["a", " "]}, "class 1: expected a name"),
    "256 classes": ({"classes": [f"c{i}" for i in range(256)]}, "1 to 255 names, not 256"),
    "colour name": ({"classes": [{"name": "a", "color": "red"}]}, "class a: color must be"),
    "colour of four": ({"classes": [{"name": "a", "color": [1, 2, 3, 4]}]}, "class a: color must be"),
    "colour of truth values": ({"classes": [{"name": "a", "color": [True, 0, 0]}]}, "class a: color must be"),
}


@pytest.mark.parametrize("case", BAD)
def test_keys_of_the_wrong_form(tmp_path: Path, case: str) -> None:
    content, words = BAD[case]
    text = yaml.safe_dump({"classes": list(CLASSES), **content}, sort_keys=False)
    (make_folder(tmp_path) / "classes.yaml").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(tmp_path, "train")
    assert str(caught.value).startswith(f"{tmp_path / 'classes.yaml'}: ")
    assert "\n" not in str(caught.value)


BAD_TEXT = {
    "a tab": "classes:\n\t- a",
    "a date that is none": "classes: [a, b, c]\nhome: 2020-99-99",
    "a tag": "classes: !!python/object/apply:os.getcwd []",
    "a key that is a list": "? [a]\n: b",
    "nesting": "[" * 5000,
    "another encoding": b"classes: [\xe4]",
    "nothing": "",
    "text": "hello",
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_text_that_is_no_yaml(tmp_path: Path, case: str) -> None:
    text = BAD_TEXT[case]
    path = make_folder(tmp_path) / "classes.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path, "train")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_two_files(tmp_path: Path) -> None:
    """One that knows none of the keys belongs to another tool."""
    make_folder(tmp_path)
    (tmp_path / "dataset.yaml").write_text("path: ../data\nnames: {0: a}\n")
    assert open_dataset(tmp_path, "train").classes == CLASSES
    (tmp_path / "classes.yaml").rename(tmp_path / "dataset.yml")
    assert open_dataset(tmp_path, "train").classes == CLASSES
    (tmp_path / "dataset.yaml").write_text("thermal_range: [0, 100]\n")
    with pytest.raises(DataError, match=r"dataset\.yaml: dataset\.yml describes the .*or rename dataset\.yml"):
        open_dataset(tmp_path, "train")
    (error,) = check_dataset(tmp_path).findings
    assert (error.severity, error.code) == ("error", "class-file")


@pytest.mark.parametrize(
    "text",
    ["license: CC-BY-4.0", "file: x.zip", "label: x", "- a", "a: !secret b", "a: [", b"\xe4", "classes: null", ""],
)
def test_a_file_of_another_tool(tmp_path: Path, text: str | bytes) -> None:
    """Beside classes.yaml, it says nothing, whatever it holds; classes.yaml itself must be sound."""
    make_folder(tmp_path)
    other = tmp_path / "dataset.yaml"
    other.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert open_dataset(tmp_path, "train").classes == CLASSES
    other.write_text("classes: [a, b, c]\n")
    (tmp_path / "classes.yaml").write_text("classes: [")
    with pytest.raises(DataError, match=r"classes\.yaml: not valid YAML"):
        open_dataset(tmp_path, "train")
