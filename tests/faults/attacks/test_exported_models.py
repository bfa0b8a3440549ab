"""Exported files of strangers: weights that lie elsewhere, XML that reads files or grows, tensors beyond the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import cimnet
from cimnet.errors import CheckpointError
from tests.faults.attacks.bounds import bounded

SECRET = b"\x00\x00\x80\x3f" * 4
"""What lies outside: four times 1.0 as float32."""


def _onnx(path: Path, location: str, offset: int = 0, length: int = 16) -> Path:
    """y = x + weights, the weights in another file."""
    onnx = pytest.importorskip("onnx")
    helper, tensor_type = onnx.helper, onnx.TensorProto
    weights = onnx.TensorProto(name="w", data_type=tensor_type.FLOAT, dims=[4], data_location=tensor_type.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        weights.external_data.add(key=key, value=str(value))
    values = [helper.make_tensor_value_info(name, tensor_type.FLOAT, [4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", values[:1], values[1:], [weights])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())
    return path


def _refused(path: Path, says: str = "cannot open it") -> None:
    with bounded(3), pytest.raises(CheckpointError, match=says) as caught:
        cimnet.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "location",
    ["/etc/hostname", "{outside}", "../outside.bin", "sub/../../outside.bin", "link.bin", "folder/outside.bin"],
)
def test_onnx_weights_outside_of_the_folder(location: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    outside = tmp_path / "outside.bin"
    outside.write_bytes(SECRET)
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.bin").symlink_to(outside)
    (folder / "folder").symlink_to(tmp_path)
    _refused(_onnx(folder / "m.onnx", location.format(outside=outside)))


@pytest.mark.parametrize(("offset", "length"), [(0, 2**40), (2**40, 16), (-16, 16), (8, 16)])
def test_onnx_weights_beyond_the_end(offset: int, length: int, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "w.bin").write_bytes(SECRET)
    _refused(_onnx(tmp_path / "m.onnx", "w.bin", offset, length))


def test_onnx_weights_beside_it_are_read(tmp_path: Path) -> None:
    """The refusals above are because of the place, not because of the file."""
    pytest.importorskip("onnxruntime")
    (tmp_path / "w.bin").write_bytes(SECRET)
    _refused(_onnx(tmp_path / "m.onnx", "w.bin"), "not exported by cimnet")


def test_onnx_weights_that_are_a_pipe(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    os.mkfifo(tmp_path / "w.bin")
    _refused(_onnx(tmp_path / "m.onnx", "w.bin"))


_LAUGHS = "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10 if k else "ha"}">' for k in range(12))
_CONSTANT = (
    '<net name="x" version="11"><layers><layer id="0" name="c" type="Const" version="opset1">'
    '<data element_type="f32" shape="4" offset="{offset}" size="{size}"/>'
    '<output><port id="0" precision="FP32"><dim>4</dim></port></output></layer>'
    '<layer id="1" name="r" type="Result" version="opset1"><input><port id="0" precision="FP32"><dim>4</dim></port>'
    '</input></layer></layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges></net>'
)


@pytest.mark.parametrize(
    "xml",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><net name="&x;" version="11"/>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]><net name="a" version="11"/>',
        f'<!DOCTYPE a [{_LAUGHS}]><net name="&a11;" version="11"/>',
        _CONSTANT.format(offset=0, size=2**40),
        _CONSTANT.format(offset=2**40, size=16),
        _CONSTANT.format(offset=-16, size=16),
        "<net>" * 100_000,
    ],
    ids=["file", "address", "laughs", "size", "offset", "negative", "nested"],
)
def test_openvino_xml(xml: str, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "m.bin").write_bytes(SECRET)
    (tmp_path / "m.xml").write_text(f'<?xml version="1.0"?>{xml}')
    _refused(tmp_path / "m.xml", "cannot open it|not exported by cimnet")
