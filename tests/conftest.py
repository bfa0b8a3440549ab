"""Shared by all rooms: a recipe for a tiny model, one real training run, the command line inside this process."""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from filelock import FileLock
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode

from cimnet.cli.main import main
from cimnet.training import train
from cimnet.training.recipe import Recipe, parse_recipe
from cimnet.utils import pool

from .fakes.exports import exports
from .fakes.layouts import make_folder
from .fakes.pixel import pixel

__all__ = ["exports", "pixel"]

TINY: dict[str, dict[str, Any]] = {
    "model": {
        "name": "cimnet_test_resnet",
        "pretrained": False,
        "widths": [16, 16, 20, 32],
        "decoder_channels": 16,
    },
    "data": {"workers": 0},
    "augmentation": {"crop": [32, 64], "scale": [0.8, 1.2], "color_jitter": [0.1, 0.1, 0.1, 0.0]},
    "loss": {"dice": 0.5, "class_weights": "inverse_sqrt"},
    "training": {
        "epochs": 3,
        "batch_size": 3,
        "learning_rate": 2e-2,  # six steps are enough for masks of several classes
        "warmup_iterations": 2,
        "milestones": [2],
        "clip_norm": 5.0,
        "ema_decay": 0.5,
    },
}


@pytest.fixture(autouse=True, scope="module")
def _memory_goes_back() -> Iterator[None]:
    """Give free memory back to the system after each file: glibc keeps gigabytes that one file's networks took, and
    two test processes of that size are more than a small machine has."""
    yield
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _process_wide() -> dict[str, Any]:
    """What libraries keep for the whole process, and tests could leave behind for those after them."""
    return {
        "working directory": Path.cwd(),
        "signal handlers": tuple(signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)),
        "Image.MAX_IMAGE_PIXELS": Image.MAX_IMAGE_PIXELS,
        "torch's default type": torch.get_default_dtype(),
        "torch's threads": torch.get_num_threads(),
        "torch's gradients": torch.is_grad_enabled(),
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
    }


@pytest.fixture(autouse=True)
def _process_is_left_as_it_was() -> Iterator[None]:
    """A test, and the code it calls, undo what they change: otherwise the order of the tests decides what passes."""
    before = _process_wide()
    yield
    changed = {name: (before[name], now) for name, now in _process_wide().items() if now != before[name]}
    assert not changed, f"left behind: {changed}"


def tiny_content(root: Path, **changes: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe ``TINY`` for a data set, with fields of its sections replaced."""
    content = {name: {**section, **changes.get(name, {})} for name, section in TINY.items()}
    content["data"].setdefault("root", str(root))
    return content


def tiny_recipe(root: Path, **changes: Mapping[str, Any]) -> Recipe:
    """:func:`tiny_content`, validated."""
    return parse_recipe(tiny_content(root, **changes), "tests")


def pixel_recipe(root: Path, **changes: Mapping[str, Any]) -> Recipe:
    """:func:`tiny_recipe` for ``pixel_mi``, no augmentation, no average; needs the fixture ``pixel``."""
    sections: dict[str, dict[str, Any]] = {
        "model": {"name": "pixel_mi", "widths": None, "decoder_channels": None},
        "augmentation": {"crop": [32, 40], "scale": [1, 1], "hflip": 0, "color_jitter": [0, 0, 0, 0]},
        "training": {"ema_decay": 0, "batch_size": 2, "schedule": "constant", "warmup_iterations": 0},
    }
    names = {*sections, *changes}
    return tiny_recipe(root, **{name: {**sections.get(name, {}), **changes.get(name, {})} for name in names})


def write_recipe(path: Path, root: Path, **changes: Mapping[str, Any]) -> Path:
    """:func:`tiny_content` as a YAML file."""
    path.write_text(yaml.safe_dump(tiny_content(root, **changes)), encoding="utf-8")
    return path


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, so that tiny models are quick and figures repeat."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Trained:
    """A finished run of ``recipe`` on the data set in ``root``; ``rows``: what was reported."""

    root: Path
    recipe: Recipe
    folder: Path
    rows: list[dict[str, float]]

    @property
    def best(self) -> Path:
        return self.folder / "best.safetensors"


@pytest.fixture(scope="session", autouse=True)
def _import_once_for_all_pools() -> Iterator[None]:
    """Worker processes are forks of a server that imported torch once; a spawned one takes three seconds to begin.

    ``tests/utils/test_pool.py`` tries the start method that users get, in scripts of their own.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        yield
        return
    multiprocessing.set_forkserver_preload(["cimnet.cli.main", "cimnet.training", "cimnet.curation.check"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "START_METHOD", "forkserver")
        yield


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that ``make`` fills in the first process of this test run that asks; the others wait and share it."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # the workers' folders lie side by side
    folder, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def start_module(module: str, *arguments: object) -> subprocess.Popen[str]:
    """``python -m module ARGUMENTS`` in a session of its own, on one thread; stdout and stderr are read as one."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


@pytest.fixture
def fake_tensors() -> FakeTensorMode:
    """A mode in which tensors have a device, CUDA too, and no data. With old versions of torch, such as 2.6, a copy to
    CUDA needs its driver all the same."""
    mode = FakeTensorMode()
    try:
        with mode:
            torch.zeros(1).to("cuda")
    except RuntimeError as error:
        pytest.skip(f"torch {torch.__version__} copies nothing to CUDA without a driver: {error}")
    return mode


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The one real training run: CIMNet at tiny widths, three epochs on six pairs. Do not write into it."""

    def make(base: Path) -> None:
        rows: list[dict[str, float]] = []
        with one_thread():
            train(tiny_recipe(make_folder(base / "data", 12)), base / "run", report=rows.append)
        (base / "rows.json").write_text(json.dumps(rows), encoding="utf-8")

    base = make_once(tmp_path_factory, "trained", make)
    rows = json.loads((base / "rows.json").read_text(encoding="utf-8"))
    return Trained(base / "data", tiny_recipe(base / "data"), base / "run", rows)


class Result(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Result]]:
    """Run ``cimnet`` with arguments through its entry point, inside this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["cimnet", *map(str, arguments)])
        monkeypatch.setattr("cimnet.cli.main.limit_process", lambda: None)  # this process belongs to all tests
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        return Result(code, *capsys.readouterr())

    with one_thread():
        yield run
