"""Disks that are full: whatever is being written, nothing half-written stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from cimnet.checkpoint import save_checkpoint
from cimnet.curation.download.archives import unpack
from cimnet.errors import CimnetError, DataError
from cimnet.models import create_model
from cimnet.training.run_folder import RunFolder
from cimnet.utils.figures import save_figure
from cimnet.utils.files import write_text
from tests.faults import seeds
from tests.faults.bench import Bench, Fault
from tests.faults.privilege import small_disk


def _full(bench: Bench, left: int = 0) -> Path:
    """``out`` on a disk of 256 kB with only so many bytes left."""
    out = small_disk(bench, 256)
    (out / "filler").write_bytes(b"x" * (256 * 1024 - 4096 * 8 - left))
    rest = out / "filler2"
    with rest.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 1024):
                pass
        except OSError:
            pass
    if left:
        with rest.open("r+b") as file:
            file.truncate(max(0, rest.stat().st_size - left))
    return out


def _on_a_full_disk(write: Callable[[Path], object]) -> Callable[[Bench], str]:
    def run(bench: Bench) -> str:
        write(_full(bench))
        return "written"

    return run


def _figure(out: Path) -> None:
    figure = Figure()
    figure.add_subplot().imshow(np.random.default_rng(0).random((99, 99)))
    save_figure(figure, out / "figure.png")


def _state(out: Path) -> None:
    (out / "run").mkdir()
    RunFolder(out / "run").save_state({"model": {"w": torch.zeros(9999)}})


def _predict(bench: Bench) -> str:
    assert bench.checkpoint
    assert bench.data
    _full(bench)
    return bench.predict()


def _predict_some(bench: Bench) -> str:
    """Room for some of the masks and overlays, not for all."""
    assert bench.checkpoint
    assert bench.data
    _full(bench, 4096 * 6)
    return bench.predict()


def _evaluate(option: str, name: str) -> Callable[[Bench], str]:
    def run(bench: Bench) -> str:
        assert bench.data
        return bench.command("eval", bench.checkpoint, bench.data, option, _full(bench) / name)

    return run


def _train(bench: Bench) -> str:
    assert bench.recipe
    out = _full(bench)
    return bench.command("train", bench.recipe, "--out", out / "run")


def _synth(bench: Bench) -> str:
    small = ("--train", 2, "--val", 1, "--test", 1, "--height", 64, "--width", 64)
    return bench.command("data", "synth", _full(bench) / "scenes", *small)


def _publish(bench: Bench) -> str:
    return bench.command("publish", bench.checkpoint, "--out", _full(bench) / "share")


def _unpack(bench: Bench) -> str:
    path = bench.write("a.zip", seeds.archives()[0][1])
    unpack(path, _full(bench) / "set")
    return "unpacked"


_WHY = "(No space left|os error 28|unexpected pos|failed writing)"
_SAYS = rf"cannot be written \(.*{_WHY}.*\); choose another folder or free space"
FAULTS: list[Fault] = [Fault(f"disk full: {name}", "full disks", run, error, says, keeps=True)
                       for name, run, error, says in (
    ("text", _on_a_full_disk(lambda out: write_text(out / "a.txt", "x" * 5000)), CimnetError, f"^out/a.txt: {_SAYS}$"),
    ("checkpoint", _on_a_full_disk(lambda out: save_checkpoint(out / "m.safetensors", create_model("pixel_plain", 3),
     seeds.INFO)),
     CimnetError, f"^out/m.safetensors: {_SAYS}$"),
    ("training state", _on_a_full_disk(_state), CimnetError, f"^out/run/last.pt: {_SAYS}$"),
    ("figure", _on_a_full_disk(_figure), CimnetError, f"^out/figure.png: {_SAYS}$"),
    ("predict, before the first mask", _predict, CimnetError, "cannot be written .*(choose another folder|free space)"),
    ("predict, in the middle", _predict_some, CimnetError, f"^out/.*: {_SAYS}$"),
    ("eval --json", _evaluate("--json", "s.json"), CimnetError, f"^out/s.json: {_SAYS}$"),
    ("eval --markdown", _evaluate("--markdown", "s.md"), CimnetError, f"^out/s.md: {_SAYS}$"),
    ("eval --figure", _evaluate("--figure", "s.png"), CimnetError, f"^out/s.png: {_SAYS}$"),
    ("train", _train, CimnetError, "out/run.*cannot be written .*(choose another folder|free space)"),
    ("data synth", _synth, CimnetError, "out/scenes.*cannot be written .*(choose another folder|free space)"),
    ("publish", _publish, CimnetError, "out/share.*cannot be written .*(choose another folder|free space)"),
    ("unpack", _unpack, DataError, "(a.zip: needs .* choose another disk|cannot be unpacked .*free space)"),
)]  # fmt: skip
