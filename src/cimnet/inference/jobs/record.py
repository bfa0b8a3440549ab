"""What an interrupted prediction leaves, and whether the same one goes on: ``prediction.json`` beside the outputs."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cimnet.checkpoint import identity
from cimnet.errors import CimnetError
from cimnet.inference.alarms.thresholds import ALARMS
from cimnet.inference.hub import locate
from cimnet.inference.jobs.folders import KINDS, AlarmRow, Outcome, alarm_row, refuse_existing
from cimnet.inference.settings import Settings
from cimnet.utils.files import csv_text, require_writable, write_text

Fingerprint = dict[str, Any]
_SEVERAL: Fingerprint = {"predictions": "several"}
_NOT_COMPARED = ("batch_size",)  # how fast, not what


def fingerprint(digest: str, settings: Settings, origin: Mapping[str, Path | None]) -> Fingerprint:
    """What two runs must have in common for one to go on with the other's outputs, plain JSON.

    Args:
        digest: of the checkpoint, see `digest_of`.
        origin: by option, where the pairs come from.
    """
    kept = {key: value for key, value in asdict(settings).items() if key not in _NOT_COMPARED}
    places = {option: None if path is None else str(path.resolve()) for option, path in origin.items()}
    return dict(json.loads(json.dumps({"checkpoint": digest, **kept, **places})))


def digest_of(checkpoint: str | Path) -> str:
    """Which checkpoint this is, also of a name on the Hub, see :func:`cimnet.checkpoint.identity`.

    Raises:
        CheckpointError: it cannot be read.
    """
    return identity(locate(checkpoint))


class Record:
    """The outputs of one prediction in ``out``.

    Attributes:
        done: names that need not be predicted again.
    """

    def __init__(self, out: Path, mark: Fingerprint, names: Sequence[str], has_alarm: bool) -> None:
        self.out, self.mark, self.names, self.has_alarm = out, mark, names, has_alarm
        self.done: set[str] = set()
        self._rows: dict[str, AlarmRow] = {}
        self._new = False
        self._file = out / "prediction.json"
        self._journal = out / ".alarms.part"

    def begin(self, resume: bool, overwrite: bool) -> None:
        """Find what is done (``resume``), remove it (``overwrite``), or refuse what is there. Nothing is written
        before all is checked.

        Raises:
            CimnetError: outputs are there and neither is said; or ``resume`` and they were made otherwise; or the
                folder cannot be written.
        """
        found = self._found()
        if resume:
            self._refuse_other(found)
        elif not overwrite:
            refuse_existing(self.names, self.out, self.has_alarm)
        for kind in KINDS:
            require_writable(self.out / kind)
        self._new = not self.out.exists()
        if resume:
            self._find_done()
        else:
            self._remove(self.names)
            self._journal.unlink(missing_ok=True)
        if found != self.mark:
            mark = _SEVERAL if self._filled() else self.mark
            write_text(self._file, json.dumps(mark, indent=1) + "\n")
        self.clean()

    def note(self, outcome: Outcome) -> None:
        """Keep the alarm of a pair for alarms.csv, also of a run that does not come to its end."""
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
        """Rows of alarms.csv: of this run and of those it goes on with."""
        return [row for row in self._rows.values() if row[1]]

    def end(self, failed: Collection[str]) -> None:
        """Remove what earlier runs left of failed pairs, and what only an interrupted run needs."""
        self._remove(failed)
        self._journal.unlink(missing_ok=True)
        self.clean()

    def drop(self) -> None:
        """Leave nothing of a run that wrote nothing, if the folder is its own."""
        self.clean()
        if self._new and not self._filled():
            shutil.rmtree(self.out, ignore_errors=True)

    def clean(self) -> None:
        """Remove halves of files that killed processes left."""
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
        """Where workers count how often they began a part."""
        return self.out / ".tries"

    def _outputs(self, names: Iterable[str]) -> Iterable[Path]:
        return (self.out / kind / f"{name}.png" for name in names for kind in KINDS)

    def _remove(self, names: Iterable[str]) -> None:
        for path in self._outputs(names):
            path.unlink(missing_ok=True)

    def _found(self) -> Fingerprint | None:
        try:
            return dict(json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):  # not ours, or damaged: nobody knows what was predicted
            return _SEVERAL

    def _filled(self) -> bool:
        return any(next((self.out / kind).rglob("[!.]*.png"), None) for kind in KINDS)

    def _refuse_other(self, found: Fingerprint | None) -> None:
        if found == self.mark or (found is None and not self._filled()):
            return
        remedy = "choose another --out, or --overwrite to predict all pairs anew"
        if found is None or found == _SEVERAL:
            raise CimnetError(f"{self._file}: does not say how all outputs here were made; {remedy}")
        other = ", ".join(sorted(key for key in {*found, *self.mark} if found.get(key) != self.mark.get(key)))
        raise CimnetError(f"{self._file}: the outputs here were made with another {other}; give the same, {remedy}")

    def _find_done(self) -> None:
        rows = self._alarm_rows() if self.has_alarm else {}
        for name in self.names:
            whole = all(path.is_file() and path.stat().st_size for path in self._outputs([name]))
            if whole and (name in rows or not self.has_alarm):
                self.done.add(name)
        self._rows = {name: row for name, row in rows.items() if name in self.done}

    def _alarm_rows(self) -> dict[str, AlarmRow]:
        """From alarms.csv and the journal; a last line that was cut off is none."""
        rows: dict[str, AlarmRow] = {}
        for path in (self.out / "alarms.csv", self._journal):
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            for row in csv.reader(text[: text.rfind("\n") + 1].split("\n")):
                if len(row) == len(ALARMS) + 2 and row[1] != ALARMS[0]:
                    rows[row[0]] = tuple(row)
        return rows
