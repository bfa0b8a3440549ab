"""FFM: parameter count, a reference of the whole, cross-attention over channels, linear cost, half precision."""

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


def _reference(module: FFM, rgb: Tensor, thermal: Tensor) -> Tensor:
    """The whole module, written from its layers; only those of torch itself are called."""
    attention, embed = module.attention, module.embed
    sequence_rgb, sequence_thermal = rgb.flatten(2).mT, thermal.flatten(2).mT
    keep_rgb, ask_rgb = module.project_rgb(sequence_rgb).relu().tensor_split(2, dim=-1)
    keep_thermal, ask_thermal = module.project_thermal(sequence_thermal).relu().tensor_split(2, dim=-1)
    read_rgb = _by_loops(ask_thermal, attention.key_value_thermal, ask_rgb, attention.heads)
    read_thermal = _by_loops(ask_rgb, attention.key_value_rgb, ask_thermal, attention.heads)
    merged_rgb = module.merge_rgb(torch.cat((keep_rgb, read_rgb), dim=-1))
    merged_thermal = module.merge_thermal(torch.cat((keep_thermal, read_thermal), dim=-1))
    done_rgb = module.norm_rgb(sequence_rgb + merged_rgb).mT.unflatten(2, rgb.shape[-2:])
    done_thermal = module.norm_thermal(sequence_thermal + merged_thermal).mT.unflatten(2, rgb.shape[-2:])
    both = torch.cat((done_rgb, done_thermal), dim=1)
    first, depthwise, _, last, norm = embed.mix
    return embed.norm(embed.skip(both) + norm(last(depthwise(first(both)).relu())))


@pytest.mark.parametrize("heads", [1, 2])
def test_equals_the_reference(heads: int) -> None:
    module = FFM(8, heads).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    for norm in (module.embed.mix[-1], module.embed.norm):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    rgb, thermal = (torch.randn(2, 8, 3, 5, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close(module(rgb, thermal), _reference(module, rgb, thermal), rtol=0, atol=1e-10)


@pytest.mark.parametrize("std", [6, 24])
def test_large_maps_in_float16(std: float) -> None:
    """A context sums over all 20480 positions: above float16 at 6, and at 24 even when scaled first."""
    module = FFM(64, 1).eval()
    rgb, thermal = std * torch.randn(1, 64, 128, 160), std * torch.randn(1, 64, 128, 160)
    with torch.no_grad():
        expected = module(rgb, thermal)
        with torch.autocast("cpu", torch.float16):
            out = module(rgb, thermal)
    assert out.isfinite().all()
    assert (out.float() - expected).abs().max() < 0.1 * expected.std()


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
