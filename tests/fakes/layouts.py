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
        rgb[box] = (40 * class_id % 256, (250 - 25 * class_id) % 256, 20 * class_id % 256)
        thermal[box] = (120 + 10 * class_id) % 256
        label[box] = class_id
    return rgb, thermal, label


def to_16_bit(thermal: Array) -> npt.NDArray[np.uint16]:
    """Counts such as a camera's at room temperature."""
    return thermal.astype(np.uint16) * 20 + 18000


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
        counts = thermal if bit_depth == 8 else to_16_bit(thermal)
        thermal_ext = "png" if bit_depth == 16 and ext in ("jpg", "jpeg", "bmp") else ext
        Image.fromarray(counts).save(root / "thermal" / f"{name}.{thermal_ext}")
        Image.fromarray(label).save(root / "labels" / f"{name}.png")
    for split, part in split_evenly(names).items():
        write_list(root / f"{split}.txt", part)
    (root / "classes.yaml").write_text(f"classes: [{', '.join(CLASSES)}]\n", encoding="utf-8")
    return root


def make_one_folder(folder: Path, *names: tuple[str, str]) -> Path:
    """Pairs under these RGB and thermal names in one folder, as cameras with two sensors write them."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, pair in enumerate(names):
        for name, array in zip(pair, make_arrays(index)[:2], strict=True):
            Image.fromarray(array).save(folder / f"{name}.png")
    return folder


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


MFNET_FORMS = {
    "Thermal": ("RGB/{}.png", "Thermal/{}.png", "Label/{}.png"),
    "Modal": ("RGB/{}.png", "Modal/{}.png", "Label/{}.png"),
    "ther": ("rgb/{}.png", "ther/{}.png", "labels/{}.png"),
    "seperated_images": ("seperated_images/{}_rgb.png", "seperated_images/{}_th.png", "labels/{}.png"),
}
"""Forms of MFNet with separate files, by the folder of the thermal images."""


def make_mfnet_separate(root: Path, form: str, n: int = 6, seed: int = 0) -> Path:
    """MFNet's pairs as separate files, in one of `MFNET_FORMS`."""
    names = [f"{index:05d}{'DN'[index % 2]}" for index in range(n)]
    for index, name in enumerate(names):
        for place, array in zip(MFNET_FORMS[form], make_arrays(index, seed, classes=9), strict=True):
            save_array(root / place.format(name), array)
    for split, part in split_evenly(names).items():
        write_list(root / f"{split}.txt", part)
    return root


def save_array(path: Path, array: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], form: str | None = None) -> None:
    """An image of these values; the folders above are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, format=form)


def split_folder(index: int, n: int) -> str:
    """The first two thirds to train, the rest to test."""
    return "train" if index < 2 * n // 3 else "test"


def make_msrs(root: Path, n: int = 6, seed: int = 0) -> Path:
    """MSRS's layout: folders train/ and test/, no lists."""
    for index in range(n):
        rgb, thermal, label = make_arrays(index, seed, classes=9)
        folder, name = root / split_folder(index, n), f"{index:05d}{'DN'[index % 2]}.png"
        save_array(folder / "vi" / name, rgb)
        save_array(folder / "ir" / name, thermal)
        save_array(folder / "Segmentation_labels" / name, label)
    return root


def make_pst900(root: Path, n: int = 6, seed: int = 0, eight_bit: bool = True) -> Path:
    """PST900's layout: thermal_raw/ with 16 bits and, unless told otherwise, thermal/ with 8."""
    for index in range(n):
        rgb, thermal, label = make_arrays(index, seed, classes=5)
        folder, name = root / split_folder(index, n), f"{index}_bag21_rgb_frame{index:07d}.png"
        save_array(folder / "rgb" / name, rgb)
        if eight_bit:
            save_array(folder / "thermal" / name, thermal)
        save_array(folder / "thermal_raw" / name, to_16_bit(thermal))
        save_array(folder / "labels" / name, label)
    return root


def make_fmb(root: Path, n: int = 6, seed: int = 0) -> Path:
    """FMB's layout: infrared images with three equal channels, labels a second time in colours."""
    for index in range(n):
        rgb, thermal, label = make_arrays(index, seed, classes=15)
        folder, name = root / split_folder(index, n), f"{index:05d}.png"
        save_array(folder / "Visible" / name, rgb)
        save_array(folder / "Infrared" / name, np.dstack([thermal] * 3))
        save_array(folder / "Label" / name, label)
        save_array(folder / "color" / name, np.dstack([label * 16, label, label]))
    return root


CART_TRIP = "2022-05-15_river_flight3"


def make_cart(root: Path, n: int = 6, seed: int = 0) -> Path:
    """CART's layout: PNG data in color/*.jpg, 16-bit TIFF, label values 0..11 (every second label as three equal
    channels), the authors' lists."""
    for index in range(n):
        rgb, thermal, label = make_arrays(index, seed, classes=12)
        save_array(root / "color" / f"{CART_TRIP}_eo-{index:05d}.jpg", rgb, "PNG")
        save_array(root / "thermal16" / f"{CART_TRIP}_thermal-{index:05d}.tiff", to_16_bit(thermal))
        values = np.dstack([label] * 3) if index % 2 else label
        save_array(root / "annotations" / f"{CART_TRIP}_mask-{index:05d}.png", values)
    for split, part in split_evenly([f"{index:05d}" for index in range(n)]).items():
        lines = [f"color/{CART_TRIP}_eo-{frame}.jpg,annotations/{CART_TRIP}_mask-{frame}.png" for frame in part]
        write_list(root / "rgbt_splits" / f"rgb_{split}.txt", lines)
    return root


def make_described(root: Path, rgb: str, thermal: str, labels: str, n: int = 6, seed: int = 0) -> Path:
    """A folder whose classes.yaml gives patterns; the same for rgb and thermal makes 4-channel files. The names hold
    folders: flight 1/0000, flight 2/0001, flight 1/0002 …"""
    names = [f"flight {index % 2 + 1}/{index:04d}" for index in range(n)]
    for index, name in enumerate(names):
        colors, counts, label = make_arrays(index, seed)
        if rgb == thermal:
            save_array(root / f"{rgb.format(name=name)}.png", np.dstack([colors, counts]))
        else:
            save_array(root / f"{rgb.format(name=name)}.png", colors)
            save_array(root / f"{thermal.format(name=name)}.png", counts)
        save_array(root / f"{labels.format(name=name)}.png", label)
    for split, part in split_evenly(names).items():
        write_list(root / f"{split}.txt", part)
    patterns = f'{{rgb: "{rgb}", thermal: "{thermal}", labels: "{labels}"}}'
    (root / "classes.yaml").write_text(f"classes: [{', '.join(CLASSES)}]\nfiles: {patterns}\n", encoding="utf-8")
    return root
