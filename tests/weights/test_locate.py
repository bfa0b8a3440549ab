"""The name ``starter``: where it is taken, what comes first, what is said where it is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

import cimnet
from cimnet.checkpoint import load_checkpoint, save_checkpoint
from cimnet.errors import CheckpointError, DataWarning
from cimnet.weights import locate as room
from cimnet.weights.locate import identity_of, locate
from tests.conftest import Result, Trained


@pytest.fixture
def starter(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkpoint in the place of the one that comes with the package; the working folder is empty."""
    file = tmp_path / "package" / "starter.safetensors"
    file.parent.mkdir()
    save_checkpoint(file, *load_checkpoint(trained.best), small=True)
    monkeypatch.setattr(room, "STARTER_FILE", file)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return file


def test_the_name_is_the_file(starter: Path, trained: Trained) -> None:
    assert locate("starter") == locate(Path("starter")) == starter
    assert identity_of("starter") == identity_of(starter)
    pair = trained.root / "rgb" / "000.png", trained.root / "thermal" / "000.png"
    masks = [cimnet.load(source, "cpu").predict(*pair) for source in ("starter", starter)]
    np.testing.assert_array_equal(*masks)


def test_a_checkpoint_of_that_name_here_comes_first_and_is_said(starter: Path, trained: Trained) -> None:
    shutil.copytree(trained.folder, "starter")
    with pytest.warns(DataWarning, match=r"starter: taking the checkpoint of that name in this folder.*rename"):
        assert locate("starter") == Path("starter")


def test_a_folder_of_that_name_without_weights_is_no_checkpoint_and_that_is_said(starter: Path) -> None:
    """It may be a run that has no checkpoint yet, and its user may have meant it."""
    Path("starter").mkdir()
    with pytest.warns(DataWarning, match="starter: taking the checkpoint that comes with cimnet; the folder"):
        assert locate("starter") == starter
    assert locate("./starter/best.safetensors") == Path("starter/best.safetensors")


def test_a_package_without_it_says_so(starter: Path) -> None:
    starter.unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint starter: .*starter\.safetensors is missing; install"):
        cimnet.load("starter")


def test_commands_take_the_name(starter: Path, trained: Trained, cli: Callable[..., Result]) -> None:
    by_name, by_path = Path("name.json"), Path("path.json")
    before = starter.read_bytes()
    assert cli("eval", "starter", trained.root, "--split", "val", "--json", by_name).code == 0
    assert cli("eval", starter, trained.root, "--split", "val", "--json", by_path).code == 0
    assert by_name.read_bytes() == by_path.read_bytes()
    assert cli("publish", "starter", "--out", "shared").code == 0
    assert Path("shared/model.safetensors").stat().st_size > len(before)  # in 32 bits again
    assert cli("publish", "starter", "--out", "small", "--small").code == 0
    assert Path("small/model.safetensors").stat().st_size < Path("shared/model.safetensors").stat().st_size
    pair = trained.root / "rgb" / "000.png", trained.root / "thermal" / "000.png"
    assert cli("predict", "starter", "--rgb", pair[0], "--thermal", pair[1], "--out", "masks").code == 0
    assert list(Path("masks").rglob("000.png"))
    assert starter.read_bytes() == before


def test_no_command_writes_into_the_package(starter: Path, trained: Trained, cli: Callable[..., Result]) -> None:
    before = starter.read_bytes()
    result = cli("calibrate", "starter", trained.root)
    assert (result.code, starter.read_bytes()) == (2, before)
    assert "of starter or a model on the Hub give --out" in result.err
    result = cli("eval", "starter", trained.root, "--split", "val", "--json", starter)
    assert (result.code, starter.read_bytes()) == (2, before)
    assert "is also an input" in result.err


def test_eight_bits_without_scales_are_no_checkpoint(starter: Path) -> None:
    tensors = {key: value for key, value in safetensors.torch.load_file(starter).items() if not key.endswith(":scale")}
    with safetensors.safe_open(starter, "pt") as file:
        safetensors.torch.save_file(tensors, "bad.safetensors", metadata=file.metadata())
    with pytest.raises(CheckpointError, match="8 bits without the scale"):
        load_checkpoint("bad.safetensors")


@pytest.mark.skipif(not room.STARTER_FILE.is_file(), reason="this checkout has no starter")
def test_the_real_one_opens_and_is_small() -> None:
    assert room.STARTER_FILE.stat().st_size <= 15_000_000
    model, info = load_checkpoint(room.STARTER_FILE)
    assert (info.name, info.thermal_dtype) == ("cimnet_efficientnet_lite0", "uint8")
    assert len(info.classes) == 9
    assert sum(p.numel() for p in model.parameters()) > 11_000_000
