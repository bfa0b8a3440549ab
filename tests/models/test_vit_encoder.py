"""Plain vision transformers, Swin and Hiera as encoders of four stages, each as timm's own network computes it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.checkpoint import ModelInfo, load_checkpoint, save_checkpoint
from cimnet.errors import ConfigError
from cimnet.models import create_model
from cimnet.models.encoder import create_encoder
from cimnet.models.positions import resample_positions
from cimnet.models.staged_encoder import StagedEncoder, TokenGrid
from cimnet.models.token_pyramid import PyramidLevel, TokenWriteBack
from cimnet.models.vit_encoder import to_grid, to_sequence
from tests.fakes.small_timm import small_networks

from .tester import SMALL, ModelTester, TwoStreamTester, images

if not timm.is_model("vit_small_patch16_dinov3"):
    pytest.skip("this timm has no DINOv3", allow_module_level=True)

PLAIN = (
    "test_vit",
    "vit_small_patch14_dinov2.lvd142m",
    "vit_small_patch14_reg4_dinov2.lvd142m",
    "vit_small_patch16_dinov3.lvd1689m",
    "vit_large_patch16_dinov3.sat493m",
    "eva02_tiny_patch14_224",
    "vit_base_patch8_224",
    "vit_base_patch32_clip_224",
    "deit3_small_patch16_224",
)
HIERARCHICAL = (
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "hiera_tiny_224",
    "hiera_small_abswin_256",
    "sam2_hiera_tiny",
)


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_networks():
        yield


def _same_weights(encoder: StagedEncoder, network: Any) -> None:
    """Give timm's own network the encoder's weights, by the order of blocks and the names inside them."""
    blocks = [block for stage in encoder.stages for block in stage.blocks]
    for block, theirs in zip(blocks, network.blocks, strict=True):
        theirs.load_state_dict(block.state_dict())
    stem = encoder.stages[0].embed.state_dict()
    assert {key for key in stem if not key.startswith(("patch_embed", "norm_pre"))} == {
        name for name in ("pos_embed", "cls_token", "reg_token") if getattr(network, name, None) is not None
    }
    assert not network.load_state_dict(stem, strict=False).unexpected_keys


def _randomize(encoder: StagedEncoder) -> None:
    """Also what starts at zero: class token, registers, scales of layers."""
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.2)


@pytest.mark.parametrize("name", PLAIN)
def test_stages_equal_the_whole_network(name: str) -> None:
    """The tokens after each quarter of the blocks are timm's own, class token and registers too."""
    encoder = create_encoder(name).eval()
    _randomize(encoder)
    network = timm.create_model(name, num_classes=0, dynamic_img_size=True).eval()
    _same_weights(encoder, network)
    assert encoder.tokens is not None
    patch, prefix = encoder.tokens
    image = torch.randn(2, 3, 96, 160)
    grid = tuple(round(side / patch) for side in image.shape[-2:])
    depth = len(network.blocks)
    with torch.inference_mode():
        ours = encoder(image)
        resized = F.interpolate(image, size=[patch * side for side in grid], mode="bilinear") if patch == 14 else image
        ends = [round(depth * quarter / 4) - 1 for quarter in range(1, 5)]
        theirs = network.forward_intermediates(resized, ends, return_prefix_tokens=True, intermediates_only=True)
    for mine, wanted in zip(ours, theirs, strict=True):
        expected, others = wanted if isinstance(wanted, tuple) else (wanted, None)
        assert mine.shape == (2, network.embed_dim, grid[0], grid[1] + prefix)
        torch.testing.assert_close(mine[..., : grid[1]], expected, rtol=1e-3, atol=1e-4)
        if others is not None and prefix:
            for row in range(grid[0]):
                torch.testing.assert_close(mine[:, :, row, grid[1] :], others.transpose(1, 2), rtol=1e-3, atol=1e-4)
    assert all((first - second).abs().max() > 1e-2 for first, second in pairwise(ours))


