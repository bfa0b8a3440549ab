"""Thermal frames of another size than the RGB frames, or than those of a calibration."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cimnet.checkpoint import ModelInfo
from cimnet.data.io.thermal_scaling import Counts, ThermalScaling
from cimnet.errors import DataError, DataWarning, RangeError
from cimnet.inference import Predictor
from cimnet.inference.fitting import Fit, Fitter, frame_tensors, read_position, resized

SIZE = (12, 16)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(np.uint8, 255), (np.uint16, 65535), (np.int16, -1200), (np.int16, 32767), (np.float32, -12.5)],
)
@pytest.mark.parametrize("size", [SIZE, (3, 4)])
def test_the_values_of_a_flat_image_stay(dtype: type, value: float, size: tuple[int, int]) -> None:
    """Of 16-bit values below zero, too."""
    found = resized(np.full((6, 8), value, dtype), size)
    assert found.dtype == dtype
    assert found.shape == size
    assert (found == value).all()
    assert not np.ma.isMaskedArray(found)


def test_missing_pixels_stay_missing() -> None:
    counts = np.arange(48, dtype=np.uint16).reshape(6, 8)
    mask = np.zeros((6, 8), bool)
    mask[:, 6:] = True
    thermal: Counts = np.ma.MaskedArray(counts, mask)
    found = resized(thermal, SIZE)
    missing = np.ma.getmaskarray(found)
    assert missing[:, 12:].all(), "made from missing pixels alone"
    assert not missing[:, :11].any(), "made from none"
    assert (np.ma.getdata(found) == resized(counts, SIZE)).all()


WHOLE = {"matrix": [[0.5, 0, -0.25], [0, 0.5, -0.25]]}
"""Both cameras see the same; thermal has half the pixels of RGB along each side."""
SIZED = {**WHOLE, "rgb_size": [64, 80], "thermal_size": [32, 40]}
HOMOGRAPHY = {**SIZED, "matrix": [*WHOLE["matrix"], [0, 0, 1]]}


def quarter(size: tuple[int, int]) -> Counts:
    """A thermal image, hot in its lower right quarter."""
    thermal = np.zeros(size, np.uint8)
    thermal[size[0] // 2 :, size[1] // 2 :] = 200
    return thermal


def fitter(path: Path, content: dict[str, object], size: tuple[int, int], fit: Fit, notes: list[str]) -> Fitter:
    path.write_text(json.dumps(content))
    return Fitter(size, read_position(path), fit, notes.append)


@pytest.mark.parametrize("content", [SIZED, HOMOGRAPHY], ids=["matrix", "homography"])
@pytest.mark.parametrize("rgb", [(64, 80), (32, 40), (128, 160)])
@pytest.mark.parametrize("thermal", [(32, 40), (16, 20), (33, 40)])
def test_a_calibration_serves_frames_of_other_sizes(
    tmp_path: Path, content: dict[str, object], rgb: tuple[int, int], thermal: tuple[int, int]
) -> None:
    """Its matrix is in pixels of the sizes it was made for; the frames here show the same, at another size."""
    notes: list[str] = []
    fit = fitter(tmp_path / "rig.json", content, rgb, "resize", notes)
    for _ in range(2):
        found = fit(quarter(thermal)) > 100
        assert found.shape == rgb
        expected = quarter(rgb) > 100
        assert (found != expected).mean() < 0.03
    same = rgb == (64, 80) and thermal == (32, 40)
    assert len(notes) == (0 if same else 1)
    if not same:
        assert f"made for RGB 80x64 and thermal 40x32, here are RGB frames of {rgb[1]}x{rgb[0]}" in notes[0]


def test_frames_that_change_their_size_are_scaled_anew(tmp_path: Path) -> None:
    notes: list[str] = []
    fit = fitter(tmp_path / "rig.json", SIZED, (64, 80), "resize", notes)
    for thermal in ((32, 40), (16, 20), (32, 40)):
        assert ((fit(quarter(thermal)) > 100) != (quarter((64, 80)) > 100)).mean() < 0.03
    assert len(notes) == 1


@pytest.mark.parametrize("content", [SIZED, HOMOGRAPHY], ids=["matrix", "homography"])
def test_frames_of_another_shape_are_refused(tmp_path: Path, content: dict[str, object]) -> None:
    path = tmp_path / "rig.json"
    with pytest.raises(DataError, match=r"rig\.json: made for thermal images of 40x32; these are 40x30.*data align"):
        fitter(path, content, (64, 80), "resize", [])(quarter((30, 40)))
    with pytest.raises(DataError, match=r"rig\.json: made for RGB images of 80x64; these are 64x80"):
        fitter(path, content, (80, 64), "resize", [])(quarter((32, 40)))


def test_thermal_fit_error_refuses_other_sizes_than_a_calibrations(tmp_path: Path) -> None:
    fit = fitter(tmp_path / "rig.json", SIZED, (64, 80), "error", [])
    fit(quarter((32, 40)))
    for _ in range(2):
        with pytest.raises(DataError, match=r"made for RGB 80x64 and thermal 40x32, .* thermal frames of 20x16"):
            fit(quarter((16, 20)))


def test_a_calibration_without_sizes_gets_one_note(tmp_path: Path) -> None:
    for thermal, few in (((32, 40), []), ((16, 20), ["the thermal image covers only 25% of the RGB frame"])):
        notes: list[str] = []
        fit = fitter(tmp_path / "rig.json", WHOLE, (64, 80), "resize", notes)
        for _ in range(2):
            fit(quarter(thermal))
        expected = [f"taken as made for RGB frames of 80x64 and thermal frames of {thermal[1]}x{thermal[0]}", *few]
        assert [note.endswith(end) for note, end in zip(notes, expected, strict=True)] == [True] * len(expected), notes


@pytest.mark.parametrize("base", [SIZED, HOMOGRAPHY], ids=["matrix", "homography"])
def test_a_calibration_that_covers_little_or_nothing_is_said(tmp_path: Path, base: dict[str, Any]) -> None:
    def moved(dx: float) -> dict[str, object]:
        return {**base, "matrix": [[0.5, 0, dx], *base["matrix"][1:]]}

    notes: list[str] = []
    fit = fitter(tmp_path / "rig.json", moved(29.75), (64, 80), "resize", notes)
    for _ in range(2):
        fit(quarter((32, 40)))
    assert notes == [f"{tmp_path / 'rig.json'}: the thermal image covers only 25% of the RGB frame"]
    fit = fitter(tmp_path / "rig.json", moved(500), (64, 80), "resize", notes)
    for _ in range(2):
        with pytest.raises(DataError, match=r"rig\.json: no pixel of the RGB image"):
            fit(quarter((32, 40)))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_range_of_a_frame_is_checked_once_and_names_the_stream(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Any] = []
    check = ThermalScaling.check_range

    def counting(self: ThermalScaling, counts: Counts, *rest: Any, **named: Any) -> None:
        checked.append(counts)
        check(self, counts, *rest, **named)

    monkeypatch.setattr(ThermalScaling, "check_range", counting)
    info = ModelInfo("stub", {}, ("a",), ((0, 0, 0),), ThermalScaling("range", 100, 200), thermal_dtype=dtype)
    predictor = Predictor(SimpleNamespace(), info, torch.device("cpu"))  # type: ignore[arg-type]  # it is not run
    rgb, thermal = np.zeros((*SIZE, 3), np.uint8), np.full(SIZE, 150, dtype)
    assert (frame_tensors(rgb, thermal, predictor, "udp://camera")[1] == 0.5).all()
    assert len(checked) == 1
    thermal[:4] = 300
    with pytest.warns(DataWarning, match=r"^udp://camera: 33% of the thermal values lie outside"):
        frame_tensors(rgb, thermal, predictor, "udp://camera")
    thermal[:] = 300
    with pytest.raises(RangeError, match=r"^udp://camera: 100%"):
        frame_tensors(rgb, thermal, predictor, "udp://camera")
    assert len(checked) == 3
    with pytest.raises(DataError, match=r"^udp://camera: thermal values of type uint8"):
        frame_tensors(rgb, thermal.astype(np.uint8), predictor, "udp://camera")
