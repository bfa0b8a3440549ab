"""What the Python blocks of the pages name: checkpoints, pairs, data sets, videos, rasters; tiny, made on demand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import cimnet
from tests.conftest import Trained
from tests.fakes.layouts import CLASSES, make_arrays, make_folder, make_kust4k, write_list

Make = Callable[[Path, Trained], object]


def _image(path: Path) -> None:
    """A tiny RGB or thermal image, by the path's words; a TIFF lies on a map, too, where rasterio is installed."""
    rgb, thermal, _ = make_arrays(1)
    array = thermal if "thermal" in str(path) or path.stem in ("b", "d") else rgb
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        from tests.deploy.geo.conftest import write

        write(path, array)
    else:
        Image.fromarray(array).save(path)


def _flight(path: Path, _: Trained) -> None:
    for kind in ("rgb", "thermal"):
        for name in ("0001", "0002"):
            _image(path / kind / f"{name}.png")


def _film(path: Path, _: Trained) -> None:
    from tests.deploy.video.films import film

    film(path.parent, offset=0.35)


def _calibrated(path: Path, trained: Trained) -> None:
    from cimnet.cli.main import app

    root = make_folder(path.parent / "to_calibrate", 22, seed=1)  # not the pairs of the training
    write_list(root / "val.txt", [f"{k:03d}" for k in range(2, 12)])
    write_list(root / "test.txt", [f"{k:03d}" for k in range(12, 22)])
    arguments = ["calibrate", str(trained.best), str(root), "--out", str(path), "--device", "cpu"]
    app(arguments, standalone_mode=False)


def _run(path: Path, trained: Trained) -> None:
    shutil.copytree(trained.folder, path)


BELONGINGS: dict[str, Make] = {
    **dict.fromkeys(("runs/scenes", "runs/mine", "runs/kust4k"), _run),
    **dict.fromkeys(
        ("rgb.png", "thermal.png", "rgb.tif", "thermal.tif", "a.png", "b.png", "c.png", "d.png"),
        lambda path, _: _image(path),
    ),
    "flight": _flight,
    "rgb.mp4": _film,
    "calibrated.safetensors": _calibrated,
    "data/kust4k": lambda path, _: make_kust4k(path),
    "data/mine": lambda path, _: make_folder(path, 12),
}
"""Path by path, what makes it. It is made where a block has the path as a string, or as the beginning of one."""


def lay_out(folder: Path, code: str, trained: Trained) -> None:
    """Make what the code names, in a folder."""
    for name, make in BELONGINGS.items():
        path = folder / name
        if (f'"{name}"' in code or f'"{name}/' in code) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path, trained)


def names_known() -> dict[str, Any]:
    """What the text around the blocks lets the reader know."""
    rgb, thermal, _ = make_arrays(1)
    return {
        "cimnet": cimnet,
        "rgb": torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255,
        "thermal": torch.from_numpy(thermal)[None, None].float() / 255,
        "rgb_array": np.asarray(rgb),
        "classes": CLASSES,
    }
