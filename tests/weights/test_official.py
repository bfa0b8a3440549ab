"""Checkpoints of the original code: containers, names, classes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import cimnet
from cimnet.data.classes import BUILT_IN, ClassList
from cimnet.errors import CheckpointError, CimnetError, ConfigError
from cimnet.models.zoo import PUBLICATIONS
from cimnet.models.zoo.cmx import CMX
from cimnet.models.zoo.network import ZooNetwork
from cimnet.weights.official import from_official, import_official
from tests.conftest import Result
from tests.weights.conftest import NAME, OTHER, State, same_weights

pytestmark = pytest.mark.usefixtures("small_networks_are_published")


CONTAINERS: dict[str, Callable[[State], Any]] = {
    "bare": lambda s: s,
    "model": lambda s: {"model": s, "optimizer": {"state": {0: {"step": torch.ones(1)}}}, "epoch": 3, "iteration": 7},
    "state_dict": lambda s: {"epoch": 1, "state_dict": s},
    "module": lambda s: {"module": s},
    "model_state_dict": lambda s: {"model_state_dict": s, "loss": 0.5, "best_miou": 59.9},
    "of several processes": lambda s: {"state_dict": {f"module.{name}": value for name, value in s.items()}},
    "without counters": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
    "half precision": lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
}


@pytest.mark.parametrize("container", list(CONTAINERS))
def test_containers(container: str, state: State, model: ZooNetwork, tmp_path: Path) -> None:
    file = tmp_path / "epoch-500.pth"
    if container == "without counters":
        assert len(CONTAINERS[container](state)) < len(state)
    if container == "half precision":
        model = cimnet.create_model(NAME, 9)  # type: ignore[assignment]
        model.load_state_dict({**model.state_dict(), **model.own_names({k: v.half() for k, v in state.items()})})
    content = CONTAINERS[container](state)
    torch.save(content, file, _use_new_zipfile_serialization=container != "model")
    found = from_official(NAME, file)
    assert not found.training
    same_weights(found, model)


def test_safetensors_and_state_dict(state: State, model: ZooNetwork, tmp_path: Path) -> None:
    same_weights(from_official(NAME, {"model": state}), model)
    safetensors.torch.save_file(state, tmp_path / "weights.safetensors")
    same_weights(from_official(NAME, tmp_path / "weights.safetensors", 9), model)


def test_double_precision_is_not_rounded(state: State) -> None:
    doubled = {k: v.double() * (1 + 1e-12) if v.is_floating_point() else v for k, v in state.items()}
    found = from_official(NAME, doubled)
    assert isinstance(found, ZooNetwork)
    assert all(torch.equal(value, doubled[name]) for name, value in found.official_state().items())
    assert found.rgb_mean[0, 0].item() == 0.485


@pytest.mark.parametrize("classes", [2, 5, 9, 40])
def test_number_of_classes_comes_from_the_weights(classes: int) -> None:
    other = cimnet.create_model(NAME, classes)
    assert isinstance(other, ZooNetwork)
    found = from_official(NAME, other.official_state())
    assert found(torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)).logits.shape[1] == classes
    with pytest.raises(CheckpointError, match=f"for {classes} classes, not 7"):
        from_official(NAME, other.official_state(), 7)


def test_float64_is_kept(state: State, model: ZooNetwork, tmp_path: Path, cli: Any) -> None:
    """Weights that float32 cannot hold come through unrounded; a checkpoint of this package has them in float32."""
    wide = {k: v.double() * (1 + 1e-12) if v.is_floating_point() else v for k, v in state.items()}
    found = from_official(NAME, wide)
    assert isinstance(found, ZooNetwork)
    for name, value in found.double().official_state().items():
        assert torch.equal(value, wide[name]), name
    assert found.rgb_mean.flatten().tolist() == [0.485, 0.456, 0.406]
    mixed = {**wide, "backbone.norm2.bias": state["backbone.norm2.bias"]}
    assert from_official(NAME, mixed).rgb_mean.dtype == torch.float32
    torch.save(wide, tmp_path / "a.pth")
    out = tmp_path / "out.safetensors"
    assert cli("import", NAME, tmp_path / "a.pth", "--classes", "mfnet", "--out", out).code == 0
    assert {v.dtype for v in safetensors.torch.load_file(out).values()} <= {torch.float32, torch.int64}
    same_weights(cimnet.load(out, "cpu").network, model)


def test_order_of_the_channels(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_official(NAME, state).channel_order == "rgb"
    assert from_official(NAME, state, channel_order="bgr").channel_order == "bgr"
    with pytest.raises(ConfigError, match="channel_order is 'gbr'"):
        from_official(NAME, state, channel_order="gbr")  # type: ignore[arg-type]


def test_unknown_network(state: State) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {NAME}"):
        from_official("small_cmx_mit_b1", state)
    with pytest.raises(ConfigError, match="not a published network"):
        from_official("cimnet_resnet18", state)


class TestWeightsThatDoNotFit:
    def test_of_another_network(self, state: State) -> None:
        with pytest.raises(CheckpointError, match=f"missing.*unknown.*look like {NAME}: give that name"):
            from_official(OTHER, state)

    def test_some_missing(self, state: State) -> None:
        gone = [name for name in state if ".block3." in name]
        for name in gone:
            del state[name]
        message = f"{gone[0]}, {gone[1]}, {gone[2]} and {len(gone) - 3} more missing. Most weights fit"
        with pytest.raises(CheckpointError) as caught:
            from_official(NAME, state)
        assert message in str(caught.value)

    def test_without_the_last_layer(self, state: State) -> None:
        with pytest.raises(CheckpointError, match=r"decode_head\.linear_pred\.bias missing"):
            from_official(NAME, {name: value for name, value in state.items() if "linear_pred" not in name}, 9)

    def test_wrong_shape(self, state: State) -> None:
        state["backbone.norm2.weight"] = torch.ones(65)
        with pytest.raises(CheckpointError, match=r"backbone\.norm2\.weight is 65, not 64"):
            from_official(NAME, state)

    def test_unknown_weights(self, state: State) -> None:
        state["aux_head.weight"] = torch.ones(3)
        with pytest.raises(CheckpointError, match=r"aux_head\.weight unknown"):
            from_official(NAME, state)

    def test_not_finite(self, state: State) -> None:
        state["backbone.norm2.bias"][3] = torch.nan
        with pytest.raises(CheckpointError, match=r"'backbone\.norm2\.bias' are NaN"):
            from_official(NAME, state)

    def test_too_large_for_float32(self, state: State, tmp_path: Path) -> None:
        """Whatever float64 holds, no checkpoint with infinite weights is written."""
        wide = {k: v.double() if v.is_floating_point() else v for k, v in state.items()}
        wide["backbone.norm2.bias"][3] = 1e300
        torch.save(wide, tmp_path / "a.pth")
        out = tmp_path / "out.safetensors"
        with pytest.raises(CheckpointError, match=r"'backbone\.norm2\.bias' are NaN or infinite"):
            import_official(NAME, tmp_path / "a.pth", BUILT_IN["mfnet"], out)
        assert not out.exists()

    @pytest.mark.parametrize("kind", ["sparse", "complex", "whole numbers", "meta", "quantised"])
    @pytest.mark.filterwarnings("ignore:torch.quantize")
    def test_no_plain_numbers(self, kind: str, state: State) -> None:
        """A cast would lose what they say, or fail somewhere inside torch."""
        key = "backbone.norm2.bias"
        change: dict[str, Callable[[Tensor], Tensor]] = {
            "sparse": Tensor.to_sparse,
            "complex": lambda v: v.to(torch.complex64),
            "whole numbers": Tensor.long,
            "meta": lambda v: v.to("meta"),
            "quantised": lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8),
        }
        state[key] = change[kind](state[key])
        with pytest.raises(CheckpointError, match=rf"'{key}' does not hold plain floating-point numbers"):
            from_official(NAME, state)

    def test_nothing_alike(self) -> None:
        with pytest.raises(CheckpointError, match="look like none"):
            from_official(NAME, {"conv.weight": torch.ones(3, 3)})


class TestOptions:
    """Where the original's training and evaluation differ, official weights take either."""

    def test_of_a_model(self, state: State) -> None:
        found = from_official(NAME, state, head_eps=1e-3, input_scale=0.5)
        assert isinstance(found, CMX)
        assert found.decoder.mix[1].eps == 1e-3
        assert found.input_scale == 0.5
        changed = from_official(NAME, state)
        assert isinstance(changed, CMX)
        assert changed.decoder.mix[1].eps == 1e-5

    def test_the_weights_must_fit_the_options(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """EAEFNet's squeeze-and-excitation may be missing from a file, unless it is to be used."""
        name = "small_eaefnet_resnet18"
        known = {name: PUBLICATIONS["eaefnet_resnet50"]}
        monkeypatch.setattr("cimnet.weights.official.PUBLICATIONS", known)
        model = cimnet.create_model(name, 5, gate="batch", use_se=True)
        assert isinstance(model, ZooNetwork)
        state = model.official_state()
        found = from_official(name, state, gate="batch", use_se=True)
        pair = torch.rand(3, 3, 32, 32), torch.rand(3, 1, 32, 32)
        torch.testing.assert_close(found(*pair).logits, model.eval()(*pair).logits)
        assert not torch.allclose(from_official(name, state)(*pair).logits, found(*pair).logits)
        without = {key: value for key, value in state.items() if ".se." not in key or ".rfb" in key}
        assert len(without) == len(state) - 8
        from_official(name, without)
        with pytest.raises(CheckpointError, match=r"\.se\..*missing"):
            from_official(name, without, use_se=True)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"head_eps": -1.0}, "head_eps is -1.0, it must be a number"),
            ({"head_eps": "much"}, "head_eps is 'much', it must be a number"),
            ({"head_eps": float("nan")}, "head_eps is nan"),
            ({"gate": "batch"}, "unexpected keyword argument 'gate'"),
            ({"encoder": "mit_b1"}, "encoder"),
            ({"pretrained": True}, "pretrained has no place"),
            ({"head_eps": torch.ones(1)}, "not plain values"),
        ],
    )
    def test_refused(self, options: dict[str, Any], message: str, state: State) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            from_official(NAME, state, **options)
        assert "\n" not in str(caught.value)

    def test_import_keeps_them(self, state: State, tmp_path: Path, cli: Any) -> None:
        torch.save(state, tmp_path / "a.pth")
        out = tmp_path / "out.safetensors"
        command = ("import", NAME, tmp_path / "a.pth", "--classes", "mfnet", "--out", out)
        result: Result = cli(*command, "--option", "head_eps=1e-3", "--option", "input_scale=0.5")
        assert result.code == 0, result
        predictor = cimnet.load(out, "cpu")
        assert predictor.info.options == {"channel_order": "rgb", "head_eps": 1e-3, "input_scale": 0.5}
        pair = torch.rand(1, 3, 40, 64), torch.rand(1, 1, 40, 64)
        expected = from_official(NAME, state, head_eps=1e-3, input_scale=0.5)
        torch.testing.assert_close(predictor.network(*pair).logits, expected(*pair).logits)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("head_eps", "--option head_eps: write it as KEY=VALUE"),
            ("head_eps=[", "not valid YAML"),
            ("head_eps=big", "head_eps is 'big'"),
            ("channel_order=bgr", "channel_order has no place"),
            ("num_classes=3", "num_classes has no place"),
            ("source=a.pth", "source has no place"),
            ("head_eps=2020-01-01", "not plain values"),
        ],
    )
    def test_import_refuses(self, given: str, message: str, state: State, tmp_path: Path, cli: Any) -> None:
        torch.save(state, tmp_path / "a.pth")
        out = tmp_path / "out.safetensors"
        command = ("import", NAME, tmp_path / "a.pth", "--classes", "mfnet", "--out", out)
        result: Result = cli(*command, "--option", given)
        assert result.code == 2
        assert message in result.err
        assert result.err.count("\n") == 1
        assert not out.exists()


