"""The peak of this process's memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cimnet.utils import memory
from cimnet.utils.memory import peak_memory

PROGRAM = """
from cimnet.utils.memory import peak_memory
before = peak_memory()
held = bytearray(int(before * 2**20)) + b"1"
during = peak_memory()
del held
print(before, during, peak_memory())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_grows_with_what_is_held_and_stays() -> None:
    """And begins anew: what the process that started this one has held does not count."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, during, after = map(float, done.stdout.split())
    assert before < peak_memory()
    assert during > 1.9 * before
    assert after >= during


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_without_proc_it_asks_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = peak_memory()
    monkeypatch.setattr(memory, "STATUS", tmp_path / "missing")
    assert peak_memory() > 0.9 * known
