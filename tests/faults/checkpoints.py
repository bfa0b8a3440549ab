"""Checkpoints: damaged, of other models, with code in them."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from cimnet.checkpoint import INFO_KEY, write_info
from cimnet.errors import CimnetError
from cimnet.inference import load
from cimnet.inference.backends.details import EXPORT_KEY
from cimnet.training.run_folder import RunFolder
from tests.faults import seeds
from tests.faults.bench import Bench, Fault, needs


class _Payload:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


def _harmless(bench: Bench, run: Callable[[Path], str]) -> str:
    """Run with the name of a file that a payload would make; it must not."""
    marker = bench.folder / "executed"
    pickle.loads(pickle.dumps(_Payload(marker)))
    assert marker.exists(), "the payload itself does not work"
    marker.unlink()
    try:
        return run(marker)
    finally:
        assert not marker.exists(), "the payload ran"


def _pickled_checkpoint(bench: Bench) -> str:
    def run(marker: Path) -> str:
        bench.checkpoint = bench.write("model.safetensors", pickle.dumps(_Payload(marker)))
        return bench.predict()

    return _harmless(bench, run)


def _saved_by_torch(name: str) -> Callable[[Bench], str]:
    """torch's archive, with a payload, under a name that a user might give."""

    def bench_run(bench: Bench) -> str:
        def run(marker: Path) -> str:
            bench.checkpoint = bench.folder / name
            torch.save({"w": _Payload(marker)}, bench.checkpoint)
            return bench.predict()

        return _harmless(bench, run)

    return bench_run


def _named(name: str) -> Callable[[Bench], str]:
    """A pickle under another name that a user might give."""

    def bench_run(bench: Bench) -> str:
        if name.endswith(".onnx"):
            needs("onnxruntime", "export")

        def run(marker: Path) -> str:
            bench.checkpoint = bench.write(name, pickle.dumps(_Payload(marker)))
            return bench.predict()

        return _harmless(bench, run)

    return bench_run


def _state(save: Callable[[Path, Path], object]) -> Callable[[Bench], str]:
    """The training state of a run folder."""

    def bench_run(bench: Bench) -> str:
        def run(marker: Path) -> str:
            folder = bench.folder / "run"
            seeds.write_run(folder)
            save(folder / "last.pt", marker)
            return str(RunFolder(folder).load_state(seeds.run_recipe()))

        return _harmless(bench, run)

    return bench_run


def _bytes(content: bytes) -> Callable[[Bench], str]:
    def run(bench: Bench) -> str:
        bench.checkpoint = bench.write("model.safetensors", content)
        return bench.predict()

    return run


