"""The offset of a pair is found in spite of the difference in appearance, or the answer is "unknown"."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from cimnet.data.synthetic import render
from cimnet.data.synthetic.render import ScenePair
from cimnet.errors import DataError
from cimnet.ops.edges import blur, correlation, orientation
from cimnet.registration import align_pair, align_rig, pair_offset
from cimnet.registration.estimate import Alignment
from cimnet.registration.matrices import compose, corner_offsets, identity, offset, resize, warp
from tests.fakes.matrices import invert

SIZE = (256, 320)


@cache
def scene(index: int, light: str = "", seed: int = 5) -> ScenePair:
    """The first sound scene from an index on, of a light. Do not write into it."""
    while True:
        pair = render(seed, split="test", index=index, size=SIZE, scale=0.5)
        if not pair.flags & {"rgb_broken", "thermal_broken"} and light in ("", pair.scene):
            return pair
        index += 1


@cache
def whole_of(index: int, light: str) -> Alignment:
    """The estimate for a scene as it is."""
    pair = scene(index, light)
    return align_pair(pair.rgb, pair.thermal)


def shifted(thermal: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The thermal image as a camera displaced by a matrix would have seen it."""
    image = torch.from_numpy(thermal.astype(np.float32))[None, None]
    return warp(image, invert(matrix), thermal.shape)[0][0, 0].numpy()


def error(matrix: np.ndarray | None, true: np.ndarray, mask: Any = slice(None)) -> float:
    assert matrix is not None
    return float(np.hypot(*(offset(matrix, true.shape[1:]) - true))[mask].mean())


@pytest.mark.parametrize("light", ["day", "night", "dark_night"])
def test_true_offsets_of_scenes(light: str) -> None:
    pair = scene(0, light)
    found = whole_of(0, light)
    assert found.status == "ok"
    assert error(found.matrix, pair.offset, ~pair.moving) < 0.5
    assert found.confidence > 0.9


def test_a_known_affine_map_is_found_on_top_of_the_pairs_own() -> None:
    pair = scene(3, "day")
    applied = np.array([[1.03, 0.02, -9.0], [-0.015, 0.98, 7.5]])
    found = align_pair(pair.rgb, shifted(pair.thermal, applied))
    own = whole_of(3, "day")
    assert own.matrix is not None
    assert error(found.matrix, offset(compose(applied, own.matrix), SIZE)) < 0.5
    assert found.dx == pytest.approx(corner_offsets(compose(applied, own.matrix), SIZE).mean(0)[0], abs=0.4)


def test_contrast_turned_round_changes_nothing() -> None:
    pair = scene(0, "day")
    a, b = whole_of(0, "day"), align_pair(pair.rgb, 255 - pair.thermal)
    assert a.matrix is not None
    assert error(b.matrix, offset(a.matrix, SIZE)) < 0.1


def test_types_and_scales_of_values_change_nothing() -> None:
    pair = scene(0, "day")
    a = whole_of(0, "day")
    for thermal in (pair.thermal.astype(np.uint16) * 11 + 7000, 250 + pair.thermal.astype(np.float32) / 4):
        assert a.matrix is not None
        assert error(align_pair(pair.rgb, thermal).matrix, offset(a.matrix, SIZE)) < 0.1


@pytest.mark.parametrize(
    "case", ["black rgb", "flat thermal", "blurred thermal", "another scene", "noise", "both black"]
)  # fmt: skip
def test_unknown_rather_than_wrong(case: str) -> None:
    pair, other = scene(0, "day"), scene(40, "day")
    noise = np.random.default_rng(0).integers(0, 255, SIZE).astype(np.uint8)
    rgb, thermal = {
        "black rgb": (np.zeros_like(pair.rgb), pair.thermal),
        "flat thermal": (pair.rgb, np.full_like(pair.thermal, 90)),
        "another scene": (pair.rgb, other.thermal),
        "noise": (pair.rgb, noise),
        "blurred thermal": (pair.rgb, blur(torch.from_numpy(pair.thermal)[None, None].float(), 5.0)[0, 0].numpy()),
        "both black": (np.zeros_like(pair.rgb), np.zeros_like(pair.thermal)),
    }[case]
    found = align_pair(rgb, thermal)
    assert (found.status, found.matrix, found.dx, found.dy) == ("unknown", None, None, None)
    assert found.confidence < 0.6
    assert pair_offset(rgb, thermal) is None


def test_sizes_that_differ() -> None:
    pair = scene(0, "day")
    small = np.asarray(torch.nn.functional.avg_pool2d(torch.from_numpy(pair.thermal)[None].float(), 2)[0])
    found, whole = align_pair(pair.rgb, small), whole_of(0, "day")
    assert whole.matrix is not None
    assert whole.dx is not None
    assert error(found.matrix, offset(compose(resize(SIZE, (128, 160)), whole.matrix), SIZE)) < 0.4
    assert found.dx == pytest.approx(whole.dx, abs=0.5)


