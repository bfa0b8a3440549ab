"""Two processes do not work on one output."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cimnet.errors import CimnetError
from cimnet.utils.locks import OutputLock, is_locked

HOLD = """
import sys, time
from pathlib import Path
from cimnet.utils.locks import OutputLock
with OutputLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_one_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with OutputLock(out):
        assert is_locked(out)
        with pytest.raises(CimnetError, match=r"out: another process writes to it; wait for it, or choose"):
            OutputLock(out).acquire()
        assert is_locked(out)  # the refused one took nothing away
    assert not is_locked(out)
    assert not any(tmp_path.iterdir())


def test_results_and_folders_of_the_user_stay(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "filled"):
        with OutputLock(tmp_path / name):
            if name == "filled":
                (tmp_path / name / "mask.png").touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "empty",
        "filled",
        "filled/mask.png",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "out"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(CimnetError, match="another process"), OutputLock(tmp_path / "out"):
            pass
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "out" / ".lock").is_file()
    assert not is_locked(tmp_path / "out")
    with OutputLock(tmp_path / "out"):
        pass
    assert not any((tmp_path / "out").iterdir())


def test_a_place_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CimnetError, match=r"out: cannot be written \(.*\); choose another folder"):
        OutputLock(tmp_path / "file" / "out").acquire()


def test_releasing_twice_or_without_a_lock_does_nothing(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path / "out")
    lock.release()
    with lock:
        lock.release()
        (tmp_path / "out").mkdir(exist_ok=True)
        with OutputLock(tmp_path / "out"):
            lock.release()
            assert is_locked(tmp_path / "out")
