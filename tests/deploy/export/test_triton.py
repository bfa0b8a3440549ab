"""A model repository for Triton, checked with Triton's own description of its configuration."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import cimnet
from cimnet.cli import export as cli_export
from cimnet.deploy.export.triton import configuration, export_triton
from cimnet.errors import ConfigError
from tests.conftest import Trained

NUMBERS = {1: "TYPE_FP32", 7: "TYPE_INT64"}


def parse(text: str) -> Any:
    """``inference.ModelConfig``. tritonclient ties itself to older versions of what it does not need for that, so it is
    installed by ``pip install --no-deps tritonclient``, and its one module is loaded alone."""
    text_format = pytest.importorskip("google.protobuf.text_format")
    package = importlib.util.find_spec("tritonclient")
    if package is None or not package.submodule_search_locations:
        pytest.skip("tritonclient is missing: pip install --no-deps tritonclient")
    name = "model_config_pb2"
    if name not in sys.modules:
        file = Path(package.submodule_search_locations[0]) / "grpc" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # made by an older protobuf
            spec.loader.exec_module(module)
        sys.modules[name] = module
    return text_format.Parse(text, sys.modules[name].ModelConfig())


def _tensors(config: Any) -> list[tuple[str, str, list[int]]]:
    kinds = config.input[0].DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    return [(item.name, kinds[item.data_type].name, list(item.dims)) for item in (*config.input, *config.output)]


@pytest.mark.parametrize(
    ("argmax", "size", "batch", "largest", "dims"),
    [
        (False, None, None, 8, ([3, -1, -1], [1, -1, -1], [5, -1, -1])),
        (True, (480, 640), None, 8, ([3, 480, 640], [1, 480, 640], [480, 640])),
        (False, (480, 640), 2, 0, ([2, 3, 480, 640], [2, 1, 480, 640], [2, 5, 480, 640])),
        (True, None, 1, 0, ([1, 3, -1, -1], [1, 1, -1, -1], [1, -1, -1])),
    ],
)
def test_the_configuration_is_of_tritons_form(
    argmax: bool, size: tuple[int, int] | None, batch: int | None, largest: int, dims: tuple[list[int], ...]
) -> None:
    config = parse(configuration('a "name"', "onnx", 5, argmax=argmax, size=size, batch=batch))
    assert config.name == 'a "name"'
    assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
    assert config.max_batch_size == largest
    names = ("rgb", "thermal", "mask" if argmax else "logits")
    kinds = ("TYPE_FP32", "TYPE_FP32", "TYPE_INT64" if argmax else "TYPE_FP32")
    assert _tensors(config) == list(zip(names, kinds, dims, strict=True))
    assert config.HasField("dynamic_batching") == (batch is None)
    assert not config.instance_group
    if batch is None:
        assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
        assert config.dynamic_batching.max_queue_delay_microseconds == 2000


@pytest.mark.export
def test_a_repository_says_what_the_file_takes_and_gives(trained: Trained, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder, parity = export_triton(trained.best, tmp_path / "models", argmax=True, size=(40, 48))
    assert parity.equal >= 0.999
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == [
        *("1", "1/model.onnx", "config.pbtxt", "labels.txt")
    ]
    assert [path.name for path in folder.parent.iterdir() if not path.name.startswith(".")] == [folder.name]
    config, model = parse((folder / "config.pbtxt").read_text()), onnx.load(folder / "1" / "model.onnx")
    assert config.name == folder.name
    found = [
        (
            value.name,
            NUMBERS[value.type.tensor_type.elem_type],
            [side.dim_value for side in value.type.tensor_type.shape.dim][1:],
        )
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert _tensors(config) == found
    labels = (folder / config.output[0].label_filename).read_text().splitlines()
    assert labels == list(cimnet.load(trained.best).classes)
    assert "DeformConv" not in {node.op_type for node in model.graph.node}

    (folder / "2").mkdir()  # a version that the user has put there
    export_triton(trained.best, tmp_path / "models", batch=1)
    assert parse((folder / "config.pbtxt").read_text()).max_batch_size == 0
    assert (folder / "2").is_dir()

    (folder / "1" / "model.xml").touch()  # as of an export with --format openvino
    (folder / "1" / "model.bin").touch()
    export_triton(trained.best, tmp_path / "models")
    assert [path.name for path in (folder / "1").iterdir()] == ["model.onnx"]


@pytest.mark.export
def test_openvino_has_its_own_backend(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    folder, _ = export_triton(trained.best, tmp_path, "openvino")
    config = parse((folder / "config.pbtxt").read_text())
    assert (config.backend, config.default_model_filename) == ("openvino", "model.xml")
    assert sorted(path.name for path in (folder / "1").iterdir()) == ["model.bin", "model.xml"]


def test_what_triton_cannot_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no backend for format pt2; choose onnx or openvino"):
        export_triton(tmp_path / "never-opened", tmp_path, "pt2")  # type: ignore[arg-type]  # that is the fault
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("given", [{}, {"out": Path("a.onnx"), "triton": Path("models")}])
def test_the_command_writes_one_thing(given: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="either --out, the file to write, or --triton"):
        cli_export.export(tmp_path, **given)


def test_the_command_reads_a_size(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--size 480: write it as HEIGHTxWIDTH"):
        cli_export.export(tmp_path, tmp_path / "a.onnx", size="480")
