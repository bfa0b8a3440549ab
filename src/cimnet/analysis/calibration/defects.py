"""Pairs with defects made on purpose, to learn what broken and misaligned pairs look like."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from cimnet.analysis.calibration.pair_source import Pairs
from cimnet.data.classes import moving_ids
from cimnet.data.corruptions import CORRUPTIONS, DROPPED, corrupt, earlier_index
from cimnet.data.flags import BROKEN_FLAGS
from cimnet.data.sample import RGBTSample
from cimnet.errors import ConfigError
from cimnet.inference.alarms.thresholds import ALARMS

_GROUPS = {"rgb": "rgb_broken", "thermal": "thermal_broken", "geometry": "misaligned"}
DEFECTS = tuple(name for name in CORRUPTIONS if name not in DROPPED)
"""Corruptions that the alarms are fitted on."""

MOST_PAIRS = 200
_SHORTEST = 4 / 320  # of the width: an offset that misaligns
_LONGEST = 16 / 320
_COPIES = 4  # copies of each pair with each kind of defect; fewer if there are many pairs


@dataclass(frozen=True)
class Case:
    """A pair, as it is or with a defect.

    Attributes:
        sample: the pair.
        truth: by alarm, whether it should be raised; no entry if that is not known.
        pair: index in the data set.
        defect: name of the corruption, empty for a pair as it is.
    """

    sample: RGBTSample
    truth: dict[str, bool]
    pair: int
    defect: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.defect and not any(self.truth.values())


def cases(
    pairs: Pairs, seed: int = 0, defects: Collection[str] = DEFECTS, most_pairs: int | None = None
) -> Iterator[Case]:
    """Up to ``most_pairs`` pairs (default: `MOST_PAIRS`), drawn by the seed: each as it is, then, unless it is broken
    already, some copies with a defect of each sensor (severities 2 to 5) and with an offset (the largest from 4 pixels
    at 320 pixels' width). All in all, there are at most four times ``most_pairs`` cases."""
    most_pairs = MOST_PAIRS if most_pairs is None else most_pairs
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(pairs))[:most_pairs])
    copies = max(1, min(_COPIES, most_pairs // max(len(chosen), 1)))
    for index in chosen.tolist():
        sample = pairs[index]
        yield Case(sample, _truth(sample.flags), index)
        for alarm in ALARMS if sample.flags.isdisjoint(BROKEN_FLAGS) else ():
            names = [name for name in defects if alarm_of(name) == alarm and _can(sample, name)]
            for name in rng.permutation(names)[:copies].tolist():
                case = corrupt_pair(pairs, index, sample, name, rng)
                if case is not None:
                    yield case


def defects_named(text: str | None) -> tuple[str, ...]:
    """The defects in a text with commas; None: all of `DEFECTS`.

    Raises:
        ConfigError: a name is none of `DEFECTS`, or an alarm has no defect.
    """
    names = DEFECTS if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in DEFECTS]
    if unknown:
        raise ConfigError(f"--defects: '{unknown[0]}' is none of {', '.join(DEFECTS)}")
    for alarm in ALARMS:
        if alarm not in map(alarm_of, names):
            of_it = ", ".join(name for name in DEFECTS if alarm_of(name) == alarm)
            raise ConfigError(f"--defects: none that the alarm {alarm} could be fitted on; add one of {of_it}")
    return names


def alarm_of(defect: str) -> str:
    """The alarm that a corruption should raise."""
    return "misaligned" if defect in DROPPED else _GROUPS[CORRUPTIONS[defect].group]


def corrupt_pair(pairs: Pairs, index: int, sample: RGBTSample, name: str, rng: np.random.Generator) -> Case | None:
    """Pair number `index` with one defect, with a random severity from 2 to 5 or a random offset; None if the resulting
    offset is too short."""
    corruption = CORRUPTIONS[name]
    width = sample.rgb.shape[-1]

    def other(places: int) -> RGBTSample:
        return pairs[earlier_index(index, places, len(pairs))]

    seed, moving = int(rng.integers(2**31)), moving_ids(pairs.classes)
    if corruption.group == "geometry" and corruption.unit == "px":
        level = width * float(rng.uniform(_SHORTEST, _LONGEST))
        corrupted = corrupt(sample, name, level=level, seed=seed, moving=moving, other=other)
    else:
        corrupted = corrupt(sample, name, int(rng.integers(2, 6)), seed=seed, moving=moving, other=other)
    if corruption.group == "geometry" and _longest(corrupted) < 0.99 * _SHORTEST * width:
        return None
    return Case(corrupted, _truth(sample.flags | {alarm_of(name)}), index, name)


def _longest(sample: RGBTSample) -> float:
    return 0.0 if sample.offset is None else float(sample.offset.norm(dim=0).max())


def _can(sample: RGBTSample, name: str) -> bool:
    return sample.label is not None or name not in ("time_lag", "parallax")


def _truth(flags: Collection[str]) -> dict[str, bool]:
    truth = {alarm: alarm in flags for alarm in ALARMS}
    truth["misaligned"] = bool({"misaligned", "weakly_aligned"} & set(flags))
    if truth["misaligned"] and (truth["rgb_broken"] or truth["thermal_broken"]):
        del truth["misaligned"]  # an image that shows nothing cannot show where it lies
    return truth
