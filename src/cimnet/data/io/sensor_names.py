"""Pairs by the names of files: equal names, names that say the sensor (``_V`` and ``_T``), names that hold times."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from cimnet.data.io.name_times import time_in, times_of
from cimnet.data.io.nearest_times import SHUTTERS, pair_nearest, usual_limit
from cimnet.data.io.split_lists import THERMAL_EXTENSIONS, index_images, name_some
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

Sensor = Literal["rgb", "thermal"]
RGB_WORDS = ("v", "w", "z", "rgb", "vis", "visible", "visual", "vi", "color", "colour", "eo", "wide", "zoom")
"""What names call the RGB camera. Of two that pair as many files, the first is taken."""
THERMAL_WORDS = ("t", "ir", "thermal", "infrared", "tir", "lwir", "th", "thr", "ther", "thrm", "therm")
_SENSOR: dict[str, Sensor] = {**dict.fromkeys(RGB_WORDS, "rgb"), **dict.fromkeys(THERMAL_WORDS, "thermal")}
_BETWEEN = re.compile(r"[_\-. ]+")
_DJI = re.compile(r"(DJI_(?:[0-9]{14}_)?[0-9]{4})_([VWZTR])(?:_.*)?", re.IGNORECASE)
"""Names of DJI's drones: behind the sensor's letter may stand a waypoint, or what a converter adds. R is the
radiometric image of the Zenmuse XT and XT2, whose visible image has no letter."""
_LAST_NUMBER = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.ASCII)
Named = Mapping[str, Path]
"""Files by their path below a folder, with "/" and without extension."""


def say_unmatched(files: Sequence[Path]) -> str:
    """Say which files have no partner."""
    return f"{pluralize(len(files), 'file')} without a partner: {name_some([path.name for path in files], 5)}"


class SensorName(NamedTuple):
    """A name that says its sensor: which, by which word as spelt, and what the name is without it."""

    sensor: Sensor
    word: str
    rest: str


@dataclass(frozen=True)
class NamedPairs:
    """Pairs (name, RGB file, thermal file), files without a partner, and in words what told them; "": equal names."""

    pairs: list[tuple[str, Path, Path]]
    unmatched: list[Path]
    taken: str = ""


def sensor_name(name: str) -> SensorName | None:
    """Find the sensor that a name states: in its last or first word (``DJI_0001_V``, ``ir-0001``), or a folder
    (``ir/0001``); in names of DJI's drones the letter behind the number, whatever follows it
    (``DJI_0001_T_Waypoint1``)."""
    folder, slash, stem = name.rpartition("/")
    if drone := _DJI.fullmatch(stem):
        letter = drone[2]
        return SensorName(_SENSOR.get(letter.lower(), "thermal"), letter, folder + slash + drone[1])
    words = _BETWEEN.split(stem)
    if sensor := _SENSOR.get(words[-1].lower()):
        rest = stem[: len(stem) - len(words[-1])]
        return SensorName(sensor, words[-1], folder + slash + re.sub(r"[_\-. ]+$", "", rest))
    if sensor := _SENSOR.get(words[0].lower()):
        return SensorName(sensor, words[0], folder + slash + re.sub(r"^[_\-. ]+", "", stem[len(words[0]) :]))
    parts = folder.split("/")
    for place in reversed(range(len(parts))):
        if len(parts[place]) > 1 and (sensor := _SENSOR.get(parts[place].lower())):
            return SensorName(sensor, parts[place] + "/", "/".join([*parts[:place], *parts[place + 1 :], stem]))
    return None


def pair_one_folder(files: Named, max_gap: float | None = None) -> NamedPairs | None:
    """Pairs among the files of one folder, by the words for sensors in their names; None: no name has a partner.

    Where no two names are equal without their words, nor near in time, their numbers may differ by one (``DJI_0001_W``
    and ``DJI_0002_T``). One word is taken for each sensor, the one that pairs most files: a wide and a zoomed picture
    see different things. Where no name says RGB, a name without a word is the partner of the thermal one that is equal
    otherwise (``0001`` and ``0001_T``).

    Args:
        max_gap: as in `pair_two_folders`.

    Raises:
        DataError: two files of one sensor share a name without its word.
    """
    said = {name: found for name in files if (found := sensor_name(name)) is not None}
    rgb = _by_word(said, "rgb", files) or {"": {name: name for name in files if name not in said}}
    thermal = _by_word(said, "thermal", files)
    best = _best(rgb, thermal, max_gap)
    return None if best is None else _result(best, files, files)


def pair_folder(folder: Path) -> NamedPairs:
    """The pairs in one folder, see `pair_one_folder`; folders inside are not read.

    Raises:
        DataError: no name has a partner.
    """
    found = pair_one_folder(index_images(folder, THERMAL_EXTENSIONS))
    if found is None:
        raise DataError(
            f"{folder}: given for both sensors, but no two names are a pair, such as 0001_V and 0001_T; give one "
            "folder for each sensor"
        )
    return found


def pair_two_folders(rgb: Named, thermal: Named, max_gap: float | None = None) -> NamedPairs | None:
    """Pairs of two folders: by equal names; if there are none, by names that are equal except for the words for
    sensors; if there are none, by the times in the names. None: no name has a partner.

    Args:
        max_gap: seconds by which times may differ; None: `SHUTTERS` where names hold a number, too, and it is equal,
            else the usual interval of the faster camera.

    Raises:
        DataError: two files of one sensor share a name without its word.
    """
    if both := rgb.keys() & thermal.keys():
        spare = [path for files in (rgb, thermal) for name, path in sorted(files.items()) if name not in both]
        return NamedPairs([(name, rgb[name], thermal[name]) for name in sorted(both)], spare)
    best = _best(_words_or_none(rgb, "rgb"), _words_or_none(thermal, "thermal"), max_gap)
    return None if best is None else _result(best, rgb, thermal)


class _Match(NamedTuple):
    """RGB and thermal name of a pair, its own name, and by how much their times differ, 0.0 for equal names; `next`:
    whether their numbers differ by one."""

    rgb: str
    thermal: str
    name: str
    gap: float
    next: bool = False


class _Best(NamedTuple):
    """The best matching so far: words, pairs, and the time limit if times alone decide."""

    words: tuple[str, str]
    matches: list[_Match]
    limit: float | None
    left: dict[str, str]
    right: dict[str, str]

    @property
    def rank(self) -> tuple[bool, int]:
        """Most pairs first; but numbers that differ by one tell less than any equal name."""
        return bool(self.matches) and not self.matches[0].next, len(self.matches)


_Words = dict[str, dict[str, str]]
"""By word, names by what they are without it."""


def _by_word(said: Mapping[str, SensorName], sensor: Sensor, files: Named) -> _Words:
    found: _Words = {}
    for name, (of, word, rest) in said.items():
        if of == sensor:
            other = found.setdefault(word.lower(), {}).setdefault(rest, name)
            if other != name:
                raise DataError(
                    f"{files[other]} and {files[name]} are both the {word} of {rest!r}; keep one of them, or give them "
                    "in a list (pairs.csv)"
                )
    order = [*RGB_WORDS, *THERMAL_WORDS, "r"]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0].rstrip("/"))))


def _words_or_none(files: Named, sensor: Sensor) -> _Words:
    """Names of one sensor's folder by word; by "" those that do not say the sensor."""
    said = {n: found for n in files if (found := sensor_name(n)) is not None and found.sensor == sensor}
    bare = {name: name for name in files if name not in said}
    return {**_by_word(said, sensor, files), **({"": bare} if bare else {})}


