"""EAEFNet: behaviour, the original's numbers, its two gates, and its two heads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from cimnet.errors import ConfigError
from cimnet.models import RGBTModel, create_model
from cimnet.models.zoo.eaefnet import EAEFNet, EAEFNetPST
from cimnet.models.zoo.eaefnet_parts import ExplicitFusion
from cimnet.models.zoo.network import ZooNetwork

from ..tester import CLASSES, images
from .tester import ParityTester, WeightsTester, ZooTester


class TestEAEFNet(ZooTester):
    """With ResNet-18, which the original does not know, because it is quick."""

    def build(self, **options: Any) -> RGBTModel:
        return EAEFNet(CLASSES, 18, **options)


class TestEAEFNetPST(ZooTester):
    """As :class:`TestEAEFNet`. Values up to 255 grow further in a network without statistics yet."""

    rounding = 1e-2

    def build(self, **options: Any) -> RGBTModel:
        return EAEFNetPST(CLASSES, 18, **options)


@pytest.mark.slow
class TestEAEFNet50(ZooTester):
    network = "eaefnet_resnet50"


class EAEFNetParity(ParityTester):
    rule = "small_residuals"
    cases = ("64x96", "96x160", "64x96-tc")


class TestEAEFNet50TemperatureParity(EAEFNetParity):
    """The case whose gates leave one half, because it is quick to run one."""

    network, original, parameters, cases = "eaefnet_resnet50", "eaefnet-50", 77_969_290, ("64x96-tc",)


@pytest.mark.slow
class TestEAEFNet50Parity(EAEFNetParity):
    network, original, parameters = "eaefnet_resnet50", "eaefnet-50", 77_969_290


@pytest.mark.slow
class TestEAEFNet152Parity(EAEFNetParity):
    network, original, parameters = "eaefnet_resnet152", "eaefnet-152", 147_240_842


class BatchParity(EAEFNetParity):
    """A batch of three whose gates mix; the vectors hold three classes."""

    cases = ("64x64-tc-batch3",)
    options: ClassVar[Mapping[str, Any]] = {"gate": "batch"}

    def run(self, model: ZooNetwork, case: str) -> Tensor:
        return super().run(model, case)[:, :3]


@pytest.mark.slow
class TestEAEFNet50Batch(BatchParity):
    network, original, parameters = "eaefnet_resnet50", "eaefnet-50", 77_969_290


@pytest.mark.slow
class TestEAEFNet152Batch(BatchParity):
    network, original, parameters = "eaefnet_resnet152", "eaefnet-152", 147_240_842


@pytest.mark.slow
class TestEAEFNetPST152Parity(ParityTester):
    network, original, parameters = "eaefnet_pst_resnet152", "eaefnet-pst-152", 126_220_517
    classes = 5
    rule = "small_residuals bytes"


class TestEAEFNetPST50Weights(WeightsTester):
    network, original, parameters, classes = "eaefnet_pst_resnet50", "eaefnet-pst-50", 56_948_965, 5


@pytest.fixture(scope="module")
def fusion() -> ExplicitFusion:
    """With gates that leave one half."""
    torch.manual_seed(0)
    fusion = ExplicitFusion(64, shared_descriptor=True, gate="image").double().eval()
    assert isinstance(fusion.temperature, nn.Parameter)
    fusion.temperature.data.mul_(16)
    return fusion


def pair(batch: int) -> tuple[Tensor, Tensor]:
    """Maps that fusions take."""
    rgb, thermal = torch.randn(2, batch, 64, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return rgb, thermal


def test_gates_of_an_image_do_not_depend_on_the_batch(fusion: ExplicitFusion) -> None:
    rgb, thermal = pair(3)
    together = fusion.gate(rgb, thermal)
    alone = torch.cat([fusion.gate(rgb[n : n + 1], thermal[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(together, alone)
    assert (together - 0.5).abs().max() > 0.01


def test_gates_of_a_batch_are_the_originals(fusion: ExplicitFusion) -> None:
    """Entry q of the flat result takes image q mod B and channel q div B; for one image both gates are one."""
    mixing = copy.deepcopy(fusion)
    mixing.gate_of = "batch"
    one = [x[:1] for x in pair(3)]
    torch.testing.assert_close(mixing.gate(*one), fusion.gate(*one))
    batch = 3
    rgb, thermal = pair(batch)
    r, t = (nn.functional.normalize(fusion.describe[0](x.mean((2, 3)))) for x in (rgb, thermal))
    expected = torch.empty(batch, 64, dtype=torch.float64)
    for q in range(batch * 64):
        i, j = q % batch, q // batch
        expected[q // 64, q % 64] = torch.sigmoid(fusion.temperature * r[i, i] * t[i, j])
    torch.testing.assert_close(mixing.gate(rgb, thermal), expected)


def test_a_descriptor_of_zeros_gives_no_nan(fusion: ExplicitFusion) -> None:
    """Not in the gradient either; any other descriptor has length 1, however short it was."""
    silent = copy.deepcopy(fusion)
    for layer in (silent.describe[0].down, silent.describe[0].up):
        nn.init.zeros_(layer.bias)
    rgb, thermal = pair(2)
    rgb[0] = 0
    torch.testing.assert_close(silent.gate(rgb, thermal)[0], torch.full((64,), 0.5, dtype=torch.float64))
    sum(x.sum() for x in silent(rgb, thermal)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in silent.parameters())
    short = copy.deepcopy(silent)
    with torch.no_grad():
        short.describe[0].up.weight.mul_(1e-4)
    torch.testing.assert_close(short.gate(rgb, thermal), silent.gate(rgb, thermal))


def _training_output(model: EAEFNet, rgb: Tensor, thermal: Tensor) -> Any:
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model(rgb, thermal)


def test_logits_are_the_sum_of_two_heads() -> None:
    model = EAEFNet(CLASSES, 18).eval()
    inputs = images(1, (40, 64))
    expected = model(*inputs)
    assert expected.auxiliary == ()
    output = _training_output(model, *inputs)
    [second] = output.auxiliary
    assert (second.weight, second.target) == (1.0, "classes")
    torch.testing.assert_close(output.logits + second.logits, expected.logits)
    assert second.logits.shape == output.logits.shape == (1, CLASSES, 40, 64)


def test_the_model_for_pst900_evaluates_the_second_head_alone() -> None:
    model = EAEFNetPST(CLASSES, 18).eval()
    inputs = images(1, (40, 64))
    calls: list[int] = []
    model.head_high.register_forward_hook(lambda *_: calls.append(1))
    expected = model(*inputs)
    assert calls == []
    output = _training_output(model, *inputs)
    torch.testing.assert_close(output.logits, expected.logits)
    [first] = output.auxiliary
    assert first.weight == pytest.approx(0.8)
    assert (first.logits - output.logits).abs().max() > 1e-3


def test_the_model_for_pst900_can_evaluate_the_sum() -> None:
    """As the tests during the original's training; its training itself does not change."""
    second, both = EAEFNetPST(CLASSES, 18).eval(), EAEFNetPST(CLASSES, 18, heads="sum").eval()
    both.load_state_dict(second.state_dict())
    inputs = images(1, (40, 64))
    summed = both(*inputs).logits
    output = _training_output(second, *inputs)
    [first] = output.auxiliary
    torch.testing.assert_close(summed, output.logits + first.logits)
    trained = _training_output(both, *inputs)
    torch.testing.assert_close(trained.logits, output.logits)
    torch.testing.assert_close(trained.auxiliary[0].logits, first.logits)


