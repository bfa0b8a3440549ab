"""The search for near pairs finds exactly what comparing all pairs finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cimnet.curation.check import near_pairs as module
from cimnet.curation.check.duplicates import check_duplicates
from cimnet.curation.check.image_stats import Thumbnail, thumbnail
from cimnet.curation.check.near_pairs import near_pairs
from cimnet.curation.check.pair_stats import PairStats, RGBStats, ThermalStats

Images = npt.NDArray[np.float64]
Found = list[tuple[int, int, float]]


def pair(name: str, rgb: Thumbnail, thermal: Thumbnail, black: bool, constant: bool) -> PairStats:
    """Measurements with these thumbnails; images with the same thumbnail have different pixels."""
    none = (0, 0, 0, 0)
    seen = RGBStats((48, 48), f"r{name}".encode(), rgb, none, 0 if black else 200, 200, 0, False)
    warm = ThermalStats(
        (48, 48), "uint8", f"t{name}".encode(), thermal, none, 0, 255, 1 if constant else 256, 0, 0, 9, 9, 0
    )
    return PairStats(name, rgb=seen, thermal=warm)


def smooth(rng: np.random.Generator, count: int) -> Images:
    """Images of 48 by 48 whose spectrum falls as that of photographs, (N, 48, 48), in standard deviations."""
    frequency = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(48))
    frequency[0, 0] = np.inf
    waves = rng.standard_normal((count, 48, 25)) + 1j * rng.standard_normal((count, 48, 25))
    images = np.fft.irfft2(waves / frequency, axes=(1, 2))
    return images / images.std(axis=(1, 2), keepdims=True)


def variety(rng: np.random.Generator, count: int) -> Images:
    """Different images, and copies of half of them with noise, or with light and dark patches: around the limits."""
    images = smooth(rng, count)
    copies = images[rng.integers(0, count, count // 2)]
    other = np.where(
        rng.random((len(copies), 1, 1)) < 0.3, rng.standard_normal(copies.shape), np.sign(smooth(rng, len(copies)))
    )
    copies += rng.uniform(0.1, 0.28, (len(copies), 1, 1)) * other
    return np.concatenate([images, copies])[rng.permutation(count + len(copies))]


def fixed_camera(rng: np.random.Generator, count: int) -> Images:
    """One background with little noise, and in two of three images something that moves."""
    images = smooth(rng, 1).repeat(count, axis=0) + rng.uniform(0, 0.2) * rng.standard_normal((count, 48, 48))
    for image in images[count // 3 :]:
        y, x = rng.integers(0, 42, 2)
        image[y : y + 6, x : x + 6] += rng.uniform(0, 1.5)
    return images


def equal(rng: np.random.Generator, count: int) -> Images:
    return smooth(rng, 1).repeat(count, axis=0)


def flat(rng: np.random.Generator, count: int) -> Images:
    """Nothing in any thumbnail."""
    return np.zeros((count, 48, 48))


def make(rng: np.random.Generator, rgb: Images, thermal: Images, blank: float) -> list[PairStats]:
    count = min(len(rgb), len(thermal))
    black, constant = rng.random((2, count)) < blank
    return [
        pair(str(n), thumbnail(rgb[n]), thermal=thumbnail(thermal[n]), black=black[n], constant=constant[n])
        for n in range(count)
    ]


def compare_all(measured: list[PairStats]) -> Found:
    """The definition: the largest difference of a cell, and the correlation, in every sensor that both pairs show."""
    found = []
    for j, second in enumerate(measured):
        for i, first in enumerate(measured[:j]):
            shared: list[tuple[Any, Any]] = []
            if not (first.rgb.plain or second.rgb.plain):
                shared.append((first.rgb.thumbnail, second.rgb.thumbnail))
            if not (first.thermal.constant or second.thermal.constant):
                shared.append((first.thermal.thumbnail, second.thermal.thumbnail))
            differences, alike = [0.0], bool(shared)
            for pixels in shared:
                a, b = (values.astype(float) for values in pixels)
                differences.append(np.abs(a - b).max() / 32)
                alike &= a @ b >= 0.97 * np.linalg.norm(a) * np.linalg.norm(b) and a.any() and b.any()
            if alike and max(differences) <= (0.8 if len(shared) == 2 else 0.15):
                found.append((i, j, max(differences)))
    return sorted(found)


def search(measured: list[PairStats]) -> Found:
    portions = [zip(i.tolist(), j.tolist(), d.tolist(), strict=True) for i, j, d in near_pairs(measured)]
    return sorted(found for portion in portions for found in portion)


@pytest.mark.parametrize(
    ("count", "block", "crowded"),
    [(100, 256, 1000), (100, 16, 1000), (60, 16, 3), (20, 1, 1000), (21, 1, 1000), (22, 1, 1000), (18, 256, 1000)],
)  # of a few images, the components leave nothing out, so that the bound has no room
@pytest.mark.parametrize("blank", [0, 0.4, 1])
@pytest.mark.parametrize(
    ("rgb", "thermal"),
    [(variety, None), (fixed_camera, variety), (fixed_camera, fixed_camera), (equal, variety), (flat, fixed_camera)],
)
def test_all_near_pairs_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
    rgb: Callable[[np.random.Generator, int], Images],
    thermal: Callable[[np.random.Generator, int], Images] | None,
    blank: float,
    count: int,
    block: int,
    crowded: int,
) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    monkeypatch.setattr(module, "_CROWDED", crowded)
    rng = np.random.default_rng(round(100 * blank) + count)
    seen = rgb(rng, count)
    warm = seen + 0.05 * smooth(rng, len(seen)) if thermal is None else thermal(rng, count)
    measured = make(rng, seen, warm, blank)
    expected = compare_all(measured)
    assert search(measured) == expected
    if count == 100 and blank < 1 and rgb is not flat and thermal is not variety:
        assert expected, "this set shows nothing"


@pytest.mark.parametrize("count", range(4))
def test_hardly_any_pairs(count: int) -> None:
    measured = [pair(str(n), *(thumbnail(smooth(np.random.default_rng(seed), 1)[0]) for seed in (1, 2)), False, False)
                for n in range(count)]  # fmt: skip
    assert search(measured) == [(i, j, 0.0) for i in range(count) for j in range(i + 1, count)]


def test_each_pair_is_reported_with_its_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in which portions come."""
    rng = np.random.default_rng(5)
    images = smooth(rng, 4).repeat(20, axis=0)
    images += rng.uniform(0, 0.6, (80, 1, 1)) * rng.standard_normal(images.shape)
    measured = make(rng, images, images[:, ::-1], 0.2)
    split_of = {stats.name: ("train", "test")[n % 2] for n, stats in enumerate(measured)}
    expected: dict[bool, dict[str, tuple[float, int]]] = {True: {}, False: {}}
    for i, j, difference in compare_all(measured):
        later, partner = (i, j) if i % 2 > j % 2 else (j, i)
        best = expected[i % 2 != j % 2]
        best[str(later)] = min(best.get(str(later), (9.0, 0)), (difference, partner))
    assert all(expected.values())
    monkeypatch.setattr(module, "_BLOCK", 8)
    found = {finding.code: finding.items for finding in check_duplicates(measured, split_of)}
    for across, code in ((True, "near-duplicate-across-splits"), (False, "near-duplicate")):
        assert {item.name: item.others for item in found[code]} == {
            name: (str(partner),) for name, (_, partner) in expected[across].items()
        }
        assert [int(item.name) for item in found[code]] == sorted(int(name) for name in expected[across])
        for item in found[code]:
            assert item.detail.endswith(f"by {expected[across][item.name][0]:.2f}")


def test_few_pairs_of_an_ordinary_set_are_compared_cell_by_cell() -> None:
    rng = np.random.default_rng(2)
    measured = make(rng, smooth(rng, 2000), smooth(rng, 2000), 0)
    measured += [replace(measured[7], name="copy")]
    calls = []

    class Counted(module._Thumbnails):
        def differences(self, i: Any, j: Any) -> Any:
            calls.append(len(i))
            return super().differences(i, j)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_Thumbnails", Counted)
        assert search(measured) == [(7, 2000, 0.0)]
    assert sum(calls) < 100
