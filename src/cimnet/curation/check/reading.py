"""Report unusable files, and sizes, depths and ranges that do not fit each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cimnet.curation.check.borders import find_border, is_shared
from cimnet.curation.check.check_files import relative
from cimnet.curation.check.decode_pair import Problem
from cimnet.curation.check.findings import Finding, Item, Severity
from cimnet.curation.check.pair_stats import PairStats, ThermalStats
from cimnet.data.io.thermal_scaling import DECLARE, ThermalScaling
from cimnet.data.pairs import CONVERT_UNITS, hides_turn
from cimnet.utils.numbers import pluralize

_FILLS = 0.25  # of 0..65535; below, 16-bit values without a range leave a network little to see
_CLIPPED = 0.05

_READING = (
    ("swapped?", "swapped", "{files} in the RGB folder with thermal values", "exchange the RGB and thermal folders"),
    ("was burnt in", "palette", "{files} in false colours instead of thermal values", "export grey images, 8 or 16 "
     "bit"),
    ("(0 bytes)", "empty-file", "{files} of 0 bytes", "restore or remove them"),
    ("JPEG changes", "lossy-label", "{labels} saved as JPEG, which changes class ids", "save labels as PNG"),
    ("1-bit", "one-bit", "{files} of one bit a pixel", "save labels and thermal images with 8 or 16 bits"),
    ("a label of mode", "colour-label", "{labels} in colours", "write `label_format: colors` into "
     "classes.yaml, or save ids"),
    ("colour of no class", "unknown-colour", "{labels} with a colour of no class", "correct labels or classes.yaml"),
    ("would be cut", "cut-depth", "{files} of 16 bits in several channels", "save one 16-bit grey channel"),
    ("fourth channel", "no-fourth-channel", "{files} without a thermal fourth channel", "use RGBA, or the layout rgb/ "
     "thermal/ labels/"),
    ("are expected; choose them", "other-bands", "{files} of another number of bands than there are channels",
     "choose bands in classes.yaml, or write the files again"),
    ("pixels; cut", "too-large", "{files} too large to be decoded", "cut them into tiles"),
    ("which is also the", "nodata-label", "{labels} that declare the value of a class as nodata",
     "remove the tag, or write `ignore_index` (labels with ids)"),
    ("not finite", "not-finite", "{files} with thermal values that are not finite", "fill NaN and infinite values"),
    ("nothing inside the border", "border", "{files} smaller than the border in classes.yaml", "correct the border"),
    ("offset cannot", "estimate", "{pairs} whose offset could not be measured", "report this as a bug"),
    ("was killed", "killed", "{pairs} that killed the process examining them", "look at these files"),
    ("", "unreadable", "{files} that cannot be read", "restore or remove them"),
)  # fmt: skip
"""Words of the readers' messages: the first that occurs gives the code."""


def unreadable(root: Path, measured: Sequence[PairStats]) -> list[Finding]:
    """Files that a reader refuses, grouped by fault; the details are the readers' messages."""
    found: dict[str, list[Item]] = {}
    for stats in measured:
        for problem in stats.problems:
            name = stats.name if problem.path is None else relative(root, problem.path)
            found.setdefault(code_of(problem), []).append(Item(name, problem.message))
    findings = []
    for _, code, text, remedy in _READING:
        if items := found.get(code):
            words = {what: pluralize(len(items), what[:-1]) for what in ("files", "labels", "pairs")}
            severity: Severity = "warning" if code == "estimate" else "error"
            findings.append(Finding(severity, code, text.format(**words), remedy, tuple(items)))
    return findings


_DOUBTS = (
    ("in the palette", "palette-undone", "{files} in false colours, read as relative intensities", "give grey or "
     "radiometric images where the camera has them"),
    ("they were filled", "few-not-finite", "{files} with a few thermal values that are not finite, which are filled",
     "nothing, if they are as few as this in use"),
    ("which is not known", "unknown-unit", "{files} that state a unit which is not known", "correct it where "
     "temperatures are meant (gdal_edit.py -units degC FILE)"),
    ("", "doubtful", "{files} that are read with a doubt", "look at these files"),
)  # fmt: skip
"""Words of the readers' notices: the first that occurs gives the code."""


