"""A record of the data of a run, so that ``--resume`` continues with the same data or names what has changed.

``data.json`` in the run folder holds how the files are read (`how_read`), the thermal type, a checksum of every pair of
each split, and the run's id. Its training states hold the id, too, so a state of another run is not mistaken
for one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cimnet.checkpoint import own_test_part
from cimnet.data import RGBTDataset
from cimnet.data.io.side_files import side_content, side_files
from cimnet.data.io.split_lists import name_some
from cimnet.data.io.thermal_files import depth
from cimnet.data.pairs import Pair
from cimnet.errors import ConfigError, DataError
from cimnet.utils.ledger import Ledger
from cimnet.utils.numbers import pluralize
from cimnet.utils.pool import map_in_threads

FILE = "data.json"
_ENDS = 4096  # bytes at either end of an image: an encoder changes both when a picture changes
_DIGITS = 16  # of a digest
DATA, SEGMENTS = "data", "segments"
"""The fields of `checksum_of_all`."""
_SPLITS = ("train", "val")
_RUN = "run"

Record = dict[str, Any]


READ_FIELDS = ("classes", "scaling", "border", "bands", "second", "unit", "labels")
"""The fields of `how_read`."""
_LATER = frozenset(READ_FIELDS) - {"classes", "scaling"}  # what runs of earlier versions did not record


def how_read(dataset: RGBTDataset) -> Record:
    """How files become images and class ids, for JSON: what results depend on beside the files and `checksums` of them.

    The fields are those of ``classes.yaml``, as they apply after a recipe or checkpoint: ``classes``, ``scaling`` of
    thermal values, ``border`` (pixels), ``bands``, ``second``, and ``unit``, that of thermal files that do not say one.
    ``labels`` is a digest of what gives the class ids of label values: table, ignored value, and colours where they
    tell ids.
    """
    wanted = dataset.wanted
    return {
        "classes": list(dataset.classes),
        "scaling": asdict(dataset.scaling),
        "border": list(dataset.file.border),
        "bands": None if wanted.bands is None else asdict(wanted.bands),
        "second": asdict(dataset.second),
        "unit": wanted.declared,
        "labels": hashlib.sha256(repr(dataset.label_values).encode()).hexdigest()[:_DIGITS],
    }


def record_of(train_set: RGBTDataset, val_set: RGBTDataset) -> Record:
    """Return the content of both splits, for JSON.

    A pair's checksum covers its label file as a whole, and of its images the size and both ends: reading all of a large
    data set would delay every start. Of files beside them it covers what `side_content` gives.
    """
    return {
        **how_read(train_set),
        "thermal_dtype": train_set.thermal_dtype or depth(train_set.arrays(0).thermal),
        "train": checksums(train_set.pairs),
        "val": checksums(val_set.pairs),
    }


def check_record(folder: Path, now: Record, changed_data: bool) -> str | None:
    """Compare with the record of a run that is to be resumed.

    Args:
        changed_data: resume although pairs have changed.

    Returns:
        What has changed, for the run's record; None: nothing, or the run has no record.

    Raises:
        ConfigError: files are read in another way (see `how_read`) or have another thermal type, with which no run can
            resume; or other pairs, without ``changed_data``.
    """
    ledger = Ledger(folder / FILE, now, "begin in another --out", ignore={*_SPLITS, _RUN}, later=_LATER)
    if not ledger.require_same():  # a run of an older version
        return None
    try:
        began = json.loads(ledger.path.read_text(encoding="utf-8"))
        changes = [change for split in _SPLITS if (change := _difference(split, began[split], now[split]))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"--resume: {ledger.path} cannot be read; restore it, or start in another --out") from error
    if not changes:
        return None
    text = "; ".join(changes)
    if not changed_data:
        raise ConfigError(
            f"--resume: the data of the run in {folder} have changed: {text}; restore them, or pass --changed-data to "
            "continue with the present data"
        )
    return text


def write_record(folder: Path, now: Record, run_id: str) -> None:
    """Record what the run is trained on from here on, and its id."""
    Ledger(folder / FILE, {**now, _RUN: run_id}, "").write()


def make_run_id(recipe: Mapping[str, object], now: Record) -> str:
    """Return the id of a new run: a digest of the recipe and the data at its start. It stays the same if these change
    later. Runs that start alike are equal to the last bit."""
    return hashlib.sha256(json.dumps([recipe, now], sort_keys=True, default=str).encode()).hexdigest()[:16]


def read_run_id(folder: Path) -> str | None:
    """Return the id of the run in a folder; None: an older version started it, or its record cannot be read."""
    run_id = _content(folder).get(_RUN)
    return run_id if isinstance(run_id, str) else None


def read_data_digest(folder: Path) -> str | None:
    """`digest_of` the recorded data of the run in a folder, equal for equal data wherever they lie; None: an older
    version started it, or its record cannot be read."""
    record = {name: value for name, value in _content(folder).items() if name != _RUN}
    later = {name: record.pop(name) for name in _LATER & record.keys()}
    for split in _SPLITS:
        sums = record.get(split)
        if isinstance(sums, dict):
            record[split] = {name: str(digest)[:_DIGITS] for name, digest in sums.items()}
            meanings = {name: str(digest)[_DIGITS:] for name, digest in sums.items()}
            later |= {split: meanings} if any(meanings.values()) else {}
    return digest_of(record, later)


def digest_of(record: Mapping[str, object], later: Mapping[str, object]) -> str | None:
    """A digest of recorded data: 16 digits of what all versions recorded, and 16 of what only ``later`` ones did, where
    that is there. So one digest of the same data may begin with another. None: nothing is recorded."""
    parts = [json.dumps(part, sort_keys=True).encode() for part in (record, later) if part]
    return "".join(hashlib.sha256(part).hexdigest()[:_DIGITS] for part in parts) or None


def _content(folder: Path) -> Record:
    """The record in a run folder; empty where there is none, or it cannot be read."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def trained_on(folder: Path, pairs: Sequence[Pair]) -> list[str]:
    """Names of the pairs whose files the run in a folder was trained on; none where the folder has no record.

    Raises:
        ConfigError: the record cannot be read.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: what the model was trained on cannot be read; restore or remove it") from error
    known = content.get("train") if isinstance(content, dict) else None
    if not isinstance(known, dict):  # another program's file of this name
        return []
    files = {str(digest)[:_DIGITS] for digest in known.values()}
    return [name for name, digest in checksums(pairs).items() if digest[:_DIGITS] in files]


def describe_trained(folder: Path, dataset: RGBTDataset) -> str | None:
    """Say how many pairs of a split the run in a folder was trained on, and what to score instead; None: it was trained
    on none of them, or the folder has no record.

    Raises:
        ConfigError: the record cannot be read.
    """
    known = trained_on(folder, dataset.pairs)
    if not known:
        return None
    part = own_test_part(folder)
    own = f", for this fold its own test part, such as {part}" if part else ""
    return (
        f"{dataset.split}: the model was trained on {len(known)} of its {pluralize(len(dataset), 'pair')} "
        f"({name_some(known)}; {folder / FILE}), where it is better and surer than on others; give a split of other "
        f"pairs{own}"
    )


def checksums(pairs: Sequence[Pair]) -> dict[str, str]:
    """A digest of the files of each pair, by name, in the order given; see :func:`record_of`. Where another file says
    what a label's values mean (COCO's JSON), 16 digits on that follow the 16 on the files; earlier versions did not
    record them.

    Raises:
        DataError: a file cannot be read.
    """
    return dict(zip((pair.id for pair in pairs), map_in_threads(_checksum, pairs), strict=True))


def checksum_of_all(pairs: Sequence[Pair]) -> dict[str, str]:
    """The `checksums` of all pairs in their order as one digest, for records: ``data``, of their files; and
    ``segments``, of what other files say of the labels, where they do. Earlier versions did not record the latter."""
    sums = checksums(pairs)
    found = {DATA: _digest({name: digest[:_DIGITS] for name, digest in sums.items()})}
    segments = {name: digest[_DIGITS:] for name, digest in sums.items()}
    return found | {SEGMENTS: _digest(segments)} if any(segments.values()) else found


def _digest(values: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:_DIGITS]


def _checksum(pair: Pair) -> str:
    total = hashlib.sha256(b"mirrored" if pair.mirrored else b"")
    try:
        for path in (pair.rgb, pair.thermal):
            total.update(b"none" if path is None else _ends(path))
        if pair.label is not None:
            total.update(pair.label.read_bytes())
        for number, path in enumerate((pair.rgb, pair.thermal, pair.label)):
            for side in [] if path is None else side_files(path):
                if content := side_content(side):
                    total.update(f"{number}{side.suffix}".encode() + hashlib.sha256(content).digest())
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); restore it or allow it") from error
    return total.hexdigest()[:_DIGITS] + pair.meaning


def _ends(path: Path) -> bytes:
    """Size, first and last bytes of a file."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(_ENDS)
        file.seek(max(size - _ENDS, 0))
        return size.to_bytes(8, "little") + start + file.read(_ENDS)


def _difference(split: str, began: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Describe the difference in words; "" if there is none."""
    gone, new = [name for name in began if name not in now], [name for name in now if name not in began]
    other = [name for name in now if name in began and not now[name].startswith(began[name])]
    parts = [
        f"{len(names)} {word} ({name_some(names)})"
        for names, word in ((gone, "removed"), (new, "added"), (other, "with other files"))
        if names
    ]
    if not parts and list(began) != list(now):
        parts = ["another order"]
    return f"split {split}: {', '.join(parts)}" if parts else ""
