"""MLP decoder: four maps in, logits at a quarter of the input's size out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.models.decoder import MLPDecoder

CHANNELS = (8, 16, 20, 32)


def _maps() -> list[Tensor]:
    return [torch.randn(2, c, 16 // 2**n, 24 // 2**n) for n, c in enumerate(CHANNELS)]


def test_shape() -> None:
    assert MLPDecoder(CHANNELS, 12, 5).eval()(_maps()).shape == (2, 5, 16, 24)


def test_equals_linear_layers_upsampled_and_mixed() -> None:
    decoder, maps = MLPDecoder(CHANNELS, 12, 5).eval(), _maps()
    projected = []
    for layer, x in zip(decoder.project, maps, strict=True):
        linear = F.linear(x.permute(0, 2, 3, 1), layer.weight[:, :, 0, 0], layer.bias).permute(0, 3, 1, 2)
        projected.append(F.interpolate(linear, (16, 24), mode="bilinear", align_corners=False))
    mixed = decoder.mix(torch.cat(projected, dim=1))
    torch.testing.assert_close(decoder(maps), decoder.classify(mixed))
    assert mixed.min() >= 0  # BN, then ReLU


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
