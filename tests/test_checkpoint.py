"""Checkpoints: what comes back, what is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from cimnet.checkpoint import (
    INFO_KEY,
    ModelInfo,
    identity,
    identity_in_memory,
    load_checkpoint,
    save_checkpoint,
    write_info,
)
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


def test_a_cross_validation_is_no_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "cross"
    run = folder / "seed3" / "fold0"
    run.mkdir(parents=True)
    (folder / "cross_validation.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"cross: is a cross-validation, and none of its runs holds a model yet"):
        load_checkpoint(folder)
    _save(run / "best.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert f"give one of its runs, such as {run} (its own test part: folds/0/test)" in str(caught.value)


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
        (_described(scaling="left out", thermal_range=[1, 2]), "no description.*no field 'scaling'"),
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


def test_opening_makes_no_random_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("cimnet_efficientnet_lite0", 3)
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, model, ModelInfo("cimnet_efficientnet_lite0", {}, ("a", "b", "c"), ((0, 0, 0),) * 3))
    before = torch.get_rng_state()
    loaded, _ = load_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), before)
    expected = model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_not_finite(tmp_path: Path, dtype: torch.dtype) -> None:
    model = create_model("rgb_only_efficientnet_lite0", 3)
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in model.state_dict().items()}
    info = write_info(ModelInfo("rgb_only_efficientnet_lite0", {}, ("a", "b", "c"), ((0, 0, 0),) * 3))
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file(state, path, metadata={INFO_KEY: info})
    load_checkpoint(path)
    state["decoder.classify.bias"][0] = float("nan")
    safetensors.torch.save_file(state, path, metadata={INFO_KEY: info})
    with pytest.raises(CheckpointError, match="are NaN or infinite"):
        load_checkpoint(path)


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


def test_official_weights_are_to_be_imported_first(tmp_path: Path) -> None:
    file = tmp_path / "epoch-500.pth"
    torch.save({"model": {"a": torch.ones(3)}}, file)
    with pytest.raises(CheckpointError, match=r"epoch-500\.pth: .* go through `cimnet import` first$"):
        load_checkpoint(file)


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


def test_the_identity_of_one_file_is_its_sha256(tmp_path: Path) -> None:
    path = _save(tmp_path / "run" / "best.safetensors")
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
    assert identity(path) == identity(tmp_path / "run") == identity(str(path)) == wanted
    (tmp_path / "run" / "notes.txt").write_text("not of the model")
    assert identity(tmp_path / "run") == wanted


@pytest.mark.parametrize(
    ("name", "beside"),
    [("m.xml", "m.bin"), ("m.onnx", "m.onnx.data"), ("m.onnx", "m.onnx_data")],
)
def test_the_identity_covers_files_of_weights(tmp_path: Path, name: str, beside: str) -> None:
    (tmp_path / name).write_text("the graph")
    found = [identity(tmp_path / name)]
    for weights in ("float32", "int8"):
        (tmp_path / beside).write_text(weights)
        found.append(identity(tmp_path / name))
    (tmp_path / name).write_text("the graph, bfloat16")
    found.append(identity(tmp_path / name))
    assert len(set(found)) == 4


def test_the_identity_reads_a_large_file_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large.pt2"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        identity(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["none.safetensors", "folder", "x" * 300])
def test_the_identity_of_nothing_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match=r"cannot be read \(.*\); give a"):
        identity(tmp_path / name)


def test_the_identity_of_a_model_in_memory_follows_its_weights() -> None:
    model = create_model("pixel_mi", 3)
    before = identity_in_memory(model, INFO)
    weights = b"".join(name.encode() + value.numpy().tobytes() for name, value in model.state_dict().items())
    described = json.dumps(asdict(INFO), sort_keys=True).encode()
    assert before == hashlib.sha256(described + weights).hexdigest()  # as cimnet geo has always noted it
    assert identity_in_memory(model, INFO) == before
    assert identity_in_memory(model, replace(INFO, temperature=2.0)) != before
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    assert identity_in_memory(model, INFO) != before
