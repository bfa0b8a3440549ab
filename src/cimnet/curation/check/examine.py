"""All checks of the pairs that were looked at, in the order in which a report lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cimnet.curation.check import labels, offsets, reading, sensors
from cimnet.curation.check.borders import check_borders
from cimnet.curation.check.decoding import Job, Settings
from cimnet.curation.check.duplicates import check_duplicates
from cimnet.curation.check.findings import Finding
from cimnet.curation.check.looks import Look, ThermalLook
from cimnet.curation.check.splits import Splits


@dataclass(frozen=True)
class Examined:
    """What the checks go by: `looks` in the order of `jobs`."""

    root: Path
    jobs: Sequence[Job]
    looks: Sequence[Look]
    settings: Settings
    splits: Splits
    rules: labels.Rules


def examine(examined: Examined, check_ids: bool) -> list[Finding]:
    """Everything that the pairs show. `check_ids`: whether the classes are known."""
    looks, split_of = examined.looks, examined.splits.by_name()
    faults = sensors.find_faults(looks)
    flags = sensors.broken_flags(looks, examined.splits.flags, faults)
    tally = labels.count(looks, examined.rules, split_of)
    return [
        *reading.unreadable(examined.root, looks),
        *reading.sizes(looks),
        *reading.depths(looks),
        *reading.ranges(_sound_thermal(looks, faults, flags), examined.settings.scaling),
        *(labels.check_labels(looks, examined.rules, tally) if check_ids else []),
        *check_duplicates(looks, split_of),
        *sensors.check_sensors(looks, flags, faults, examined.splits.broken_known),
        *check_borders(looks, examined.settings.border),
        *offsets.check_offsets(looks),
    ]


def _sound_thermal(looks: Sequence[Look], faults: sensors.Faults, flags: dict[str, set[str]]) -> list[ThermalLook]:
    """Thermal images that neither look broken nor are flagged so."""
    failed = {name for code, names in faults.items() if code.startswith("thermal") for name in names}
    failed |= {name for name, own in flags.items() if "thermal_broken" in own}
    return [look.thermal for look in looks if look.thermal is not None and look.name not in failed]
