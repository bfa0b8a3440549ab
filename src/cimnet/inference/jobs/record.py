"""The record of a prediction in its folder, by which a later run resumes it: ``prediction.json`` and the journal."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from cimnet.data.io.split_lists import name_some
from cimnet.errors import CimnetError, ConfigError
from cimnet.inference.alarms.thresholds import ALARMS
from cimnet.inference.jobs.outcomes import AlarmRow, Outcome, alarm_row
from cimnet.inference.jobs.shards import Files, Shard
from cimnet.inference.settings import Settings
from cimnet.utils.files import csv_text, require_writable, resolved
from cimnet.utils.ledger import Ledger
from cimnet.utils.locks import LOCK, OutputLock

Fingerprint = dict[str, Any]
KINDS = ("masks", "overlays")
_NOT_COMPARED = ("batch_size",)  # how fast, not what
_LATER = {"force_range": False, "bands": None, "thermal_unit": None}
"""Settings that older records do not have: at these values they change nothing."""
_FILES = "files"  # in prediction.json, beside the fingerprint
_REMEDY = "choose another --out, or --overwrite to predict all pairs again"


def fingerprint(digest: str, settings: Settings, origin: Mapping[str, Path | str | None]) -> Fingerprint:
    """Return the settings that two runs must share so that one can continue the other's outputs.

    Args:
        digest: of the checkpoint, see :func:`cimnet.weights.locate.identity_of`.
        origin: by option, where the pairs come from.
    """
    kept = {key: value for key, value in asdict(settings).items() if key not in _NOT_COMPARED}
    kept = {key: value for key, value in kept.items() if key not in _LATER or value != _LATER[key]}
    places = {option: str(resolved(path)) if isinstance(path, Path) else path for option, path in origin.items()}
    return {"checkpoint": digest, **kept, **places}


def files_of(parts: Iterable[Shard]) -> dict[str, str]:
    """A digest of the paths of each pair's files, by name. Images inside Parquet files have none."""
    real = cache(os.path.realpath)  # of folders, once each
    found = {}
    for part in parts:
        for name, *paths in part.pairs if isinstance(part, Files) else ():
            places = [path and (real(path.parent), path.name) for path in paths]
            found[name] = hashlib.sha256(json.dumps(places).encode()).hexdigest()[:16]
    return found


