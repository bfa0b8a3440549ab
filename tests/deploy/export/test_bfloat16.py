"""OpenVINO in bfloat16: the graph is cut behind the encoders' first stages, which stay in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cimnet.deploy.export.write import export
from cimnet.inference.backends.openvino_file import compile_openvino

from .conftest import untrained

pytestmark = [pytest.mark.export, pytest.mark.slow]
openvino = pytest.importorskip("openvino")
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
MODELS: dict[str, tuple[int, dict[str, Any]]] = {  # maps that leave the first stages
    "cimnet_efficientnet_lite0": (2, {"explicit_alignment": True}),
    "cimnet_mit_b0": (2, {}),
    "addition_resnet18": (2, {}),
    "early_fusion_convnext_nano": (1, {"explicit_alignment": True}),
    "thermal_only_efficientnet_lite0": (1, {}),
}


class _Recorder:
    """A core that keeps what it was asked to compile, and compiles everything in float32."""

    def __init__(self) -> None:
        self.core = openvino.Core()
        self.asked: list[tuple[Any, str]] = []

    def compile_model(self, model: Any, device: str, hint: dict[str, str]) -> Any:
        self.asked.append((model, hint["INFERENCE_PRECISION_HINT"]))
        return self.core.compile_model(model, device, FLOAT32)


@pytest.mark.parametrize("name", MODELS)
def test_both_parts_one_after_the_other_are_the_whole(name: str, tmp_path: Path) -> None:
    maps, options = MODELS[name]
    file = tmp_path / "model.xml"
    export(untrained(name, **options), file, "openvino", precision="bfloat16")
    core = _Recorder()
    run = compile_openvino(core, core.core.read_model(file), bfloat16=True)
    whole = core.core.compile_model(core.core.read_model(file), "CPU", FLOAT32)
    (first, first_hint), (rest, rest_hint) = core.asked
    assert (first_hint, rest_hint) == ("f32", "bf16")
    assert len(first.outputs) == maps
    assert len(rest.inputs) == 2 + maps
    names = [[op.get_friendly_name() for op in part.get_ordered_ops()] for part in (first, rest)]
    assert any("/stages.0/" in n for n in names[0])
    assert not any("/stages.1/" in n for n in names[0])
    for size in ((75, 107), (64, 96)):
        rgb, thermal = torch.rand(2, 3, *size).numpy(), torch.rand(2, 1, *size).numpy()
        assert abs(run([rgb, thermal]) - whole([rgb, thermal])[0]).max() < 1e-4


def test_another_programs_graph_is_not_cut() -> None:
    image = openvino.opset8.parameter([1, 3, 4, 4], name="rgb")
    model = openvino.Model([openvino.opset8.relu(image)], [image], "other")
    with pytest.raises(RuntimeError, match="0 maps leave the encoders' first stages"):
        compile_openvino(openvino.Core(), model, bfloat16=True)
