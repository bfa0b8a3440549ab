"""CIPA (eq. 1–10): attention per modality, first offsets, and when the head runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cimnet.models.cipa import CIPA, ChannelAttention


def _maps(channels: int = 8, size: tuple[int, int] = (6, 10)) -> tuple[Tensor, Tensor]:
    return torch.randn(2, channels, *size), torch.randn(2, channels, *size)


@pytest.mark.parametrize(("channels", "kernel"), [(32, 3), (64, 3), (128, 5), (256, 5), (320, 5), (512, 5)])
def test_attention_kernel_follows_eca(channels: int, kernel: int) -> None:
    convolutions = [m for m in ChannelAttention(channels).modules() if isinstance(m, nn.Conv1d)]
    assert [m.kernel_size for m in convolutions] == [(kernel,)]
    assert sum(p.numel() for p in ChannelAttention(channels).parameters()) == kernel


def test_attention_multiplies_the_features_by_channel_weights() -> None:
    """Reference with the 1-D convolution across channels written out as a sum."""
    attention = ChannelAttention(64)
    x = torch.randn(2, 64, 5, 7)
    kernel = attention.mix.weight.flatten()
    pooled = nn.functional.pad(x.mean((2, 3)), (1, 1))
    mixed = kernel[0] * pooled[:, :-2] + kernel[1] * pooled[:, 1:-1] + kernel[2] * pooled[:, 2:]
    torch.testing.assert_close(attention(x), x * mixed.sigmoid()[:, :, None, None])


def test_attention_is_per_modality() -> None:
    cipa = CIPA(8).eval()
    rgb, thermal = _maps()
    plain = cipa(rgb, thermal)
    torch.testing.assert_close(plain.rgb, cipa.attention_rgb(rgb), rtol=0, atol=0)
    torch.testing.assert_close(plain.thermal, cipa.attention_thermal(thermal), rtol=0, atol=0)
    other = cipa(rgb, thermal + 3)
    torch.testing.assert_close(other.rgb, plain.rgb, rtol=0, atol=0)
    shared = {id(p) for p in cipa.attention_rgb.parameters()} & {id(p) for p in cipa.attention_thermal.parameters()}
    assert not shared
    assert not torch.equal(cipa.attention_rgb.mix.weight, cipa.attention_thermal.mix.weight)


def test_the_heads_presence_does_not_change_the_features() -> None:
    """F' is F itself: the constraint works through its gradient alone."""
    cipa = CIPA(8)
    rgb, thermal = _maps()
    training, evaluating = cipa(rgb, thermal), cipa.eval()(rgb, thermal)
    for name in ("rgb", "thermal", "offset"):
        torch.testing.assert_close(getattr(training, name), getattr(evaluating, name), rtol=0, atol=0)


def test_offsets_start_at_zero_with_two_numbers_a_tap() -> None:
    rgb, thermal = _maps()
    offset = CIPA(8)(rgb, thermal).offset
    assert offset.shape == (2, 18, 6, 10)
    assert offset.abs().max() == 0


def test_offsets_come_from_both_amplified_streams() -> None:
    """Eq. (10): two 1×1 convolutions with a ReLU between, on F''_R beside F''_T."""
    cipa = CIPA(8).eval()
    rgb, thermal = _maps()
    first, last = (m for m in cipa.offset if isinstance(m, nn.Conv2d))
    nn.init.normal_(last.weight)
    out = cipa(rgb, thermal)
    both = torch.cat((out.rgb, out.thermal), dim=1)
    hidden = torch.einsum("oc,bchw->bohw", first.weight[:, :, 0, 0], both) + first.bias.view(1, -1, 1, 1)
    expected = torch.einsum("oc,bchw->bohw", last.weight[:, :, 0, 0], hidden.relu())
    torch.testing.assert_close(out.offset, expected, rtol=1e-4, atol=1e-5)


def test_the_last_offset_layer_learns_from_the_first_step() -> None:
    cipa = CIPA(8)
    target = torch.randn(2, 18, 6, 10)
    (cipa(*_maps()).offset * target).sum().backward()
    last = cipa.offset[-1]
    assert last.weight.grad.abs().max() > 0


@pytest.mark.parametrize("mode", ["adversarial", "cooperative"])
def test_the_head_never_runs_in_eval(mode: str) -> None:
    cipa = CIPA(8, mutual_information=mode)
    calls: list[int] = []
    cipa.mi_head.register_forward_hook(lambda *_: calls.append(1))
    estimate = cipa(*_maps()).mutual_information
    assert calls == [1]
    assert estimate.shape == ()
    assert cipa.eval()(*_maps()).mutual_information is None
    assert calls == [1]


@pytest.mark.parametrize("mode", ["adversarial", "cooperative"])
def test_the_head_sees_the_maps_before_attention(mode: str) -> None:
    """Eq. (1) measures what the streams share as they come, RGB by the head's first half, thermal by its second."""
    cipa = CIPA(8, mutual_information=mode)
    seen: list[Tensor] = []
    cipa.mi_head.register_forward_pre_hook(lambda _module, args: seen.extend(args))
    maps = _maps()
    cipa(*maps)
    for given, own in zip(seen[:2], maps, strict=True):
        torch.testing.assert_close(given, own, rtol=0, atol=0)


def test_without_a_head() -> None:
    cipa = CIPA(8, mutual_information=None)
    assert cipa(*_maps()).mutual_information is None
    assert not [name for name, _ in cipa.named_parameters() if "mi_head" in name]
