"""Drives of several frames, as a car or drone makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fakes.layouts import HEIGHT, WIDTH, save_array, write_list

DRIVES = 24


@pytest.fixture(scope="session")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 drives of 2 to 5 frames; each class is in some drives only, much of it in few. Do not write into it."""
    return make_drives(tmp_path_factory.mktemp("drives"))


def make_drives(root: Path, drives: int = DRIVES) -> Path:
    random = np.random.default_rng(5)
    night, broken = [], []
    for drive in range(drives):
        ground = random.integers(0, 256, 3)
        held = random.random(3) < (0.8, 0.5, 0.3)
        size = random.lognormal(1.5, 0.7, 3)
        for frame in range(2 + drive % 4):
            name = f"drive{drive:02d}_{frame:04d}"
            label = np.zeros((HEIGHT, WIDTH), np.uint8)
            for class_id in np.flatnonzero(held) + 1:
                label[: min(int(size[class_id - 1]), HEIGHT), 10 * class_id : 10 * class_id + 8] = class_id
            label[-1] = 255
            save_array(root / "rgb" / f"{name}.png", np.full((HEIGHT, WIDTH, 3), ground, np.uint8))
            save_array(root / "thermal" / f"{name}.png", np.full((HEIGHT, WIDTH), 10 * frame, np.uint8))
            save_array(root / "labels" / f"{name}.png", label)
            night += [name] * (drive % 3 == 0)
            broken += [name] * (random.random() < 0.2)
    write_list(root / "night.txt", night)
    write_list(root / "broke_TIR.txt", broken)
    (root / "classes.yaml").write_text("classes: [ground, car, person, bus]\n")
    return root
