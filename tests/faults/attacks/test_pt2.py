"""A ``.pt2`` file that runs code when torch opens it: refused without trust, and checked before torch sees it."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import cimnet
from cimnet.errors import CheckpointError
from cimnet.inference.backends.pt2_archive import _check_expression, _Refused, checked_archive

Edit = Callable[[dict[str, bytes]], None]


class _Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat((x, x), dim=2)
        return self.conv(x.reshape(x.shape[0], 4, x.shape[2] * 2, -1))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What torch.export writes, with the entries of this package."""
    path = tmp_path_factory.mktemp("pt2") / "sound.pt2"
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    program = torch.export.export(_Tiny().eval(), (torch.rand(2, 4, 6, 8),), dynamic_shapes=(free,))
    torch.export.save(program, path, extra_files={"cimnet": "{}", "cimnet_export": "{}"})
    return path


def _entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def _write(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"m/{name}", content)
    return path


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


def _with_pickle(marker: Path) -> Edit:
    """Torch unpickles what is not a file of tensors."""

    def edit(entries: dict[str, bytes]) -> None:
        file = marker.with_suffix(".bin")
        torch.save(((_Payload(marker),), {}), file)
        entries["data/sample_inputs/model.pt"] = file.read_bytes()

    return edit


def _with_size(marker: Path) -> Edit:
    """Torch evaluates a symbolic size as Python."""

    def edit(entries: dict[str, bytes]) -> None:
        program = json.loads(entries["models/model.json"])
        sizes = program["graph_module"]["graph"]["sym_int_values"]
        first = next(value for value in sizes.values() if "as_expr" in value)
        first["as_expr"]["expr_str"] = f"Integer(__import__('os').system(\"touch '{marker}'\"))"
        entries["models/model.json"] = json.dumps(program).encode()

    return edit


