"""Pairs that show nearly the same picture.

Nearly the same is judged by thumbnails (24 by 24 means in units of their standard deviation), by the cell that differs
most: a fixed camera sees the same background in every frame, and only what moves tells the frames apart. Whatever shows
nothing (a black RGB image, a constant thermal one) says nothing: then the other sensor must agree far better.

Few pairs come that far. The product of two unit thumbnails is at most that of their first principal components, plus
that of the lengths of what the components leave out. That bound tells most blocks of pairs apart by their ranges, and
most pairs of the other blocks by 33 numbers a sensor. The result is that of comparing all pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimnet.curation.check.image_stats import THUMBNAIL_STEPS, Thumbnail
from cimnet.curation.check.pair_stats import PairStats

Indices = npt.NDArray[np.int64]
Differences = npt.NDArray[np.float32]

_NEAR = 0.8  # standard deviations; copies after JPEG, noise, resizing: up to 0.4; different frames: from 1.2
_NEAR_ALONE = 0.15  # with one sensor only: frames of a fixed camera differ by 0.3 in thermal alone
_ALIKE = 0.97  # correlation of thumbnails below which the cells are not compared
_BOUND = _ALIKE - 1e-3  # of the product of what is left of them; the rest is float32's rounding
_COMPONENTS = 32
_SAMPLE = 500  # thumbnails from which the components are computed; any bound, good ones tell more pairs apart
_BLOCK = 256
_CROWDED = 1000  # pairs of two blocks from which one product of matrices takes less time than as many of vectors


def near_pairs(measured: Sequence[PairStats]) -> Iterator[tuple[Indices, Indices, Differences]]:
    """Yield the nearly equal pairs among those with both images, at most 65,536 at a time, in any order: positions i <
    j, both (P,), and by how many standard deviations they differ, (P,)."""
    if len(measured) < 2:
        return
    rgb = [stats.rgb for stats in measured if stats.rgb is not None]
    thermal = [stats.thermal for stats in measured if stats.thermal is not None]
    sensors = (
        _Thumbnails.of([stats.thumbnail for stats in rgb], [not stats.plain for stats in rgb]),
        _Thumbnails.of([stats.thumbnail for stats in thermal], [not stats.constant for stats in thermal]),
    )
    for rows, columns in _block_pairs(sensors):
        shared = [sensor for sensor in sensors if sensor.shows[rows[0]] and sensor.shows[columns[0]]]
        i, j = _candidates(shared, rows, columns)
        difference = np.zeros(len(i), np.float32)
        for sensor in shared:
            difference = np.maximum(difference, sensor.differences(i, j))
            near = difference <= (_NEAR if len(shared) > 1 else _NEAR_ALONE)
            i, j, difference = i[near], j[near], difference[near]
        if len(i):
            yield np.minimum(i, j), np.maximum(i, j), difference


@dataclass(frozen=True)
class _Thumbnails:
    """The thumbnails of one sensor: values (N, 576) in steps, their norms (N,), and which are not constant, (N,).

    `coarse`: unit vectors on their first principal components, with the length of the rest behind, (N, up to 33); zero
    for what shows nothing.
    """

    values: npt.NDArray[np.int8]
    norm: npt.NDArray[np.float64]
    shows: npt.NDArray[np.bool_]
    coarse: npt.NDArray[np.float32]

    @staticmethod
    def of(thumbnails: Sequence[Thumbnail], shows: Sequence[bool]) -> _Thumbnails:
        values, shown = np.stack(thumbnails), np.array(shows)
        norm = np.maximum(np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.int32)), 1e-6)
        sample = values[:: len(values) // _SAMPLE + 1].astype(np.float32)
        basis = np.linalg.svd(sample - sample.mean(axis=0), full_matrices=False)[2][:_COMPONENTS].T
        parts = np.split(values, range(_BLOCK, len(values), _BLOCK))
        coarse = np.concatenate([part.astype(np.float32) @ basis for part in parts]) / norm[:, None]
        rest = np.sqrt(np.maximum(0, 1 - (coarse**2).sum(axis=1, keepdims=True)))
        return _Thumbnails(values, norm, shown, (np.hstack([coarse, rest]) * shown[:, None]).astype(np.float32))

    def differences(self, i: Indices, j: Indices) -> Differences:
        """The largest difference of a cell, in standard deviations."""
        cells = np.abs(np.subtract(self.values[i], self.values[j], dtype=np.int16))
        return cells.max(axis=1) / np.float32(THUMBNAIL_STEPS)

    def correlate(self, i: Indices, j: Indices) -> npt.NDArray[np.bool_]:
        """Mark the pairs of thumbnails that correlate, (P,)."""
        products = np.einsum("ij,ij->i", self.values[i], self.values[j], dtype=np.int32)
        return products >= _ALIKE * self.norm[i] * self.norm[j]

    def correlate_all(self, rows: Indices, columns: Indices) -> npt.NDArray[np.bool_]:
        """Mark the pairs that correlate, of all rows with all columns. The products are integers below 2**24, so
        exact."""
        products = self.values[rows].astype(np.float32) @ self.values[columns].astype(np.float32).T
        return products >= _ALIKE * self.norm[rows, None] * self.norm[columns]


def _block_pairs(sensors: Sequence[_Thumbnails]) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of blocks that both show something in a sensor, and whose ranges of components are near in all of these."""
    blocks = _blocks(sensors)
    if not blocks:
        return
    low = [np.stack([sensor.coarse[rows].min(axis=0) for rows in blocks]) for sensor in sensors]
    high = [np.stack([sensor.coarse[rows].max(axis=0) for rows in blocks]) for sensor in sensors]
    shows = [np.array([sensor.shows[rows[0]] for rows in blocks]) for sensor in sensors]
    for first, rows in enumerate(blocks):
        near, compared = np.ones(len(blocks) - first, bool), np.zeros(len(blocks) - first, bool)
        for bottom, top, shown in zip(low, high, shows, strict=True):
            gap = np.maximum(0, np.maximum(bottom[first:] - top[first], bottom[first] - top[first:]))
            both = shown[first:] & shown[first]
            near &= ((gap**2).sum(axis=1) <= 2 - 2 * _BOUND) | ~both
            compared |= both
        for second in np.flatnonzero(near & compared):
            yield rows, blocks[first + second]


