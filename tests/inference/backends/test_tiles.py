"""Tiles: a graph pads what its model pads, at one size and at any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cimnet.deploy.export.parity import random_pair
from cimnet.errors import CheckpointError
from cimnet.inference.backends.details import Details
from cimnet.inference.backends.runtime import ExportedModel, cut_tiles
from cimnet.inference.backends.trace import SMALLEST_TILE, TiledModel, example, free_axes
from cimnet.models import RGBTModel, create_model


def _details(model: RGBTModel, size: tuple[int, int] | None = None, smallest_tile: int = 1) -> Details:
    return Details.of(model.eval(), False, True, "float32", size, smallest_tile=smallest_tile)


def _build(name: str, **options: Any) -> RGBTModel:
    torch.manual_seed(0)
    return create_model(name, 4, **options).eval()


@pytest.mark.parametrize(
    ("name", "one_size", "any_size", "pt2"),
    [
        ("early_fusion_resnet18", (96, 96), 32, 32),
        ("cainet_mobilenet_v2", (80, 96), 16, 16),
        ("rtfnet_resnet18", (70, 90), 1, 32),
        ("small_cmx_mit_b0", (70, 90), 1, 32),
        ("small_sigma", (70, 90), 1, 32),
    ],
)
def test_tiles_follow_the_models_stride(name: str, one_size: tuple[int, int], any_size: int, pt2: int) -> None:
    """One size is one tile. Any size: tiles of the stride, in a .pt2 file of 16 pixels at least."""
    model = _build(name)
    assert _details(model, (70, 90)).tile == one_size
    free = _details(model)
    assert (free.tile, free.whole_tiles) == ((any_size, any_size), False)
    torchs = _details(model, smallest_tile=SMALLEST_TILE)
    assert (torchs.tile, torchs.whole_tiles) == ((pt2, pt2), pt2 != model.stride)


def test_small_images_are_padded_to_what_the_model_needs() -> None:
    model = _build("small_cmx_mit_b0")
    assert _details(model, (20, 31)).tile == (29, 31)
    free = _details(model)
    assert free.tiles_along((20, 31)) == (29, 31)
    assert _details(model, smallest_tile=SMALLEST_TILE).tiles_along((20, 70)) == (1, 3)


@pytest.mark.parametrize("name", ["cainet_mobilenet_v2", "rtfnet_resnet18", "small_cmx_mit_b0", "small_sigma"])
@pytest.mark.parametrize("size", [(70, 90), (33, 47)])
def test_the_tiled_model_gives_the_models_own_logits(name: str, size: tuple[int, int]) -> None:
    """Not those of a copy that pads to multiples of 32."""
    model = _build(name)
    details = _details(model, size)
    rgb, thermal = random_pair((2, *size))
    tiles, inner = cut_tiles(rgb, thermal, tile=details.tile)
    with torch.inference_mode():
        found = TiledModel(model, details)(tiles)[:, :, : inner[0], : inner[1]]
        torch.testing.assert_close(found, model(rgb, thermal).logits, rtol=1e-3, atol=1e-4)


def test_the_example_has_the_tiles_and_what_is_fixed() -> None:
    model = _build("early_fusion_resnet18", input_scale=0.5)
    free = _details(model)
    assert example(free).shape == (2, 4, 2, 32, 3, 32)
    assert free_axes(free) == {0: "batch", 2: "rows", 4: "columns"}
    fixed = Details.of(model, False, True, "float32", (70, 150), 3)
    assert example(fixed).shape == (3, 4, 1, 64, 1, 96)
    assert free_axes(fixed) == {}


def test_a_file_of_whole_tiles_names_the_size_that_it_cannot_run() -> None:
    """A file from before such files were marked runs it as it did, padded."""

    def run(rgb: Tensor, _: Tensor) -> Tensor:
        return rgb

    model = _build("rtfnet_resnet18")
    details = _details(model, smallest_tile=SMALLEST_TILE)
    marked = ExportedModel(Path("m.pt2"), run, details)
    assert marked(*random_pair((1, 64, 96))).logits.shape == (1, 3, 64, 96)
    with pytest.raises(CheckpointError, match=r"m\.pt2: .*only multiples of 32.*70x96.*--size 70x96"):
        marked(*random_pair((1, 70, 96)))
    before = ExportedModel(Path("m.pt2"), run, Details.of(_build("early_fusion_resnet18"), False, True, "float32"))
    assert before(*random_pair((1, 70, 96))).logits.shape == (1, 3, 70, 96)
