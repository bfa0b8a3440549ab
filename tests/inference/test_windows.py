"""Sliding windows: every pixel is covered, blends are exact averages, memory is a strip, seams are small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import cimnet
from cimnet.errors import ConfigError
from cimnet.inference import windows as module
from cimnet.inference.images import cutter
from cimnet.inference.settings import Settings
from cimnet.inference.windows import Block, Windows, stitch_windows
from tests.conftest import Trained


def _image(height: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, height, width, generator=generator), torch.rand(1, height, width, generator=generator)


def pointwise(rgb: Tensor, thermal: Tensor) -> Tensor:
    """Probabilities that depend on the pixel alone: windows cannot change them."""
    return torch.cat((rgb[:, :1], thermal, 2 - rgb[:, :1] - thermal), dim=1) / 2


def by_window(rgb: Tensor, thermal: Tensor) -> Tensor:
    """Probabilities that depend on the window alone: its mean."""
    share = rgb.mean((1, 2, 3)).view(-1, 1, 1, 1).expand(-1, 1, *rgb.shape[-2:])
    return torch.cat((share, 1 - share), dim=1)


def assemble(windows: Windows, run: Callable[[Tensor, Tensor], Tensor], classes: int, **options: Any) -> Tensor:
    pair = _image(windows.height, windows.width)
    out = torch.full((classes, windows.height, windows.width), torch.nan)
    for top, left, block in stitch_windows(windows, cutter(*pair), run, classes, **options):
        place = out[:, top : top + block.shape[1], left : left + block.shape[2]]
        assert place.isnan().all()  # nothing is handed over twice
        place.copy_(block)
    assert not out.isnan().any()
    return out


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 64), (200, 97), (64, 333), (31, 150)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_what_depends_on_the_pixel_alone_stays(size: tuple[int, int], overlap: float, batch_size: int) -> None:
    found = assemble(Windows(*size, 64, overlap), pointwise, 3, batch_size=batch_size)
    rgb, thermal = _image(*size)
    torch.testing.assert_close(found, pointwise(rgb[None], thermal[None])[0], rtol=0, atol=1e-5)


def test_overlaps_are_the_weighted_mean_of_the_windows() -> None:
    windows = Windows(96, 160, 64, 0.5)
    rgb, _ = _image(96, 160)
    total, norm = torch.zeros(96, 160), torch.zeros(96, 160)
    taper = torch.from_numpy(np.outer(windows.taper(64), windows.taper(64)))
    for top in (0, 32):
        for left in (0, 32, 64, 96):
            total[top : top + 64, left : left + 64] += rgb[:, top : top + 64, left : left + 64].mean() * taper
            norm[top : top + 64, left : left + 64] += taper
    torch.testing.assert_close(assemble(windows, by_window, 2)[0], total / norm, rtol=0, atol=1e-5)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.33, 0.5, 0.7])
@pytest.mark.parametrize("size", [320, 640, 500])
def test_windows_start_where_the_encoder_samples(size: int, overlap: float) -> None:
    starts = Windows(4000, 4000, size, overlap).starts(4000)
    assert all(start % 32 == 0 for start in starts[:-1])
    assert max(np.diff(starts)) <= size * (1 - overlap) + 1


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows(100, 333, 64, 0.5)
    whole = assemble(windows, by_window, 2)
    monkeypatch.setattr(module, "STRIP", 70)
    assert len(windows.strips()) == 5
    torch.testing.assert_close(assemble(windows, by_window, 2), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shift", [0, 13, 32])
def test_shifted_grids_cover_the_image_too(shift: int) -> None:
    found = assemble(Windows(150, 201, 64, 0.5, shift), pointwise, 3)
    rgb, thermal = _image(150, 201)
    torch.testing.assert_close(found, pointwise(rgb[None], thermal[None])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.7])
def test_an_interrupted_run_goes_on_with_the_same_blocks(monkeypatch: pytest.MonkeyPatch, overlap: float) -> None:
    monkeypatch.setattr(module, "STRIP", 100)
    windows, pair = Windows(230, 180, 64, overlap), _image(230, 180)
    calls: list[int] = []

    def counted(rgb: Tensor, thermal: Tensor) -> Tensor:
        calls.append(len(rgb))
        return by_window(rgb, thermal)

    blocks = list(stitch_windows(windows, cutter(*pair), counted, 2))
    whole = len(calls)
    assert len(blocks) == len(windows)
    for skip in (1, 3, len(blocks) - 1):
        calls.clear()
        rest: list[Block] = list(stitch_windows(windows, cutter(*pair), counted, 2, skip=skip))
        assert [block[:2] for block in rest] == [block[:2] for block in blocks[skip:]]
        for one, other in zip(rest, blocks[skip:], strict=True):
            assert torch.equal(one.probabilities, other.probabilities)
        assert len(calls) <= whole
    assert len(calls) < whole / 2  # the last block needs few windows


def test_windows_that_show_nothing_are_not_run() -> None:
    rgb, thermal = _image(64, 192)
    seen: list[int] = []

    def read(top: int, left: int, height: int, width: int) -> tuple[Tensor, Tensor] | None:
        return None if left >= 64 else cutter(rgb, thermal)(top, left, height, width)

    def run(rgb: Tensor, thermal: Tensor) -> Tensor:
        seen.append(len(rgb))
        return pointwise(rgb, thermal)

    (block,) = stitch_windows(Windows(64, 192, 64, 0.0), read, run, 3)
    assert seen == [1]
    assert block.probabilities[:, :, :64].sum(0).allclose(torch.ones(64, 64))
    assert not block.probabilities[:, :, 64:].any()


def test_memory_does_not_grow_with_the_height(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    def read(top: int, left: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        return torch.rand(3, height, width), torch.rand(1, height, width)

    monkeypatch.setattr(module, "STRIP", 256)
    for block in stitch_windows(Windows(100_000, 300, 256, 0.0), read, pointwise, 3):
        largest = max(largest, block.probabilities.untyped_storage().nbytes())
        if block.top > 2000:
            break
    assert largest <= 4 * 3 * 256 * 400


def test_a_large_image_is_segmented_in_windows_as_its_probabilities_say(trained: Trained) -> None:
    predictor = cimnet.load(trained.folder, "cpu", window=64, overlap=0.5, batch_size=2)
    rgb, thermal = _image(150, 170)
    mask, shares = predictor.predict(rgb, thermal), predictor.predict_proba(rgb, thermal)
    assert mask.shape == (150, 170)
    np.testing.assert_array_equal(mask, shares.argmax(0))
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)
    whole = cimnet.load(trained.folder, "cpu", window=256).predict(rgb, thermal)
    np.testing.assert_array_equal(whole, cimnet.load(trained.folder, "cpu").predict(rgb, thermal))


def test_images_beyond_the_limit_are_cut_without_being_asked(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cimnet.inference.settings.WHOLE", 700 * 700)
    assert Settings().windows(700, 700) is None
    assert Settings().windows(701, 700) == Windows(701, 700, 640, 0.5)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"window": 16}, "window is 16, expected at least 32"),
        ({"overlap": 0.9}, "overlap is 0.9"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"scales": ()}, "scales is"),
        ({"scales": (9.0,)}, "scales is"),
        ({"precision": "int3"}, "precision is int3, expected float32 or bfloat16"),
    ],
)
def test_settings_out_of_range(trained: Trained, settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        cimnet.load(trained.folder, "cpu", **settings)