def test_the_model_for_pst900_takes_values_up_to_255() -> None:
    rgb, thermal, _ = EAEFNetPST(CLASSES, 18).eval().network_input(*images(1, (32, 32)))
    assert 250 < rgb.max() <= 255.001
    assert 250 < thermal.max() <= 255.001
    assert thermal.shape[1] == 1


@pytest.mark.parametrize(("use_se", "training", "evaluation"), [(False, 0, 0), (True, 2, 2), ("training", 2, 0)])
def test_use_se(use_se: Any, training: int, evaluation: int) -> None:
    """Never, always, or as the authors advise: in training alone. Its weights are trained where it is used."""
    model = EAEFNet(CLASSES, 18, use_se=use_se).eval()
    layers = [p for name, p in model.named_parameters() if name.startswith(("attention.se.", "head_high.se."))]
    assert [p.requires_grad for p in layers] == [bool(use_se)] * 8
    assert model.unused == (() if use_se else ("head_high.se.", "attention.se."))
    calls: list[int] = []
    for aggregation in (model.attention, model.head_high):
        aggregation.se.register_forward_hook(lambda *_: calls.append(1))
    inputs = images(1, (32, 32))
    model(*inputs)
    assert len(calls) == evaluation
    calls.clear()
    _training_output(model, *inputs)
    assert len(calls) == training


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("eaefnet_resnet50", {"gate": "pair"}),
        ("eaefnet_resnet50", {"use_se": "often"}),
        ("eaefnet_pst_resnet50", {"use_se": False}),
        ("eaefnet_pst_resnet50", {"heads": "first"}),
        ("eaefnet_resnet50", {"heads": "sum"}),
        ("eaefnet_resnet50", {"depth": 18}),
        ("eaefnet_resnet50", {"widths": (8, 16, 20, 32)}),
    ],
)
def test_options_that_are_refused(name: str, option: dict[str, Any]) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=next(iter(option))):
        create_model(name, CLASSES, **option)
