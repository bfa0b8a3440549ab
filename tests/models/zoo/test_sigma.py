"""Sigma: behaviour, the original's numbers, and what its specification warns of."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.errors import ConfigError
from cimnet.models import RGBTModel, create_model
from cimnet.models.complexity import measure_budget
from cimnet.models.zoo.sigma import PUBLICATIONS, VMAMBA, Sigma
from cimnet.models.zoo.sigma_parts import PatchMerging
from cimnet.models.zoo.ss2d import SS2D, ConcatMamba, CrossMamba
from cimnet.ops.selective_scan import use_implementation

from ..tester import CLASSES, images
from .tester import ParityTester, ZooTester

NARROW: dict[str, Any] = {"width": 8, "depths": (1, 1, 2, 1)}


def narrow(**options: Any) -> Sigma:
    torch.manual_seed(0)
    return Sigma(CLASSES, **NARROW, **options)


class TestNarrowSigma(ZooTester):
    network = "sigma_tiny"

    def build(self, **options: Any) -> RGBTModel:
        return Sigma(CLASSES, **NARROW, **options)


@pytest.mark.slow
class TestSigmaTiny(ZooTester):
    network = "sigma_tiny"


class TestParityTiny(ParityTester):
    network, original, parameters = "sigma_tiny", "sigma-tiny", 48_287_360
    cases = ("64x96", "74x110")


@pytest.mark.slow
class TestParityTinyLarger(ParityTester):
    network, original, parameters = "sigma_tiny", "sigma-tiny", 48_287_360
    cases = ("64x96-strong", "96x160")


@pytest.mark.slow
class TestParitySmall(ParityTester):
    network, original, parameters = "sigma_small", "sigma-small", 69_811_328
    cases = ("64x96", "64x96-strong", "96x160")


@pytest.mark.slow
class TestParityBase(ParityTester):
    network, original, parameters = "sigma_base", "sigma-base", 121_414_820
    cases = ("64x96", "64x96-strong", "96x160")


def test_sizes_from_4_on_are_taken_as_they_are() -> None:
    """Padded inside to a multiple of 4, the odd rows of the original's vectors would come out differently."""
    model = narrow().eval()
    for size, taken in (((4, 7), (4, 7)), ((33, 47), (33, 47)), ((3, 40), (4, 40))):
        pair = images(1, size)
        assert model.network_input(*pair)[0].shape[-2:] == taken
        assert model(*pair).logits.shape == (1, CLASSES, *size)


def test_blue_green_red_turns_the_image_and_not_the_statistics() -> None:
    model, turned = narrow().eval(), narrow(channel_order="bgr").eval()
    turned.load_state_dict({**model.state_dict(), "rgb_mean": turned.rgb_mean, "rgb_std": turned.rgb_std})
    rgb, thermal = images(1, (32, 32))
    torch.testing.assert_close(turned(rgb.flip(1), thermal).logits, model(rgb, thermal).logits)
    assert {publication.channel_order for publication in PUBLICATIONS.values()} == {"bgr"}


def test_multiplications_are_those_of_the_original() -> None:
    """88.33 G at 480×640, its scans not counted; and counting runs no scan."""
    budget = measure_budget(create_model("sigma_tiny", 9), (480, 640))
    assert round(budget.macs / 1e9, 2) == 88.33
    assert budget.parameters == 48_287_360


def test_both_streams_share_one_encoder() -> None:
    model = narrow().eval()
    image = torch.rand(2, 3, 32, 48)
    streams = model.encoder(torch.cat((image, image)), model.recomputed)
    for both in streams:
        torch.testing.assert_close(*both.chunk(2))


def test_a_map_turned_by_a_half_swaps_the_directions() -> None:
    """There and back are each other's mirror: with their weights swapped, a map turned by 180° comes out turned; with
    rows and columns swapped, a transposed map comes out transposed."""
    torch.manual_seed(0)
    block = SS2D(8, 4).double()
    x = torch.randn(1, 5, 7, 8, dtype=torch.float64)
    for order, move, kernel in (
        ((2, 3, 0, 1), lambda m: m.flip(1, 2), lambda w: w.flip(2, 3)),
        ((1, 0, 3, 2), lambda m: m.transpose(1, 2), lambda w: w.transpose(2, 3)),
    ):
        moved = SS2D(8, 4).double()
        moved.load_state_dict(block.state_dict())
        with torch.no_grad():
            moved.conv2d.weight.copy_(kernel(block.conv2d.weight))
            for name in ("x_proj_weight", "dt_projs_weight", "dt_projs_bias", "A_logs", "Ds"):
                parameter = getattr(block, name)
                by_direction = parameter.unflatten(0, (4, -1)) if name in ("A_logs", "Ds") else parameter
                getattr(moved, name).copy_(by_direction[list(order)].reshape(parameter.shape))
        torch.testing.assert_close(moved(move(x)), move(block(x)))


def test_the_cross_block_reads_by_the_other_stream() -> None:
    """A thermal map whose only trace in the scans is C changes the RGB stream, and its own step sizes do not."""
    torch.manual_seed(0)
    block = CrossMamba(8, 4).double()
    rgb, thermal = (torch.randn(1, 4, 6, 8, dtype=torch.float64) for _ in range(2))
    before = block(rgb, thermal)[0]
    with torch.no_grad():
        block.scan.dt_proj_2.weight.mul_(3)
        block.scan.x_proj_2.weight[:5].mul_(3)  # step and B
    torch.testing.assert_close(block(rgb, thermal)[0], before, rtol=0, atol=0)
    with torch.no_grad():
        block.scan.x_proj_2.weight[5:].mul_(3)  # C
    assert (block(rgb, thermal)[0] - before).abs().max() > 1e-3