@pytest.mark.parametrize("name", HIERARCHICAL)
def test_hierarchical_stages_equal_the_whole_network(name: str) -> None:
    size = 256 if "256" in name else 224
    encoder = create_encoder(name).eval()
    _randomize(encoder)
    if name.startswith("swin"):
        network = timm.create_model(name, features_only=True, strict_img_size=False).eval()
    else:
        network = timm.create_model(name, num_classes=0).eval()
    own, theirs = encoder.state_dict(), network.state_dict()
    if name.startswith("swin"):
        assert [value.shape for value in own.values()] == [value.shape for value in theirs.values()]
        network.load_state_dict(dict(zip(theirs, own.values(), strict=True)))
    else:
        blocks = [block for stage in encoder.stages for block in (stage[1] if hasattr(stage, "1") else stage).blocks]
        for block, other in zip(blocks, network.blocks, strict=True):
            other.load_state_dict(block.state_dict())
        stem = {key.removeprefix("proj."): value for key, value in encoder.stages[0][0].state_dict().items()}
        named = {f"patch_embed.proj.{k}" if k in ("weight", "bias") else k: v for k, v in stem.items()}
        assert not network.load_state_dict(named, strict=False).unexpected_keys
    image = torch.randn(1, 3, size, size)
    with torch.inference_mode():
        expected = network(image) if name.startswith("swin") else network.forward_intermediates(image)[1]
        ours = encoder(image)
    for mine, wanted in zip(ours, expected, strict=True):
        wanted = wanted.permute(0, 3, 1, 2) if name.startswith("swin") else wanted
        torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", HIERARCHICAL)