def _raw(header: bytes | dict[str, Any], data: bytes = b"", size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def _tensor(*shape: int, begin: int = 0, end: int | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": list(shape),
        "data_offsets": [begin, 4 * int(np.prod(shape)) if end is None else end],
    }


def _weights(**changes: torch.Tensor) -> bytes:
    """The sound checkpoint with weights replaced or added."""
    state = {**safetensors.torch.load(seeds.checkpoint()), **changes}
    return safetensors.torch.save(state, {INFO_KEY: write_info(seeds.INFO)})


def _without(name: str) -> bytes:
    state = safetensors.torch.load(seeds.checkpoint())
    del state[name]
    return safetensors.torch.save(state, {INFO_KEY: write_info(seeds.INFO)})


def _described(text: str) -> bytes:
    return safetensors.torch.save(safetensors.torch.load(seeds.checkpoint()), {INFO_KEY: text})


def _missing(name: str) -> bytes:
    content = json.loads(write_info(seeds.INFO))
    del content[name]
    return _described(json.dumps(content))


def _onnx(content: Callable[[], bytes]) -> Callable[[Bench], str]:
    def run(bench: Bench) -> str:
        needs("onnx", "export")
        needs("onnxruntime", "export")
        return str(load(bench.write("model.onnx", content())))

    return run


def _foreign_onnx() -> bytes:
    """What ONNX Runtime opens, without this package's description."""
    return seeds.onnx_model().replace(EXPORT_KEY.encode(), b"x" * len(EXPORT_KEY))


def _xml(bench: Bench) -> str:
    """An OpenVINO model that would read a file of the system's."""
    entity = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><net name="&x;" version="11"/>'
    bench.write("model.bin", b"")
    return str(load(bench.write("model.xml", entity)))


_DAMAGED = "model.safetensors: damaged or not a safetensors file"
_NONE = "model.safetensors: holds no description of a cimnet model"
_FIT = "model.safetensors: does not fit model 'pixel_plain' of this version"
_W = "classify.weight"
_LAPS = {"a": _tensor(2, 2), "b": _tensor(2, 2, begin=8, end=24)}
CHECKPOINTS: tuple[tuple[str, Callable[[Bench], str], str], ...] = (
    ("pickle with a payload, named .safetensors", _pickled_checkpoint, _DAMAGED),
    ("torch.save with a payload, named .safetensors", _saved_by_torch("model.safetensors"), _DAMAGED),
    ("pickle with a payload, named .pt", _named("model.pt"), "model.pt: damaged or not a safetensors file"),
    ("pickle with a payload, named .onnx", _named("model.onnx"), "model.onnx: ONNX Runtime cannot open it"),
    ("pickle with a payload, named .pt2", _named("model.pt2"),
     "model.pt2: a .pt2 file can run code .*--trust"),
    ("torch.save with a payload, named .pt2", _saved_by_torch("model.pt2"), "model.pt2: a .pt2 file can run code"),
    ("pickle with a payload as best.safetensors", _named("run/best.safetensors"), "damaged or not a safetensors file"),
    ("last.pt with a payload", _state(lambda path, marker: torch.save({"a": _Payload(marker)}, path)),
     "last.pt: .*start a new"),
    ("last.pt that is a bare pickle with a payload",
     _state(lambda path, marker: path.write_bytes(pickle.dumps(_Payload(marker)))),
         "last.pt: .*(start a new run|restore)"),
    ("last.pt cut", _state(lambda path, _: path.write_bytes(seeds.state()[:300])),
     "last.pt: .*(start a new run|restore)"),
    ("empty file", _bytes(b""), _DAMAGED),
    ("cut file", _bytes(seeds.checkpoint()[:-10]), _DAMAGED),
    ("random bytes", _bytes(np.random.default_rng(0).bytes(500)), _DAMAGED),
    ("header of 2^63 bytes", _bytes(_raw(b"{}", size=2**63)), _DAMAGED),
    ("header of 1 GB that is not there", _bytes(_raw(b"{}", size=2**30)), _DAMAGED),
    ("header of 120 MB", _bytes(_raw(b"{" + b" " * 120_000_000 + b"}")), _DAMAGED),
    ("header that is a list", _bytes(_raw(b"[1, 2]")), _DAMAGED),
    ("header nested 100,000 deep", _bytes(_raw(b'{"a":' * 100_000)), _DAMAGED),
    ("overlapping tensors", _bytes(_raw(_LAPS, b"\0" * 24)), _DAMAGED),
    ("tensor beyond the end", _bytes(_raw({"a": _tensor(10**6, 10**6)}, b"\0" * 16)), _DAMAGED),
    ("tensor of a negative size", _bytes(_raw({"a": _tensor(-2, 2, end=16)}, b"\0" * 16)), _DAMAGED),
    ("tensor of an unknown type", _bytes(_raw({"a": _tensor(2, 2, dtype="X7")}, b"\0" * 16)), _DAMAGED),
    ("file of another program", _bytes(safetensors.torch.save({"w": torch.zeros(2)})), _NONE),
    ("weights of another shape", _bytes(_weights(**{_W: torch.zeros(3, 5, 1, 1)})), f"{_FIT}: .*size mismatch"),
    ("weights too many", _bytes(_weights(more=torch.zeros(3))), f"{_FIT}: .*Unexpected key"),
    ("weights missing", _bytes(_without(_W)), f"{_FIT}: .*Missing key"),
    ("weights of NaN", _bytes(_weights(**{_W: torch.full((3, 4, 1, 1), torch.nan)})),
     f"'{_W}' are NaN or infinite; take an"),
    ("weights of infinity", _bytes(_weights(**{_W: torch.full((3, 4, 1, 1), torch.inf)})),
     f"'{_W}' are NaN or infinite"),
    ("description that is no JSON", _bytes(_described("{")), _NONE),
    ("description that is a list", _bytes(_described("[]")), _NONE),
    ("description nested 100,000 deep", _bytes(_described("[" * 100_000)), _NONE),
    ("description of another version", _bytes(seeds.with_info(format=99)),
     "written by another version of cimnet; convert"),
    *((f"description without {name}", _bytes(_missing(name)), _NONE) for name in ("name", "options", "classes",
        "colors")),
    ("name that is a number", _bytes(seeds.with_info(name=7)), "does not fit model '7'"),
    ("name of an unknown model", _bytes(seeds.with_info(name="unet_resnet18")), "model 'unet_resnet18' is unknown"),
    ("name of an encoder on the Hub", _bytes(seeds.with_info(name="cimnet_hf-hub:evil/x")),
     "encoder 'hf-hub:evil/x' is unknown"),
    ("name of an encoder in a folder", _bytes(seeds.with_info(name="cimnet_local-dir:/tmp")), "encoder .* is unknown"),
    ("option that replaces the name", _bytes(seeds.with_info(options={"name": "x"})), _FIT),
    ("option that is unknown", _bytes(seeds.with_info(options={"evil": 1})), _FIT),
    ("option of the wrong type", _bytes(seeds.with_info(options={"dropout": [1]})), _FIT),
    ("options that are a list", _bytes(seeds.with_info(options=[1, 2])), _NONE),
    ("layers of 20,000 channels", _bytes(seeds.with_info(name="cimnet_efficientnet_lite0",
     options={"widths": [20_000] * 4})),
     "many times larger than the weights"),
    ("classes that are a number", _bytes(seeds.with_info(classes=3)), _NONE),
    ("a class twice", _bytes(seeds.with_info(classes=["a", "a", "b"])), _NONE),
    ("fewer colours than classes", _bytes(seeds.with_info(colors=[[0, 0, 0]])), _NONE),
    ("colour of 300", _bytes(seeds.with_info(colors=[[300, 0, 0], [0, 0, 1], [0, 0, 2]])), _NONE),
    ("colour of infinity", _bytes(seeds.with_info(colors=[[float("inf"), 0, 0], [0, 0, 1], [0, 0, 2]])), _NONE),
    ("scaling of NaN", _bytes(seeds.with_info(scaling={"kind": "range", "low": float("nan"), "high": 1.0})), _NONE),
    ("scaling of an unknown kind", _bytes(seeds.with_info(scaling={"kind": "evil"})), _NONE),
    ("depth that is a list", _bytes(seeds.with_info(thermal_dtype=[1])), _NONE),
    ("depth that is unknown", _bytes(seeds.with_info(thermal_dtype="int7")), _NONE),
    ("scores that are text", _bytes(seeds.with_info(metrics={"miou": "high"})), _NONE),
    ("temperature of 0", _bytes(seeds.with_info(temperature=0)), _NONE),
    ("temperature of NaN", _bytes(seeds.with_info(temperature=float("nan"))), _NONE),
    ("temperature that is text", _bytes(seeds.with_info(temperature="warm")), _NONE),
    ("alarm of another version", _bytes(seeds.with_info(alarm={"version": 99})),
     "alarm was written by another version .*again"),
    ("alarm that is a list", _bytes(seeds.with_info(alarm=[1])), _NONE),
    ("ONNX file of another program", _onnx(_foreign_onnx), "model.onnx: not exported by cimnet.*make it with"),
    ("ONNX file that is text", _onnx(lambda: b"hello"), "model.onnx: ONNX Runtime cannot open it"),
    ("ONNX file that is empty", _onnx(lambda: b""), "model.onnx: ONNX Runtime cannot open it"),
    ("OpenVINO file that reads another file", _xml,
     "(model.xml: .*cimnet export|the extra openvino is missing .*; pip install)"),
)  # fmt: skip
FAULTS: list[Fault] = [
    Fault(f"checkpoint: {name}", "checkpoints", run, CimnetError, says, keeps="alarm" in name)
    for name, run, says in CHECKPOINTS
]
FAULTS += [
    Fault("checkpoint: whole and sound", "checkpoints", _bytes(seeds.checkpoint()), None, "^8 masks$"),
    Fault("checkpoint: with further metadata", "checkpoints", _bytes(safetensors.torch.save(
        safetensors.torch.load(seeds.checkpoint()), {INFO_KEY: write_info(seeds.INFO), "x": "y"})), None, "^8 masks$"),
]  # fmt: skip
