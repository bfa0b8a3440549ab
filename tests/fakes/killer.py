"""The system runs out of memory and kills a process, as often happens to the processes of a pool."""

from __future__ import annotations

import multiprocessing
import os
import signal


def kill_workers(done: int, total: int) -> None:
    """Give it as `progress`: after the first item every worker process is killed (SIGKILL)."""
    if done == 1:
        children = multiprocessing.active_children()
        assert children
        for child in children:
            if child.pid is not None:
                os.kill(child.pid, signal.SIGKILL)