def test_the_concat_block_crosses_its_gates() -> None:
    """With the thermal half of the last projection at zero, RGB's channels are gated by the thermal stream alone."""
    torch.manual_seed(0)
    block = ConcatMamba(8, 4).double()
    rgb, thermal = (torch.randn(1, 4, 6, 8, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        block.out_proj.weight[:, 16:] = 0
    before = block(rgb, thermal)
    with torch.no_grad():
        block.fc1[0].weight.mul_(5)  # RGB's own
    torch.testing.assert_close(block(rgb, thermal), before, rtol=0, atol=0)
    with torch.no_grad():
        block.fc2[0].weight.mul_(5)
    assert (block(rgb, thermal) - before).abs().max() > 1e-3


def test_merging_pads_an_odd_side_at_its_end() -> None:
    merging = PatchMerging(2)
    merging.norm, merging.reduction = torch.nn.Identity(), torch.nn.Identity()
    x = torch.arange(1.0, 31).view(1, 3, 5, 2)
    merged = merging(x)
    assert merged.shape == (1, 2, 3, 8)
    assert merged[0, 0, 0].tolist() == [*x[0, 0, 0], *x[0, 1, 0], *x[0, 0, 1], *x[0, 1, 1]]
    assert merged[0, 1, 2].tolist() == [*x[0, 2, 4], *[0.0] * 6]


def test_drop_paths_rise_over_all_blocks() -> None:
    """To 0.2 in the encoder of tiny; from 0 in the decoder's finest layer to 0.1, of which no layer has the last
    quarter."""
    model = create_model("sigma_tiny", 9)
    encoder = [block.drop_path.drop_prob for blocks in model.encoder.stages for block in blocks]
    assert encoder == pytest.approx([0.2 * n / 14 for n in range(15)])
    decoder = [block.drop_path.drop_prob for layer in model.decoder.layers[1:] for block in layer.blocks]
    assert decoder == pytest.approx([0.1 * n / 15 for n in (8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3)])


def test_all_norms_have_one_eps() -> None:
    norms = [module for module in create_model("sigma_tiny", 9).modules() if isinstance(module, torch.nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {1e-5}


def test_first_step_sizes_and_decays() -> None:
    torch.manual_seed(0)
    block = SS2D(64, 16)
    steps = F.softplus(block.dt_projs_bias)
    assert 1e-3 * 0.999 < steps.min() < 1.2e-3
    assert 0.08 < steps.max() < 0.1 * 1.001
    assert steps.log().mean().item() == pytest.approx(math.log(1e-2), abs=0.2)
    torch.testing.assert_close(block.A_logs.exp(), torch.arange(1.0, 17).expand(512, 16))


def test_gradients_are_those_of_the_sequential_scan() -> None:
    """Through the whole network, in float64."""
    model = narrow().double()
    rgb, thermal = (x.double() for x in images(1, (32, 48)))
    found = []
    for implementation in ("sequential", "blocked"):
        model.zero_grad()
        with use_implementation(implementation):
            torch.manual_seed(1)
            model.train()(rgb, thermal).logits.square().mean().backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-8, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


def test_autocast_scans_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    from cimnet.ops import blocked_scan

    seen: list[Tensor] = []
    original = blocked_scan.scan
    monkeypatch.setattr(blocked_scan, "scan", lambda *inputs: (seen.extend(inputs), original(*inputs))[1])
    with torch.autocast("cpu", torch.bfloat16):
        narrow().eval()(*images(1, (32, 32)))
    assert {x.dtype for x in seen} == {torch.float32}


def test_vmambas_weights_come_into_the_encoder() -> None:
    """The names are those of its files; the norms of the stages' results keep what they are."""
    model, source = narrow(), narrow()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.uniform_()
    norms = {name: value.clone() for name, value in model.encoder.norms.state_dict().items()}
    state: dict[str, Tensor] = {"head.weight": torch.ones(3), "norm.weight": torch.ones(3)}
    for name, value in source.encoder.state_dict().items():
        if not name.startswith("norms."):
            state[_vmamba_name(name)] = value
    model.load_vmamba(state)
    given = source.encoder.state_dict()
    for name, value in model.encoder.state_dict().items():
        expected = norms[name.removeprefix("norms.")] if name.startswith("norms.") else given[name]
        assert torch.equal(value, expected), name


def _vmamba_name(name: str) -> str:
    from cimnet.models.zoo.official_names import to_official

    return to_official(name, VMAMBA)


@pytest.mark.parametrize("fault", ["missing", "shape", "other"])
def test_other_weights_are_refused(fault: str) -> None:
    model = narrow()
    own = model.encoder.state_dict().items()
    state = {_vmamba_name(name): value.clone() for name, value in own if not name.startswith("norms.")}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    name = "layers.1.blocks.0.self_attention.in_proj.weight"
    if fault == "missing":
        del state[name]
    elif fault == "shape":
        state[name] = state[name][:-1]
    else:
        state["layers.0.blocks.7.ln_1.weight"] = torch.ones(8)
    with pytest.raises(ConfigError, match=r"not the ImageNet weights of this encoder: .*\(1 of"):
        model.load_vmamba(state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_cannot_be_had_or_set_is_said() -> None:
    with pytest.raises(ConfigError, match=r"pretrained=false.*load_vmamba"):
        create_model("sigma_tiny", 9, pretrained=True)
    for option in ({"widths": (1, 2, 3, 4)}, {"width": 8}, {"decoder_channels": 8}):
        with pytest.raises(ConfigError, match="cannot be built"):
            create_model("sigma_tiny", 9, **option)
    with pytest.raises(ValueError, match="at least 8"):
        Sigma(9, width=4)
