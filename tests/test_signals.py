"""Loader processes and the signals of others."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import time
from multiprocessing.connection import Connection

import pytest

from cimnet.signals import leave_signals_to_parent


def _wait(told: Connection) -> None:
    leave_signals_to_parent()
    told.send("ready")
    time.sleep(60)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="senders of signals cannot be told here")
def test_only_the_parent_ends_a_loader_process() -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_wait, args=(theirs,), daemon=True)
    process.start()
    assert ours.recv() == "ready"
    for name in ("TERM", "INT"):
        subprocess.run(["kill", f"-{name}", str(process.pid)], check=True)
    process.join(0.5)
    assert process.is_alive()
    process.terminate()
    process.join(20)
    assert process.exitcode == 0
