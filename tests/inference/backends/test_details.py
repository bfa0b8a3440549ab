"""What an exported file says about itself."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize(
    "changes", [{"size": [0, 640]}, {"size": [480]}, {"size": "large"}, {"batch": 0}, {"batch": []}]
)
def test_damaged_sizes_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"model\.onnx: its description is damaged or of another version"):
        from_metadata(FILE, _metadata(**changes))
