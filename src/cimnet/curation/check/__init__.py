"""Checks of an RGB-thermal data set: examines a folder and reports everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cimnet.curation.check.check_files import pairing, read_index
from cimnet.curation.check.check_labels import Rules, rules_by_value
from cimnet.curation.check.check_report import Report
from cimnet.curation.check.decode_pair import Estimate, Job, Settings
from cimnet.curation.check.examine import Examined, examine
from cimnet.curation.check.findings import SEVERITIES, Finding, Item
from cimnet.curation.check.gallery import make_sheet
from cimnet.curation.check.measure_all import measure_pairs
from cimnet.curation.check.splits import read_splits
from cimnet.curation.check.summary import summarise
from cimnet.data import LAYOUTS, RGBTDataset, find_layout
from cimnet.data.classes import ClassList, choose_classes
from cimnet.data.dataset_file import DatasetFile, read_dataset_file
from cimnet.data.io.patterns import FileIndex
from cimnet.data.io.second_modality import THERMAL
from cimnet.data.io.thermal_scaling import ThermalRange, parse_thermal
from cimnet.errors import DataError
from cimnet.utils.numbers import spread_evenly
from cimnet.utils.pool import Progress

__all__ = ["Estimate", "Finding", "Item", "Progress", "Report", "check_dataset"]


def check_dataset(
    root: str | Path,
    *,
    layout: str = "auto",
    classes: str | Sequence[str] | None = None,
    thermal_range: ThermalRange | None = None,
    estimate: Estimate | None = None,
    estimate_pairs: int = 40,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Examine every file of a data set folder. Nothing is changed, and no fault in the folder raises an error.

    Args:
        root, layout, classes, thermal_range: as in :func:`cimnet.open_dataset`.
        estimate: called with an RGB image (H, W, 3) and a thermal image (H, W), returns the offset (dx, dy) in pixels
            or None, for example :func:`cimnet.registration.pair_offset`; picklable if there are several workers. None:
            offsets are not measured.
        estimate_pairs: number of evenly spread pairs whose offset is measured.
        workers: processes. None: one for each core, fewer for few pairs; 1: this process alone.
        progress: called with the number of finished pairs and the total.

    Returns:
        The report. ``report.exit_code()`` is 1 if it holds errors.

    Raises:
        DataError: the folder does not exist, or the layout, class list or range is unknown.
        CimnetError: worker processes were killed.
    """
    root = Path(root)
    scaling = parse_thermal(thermal_range, "thermal_range")
    choose_classes(classes, None, root)
    if not root.is_dir() or layout != "auto":
        find_layout(root, layout)
    try:
        file = read_dataset_file(root) or DatasetFile(root)
    except DataError as error:
        return _fatal(root, "class-file", error)
    try:
        chosen = LAYOUTS[layout] if layout != "auto" else find_layout(root)
        chosen.require_obeyed(root, file)
        index, findings = read_index(root, chosen, file)
    except DataError as error:
        return _fatal(root, "layout", error)
    splits, more = read_splits(root, chosen, index)
    findings += more
    findings += pairing(index, splits.listed(), splits.wanted)
    named, more = _choose_classes(root, chosen, classes, file)
    if index.labels.files or splits.wanted or named is not None:  # nothing else has ids that would need names
        findings += more
    rules = None if named is None else Rules.of(named, file, chosen.info.label_table)
    settings = Settings(
        border=file.border,
        scaling=scaling or file.thermal,
        label_colors=named.colors if named and file.label_colors else None,
        lookup=None if rules is None else rules.lookup,
        palette_colors=named.colors if named and not (file.label_table or chosen.info.label_table) else None,
        bands=file.bands,
        second=file.second or THERMAL,
        estimate=estimate,
    )
    jobs = _jobs(index, estimate_pairs if estimate is not None else 0)
    measured = measure_pairs(jobs, settings, workers, progress)
    examined = Examined(root, jobs, measured, settings, splits, rules or rules_by_value(measured))
    findings += examine(examined, check_ids=named is not None)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    summary = {"layout": chosen.name, **summarise(examined)}
    return Report(root, chosen.name, tuple(findings), summary, make_sheet(examined, findings))


def _fatal(root: Path, code: str, error: DataError) -> Report:
    """The report of a folder whose files cannot even be listed."""
    message = str(error).removeprefix(f"{root}: ").replace(f"{root}/", "")
    return Report(root, "", (Finding("error", code, message, "correct that first: nothing else was examined"),))


def _choose_classes(
    root: Path, layout: type[RGBTDataset], asked: str | Sequence[str] | None, file: DatasetFile
) -> tuple[ClassList | None, list[Finding]]:
    """The classes, and what is wrong with them."""
    found = file.classes or layout.info.classes
    try:
        chosen = choose_classes(asked, found, root)
    except DataError as error:
        message, _, remedy = str(error).removeprefix(f"{root}: ").partition("; ")
        return found, [Finding("error", "other-classes", message, f"{remedy}; those of the folder were used here")]
    if chosen is None:
        remedy = "write classes.yaml with a line such as `classes: [background, person, car]`, or give classes"
        return None, [Finding("error", "no-classes", "no class names, so ids cannot be checked", remedy)]
    return chosen, []


def _jobs(index: FileIndex, asked: int) -> list[Job]:
    """One job a name; `asked` of the whole pairs are to be measured."""
    rgb, thermal, labels = index.rgb.files, (index.thermal or index.rgb).files, index.labels.files
    whole = [name for name in index.names() if name in rgb and name in thermal]
    chosen = {whole[position] for position in spread_evenly(len(whole), asked)}
    jobs = [Job(name, rgb.get(name), thermal.get(name), labels.get(name)) for name in index.names()]
    return [replace(job, estimate=job.name in chosen) for job in jobs]
