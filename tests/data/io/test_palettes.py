"""Pictures with a palette burnt in: the error names the palette, and no natural picture is taken for one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib import colormaps
from PIL import Image

from cimnet.data import read_thermal_counts
from cimnet.data.io.palettes import name_palette
from cimnet.errors import DataError
from tests.fakes.layouts import make_arrays


def field(seed: int = 0) -> npt.NDArray[np.float64]:
    """Smooth values in 0..1, as temperatures are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)) / 255.0


PALETTES = ("inferno", "magma", "plasma", "viridis", "cividis", "turbo", "jet", "hot", "rainbow", "bone", "copper")


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("palette", PALETTES)
def test_a_palette_burnt_in_is_named(tmp_path: Path, palette: str, reverse: bool, form: str) -> None:
    path = tmp_path / "burnt.img"
    values = 1 - field() if reverse else field()
    Image.fromarray((255 * colormaps[palette](values)[..., :3]).astype(np.uint8)).save(path, form, quality=90)
    with pytest.raises(DataError, match=f"a palette much like '{palette}' was burnt in; export it in grey") as caught:
        read_thermal_counts(path)
    assert str(caught.value).startswith(f"{path}: ")


def photos() -> dict[str, npt.NDArray[np.uint8]]:
    """Pictures in natural colours: sky over meadow, noise, a street lamp at night, what the makers draw."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 120)[:, None, None]
    sky, meadow = np.array([120, 160, 220]), np.array([70, 110, 40])
    noise = rng.normal(0, 12, (120, 160, 3))
    night = 60 * field()[..., None] ** 2 * np.array([1.0, 0.85, 0.75]) + np.abs(rng.normal(0, 4, (120, 160, 3)))
    blue_night = 50 * field(1)[..., None] * np.array([0.85, 0.95, 1.15]) + np.abs(rng.normal(0, 3, (120, 160, 3)))
    return {
        "landscape": np.clip((1 - ramp) * sky + ramp * meadow + noise, 0, 255).astype(np.uint8),
        "noise": rng.integers(0, 256, (120, 160, 3), dtype=np.uint8),
        "night": np.clip(night, 0, 255).astype(np.uint8),
        "blue night": np.clip(blue_night, 0, 255).astype(np.uint8),
        "pair": make_arrays(0, classes=9)[0],
    }


@pytest.mark.parametrize("kind", photos())
def test_natural_colours_are_no_palette(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.png"
    values = photos()[kind]
    Image.fromarray(values).save(path)
    assert name_palette(values) is None
    with pytest.raises(DataError, match=r"photo\.png: .*a palette was burnt in, or it is an RGB image"):
        read_thermal_counts(path)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=90)
    assert name_palette(np.array(Image.open(stream))) is None


def test_a_small_picture_with_a_palette() -> None:
    assert name_palette((255 * colormaps["jet"](np.linspace(0, 1, 6))[None, :, :3]).astype(np.uint8)) == "jet"
