"""Geometric corruptions: the thermal image moves against RGB and label, and the offset that does it is known.

All maps are written as offsets (2, H, W), (dy, dx) in pixels: what RGB shows at p lies at p + offset(p) in the changed
thermal image. Where the thermal image has nothing to show, its nearest pixel is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from cimnet.data.corruptions.corruption import Context
from cimnet.data.sample import IGNORE_INDEX, RGBTSample
from cimnet.errors import DataError

Array = npt.NDArray[Any]
_GROUND = 0.2  # a region of more than this share of the image is ground: parallax leaves it where it is
_SEAM = 2  # pixels by which a thing's mask grows, since masks are drawn in the RGB image


def translation(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """A shift of `level` pixels in a random direction."""
    angle = context.rng.uniform(0, 2 * np.pi)
    return _affine(sample, np.eye(2), level * np.array([np.sin(angle), np.cos(angle)]))


def rotation(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """A turn of `level` degrees about the centre, either way."""
    angle = np.deg2rad(level) * context.rng.choice((-1, 1))
    return _affine(sample, np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))


def scale(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Another focal length: `level` per cent larger or smaller about the centre."""
    factor = 1 + level / 100
    return _affine(sample, np.eye(2) * (factor if context.rng.random() < 0.5 else 1 / factor))


