"""PairStats at all pairs, in processes of their own where that pays."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from cimnet.curation.check.decode_pair import Job, Problem, Settings
from cimnet.curation.check.pair_stats import PairStats, measure_pair
from cimnet.errors import CimnetError

Progress = Callable[[int, int], object]
"""Called with the pairs done and the number of all pairs."""

_CHUNK = 8
_WORTH_IT = 200  # pairs a process: starting one takes as long as looking at about so many
_HOPELESS = 3


def measure_pairs(
    jobs: Sequence[Job], settings: Settings, workers: int | None = None, progress: Progress | None = None
) -> list[PairStats]:
    """One look a job, in their order.

    Args:
        workers: processes; None: one a core, but none for a few pairs; 1: this process alone. New processes import the
            main module: a script needs `if __name__ == "__main__":`.

    Raises:
        CimnetError: no process can be kept alive.
    """
    if workers is None:
        workers = min(_cores(), max(1, len(jobs) // _WORTH_IT))
    done: list[PairStats] = []

    def add(found: PairStats) -> None:
        done.append(found)
        if progress is not None:
            progress(len(done), len(jobs))

    if progress is not None:
        progress(0, len(jobs))
    if workers <= 1:
        for job in jobs:
            add(measure_pair(job, settings))
    else:
        _in_processes(jobs, settings, workers, done, add)
    return done


def _in_processes(
    jobs: Sequence[Job], settings: Settings, workers: int, done: list[PairStats], add: Callable[[PairStats], None]
) -> None:
    """After a process has died, go on one pair at a time for a while: then it is known which pair killed it."""
    work = partial(measure_pair, settings=settings)
    careful, killed = False, 0
    while len(done) < len(jobs):
        rest = jobs[len(done) :]
        try:
            with _pool(1 if careful else workers) as pool:
                batch = rest[: 4 * _CHUNK * workers] if careful else rest
                try:
                    for found in pool.map(work, batch, chunksize=1 if careful else _CHUNK):
                        add(found)
                except BaseException:  # Ctrl-C, for example: do not wait for the rest
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
            careful = False
        except BrokenProcessPool as error:
            if careful:
                killed += 1
                if killed == _HOPELESS and len(done) < _HOPELESS:
                    raise CimnetError(
                        "worker processes end at once; call check_dataset under `if __name__ == '__main__':`, or with "
                        "workers=1"
                    ) from error
                why = "the process that examined it was killed (out of memory?)"
                add(PairStats(jobs[len(done)].name, (Problem("rgb", None, why),)))
            careful = True


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that do not copy the state of this one: forking a process with threads can hang."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([measure_pair.__module__])  # imported once, not by every process
    return ProcessPoolExecutor(workers, context)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