def doubtful(root: Path, measured: Sequence[PairStats]) -> list[Finding]:
    """Files that are read with a doubt, grouped by doubt; the details are the readers' messages."""
    found: dict[str, list[Item]] = {}
    for stats in measured:
        for doubt in stats.doubts:
            code = next(code for words, code, _, _ in _DOUBTS if words in doubt.message)
            name = stats.name if doubt.path is None else relative(root, doubt.path)
            found.setdefault(code, []).append(Item(name, doubt.message))
    return [
        Finding("warning", code, text.format(files=pluralize(len(found[code]), "file")), remedy, tuple(found[code]))
        for _, code, text, remedy in _DOUBTS
        if code in found
    ]


def code_of(problem: Problem) -> str:
    """The code of a reader's message."""
    return next(code for words, code, _, _ in _READING if words in problem.message)


def sizes(measured: Sequence[PairStats]) -> list[Finding]:
    """Pairs whose files differ in size, and sets of several sizes."""
    thermal = _differing(measured, "thermal")
    label = _differing(measured, "label")
    findings = []
    if thermal:
        message = f"{pluralize(len(thermal), 'thermal image')} of another size than the RGB image"
        remedy = "register and resample to the size of the RGB image (`cimnet data align`)"
        findings.append(Finding("error", "size", message, remedy, thermal))
    if label:
        message = f"{pluralize(len(label), 'label')} of another size than the RGB image"
        remedy = "resize the labels to that size without interpolation (nearest neighbour)"
        findings.append(Finding("error", "label-size", message, remedy, label))
    counts = Counter(size_text(stats.rgb.size) for stats in measured if stats.rgb is not None)
    if len(counts) > 1:
        several = tuple(Item(size, pluralize(count, "pair")) for size, count in counts.most_common())
        message = f"{len(counts)} image sizes in one set"
        remedy = "nothing, if training crops; to compare scores, give all the same scale"
        findings.append(Finding("note", "several-sizes", message, remedy, several))
    return findings


def orientations(measured: Sequence[PairStats]) -> list[Finding]:
    """Pairs of which one file is turned by its EXIF tag and another one has none, where sizes do not show whether that
    is right: both the turned and the unturned image have the size of the other file."""
    items = []
    for stats in measured:
        tags = dict(stats.turned)
        parts = {"rgb": stats.rgb, "thermal": stats.thermal, "label": stats.label}
        sizes = {part.size for kind, part in parts.items() if part is not None and kind in tags}
        if len(sizes) == 1 and hides_turn(tags.values(), next(iter(sizes))):
            items.append(Item(stats.name, ", ".join(f"{kind} {tag}" for kind, tag in sorted(tags.items()))))
    if not items:
        return []
    message = f"{pluralize(len(items), 'pair')} whose files have different EXIF orientations, which their sizes hide"
    remedy = (
        "the tags are applied: see whether labels and thermal images fit the picture as it is shown; if they were made "
        "from the unturned one, remove its tag (exiftool -Orientation= FILE)"
    )
    return [Finding("warning", "orientations", message, remedy, tuple(items))]


def _differing(measured: Sequence[PairStats], kind: Literal["thermal", "label"]) -> tuple[Item, ...]:
    items = []
    for stats in measured:
        part = stats.thermal if kind == "thermal" else stats.label
        if stats.rgb is not None and part is not None and part.size != stats.rgb.size:
            items.append(Item(stats.name, f"RGB {size_text(stats.rgb.size)}, {kind} {size_text(part.size)}"))
    return tuple(items)