def _best(rgb: _Words, thermal: _Words, max_gap: float | None) -> _Best | None:
    """The words that pair most files."""
    found = []
    for a, left in rgb.items():
        for b, right in thermal.items():
            matches, limit = _pair(left, right, max_gap)
            if not matches and (a or b):
                matches = _by_next_number(left, right)
            found.append(_Best((a, b), matches, limit, left, right))
    best = max(found, key=lambda one: one.rank, default=None)
    return best if best is not None and best.matches else None


def _pair(left: dict[str, str], right: dict[str, str], max_gap: float | None) -> tuple[list[_Match], float | None]:
    """Names that are equal; then those with equal numbers at nearly the same time; where none are, by time alone."""
    matches = [_Match(left[rest], right[rest], rest, 0.0) for rest in left if rest in right]
    spare = [sorted(one.keys() - other.keys()) for one, other in ((left, right), (right, left))]
    shots = [_by_number(names) for names in spare]
    for rest, first in shots[0].items():
        second = shots[1].get(rest, [])
        matches += _near(first, second, SHUTTERS if max_gap is None else max_gap, left, right)
    if matches:
        return sorted(matches, key=lambda match: match.name), None
    clock, other = times_of(spare[0]), times_of(spare[1])
    if clock is None or other is None:
        return [], None
    limit = usual_limit(clock, other) if max_gap is None else max_gap
    both = list(zip(clock, spare[0], strict=True)), list(zip(other, spare[1], strict=True))
    return sorted(_near(*both, limit, left, right), key=lambda match: match.name), limit


