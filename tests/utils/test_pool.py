"""Work in several processes: order, errors, killed processes, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cimnet.errors import CimnetError, DataError
from cimnet.utils.pool import map_in_threads, run_in_processes


def _square(number: int) -> int:
    time.sleep(0.02 * (number % 3))
    return number * number


def _fail(number: int) -> int:
    if number >= 2:
        raise DataError(f"{number}.png: cannot be read")
    return number


class _Odd(Exception):
    """An error that pickle can write and not read."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def _fail_oddly(number: int) -> int:
    raise _Odd(number, 2)


def _die(deadly: frozenset[int], number: int) -> int:
    if number in deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _write_slowly(folder: Path, number: int) -> int:
    (folder / f"{number}.pid").write_text(str(os.getpid()))
    part = folder / f"{number}.part"
    part.touch()
    try:
        for _ in range(600):
            time.sleep(0.1)
    finally:
        part.unlink()
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_in_order_and_progress(workers: int) -> None:
    steps: list[tuple[int, int]] = []
    found = run_in_processes(_square, range(7), workers, progress=lambda *step: steps.append(step))
    assert found == [0, 1, 4, 9, 16, 25, 36]
    assert steps == [(n, 7) for n in range(1, 8)]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_in_order_is_the_callers(workers: int) -> None:
    with pytest.raises(DataError, match=r"^2\.png: cannot be read$"):
        run_in_processes(_fail, range(6), workers)


def test_an_error_that_cannot_travel_is_told_all_the_same() -> None:
    with pytest.raises(CimnetError, match=r"^_Odd: \d and 2$"):
        run_in_processes(_fail_oddly, range(2), 2)


def test_a_killed_process_is_one_line_with_name_and_remedy() -> None:
    with pytest.raises(
        CimnetError, match=r"was killed \(out of memory\?\) at .*pair 3.*; use fewer workers$"
    ) as caught:
        run_in_processes(partial(_die, frozenset({3})), range(6), 2, name=lambda number: f"pair {number}")
    assert "\n" not in str(caught.value)


def test_those_that_kill_their_process_are_found_and_the_others_done() -> None:
    work = partial(_die, frozenset({0, 3, 4}))
    assert run_in_processes(work, range(6), 2, killed=lambda number: -number - 1) == [-1, 1, 2, -4, -5, 5]


def test_a_single_item_that_kills() -> None:
    assert run_in_processes(partial(_die, frozenset({7})), [7], 2, killed=lambda number: -1) == [-1]


_SCRIPT = """
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from cimnet.utils.pool import map_in_threads, run_in_processes
from tests.utils.test_pool import _write_slowly

if __name__ == "__main__":
    run_in_processes(partial(_write_slowly, Path(sys.argv[1])), range(4), 2)
"""


def _start(folder: Path, text: str) -> subprocess.Popen[str]:
    script = folder / "script.py"
    script.write_text(text)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path.cwd())])}
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)], stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
    )


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="senders of signals cannot be told here")
@pytest.mark.parametrize(
    ("number", "group", "code"),
    [("SIGTERM", False, 143), ("SIGTERM", True, 143), ("SIGINT", True, -2), ("SIGKILL", False, -9)],
)
def test_a_signal_ends_all_processes_at_once(tmp_path: Path, number: str, group: bool, code: int) -> None:
    process = _start(tmp_path, _SCRIPT)
    _wait(lambda: len(list(tmp_path.glob("*.part"))) == 2)
    pids = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
    (os.killpg if group else os.kill)(process.pid, getattr(signal, number))
    assert process.wait(20) == code
    _wait(lambda: not any(_alive(pid) for pid in pids))
    assert list(tmp_path.glob("*.part")) == []


def test_a_script_without_a_main_guard_is_told(tmp_path: Path) -> None:
    process = _start(tmp_path, "from cimnet.utils.pool import run_in_processes\nrun_in_processes(abs, range(4), 2)\n")
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "CimnetError: worker processes end before they start; in a script, call this under `if __name__" in text


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def _wait(done: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_threads_give_results_in_order_and_few_in_advance() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.01 * (item % 3))
        return item * item

    results = map_in_threads(work, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    time.sleep(0.3)
    assert len(begun) < 100
    results.close()
    time.sleep(0.05)
    assert len(begun) < 100
    assert list(map_in_threads(work, range(70))) == [item * item for item in range(70)]
    assert list(map_in_threads(work, ())) == []


def test_an_error_in_a_thread_is_that_of_the_first_item() -> None:
    def work(item: int) -> int:
        time.sleep(0.05 * (item == 1))
        if item in (1, 3):
            raise ValueError(item)
        return item

    results = map_in_threads(work, range(10))
    assert next(results) == 0
    with pytest.raises(ValueError, match=r"^1$"):
        next(results)