def affine(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """U-MFNet's recipe: three corners, each moved by up to `level` pixels along both axes, and the map through them."""
    height, width = sample.thermal.shape[-2:]
    corners = np.array([[0, 0], [0, width - 1], [height - 1, 0]], np.float64)
    moved = corners + context.rng.uniform(-level, level, (3, 2))
    matrix = np.linalg.solve(np.column_stack([corners, np.ones(3)]), moved).T  # (2, 3), of (y, x, 1)
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    return _affine(sample, matrix[:, :2], matrix @ np.append(centre, 1) - centre)


def warp(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """A smooth bending, as of lenses and of uneven ground: at most `level` pixels."""
    height, width = sample.thermal.shape[-2:]
    field = context.rng.standard_normal((2, height, width))
    field = ndimage.gaussian_filter(field, (0, min(height, width) / 6, min(height, width) / 6))
    return _resample(sample, field * (level / max(float(np.hypot(*field).max()), 1e-9)))


def rolling_shutter(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """The thermal rows are read one after another while the camera turns: `level` pixels from first to last row."""
    height, width = sample.thermal.shape[-2:]
    along = np.linspace(-0.5, 0.5, height)[:, None] * level * context.rng.choice((-1, 1))
    return _resample(sample, np.stack([np.zeros((height, width)), np.broadcast_to(along, (height, width))]))


def parallax(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Two cameras side by side: every region of the label smaller than a fifth of the image is a layer of its own,
    moved along one baseline by 0 to `level` pixels; the rest is ground and stays."""
    label = _label(sample, "parallax")
    angle = context.rng.uniform(0, 2 * np.pi)
    baseline = np.array([np.sin(angle), np.cos(angle)])
    values = [value for value in np.unique(label) if value != IGNORE_INDEX]
    regions = [region for value in values for region in _regions(label == value)]
    regions = [(box, mask) for box, mask in regions if mask.sum() <= _GROUND * label.size]
    regions = [regions[k] for k in context.rng.permutation(len(regions))]  # no class is nearer than others
    nearness = np.sort(context.rng.random(len(regions)))  # what is near is drawn last
    return _move(sample, regions, [level * depth * baseline for depth in nearness])


def time_lag(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """The thermal camera records later: each object of a moving class has moved on by 0.4 to 1 times `level` pixels."""
    label = _label(sample, "time_lag")
    regions = _regions(np.isin(label, sorted(context.moving)))
    angles, speeds = context.rng.uniform(0, 2 * np.pi, len(regions)), context.rng.uniform(0.4, 1, len(regions))
    return _move(sample, regions, list((level * speeds * np.array([np.sin(angles), np.cos(angles)])).T))


def _label(sample: RGBTSample, name: str) -> Array:
    if sample.label is None:
        raise DataError(f"{sample.id}: {name} moves things by their label, and there is none")
    return sample.label.numpy()


def _affine(sample: RGBTSample, matrix: Array, shift: Array | None = None) -> RGBTSample:
    """RGB (y, x) is seen at centre + matrix (p - centre) + shift."""
    height, width = sample.thermal.shape[-2:]
    y, x = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    moved = np.zeros(2) if shift is None else shift

    def lead(m: Array, t: Array) -> Array:
        return np.stack([m[0, 0] * y + m[0, 1] * x + t[0] - y, m[1, 0] * y + m[1, 1] * x + t[1] - x])

    back = np.linalg.inv(matrix)
    return _sampled(sample, lead(back, -back @ moved), lead(matrix, moved))


def _resample(sample: RGBTSample, come: Array) -> RGBTSample:
    """`come` (2, H, W): how far what is seen at q in the changed image has come. The way out, f(p) = come(p + f(p)), is
    found by repeating that."""
    grid = np.mgrid[: come.shape[1], : come.shape[2]].astype(np.float64)
    offset = come
    for _ in range(4):
        offset = np.stack([ndimage.map_coordinates(axis, grid + offset, order=1, mode="nearest") for axis in come])
    return _sampled(sample, -come, offset)


def _sampled(sample: RGBTSample, back: Array, offset: Array) -> RGBTSample:
    thermal = sample.thermal[0].numpy()
    grid = np.mgrid[: thermal.shape[0], : thermal.shape[1]] + back
    changed = ndimage.map_coordinates(thermal, grid, order=1, mode="nearest")
    return _with(sample, changed, offset)


def _with(sample: RGBTSample, thermal: Array, offset: Array) -> RGBTSample:
    """An offset that was there before comes first: f(p) = before(p) + offset(p + before(p))."""
    if sample.offset is not None:
        before = sample.offset.numpy().astype(np.float64)
        grid = np.mgrid[: before.shape[1], : before.shape[2]] + before
        offset = before + np.stack([ndimage.map_coordinates(axis, grid, order=1, mode="nearest") for axis in offset])
    return replace(
        sample,
        thermal=torch.from_numpy(np.ascontiguousarray(thermal, np.float32))[None],
        offset=torch.from_numpy(np.ascontiguousarray(offset, np.float32)),
    )


def _regions(mask: Array) -> list[tuple[tuple[slice, slice], Array]]:
    """Connected regions: where each lies, and its mask there."""
    numbered, _ = ndimage.label(mask)
    return [(box, numbered[box] == k) for k, box in enumerate(ndimage.find_objects(numbered), start=1)]


def _move(sample: RGBTSample, regions: Sequence[Any], steps: Sequence[Array]) -> RGBTSample:
    """Cut the regions out of the thermal image, fill what lay behind them from around, and lay them where they go."""
    before = sample.thermal[0].numpy()
    height, width = before.shape
    offset = np.zeros((2, height, width))
    hole = np.zeros(before.shape, np.bool_)
    for ((rows, columns), mask), step in zip(regions, steps, strict=True):
        offset[:, rows, columns] += step[:, None, None] * mask
        hole[rows, columns] |= mask
    if not hole.any() or not np.any(offset):
        return _with(sample, before, offset)
    after = _fill(before, ndimage.binary_dilation(hole, iterations=_SEAM))
    for ((rows, columns), mask), step in zip(regions, steps, strict=True):
        reach = _SEAM + 1 + int(np.abs(step).max() + 1)
        top, left = max(rows.start - reach, 0), max(columns.start - reach, 0)
        window = np.s_[top : rows.stop + reach, left : columns.stop + reach]
        patch = before[window]
        cover = np.zeros(patch.shape)
        cover[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = mask
        cover = ndimage.gaussian_filter(ndimage.grey_dilation(cover, (2 * _SEAM + 1,) * 2), 0.7)
        share = ndimage.shift(cover, step, order=1)
        after[window] += share * (ndimage.shift(patch, step, order=1, mode="nearest") - after[window])
    return _with(sample, after, offset)


def _fill(image: Array, hole: Array) -> Array:
    """The nearest pixels outside, softened inside the hole."""
    if hole.all():
        return np.full_like(image, image.mean())
    nearest = ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True)
    filled = image[tuple(nearest)]
    return np.where(hole, ndimage.gaussian_filter(filled, 2), image)
