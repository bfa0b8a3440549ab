"""All checks of the measured pairs, in the order of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cimnet.curation.check import check_labels as labels
from cimnet.curation.check import check_offsets as offsets
from cimnet.curation.check import reading, sensors
from cimnet.curation.check.borders import check_borders
from cimnet.curation.check.decode_pair import Job, Settings
from cimnet.curation.check.duplicates import check_duplicates
from cimnet.curation.check.findings import Finding
from cimnet.curation.check.pair_stats import PairStats, ThermalStats
from cimnet.curation.check.splits import Splits


@dataclass(frozen=True)
class Examined:
    """The input of the checks; `measured` has the order of `jobs`."""

    root: Path
    jobs: Sequence[Job]
    measured: Sequence[PairStats]
    settings: Settings
    splits: Splits
    rules: labels.Rules


def examine(examined: Examined, check_ids: bool) -> list[Finding]:
    """Everything that the pairs show. `check_ids`: whether the classes are known."""
    measured, split_of = examined.measured, examined.splits.by_name()
    faults = sensors.find_faults(measured)
    flags = sensors.broken_flags(measured, examined.splits.flags, faults)
    mixed = reading.units(measured, examined.settings.scaling)
    tally = labels.count(measured, examined.rules, split_of)
    return [
        *reading.unreadable(examined.root, measured),
        *reading.doubtful(examined.root, measured),
        *reading.sizes(measured),
        *reading.orientations(measured),
        *reading.depths(measured),
        *(mixed or reading.ranges(_sound_thermal(measured, faults, flags), examined.settings.scaling)),
        *reading.padding(measured),
        *(labels.check_labels(measured, examined.rules, tally) if check_ids else []),
        *check_duplicates(measured, split_of),
        *sensors.check_sensors(measured, flags, faults, examined.splits.broken_known),
        *check_borders(measured, examined.settings.border),
        *offsets.check_offsets(examined.root, measured),
    ]


def _sound_thermal(
    measured: Sequence[PairStats], faults: sensors.Faults, flags: dict[str, set[str]]
) -> list[ThermalStats]:
    """Thermal images that neither look broken nor are flagged so."""
    failed = {name for code, names in faults.items() if code.startswith("thermal") for name in names}
    failed |= {name for name, own in flags.items() if "thermal_broken" in own}
    return [stats.thermal for stats in measured if stats.thermal is not None and stats.name not in failed]
