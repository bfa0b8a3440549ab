"""Work in several threads or processes: results in order, errors as they are, a killed process as one line."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, TypeVar

from cimnet.errors import CimnetError
from cimnet.utils.signals import exit_on_sigterm, leave_signals_to_parent

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], object]
"""Called after each item with the items done and the number of all."""

START_METHOD = "spawn"
"""The only method that every system has. A forked process would copy the locks of threads that it does not have (of
OpenMP, of torch) and can hang; a spawned one begins with nothing of its parent's."""

_THREADS = 4
_AHEAD = 64  # items at work or waiting to be fetched
_GRACE = 2.0  # seconds in which an item can clean up when its process is ended


def run_in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    *,
    name: Callable[[Item], object] = str,
    progress: Progress | None = None,
    killed: Callable[[Item], Result] | None = None,
    remedy: str = "use fewer workers",
) -> list[Result]:
    """Call `work` for each item, in this process or in several.

    Ctrl-C, SIGTERM and an error in any process end all of them at once; so does the death of this process.

    Args:
        work: sent to each process once, so it may hold much; with several workers it must be picklable. Each process
            imports the main module, so a script needs `if __name__ == "__main__":`.
        workers: processes; 1 or less: this process alone.
        name: of an item, for error messages.
        killed: result for an item whose process was killed (for want of memory, mostly) even when it ran alone. None: a
            killed process is an error.
        remedy: what to do after a process was killed, for the message.

    Returns:
        One result an item, in their order.

    Raises:
        CimnetError: a process was killed, or none can be kept alive.
        Exception: what `work` raised, of the first item in order that failed.
    """
    found: dict[int, Result] = {}

    def report() -> None:
        if progress is not None:
            progress(len(found), len(items))

    with exit_on_sigterm():
        if workers <= 1 or (len(items) <= 1 and killed is None):
            for position, item in enumerate(items):
                found[position] = work(item)
                report()
        else:
            _run_all(work, items, workers, found, report, name, killed, remedy)
    return [found[position] for position in range(len(items))]


def map_in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Call `work`, which mostly waits for files or decodes them, for each item in four threads.

    Yields:
        One result an item, in their order. Few are kept in memory, however slowly they are fetched.

    Raises:
        Exception: what `work` raised, of the first item in order that failed. Items that have not begun are left out.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_all(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    found: dict[int, Result],
    report: Callable[[], object],
    name: Callable[[Item], object],
    killed: Callable[[Item], Result] | None,
    remedy: str,
) -> None:
    """After a process was killed, run the items that were at work one at a time: then it is known which killed it."""
    while rest := [position for position in range(len(items)) if position not in found]:
        before = len(found)
        suspects = _run(work, items, rest, workers, found, report)
        if suspects and killed is None:
            names = " or ".join(str(name(items[position])) for position in suspects)
            raise CimnetError(f"a worker process was killed (out of memory?) at {names}; {remedy}")
        for position in suspects:
            if killed is not None and _run(work, items, [position], 1, found, report):
                found[position] = killed(items[position])
                report()
        if len(found) == before:
            raise CimnetError(
                "worker processes end before they start; in a script, call this under `if __name__ == '__main__':`, or "
                "use one worker"
            )


def _run(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    positions: Sequence[int],
    workers: int,
    found: dict[int, Result],
    report: Callable[[], object],
) -> list[int]:
    """Run the items at `positions` and add to `found`; the positions that were at work when a process was killed."""
    context = multiprocessing.get_context(START_METHOD)
    begun = context.RawArray("b", len(items))
    theirs, ours = context.Pipe(duplex=False)
    futures: dict[int, Future[Result]] = {}
    pool = ProcessPoolExecutor(min(workers, len(positions)), context, _start, (work, begun, theirs))
    try:
        with _interrupts_held():
            for position in positions:
                futures[position] = pool.submit(_call, position, items[position])
        for position, future in futures.items():
            found[position] = future.result()
            report()
    except BrokenProcessPool:
        for position, future in futures.items():
            if position not in found and future.done() and not future.cancelled() and future.exception() is None:
                found[position] = future.result()
                report()
        return [position for position in positions if begun[position] and position not in found]
    finally:
        ours.close()  # which ends the processes
        pool.shutdown(cancel_futures=True)
        theirs.close()
    return []


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits while processes start: they inherit that, and do not die of it before they can ignore it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Process:
    """The state of a worker process. `busy`: in the middle of an item."""

    work: Callable[[Any], Any]
    begun: Any
    busy = False


class _Ended(BaseException):
    """The parent ended this process: files that are half written are cleaned up on the way out."""


def _start(work: Callable[[Any], Any], begun: Any, lifeline: Connection) -> None:
    _Process.work, _Process.begun = work, begun
    signal.signal(signal.SIGTERM, _interrupt)
    leave_signals_to_parent(end=_end)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Nothing is ever sent: the pipe ends when the parent closes its side, or dies."""
    try:
        lifeline.poll(None)
    finally:
        _end()


def _end() -> None:
    """Called in a thread. The item at work has a moment to clean up."""
    if _Process.busy:
        _thread.interrupt_main(signal.SIGTERM)
        time.sleep(_GRACE)
    os._exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _Process.busy:
        raise _Ended
    os._exit(1)


def _call(position: int, item: Any) -> Any:
    _Process.begun[position] = 1
    try:
        _Process.busy = True
        return _Process.work(item)
    except _Ended:
        os._exit(1)
    except Exception as error:
        if not _can_travel(error):
            raise CimnetError(f"{type(error).__name__}: {error}") from None
        raise
    finally:
        _Process.busy = False


def _can_travel(error: Exception) -> bool:
    """Whether an error can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True
