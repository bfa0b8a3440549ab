"""FFM: parameter count, cross-attention over channels, linear cost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cimnet.models.ffm import FFM, ChannelEmbedding, CrossAttention


@pytest.mark.parametrize(("channels", "heads"), [(32, 1), (64, 1), (64, 2), (128, 2), (320, 5), (512, 8)])
def test_parameter_count(channels: int, heads: int) -> None:
    with torch.device("meta"):
        module = FFM(channels, heads)
    assert sum(p.numel() for p in module.parameters()) == 17 * channels**2 + 26 * channels


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 4)])
def test_shape(size: tuple[int, int]) -> None:
    out = FFM(16, 2).eval()(torch.randn(2, 16, *size), torch.randn(2, 16, *size))
    assert out.shape == (2, 16, *size)


def _by_loops(rgb: Tensor, key_value: nn.Linear, asked: Tensor, heads: int) -> Tensor:
    """One stream reads the context of the other, written per image and head."""
    batch, _, channels = rgb.shape
    width = channels // heads
    out = torch.zeros_like(asked)
    for b in range(batch):
        key, value = key_value(rgb[b]).split(channels, dim=-1)
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            context = (key[:, part].T @ value[:, part] / width**0.5).softmax(dim=0)
            out[b, :, part] = asked[b, :, part] @ context
    return out


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_cross_attention_equals_loops(heads: int) -> None:
    attention = CrossAttention(8, heads).double()
    rgb, thermal = torch.randn(2, 11, 8, dtype=torch.float64), torch.randn(2, 11, 8, dtype=torch.float64)
    read_rgb, read_thermal = attention(rgb, thermal)
    torch.testing.assert_close(read_rgb, _by_loops(thermal, attention.key_value_thermal, rgb, heads))
    torch.testing.assert_close(read_thermal, _by_loops(rgb, attention.key_value_rgb, thermal, heads))


def test_rgb_reads_the_context_of_thermal_not_its_own() -> None:
    attention = CrossAttention(8, 2)
    rgb, thermal = torch.randn(1, 6, 8), torch.randn(1, 6, 8)
    read_rgb, _ = attention(rgb, thermal)
    assert (attention(rgb, thermal + torch.randn_like(thermal))[0] - read_rgb).abs().max() > 1e-4
    nn.init.normal_(attention.key_value_rgb.weight)  # its own context does not matter to RGB
    torch.testing.assert_close(attention(rgb, thermal)[0], read_rgb, rtol=0, atol=0)


def test_both_streams_reach_the_result() -> None:
    module = FFM(8, 2).eval()
    rgb, thermal = torch.randn(1, 8, 4, 5), torch.randn(1, 8, 4, 5)
    out = module(rgb, thermal)
    for changed in (module(rgb + 1, thermal), module(rgb, thermal.roll(1, dims=1))):
        assert (changed - out).abs().max() > 1e-3


def test_context_reaches_across_the_map() -> None:
    """A change of thermal in one corner changes the result in the other, beyond any 3×3 kernel."""
    module = FFM(8, 2).eval()
    rgb, thermal = torch.randn(1, 8, 12, 12), torch.randn(1, 8, 12, 12)
    out = module(rgb, thermal)
    thermal[:, :, 0, 0] += 20
    assert (module(rgb, thermal) - out)[:, :, -1, -1].abs().max() > 1e-5


def test_memory_is_linear_in_positions() -> None:
    """No tensor of positions × positions: 128×128 positions would need 1 GiB for one."""
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                largest = max(largest, out.numel())
            return out

    with torch.no_grad(), Watch():
        FFM(8, 2).eval()(torch.randn(1, 8, 128, 128), torch.randn(1, 8, 128, 128))
    assert largest <= 4 * 8 * 128 * 128


def test_embedding_is_skip_plus_mix_normalised() -> None:
    module = ChannelEmbedding(4).eval()
    nn.init.uniform_(module.norm.weight)
    x = torch.randn(2, 8, 5, 6)
    torch.testing.assert_close(module(x), module.norm(module.skip(x) + module.mix(x)))
    kinds = [type(m).__name__ for m in module.mix]
    assert kinds == ["Conv2d", "Conv2d", "ReLU", "Conv2d", "BatchNorm2d"]
    assert module.mix[1].groups == 4
    assert module.mix[1].kernel_size == (3, 3)


def test_channels_must_fit_the_heads() -> None:
    with pytest.raises(ValueError, match="heads"):
        FFM(17, 2)
