"""The same pairs as folders, as a list and as Parquet; a checkpoint with alarms; folders compared by bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from cimnet.checkpoint import load_checkpoint, save_checkpoint
from cimnet.inference.alarms.alarm import NUMBERS, AlarmModel
from cimnet.inference.alarms.detector import Detector
from tests.conftest import Trained


def write_parquet(
    path: Path, rows: Iterable[tuple[str, Path | bytes | None, Path | bytes | None]], group: int = 4
) -> Path:
    """Names and images, so many rows to a group."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names, *images = zip(*rows, strict=True)
    columns = [
        pyarrow.array([x.read_bytes() if isinstance(x, Path) else x for x in image], pyarrow.binary())
        for image in images
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(
        pyarrow.table({"name": list(names), "rgb": columns[0], "thermal": columns[1]}), path, row_group_size=group
    )
    return path


def content(out: Path) -> dict[str, bytes]:
    """All files of a prediction, hidden ones too, but for prediction.json, which says from where the images came."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "prediction.json")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def alarming(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained checkpoint with alarms that look at everything; the one for RGB is raised."""
    model, info = load_checkpoint(trained.folder)
    detectors = {}
    for name, numbers in NUMBERS.items():
        flat, ones = tuple(0.0 for _ in numbers), tuple(1.0 for _ in numbers)
        weights = tuple(0.1 * (k % 3 - 1) for k in range(len(numbers)))
        detectors[name] = Detector(numbers, flat, ones, weights, weights, bias=5.0 if name == "rgb_broken" else -1.0)
    path = tmp_path_factory.mktemp("alarming") / "alarming.safetensors"
    save_checkpoint(path, model, replace(info, alarm=AlarmModel(detectors).to_dict()))
    return path
