"""Writing: options that do not fit, checks before the file gets its name, pairs that belong together."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cimnet.checkpoint import load_checkpoint
from cimnet.cli import export as cli_export
from cimnet.deploy.export import write
from cimnet.deploy.export.parity import Parity, random_pair, require
from cimnet.errors import CheckpointError, CimnetError, ConfigError
from cimnet.inference.backends.runtime import ExportedModel, cut_tiles, load_exported
from cimnet.ops.deformable import deform_conv2d, use_implementation
from tests.conftest import Trained
from tests.fakes.exports import Exports

from .conftest import untrained


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.onnx", {"format": "tflite"}, "choose onnx, openvino, pt2"),
        ("a.xml", {"format": "onnx"}, r"ends in \.onnx"),
        ("a.onnx", {"precision": "bfloat16"}, "for --format openvino"),
        ("a.onnx", {"precision": "int8"}, "needs --calibration"),
        ("a.onnx", {"calibration": "data"}, "is for int8"),
        ("a.onnx", {"precision": "int4"}, "choose float32, float16, bfloat16, int8"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write.export(tmp_path / "never-opened", tmp_path / name, **options)
    assert not any(tmp_path.iterdir())


def test_the_command_refuses_what_it_cannot_tell(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.onnx, \.xml, \.pt2"):
        cli_export.export(tmp_path, tmp_path / "model.tflite")
    with pytest.raises(ConfigError, match="exclude each other"):
        cli_export.export(tmp_path, tmp_path / "model.xml", bf16=True, int8=True)


@pytest.mark.parametrize(("equal", "warned"), [(0.9991, False), (0.97, True)])
def test_reduced_precision_that_changes_many_pixels_is_said(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, equal: float, warned: bool
) -> None:
    monkeypatch.setattr(write, "export", lambda *_, **__: Parity(None, equal))
    ran = cli("export", tmp_path, "--out", tmp_path / "a.onnx", "--fp16")
    assert ("less than 99.9 %: score it with `cimnet eval FILE DATASET`" in ran.out) == warned


def test_a_name_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(CimnetError, match="is a folder"):
        write.export(tmp_path, tmp_path / "a.onnx")


def test_too_little_parity_is_refused() -> None:
    require(Parity(0.1, 0.9991))
    with pytest.raises(CheckpointError, match=r"at 0\.20 % of the pixels"):
        require(Parity(3.0, 0.998))


def test_a_pair_never_mixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, staged = tmp_path / "m.xml", tmp_path / "staged"
    staged.mkdir()
    for folder, text in ((tmp_path, "old"), (staged, "new")):
        for name in ("m.xml", "m.bin"):
            (folder / name).write_text(text)
    rename, seen = Path.replace, []

    def watch(self: Path, target: Path) -> Path:
        seen.append((out.exists() and out.read_text(), out.with_suffix(".bin").read_text()))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    write._publish(staged, out)
    assert seen == [(False, "old"), (False, "new")]
    assert (out.read_text(), out.with_suffix(".bin").read_text()) == ("new", "new")


def test_an_export_works_alone_and_clears_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a runtime: what writes and what compares are replaced."""
    out = tmp_path / "new" / "m.onnx"
    left = tmp_path / "new" / ".m.onnx.123.part"
    (left / "half").mkdir(parents=True)
    (tmp_path / "new" / ".other.onnx.123.part").mkdir()

    def fake_write(file: Path, *_: object) -> None:
        assert not left.exists()
        with pytest.raises(CimnetError, match=r"m\.onnx: another process writes it"):
            write.export(predictor, out)
        file.write_text("model")

    monkeypatch.setattr(write, "_write", fake_write)
    monkeypatch.setattr(write, "load_exported", lambda _, trust: (object.__new__(ExportedModel), None))
    monkeypatch.setattr(write, "compare", lambda *_: Parity(0.0, 1.0))
    predictor = untrained("addition_resnet18")
    write.export(predictor, out)
    assert out.read_text() == "model"
    assert {path.name for path in out.parent.iterdir()} == {"m.onnx", ".other.onnx.123.part"}


