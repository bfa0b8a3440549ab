"""Requests to stop; dataloader workers and the signals of others."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

import pytest

from cimnet.utils.signals import StopRequest, leave_signals_to_parent


def _wait(told: Connection) -> None:
    leave_signals_to_parent()
    told.send("ready")
    time.sleep(60)


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="senders of signals cannot be told here")
def test_only_the_parent_ends_a_dataloader_worker() -> None:
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


def _begin_late(told: Connection, begin: Event) -> None:
    told.send("here")
    begin.wait()
    leave_signals_to_parent()
    time.sleep(60)


def _have_two_loaders(told: Connection, begin: Event) -> None:
    """As a training run does; the second holds the first one's pipes, too."""
    for _ in range(2):
        multiprocessing.get_context("fork").Process(target=_begin_late, args=(told, begin), daemon=True).start()
    time.sleep(60)


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="as above")
def test_a_parent_killed_while_dataloader_workers_begin_leaves_none() -> None:
    ours, theirs = multiprocessing.Pipe()
    begin = multiprocessing.get_context("fork").Event()
    parent = multiprocessing.get_context("fork").Process(target=_have_two_loaders, args=(theirs, begin))
    parent.start()
    theirs.close()
    assert [ours.recv(), ours.recv()] == ["here", "here"]
    parent.kill()
    parent.join()
    begin.set()
    assert ours.poll(30), "a dataloader worker still holds the other end"
    with pytest.raises(EOFError):
        ours.recv()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_a_request_and_a_second_interrupt_is_one(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert stop.signal is None
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:  # pytest would end with it
            pytest.fail("the first signal interrupts")
        assert stop.signal == number
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)  # a scheduler may ask twice
        assert stop.signal == signal.SIGTERM
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
