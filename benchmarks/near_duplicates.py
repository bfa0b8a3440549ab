"""How the search for near duplicates of `cimnet data check` grows with the pairs. Thumbnails are simulated.

    python benchmarks/near_duplicates.py [--most 100000]

CPU seconds; those of one thread with OMP_NUM_THREADS=1. Writes the key `growth_near` of docs/evidence/speed.json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np

from cimnet.curation.check.near_pairs import near_pairs
from cimnet.curation.check.pair_stats import PairStats, RGBStats, ThermalStats
from growth import Points, seconds, tell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000)
    options = parser.parse_args()
    found: dict[str, Points] = {"different images": {}, "frames of a fixed camera": {}, "pairs found": {}}
    count = 1000
    while count <= options.most:
        rng = np.random.default_rng(0)
        different = [photographs(rng, count, falling) for falling in (1.3, 1.0)]
        for images in different:  # every twentieth is a copy with noise
            copies = images[: count // 20]
            images[-len(copies) :] = steps(copies / 32 + rng.normal(0, 0.05, copies.shape))
        found["different images"][count], found["pairs found"][count] = search(different)
        if count <= 10_000:
            frames = [fixed_camera(rng, count, *kind) for kind in ((1.3, 0.05), (1.0, 0.5))]
            found["frames of a fixed camera"][count] = search(frames)[0]
        count *= 10
    tell("growth_near", found)


def search(images: list[Any]) -> tuple[float, int]:
    """CPU seconds, and how many near pairs there are."""
    seen = RGBStats((0, 0), b"", images[0][0], (0, 0, 0, 0), 200, 200, 0, False)
    warm = ThermalStats((0, 0), "uint8", b"", images[1][0], (0, 0, 0, 0), 0, 255, 256, 0, 0, 9, 9, 0)
    measured = [
        PairStats("", rgb=replace(seen, thumbnail=rgb), thermal=replace(warm, thumbnail=thermal))
        for rgb, thermal in zip(*images, strict=True)
    ]
    pairs: list[int] = []
    return seconds(lambda: pairs.extend(len(first) for first, _, _ in near_pairs(measured))), sum(pairs)


def photographs(rng: np.random.Generator, count: int, falling: float) -> Any:
    """Thumbnails (N, 576) of random images whose amplitudes fall with this power of the frequency: 1 to 1.3 in those of
    cameras."""
    frequency = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(48))
    frequency[0, 0] = np.inf
    found = np.empty((count, 576), np.int8)
    for start in range(0, count, 1000):
        waves = rng.standard_normal((2, min(1000, count - start), 48, 25)) / frequency**falling
        images = np.fft.irfft2(waves[0] + 1j * waves[1], axes=(1, 2))[:, :24, :24]
        found[start : start + len(images)] = steps(images.reshape(len(images), 576))
    return found


def fixed_camera(rng: np.random.Generator, count: int, falling: float, drift: float) -> Any:
    """Thumbnails of one scene whose light or heat drifts, by standard deviations, and in which something moves."""
    images = photographs(rng, 1, falling) / 32 + drift * photographs(rng, count, falling) / 32
    for image in images.reshape(count, 24, 24):
        y, x = rng.integers(0, 22, 2)
        image[y : y + 2, x : x + 2] += 2
    return steps(images)


def steps(images: Any) -> Any:
    """Values of thumbnails, see `cimnet.curation.check.image_stats.thumbnail`."""
    images = images - images.mean(axis=1, keepdims=True)
    return np.clip(np.round(32 * images / images.std(axis=1, keepdims=True)), -127, 127).astype(np.int8)


if __name__ == "__main__":
    main()
