"""Tiny data sets in each real layout: a few pairs of 32x40 (height x width), made by numpy from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

HEIGHT, WIDTH = 32, 40
CLASSES = ("background", "person", "car")
Array = npt.NDArray[np.uint8]


def make_arrays(index: int, seed: int = 0, classes: int = len(CLASSES)) -> tuple[Array, Array, Array]:
    """RGB (H, W, 3), thermal (H, W) and label (H, W) of one pair: warm coloured rectangles on a cool ground."""
    rng = np.random.default_rng((seed, index))
    rgb = rng.integers(60, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    thermal = rng.integers(20, 60, (HEIGHT, WIDTH), dtype=np.uint8)
    label = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for class_id in range(1, classes):
        top, left = int(rng.integers(0, HEIGHT - 8)), int(rng.integers(0, WIDTH - 8))
        box = (slice(top, top + 8), slice(left, left + 8))
        rgb[box] = (40 * class_id % 256, 250 - 25 * class_id, 20 * class_id)
        thermal[box] = 120 + 10 * class_id
        label[box] = class_id
    return rgb, thermal, label


def write_list(path: Path, names: Sequence[str]) -> None:
    """One name a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def split_evenly(names: Sequence[str]) -> dict[str, list[str]]:
    """Half to train, the rest shared by val and test."""
    half, three_quarters = len(names) // 2, (3 * len(names)) // 4
    parts = names[:half], names[half:three_quarters], names[three_quarters:]
    return {split: list(part) for split, part in zip(("train", "val", "test"), parts, strict=True)}


def make_folder(
    root: Path,
    n: int = 6,
    bit_depth: int = 8,
    ext: str = "png",
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Path:
    """The generic layout; `ext` is that of RGB and (8-bit) thermal, labels are PNG, 16-bit thermal is PNG or TIFF."""
    names = [f"{index:03d}" for index in range(n)] if names is None else names
    for folder in ("rgb", "thermal", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        rgb, thermal, label = make_arrays(index, seed)
        Image.fromarray(rgb).save(root / "rgb" / f"{name}.{ext}")
        counts = thermal if bit_depth == 8 else thermal.astype(np.uint16) * 20 + 18000
        thermal_ext = "png" if bit_depth == 16 and ext in ("jpg", "jpeg", "bmp") else ext
        Image.fromarray(counts).save(root / "thermal" / f"{name}.{thermal_ext}")
        Image.fromarray(label).save(root / "labels" / f"{name}.png")
    for split, part in split_evenly(names).items():
        write_list(root / f"{split}.txt", part)
    (root / "classes.yaml").write_text(f"classes: [{', '.join(CLASSES)}]\n", encoding="utf-8")
    return root


def make_mfnet(root: Path, n: int = 6, seed: int = 0) -> Path:
    """MFNet's layout: RGBA files, names ending in D and N in turn."""
    names = [f"{index:05d}{'DN'[index % 2]}" for index in range(n)]
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        rgb, thermal, label = make_arrays(index, seed, classes=9)
        Image.fromarray(np.dstack([rgb, thermal])).save(root / "images" / f"{name}.png")
        Image.fromarray(label).save(root / "labels" / f"{name}.png")
    for split, part in split_evenly(names).items():
        write_list(root / f"{split}.txt", part)
    return root


def make_kust4k(root: Path, n: int = 8, seed: int = 0) -> Path:
    """Kust4K's layout; of the training names the first has a black RGB, the second a flat thermal image, the third is
    in a broken_in_ list alone; truth for the first pair."""
    names = [f"{index:05d}{'DN'[index % 2]}" for index in range(n)]
    for folder in ("RGB", "TIR", "Seg_annos", "truth"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        rgb, thermal, label = make_arrays(index, seed, classes=9)
        if index == 0:
            rgb[:] = 0
        if index == 1:
            thermal[:] = 90
        Image.fromarray(rgb).save(root / "RGB" / f"{name}.png")
        Image.fromarray(thermal).save(root / "TIR" / f"{name}.png")
        Image.fromarray(label).save(root / "Seg_annos" / f"{name}.png")
    for split, part in split_evenly(names).items():
        write_list(root / f"{split}.txt", part)
    write_list(root / "broke_RGB.txt", names[:1])
    write_list(root / "broke_TIR.txt", names[1:2])
    write_list(root / "broken_in_train_3.txt", names[:3])
    write_list(root / "weakly_aligned.txt", names[3:4])
    write_list(root / "dark_night.txt", names[3:4])
    offset = np.full((2, HEIGHT, WIDTH), 1.5, dtype=np.float32)
    np.savez_compressed(root / "truth" / f"{names[0]}.npz", offset=offset, moving=np.zeros((HEIGHT, WIDTH), dtype=bool))
    return root
