"""The relative position of two cameras as a user gives it: matched points, or a calibration file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.errors import DataError, one_line
from cimnet.registration.mapping import Mapping, Size, rescale
from cimnet.registration.matrices import Matrix
from cimnet.utils.extras import require
from cimnet.utils.files import write_text
from cimnet.utils.numbers import pluralize
from cimnet.utils.yaml import read_yaml

_DISTORTIONS = (4, 5, 8, 12, 14)
_OF_ONE_IMAGE = ("image_width", "image_height", "image_size")
_COLUMNS = ("rgb_x", "rgb_y", "thermal_x", "thermal_y")


@dataclass(frozen=True)
class PointFit:
    """A matrix from matched points.

    Attributes:
        matrix: 2×3, thermal pixel of an RGB pixel.
        residual: root mean square distance of the points to the fit, in thermal pixels.
        left_out: the same when each point is predicted from the others: the error to expect elsewhere; None with too
            few points.
    """

    matrix: Matrix
    residual: float
    left_out: float | None


def read_points(path: Path) -> npt.NDArray[np.float64]:
    """Matched points (N, 4): rgb_x, rgb_y, thermal_x, thermal_y in pixels, from a CSV file with these four columns; a
    header line is optional.

    Raises:
        DataError: not such a file.
    """
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as CSV text ({error.__class__.__name__})") from error
    if rows and [cell.strip().lower() for cell in rows[0]] == list(_COLUMNS):
        rows = rows[1:]
    points = []
    for number, row in enumerate(rows, start=1):
        try:
            values = [float(cell) for cell in row]
        except ValueError:
            values = []
        if len(values) != 4 or not np.isfinite(values).all():
            raise DataError(f"{path}: point {number}: {','.join(row)!r} is not four numbers {','.join(_COLUMNS)}")
        points.append(values)
    return np.array(points, np.float64).reshape(-1, 4)


def fit_points(points: npt.NDArray[np.float64], where: str = "points") -> PointFit:
    """The matrix that fits matched points best: a translation for one point, a similarity for two, an affine map for
    more.

    Raises:
        DataError: no point, or points that do not determine a map (all on one line, or the same twice).
    """
    matrix = _fit(points, where)
    residual = float(np.sqrt(np.mean(_distances(matrix, points) ** 2)))
    if len(points) < 4:
        return PointFit(matrix, residual, None)
    others = [np.delete(points, i, axis=0) for i in range(len(points))]
    try:
        left = [_distances(_fit(rest, where), points[i : i + 1])[0] for i, rest in enumerate(others)]
    except DataError:  # without one of them the rest lie on one line
        return PointFit(matrix, residual, None)
    return PointFit(matrix, residual, float(np.sqrt(np.mean(np.square(left)))))


def _fit(points: npt.NDArray[np.float64], where: str) -> Matrix:
    rgb, thermal = points[:, :2], points[:, 2:]
    if len(points) == 0:
        raise DataError(f"{where}: no points; give at least one line rgb_x,rgb_y,thermal_x,thermal_y, better six")
    if len(points) == 1:
        return np.column_stack([np.eye(2), thermal[0] - rgb[0]])
    if len(points) == 2:
        a, b = (complex(*(pair[1] - pair[0])) for pair in (rgb, thermal))
        if a == 0 or b == 0:
            raise DataError(f"{where}: the two points are the same; spread them over the image")
        turn = b / a
        linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
        return np.column_stack([linear, thermal[0] - linear @ rgb[0]])
    system = np.column_stack([rgb, np.ones(len(rgb))])
    spreads = [np.linalg.svd(places - places.mean(0), compute_uv=False) for places in (rgb, thermal)]
    if any(spread[1] <= 1e-3 * spread[0] for spread in spreads):
        raise DataError(f"{where}: the points lie on one line; spread them over the image")
    return np.asarray(np.linalg.lstsq(system, thermal, rcond=None)[0].T, np.float64)


def _distances(matrix: Matrix, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.linalg.norm(points[:, :2] @ matrix[:, :2].T + matrix[:, 2] - points[:, 2:], axis=1)


@dataclass(frozen=True)
class Calibration:
    """The relative position of two cameras, for RGB images of any size.

    Attributes:
        matrix: 2×3 or 3×3, thermal pixel of an RGB pixel; None: `cameras` are given.
        cameras: `K1`, `D1`, `K2`, `D2`, `R` and `T` of a stereo calibration, with the `distance` of the scene.
        path: the file.
        rgb_size, thermal_size: (height, width) of the images it was made from; None: the file does not say.
    """

    matrix: Matrix | None
    cameras: dict[str, Any]
    path: Path
    rgb_size: Size | None = None
    thermal_size: Size | None = None

    def mapping(self, size: Size) -> Mapping:
        """The mapping for RGB images of this (height, width).

        Raises:
            DataError: RGB images of another shape than those the file was made from.
        """
        source = str(self.path)
        if self.matrix is not None and self.matrix.shape == (2, 3):
            return Mapping(self.matrix, None, self.rgb_size, self.thermal_size, source)
        stated = self.rgb_size or size
        rescale("RGB", stated, size, source)  # refuses another shape
        y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
        x, y = ((v + 0.5) * old / new - 0.5 for v, old, new in ((x, stated[1], size[1]), (y, stated[0], size[0])))
        positions = _by_cameras(self.cameras, x, y) if self.matrix is None else _by_homography(self.matrix, x, y)
        return Mapping(None, positions, size, self.thermal_size, source)


def read_calibration(path: Path) -> Calibration:
    """A calibration from a YAML or JSON file.

    Either `matrix`, 2×3 or 3×3 (a homography, at any scale), that leads from RGB to thermal pixels; the file that
    `cimnet data align --json` prints is one. Or a stereo calibration in OpenCV's terms: `K1`, `D1` of the RGB camera,
    `K2`, `D2` of the thermal camera, `R`, `T` from the first to the second, and `distance`, the distance of the scene
    (in the unit of T).
    The latter need the extra align.

    Both may say the sizes of the images that they were made from: `rgb_size` and `thermal_size`, [height, width].

    Raises:
        DataError: not such a file, a value of the wrong form, or a size that may be either image's; it names the key.
        MissingExtra: a stereo calibration without the extra align.
    """
    try:
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as YAML or JSON ({one_line(error, 120)})") from error
    if not isinstance(content, dict) or not ("matrix" in content or {"K1", "K2", "R", "T"} <= content.keys()):
        raise DataError(f"{path}: holds neither 'matrix' nor a stereo calibration (K1, D1, K2, D2, R, T, distance)")
    if content.get("status") == "unknown":
        raise DataError(f"{path}: its status is unknown: there is no matrix in it")
    if key := next((key for key in _OF_ONE_IMAGE if key in content), None):
        raise DataError(
            f"{path}: {key}: of which image? Write rgb_size and thermal_size, [height, width] each, instead"
        )
    sizes = _size(content, "rgb_size", path), _size(content, "thermal_size", path)
    if "matrix" not in content:
        return Calibration(None, _read_cameras(content, path), path, *sizes)
    matrix = _numbers(content, "matrix", path)
    if matrix.shape not in ((2, 3), (3, 3)):
        raise DataError(f"{path}: matrix must be 2x3 or 3x3, not {'x'.join(map(str, matrix.shape))}")
    return Calibration(matrix, {}, path, *sizes)


def _size(content: dict[str, Any], key: str, path: Path) -> Size | None:
    value = content.get(key)
    if value is None:
        return None
    whole = isinstance(value, list) and all(type(side) is int and side > 0 for side in value)
    if not whole or len(value) != 2:
        raise DataError(f"{path}: {key}: expected [height, width] in pixels, not {str(value)[:60]}")
    return value[0], value[1]


def _by_homography(matrix: Matrix, x: Matrix, y: Matrix) -> Matrix:
    u, v, w = np.tensordot(matrix, np.stack([x, y, np.ones_like(x)]), axes=1)
    if w.mean() < 0:  # at the centre, which lies before the camera: minus the matrix is the same map
        u, v, w = -u, -v, -w
    with np.errstate(divide="ignore", invalid="ignore"):
        positions = np.where(w[..., None] > 0, np.stack([u / w, v / w], axis=-1), np.nan)  # w ≤ 0: behind the camera
    return np.where(np.isfinite(positions), positions, -1e6)


def _read_cameras(content: dict[str, Any], path: Path) -> dict[str, Any]:
    require("cv2", "align", f"{path}: a stereo calibration")
    distance = content.get("distance")
    if not isinstance(distance, int | float) or isinstance(distance, bool) or distance <= 0:
        raise DataError(f"{path}: distance: {distance!r} is not the distance of the scene, in the unit of T")
    found: dict[str, Any] = {"distance": distance}
    for key, shape in {"K1": (3, 3), "K2": (3, 3), "R": (3, 3), "T": (3,)}.items():
        found[key] = _numbers(content, key, path, shape)
    for key in ("D1", "D2"):
        found[key] = _numbers(content, key, path).reshape(-1) if key in content else np.zeros(5)
        if len(found[key]) not in _DISTORTIONS:
            counts = ", ".join(map(str, _DISTORTIONS))
            raise DataError(f"{path}: {key}: {pluralize(len(found[key]), 'coefficient')}; OpenCV knows {counts}")
    return found


def _by_cameras(cameras: dict[str, Any], x: Matrix, y: Matrix) -> Matrix:
    import cv2

    pixels = np.stack([x.ravel(), y.ravel()], axis=-1)[:, None]
    rays = cv2.undistortPoints(pixels, cameras["K1"], cameras["D1"]).reshape(-1, 2)
    scene = np.column_stack([rays, np.ones(len(rays))]) * cameras["distance"]
    turned, _ = cv2.Rodrigues(cameras["R"])
    seen, _ = cv2.projectPoints(scene, turned, cameras["T"], cameras["K2"], cameras["D2"])
    return np.asarray(seen, np.float64).reshape(*x.shape, 2)


def _numbers(content: dict[str, Any], key: str, path: Path, shape: tuple[int, ...] | None = None) -> Matrix:
    """An array of a file; also in the form of OpenCV's FileStorage (rows, cols, data)."""
    value = content[key]
    try:
        if isinstance(value, dict):
            value = np.reshape(value["data"], (value["rows"], value["cols"]))
        array: Matrix = np.array(value, np.float64)
        array = array if shape is None else array.reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        expected = "numbers" if shape is None else f"{'x'.join(map(str, shape))} numbers"
        raise DataError(f"{path}: {key}: expected {expected}, not {str(value)[:60]}") from error
    if not np.isfinite(array).all():
        raise DataError(f"{path}: {key}: holds values that are not finite")
    return array


