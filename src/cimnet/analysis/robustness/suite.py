"""The folder of a suite: what it was made with, one file a finished condition, and going on where it was left."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cimnet.analysis.robustness.conditions import Condition
from cimnet.analysis.robustness.outcome import Outcome
from cimnet.errors import ConfigError
from cimnet.utils.files import require_writable, write_text


@dataclass(frozen=True)
class Suite:
    """A folder `out` with ``suite.json`` and ``conditions/``.

    Attributes:
        made_with: what must be the same for results to belong together (fingerprint), by name.
    """

    out: Path
    made_with: Mapping[str, object]

    @property
    def digest(self) -> str:
        """SHA-256 of `made_with`."""
        return hashlib.sha256(json.dumps(self.made_with, sort_keys=True).encode()).hexdigest()

    def open(self) -> None:
        """Make the folder, or see that what lies in it was made with the same.

        Raises:
            ConfigError: it was not; names what differs.
            CimnetError: the folder cannot be written.
        """
        path = self.out / "suite.json"
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError(f"{self.out}: is a file; give the name of a folder")
        require_writable(self.out)
        if path.is_file():
            self._compare(path)
        else:
            write_text(path, json.dumps(self.made_with, indent=2) + "\n")

    def _compare(self, path: Path) -> None:
        remedy = "give another folder, or delete this one to measure anew"
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{path}: damaged, so nobody knows what the results beside it are of; {remedy}"
            ) from error
        if not self.made_with["model"]:
            raise ConfigError(
                f"{path}: there are results, and nothing says whether they are of this model; give it a name "
                "(measure_robustness(..., name=...)) to go on with results of that name, or give another folder"
            )
        now = json.loads(json.dumps(self.made_with))
        other = [key for key in now if before.get(key) != now[key]]
        differ = [f"{key}: {_short(before.get(key))} then, {_short(now[key])} now" for key in other]
        if differ:
            raise ConfigError(f"{path}: the results were made with something else ({'; '.join(differ)}); {remedy}")

    def path(self, condition: Condition) -> Path:
        """Where the result of a condition lies."""
        return self.out / "conditions" / f"{condition.key}.json"

    def read(self, condition: Condition, num_classes: int) -> Outcome | None:
        """The result of a condition; None if there is none. A damaged file counts as none and brings a warning."""
        path = self.path(condition)
        if not path.is_file():
            return None
        try:
            return Outcome.read(path, self.digest, num_classes)
        except (OSError, ValueError) as error:
            warnings.warn(f"{path}: damaged ({error}); measured again", stacklevel=2)
            return None

    def missing(self, conditions: Sequence[Condition], num_classes: int) -> list[Condition]:
        """Conditions without a result."""
        return [condition for condition in conditions if self.read(condition, num_classes) is None]


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
