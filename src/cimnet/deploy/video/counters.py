"""Numbers in the names of a folder's images, and the times that follow from them."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isclose

from cimnet.data.io.sensor_names import Sensor, sensor_name


@dataclass(frozen=True)
class Counter:
    """The numbers of images whose names differ by nothing else.

    Attributes:
        before, after: what stands around the number, without a word for the sensor (``rgb_0001``).
        numbers: in rising order.
        fps: images a second.
    """

    before: str
    after: str
    numbers: Sequence[int]
    fps: float

    @property
    def step(self) -> int:
        """The most common difference of a number to the next one; of several, the smallest."""
        steps = collections.Counter(after - before for before, after in pairwise(self.numbers))
        return min(steps, key=lambda step: (-steps[step], step), default=1)

    @property
    def missing(self) -> int | None:
        """How many numbers are left out. None: not to be told, as they are not in steps, or more than are there; they
        count something else."""
        step, first = self.step, self.numbers[0]
        missing = (self.numbers[-1] - first) // step + 1 - len(self.numbers)
        in_steps = all((number - first) % step == 0 for number in self.numbers)
        return missing if in_steps and missing < len(self.numbers) else None

    @property
    def rate(self) -> float | None:
        """Numbers a second, where the numbers tell times."""
        return None if self.missing is None else self.fps * self.step

    def times(self) -> list[float]:
        """Seconds since the first image: by the numbers where they tell it, else by position."""
        rate = self.rate
        if rate is None:
            return [position / self.fps for position in range(len(self.numbers))]
        return [(number - self.numbers[0]) / rate for number in self.numbers]


def counter_of(names: Sequence[str], kind: Sensor, fps: float) -> Counter | None:
    """The counter of names in rising order; None: they differ in more than their last number."""
    found = (sensor_name(name) for name in names)
    bare = [name if said is None or said.sensor != kind else said.rest for name, said in zip(names, found, strict=True)]
    parts = [re.fullmatch("(.*?)([0-9]+)([^0-9]*)", name) for name in bare]
    around = {(part[1], part[3]) if part else None for part in parts}
    numbers = [int(part[2]) for part in parts if part]
    if None in around or len(around) != 1 or any(after <= before for before, after in pairwise(numbers)):
        return None
    before, after = around.pop() or ("", "")
    return Counter(before, after, numbers, fps)


Times = tuple[list[float], list[float]]
_STEPS = "the numbers of both go in different steps"


def shared_times(rgb: Counter, thermal: Counter) -> tuple[Times | None, str]:
    """Times of both folders since the first RGB image, where equal numbers mean equal moments; None: they need not.
    And a sentence that says what was taken for what; "": both begin with the same number, in steps that agree."""
    first, other = rgb.numbers[0], thermal.numbers[0]
    times, why = _shared(rgb, thermal)
    if first == other and why != _STEPS:
        return times, ""
    begin = f"the numbers in the names begin with {first} (RGB) and {other} (thermal)"
    if times is not None:
        return times, (
            f"{begin}: equal numbers are taken for equal moments; if both folders begin at the same moment, give "
            f"--time-offset {times[1][0]:.6g}"
        )
    return None, f"{begin}, but {why}: both folders are taken to begin at the same moment{_remedy(rgb, thermal)}"


def _remedy(rgb: Counter, thermal: Counter) -> str:
    """Say what to give if both folders do not begin at the same moment."""
    late = rgb.numbers[0] - thermal.numbers[0]
    equal = "; if equal numbers mean equal moments, give "
    if (rate := _one_rate(rgb, thermal)) is not None:
        return f"{equal}--time-offset {late / rate:.6g}"
    if rgb.fps != thermal.fps:
        return "; give --time-offset otherwise"
    if rgb.rate is None or thermal.rate is None:
        return "; give --time-offset or another --thermal-fps otherwise"
    return f"{equal}--thermal-fps {rgb.rate / thermal.step:.6g}"


def _shared(rgb: Counter, thermal: Counter) -> tuple[Times | None, str]:
    """The times, or why there are none."""
    if (rgb.before, rgb.after) != (thermal.before, thermal.after):
        return None, "the names differ otherwise, too"
    if not {*rgb.numbers} & {*thermal.numbers}:
        return None, "no number is in both"
    if rgb.fps == thermal.fps:
        both = Counter(rgb.before, rgb.after, sorted({*rgb.numbers, *thermal.numbers}), rgb.fps)
        if not all(one.rate in (None, both.rate) for one in (rgb, thermal) if len(one.numbers) > 2):
            return None, _STEPS  # two numbers are always in steps
        moments = dict(zip(both.numbers, both.times(), strict=True))
    elif (rate := _one_rate(rgb, thermal)) is not None:
        moments = {number: number / rate for number in (*rgb.numbers, *thermal.numbers)}
    else:
        return None, f"images come {rgb.fps:g} and {thermal.fps:g} a second"
    zero = moments[rgb.numbers[0]]
    return (
        [moments[number] - zero for number in rgb.numbers],
        [moments[number] - zero for number in thermal.numbers],
    ), ""


def _one_rate(rgb: Counter, thermal: Counter) -> float | None:
    """Numbers a second, if they are as many in both."""
    one, other = rgb.rate, thermal.rate
    return one if one is not None and other is not None and isclose(one, other) else None