class Record:
    """The outputs of one prediction in ``out``; as a context, it keeps other predictions out of the folder.

    Args:
        made_with: how the outputs are made, see `fingerprint`.
        names: of all pairs.
        resume: find what is done.
        overwrite: remove outputs of these pairs first. With neither, outputs that are there are refused.
        files: of the pairs, see `files_of`. A pair that was made from other files is not taken as done.

    Attributes:
        done: names that need not be predicted again, after `begin`.
    """

    def __init__(
        self,
        out: Path,
        made_with: Fingerprint,
        names: Sequence[str],
        has_alarm: bool,
        resume: bool = False,
        overwrite: bool = False,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.out, self.names, self.has_alarm = out, names, has_alarm
        self.resume, self.overwrite, self.files = resume, overwrite, files or {}
        self.done: set[str] = set()
        self._rows: dict[str, AlarmRow] = {}
        self._new = False
        self._made_with = made_with
        self._ledger = self._with_files({})
        self._journal = out / ".alarms.part"
        self._lock = OutputLock(out, doing="predicts into it")

    def __enter__(self) -> Record:
        """Take the folder. One that is refused is not touched.

        Raises:
            CimnetError: as `check`; the folder cannot be written; or another prediction has it.
        """
        self.check()
        for kind in KINDS:
            require_writable(self.out / kind)
        self._lock.acquire()
        self._new = all(path.name == LOCK for path in self.out.iterdir())
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def check(self) -> None:
        """Refuse what is there. Writes nothing.

        Raises:
            CimnetError: outputs are there and neither ``resume`` nor ``overwrite`` is said; or ``resume`` and they were
                made otherwise or from other files.
        """
        if self.resume:
            self._ledger.require_same(self._filled())
            self._refuse_other_files()
        elif not self.overwrite:
            self._refuse_existing()

    def begin(self) -> None:
        """Find the finished outputs, or remove them. Everything is checked before anything is written; the folder is
        locked.

        Raises:
            CimnetError: as `check`.
        """
        self.check()
        if self.resume:
            self._find_done()
            self._remove(self._of_other_files())  # half of their outputs at most, or `check` refuses
        else:
            self._remove(self.names)
            self._journal.unlink(missing_ok=True)
        same, before = self._ledger.state() == "same", self._known_files()
        files = before | {name: digest for name, digest in self.files.items() if name not in self.done}
        if not same and self._filled():
            self._ledger.write_mixed()
        elif not same or files != before:
            self._with_files(files).write()
        self.clean()

    def note(self, outcome: Outcome) -> None:
        """Keep the alarm of a pair for alarms.csv, also if the run is interrupted.

        Raises:
            CimnetError: it cannot be written.
        """
        if self.has_alarm and outcome.error is None:
            nothing = (outcome.name, *("" for _ in ALARMS), "")  # only one sensor is there
            self._rows[outcome.name] = alarm_row(outcome.name, outcome.alarm) if outcome.alarm else nothing
            try:
                with self._journal.open("a", encoding="utf-8", errors="backslashreplace", newline="") as file:
                    file.write(csv_text(self._rows[outcome.name], ()))
            except OSError as error:
                raise CimnetError(
                    f"{self._journal}: cannot be written ({error.strerror}); free space, --resume"
                ) from error

    def alarms(self) -> list[AlarmRow]:
        """Rows of alarms.csv: of this run and of those it continues."""
        return [row for row in self._rows.values() if row[1]]

    def end(self, failed: Collection[str]) -> None:
        """Remove what earlier runs left of failed pairs, and what only an interrupted run needs."""
        self._remove(failed)
        self._journal.unlink(missing_ok=True)
        self.clean()

    def drop(self) -> None:
        """Remove the folder's contents if the run wrote nothing and the folder was empty before."""
        self.clean()
        if self._new and not self._filled():
            for path in (self._ledger.path, self._journal):
                path.unlink(missing_ok=True)
            for kind in KINDS:
                shutil.rmtree(self.out / kind, ignore_errors=True)

    def clean(self) -> None:
        """Remove half-written files that killed processes left."""
        shutil.rmtree(self.tries, ignore_errors=True)
        stems: dict[Path, set[str]] = {}
        for path in self._outputs(self.names):
            stems.setdefault(path.parent, set()).add(path.stem)
        for folder, known in stems.items():
            for half in folder.glob(".*.part.png"):
                if half.name[1:].removesuffix(".part.png").rpartition(".")[0] in known:
                    half.unlink(missing_ok=True)

    @property
    def tries(self) -> Path:
        """The folder in which workers count how often they started a part."""
        return self.out / ".tries"

    def _outputs(self, names: Iterable[str]) -> Iterable[Path]:
        return (self.out / kind / f"{name}.png" for name in names for kind in KINDS)

    def _remove(self, names: Iterable[str]) -> None:
        for path in self._outputs(names):
            path.unlink(missing_ok=True)

    def _filled(self) -> bool:
        return any(next((self.out / kind).rglob("[!.]*.png"), None) for kind in KINDS)

    def _with_files(self, files: Mapping[str, str]) -> Ledger:
        """The record with the files of pairs beside the fingerprint: they are compared pair by pair, since a folder may
        grow."""
        made_with = {**self._made_with, **({_FILES: files} if files else {})}
        return Ledger(self.out / "prediction.json", made_with, _REMEDY, ignore={_FILES})

    def _known_files(self) -> dict[str, str]:
        """The digests of the files that the outputs here were made from, by name; an earlier version noted none."""
        try:
            known = json.loads(self._ledger.path.read_text(encoding="utf-8"))[_FILES]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}

    def _of_other_files(self) -> list[str]:
        known = self._known_files()
        return [name for name, digest in self.files.items() if known.get(name, digest) != digest]

    def _refuse_other_files(self) -> None:
        if changed := [name for name in self._of_other_files() if self._is_whole(name)]:
            raise ConfigError(
                f"{self.out / KINDS[0]}: made from other files than are given now: {name_some(changed)}; remove these "
                f"masks to predict them again, or {_REMEDY}"
            )

    def _is_whole(self, name: str) -> bool:
        return all(path.is_file() and path.stat().st_size for path in self._outputs([name]))

    def _refuse_existing(self) -> None:
        for path in [*self._outputs(self.names), *([self.out / "alarms.csv"] if self.has_alarm else [])]:
            if path.exists():
                raise CimnetError(
                    f"{path}: exists; choose another --out, or --overwrite to replace such files (or --resume to "
                    "continue an interrupted prediction)"
                )

    def _find_done(self) -> None:
        rows = self._alarm_rows() if self.has_alarm else {}
        for name in self.names:
            if self._is_whole(name) and (name in rows or not self.has_alarm):
                self.done.add(name)
        self._rows = {name: row for name, row in rows.items() if name in self.done}

    def _alarm_rows(self) -> dict[str, AlarmRow]:
        """Read the rows of alarms.csv and the journal; a last line that was cut off is ignored."""
        rows: dict[str, AlarmRow] = {}
        for path in (self.out / "alarms.csv", self._journal):
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            for row in csv.reader(text[: text.rfind("\n") + 1].split("\n")):
                if len(row) == len(ALARMS) + 2 and row[1] != ALARMS[0]:
                    rows[row[0]] = tuple(row)
        return rows
