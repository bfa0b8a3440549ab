"""Images that show a failed sensor, compared with the lists of broken pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cimnet.curation.check.findings import Finding, Item, Severity, items_of
from cimnet.curation.check.pair_stats import PairStats, RGBStats, ThermalStats
from cimnet.curation.check.reading import code_of
from cimnet.data.flags import BROKEN_FLAGS, FLAG_LISTS
from cimnet.utils.numbers import pluralize

_BRIGHT = 0.5  # share of overexposed pixels; real street scenes: up to 0.08
_BLURRED = 1 / 6  # of the median sharpness; the flattest sound images of three sets: 0.2; blurred by 2 pixels: 0.07
_STILL_CONTRAST = 1 / 4  # sharpness falls with contrast, too: a blurred image loses more than its contrast
_AT_LOW, _AT_HIGH = 0.25, 0.1  # share of pixels at the ends; sound images: up to 0.034 and 0.016
_FEW_LEVELS = 24  # sound images: 78 and more
_SAME = 0.98  # correlation of grey and thermal; real pairs: -0.5 to 0.45
_MANY = 0.5

Faults = dict[str, dict[str, str]]
"""By code and name of the pair: what its image is like."""

_TEXTS = {
    "rgb-black": "black or nearly black",
    "rgb-overexposed": "overexposed",
    "rgb-constant": "of one grey value",
    "thermal-constant": "constant",
    "thermal-few-levels": "of few different values",
    "thermal-saturated": "saturated",
    "thermal-blurred": "blurred beside the rest of the set",
}
FAULT_CODES = tuple(_TEXTS)


def find_faults(measured: Sequence[PairStats]) -> Faults:
    """The pairs with each kind of failure; of each sensor the first kind that applies."""
    softness = _softness([stats.thermal for stats in measured if stats.thermal is not None])
    faults: Faults = {code: {} for code in FAULT_CODES}
    for stats in measured:
        found = [] if stats.rgb is None else [_rgb_fault(stats.rgb)]
        found += [] if stats.thermal is None else [_thermal_fault(stats.thermal, softness)]
        for code, detail in filter(None, found):
            faults[code][stats.name] = detail
    return faults


def _rgb_fault(rgb: RGBStats) -> tuple[str, str] | None:
    if rgb.black:
        return "rgb-black", f"99% of the pixels at {rgb.dark} or below"
    if rgb.bright > _BRIGHT:
        return "rgb-overexposed", f"{rgb.bright:.0%} of the pixels white"
    return ("rgb-constant", f"{rgb.spread} grey levels from darkest to brightest") if rgb.constant else None


def _thermal_fault(thermal: ThermalStats, softness: Callable[[ThermalStats], float]) -> tuple[str, str] | None:
    if thermal.constant:
        return "thermal-constant", f"value {thermal.low:g}"
    if thermal.levels < _FEW_LEVELS:
        return "thermal-few-levels", f"{thermal.levels} values"
    if thermal.at_low > _AT_LOW or thermal.at_high > _AT_HIGH:
        shares = f"{thermal.at_low:.0%} of the pixels at the lower end, {thermal.at_high:.0%} at the upper"
        return "thermal-saturated", shares
    soft = softness(thermal)
    return ("thermal-blurred", f"{soft:.0f} times less sharp than most") if soft > 1 / _BLURRED else None


def _softness(thermals: Sequence[ThermalStats]) -> Callable[[ThermalStats], float]:
    """Return a function that gives how many times less sharp an image is than the median of its size and depth; 1 if
    only its contrast is weaker."""
    groups: dict[tuple[object, ...], list[ThermalStats]] = {}
    for thermal in thermals:
        if not thermal.constant:
            groups.setdefault((thermal.size, thermal.dtype), []).append(thermal)
    usual = {
        key: (
            float(np.median([thermal.laplacian_variance for thermal in group])),
            float(np.median([thermal.laplacian_variance / max(thermal.contrast, 1e-9) for thermal in group])),
        )
        for key, group in groups.items()
    }

    def softness(thermal: ThermalStats) -> float:
        sharpness, relative = usual[thermal.size, thermal.dtype]
        weak = thermal.laplacian_variance / max(thermal.contrast, 1e-9) > _STILL_CONTRAST * relative
        return 1.0 if weak else sharpness / max(thermal.laplacian_variance, 1e-9)

    return softness


def broken_flags(measured: Sequence[PairStats], flags: Mapping[str, set[str]], faults: Faults) -> dict[str, set[str]]:
    """Flags of the pairs that were examined; where a list does not say which sensor is broken, RGB if it is black,
    else thermal, as `name_sensor` has it."""
    named = {}
    for stats in measured:
        own = flags.get(stats.name, set())
        if "broken" in own:
            own = own - {"broken"} | {"rgb_broken" if stats.name in faults["rgb-black"] else "thermal_broken"}
        if own:
            named[stats.name] = own
    return named


def check_sensors(
    measured: Sequence[PairStats], flags: Mapping[str, set[str]], faults: Faults, broken_known: bool
) -> list[Finding]:
    """Failures that no list names, lists that do not fit the images, RGB and thermal exchanged or the same."""
    findings = []
    for code, text in _TEXTS.items():
        flag = f"{code.partition('-')[0]}_broken"
        new = [(name, detail) for name, detail in faults[code].items() if flag not in flags.get(name, ())]
        if new:
            listed = f", not in {FLAG_LISTS[flag]}.txt" if broken_known else ""
            remedy = f"name them in {FLAG_LISTS[flag]}.txt (then `broken: drop` leaves them out), or remove them"
            message = f"{pluralize(len(new), _image(flag))} {text}{listed}"
            findings.append(Finding("warning", code, message, remedy, tuple(Item(*entry) for entry in new)))
    return [*findings, *_flagged(measured, flags, faults), *_exchanged(measured)]


def _flagged(measured: Sequence[PairStats], flags: Mapping[str, set[str]], faults: Faults) -> list[Finding]:
    findings = []
    severities: dict[str, Severity] = {"rgb_broken": "warning", "thermal_broken": "note"}  # a slight blur is not seen
    for flag, severity in severities.items():
        sensor = flag.partition("_")[0]
        failed = {name for code, names in faults.items() if code.startswith(sensor) for name in names}
        seen = {stats.name for stats in measured if (stats.rgb if sensor == "rgb" else stats.thermal) is not None}
        if sound := {name for name, own in flags.items() if flag in own} & seen - failed:
            message = f"{pluralize(len(sound), _image(flag))} flagged as broken that look sound"
            remedy = f"check {FLAG_LISTS[flag]}.txt, or broken_in_*.txt"
            findings.append(Finding(severity, f"{sensor}-flagged-sound", message, remedy, items_of(sound)))
    if flagged := {name for name, own in flags.items() if own & BROKEN_FLAGS}:
        message = f"{pluralize(len(flagged), 'pair')} flagged as broken"
        remedy = "say in reports whether they were kept, dropped or alone (`broken`)"
        findings.append(Finding("note", "flagged-broken", message, remedy, items_of(flagged)))
    return findings


def _exchanged(measured: Sequence[PairStats]) -> list[Finding]:
    findings = []
    rgbs = [stats for stats in measured if stats.rgb is not None and not stats.rgb.plain]
    colourless = {stats.name for stats in rgbs if stats.rgb is not None and stats.rgb.grey}
    palettes = {stats.name for stats in measured if any(code_of(problem) == "palette" for problem in stats.problems)}
    if swapped := colourless & palettes:
        message = f"RGB and thermal seem exchanged in {pluralize(len(swapped), 'pair')}: grey RGB, coloured thermal"
        findings.append(
            Finding("error", "swapped-colours", message, "exchange the files or folders", items_of(swapped))
        )
    elif len(colourless) > _MANY * len(rgbs):
        message = f"{pluralize(len(colourless), 'RGB image')} without colour"
        remedy = "check that the RGB folder does not hold thermal images"
        findings.append(Finding("warning", "rgb-grey", message, remedy, items_of(colourless)))
    same = [stats for stats in measured if abs(stats.similarity) >= _SAME]
    if same:
        items = tuple(Item(stats.name, f"correlation {stats.similarity:.3f}") for stats in same)
        message = f"{pluralize(len(same), 'thermal image')} equal to the RGB image in grey"
        findings.append(Finding("warning", "thermal-is-rgb", message, "export the thermal images again", items))
    return findings


def _image(flag: str) -> str:
    return "RGB image" if flag == "rgb_broken" else "thermal image"