_NO_SCREEN = "--click needs a screen; write the points into a CSV file and give it with --points"
Clicks = Callable[[Any], list[tuple[float, float]]]


def pick_points(
    rgb: npt.NDArray[Any], thermal: npt.NDArray[Any], path: Path, clicks: Clicks | None = None
) -> npt.NDArray[np.float64]:
    """Let a person click matching places in a window: RGB, thermal, RGB, thermal …, Enter to end. They are written
    to a CSV file that `read_points` reads.

    Args:
        clicks: takes the figure and returns the clicked places in order; default: matplotlib's ginput.

    Raises:
        DataError: there is no screen, no click, one in the wrong image, or a last one without its partner. The pairs
            before it are written.
    """
    import matplotlib.pyplot as plt

    try:
        figure, axes = plt.subplots(1, 2, figsize=(15, 6), layout="constrained")
    except ImportError as error:  # a window system is requested that is not available
        raise DataError(_NO_SCREEN) from error
    axes[0].imshow(rgb)
    axes[1].imshow(thermal, cmap="gray")
    figure.suptitle("click a place left, the same place right, and so on (six or more); Enter ends")
    images: dict[tuple[float, float], int] = {}  # in which of the two a place was clicked: ginput does not tell

    def note(event: Any) -> None:
        if event.inaxes is not None:
            images[event.xdata, event.ydata] = list(axes).index(event.inaxes)

    for kind in ("button_press_event", "key_press_event"):
        figure.canvas.mpl_connect(kind, note)
    try:
        if clicks is None and figure.canvas.required_interactive_framework is None:
            raise DataError(_NO_SCREEN)
        places = figure.ginput(0, timeout=0) if clicks is None else clicks(figure)
    finally:
        plt.close(figure)
    numbered = enumerate(places)
    wrong = next((k for k, place in numbered if images.get((place[0], place[1]), k % 2) != k % 2), None)
    count = len(places[:wrong]) // 2
    rows = [(*left, *right) for left, right in zip(places[: 2 * count : 2], places[1 : 2 * count : 2], strict=True)]
    if rows:
        lines = [",".join(_COLUMNS), *(",".join(f"{v:.2f}" for v in row) for row in rows)]
        write_text(path, "\n".join(lines) + "\n")
    if wrong is not None or len(places) % 2 or not rows:
        fault = pluralize(len(places), "click") if wrong is None else f"click {wrong + 1} is in the wrong image"
        kept = f"; {pluralize(count, 'pair')} before it: {path}, for --points" if rows else ""
        raise DataError(f"--click: {fault}; each place needs one left, then one right{kept}")
    return np.array(rows, np.float64)