@pytest.mark.parametrize("attack", [_with_pickle, _with_size])
def test_code_does_not_run(attack: Callable[[Path], Edit], sound: Path, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    entries = _entries(sound)
    attack(marker)(entries)
    path = _write(tmp_path / "evil.pt2", entries)
    with suppress(Exception):  # some attacks end in an error, after the code has run
        torch.export.load(path)
    assert marker.exists(), "the attack itself does not work"
    marker.unlink()
    with pytest.raises(CheckpointError, match="can run code"):
        cimnet.load(path)
    with suppress(CheckpointError):  # a pickle of sample inputs is left out: what remains is harmless
        torch.export.load(checked_archive(path))
    with pytest.raises(CheckpointError):
        cimnet.load(path, trust=True)
    assert not marker.exists()


def _program(edit: Callable[[dict[str, Any]], None]) -> Edit:
    def change(entries: dict[str, bytes]) -> None:
        program = json.loads(entries["models/model.json"])
        edit(program)
        entries["models/model.json"] = json.dumps(program).encode()

    return change


def _add(name: str, content: bytes = b"x") -> Edit:
    return lambda entries: entries.update({name: content})


def _weights(**changes: Any) -> Edit:
    def change(entries: dict[str, bytes]) -> None:
        name = "data/weights/model_weights_config.json"
        content = json.loads(entries[name])
        next(iter(content["config"].values())).update(changes)
        entries[name] = json.dumps(content).encode()

    return change


def _empty_weight(entries: dict[str, bytes]) -> None:
    """Torch makes zeros of the shape of a weight without data."""
    name = "data/weights/model_weights_config.json"
    content = json.loads(entries[name])
    tensor = next(iter(content["config"].values()))
    tensor["tensor_meta"]["sizes"] = [{"as_int": 2**40}]
    tensor["tensor_meta"]["strides"] = [{"as_int": 1}]
    entries[f"data/weights/{tensor['path_name']}"] = b""
    entries[name] = json.dumps(content).encode()


def _first_node(program: dict[str, Any]) -> dict[str, Any]:
    return program["graph_module"]["graph"]["nodes"][0]


REFUSED: dict[str, tuple[Edit, str]] = {
    "an entry that is not of an export": (_add("extra/evil.py"), "holds an entry"),
    "a path out of the archive": (_add("../../evil"), "holds an entry"),
    "compiled code": (_add("data/aotinductor/model/model.so"), "holds an entry"),
    "weights as a pickle": (_weights(use_pickle=True), "holds a pickle"),
    "weights of an old form as a pickle": (_add("data/weights/model.pt", pickle.dumps({})), "holds an entry"),
    "an object as a constant": (_add("data/constants/custom_obj_0"), "holds an entry"),
    "a weight of a terabyte without data": (_empty_weight, "has no data"),
    "an operator of another library": (
        _program(lambda p: _first_node(p).update(target="torch.hub.load")), r"calls 'torch\.hub\.load'"
    ),
    "an operator that reads a file": (
        _program(lambda p: _first_node(p).update(target="torch.ops.aten.from_file.default")), "calls"
    ),
    "a name that is source text": (
        _program(lambda p: _first_node(p).update(name="x = __import__('os').system('true')")), "holds the text"
    ),
    "guards as code": (_program(lambda p: p.update(guards_code=["True"])), "guards"),
    "arguments of another type": (
        _program(
            lambda p: p["graph_module"]["module_call_graph"][0]["signature"].update(
                in_spec=json.dumps([1, {"type": "os.system", "context": "null", "children_spec": []}])
            )
        ),
        r"of the type 'os\.system'",
    ),
    "JSON nested 100,000 deep": (_add("models/model.json", b"[" * 100_000), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_export_holds_is_refused_before_torch_sees_it(
    name: str, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, says = REFUSED[name]
    entries = _entries(sound)
    edit(entries)
    path = _write(tmp_path / "evil.pt2", entries)
    monkeypatch.setattr(torch.export, "load", lambda *_, **__: pytest.fail("torch saw it"))
    with pytest.raises(CheckpointError, match=says) as caught:
        cimnet.load(path, trust=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_entries_of_one_name(sound: Path, tmp_path: Path) -> None:
    path = _write(tmp_path / "twice.pt2", _entries(sound))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("m/archive_version", b"0")
    with pytest.raises(CheckpointError, match="two entries"):
        checked_archive(path)


def test_a_zip_bomb(sound: Path, tmp_path: Path) -> None:
    path = _write(tmp_path / "bomb.pt2", _entries(sound))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data/weights/weight_99", bytes(50_000_000))
    with pytest.raises(CheckpointError, match="unpacks to more than"):
        checked_archive(path)


def test_a_sound_file_computes_the_same_after_the_check(sound: Path) -> None:
    x = torch.rand(3, 4, 10, 8)
    with torch.inference_mode():
        wanted = torch.export.load(sound).module()(x)
        found = torch.export.load(checked_archive(sound)).module()(x)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "Symbol('s1').__class__",
        "Symbol('__import__')",
        "Symbol('s1', evil=1)",
        "open('x')",
        "[s1 for s1 in s2]",
        "(lambda: 1)()",
        "s1 if s2 else s3",
        "Pow(Integer(9), Integer(99999999))",
        "9**9**9",
        "Integer(99999999999999999999999)",
        "Function('f')(s1)",
        "(" * 1000 + "s1" + ")" * 1000,
        "s1\n",
        "1+" * 3000 + "1",
    ],
)
def test_a_size_that_is_no_size(text: str) -> None:
    with pytest.raises(_Refused):
        _check_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "Mul(Integer(32), Symbol('s65', positive=True, integer=True))",
        "Add(Mul(Integer(8), Symbol('s65', positive=True, integer=True)), Integer(3))",
        "32*s1 + 4",
        "FloorDiv(s1, 2)",
        "Pow(Symbol('s1', integer=True), Integer(2))",
        "s1*s2**2",
    ],
)
def test_a_size_of_an_export(text: str) -> None:
    _check_expression(text)


def _of_old_torch(path: Path, sound: Path, **changes: bytes) -> Path:
    """The form that torch wrote before 2.8, and still reads."""
    serde = pytest.importorskip("torch._export.serde.serialize")
    artifact = serde.serialize(torch.export.load(sound))
    entries = {
        "version": ".".join(map(str, serde.SCHEMA_VERSION)).encode(),
        "serialized_exported_program.json": artifact.exported_program,
        "serialized_state_dict.pt": artifact.state_dict,
        "serialized_constants.pt": artifact.constants,
        "serialized_example_inputs.pt": artifact.example_inputs,
        "extra_files/cimnet": b"{}",
        **{f"serialized_{name}.pt": content for name, content in changes.items()},
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_a_file_of_an_older_torch(sound: Path, tmp_path: Path) -> None:
    path = _of_old_torch(tmp_path / "old.pt2", sound)
    x = torch.rand(3, 4, 10, 8)
    with torch.inference_mode():
        found = torch.export.load(checked_archive(path)).module()(x)
        torch.testing.assert_close(found, torch.export.load(sound).module()(x), rtol=0, atol=0)


@pytest.mark.parametrize("part", ["state_dict", "constants", "example_inputs"])
def test_a_pickle_in_a_file_of_an_older_torch(part: str, sound: Path, tmp_path: Path) -> None:
    marker, pickled = tmp_path / "executed", tmp_path / "pickle.pt"
    torch.save({"a": _Payload(marker)}, pickled)
    path = _of_old_torch(tmp_path / "old.pt2", sound, **{part: pickled.read_bytes()})
    with pytest.raises(CheckpointError):
        cimnet.load(path, trust=True)
    assert not marker.exists()
