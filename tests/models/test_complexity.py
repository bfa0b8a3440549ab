"""The counter against hand counts: CIMNet's modules, MiT, fused attention, and the paper's Table II."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from cimnet.models import RGBTModel, create_model
from cimnet.models.complexity import measure_budget, measure_run
from cimnet.models.output import Output
from cimnet.models.projections import PAPER_WIDTHS

H, W = 64, 96
SMALL: dict[str, Any] = {"widths": (8, 16, 20, 32), "decoder_channels": 16}
SIZES = [(H // 4 // 2**n) * (W // 4 // 2**n) for n in range(4)]


@pytest.fixture(scope="module")
def modules() -> dict[str, tuple[int, int]]:
    """Parameters and MACs at the paper's widths on a small encoder, split as far as it goes."""
    model = create_model("cimnet_resnet10t", 9, widths=PAPER_WIDTHS)
    return measure_budget(model, (H, W), depth=9).modules


def _sum(modules: dict[str, tuple[int, int]], begin: str) -> tuple[int, int]:
    chosen = [counts for name, counts in modules.items() if name.startswith(begin)]
    assert chosen, begin
    return sum(p for p, _ in chosen), sum(m for _, m in chosen)


def _stages(per_position: Callable[[int], int]) -> int:
    return sum(per_position(c) * n for c, n in zip(PAPER_WIDTHS, SIZES, strict=True))


def _widths(parameters: Callable[[int], int]) -> int:
    return sum(parameters(c) for c in PAPER_WIDTHS)


@pytest.mark.parametrize(
    ("module", "parameters", "macs"),
    [
        ("scsfr.*.spatial.reduce", _widths(lambda c: 2 * c * c + c), _stages(lambda c: 2 * c * c)),
        ("scsfr.*.spatial.offset_conv", _widths(lambda c: 9 * 18 * c + 18), _stages(lambda c: 9 * 18 * c)),
        ("scsfr.*.spatial.align", _widths(lambda c: 9 * c * c + c), _stages(lambda c: 9 * c * c)),
        ("scsfr.*.spatial.weights", _widths(lambda c: c * c + c + 2 * c + 2), _stages(lambda c: c * c + 2 * c)),
        ("scsfr.*.channel", _widths(lambda c: 24 * c * c + 6 * c + 1), _widths(lambda c: 24 * c * c)),
        ("cipa.offset", 64 * 128 + 64 + 64 * 18 + 18, (64 * 128 + 64 * 18) * SIZES[0]),
        ("decoder.project", _widths(lambda c: 512 * c + 512), _stages(lambda c: 512 * c)),
        ("decoder.mix", 2048 * 512 + 1024, 2048 * 512 * SIZES[0]),
        ("cipa.attention_rgb", 3, 3 * 64),
        ("decoder.classify", 512 * 9 + 9, 512 * 9 * SIZES[0]),
    ],
)
def test_hand_counts(modules: dict[str, tuple[int, int]], module: str, parameters: int, macs: int) -> None:
    assert _sum(modules, module) == (parameters, macs)


