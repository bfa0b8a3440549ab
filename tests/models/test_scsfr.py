"""SCSFR (eq. 11–23) against a reference written from the equations, and against misreadings."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

from cimnet.models.scsfr import SCSFR, OffsetUpdate, SCSFROutput, halve_offset

C, SIZE = 4, (5, 7)


class Inputs(NamedTuple):
    rgb: Tensor
    thermal: Tensor
    previous: Tensor


def _module(offset_update: OffsetUpdate = "replace", modulation: bool = False) -> SCSFR:
    """With offsets, weights and scales all different from their start, so that every term counts."""
    module = SCSFR(C, offset_update=offset_update, modulation=modulation).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    nn.init.constant_(module.spatial.scale, 0.7)
    nn.init.constant_(module.channel.scale, 0.3)
    return module


def _inputs() -> Inputs:
    rgb, thermal = (torch.randn(2, C, *SIZE, dtype=torch.float64) for _ in range(2))
    return Inputs(rgb, thermal, 1.5 * torch.randn(2, 18, *SIZE, dtype=torch.float64))


def _conv1x1(x: Tensor, conv: nn.Module) -> Tensor:
    weight, bias = conv.weight, conv.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return torch.einsum("oc,bchw->bohw", weight[:, :, 0, 0], x) + bias.view(1, -1, 1, 1)


def _reference(module: SCSFR, inputs: Inputs, variant: str = "paper") -> SCSFROutput:
    """Eq. 11–23. ``variant`` names a misreading, for the tests to tell from the paper's reading."""
    rgb, thermal, previous = inputs
    s, c = module.spatial, module.channel
    fused = _conv1x1(torch.cat((rgb, thermal), 1), s.reduce)  # 11
    at = torch.zeros_like(previous) if variant == "plain offset convolution" else previous
    offset = torchvision_deform_conv2d(fused, at, s.offset_conv.weight, s.offset_conv.bias, padding=1)  # 13
    if s.offset_update == "residual":
        offset = previous + offset
    mask = None if s.modulation is None else s.modulation(fused).sigmoid()
    sampled_at = previous if variant == "aligned with the previous offsets" else offset
    aligned = torchvision_deform_conv2d(fused, sampled_at, s.align.weight, s.align.bias, padding=1, mask=mask)
    weights = _conv1x1(_conv1x1(aligned, s.weights[0]).relu(), s.weights[2]).sigmoid()  # 14
    w_r, w_t = weights[:, :1], weights[:, 1:]
    if variant == "own spatial weights":
        w_r, w_t = w_t, w_r
    scale = s.scale
    spatial_rgb, spatial_thermal = rgb + scale * w_t * thermal, thermal + scale * w_r * rgb  # 15–18
    look_rgb, look_thermal = (rgb, thermal) if variant == "parallel" else (spatial_rgb, spatial_thermal)
    pooled = torch.cat(
        [f(x) for x in (look_rgb, look_thermal) for f in (lambda t: t.amax((2, 3)), lambda t: t.mean((2, 3)))],
        1,
    )
    hidden = (pooled @ c.mlp[0].weight.T + c.mlp[0].bias).relu()
    weights = (hidden @ c.mlp[2].weight.T + c.mlp[2].bias).sigmoid()[..., None, None]  # 19
    w_r, w_t = weights[:, :C], weights[:, C:]
    if variant == "own channel weights":
        w_r, w_t = w_t, w_r
    if variant == "parallel":
        spatial_rgb, spatial_thermal = (
            spatial_rgb + c.scale * w_t * thermal,
            spatial_thermal + c.scale * w_r * rgb,
        )
        return SCSFROutput(spatial_rgb, spatial_thermal, offset)
    return SCSFROutput(  # 20–23
        spatial_rgb + c.scale * w_t * spatial_thermal, spatial_thermal + c.scale * w_r * spatial_rgb, offset
    )


@pytest.mark.parametrize("offset_update", ["replace", "residual"])
@pytest.mark.parametrize("modulation", [False, True], ids=["plain", "modulated"])
def test_equals_the_equations(offset_update: OffsetUpdate, modulation: bool) -> None:
    module, inputs = _module(offset_update, modulation), _inputs()
    ours, expected = module(*inputs), _reference(module, inputs)
    for name in SCSFROutput._fields:
        torch.testing.assert_close(getattr(ours, name), getattr(expected, name), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "variant",
    [
        "parallel",
        "own spatial weights",
        "own channel weights",
        "plain offset convolution",
        "aligned with the previous offsets",
    ],
)
def test_differs_from_a_misreading(variant: str) -> None:
    """Shows that the comparison above can tell the paper's reading from the nearest wrong ones."""
    module, inputs = _module(), _inputs()
    ours, wrong = module(*inputs), _reference(module, inputs, variant)
    assert (ours.rgb - wrong.rgb).abs().max() > 1e-3
    assert (ours.thermal - wrong.thermal).abs().max() > 1e-3