def _by_next_number(left: dict[str, str], right: dict[str, str]) -> list[_Match]:
    """Names whose last numbers differ by one, as where a camera counts every file that it writes: by the step, up or
    down, that pairs all files of one sensor. None where both steps do: they alternate, and either may come first."""
    found = []
    for step in (1, -1):
        partners = ((rest, _add_to_number(rest, step)) for rest in left)
        found.append([_Match(left[rest], right[other], rest, 0.0, True) for rest, other in partners if other in right])
    best, second = sorted(found, key=len, reverse=True)
    whole = len(best) == min(len(left), len(right)) > 0
    return sorted(best, key=lambda match: match.name) if whole and len(best) > len(second) else []


def _add_to_number(name: str, step: int) -> str:
    """A name with another last number, of as many digits; "" where there is none."""
    match = _LAST_NUMBER.fullmatch(name)
    return f"{match[1]}{int(match[2]) + step:0{len(match[2])}d}{match[3]}" if match else ""


_Timed = list[tuple[float, str]]


def _by_number(names: Sequence[str]) -> dict[str, _Timed]:
    """Names that hold a time and a number beside it: (time, name) by what is left without the time."""
    found: dict[str, _Timed] = {}
    for name in names:
        time = time_in(name)
        rest = "" if time is None else name[: time.start] + "*" + name[time.end :]
        if time is not None and re.search("[0-9]", rest):
            found.setdefault(rest, []).append((time.seconds, name))
    return {rest: timed for rest, timed in found.items() if not _crowded(timed)}


def _crowded(timed: _Timed) -> bool:
    """Whether shots of one number follow each other so closely that the number does not tell them apart."""
    times = sorted(time for time, _ in timed)
    return any(after - before <= 2 * SHUTTERS for before, after in pairwise(times))


def _near(one: _Timed, other: _Timed, limit: float, left: dict[str, str], right: dict[str, str]) -> list[_Match]:
    nearest = pair_nearest([time for time, _ in one], [time for time, _ in other], limit)
    return [_Match(left[one[i][1]], right[other[j][1]], one[i][1], abs(one[i][0] - other[j][0])) for i, j in nearest]


def _result(best: _Best, rgb: Named, thermal: Named) -> NamedPairs:
    pairs = [(_name(match), rgb[match.rgb], thermal[match.thermal]) for match in best.matches]
    used = {path for _, *both in pairs for path in both}
    asked = [rgb[name] for name in best.left.values()] + [thermal[name] for name in best.right.values()]
    known = {*used, *asked}
    others = [path for path in dict.fromkeys([*rgb.values(), *thermal.values()]) if path not in known]
    return NamedPairs(pairs, sorted({*asked} - used), _taken(best, others))


def _name(match: _Match) -> str:
    """Return the pair's name: the file name without the sensor's word, or the RGB file's name if nothing is left."""
    folder, slash, stem = match.name.rpartition("/")
    return folder + slash + stem if stem else match.name + match.rgb.rpartition("/")[2]


def _taken(best: _Best, others: Sequence[Path]) -> str:
    gap = max(match.gap for match in best.matches)
    words = [word or "no word for a sensor" for word in best.words]
    text = f"{pluralize(len(best.matches), 'pair')} by name: RGB with {words[0]}, thermal with {words[1]}"
    if best.limit is not None:
        said = f" (RGB with {words[0]}, thermal with {words[1]})" if any(best.words) else ""
        text = f"{pluralize(len(best.matches), 'pair')} by the times in their names{said}"
        text += f", up to {gap:.3f} s apart (limit {best.limit:.3f} s)"
    elif gap:
        count = sum(match.gap > 0 for match in best.matches)
        text += f"; in {pluralize(count, 'pair')} the times in the names differ, by up to {gap:g} s"
    elif any(match.next for match in best.matches):
        text += "; the numbers in the names of a pair differ by one"
    if others:
        text += f"; left out: {pluralize(len(others), 'other image')} ({name_some([path.name for path in others])})"
    return text
