"""Pictures with a palette burnt in: the error names the palette, and no natural picture is taken for one."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib import colormaps
from PIL import Image

from cimnet.data import read_thermal_counts
from cimnet.data.io.palettes import _KNOWN, name_palette, undo_palette
from cimnet.data.io.thermal_files import Wanted
from cimnet.errors import DataError, DataWarning
from tests.fakes.layouts import make_arrays


def field(seed: int = 0) -> npt.NDArray[np.float64]:
    """Smooth values in 0..1, as temperatures are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)) / 255.0


PALETTES = ("inferno", "magma", "plasma", "viridis", "cividis", "turbo", "jet", "hot", "rainbow", "bone", "copper")


@pytest.mark.parametrize("form", ["marked PNG", "JPEG"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("palette", PALETTES)
def test_a_palette_burnt_in_is_named(tmp_path: Path, palette: str, reverse: bool, form: str) -> None:
    """Where colours do not tell the values: lossy files, and pictures in which the camera wrote something."""
    path = tmp_path / "burnt.img"
    colours = burn(palette, 1 - field() if reverse else field(), np.floor)
    if form == "marked PNG":
        colours[50:52, 80:90] = (0, 255, 1)
    Image.fromarray(colours).save(path, form.split()[-1], quality=90)
    with pytest.raises(DataError, match=f"a palette much like '{palette}' was burnt in; export it in grey") as caught:
        read_thermal_counts(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("rounding", [np.rint, np.floor])
@pytest.mark.parametrize("form", ["RGB", "P", "RGBA", "TIFF"])
@pytest.mark.parametrize("palette", _KNOWN)
def test_a_palette_picture_without_loss_is_undone(
    tmp_path: Path, palette: str, form: str, rounding: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
) -> None:
    """The place of each colour in the palette as matplotlib has it, to the width of colours that occur more than once;
    the program that saved the picture may have cut decimals off, written indices or opacity."""
    levels = np.rint(255 * field(len(palette))).astype(np.uint8)
    picture = Image.fromarray(burn(palette, levels, rounding))
    if form == "P":  # an index for each colour, in another order than the palette's
        picture = picture.quantize(256, dither=Image.Dither.NONE) if _exact(picture) else picture
    elif form == "RGBA":
        picture.putalpha(255)
    path = tmp_path / "false_colours"
    picture.save(path, "TIFF" if form == "TIFF" else "PNG")
    with pytest.warns(DataWarning, match=f"in the palette '{palette}': read as .* relative, not temperatures") as seen:
        found = read_thermal_counts(path)
    assert str(seen[0].message).startswith(f"{path}: ")
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - levels).max() <= 2
    assert np.mean(found == levels) > 0.9


@pytest.mark.parametrize("palette", ["JET", "INFERNO", "TURBO", "PLASMA", "MAGMA", "VIRIDIS", "CIVIDIS"])
def test_a_palette_picture_by_opencv(tmp_path: Path, palette: str) -> None:
    cv2 = pytest.importorskip("cv2")
    levels = np.rint(255 * field(9)).astype(np.uint8)
    path = tmp_path / "a.png"
    assert cv2.imwrite(str(path), cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{palette}")))
    with pytest.warns(DataWarning, match=f"in the palette '{palette.lower()}'"):
        found = read_thermal_counts(path)
    assert np.abs(found.astype(int) - levels).max() <= 2


def _exact(picture: Image.Image) -> bool:
    """Whether a palette picture keeps all colours; Pillow's quantisation merges some even of fewer than 256."""
    quantised = picture.quantize(256, dither=Image.Dither.NONE).convert("RGB")
    return np.array_equal(np.array(quantised), np.array(picture))


def test_relative_intensities_are_no_temperatures(tmp_path: Path) -> None:
    path = tmp_path / "false_colours.png"
    Image.fromarray(burn("inferno", field(), np.rint)).save(path)
    with pytest.raises(DataError, match=r"in the palette 'inferno', .* temperatures \(celsius\) are expected"):
        read_thermal_counts(path, Wanted("celsius"))


def test_few_colours_do_not_tell_their_palette() -> None:
    assert undo_palette(burn("inferno", np.arange(7, dtype=np.uint8)[None], np.rint)) is None
    assert undo_palette(burn("inferno", np.arange(8, dtype=np.uint8)[None], np.rint)) is not None
    assert undo_palette(np.dstack([np.arange(256, dtype=np.uint8)[None]] * 3)) is None  # grey


def burn(
    palette: str, values: npt.NDArray[Any], rounding: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
) -> npt.NDArray[np.uint8]:
    """Values (indices, or places in 0..1) in the colours of a palette."""
    return rounding(255 * colormaps[palette](values)[..., :3]).astype(np.uint8)


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
    assert undo_palette(values) is None
    with pytest.raises(DataError, match=r"photo\.png: .*a palette was burnt in, or it is an RGB image"):
        read_thermal_counts(path)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=90)
    assert name_palette(np.array(Image.open(stream))) is None


def test_a_small_picture_with_a_palette() -> None:
    assert name_palette((255 * colormaps["jet"](np.linspace(0, 1, 6))[None, :, :3]).astype(np.uint8)) == "jet"