def _blocks(sensors: Sequence[_Thumbnails]) -> list[Indices]:
    """Rows whose images show something in the same sensors, sorted by the component that differs most."""
    points = np.hstack([sensor.coarse for sensor in sensors])
    kind = np.stack([sensor.shows for sensor in sensors], axis=1) @ [1, 2]
    blocks = []
    for value in (1, 2, 3):
        rows = np.flatnonzero(kind == value)
        if len(rows):
            rows = rows[np.argsort(points[rows, points[rows].std(axis=0).argmax()])]
        blocks += [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    return blocks


def _candidates(shared: Sequence[_Thumbnails], rows: Indices, columns: Indices) -> tuple[Indices, Indices]:
    """Pairs of two blocks that correlate in every sensor; each pair once where the two blocks are the same one."""
    near = np.all([sensor.coarse[rows] @ sensor.coarse[columns].T >= _BOUND for sensor in shared], axis=0)
    if rows is columns:
        near = np.triu(near, 1)
    if crowded := np.count_nonzero(near) > _CROWDED:
        near &= np.all([sensor.correlate_all(rows, columns) for sensor in shared], axis=0)
    i, j = np.divmod(np.flatnonzero(near), len(columns))
    i, j = rows[i], columns[j]
    if not crowded and len(i):
        alike = np.all([sensor.correlate(i, j) for sensor in shared], axis=0)
        i, j = i[alike], j[alike]
    return i, j
