"""Exported files in use: the same masks, any size, black and missing images, and errors that say what to do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cimnet
from cimnet.checkpoint import load_checkpoint
from cimnet.deploy.export.parity import random_pair
from cimnet.deploy.export.write import Format
from cimnet.errors import CheckpointError
from cimnet.inference.backends import runtime
from tests import ROOT
from tests.conftest import Trained
from tests.fakes.exports import Exports

pytestmark = pytest.mark.export
EXAMPLE = ROOT / "examples" / "onnx_only.py"
FORMATS = ("onnx", "openvino", pytest.param("pt2", marks=pytest.mark.slow))


def _file(exports: Exports, format: Format, argmax: bool = False) -> Path:
    if format == "openvino":
        pytest.importorskip("openvino")
    return exports(format, argmax)[0]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 33, 47), (3, 64, 96)])
def test_any_batch_and_size_with_black_images(exports: Exports, trained: Trained, format: Format, size) -> None:
    model, info = load_checkpoint(trained.best)
    exported, described = runtime.load_exported(_file(exports, format), trust=True)
    assert described == info
    rgb, thermal = random_pair(size)
    for pair in ((rgb, thermal), (rgb, torch.zeros_like(thermal)), (torch.rand(rgb.shape), thermal)):
        with torch.inference_mode():
            wanted = model(*pair).logits
        torch.testing.assert_close(exported(*pair).logits, wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("format", FORMATS)
def test_a_predictor_gives_the_same_mask(exports: Exports, trained: Trained, format: Format) -> None:
    pair = trained.root / "rgb" / "010.png", trained.root / "thermal" / "010.png"
    wanted = cimnet.load(trained.best, "cpu").predict(*pair)
    assert len(np.unique(wanted)) > 1
    assert (cimnet.load(_file(exports, format), trust=True).predict(*pair) == wanted).mean() >= 0.999


def test_a_file_with_argmax_gives_ids_and_says_so(exports: Exports, trained: Trained) -> None:
    model, _ = load_checkpoint(trained.best)
    exported, _ = runtime.load_exported(_file(exports, "onnx", argmax=True))
    pair = random_pair((2, 40, 70))
    ids = exported.predict(*pair)
    assert ids.dtype == torch.int64
    assert (ids == model.predict(*pair)).double().mean() >= 0.999
    with pytest.raises(CheckpointError, match="--logits"):
        exported(*pair)


def test_shapes_that_do_not_fit(exports: Exports) -> None:
    exported, _ = runtime.load_exported(_file(exports, "onnx"))
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\)"):
        exported.predict(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 40))


@pytest.mark.parametrize("format", FORMATS)
def test_a_damaged_file(exports: Exports, tmp_path: Path, format: Format) -> None:
    good = _file(exports, format)
    bad = tmp_path / good.name
    bad.write_bytes(good.read_bytes()[:500])
    bad.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=rf"{good.name}.*cimnet export"):
        cimnet.load(bad, trust=True)


def test_openvino_without_its_weights(exports: Exports, tmp_path: Path) -> None:
    good = _file(exports, "openvino")
    (tmp_path / "a.xml").write_bytes(good.read_bytes())
    with pytest.raises(CheckpointError, match=r"a\.bin: missing"):
        cimnet.load(tmp_path / "a.xml")


def test_a_file_of_another_program(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    text = '<ir_version: 9, opset_import: ["" : 20]> other (float[1] x) => (float[1] y) { y = Neg (x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match="not exported by cimnet"):
        cimnet.load(tmp_path / "other.onnx")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        runtime.load_exported(tmp_path / "none.onnx")


def test_a_runtime_that_is_too_old(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _file(exports, "onnx")
    monkeypatch.setattr("onnxruntime.__version__", "1.24.4")
    with pytest.raises(CheckpointError, match=re.escape('1.25.1 has; pip install "cimnet[export]"')):
        cimnet.load(file)


def test_the_example_needs_neither_torch_nor_cimnet(exports: Exports, trained: Trained, tmp_path: Path) -> None:
    pair = trained.root / "rgb" / "010.png", trained.root / "thermal" / "010.png"
    arguments = [str(EXAMPLE), str(_file(exports, "onnx")), *map(str, pair), str(tmp_path / "mask.png")]
    code = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['cimnet'] = None; "
        f"sys.argv = {arguments!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    predictor = cimnet.load(trained.best, "cpu")
    wanted = np.array(predictor.colors, dtype=np.uint8)[predictor.predict(*pair)]
    with Image.open(tmp_path / "mask.png") as mask:
        assert (np.asarray(mask) == wanted).all(-1).mean() >= 0.999
    assert any(name in done.stdout for name in predictor.classes)