@pytest.mark.parametrize("size", [(32, 32), (64, 96), (288, 320)])
def test_hierarchical_maps_at_any_size(name: str, size: tuple[int, int]) -> None:
    encoder = create_encoder(name).eval()
    with torch.inference_mode():
        maps = encoder(torch.randn(1, 3, *size))
    expected = [(1, c, size[0] // r, size[1] // r) for c, r in zip(encoder.channels, (4, 8, 16, 32), strict=True)]
    assert [tuple(x.shape) for x in maps] == expected


@pytest.mark.parametrize("size", [(7, 7), (5, 11), (16, 3), (1, 1)])
@pytest.mark.parametrize("old", [(7, 7), (4, 9)])
def test_positions_are_resampled_as_torch_does(old: tuple[int, int], size: tuple[int, int]) -> None:
    positions = torch.randn(1, 6, *old)
    expected = F.interpolate(positions, size=size, mode="bicubic", antialias=True, align_corners=False)
    torch.testing.assert_close(resample_positions(positions, *size), expected, rtol=1e-4, atol=1e-5)
    if old == size:
        torch.testing.assert_close(resample_positions(positions, *size), positions)


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_keep_their_places(prefix: int) -> None:
    sequence = torch.randn(2, prefix + 6, 4)
    grid = to_grid(sequence, prefix, 2, 3)
    assert grid.shape == (2, 4, 2, 3 + prefix)
    torch.testing.assert_close(grid[:, :, 1, 2], sequence[:, prefix + 5])
    torch.testing.assert_close(to_sequence(grid, prefix), sequence)


def test_a_stage_depends_on_its_input_alone() -> None:
    encoder = create_encoder("test_vit").eval()
    image, other = torch.randn(2, 1, 3, 64, 64)
    first = encoder.forward_stage(0, image)
    second = encoder.forward_stage(1, first)
    encoder(other)
    torch.testing.assert_close(encoder.forward_stage(1, first), second, rtol=0, atol=0)
    changed = first.clone()
    changed[..., -1] = torch.randn(1, 64, 1)  # the class token takes part
    assert (encoder.forward_stage(1, changed)[..., :-1] - second[..., :-1]).abs().max() > 1e-4


@pytest.mark.parametrize("patch", [8, 14, 16, 32])
@pytest.mark.parametrize("size", [(32, 32), (64, 96), (224, 512)])
@pytest.mark.parametrize("prefix", [0, 5])
def test_the_pyramid_has_the_strides_of_the_image(patch: int, size: tuple[int, int], prefix: int) -> None:
    tokens = TokenGrid(patch, prefix)
    grid = torch.randn(2, 8, *(round(side / patch) for side in size))
    x = torch.cat((grid, torch.full((2, 8, grid.shape[2], prefix), 1e6)), 3)
    for level, stride in enumerate((4, 8, 16, 32)):
        module = PyramidLevel(8, 12, level, tokens).eval()
        found = module(x)
        assert found.shape == (2, 12, size[0] // stride, size[1] // stride)
        torch.testing.assert_close(found, PyramidLevel.forward(module, torch.cat((grid, 0 * x[..., :prefix]), 3)))
        if level < 3:
            back = TokenWriteBack(8, 12, level, tokens)
            torch.testing.assert_close(back(x, found, found + 1), x, rtol=0, atol=0)
            nn.init.normal_(back.back.weight)
            written = back(x, found, found + 1) - x
            width = grid.shape[3]
            expected = back.back.weight.sum((1, 2, 3)).view(1, -1, 1, 1).expand_as(grid)
            torch.testing.assert_close(written[..., :width], expected, rtol=1e-4, atol=1e-4)
            assert not written[..., width:].any()


def test_the_change_is_averaged_over_the_patch() -> None:
    back = TokenWriteBack(4, 4, 0, TokenGrid(16, 1))
    nn.init.dirac_(back.back.weight)
    native, projected, change = torch.randn(1, 4, 2, 4), torch.randn(1, 4, 8, 12), torch.randn(1, 4, 8, 12)
    found = back(native, projected, projected + change)
    expected = native[0, :, 1, 2] + change[0, :, 4:8, 8:12].mean((1, 2))
    torch.testing.assert_close(found[0, :, 1, 2], expected)


class TestCIMNetViT(TwoStreamTester):
    family = "cimnet"
    encoder = "test_vit"
    number_of_offsets = 4


class TestRGBOnlyDINOv2(ModelTester):
    family = "rgb_only"
    encoder = "vit_small_patch14_reg4_dinov2.lvd142m"


@pytest.mark.slow
class TestCIMNetSwin(TwoStreamTester):
    family = "cimnet"
    encoder = "swin_tiny_patch4_window7_224"
    number_of_offsets = 4


@pytest.mark.parametrize("name", [*PLAIN[1:6], *HIERARCHICAL])
def test_every_kind_trains_in_cimnet_at_odd_sizes(name: str) -> None:
    model = create_model(f"cimnet_{name}", 3, **SMALL, decode_alone=True, exchange_dropout=0.5).train()
    rgb, thermal = images(2, (45, 75))
    thermal[1] = 0
    output = model(rgb, thermal)
    assert output.logits.shape == (2, 3, 45, 75)
    (output.logits.square().mean() + output.mutual_information).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert idle == []
    with torch.inference_mode():
        assert model.eval()(None, images(1, (33, 47))[1]).logits.isfinite().all()


@pytest.mark.parametrize("family", ["addition", "parallel_rectification", "early_fusion", "thermal_only"])
def test_every_family_takes_a_vision_transformer(family: str) -> None:
    model = create_model(f"{family}_test_vit", 3, **SMALL)
    model(*images(2, (33, 47))).logits.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_what_is_written_back_reaches_the_next_stage() -> None:
    """As much as the change of the tokens says: the second stage runs on the first one's tokens plus the change."""
    model = create_model("cimnet_test_vit", 3, **SMALL).eval()
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    model.encoder_rgb.stages[0].register_forward_hook(lambda _m, _a, out: outputs.append(out))
    model.encoder_rgb.stages[1].register_forward_pre_hook(lambda _m, args: inputs.append(args[0]))
    pair = images(1, (64, 64))
    with torch.inference_mode():
        model(*pair)
        torch.testing.assert_close(inputs[0], outputs[0], rtol=0, atol=0)
        nn.init.normal_(model.write_back_rgb[0].back.weight)
        model(*pair)
    difference = inputs[1] - outputs[1]
    assert difference[..., :4].abs().max() > 1e-3
    assert not difference[..., 4:].any()


@pytest.mark.parametrize(
    "name", ["vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3", "swin_tiny_patch4_window7_224"]
)
def test_checkpoint_round_trip(name: str, tmp_path: Path) -> None:
    model = create_model(f"cimnet_{name}", 3, **SMALL).eval()
    info = ModelInfo(f"cimnet_{name}", SMALL, ("a", "b", "c"), ((0, 0, 0),) * 3)
    save_checkpoint(tmp_path / "model.safetensors", model, info)
    loaded, _ = load_checkpoint(tmp_path / "model.safetensors")
    pair = images(1, (48, 80))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(*pair).logits, model(*pair).logits, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("deit_tiny_distilled_patch16_224", "not a plain vision transformer"),
        ("vit_small_patch16_rope_mixed_224", "rotary positions"),
        ("vit_relpos_small_patch16_224", "no list of stages"),
    ],
)
def test_what_cannot_be_cut_is_named(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}'.*{reason}") as caught:
        create_encoder(name)
    assert "\n" not in str(caught.value)


def test_too_few_blocks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, **options, depth=3))
    with pytest.raises(ConfigError, match=r"'vit_tiny_patch16_224'.*3 blocks"):
        create_encoder("vit_tiny_patch16_224")


def test_the_convnext_of_dinov3() -> None:
    """Its weights have a licence of their own (docs/guides/encoders.md); the network is ConvNeXt."""
    encoder = create_encoder("convnext_tiny.dinov3_lvd1689m")
    assert encoder.channels == (96, 192, 384, 768)
    assert encoder.tokens is None
    with torch.inference_mode():
        maps = encoder.eval()(torch.randn(1, 3, 64, 96))
    assert [tuple(x.shape[-2:]) for x in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]


def test_satellite_weights_have_statistics_of_their_own() -> None:
    assert create_encoder("vit_large_patch16_dinov3.sat493m").mean == (0.43, 0.411, 0.296)
    assert create_encoder("vit_large_patch16_dinov3.lvd1689m").mean == (0.485, 0.456, 0.406)
