"""Cameras whose position is given: by points, by a matrix, by a stereo calibration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.backend_bases import MouseButton, MouseEvent

from cimnet.errors import DataError
from cimnet.registration.camera_calibration import fit_points, pick_points, read_calibration, read_points
from cimnet.registration.matrices import offset
from tests.conftest import Result
from tests.fakes.layouts import make_folder

TRUE = np.array([[1.1, 0.05, 4.0], [-0.02, 0.9, -7.0]])
RGB = np.array([[10, 10], [300, 20], [30, 200], [280, 220], [150, 120], [90, 60]], float)


def matched(rgb: np.ndarray, matrix: np.ndarray = TRUE) -> np.ndarray:
    return np.hstack([rgb, rgb @ matrix[:, :2].T + matrix[:, 2]])


@pytest.mark.parametrize("count", [3, 4, 6])
def test_an_affine_map_from_points(count: int) -> None:
    fit = fit_points(matched(RGB[:count]))
    np.testing.assert_allclose(fit.matrix, TRUE, atol=1e-9)
    assert fit.residual < 1e-9
    assert fit.left_out is None if count == 3 else fit.left_out is not None and fit.left_out < 1e-9


def test_one_point_moves_and_two_turn_and_zoom() -> None:
    np.testing.assert_allclose(fit_points(np.array([[10, 20, 13, 18.0]])).matrix, [[1, 0, 3], [0, 1, -2]])
    turned = np.array([[0.0, -1.2, 5], [1.2, 0.0, 1]])
    np.testing.assert_allclose(fit_points(matched(RGB[:2], turned)).matrix, turned, atol=1e-9)


def test_a_point_that_is_wrong_shows_in_the_one_left_out() -> None:
    points = matched(RGB)
    points[2, 2] += 12
    fit = fit_points(points)
    assert fit.left_out is not None
    assert fit.left_out > fit.residual > 1


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros((0, 4)), "no points"),
        (np.array([[1, 1, 2, 2], [1, 1, 2, 2.0]]), "the two points are the same"),
        (matched(np.array([[0, 0], [10, 10], [50, 50], [70, 70.0]])), "on one line"),
        (np.array([[1, 1, 2, 2.0]] * 3), "on one line"),
    ],
)
def test_points_that_determine_nothing(points: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit_points(points)


def test_points_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("rgb_x,rgb_y,thermal_x,thermal_y\n1,2,3,4\n\n5.5,6,7,8\n")
    assert read_points(path).tolist() == [[1, 2, 3, 4], [5.5, 6, 7, 8]]
    path.write_text("1,2,3,4\n")
    assert read_points(path).tolist() == [[1, 2, 3, 4]]
    for text, words in (
        ("1,2,3\n", "point 1: '1,2,3'"),
        ("1,2,3,x\n", "four numbers"),
        ("1,2,3,nan\n", "four numbers"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=words):
            read_points(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_points(tmp_path / "none.csv")


def test_clicked_points_are_written(tmp_path: Path) -> None:
    rgb, thermal = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8)
    clicks: list[tuple[float, float]] = [(1, 2), (3, 4), (5, 6), (7, 8.25)]
    points = pick_points(rgb, thermal, tmp_path / "p.csv", lambda figure: clicks)
    assert points.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8.25]]
    assert read_points(tmp_path / "p.csv").tolist() == points.tolist()
    with pytest.raises(DataError, match=r"3 clicks; each .*; 1 pair before it: .*q\.csv, for --points"):
        pick_points(rgb, thermal, tmp_path / "q.csv", lambda figure: clicks[:3])
    assert read_points(tmp_path / "q.csv").tolist() == [[1, 2, 3, 4]]
    for few in ([], clicks[:1]):
        with pytest.raises(DataError, match=r"\d clicks?; each place needs one left, then one right$"):
            pick_points(rgb, thermal, tmp_path / "r.csv", lambda figure, few=few: few)
    assert not (tmp_path / "r.csv").exists()


@pytest.mark.parametrize(("panes", "wrong", "kept"), [("rtrrt", 4, 1), ("tr", 1, 0), ("rtrtrt", 0, 3), ("rttr", 3, 1)])
def test_clicks_in_the_wrong_image_are_refused(tmp_path: Path, panes: str, wrong: int, kept: int) -> None:
    """They would be places of the other image; what was clicked before is kept."""

    def click(figure: Any) -> list[tuple[float, float]]:
        figure.canvas.draw()
        places = []
        for number, pane in enumerate(panes):
            x, y = figure.axes["rt".index(pane)].transData.transform((number + 2, 5))
            event = MouseEvent("button_press_event", figure.canvas, x, y, MouseButton.LEFT)
            figure.canvas.callbacks.process("button_press_event", event)
            places.append((event.xdata, event.ydata))
        return places

    rgb, thermal = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8)
    if wrong:
        with pytest.raises(DataError, match=f"click {wrong} is in the wrong image"):
            pick_points(rgb, thermal, tmp_path / "p.csv", click)
    else:
        pick_points(rgb, thermal, tmp_path / "p.csv", click)
    assert (len(read_points(tmp_path / "p.csv")) if kept else 0) == kept
    assert (tmp_path / "p.csv").exists() == bool(kept)


@pytest.mark.parametrize(
    "backend", ["tkagg", *(pytest.param(name, marks=pytest.mark.slow) for name in ("agg", "svg", "template", "qtagg"))]
)
def test_click_without_a_screen(tmp_path: Path, backend: str) -> None:
    data = make_folder(tmp_path / "data", 1)
    command = ["data", "align", "--rgb", "rgb/000.png", "--thermal", "thermal/000.png", "--click", "p.csv"]
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-m", "cimnet.cli", *command],
        env={**environment, "MPLBACKEND": backend},
        cwd=data,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("cimnet: --click needs a screen")
    assert "Traceback" not in done.stderr


def test_points_of_an_earlier_session_are_not_replaced(tmp_path: Path, cli: Callable[..., Result]) -> None:
    data = make_folder(tmp_path / "data", 1)
    (tmp_path / "p.csv").write_text("mine")
    files = ["--rgb", data / "rgb" / "000.png", "--thermal", data / "thermal" / "000.png"]
    result = cli("data", "align", *files, "--click", tmp_path / "p.csv")
    assert result.code == 2
    assert "exists already" in result.err
    assert (tmp_path / "p.csv").read_text() == "mine"
    both = tmp_path / "new.png"
    assert "give each a name of its own" in cli("data", "align", *files, "--click", both, "--figure", both).err


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_matrix_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"status": "ok", "matrix": TRUE.tolist()}))
    found = read_calibration(path).mapping((24, 32))
    assert found.matrix is not None
    np.testing.assert_allclose(found.matrix, TRUE)
    homography = [*TRUE.tolist(), [0, 0, 1.0]]
    positions = read_calibration(write(tmp_path / "h.yaml", {"matrix": homography})).mapping((24, 32)).positions
    assert positions is not None
    y, x = np.mgrid[:24, :32]
    np.testing.assert_allclose(
        positions, np.stack([x, y], -1) + offset(TRUE, (24, 32))[::-1].transpose(1, 2, 0), atol=1e-4
    )


@pytest.mark.parametrize("factor", [-1, 0.5, -3])
def test_a_homography_is_the_same_map_at_any_scale(tmp_path: Path, factor: float) -> None:
    homography = np.array([[1, 0.1, 3], [0, 1, -2], [0.002, -0.06, 1]])  # some pixels lie behind the camera
    one, other = (
        read_calibration(write(tmp_path / "h.yaml", {"matrix": h.tolist()})).mapping((24, 32)).positions
        for h in (homography, factor * homography)
    )
    assert one is not None
    assert other is not None
    assert 0 < (one < -1e5).mean() < 0.5
    np.testing.assert_allclose(one, other)


K = [[400.0, 0, 160], [0, 400, 120], [0, 0, 1]]


def test_a_stereo_calibration_moves_by_focal_length_times_base_over_distance(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs the extra align")
    content = {"K1": K, "K2": K, "R": np.eye(3).tolist(), "T": [0.1, 0, 0], "distance": 20.0}
    positions = read_calibration(write(tmp_path / "c.yaml", content)).mapping((240, 320)).positions
    assert positions is not None
    y, x = np.mgrid[:240, :320]
    np.testing.assert_allclose(positions[..., 0] - x, 400 * 0.1 / 20, atol=1e-6)
    np.testing.assert_allclose(positions[..., 1], y, atol=1e-6)


def test_a_stereo_calibration_serves_images_of_half_the_size(tmp_path: Path) -> None:
    """The positions are those at the stated sizes, in pixels of the images at hand."""
    pytest.importorskip("cv2", reason="needs the extra align")
    content = {"K1": K, "K2": K, "R": np.eye(3).tolist(), "T": [0.1, 0, 0], "distance": 20.0, "D1": [-0.2, 0, 0, 0]}
    path = write(tmp_path / "c.yaml", {**content, "rgb_size": [240, 320], "thermal_size": [240, 320]})
    full = read_calibration(path).mapping((240, 320)).at((240, 320), (240, 320)).positions
    half = read_calibration(path).mapping((120, 160)).at((120, 160), (120, 160)).positions
    assert full is not None
    assert half is not None
    expected = full.reshape(120, 2, 160, 2, 2).mean((1, 3)) / 2 - 0.25  # the centre of four pixels, at half the size
    np.testing.assert_allclose(half, expected, atol=2e-3)


def test_lenses_bend(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs the extra align")
    content = {"K1": K, "K2": K, "R": np.eye(3).tolist(), "T": [0, 0, 0], "distance": 1.0, "D2": [-0.2, 0, 0, 0]}
    content["K2"] = {"rows": 3, "cols": 3, "dt": "d", "data": [v for row in K for v in row]}  # as OpenCV writes it
    positions = read_calibration(write(tmp_path / "c.yaml", content)).mapping((240, 320)).positions
    assert positions is not None
    x, y = (300 - 160) / 400, (200 - 120) / 400
    factor = 1 - 0.2 * (x * x + y * y)
    np.testing.assert_allclose(positions[200, 300], [160 + 400 * x * factor, 120 + 400 * y * factor], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"distance": 0}, "distance: 0"),
        ({"R": [1, 2]}, "R: expected 3x3 numbers"),
        ({"D1": [0.1, 0.2, 0.3]}, "D1: 3 coefficients; OpenCV knows 4, 5, 8, 12, 14"),
        ({"T": [0, "x", 0]}, "T: expected 3 numbers"),
        ({"matrix": [[1, 2], [3, 4]]}, "matrix must be 2x3 or 3x3, not 2x2"),
        ({"matrix": None}, "matrix"),
        ({"matrix": TRUE.tolist(), "rgb_size": [640]}, r"rgb_size: expected \[height, width\] in pixels, not \[640\]"),
        ({"matrix": TRUE.tolist(), "thermal_size": [512.5, 640]}, "thermal_size: expected"),
        ({"matrix": TRUE.tolist(), "rgb_size": "640x512"}, "rgb_size: expected"),
        ({"matrix": TRUE.tolist(), "image_width": 640}, "image_width: of which image.*rgb_size and thermal_size"),
    ],
)
def test_calibrations_that_are_none(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    if "matrix" not in change:
        pytest.importorskip("cv2", reason="needs the extra align")
    content = {"K1": K, "K2": K, "R": np.eye(3).tolist(), "T": [0.1, 0, 0], "distance": 20.0, **change}
    with pytest.raises(DataError, match=words):
        read_calibration(write(tmp_path / "c.yaml", content))


def test_files_that_are_no_calibration(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither 'matrix' nor"):
        read_calibration(write(tmp_path / "c.yaml", {"K1": K}))
    (tmp_path / "d.yaml").write_text("a: [")
    with pytest.raises(DataError, match="cannot be read as YAML"):
        read_calibration(tmp_path / "d.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("matrix: [[1, 0, 0], [0, 1, 0]]\nmatrix: [[1, 0, 9], [0, 1, 0]]\n", "key 'matrix' is given twice"),
        ("matrix: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        ("matrix: " + 2000 * "[" + "\n", "nested too deep"),
        ("# " + 1_000_001 * "x" + "\nmatrix: [[1, 0, 0], [0, 1, 0]]\n", "more than 1,000,000 characters"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
         + "".join(f"{b}: &{b} [{', '.join(10 * ['*' + a])}]\n" for a, b in pairwise("abcdef")) + "matrix: *f\n",
         "its anchors stand for more than"),
        ("matrix: !!opencv-matrix [1, 2]\n", "an opencv-matrix is a mapping"),
    ],
    ids=["twice", "code", "deep", "long", "anchors", "list"],
)  # fmt: skip
def test_calibrations_are_read_as_strangers_yaml(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_calibration(tmp_path / "c.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/c.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_matrix_in_a_file_of_opencv(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(
        "%YAML:1.0\n---\nmatrix: !!opencv-matrix\n   rows: 2\n   cols: 3\n   dt: d\n"
        "   data: [ 1., 0., 4., 0.,\n       1., 2.5 ]\n"
    )
    np.testing.assert_allclose(read_calibration(tmp_path / "c.yml").mapping((24, 32)).matrix, [[1, 0, 4], [0, 1, 2.5]])


def test_points_of_which_three_lie_on_one_line() -> None:
    fit = fit_points(matched(np.array([[0, 0], [100, 0], [200, 0], [0, 100.0]])))
    np.testing.assert_allclose(fit.matrix, TRUE, atol=1e-9)
    assert fit.left_out is None


def test_a_file_as_opencv_writes_it(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs the extra align")
    file = cv2.FileStorage(str(tmp_path / "c.yml"), cv2.FILE_STORAGE_WRITE)
    for key, value in {"K1": K, "K2": K, "R": np.eye(3), "T": [[0.1], [0], [0]]}.items():
        file.write(key, np.array(value))
    file.write("distance", 20.0)
    file.release()
    positions = read_calibration(tmp_path / "c.yml").mapping((24, 32)).positions
    assert positions is not None
    np.testing.assert_allclose(positions[3, 5], [5 + 400 * 0.1 / 20, 3], atol=1e-6)


def test_an_alignment_that_is_unknown_is_no_calibration(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="status is unknown"):
        read_calibration(write(tmp_path / "c.yaml", {"status": "unknown", "matrix": None}))
