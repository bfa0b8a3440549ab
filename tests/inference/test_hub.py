"""Models as folders to share: written with a card, pushed to a stand-in of the Hub and loaded from there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml

import cimnet
from cimnet.errors import CheckpointError, CimnetError
from cimnet.weights.locate import locate
from tests.conftest import Trained
from tests.fakes.hub import COMMIT, Hub, hub


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    with hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def _masks(*sources: str | Path) -> list[np.ndarray]:
    pair = torch.rand(3, 40, 50), torch.rand(1, 40, 50)
    return [cimnet.load(source, "cpu").predict(*pair) for source in sources]


def test_a_saved_folder_predicts_alike_and_tells_what_it_is(trained: Trained, tmp_path: Path) -> None:
    predictor = cimnet.load(trained.folder, "cpu")
    predictor.save(tmp_path / "shared")
    one, other = _masks(trained.folder, tmp_path / "shared")
    np.testing.assert_array_equal(one, other)
    config = json.loads((tmp_path / "shared" / "config.json").read_text())
    assert config["classes"] == list(predictor.classes)
    assert config["cimnet"] == cimnet.__version__
    _, front, text = (tmp_path / "shared" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["pipeline_tag"] == "image-segmentation"
    assert "| 2 | car |" in text
    assert f"| miou | {predictor.info.metrics['miou']:.4f} |" in text
    with pytest.raises(CimnetError, match="not empty"):
        predictor.save(tmp_path / "shared")


def test_pushed_and_loaded(trained: Trained, server: Hub) -> None:
    predictor = cimnet.load(trained.folder, "cpu")
    address = predictor.push_to_hub("lab/model", token=server.token)
    assert address.endswith(COMMIT)
    asked = server.created[0]
    assert asked.get("visibility") == "private" or asked.get("private") is True  # newer and older clients
    assert set(server.files["lab/model"]) == {"model.safetensors", "config.json", "README.md"}
    one, other, pinned = _masks(trained.folder, "lab/model", f"lab/model@{COMMIT}")
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, pinned)


def test_hub_before_a_name_is_the_hub_although_there_is_such_a_path(trained: Trained, server: Hub) -> None:
    cimnet.load(trained.folder, "cpu").push_to_hub("lab/model", token=server.token)
    Path("lab").mkdir()
    assert locate("lab/model") == Path("lab/model")
    assert locate("hub:lab/model").is_file()
    with pytest.raises(CheckpointError, match="hub:model: expected hub:USER/NAME"):
        locate("hub:model")


def test_a_wrong_token_is_told(trained: Trained, server: Hub) -> None:
    with pytest.raises(CheckpointError, match=r"lab/model: cannot be uploaded .*hf auth login"):
        cimnet.load(trained.folder, "cpu").push_to_hub("lab/model", token="wrong")
    with pytest.raises(CheckpointError, match="expected a repository"):
        cimnet.load(trained.folder, "cpu").push_to_hub("model", token=server.token)
    assert not server.files


def test_what_is_not_on_the_hub(server: Hub) -> None:
    with pytest.raises(CheckpointError, match="lab/none: no such file or folder, and not on the Hugging Face Hub"):
        cimnet.load("lab/none")
    server.files["lab/empty"] = {"README.md": b""}
    with pytest.raises(CheckpointError, match=r"lab/empty: this repository on the Hub has no model\.safetensors"):
        cimnet.load("lab/empty")


def test_a_damaged_file_from_the_hub(server: Hub) -> None:
    server.files["lab/bad"] = {"model.safetensors": b"not weights"}
    with pytest.raises(CheckpointError, match="damaged or not a safetensors file"):
        cimnet.load("lab/bad")


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="lab/model: no such file or folder, and the Hugging Face Hub cannot"):
        cimnet.load("lab/model")


def test_no_answer_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The client would try for half a minute. Nobody listens at this port."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(CheckpointError, match="lab/model: no such file or folder, and the Hugging Face Hub cannot"):
        cimnet.load("lab/model")
    assert time.monotonic() - begun < 12
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_what_was_fetched_once_is_found_without_an_answer(
    trained: Trained, server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    cimnet.load(trained.folder, "cpu").push_to_hub("lab/model", token=server.token)
    cimnet.load("lab/model")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    assert locate("lab/model").is_file()
    assert time.monotonic() - begun < 12


def test_names_with_dots_are_looked_up(server: Hub) -> None:
    for name in ("lab/model-1.5", "lab/model@v1.0"):
        with pytest.raises(CheckpointError, match="not on the Hugging Face Hub"):
            cimnet.load(name)


@pytest.mark.parametrize("name", ["runs/demo", "runs/demo@x", "best.safetensors", "a/b/c", "runs", "../x"])
def test_paths_are_not_looked_up_on_the_hub(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate(name) == Path(name)
