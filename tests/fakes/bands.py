"""Data sets whose second images are files of several bands, or bands of the RGB file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

HEIGHT, WIDTH = 40, 56
CLASSES = "classes: [ground, plant]\n"


def write_bands(path: Path, values: npt.NDArray[Any], **about: Any) -> Path:
    """A TIFF of bands (N, H, W), by GDAL; `about` as rasterio's profile."""
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        profile = {"height": height, "width": width, "count": count, "dtype": values.dtype.name, **about}
        with rasterio.open(path, "w", driver="GTiff", **profile) as file:
            file.write(values)
    return path


def label_of(number: int) -> npt.NDArray[np.uint8]:
    """Class ids (H, W): a square of plants."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[10 : 25 + number, 12:40] = 1
    return label


def make_second(root: Path, name: str = "nir", channels: int = 2, n: int = 6) -> Path:
    """`rgb/`, NAME/ with files of 16-bit channels, labels/, train.txt, val.txt; the first channel shows the plants."""
    for number in range(n):
        rng, label = np.random.default_rng(number), label_of(number)
        values = rng.integers(900, 1100, (channels, HEIGHT, WIDTH)).astype(np.uint16)
        values[0] += np.uint16(2000) * label
        write_bands(root / name / f"{number}.tif", values)
        for folder, image in (("rgb", rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)), ("labels", label)):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(image).save(root / folder / f"{number}.png")
    names = [f"{number}\n" for number in range(n)]
    (root / "train.txt").write_text("".join(names[:-2]))
    (root / "val.txt").write_text("".join(names[-2:]))
    (root / "classes.yaml").write_text(f"{CLASSES}thermal_range: [0, 4000]\n")
    return root


def make_stack(root: Path, n: int = 4, suffix: str = "") -> Path:
    """`img/` with files of six 16-bit bands: blue, green, red, red edge, near infrared, thermal, as of a MicaSense
    Altum; `labels/`, train.txt, val.txt, and `bands:` in classes.yaml."""
    for number in range(n):
        label = label_of(number)
        values = np.random.default_rng(number).integers(0, 4000, (6, HEIGHT, WIDTH)).astype(np.uint16)
        values[5] = 29000 + 1000 * label.astype(np.uint16)  # centikelvin
        write_bands(root / "img" / f"IMG_{number:04d}{suffix}.tif", values)
        (root / "labels").mkdir(exist_ok=True)
        Image.fromarray(label).save(root / "labels" / f"IMG_{number:04d}{suffix}.png")
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text("".join(f"IMG_{number:04d}{suffix}\n" for number in range(n)))
    (root / "classes.yaml").write_text(
        f"{CLASSES}files: {{rgb: 'img/{{name}}', thermal: 'img/{{name}}', labels: 'labels/{{name}}'}}\n"
        "bands: {rgb: [3, 2, 1], thermal: 6, rgb_range: [0, 4000]}\n"
        "thermal_range: {kind: kelvin, low: 280, high: 310, unit: centikelvin}\n"
    )
    return root
