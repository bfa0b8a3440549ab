"""Measure all pairs, in several processes where that is faster."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cimnet.curation.check.decode_pair import Job, Problem, Settings
from cimnet.curation.check.pair_stats import PairStats, measure_pair
from cimnet.utils.pool import Progress, cores, run_in_processes

_WORTH_IT = 200  # pairs a process: starting one takes as long as measuring about so many


def measure_pairs(
    jobs: Sequence[Job], settings: Settings, workers: int | None = None, progress: Progress | None = None
) -> list[PairStats]:
    """Measure the pair of each job, in order. A pair that kills its process is reported as a pair with a problem.

    Args:
        workers: processes; None: one a core, but none for a few pairs; 1: this process alone. New processes import the
            main module: a script needs `if __name__ == "__main__":`.
        progress: called with 0 first.

    Raises:
        CimnetError: no process can be kept alive.
    """
    if workers is None:
        workers = min(cores(), max(1, len(jobs) // _WORTH_IT))
    if progress is not None:
        progress(0, len(jobs))
    return run_in_processes(partial(measure_pair, settings=settings), jobs, workers, progress=progress, killed=_killed)


def _killed(job: Job) -> PairStats:
    return PairStats(job.name, (Problem("rgb", None, "the process that examined it was killed (out of memory?)"),))
