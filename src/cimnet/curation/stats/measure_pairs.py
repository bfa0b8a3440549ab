"""Measure one pair: light, class pixels, offsets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from cimnet.data import RGBTDataset
from cimnet.data.classes import moving_ids
from cimnet.data.flags import BROKEN_FLAGS
from cimnet.data.io.lighting import lighting
from cimnet.data.io.pixels import first_channel
from cimnet.data.layouts.kust4k import Kust4K
from cimnet.registration import align_pair
from cimnet.registration.objects import MIN_PIXELS, object_offsets
from cimnet.utils.pool import Progress, run_in_processes

STATIC, DYNAMIC = 3.0, 5.0
"""Pixels of static or dynamic offset above which a pair counts as weakly aligned."""
STILL = 1.0  # an object with less than this, in pixels, beyond the pair's offset has not moved


@dataclass(frozen=True)
class PairStats:
    """Measurements of one pair.

    Attributes:
        id, scene, flags: as in :class:`cimnet.RGBTSample`.
        light: "day", "night" or "dark_night", by the brightness of the RGB image; "" if that image is broken.
        pixels: number of label pixels of each class.
        asked: whether offsets were to be measured.
        static: (dx, dy) of the whole pair, pixels. None: unknown, or not measured.
        dynamic: (dx, dy) of each object that moved and could be measured, beyond ``static``, pixels.
    """

    id: str
    scene: str
    light: str
    flags: tuple[str, ...]
    pixels: tuple[int, ...]
    asked: bool = False
    static: tuple[float, float] | None = None
    dynamic: tuple[tuple[float, float], ...] = ()

    @property
    def weak(self) -> bool | None:
        """Whether the pair is weakly aligned; None: not known."""
        if self.static is None:
            return None
        return bool(np.hypot(*self.static) > STATIC or any(np.hypot(*moved) > DYNAMIC for moved in self.dynamic))


class Job(NamedTuple):
    """A pair of a split by its position; `asked`: whether its offsets are wanted."""

    split: str
    position: int
    asked: bool


def measure_pairs(
    sets: dict[str, RGBTDataset], jobs: list[Job], workers: int, progress: Progress | None = None
) -> list[PairStats]:
    """Measure the pair of each job, in order.

    Raises:
        DataError: files that cannot be used.
        CimnetError: a worker process was killed.
    """
    work = partial(_measure, sets, 1 if workers > 1 else None)
    return run_in_processes(work, jobs, workers, name=lambda job: sets[job.split].ids[job.position], progress=progress)


def _measure(sets: dict[str, RGBTDataset], threads: int | None, job: Job) -> PairStats:
    if threads is not None:
        torch.set_num_threads(threads)
    return measure_pair(sets[job.split], job)


def measure_pair(data: RGBTDataset, job: Job) -> PairStats:
    """Read a pair and count.

    Raises:
        DataError: files that cannot be used.
    """
    index = job.position
    arrays, flags, scene = data.arrays(index), data.flags[index], data.scenes[index]
    ids = np.zeros(0, np.uint8) if arrays.label is None else arrays.label.ravel()
    pixels = np.bincount(ids, minlength=256)[: len(data.classes)].tolist()
    light = "" if "rgb_broken" in flags else lighting(arrays.rgb, {"dark_night": "night"}.get(scene, scene))
    static, dynamic = _offsets(data, index) if job.asked else (None, ())
    return PairStats(data.ids[index], scene, light, tuple(sorted(flags)), tuple(pixels), job.asked, static, dynamic)


Offset = tuple[float, float]


def _offsets(data: RGBTDataset, index: int) -> tuple[Offset | None, tuple[Offset, ...]]:
    """Static and dynamic offsets of a pair: true ones where the set carries them, else estimates."""
    arrays = data.arrays(index)
    truth = data.truth(index) if isinstance(data, Kust4K) else None
    if truth is not None:
        return _true_offsets(truth["offset"].astype(np.float32), truth["moving"].astype(bool))
    if not data.flags[index].isdisjoint(BROKEN_FLAGS):
        return None, ()
    thermal = first_channel(arrays.thermal)
    found = align_pair(arrays.rgb, thermal)
    if found.matrix is None or found.dx is None or found.dy is None:
        return None, ()
    if arrays.label is None:
        return (found.dx, found.dy), ()
    movable = sorted(moving_ids(data.classes))
    things = object_offsets(arrays.rgb, thermal, arrays.label, movable, found.matrix)
    own = [(thing.own_dx, thing.own_dy) for thing in things if thing.own_dx is not None and thing.own_dy is not None]
    return (found.dx, found.dy), tuple(moved for moved in own if np.hypot(*moved) > STILL)


def has_truth(data: Kust4K) -> bool:
    """Whether every pair carries its true offset."""
    return all((data.root / "truth" / f"{name}.npz").is_file() for name in data.ids)


def _true_offsets(offset: npt.NDArray[Any], moving: npt.NDArray[np.bool_]) -> tuple[Offset, tuple[Offset, ...]]:
    """The mean of what stands still, and what each region that moves has beyond the nearest thing that does not."""
    dy, dx = (float(v) for v in offset[:, ~moving].mean(axis=1))
    nearest = ndimage.distance_transform_edt(moving, return_distances=False, return_indices=True)
    own = offset - offset[:, nearest[0], nearest[1]]
    regions, count = ndimage.label(moving, np.ones((3, 3)))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    things = [own[:, regions == number].mean(axis=1) for number in range(1, count + 1) if sizes[number] >= MIN_PIXELS]
    return (dx, dy), tuple((float(x), float(y)) for y, x in things)