def test_the_chosen_implementation_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def kernel(x: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        called.append(1)
        return x

    monkeypatch.setattr("torchvision.ops.deform_conv2d", kernel)
    arguments = torch.rand(1, 2, 4, 5), torch.zeros(1, 18, 4, 5), torch.rand(2, 2, 3, 3)
    with use_implementation("torchvision"):
        deform_conv2d(*arguments)
    deform_conv2d(*arguments)
    assert called == [1]


def test_tiles_are_the_padded_pair() -> None:
    rgb, thermal = random_pair((2, 33, 40))
    tiles, inner = cut_tiles(rgb, thermal)
    assert (tuple(tiles.shape), inner) == ((2, 4, 2, 32, 2, 32), (33, 40))
    whole = tiles.reshape(2, 4, 64, 64)
    assert torch.equal(whole[:, :3, :33, :40], rgb)
    assert torch.equal(whole[:, 3:, 33:, :40], thermal[:, :, 32:].expand(-1, -1, 31, -1))


def test_tiles_of_a_scaled_pair_keep_images_of_one_value() -> None:
    rgb, _ = random_pair((2, 33, 40))
    tiles, inner = cut_tiles(rgb, torch.full((2, 1, 33, 40), 0.3), 0.5)
    assert inner == (16, 20)  # 16.5 is rounded as the model rounds
    assert (tiles[:, 3] == torch.tensor(0.3)).all()


@pytest.mark.export
def test_the_file_says_what_it_is(exports: Exports, trained: Trained) -> None:
    onnx = pytest.importorskip("onnx")
    file, parity = exports("onnx")
    assert parity.equal >= 0.999
    model, info = load_checkpoint(trained.best)
    proto = onnx.load(file)
    said = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert said["cimnet"]["classes"] == list(info.classes)
    assert said["cimnet_export"]["rgb_mean"] == pytest.approx(model.rgb_mean.flatten().tolist())
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 20)]
    operators = [node.op_type for node in proto.graph.node]
    assert operators.count("DeformConv") == 8  # two in each of four stages
    assert "GridSample" not in operators
    shapes = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in proto.graph.input]
    assert shapes == [["batch", 3, "height", "width"], ["batch", 1, "height", "width"]]
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.export
def test_a_file_that_does_something_else_is_not_kept(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    out = tmp_path / "m.onnx"
    out.write_text("old")
    monkeypatch.setattr(write, "compare", lambda *_: Parity(1.0, 0.5))
    with pytest.raises(CheckpointError, match="nothing was written"):
        write.export(trained.best, out)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.export
def test_normalisation_outside(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    out = tmp_path / "m.onnx"
    write.export(trained.best, out, normalization=False)
    exported, _ = load_exported(out)
    assert not exported.details.normalization
    model, _ = load_checkpoint(trained.best)
    pair = random_pair((1, 40, 50))
    with torch.inference_mode():
        torch.testing.assert_close(exported(*pair).logits, model(*pair).logits, atol=1e-3, rtol=1e-3)


@pytest.mark.export
def test_black_images_are_missing_ones_with_normalisation_outside(tmp_path: Path) -> None:
    """Normalised by means of three channels, black has three values."""
    pytest.importorskip("onnxruntime")
    predictor = untrained("addition_resnet18")
    write.export(predictor, tmp_path / "m.onnx", normalization=False)
    exported, _ = load_exported(tmp_path / "m.onnx")
    rgb, thermal = torch.zeros(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            exported(rgb, thermal).logits, predictor.model(rgb, thermal).logits, atol=1e-4, rtol=1e-4
        )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a small disk")
@pytest.mark.parametrize("name", ["m.pt2", "m.onnx", "m.xml"])
def test_a_full_disk_is_one_line(trained: Trained, tmp_path: Path, name: str) -> None:
    """In a process of its own: torch's writer would end it."""
    for module in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(module)
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("disks can be mounted by root only")
    try:
        command = [sys.executable, "-m", "cimnet.cli", "export", trained.best, "--out", disk / name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1
        assert "cannot be written (" in lines[0]
        assert "free space" in lines[0]
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
