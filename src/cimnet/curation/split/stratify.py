"""Distribute groups of pairs over parts, so that each part gets its share of everything that is counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FREE = -1
_PASSES = 20
_CANDIDATES = 500  # groups that one may change places with, in a pass


def stratify(
    amounts: npt.NDArray[np.generic],
    shares: Sequence[float],
    seed: int,
    weights: Sequence[float] | None = None,
    fixed: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int64]:
    """The part of each group, (groups,).

    What is held by few groups is placed first, each group where the parts then miss their shares least: the sum over
    parts and columns of weight · (share got - share wanted)² / share wanted. Then groups are moved, or change places,
    as long as that sum falls. Every part gets a group.

    Args:
        amounts: (groups, columns) how much of each thing a group holds; a column of zeros is left out.
        shares: of the parts, positive, of sum 1; at most as many as groups.
        seed: decides between groups that are alike. The result depends on the order of the rows by it alone.
        weights: of the columns; None: 1.
        fixed: (groups,) the part of each group that has one already, FREE for the others; None: all are free. Fixed
            groups count, and stay.
    """
    wanted = np.asarray(shares, np.float64)
    held = np.asarray(amounts, np.float64)
    totals = held.sum(axis=0)
    weight = np.ones(len(totals)) if weights is None else np.asarray(weights, np.float64)
    held, weight = held[:, totals > 0] / totals[totals > 0], weight[totals > 0]
    parts = np.full(len(held), FREE) if fixed is None else fixed.copy()
    free = np.flatnonzero(parts == FREE)
    random = np.random.default_rng(seed)
    order = random.permutation(len(held))
    rarity = np.round(
        np.log2(held.max(axis=1, initial=1e-12))
    )  # whole steps: groups that are alike stay in random order
    order = order[np.argsort(-rarity[order], kind="stable")]
    scaled = held * np.sqrt(weight)
    placed = _place(scaled, wanted, np.sqrt(weight), order[parts[order] == FREE], parts)
    return _improve(scaled, wanted, np.sqrt(weight), placed, free, random)


def _place(
    held: Floats, wanted: Floats, full: Floats, order: npt.NDArray[np.int64], parts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """One free group after the other where it is missed most; the last ones go to parts that have none yet."""
    parts = parts.copy()
    short = _short(held, wanted, full, parts)
    counts = np.bincount(parts[parts != FREE], minlength=len(wanted))
    for position, group in enumerate(order):
        cost = ((2 * short + held[group]) * held[group]).sum(axis=1) / wanted
        empty = counts == 0
        if empty.sum() >= len(order) - position:
            cost[~empty] = np.inf
        part = int(cost.argmin())
        parts[group] = part
        short[part] += held[group]
        counts[part] += 1
    return parts


def _improve(
    held: Floats,
    wanted: Floats,
    full: Floats,
    parts: npt.NDArray[np.int64],
    free: npt.NDArray[np.int64],
    random: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Move free groups, or let two change places, as long as that brings the parts nearer to their shares."""
    parts = parts.copy()
    short = _short(held, wanted, full, parts)
    counts = np.bincount(parts, minlength=len(wanted))
    for _ in range(_PASSES):
        changed = False
        for group in random.permutation(free):  # nothing in here may take longer the more groups there are
            some = random.choice(free, _CANDIDATES, replace=False) if len(free) > _CANDIDATES else free
            others = some[parts[some] != parts[group]]
            alone = counts[parts[group]] == 1
            moves = np.array([] if alone else [part for part in range(len(wanted)) if part != parts[group]], np.int64)
            goals = np.concatenate([moves, parts[others]])
            if not goals.size:
                continue
            given = held[group] - np.concatenate([np.zeros((len(moves), held.shape[1])), held[others]])
            gain = _change(given, short[parts[group]], wanted[parts[group]], -1) + _change(
                given, short[goals], wanted[goals], 1
            )
            best = int(gain.argmin())
            if gain[best] > -1e-12:
                continue
            short[parts[group]] -= given[best]
            short[goals[best]] += given[best]
            if best >= len(moves):
                parts[others[best - len(moves)]] = parts[group]
            else:
                counts[parts[group]] -= 1
                counts[goals[best]] += 1
            parts[group] = goals[best]
            changed = True
        if not changed:
            break
    return parts


def _short(held: Floats, wanted: Floats, full: Floats, parts: npt.NDArray[np.int64]) -> Floats:
    """(parts, columns): what each part holds, less what is wanted."""
    return np.stack([held[parts == part].sum(axis=0) for part in range(len(wanted))]) - wanted[:, None] * full


def _change(given: Floats, short: Floats, wanted: Floats, sign: int) -> Floats:
    """Return the change of the sum of squares if a part gets (sign 1) or gives (-1) each row of `given`."""
    return ((given + 2 * sign * short) * given).sum(axis=1) / wanted
