"""Measure the missing conditions, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace

import torch

from cimnet.analysis.robustness.conditions import Condition
from cimnet.analysis.robustness.count import Pairs, count
from cimnet.analysis.robustness.model_under_test import Model, ModelUnderTest, open_model
from cimnet.analysis.robustness.suite import Suite
from cimnet.utils.pool import run_in_processes


@dataclass(frozen=True)
class Work:
    """Everything that a process needs to measure a condition."""

    suite: Suite
    model: Model
    pairs: Pairs
    batch_size: int
    device: str | torch.device | None
    trust: bool = False

    def open(self) -> ModelUnderTest:
        """The model, ready to use."""
        return open_model(self.model, self.pairs.dataset, self.device, trust=self.trust)

    def measure(self, model: ModelUnderTest, condition: Condition) -> None:
        """Measure a condition and write its file."""
        outcome = count(model, self.pairs, condition, self.batch_size)
        outcome.write(self.suite.path(condition), self.suite.ledger.digest)


def measure_all(
    work: Work, model: ModelUnderTest, conditions: Sequence[Condition], workers: int, report: Callable[[], object]
) -> None:
    """Measure conditions; each leaves a file in the suite's folder. `report` is called after each.

    Raises:
        CimnetError: a condition cannot be measured, or a process was killed.
    """
    workers = min(workers, len(conditions))
    measure = _Measure(work, model)
    if workers > 1:
        bare = copy(work.pairs.dataset)
        bare.transform = None  # it is not applied, and may not be picklable
        work = replace(work, pairs=replace(work.pairs, dataset=bare))
        measure = _Measure(work, None, max(1, torch.get_num_threads() // workers))
    run_in_processes(
        measure,
        conditions,
        workers,
        name=lambda condition: condition.title,
        progress=lambda done, total: report(),
        remedy="what was finished is kept; use fewer workers",
    )


@dataclass
class _Measure:
    """Measures one condition after the other. Without a model, it opens one itself, with this number of threads."""

    work: Work
    model: ModelUnderTest | None
    threads: int = 1

    def __call__(self, condition: Condition) -> None:
        if self.model is None:
            torch.set_num_threads(self.threads)
            self.model = self.work.open()
        self.work.measure(self.model, condition)