def test_fields_of_view_that_differ() -> None:
    pair = scene(6, "day")
    inner = pair.thermal[32:224, 40:280]  # three quarters of the field
    found = align_pair(pair.rgb, inner, zooms=[1.1**k for k in range(-5, 2)], max_offset=0.2)
    whole = whole_of(6, "day")
    assert whole.matrix is not None
    expected = compose(np.array([[1.0, 0, -40], [0, 1, -32]]), whole.matrix)
    assert error(found.matrix, offset(expected, SIZE)) < 1


@pytest.mark.parametrize(("rows", "columns"), [((0, 256), (60, 260)), ((40, 216), (0, 320))])
def test_shapes_that_differ(rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """A squarer or a wider thermal sensor: pixels stay square."""
    pair = scene(6, "day")
    whole = whole_of(6, "day")
    found = align_pair(pair.rgb, pair.thermal[slice(*rows), slice(*columns)])
    assert whole.matrix is not None
    expected = compose(np.array([[1.0, 0, -columns[0]], [0, 1, -rows[0]]]), whole.matrix)
    assert error(found.matrix, offset(expected, SIZE)) < 1


def test_one_matrix_for_all_pairs_of_a_rig() -> None:
    applied = np.array([[1.01, 0.0, 5.0], [0.0, 1.01, -6.0]])
    pairs = [scene(index, seed=8) for index in (0, 5, 10, 15)]
    found = align_rig([(pair.rgb, shifted(pair.thermal, applied)) for pair in pairs])
    # each scene has an offset of its own: the common one lies among them
    assert found.status == "ok"
    true = np.median([pair.offset[:, 64:-64:16, 64:-64:16] for pair in pairs], axis=(0, 2, 3))
    expected = corner_offsets(applied, SIZE).mean(0) + true[::-1]
    assert np.hypot(*(np.array([found.dx, found.dy]) - expected)) < 1.5
    with pytest.raises(DataError, match="images of several sizes"):
        align_rig([(pairs[0].rgb, pairs[0].thermal), (pairs[1].rgb[:-8], pairs[1].thermal[:-8])])
    with pytest.raises(DataError, match="at least one pair"):
        align_rig([])


def test_translation_alone() -> None:
    pair = scene(0, "day")
    found = align_pair(pair.rgb, pair.thermal, model="translation")
    assert found.matrix is not None
    np.testing.assert_allclose(found.matrix[:, :2], np.eye(2), atol=1e-6)


def test_shapes_are_checked() -> None:
    with pytest.raises(DataError, match=r"shapes \(4, 4\) and \(4, 4\), expected \(H, W, 3\) and \(H, W\)"):
        align_pair(np.zeros((4, 4)), np.zeros((4, 4)))


def test_as_json() -> None:
    pair = scene(0, "day")
    content = json.loads(json.dumps(whole_of(0, "day").to_dict()))
    assert np.shape(content["matrix"]) == (2, 3)
    assert {"status", "dx", "dy", "confidence"} <= content.keys()
    assert json.loads(json.dumps(align_pair(pair.rgb * 0, pair.thermal).to_dict()))["matrix"] is None


def test_correlation_has_its_peak_at_the_shift() -> None:
    image = torch.rand(1, 1, 40, 48, generator=torch.Generator().manual_seed(0))
    maps = orientation(blur(image, 1.0), 1.0)
    moved = torch.roll(maps, (3, -5), (2, 3))
    scores = correlation(maps, moved, 8)
    assert divmod(int(scores.argmax()), 17) == (8 + 3, 8 - 5)
    assert scores.max() == pytest.approx(1, abs=0.15)


def test_orientation_doubles_the_angle_and_is_short_on_noise() -> None:
    ramp = torch.arange(32.0).expand(32, 32)[None, None]
    steps = (ramp > 15).float()
    for image, vector in ((steps, (1.0, 0.0)), (1 - steps, (1.0, 0.0)), (steps.transpose(2, 3), (-1.0, 0.0))):
        middle = orientation(image, 1.0)[0, :, 15:17, 15:17].mean((1, 2))
        torch.testing.assert_close(middle, torch.tensor(vector), atol=0.05, rtol=0)
    assert orientation(torch.zeros(1, 3, 16, 16), 1.0).abs().max() == 0


def test_matrices_go_there_and_back() -> None:
    matrix = np.array([[1.1, 0.2, 3.0], [-0.1, 0.9, -4.0]])
    np.testing.assert_allclose(compose(matrix, invert(matrix)), identity(), atol=1e-12)
    np.testing.assert_allclose(compose(resize((10, 20), (30, 40)), resize((30, 40), (10, 20))), identity(), atol=1e-12)
    image = torch.arange(12.0).view(1, 1, 3, 4)
    moved, inside = warp(image, np.array([[1.0, 0, 1], [0, 1, -1]]), (3, 4))  # RGB (x, y) is seen at (x + 1, y - 1)
    np.testing.assert_allclose(moved[0, 0], [[0, 0, 0, 0], [1, 2, 3, 0], [5, 6, 7, 0]], atol=1e-5)
    assert inside.tolist() == [[False] * 4, [True] * 3 + [False], [True] * 3 + [False]]
    np.testing.assert_allclose(offset(matrix, (2, 2))[:, 1, 1], [-0.1 + 0.9 - 4 - 1, 1.1 + 0.2 + 3 - 1], atol=1e-6)
