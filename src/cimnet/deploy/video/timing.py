"""Estimate the time offset of two videos from their pictures, or report that it cannot be found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cimnet.deploy.video.frames import Frame
from cimnet.deploy.video.motion import FEW, Track, Vector, track
from cimnet.errors import DataError
from cimnet.ops.edges import correlation
from cimnet.utils.numbers import pluralize, spread_evenly

SPAN = 60.0
MAX_OFFSET = 5.0
_SAMPLE = 24  # RGB frames whose edges are compared
_REACH = 3  # cells of the edge maps (6 % of the width) by which cameras may be displaced
_LEAST_FIT = 0.7  # of motion; two cameras that move smoothly, each on its own, reach 0.6 at some offset
_LEAST_EDGES = 0.04  # rise of edges; of unrelated videos up to 0.03
_LEAST_MARGIN = 0.25


@dataclass(frozen=True)
class Curve:
    """The fit of two videos by offset.

    Attributes:
        offsets, scores: of the curve.
        best: offset of its peak, between the samples.
        fit: score at the peak, at most 1.
        rise: height of the peak above the median of the curve.
        margin: the peak's lead over the next peak, as a share of the rise: 1 without another, 0 with one as high.
    """

    offsets: Vector
    scores: Vector
    best: float
    fit: float
    rise: float
    margin: float


@dataclass(frozen=True)
class OffsetEstimate:
    """The offset of two cameras' clocks.

    Attributes:
        offset: thermal time − RGB time of the same moment, seconds. None: it cannot be found.
        confidence: 0..1, by how far the peak stands out; 0 without an offset.
        reason: in words, what the offset rests on, or why there is none.
        motion, edges: agreement of both videos over the offset, by motion and by edges.
    """

    offset: float | None
    confidence: float
    reason: str
    motion: Curve
    edges: Curve


def estimate_offset(
    rgb: Iterable[Frame], thermal: Iterable[Frame], span: float = SPAN, max_offset: float = MAX_OFFSET
) -> OffsetEstimate:
    """Estimate the offset of two videos' clocks from their first seconds.

    Two things are compared for every offset: how the whole picture moves and changes, and where edges are and how they
    run. Each gives a curve. One curve whose peak stands out is believed; if both stand out, they must agree.

    Args:
        rgb, thermal: frames of both videos with their times.
        span: seconds of video that are compared.
        max_offset: largest offset to try in either direction, seconds.

    Raises:
        DataError: a video has too few frames.
    """
    return compare(track(rgb, span), track(thermal, span + max_offset), max_offset)


def compare(rgb: Track, thermal: Track, max_offset: float = MAX_OFFSET) -> OffsetEstimate:
    """The same for two tracks."""
    for name, found in (("RGB", rgb), ("thermal", thermal)):
        if len(found.times) < FEW:
            raise DataError(
                f"the {name} video has {pluralize(len(found.times), 'frame')}, too few to estimate the time offset from"
            )
    width = max(rgb.interval, thermal.interval)
    motion, edges = _motion(rgb, thermal, max_offset, width), _edges(rgb, thermal, max_offset, width)
    sure = [motion.fit > _LEAST_FIT and motion.margin > _LEAST_MARGIN]
    sure += [edges.rise > _LEAST_EDGES and edges.margin > _LEAST_MARGIN]
    apart = abs(motion.best - edges.best)
    if all(sure) and apart > 2 * width:
        reason = f"motion says {motion.best:.2f} s and edges say {edges.best:.2f} s"
    elif sure[1]:
        return OffsetEstimate(edges.best, edges.margin, "edges" + " and motion" * sure[0], motion, edges)
    elif sure[0]:
        return OffsetEstimate(motion.best, motion.margin, "motion", motion, edges)
    else:
        reason = "neither motion nor edges fit clearly better at one offset than at others"
    return OffsetEstimate(None, 0.0, reason, motion, edges)


def _motion(rgb: Track, thermal: Track, max_offset: float, width: float) -> Curve:
    """Correlation of speed and change over time."""
    step = width / 4
    grids = [np.arange(t.times[0] + width / 2, t.times[-1] - width / 2 + 1e-9, step) for t in (rgb, thermal)]
    rates = [t.rates(grid, width) for t, grid in zip((rgb, thermal), grids, strict=True)]
    between = (grids[1][0] - grids[0][0]) / step  # of the grids' starts, in steps
    least = max(FEW, min(map(len, grids)) // 3)
    offsets, scores = [], []
    reach = round(max_offset / step)
    for lag in range(-reach, reach + 1):  # thermal sample k + lag belongs to RGB sample k
        first, last = max(0, -lag), min(len(grids[0]), len(grids[1]) - lag)
        if last - first >= least:
            a, b = rates[0][first:last], rates[1][first + lag : last + lag]
            offsets.append((lag + between) * step)
            scores.append(_fit(a, b))
    return _curve(np.array(offsets), np.array(scores), width)


def _fit(a: Vector, b: Vector) -> float:
    """Mean of the correlations of the speeds, taken together, and of the changes."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    parts = []
    for columns in (slice(0, 2), slice(2, 3)):
        norm = np.sqrt((a[:, columns] ** 2).sum() * (b[:, columns] ** 2).sum())
        parts.append(float((a[:, columns] * b[:, columns]).sum() / norm) if norm > 1e-9 else 0.0)
    return sum(parts) / 2


def _edges(rgb: Track, thermal: Track, max_offset: float, width: float) -> Curve:
    """Agreement of orientation maps, at the displacement of the cameras that suits all sampled frames best."""
    offsets = np.arange(-max_offset, max_offset + 1e-9, width / 2)
    chosen = np.array(spread_evenly(len(rgb.times), 4 * _SAMPLE))
    kept, scores = [], []
    for offset in offsets:
        targets = rgb.times[chosen] + offset
        there = (targets >= thermal.times[0] - width / 2) & (targets <= thermal.times[-1] + width / 2)
        if there.sum() < max(FEW, len(chosen) // 3):
            continue
        picked = np.flatnonzero(there)[:: max(1, int(there.sum()) // _SAMPLE)]
        partner = np.abs(targets[picked, None] - thermal.times[None]).argmin(axis=1)
        maps = rgb.edges[chosen[picked]].float(), thermal.edges[partner].float()
        kept.append(float(offset))
        scores.append(float(correlation(maps[0], maps[1], _REACH).max()))
    return _curve(np.array(kept), np.array(scores), width)


def _curve(offsets: Vector, scores: Vector, width: float) -> Curve:
    if len(scores) < 3:
        return Curve(offsets, scores, 0.0, 0.0, 0.0, 0.0)
    peak = int(scores.argmax())
    best = offsets[peak]
    if 0 < peak < len(scores) - 1:
        left, middle, right = scores[peak - 1 : peak + 2]
        best += (offsets[1] - offsets[0]) * 0.5 * (left - right) / min(left - 2 * middle + right, -1e-9)
    rise = float(scores[peak] - np.median(scores))
    rivals = [
        scores[k]
        for k in range(len(scores))
        if abs(offsets[k] - best) > 2 * width and scores[k] >= scores[max(0, k - 1) : k + 2].max()
    ]
    margin = (scores[peak] - max(rivals, default=float(np.median(scores)))) / max(rise, 1e-9)
    return Curve(offsets, scores, float(best), float(scores[peak]), rise, float(np.clip(margin, 0, 1)))
