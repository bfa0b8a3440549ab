"""Measure the missing conditions, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch

from cimnet.analysis.robustness.conditions import Condition
from cimnet.analysis.robustness.count import Pairs, count
from cimnet.analysis.robustness.model_under_test import Model, ModelUnderTest, open_model
from cimnet.analysis.robustness.suite import Suite
from cimnet.errors import CimnetError


@dataclass(frozen=True)
class Work:
    """What every process needs to measure a condition."""

    suite: Suite
    model: Model
    pairs: Pairs
    batch_size: int
    device: str | torch.device | None

    def open(self) -> ModelUnderTest:
        """The model, ready to use."""
        return open_model(self.model, self.pairs.dataset, self.device)

    def measure(self, model: ModelUnderTest, condition: Condition, pause: Callable[[], object] = lambda: None) -> None:
        """Measure a condition and write its file."""
        outcome = count(model, self.pairs, condition, self.batch_size, pause)
        outcome.write(self.suite.path(condition), self.suite.ledger.digest)


def measure_all(
    work: Work, model: ModelUnderTest, conditions: Sequence[Condition], workers: int, report: Callable[[], object]
) -> None:
    """Measure conditions; each leaves a file in the suite's folder. `report` is called after each.

    Raises:
        CimnetError: a condition cannot be measured, or a process was killed.
    """
    workers = min(workers, len(conditions))
    if workers > 1:
        _in_processes(work, conditions, workers, report)
        return
    for condition in conditions:
        work.measure(model, condition)
        report()


def _in_processes(work: Work, conditions: Sequence[Condition], workers: int, report: Callable[[], object]) -> None:
    """When anything ends it early (Ctrl-C, an error), the processes stop at their next batch."""
    bare = copy(work.pairs.dataset)
    bare.transform = None  # it is not applied, and may be a thing that no other process can be given
    work = replace(work, pairs=replace(work.pairs, dataset=bare))
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    threads = max(1, torch.get_num_threads() // workers)
    with ProcessPoolExecutor(workers, context, _start, (work, stop, threads)) as pool:
        try:
            for future in as_completed([pool.submit(_measure, condition) for condition in conditions]):
                future.result()
                report()
        except BrokenProcessPool as error:
            raise CimnetError(
                "a worker process ended early: out of memory, or a script without `if __name__ == '__main__':`; what "
                "was finished is kept; use fewer workers"
            ) from error
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Stopped(Exception):
    """Another process failed, the user interrupted, or the parent is gone."""


class _Process:
    """What a worker process holds between conditions."""

    work: Work
    model: ModelUnderTest
    stop: Any
    parent: int


def _start(work: Work, stop: Any, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and sets `stop`
    torch.set_num_threads(threads)
    _Process.work, _Process.stop, _Process.parent, _Process.model = work, stop, os.getppid(), work.open()


def _measure(condition: Condition) -> None:
    _pause()
    _Process.work.measure(_Process.model, condition, _pause)


def _pause() -> None:
    if _Process.stop.is_set() or os.getppid() != _Process.parent:
        raise _Stopped
