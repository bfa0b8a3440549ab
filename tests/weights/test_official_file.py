"""Files of the original code: which ones are refused, and how a user takes the weights out of them."""

from __future__ import annotations

import os
import pickle
import shlex
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cimnet
from cimnet.errors import CheckpointError
from cimnet.models.zoo.network import ZooNetwork
from cimnet.weights import official_file
from cimnet.weights.official import from_official
from tests.conftest import Result
from tests.weights.conftest import NAME, State, same_weights

pytestmark = pytest.mark.usefixtures("small_networks_are_published")


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch harmed",)


def _write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights")


def _write_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "readme.txt")


def _write_cimnet(path: Path) -> None:
    info = cimnet.checkpoint.ModelInfo(NAME, {}, ("a", "b"), ((0, 0, 0), (1, 1, 1)))
    cimnet.checkpoint.save_checkpoint(path, cimnet.create_model(NAME, 2), info)


FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "web page": ("a.pth", lambda p: p.write_bytes(b"\n<!DOCTYPE html><html><head>Google"), "web page, not a checkp"),
    "web page behind a mark": ("a.pth", lambda p: p.write_bytes(b"\xef\xbb\xbf<html>"), "web page, not a checkp"),
    "web page behind a comment": (
        "a.pth",
        lambda p: p.write_bytes(b"<!-- " + b"saved " * 999 + b"--><html>"),
        "web page, not a checkp",
    ),
    "web page in UTF-16": (
        "a.pth",
        lambda p: p.write_bytes("<!DOCTYPE html>".encode("utf-16")),
        "web page, not a checkp",
    ),
    "web page with headers": (
        "a.pth",
        lambda p: p.write_bytes(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>"),
        "web page, not a checkp",
    ),
    "pointer": ("a.pth", lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "tar": ("a.pth", _write_tar, "packed archive"),
    "pickle of text": ("a.pth", lambda p: p.write_bytes(pickle.dumps(["a", _Harmful()], 0)), "is a pickle.*could run"),
    "pickle of numbers": ("a.pth", lambda p: p.write_bytes(pickle.dumps({"a": 1}, 2)), "is a pickle.*could run code"),
    "pickle cut short": ("a.pth", lambda p: p.write_bytes(pickle.dumps(["a", 1], 0)[:-1]), "cut short, damaged or not"),
    "pickle": ("a.pth", lambda p: p.write_bytes(pickle.dumps(_Harmful(), 4)), "is a pickle.*could run code"),
    "old pickle": ("a.pth", lambda p: p.write_bytes(pickle.dumps(_Harmful(), 2)), "system.*could run code"),
    "empty": ("a.pth", lambda p: p.touch(), "is empty"),
    "folder": ("a.pth", lambda p: p.mkdir(), "is a folder"),
    "nothing": ("a.pth", lambda p: None, "cannot be read"),
    "zip": ("a.pth", _write_zip, "is a zip archive and not a checkpoint"),
    "gzip": ("a.pth", lambda p: p.write_bytes(b"\x1f\x8b\x08" + bytes(50)), "packed archive"),
    "text": ("a.pth", lambda p: p.write_text("hello"), "cut short, damaged or not"),
    "code": ("a.pth", lambda p: torch.save({"model": {}, "x": _Harmful()}, p), "system.*could run code"),
    "old code": (
        "a.pth",
        lambda p: torch.save({"x": _Harmful()}, p, _use_new_zipfile_serialization=False),
        "system.*could run code",
    ),
    "numpy": ("a.pth", lambda p: torch.save({"model": {}, "miou": np.float64(3)}, p), r"numpy.*weights_only=False"),
    "whole module": ("a.pth", lambda p: torch.save(torch.nn.Linear(2, 2), p), r"Linear.*weights_only=False"),
    "list": ("a.pth", lambda p: torch.save([torch.ones(2)], p), "holds list and not weights by name"),
    "no weights": ("a.pth", lambda p: torch.save({"epoch": 3}, p), r"holds no weights \(epoch\)"),
    "cut safetensors": ("a.safetensors", lambda p: p.write_bytes(b"\x40" + bytes(20)), "not a safetensors file"),
    "of this package": ("a.safetensors", _write_cimnet, "checkpoint of cimnet already"),
}


@pytest.mark.parametrize("kind", list(FILES))
def test_files_that_are_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    monkeypatch.chdir(tmp_path)
    name, write, message = FILES[kind]
    write(tmp_path / name)
    with pytest.raises(CheckpointError, match=message) as caught:
        from_official(NAME, tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    result: Result = cli("import", NAME, name, "--classes", "mfnet", "--out", "out.safetensors")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_cut_short(zipped: bool, state: State, tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    for share in (0.01, 0.5, 0.99):
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(CheckpointError, match="cut short"):
            from_official(NAME, file)


class _Whole(torch.nn.Module):
    """A module that a training script of the original saved as a whole."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def state_dict(self, *args: Any, **kwargs: Any) -> State:  # type: ignore[override]
        return self._state


def _script(state: State, file: Path) -> None:
    """The weights inside of modules with their names, as a program."""
    root = torch.nn.Module()
    for name, value in state.items():
        *parents, leaf = name.split(".")
        module = root
        for parent in parents:
            if parent not in module._modules:
                module.add_module(parent, torch.nn.Module())
            module = module.get_submodule(parent)
        module.register_buffer(leaf, value)
    torch.jit.save(torch.jit.script(root), file)


UNSAFE: dict[str, Callable[[State, Path], object]] = {
    **{
        key: lambda s, file, key=key: torch.save({"loss": torch.ones(1), key: s, "miou": np.float64(58.2)}, file)  # type: ignore[misc]
        for key in official_file.CONTAINERS
    },
    "bare": lambda s, file: torch.save({**s, "miou": np.float64(58.2)}, file),
    "one in another": lambda s, file: torch.save({"state_dict": {"model": s}, "miou": np.float64(58.2)}, file),
    "behind a name": lambda s, file: torch.save(
        {"model": "small", "state_dict": s, "miou": np.float64(58.2)}, file, _use_new_zipfile_serialization=False
    ),
    "whole module": lambda s, file: torch.save(_Whole(s), file),
    "module in a container": lambda s, file: torch.save({"epoch": 3, "model": _Whole(s)}, file),
    "zip of a new pickle": lambda s, file: torch.save({"model": s}, file, pickle_protocol=4),
    **{
        f"pickle {protocol}": lambda s, file, protocol=protocol: file.write_bytes(pickle.dumps({"model": s}, protocol))  # type: ignore[misc]
        for protocol in (0, 2, 4)
    },
    "script": _script,
}


def _command(file: Path) -> str:
    """What the refusal of a file tells a user to run."""
    with pytest.raises(CheckpointError, match="could run code") as caught:
        from_official(NAME, file)
    message = str(caught.value)
    assert "\n" not in message
    return message[message.index('python -c "') :]


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("kind", list(UNSAFE))
def test_the_way_to_convert_works(
    kind: str, state: State, model: ZooNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the message tells a user to run makes a file that loads."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.pth"
    UNSAFE[kind](state, file)
    exec(_command(file).partition('"')[2].rpartition('"')[0], {})
    same_weights(from_official(NAME, tmp_path / "weights.pth"), model)


def test_the_way_to_convert_works_in_a_shell(state: State, model: ZooNetwork, tmp_path: Path) -> None:
    file = tmp_path / "the best.pth"
    torch.save({"model": state, "miou": np.float64(58.2)}, file)
    command = _command(file).replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    same_weights(from_official(NAME, tmp_path / "weights.pth"), model)