def test_channel_step_sees_the_result_of_the_spatial_step() -> None:
    module, inputs = _module(), _inputs()
    seen: dict[str, tuple[Tensor, ...]] = {}
    module.channel.register_forward_pre_hook(lambda _, args: seen.update(channel=args))
    module.spatial.register_forward_hook(lambda _m, _a, out: seen.update(spatial=tuple(out)))
    module(*inputs)
    for given, made, own in zip(seen["channel"], seen["spatial"], inputs, strict=False):
        torch.testing.assert_close(given, made, rtol=0, atol=0)
        assert not torch.equal(given, own)


def test_spatial_exchange_is_crossed() -> None:
    """w_R near 0 and w_T near 1: RGB receives thermal (eq. 15, 17), thermal receives nothing (eq. 16, 18)."""
    module, inputs = _module(), _inputs()
    nn.init.zeros_(module.spatial.weights[2].weight)
    with torch.no_grad():
        module.spatial.weights[2].bias.copy_(torch.tensor([-60.0, 60.0]))
    rgb, thermal, _ = module.spatial(*inputs)
    torch.testing.assert_close(rgb, inputs.rgb + 0.7 * inputs.thermal)
    torch.testing.assert_close(thermal, inputs.thermal)


def test_channel_exchange_is_crossed() -> None:
    module, inputs = _module(), _inputs()
    nn.init.zeros_(module.channel.mlp[2].weight)
    with torch.no_grad():
        module.channel.mlp[2].bias.copy_(torch.tensor([60.0] * C + [-60.0] * C))
    rgb, thermal = module.channel(inputs.rgb, inputs.thermal)
    torch.testing.assert_close(rgb, inputs.rgb)
    torch.testing.assert_close(thermal, inputs.thermal + 0.3 * inputs.rgb)


def test_spatial_weights_are_one_map_a_stream_and_channel_weights_one_number_a_channel() -> None:
    module, (rgb, thermal, previous) = _module(), _inputs()
    ratio = ((module.spatial(rgb, thermal, previous).rgb - rgb) / thermal).detach()
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    assert ratio.std(dim=(2, 3)).min() > 1e-3
    ratio = ((module.channel(rgb, thermal)[0] - rgb) / thermal).detach()
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    assert ratio.std(dim=1).min() > 1e-3


def test_scales_start_at_a_half_and_learn() -> None:
    module = SCSFR(C)
    rgb, thermal, previous = (x.float() for x in _inputs())
    out = module(rgb, thermal, previous)
    out.rgb.square().mean().backward()
    for part in (module.spatial, module.channel):
        assert isinstance(part.scale, nn.Parameter)
        assert part.scale.item() == 0.5
        assert part.scale.grad is not None
        assert part.scale.grad.abs() > 0
    assert module.spatial.scale is not module.channel.scale


def test_fresh_module_replaces_offsets_by_zero() -> None:
    offset = SCSFR(C).double()(*_inputs()).offset
    assert offset.abs().max() == 0


def test_fresh_residual_module_keeps_the_previous_offsets() -> None:
    inputs = _inputs()
    offset = SCSFR(C, offset_update="residual").double()(*inputs).offset
    torch.testing.assert_close(offset, inputs.previous, rtol=0, atol=0)


def test_modulation_adds_one_mask_value_a_tap() -> None:
    module, inputs = _module(modulation=True), _inputs()
    assert module.spatial.modulation is not None
    assert module.spatial.modulation.out_channels == 9
    assert _module().spatial.modulation is None
    out = module(*inputs)
    assert (out.rgb - _reference(_without_mask(module), inputs).rgb).abs().max() > 1e-3


def _without_mask(module: SCSFR) -> SCSFR:
    plain = SCSFR(C).double()
    plain.load_state_dict({k: v for k, v in module.state_dict().items() if "modulation" not in k})
    return plain


@pytest.mark.parametrize("offset_update", ["replace", "residual"])
def test_gradient_reaches_every_parameter_and_input(offset_update: OffsetUpdate) -> None:
    module = _module(offset_update, modulation=True)
    inputs = Inputs(*(x.requires_grad_() for x in _inputs()))
    out = module(*inputs)
    (out.rgb.square().sum() + out.thermal.sum()).backward()
    for name, tensor in (*module.named_parameters(), *inputs._asdict().items()):
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 0, name


def test_halving_halves_the_map_and_the_values() -> None:
    """8 pixels of one map are 4 of a map half as large."""
    offset = torch.full((1, 18, 8, 12), 8.0)
    halved = halve_offset(offset, (4, 6))
    torch.testing.assert_close(halved, torch.full((1, 18, 4, 6), 4.0))


def test_halving_averages_neighbours_in_place() -> None:
    offset = torch.randn(2, 18, 8, 12)
    torch.testing.assert_close(halve_offset(offset, (4, 6)), 0.5 * F.avg_pool2d(offset, 2))
    ramp = torch.arange(8.0).view(1, 1, 8, 1).expand(1, 18, 8, 12)
    torch.testing.assert_close(halve_offset(ramp, (4, 6))[0, 0, :, 0], torch.tensor([0.25, 1.25, 2.25, 3.25]))


def test_wrong_offset_shape_is_named() -> None:
    rgb, thermal, previous = _inputs()
    with pytest.raises(ValueError, match="offset has shape"):
        SCSFR(C).double()(rgb, thermal, previous[:, :9])