def test_ffm_with_its_attention_products(modules: dict[str, tuple[int, int]]) -> None:
    """17 C² + 26 C parameters; the linear parts once a position, and two products of N × C × C/heads per stream."""
    parameters, macs = _sum(modules, "ffm")
    assert parameters == _widths(lambda c: 17 * c * c + 26 * c)
    linear = _stages(lambda c: 4 * c * c + 4 * c * c + 4 * c * c)  # project, key and value, merge: both streams
    embed = _stages(lambda c: 2 * c * c + 2 * c * c + 9 * c + c * c)
    attention = _sum(modules, "ffm.*.attention")[1] - _stages(lambda c: 4 * c * c)
    by_hand = sum(4 * n * c * c // heads for c, n, heads in zip(PAPER_WIDTHS, SIZES, (1, 2, 5, 8), strict=True))
    assert attention == by_hand
    assert macs == linear + embed + by_hand


def test_mit_with_its_attention_products() -> None:
    """MiT-B0 by hand: two blocks a stage, keys and values from maps reduced by 8, 4, 2 and 1 along each axis."""
    modules = measure_budget(create_model("cimnet_mit_b0", 9, **SMALL), (H, W)).modules
    macs, before = 0, 3
    for c, n, reduce, kernel in zip((32, 64, 160, 256), SIZES, (8, 4, 2, 1), (7, 3, 3, 3), strict=True):
        reduced = n // reduce**2
        attention = n * c * c + reduced * c * 2 * c + 2 * n * reduced * c + n * c * c  # q; k and v; products; output
        attention += n * c * c if reduce > 1 else 0  # a convolution as large as its stride
        mix = n * c * 4 * c + 9 * n * 4 * c + n * 4 * c * c
        macs += kernel**2 * before * c * n + 2 * (attention + mix)
        before = c
    assert modules["encoder_rgb"][1] == modules["encoder_thermal"][1] == macs


def test_fused_attention_is_counted_as_two_products() -> None:
    class Fused(_Toy):
        def forward(self, rgb: torch.Tensor, thermal: torch.Tensor) -> Output:
            x = self.parts[0](rgb).flatten(2).transpose(1, 2)
            return Output(self.parts[1](nn.functional.scaled_dot_product_attention(x, x, x)))

    n = 32
    assert measure_budget(Fused(), (4, 8)).macs == 12 * n + 2 * 4 * n * n + 20 * n


def test_modulation_and_alignment_are_counted() -> None:
    plain, both = (
        measure_budget(create_model("cimnet_resnet10t", 9, widths=(8, 16, 20, 32), **options), (H, W), depth=9)
        for options in ({}, {"modulation": True, "explicit_alignment": True})
    )
    mask = sum(9 * 9 * c * n for c, n in zip((8, 16, 20, 32), SIZES, strict=True))
    blurred = 2 * 37 * SIZES[0] * (2 * 169 + 1)  # σ 6 in two passes: products and energies at 169 places, energy of RGB
    edges = 2 * (5 + 9) * 4 * SIZES[0] * (3 + 1)  # σ 0.7 and 1.5 at half the size, three channels and one
    search = blurred + edges
    assert both.macs - plain.macs == mask + search


def test_the_decoder_runs_with_less_arithmetic_than_published() -> None:
    budget = measure_budget(create_model("cimnet_resnet10t", 9, widths=PAPER_WIDTHS), (H, W))
    published = _stages(lambda c: 512 * c) + 2048 * 512 * SIZES[0]
    products = sum(512 * 512 * c for c in PAPER_WIDTHS)  # the counter does not count those with the biases
    assert budget.macs - budget.macs_run == published - _stages(lambda c: 512 * c) - products
    assert budget.to_dict()["macs_run"] == budget.macs_run < budget.macs


@pytest.mark.slow  # five seconds of convolutions; the hand counts above try the counter
def test_the_paper_s_table_2() -> None:
    """110.9 M within 1 % and 132.4 G within 2 %, and the table adds up to the totals."""
    budget = measure_budget(create_model("cimnet_resnet101", 9), (480, 640))
    assert budget.parameters == pytest.approx(110.9e6, rel=0.01)
    assert budget.macs == pytest.approx(132.4e9, rel=0.02)
    assert sum(p for p, _ in budget.modules.values()) == budget.parameters
    assert sum(m for _, m in budget.modules.values()) == budget.macs
    assert budget.training_parameters > 0
    assert budget.modules["cipa"][0] < 10_000  # without the head


class _Toy(RGBTModel):
    """Attention products outside any child, and a list of modules."""

    def __init__(self) -> None:
        super().__init__([0.5] * 3, [0.5] * 3)
        self.parts = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Linear(4, 5)])
        self.mi_head = nn.Linear(7, 7)

    def forward(self, rgb: torch.Tensor, thermal: torch.Tensor) -> Output:
        x = self.parts[0](rgb).flatten(2)
        x = (x @ x.transpose(1, 2)) @ x
        return Output(self.parts[1](x.transpose(1, 2)))


def test_products_outside_of_modules_are_counted() -> None:
    budget = measure_budget(_Toy(), (4, 8))
    n = 32
    assert budget.macs == 12 * n + 2 * 16 * n + 20 * n
    assert budget.parameters == 16 + 25
    assert budget.training_parameters == 56
    assert budget.modules["parts"] == (41, 32 * n)
    assert sum(m for _, m in budget.modules.values()) == budget.macs


def test_counting_leaves_the_model_alone() -> None:
    model = create_model("cimnet_efficientnet_lite0", 3, **SMALL).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    measure_budget(model, (33, 47))
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_measure_run() -> None:
    found = measure_run(
        create_model("rgb_only_efficientnet_lite0", 3, **SMALL), (32, 64), torch.device("cpu"), repeats=1
    )
    assert found["latency_ms"] > 0
    assert found["peak_memory_mib"] > 10


def test_the_command(cli: Callable[..., Any]) -> None:
    result = cli("info", "cimnet_efficientnet_lite0", "--size", "64x96", "--json", "--depth", "3")
    content = json.loads(result.out)
    assert content["macs"] == sum(module["macs"] for module in content["modules"].values())
    assert content["parameters"] == sum(module["parameters"] for module in content["modules"].values())
    assert "scsfr.*.spatial" in content["modules"]
    assert content["size"] == [64, 96]
    table = cli("info", "rgb_only_efficientnet_lite0", "--size", "64x96", "--measure")
    assert table.code == 0
    assert "64×96" in table.out
    assert "ms a pair" in table.out
    refused = cli("info", "cimnet_resnet101", "--size", "big")
    assert refused.code == 2
    assert "--size big" in refused.err
