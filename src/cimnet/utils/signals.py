"""Stop politely: SIGTERM (a scheduler) and the first Ctrl-C ask the run to save and end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import FrameType, TracebackType
from typing import Any


def leave_signals_to_parent(worker: int = 0, end: Callable[[], object] = lambda: os._exit(0)) -> None:
    """Leave signals of a worker process to the main process: a scheduler or terminal signals the whole group.

    SIGTERM from the main process itself ends the worker as ever. So does the end of the main process, however early:
    torch's own watch of dataloader workers begins later than this, and one whose parent was killed before it (by a
    scheduler out of patience, or for want of memory) would wait for ever. Where the sender of a signal cannot be told
    (macOS), nothing is changed for SIGTERM.

    Args:
        worker: number of a dataloader worker, which torch passes; it does not matter here.
        end: called in a thread to end the process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None and hasattr(signal, "sigtimedwait"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for_parent, args=(parent, end), daemon=True).start()


def _wait_for_parent(parent: BaseProcess, end: Callable[[], object]) -> None:
    while parent.is_alive():
        told = signal.sigtimedwait({signal.SIGTERM}, 1.0)
        if told is not None and told.si_pid == parent.pid:
            break
    end()


class StopRequest:
    """Note the first SIGTERM or SIGINT in ``signal`` instead of stopping; a second Ctrl-C interrupts as usual.

    Python allows this only in the main thread; elsewhere nothing is installed.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Make SIGTERM raise SystemExit (143), so the program cleans up as after Ctrl-C. A second one does nothing.

    Outside of the main thread, and where somebody else handles SIGTERM already, nothing is changed.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