class TestImport:
    def test_writes_a_checkpoint(self, state: State, model: ZooNetwork, tmp_path: Path, cli: Any) -> None:
        torch.save({"model": state}, tmp_path / "a.pth")
        out = tmp_path / "model.safetensors"
        command = ("import", NAME, tmp_path / "a.pth", "--classes", "mfnet", "--out", out)
        result: Result = cli(*command, "--channel-order", "bgr")
        assert result.code == 0, result
        predictor = cimnet.load(out, "cpu")
        assert predictor.info.classes == BUILT_IN["mfnet"].names
        assert predictor.info.options == {"channel_order": "bgr"}
        rgb, thermal = torch.rand(1, 3, 40, 64), torch.rand(1, 1, 40, 64)
        turned = from_official(NAME, state, channel_order="bgr")
        torch.testing.assert_close(predictor.network(rgb, thermal).logits, turned(rgb, thermal).logits)
        before = out.read_bytes()
        refused: Result = cli(*command)
        assert refused.code == 2
        assert "--overwrite" in refused.err
        assert out.read_bytes() == before
        assert cli(*command, "--overwrite").code == 0
        assert cimnet.load(out, "cpu").info.options == {"channel_order": "rgb"}

    def test_classes_of_a_file_or_by_name(self, tmp_path: Path, cli: Any) -> None:
        other = cimnet.create_model(NAME, 3)
        assert isinstance(other, ZooNetwork)
        torch.save(other.official_state(), tmp_path / "a.pth")
        (tmp_path / "classes.yaml").write_text("classes: [road, {name: sky, color: '#0000ff'}, tree]\n")
        for given in (tmp_path / "classes.yaml", "road, sky, tree"):
            out = tmp_path / "out.safetensors"
            result: Result = cli("import", NAME, tmp_path / "a.pth", "--classes", given, "--out", out, "--overwrite")
            assert result.code == 0, result
            assert cimnet.load(out, "cpu").info.classes == ("road", "sky", "tree")
        for given, message in (
            ("mfnet", "for 3 classes, not 9"),
            ("nothing", "no built-in list 'nothing'"),
            (tmp_path / "no.yaml", "cannot be read"),
        ):
            result = cli("import", NAME, tmp_path / "a.pth", "--classes", given, "--out", tmp_path / "b.safetensors")
            assert result.code == 2
            assert message in result.err
            assert not (tmp_path / "b.safetensors").exists()

    def test_refuses_before_it_reads(self, tmp_path: Path) -> None:
        classes = ClassList(("a", "b"))
        with pytest.raises(ConfigError, match=r"ends in \.safetensors"):
            import_official(NAME, tmp_path / "a.pth", classes, tmp_path / "out.pth")
        (tmp_path / "a.safetensors").write_bytes(b"x")
        with pytest.raises(CimnetError):
            import_official(NAME, tmp_path / "a.safetensors", classes, tmp_path / "a.safetensors", overwrite=True)
        assert (tmp_path / "a.safetensors").read_bytes() == b"x"
