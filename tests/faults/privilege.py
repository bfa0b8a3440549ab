"""Real obstacles: no permission also for root, a folder that cannot be changed, a disk of a few kilobytes."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.bench import Bench, Skipped

_VERSION_3 = 0x20080522
_DAC = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root's right to every file


@contextmanager
def as_a_user() -> Iterator[None]:
    """Root without its right to every file, for this thread and those that it starts: modes count as for anybody."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) != 0:
        raise Skipped("capabilities cannot be read")
    before = data[0]
    data[0] = before & ~_DAC
    if libc.capset(header, data) != 0:
        raise Skipped("capabilities cannot be dropped")
    try:
        yield
    finally:
        data[0] = before
        libc.capset(header, data)


def small_disk(bench: Bench, kilobytes: int, name: str = "out") -> Path:
    """A disk of so many kilobytes, mounted on a folder until the fault is over.

    Raises:
        Skipped: this process may not mount.
    """
    return _mount(bench, name, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs")


def read_only(bench: Bench, folder: Path) -> None:
    """Mount a folder on itself, read-only, until the fault is over.

    Raises:
        Skipped: this process may not mount.
    """
    _mount(bench, folder.name, "--bind", str(folder))
    done = subprocess.run(["mount", "-o", "remount,bind,ro", folder], capture_output=True, check=False)
    if done.returncode:
        raise Skipped("a folder cannot be made read-only here")


def _mount(bench: Bench, name: str, *what: str) -> Path:
    place = bench.folder / name
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *what, place], capture_output=True, check=False)
    if done.returncode:
        raise Skipped("disks can be mounted by root only")
    bench.stack.callback(subprocess.run, ["umount", "-l", place], capture_output=True, check=False)
    return place
