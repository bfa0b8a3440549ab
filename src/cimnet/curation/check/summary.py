"""The summary of a data set, whether or not anything is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from cimnet.curation.check import check_labels as labels
from cimnet.curation.check import check_offsets as offsets
from cimnet.curation.check import reading
from cimnet.curation.check.examine import Examined
from cimnet.data.sample import IGNORE_INDEX


def summarise(examined: Examined) -> dict[str, Any]:
    """Return the summary for JSON: pairs, images, splits, sizes, formats, depths, scenes, flags, thermal, classes,
    ignore, alignment."""
    measured, splits = examined.measured, examined.splits
    jobs = {job.name: job for job in examined.jobs}
    whole = {job.name for job in examined.jobs if job.rgb is not None and job.thermal is not None}
    tally = labels.count(measured, examined.rules, splits.by_name())
    return {
        "pairs": len(whole),
        "images": {kind: sum(getattr(job, kind) is not None for job in examined.jobs) for kind in _KINDS},
        "splits": {
            split: {
                "pairs": sum(name in whole for name in names),
                "labelled": sum(name in jobs and jobs[name].label is not None for name in names),
                "scenes": _counts(splits.scenes[name] for name in names if name in splits.scenes),
            }
            for split, names in splits.names.items()
        },
        "sizes": _counts(reading.size_text(stats.rgb.size) for stats in measured if stats.rgb is not None),
        "formats": {
            kind: _counts(form for stats in measured for k, form in stats.formats if k == kind) for kind in _KINDS
        },
        "depths": _counts(stats.thermal.dtype for stats in measured if stats.thermal is not None),
        "scenes": _counts(splits.scenes.values()),
        "flags": _counts(flag for own in splits.flags.values() for flag in own),
        "thermal": _thermal(examined),
        "classes": labels.table(examined.rules, tally, list(splits.names)) if tally.labels else [],
        "ignore": {
            "pixels": tally.pixels.get(IGNORE_INDEX, 0),
            "share": tally.pixels.get(IGNORE_INDEX, 0) / max(sum(tally.pixels.values()), 1),
            "images": tally.images.get(IGNORE_INDEX, 0),
        },
        "alignment": offsets.summarise(measured),
    }


_KINDS = ("rgb", "thermal", "label")


def _thermal(examined: Examined) -> dict[str, Any]:
    """Range of the raw values (0.1st to 99.9th percentile of the images), and how they are scaled."""
    found = reading.suggest_range([stats.thermal for stats in examined.measured if stats.thermal is not None])
    scaling = str(examined.settings.scaling or "the whole range of the bit depth")
    return {"low": found[0] if found else None, "high": found[1] if found else None, "scaling": scaling}


def _counts(values: Iterable[str]) -> dict[str, int]:
    """Count each value, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda entry: (-entry[1], entry[0])))
