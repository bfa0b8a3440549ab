"""Thermal values in .npy files: temperatures or counts; anything else is a one-line error, and nothing is executed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cimnet.data import ThermalScaling, open_dataset, read_thermal_counts
from cimnet.data.io.thermal_files import thermal_size
from cimnet.errors import DataError, DataWarning
from tests.fakes.layouts import HEIGHT, WIDTH, make_folder

CELSIUS = np.linspace(-20.0, 80.0, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
COUNTS = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)


@pytest.mark.parametrize("dtype", ["float64", "float32", ">f8", "float16"])
def test_celsius_in_an_array(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "t.npy"
    np.save(path, CELSIUS.astype(dtype))
    values = read_thermal_counts(path)
    assert values.dtype == np.float32
    assert values.flags.writeable
    np.testing.assert_allclose(values, CELSIUS, atol=0.05 if dtype == "float16" else 1e-5)
    assert thermal_size(path) == (HEIGHT, WIDTH)
    scaled = ThermalScaling("kelvin", 253.15, 353.15, "celsius")(values)
    np.testing.assert_allclose(scaled, (CELSIUS + 20) / 100, atol=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "int32", "int64", "uint64"])
def test_counts_in_an_array(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "t.npy"
    counts = COUNTS // (257 if dtype == "uint8" else 1)
    np.save(path, np.asfortranarray(counts.astype(dtype)))
    values = read_thermal_counts(path)
    assert values.dtype == (np.uint8 if dtype == "uint8" else np.uint16)
    np.testing.assert_array_equal(values, counts)


def test_arrays_through_a_data_set(tmp_path: Path) -> None:
    make_folder(tmp_path, ext="jpg")
    for path in list((tmp_path / "thermal").iterdir()):
        path.unlink()
        np.save(path.with_suffix(".npy"), CELSIUS)
    scaling = {"kind": "kelvin", "low": 253.15, "high": 353.15, "unit": "celsius"}
    dataset = open_dataset(tmp_path, "train", thermal_range=scaling, thermal_dtype="float32")
    np.testing.assert_allclose(dataset[1].thermal[0].numpy(), (CELSIUS + 20) / 100, atol=1e-5)
    dataset.check()
    holes = CELSIUS.copy()
    holes[3, 4] = np.nan
    np.save(tmp_path / "thermal" / "001.npy", holes)
    with pytest.warns(DataWarning, match=r"thermal/001\.npy: 1 of 1,280 thermal values are not finite .*were filled"):
        filled = open_dataset(tmp_path, "train", thermal_range=scaling)[1].thermal[0]
    assert filled[3, 4] in (filled[3, 3], filled[3, 5], filled[2, 4], filled[4, 4])
    holes[:3] = np.nan
    np.save(tmp_path / "thermal" / "001.npy", holes)
    with pytest.raises(DataError, match=r"thermal/001\.npy: 121 of 1,280 thermal values are not finite .*, 9%; fill"):
        open_dataset(tmp_path, "train", thermal_range=scaling)[1]
    np.save(tmp_path / "thermal" / "001.npy", CELSIUS.T)
    with pytest.raises(DataError, match=r"thermal/001\.npy is 32x40 but .*001\.jpg is 40x32"):
        open_dataset(tmp_path, "train")


class Danger:
    """Unpickling it would write a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def truncated(path: Path) -> None:
    np.save(path, CELSIUS)
    path.write_bytes(path.read_bytes()[:-5])


def an_archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, thermal=CELSIUS)


BAD_ARRAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "three dimensions": (lambda p: np.save(p, CELSIUS[None]), r"an array \(1, 32, 40\) of float64; expected numbers"),
    "a row": (lambda p: np.save(p, CELSIUS[0]), r"an array \(40,\) of float64; expected numbers \(H, W\)"),
    "a number": (lambda p: np.save(p, np.float64(3)), r"an array \(\) of float64"),
    "nothing": (lambda p: np.save(p, CELSIUS[:0]), r"an array \(0, 40\) of float64"),
    "no counts": (lambda p: np.save(p, COUNTS[:, :0]), r"an array \(32, 0\) of uint16"),
    "truth values": (lambda p: np.save(p, CELSIUS > 0), "of bool; expected numbers"),
    "complex": (lambda p: np.save(p, CELSIUS * 1j), "of complex128; expected numbers"),
    "text": (lambda p: np.save(p, CELSIUS.astype(str)), "expected numbers"),
    "objects": (lambda p: np.save(p, np.array([[Danger()]]), allow_pickle=True), "cannot be read as a .npy array"),
    "a pickle": (lambda p: p.write_bytes(pickle.dumps(Danger())), "cannot be read as a .npy array"),
    "an archive": (an_archive, "expected numbers"),
    "cut off": (truncated, "cannot be read as a .npy array"),
    "no bytes": (lambda p: p.write_bytes(b""), "cannot be read as a .npy array"),
    "a page": (lambda p: p.write_text("<html>"), "cannot be read as a .npy array"),
    "missing": (lambda p: None, "cannot be read as a .npy array"),
    "a folder": (Path.mkdir, "cannot be read as a .npy array"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
@pytest.mark.parametrize("read", [read_thermal_counts, thermal_size])
def test_arrays_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, read: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    make, words = BAD_ARRAYS[case]
    path = tmp_path / "bad.npy"
    make(path)
    with pytest.raises(DataError, match=words) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert not Path("executed").exists()


@pytest.mark.parametrize("values", [COUNTS.astype(np.int64) - 65536, COUNTS.astype(np.int64) + 1000])
def test_counts_that_do_not_fit_16_bits(tmp_path: Path, values: npt.NDArray[np.int64]) -> None:
    np.save(tmp_path / "t.npy", values)
    with pytest.raises(DataError, match=r"t\.npy: thermal counts .* do not fit 16 bits"):
        read_thermal_counts(tmp_path / "t.npy")
