"""What an exported file says about itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cimnet.checkpoint import ModelInfo
from cimnet.errors import CheckpointError
from cimnet.inference.backends.details import EXPORT_KEY, Details, from_metadata, to_metadata

FILE = Path("model.onnx")
DETAILS = Details(True, True, "float32", 1.0, (0.5,) * 3, (0.2,) * 3, (0.5,), (0.25,), (480, 640), 2)


def _metadata(**changes: Any) -> dict[str, str]:
    texts = to_metadata(ModelInfo("cimnet_resnet18", {}, ("a", "b"), ((0, 0, 0), (1, 1, 1))), DETAILS)
    content = json.loads(texts[EXPORT_KEY]) | changes
    return texts | {EXPORT_KEY: json.dumps({key: value for key, value in content.items() if value != "left out"})}


def test_a_fixed_size_and_batch_are_read_again() -> None:
    assert from_metadata(FILE, _metadata())[1] == DETAILS


def test_files_from_before_sizes_could_be_fixed_take_any() -> None:
    details = from_metadata(FILE, _metadata(size="left out", batch="left out"))[1]
    assert (details.size, details.batch) == (None, None)


def test_files_from_before_tiles_had_sizes_take_those_of_32() -> None:
    """What most files are today is written as it was then."""
    assert not {"tile", "least", "whole_tiles"} & set(json.loads(_metadata()[EXPORT_KEY]))
    details = from_metadata(FILE, _metadata())[1]
    assert (details.tile, details.least, details.whole_tiles) == ((32, 32), 1, False)


def test_tiles_are_read_again() -> None:
    details = replace(DETAILS, tile=(480, 640), least=29, whole_tiles=True)
    info = ModelInfo("small_cmx_mit_b0", {}, ("a", "b"), ((0, 0, 0), (1, 1, 1)))
    assert from_metadata(FILE, to_metadata(info, details))[1] == details


@pytest.mark.parametrize(
    "changes",
    [
        {"size": [0, 640]},
        {"size": [480]},
        {"size": "large"},
        {"batch": 0},
        {"batch": []},
        {"tile": [0, 32]},
        {"tile": 32},
        {"least": 0},
    ],
    ids=str,
)
def test_damaged_sizes_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"model\.onnx: its description is damaged or of another version"):
        from_metadata(FILE, _metadata(**changes))
