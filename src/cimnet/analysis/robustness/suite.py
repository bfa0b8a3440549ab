"""The folder of a suite: what it was made with, one file per finished condition, and how a later call resumes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cimnet.analysis.robustness.conditions import Condition
from cimnet.analysis.robustness.outcome import Outcome
from cimnet.errors import ConfigError
from cimnet.utils.files import require_writable
from cimnet.utils.ledger import Ledger
from cimnet.utils.locks import OutputLock


@dataclass(frozen=True)
class Suite:
    """A folder `out` with ``suite.json`` and ``conditions/``.

    Attributes:
        made_with: what must be the same for results to belong together (fingerprint), by name.
    """

    out: Path
    made_with: Mapping[str, object]

    @property
    def ledger(self) -> Ledger:
        """``suite.json``: whether the results here are of the same model, pairs and settings."""
        remedy = "give another --out, or delete this folder to measure again"
        return Ledger(self.out / "suite.json", self.made_with, remedy)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Create the folder, or check that its results were made with the same settings, and lock it for other
        processes.

        Raises:
            ConfigError: the settings differ; the message names them.
            CimnetError: the folder cannot be written, or another process measures into it.
        """
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError(f"{self.out}: is a file; give the name of a folder")
        require_writable(self.out)
        with OutputLock(self.out, doing="measures into it"):
            self._begin()
            yield

    def _begin(self) -> None:
        ledger = self.ledger
        if not self.made_with["model"] and ledger.state() in ("same", "other"):
            raise ConfigError(
                f"{ledger.path}: there are results, and nothing says whether they are of this model; give it a name "
                "(measure_robustness(..., name=...)) to resume results of that name, or give another folder"
            )
        if not ledger.require_same():
            ledger.write()

    def path(self, condition: Condition) -> Path:
        """The file of a condition's result."""
        return self.out / "conditions" / f"{condition.key}.json"

    def read(self, condition: Condition, num_classes: int) -> Outcome | None:
        """The result of a condition; None if there is none. A damaged file counts as none and gives a warning."""
        path = self.path(condition)
        if not path.is_file():
            return None
        try:
            return Outcome.read(path, self.ledger.digest, num_classes)
        except (OSError, ValueError) as error:
            warnings.warn(f"{path}: damaged ({error}); measured again", stacklevel=2)
            return None

    def missing(self, conditions: Sequence[Condition], num_classes: int) -> list[Condition]:
        """Conditions without a result."""
        return [condition for condition in conditions if self.read(condition, num_classes) is None]