def depths(measured: Sequence[PairStats]) -> list[Finding]:
    """Thermal images of different depths, and formats of which some lose detail."""
    types = Counter(stats.thermal.dtype for stats in measured if stats.thermal is not None)
    findings = []
    if len(types) > 1:
        usual = types.most_common(1)[0][0]
        odd = [stats for stats in measured if stats.thermal is not None and stats.thermal.dtype != usual]
        items = tuple(Item(stats.name, stats.thermal.dtype) for stats in odd if stats.thermal is not None)
        counts = ", ".join(f"{count:,} {name}" for name, count in types.most_common())
        message = f"thermal images of different depths: {counts}; their values have different units"
        findings.append(Finding("error", "mixed-depths", message, "convert all to one depth and unit", items))
    for kind in ("rgb", "thermal"):
        formats = Counter(form.split()[0] for stats in measured for k, form in stats.formats if k == kind)
        lossy = {"JPEG", "MPO"} & formats.keys()
        if lossy and len(formats) > len(lossy):
            items = tuple(Item(form, pluralize(count, "file")) for form, count in formats.most_common())
            message = f"some {'RGB' if kind == 'rgb' else kind} images are JPEG, others not"
            remedy = "see that they are spread alike over splits and scenes: a network tells them apart"
            findings.append(Finding("note", "mixed-formats", message, remedy, items))
    return findings


def units(measured: Sequence[PairStats], scaling: ThermalScaling | None) -> list[Finding]:
    """Thermal files that state different units, where nothing converts them and one range holds for all."""
    counts = Counter(stats.unit for stats in measured if stats.unit is not None)
    if len(counts) < 2 or (scaling is not None and scaling.kind == "gain_control"):
        return []
    usual = counts.most_common(1)[0][0]
    items = tuple(Item(stats.name, stats.unit) for stats in measured if stats.unit not in (None, usual))
    said = ", ".join(f"{count:,} {unit}" for unit, count in counts.most_common())
    return [Finding("error", "mixed-units", f"thermal images of different units: {said}", CONVERT_UNITS, items)]


def ranges(thermals: Sequence[ThermalStats], scaling: ThermalScaling | None) -> list[Finding]:
    """Whether the raw thermal values fit their scaling.

    Args:
        thermals: of images that are not known to be broken.
        scaling: what the data set says; None: nothing.
    """
    deep = [thermal for thermal in thermals if thermal.dtype != "uint8"]
    suggested = suggest_range(thermals)
    if suggested is None:
        return []
    low, high = suggested
    line = f"write `thermal_range: [{low:g}, {high:g}]` into classes.yaml or a recipe, if these images are typical"
    clipped = sum(thermal.clipped for thermal in thermals) / len(thermals)
    if clipped > _CLIPPED:
        message = f"{100 * clipped:.0f}% of the thermal values lie outside the thermal_range ({scaling})"
        return [Finding("warning", "range-clips", message, line)]
    if scaling is not None or not deep:
        return []
    if any(thermal.dtype == "float32" for thermal in deep):
        message = f"float thermal values ({low:g} to {high:g}) without a thermal_range cannot be scaled"
        return [Finding("error", "no-thermal-range", message, line)]
    share = (high - low) / 65535
    if share < _FILLS:
        message = f"16-bit thermal values from {low:g} to {high:g} fill {100 * share:.1f}% of their range"
        return [Finding("warning", "thermal-range", message, line)]
    return []


def padding(measured: Sequence[PairStats]) -> list[Finding]:
    """Thermal images of which a part seems to be no image, though no file declares it. A border that all images share
    is a finding of its own."""
    shared = find_border(measured)
    found = [
        Item(stats.name, stats.thermal.padding)
        for stats in measured
        if stats.thermal
        and stats.thermal.padding
        and (stats.thermal.padded_inside or not is_shared(stats.thermal.border, shared))
    ]
    if not found:
        return []
    message = f"{pluralize(len(found), 'thermal image')} with what looks like padding that no file declares"
    remedy = f"declare its value as nodata ({DECLARE}), or cut it off; a network takes it for a temperature"
    return [Finding("warning", "thermal-padding", message, remedy, tuple(found))]


def suggest_range(thermals: Sequence[ThermalStats]) -> tuple[float, float] | None:
    """(low, high) in raw values, as `cimnet.data.suggest_thermal_range`; None for constant images."""
    low = min((thermal.low for thermal in thermals), default=0.0)
    high = max((thermal.high for thermal in thermals), default=0.0)
    return (low, high) if low < high else None


def size_text(size: tuple[int, int]) -> str:
    """(height, width) as '640x480'."""
    return f"{size[1]}x{size[0]}"
