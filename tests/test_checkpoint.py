"""Checkpoints: what comes back, what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from cimnet.checkpoint import ModelInfo, load_checkpoint, save_checkpoint
from cimnet.data import ThermalScaling
from cimnet.errors import CheckpointError, CimnetError
from cimnet.models import create_model

pytestmark = pytest.mark.usefixtures("pixel")

INFO = ModelInfo(
    name="pixel_mi",
    options={"dropout": 0.25, "pretrained": True},
    classes=("ground", "Bäume", "car"),
    colors=((0, 0, 0), (10, 200, 30), (255, 0, 128)),
    scaling=ThermalScaling("range", 18000.0, 22300.5),
    thermal_dtype="uint16",
    metrics={"miou": 0.5, "epoch": 3},
    temperature=1.75,
    alarm={"version": 1},
)
"""No field as it is by default: what is lost on the way shows."""


def _save(path: Path, info: ModelInfo = INFO) -> Path:
    model = create_model("pixel_mi", len(info.classes))
    model.set_thermal_statistics(0.37, 0.11)
    save_checkpoint(path, model, info)
    return path


def test_everything_comes_back(tmp_path: Path) -> None:
    path = _save(tmp_path / "new" / "m.safetensors")
    model, info = load_checkpoint(path)
    assert info == INFO
    assert not model.training
    assert (model.thermal_mean.item(), model.thermal_std.item()) == pytest.approx((0.37, 0.11))
    assert model.rgb_mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert model.get_submodule("dropout").p == 0.25
    again = tmp_path / "again.safetensors"
    save_checkpoint(again, model, info)
    first, second = (safetensors.torch.load_file(p) for p in (path, again))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert [p.name for p in path.parent.iterdir()] == ["m.safetensors"]


def test_without_a_scaling(tmp_path: Path) -> None:
    info = ModelInfo("pixel_plain", {}, ("a", "b"), ((0, 0, 0), (1, 1, 1)))
    assert load_checkpoint(_save(tmp_path / "m.safetensors", info))[1].scaling == ThermalScaling()


def test_a_run_folder_stands_for_its_best_model(tmp_path: Path) -> None:
    _save(tmp_path / "best.safetensors")
    assert load_checkpoint(tmp_path)[1] == INFO
    with pytest.raises(CheckpointError, match=r"best\.safetensors: no such file"):
        load_checkpoint(tmp_path / "..")


def test_pretrained_weights_are_never_fetched_for_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def spy(name: str, classes: int, **options: Any) -> Any:
        asked.append(options)
        return create_model(name, classes, **options)

    monkeypatch.setattr("cimnet.checkpoint.create_model", spy)
    load_checkpoint(_save(tmp_path / "m.safetensors"))
    assert asked == [{"dropout": 0.25}]


def _with_metadata(path: Path, metadata: dict[str, str] | None) -> Path:
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, metadata=metadata)
    return path


def _described(**changes: Any) -> dict[str, str]:
    content = {
        "format": 1,
        "name": "pixel_mi",
        "options": {},
        "classes": ["a", "b"],
        "colors": [[0, 0, 0], [1, 1, 1]],
        "scaling": None,
        "metrics": {},
        **changes,
    }
    return {"cimnet": json.dumps({key: value for key, value in content.items() if value != "left out"})}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "no description"),
        ({"format": "pt"}, "no description"),
        ({"cimnet": "not json"}, "no description"),
        ({"cimnet": "[1, 2]"}, "no description"),
        (_described(classes="left out"), "no description"),
        (_described(format="left out"), "no description"),
        (_described(colors=[[0, 0], [1]]), "no description"),
        (_described(scaling=[1]), "no description"),
        (_described(format=2), "another version of cimnet"),
        (_described(name="pixl_mi"), "does not fit model 'pixl_mi'.*unknown"),
        (_described(options={"wings": 2}), "does not fit.*wings"),
        (_described(colors=[[0, 0, 0]]), "no description"),
        (_described(classes=["a"], colors=[[0, 0, 0]]), "does not fit.*at least 2"),
        (_described(), "does not fit.*Missing key.*classify"),
    ],
)
def test_other_safetensors_files(tmp_path: Path, metadata: dict[str, str] | None, message: str) -> None:
    path = _with_metadata(tmp_path / "other.safetensors", metadata)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_number_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, create_model("pixel_mi", 5), INFO)
    with pytest.raises(CheckpointError, match="size mismatch"):
        load_checkpoint(path)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("exploded").touch, ())


def test_damaged_files_and_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sound = _save(tmp_path / "m.safetensors").read_bytes()
    contents = {"cut": sound[:-20], "empty": b"", "text": b"hello there", "pickle": pickle.dumps(_Bomb())}
    for name, content in contents.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged or not a safetensors file") as caught:
            load_checkpoint(path)
        assert str(path) in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(tmp_path / "m.safetensors")
    before = path.read_bytes()

    def full(state: Any, target: Path, metadata: Any) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(CimnetError, match="No space left on device"):
        _save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
