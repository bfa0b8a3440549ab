"""The settings behind the results in a folder: a run resumes with the same settings, or it is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from cimnet.errors import ConfigError
from cimnet.utils.files import write_text

State = Literal["none", "same", "other", "unknown"]
_ABSENT = object()
_LONGEST = 60  # characters of a value in an error


class Ledger:
    """A file that says which settings the results beside it were made with.

    Args:
        path: of the file, JSON unless `read` says otherwise.
        made_with: the settings of this run by name, plain JSON. Errors show the names to the user.
        remedy: what a refused user can do instead: ``choose another --out, or --overwrite to predict all pairs again``.
        ignore: settings that may differ.
        later: settings that files of earlier versions do not hold: one that a file lacks is not compared.
        section: the field that holds the settings, if the file holds notes as well (see `write`). None: the file holds
            the settings alone.
        read: gives the settings that another kind of file holds. What it raises as CimnetError comes through.
    """

    def __init__(
        self,
        path: Path,
        made_with: Mapping[str, object],
        remedy: str,
        *,
        ignore: Collection[str] = (),
        later: Collection[str] = (),
        section: str | None = None,
        read: Callable[[Path], Mapping[str, object]] | None = None,
    ) -> None:
        self.path, self.remedy, self.ignore, self.section = path, remedy, frozenset(ignore), section
        self.later = frozenset(later)
        self.made_with: dict[str, Any] = json.loads(
            json.dumps(dict(made_with))
        )  # as the file gives it: lists, no tuples
        self._read = read

    @property
    def digest(self) -> str:
        """SHA-256 of the settings, for results that name what they belong to."""
        return hashlib.sha256(json.dumps(self.made_with, sort_keys=True).encode()).hexdigest()

    def state(self) -> State:
        """Return the state of the file: ``none`` (no such file), the ``same`` settings, ``other`` ones, or ``unknown``:
        it is damaged, or somebody else's file, or it was written by `write_mixed`."""
        found = self._found()
        if found is None:
            return "none"
        if not set(found) & set(self.made_with):
            return "unknown"
        return "other" if self._differences(found) else "same"

    def require_same(self, filled: bool = False) -> bool:
        """Refuse to resume with other settings.

        Args:
            filled: whether results are there, so that a missing file is refused too.

        Returns:
            Whether there is something to resume: the file is there and says the same. False: there is no file.

        Raises:
            ConfigError: the file names other settings, or does not say how the results were made.
        """
        state = self.state()
        if state == "unknown" or (state == "none" and filled):
            raise ConfigError(f"{self.path}: does not say how the results here were made; {self.remedy}")
        if state == "other":
            found, now = self._found() or {}, self.made_with
            other = ", ".join(_compared(name, found.get(name), now.get(name)) for name in self._differences(found))
            raise ConfigError(f"{self.path}: made with other settings: {other}; resume with the same, or {self.remedy}")
        return state == "same"

    def notes(self) -> dict[str, Any]:
        """The other fields of a file with a `section`; empty where there is no file or it is damaged."""
        content = self._content()
        return {key: value for key, value in (content or {}).items() if self.section and key != self.section}

    def write(self, **notes: object) -> None:
        """Write the settings, and in a file with a `section` notes such as what is done, atomically.

        Raises:
            CimnetError: the file cannot be written.
        """
        content = {self.section: self.made_with, **notes} if self.section else self.made_with
        write_text(self.path, json.dumps(content, indent=1) + "\n")

    def write_mixed(self) -> None:
        """Write that results of several settings lie here: no later run resumes them."""
        write_text(self.path, json.dumps({"made with": "several settings"}, indent=1) + "\n")

    def _differences(self, found: Mapping[str, object]) -> list[str]:
        names = {*found, *self.made_with} - self.ignore - (self.later - found.keys())
        return sorted(name for name in names if found.get(name, _ABSENT) != self.made_with.get(name, _ABSENT))

    def _found(self) -> Mapping[str, object] | None:
        """Settings in the file; None without a file, empty where it does not say."""
        if self._read is not None:
            return self._read(self.path) if self.path.is_file() else None
        content = self._content()
        if content is None or self.section is None:
            return content
        found = content.get(self.section)
        return found if isinstance(found, dict) else {}

    def _content(self) -> dict[str, Any] | None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


def _compared(key: str, then: object, now: object) -> str:
    """A setting and, where they can be told apart at a glance, both values."""
    before, after = _short(then), _short(now)
    return key if before == after else f"{key} ({before} then, {after} now)"


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
