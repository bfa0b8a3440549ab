"""MLP decoder: four maps in, logits at a quarter of the input's size out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.models.decoder import MLPDecoder

CHANNELS = (8, 16, 20, 32)


def _maps() -> list[Tensor]:
    return [torch.randn(2, c, 16 // 2**n, 24 // 2**n) for n, c in enumerate(CHANNELS)]


def test_shape() -> None:
    assert MLPDecoder(CHANNELS, 12, 5).eval()(_maps()).shape == (2, 5, 16, 24)


HEADS = ({}, {"mix_bias": True, "deepest_first": True, "eps": 1e-3})
SIZES = ((16, 24), (15, 23), (1, 1))


def _at_sizes(size: tuple[int, int], dtype: torch.dtype) -> list[Tensor]:
    """Four maps, each half of the last, rounded up."""
    return [torch.randn(2, c, -(-size[0] // 2**n), -(-size[1] // 2**n), dtype=dtype) for n, c in enumerate(CHANNELS)]


def _layer_by_layer(decoder: MLPDecoder, maps: list[Tensor]) -> Tensor:
    """As SegFormer's text describes it: linear layers on tokens, upsampling, concatenation, mix, classes."""
    projected = []
    for layer, x in zip(decoder.project, maps, strict=True):
        linear = F.linear(x.permute(0, 2, 3, 1), layer.weight[:, :, 0, 0], layer.bias).permute(0, 3, 1, 2)
        projected.append(F.interpolate(linear, maps[0].shape[-2:], mode="bilinear", align_corners=False))
    mixed = decoder.mix(torch.cat(projected[::-1] if decoder.deepest_first else projected, dim=1))
    assert mixed.min() >= 0  # BN, then ReLU
    return decoder.classify(mixed)


@pytest.mark.parametrize("options", HEADS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_equals_the_layers_one_by_one(
    options: dict[str, Any], size: tuple[int, int], dtype: torch.dtype, bound: float
) -> None:
    decoder = MLPDecoder(CHANNELS, 12, 5, **options).to(dtype).eval()
    decoder.mix[1].running_mean.normal_()
    maps = _at_sizes(size, dtype)
    found, wanted = decoder(maps), _layer_by_layer(decoder, maps)
    assert (found - wanted).abs().max() <= bound
    decoder.as_published = True
    assert (decoder(maps) - wanted).abs().max() <= bound


@pytest.mark.parametrize("options", HEADS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_gradients_equal_those_of_the_layers_one_by_one(
    options: dict[str, Any], dtype: torch.dtype, bound: float
) -> None:
    """Of every weight and every map, with batch statistics."""
    decoder = MLPDecoder(CHANNELS, 12, 5, dropout=0.0, **options).to(dtype).train()
    maps = [x.requires_grad_() for x in _at_sizes((15, 23), dtype)]
    along = torch.randn(2, 5, 15, 23, dtype=dtype) / 690
    inputs = [*decoder.parameters(), *maps]
    found = torch.autograd.grad((decoder(maps) * along).sum(), inputs)
    wanted = torch.autograd.grad((_layer_by_layer(decoder, maps) * along).sum(), inputs)
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).abs().max() <= bound


def test_training_keeps_no_map_of_all_scales_at_once() -> None:
    """The backward pass needs what goes into the products and the normalisation, not four upsampled maps."""
    decoder, maps = MLPDecoder(CHANNELS, 32, 5).train(), _maps()

    def kept() -> int:
        storages: dict[int, int] = {}
        alive: list[Tensor] = []

        def pack(tensor: Tensor) -> Tensor:
            alive.append(tensor)
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            decoder(maps)
        return sum(storages.values())

    fewer = kept()
    decoder.as_published = True
    at_full_size = 2 * 32 * 16 * 24 * 4
    assert kept() - fewer > 3 * at_full_size


def test_weights_that_change_are_seen() -> None:
    decoder, maps = MLPDecoder(CHANNELS, 12, 5).eval(), _maps()
    with torch.no_grad():
        decoder(maps)
        decoder.project[2].weight.mul_(2)
        torch.testing.assert_close(decoder(maps), _layer_by_layer(decoder, maps))


def test_state_has_the_published_layers() -> None:
    wanted = {f"project.{n}.{kind}" for n in range(4) for kind in ("weight", "bias")} | {"mix.0.weight"}
    wanted |= {f"mix.1.{kind}" for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
    wanted |= {"classify.weight", "classify.bias"}
    assert set(MLPDecoder(CHANNELS, 12, 5).state_dict()) == wanted
    assert set(MLPDecoder(CHANNELS, 12, 5, mix_bias=True).state_dict()) == wanted | {"mix.0.bias"}


def test_dropout_only_in_training() -> None:
    decoder, maps = MLPDecoder(CHANNELS, 12, 5, dropout=0.5), _maps()
    assert not torch.equal(decoder(maps), decoder(maps))
    decoder.eval()
    torch.testing.assert_close(decoder(maps), decoder(maps), rtol=0, atol=0)


def test_every_map_counts() -> None:
    decoder, maps = MLPDecoder(CHANNELS, 12, 5).eval(), _maps()
    out = decoder(maps)
    for n in range(4):
        changed = [x + 1 if i == n else x for i, x in enumerate(maps)]
        assert (decoder(changed) - out).abs().max() > 1e-4


def test_parameters_at_the_papers_widths() -> None:
    with torch.device("meta"):
        decoder = MLPDecoder((64, 128, 320, 512), 512, 9)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in decoder.named_children()}
    assert count["project"] == 1024 * 512 + 4 * 512
    assert count["mix"] == 2048 * 512 + 2 * 512
    assert count["classify"] == 9 * 512 + 9
