"""The queue of long runs: what is done is skipped, a failure holds nothing up, a kill loses nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ROOT

SCRIPT = ROOT / "benchmarks" / "queue.sh"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("flock") is None or shutil.which("setsid") is None, reason="needs util-linux"),
]


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "QUEUE": str(folder / "queue"), "PYTHON": sys.executable}


def _queue(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), *words]
    return subprocess.run(command, env=_environment(folder), capture_output=True, text=True, timeout=300, check=False)


def _list(folder: Path, text: str) -> str:
    path = folder / "jobs.sh"
    path.write_text(text.replace("@", str(folder)), encoding="utf-8")
    return str(path)


def test_jobs_run_once_and_a_failure_holds_nothing_up(tmp_path: Path) -> None:
    jobs = _list(
        tmp_path,
        """
        first @/data 'touch @/data'
        job @/bad 'exit 3'
        for i in 1 2 3; do job @/$i "test -e @/data && echo $i >> @/ran && nice > @/nice && touch @/$i"; done
        job @/silent 'true'
        """,
    )
    assert _queue(tmp_path, "--list", jobs).stdout.split() == [
        word for name in ("data", "bad", "1", "2", "3", "silent") for word in ("left", str(tmp_path / name))
    ]
    ran = _queue(tmp_path, jobs, "2")
    assert ran.returncode == 1
    assert sorted((tmp_path / "ran").read_text().split()) == ["1", "2", "3"]
    assert (tmp_path / "nice").read_text().strip() == "19"
    assert "FAILED" in ran.stdout
    assert "3 of 5 jobs done" in ran.stdout  # a job that does not write its result has failed, too
    assert _queue(tmp_path, jobs, "2").returncode == 1
    assert sorted((tmp_path / "ran").read_text().split()) == ["1", "2", "3"]


def test_nothing_begins_without_what_comes_first(tmp_path: Path) -> None:
    jobs = _list(tmp_path, "first @/data 'exit 1'\njob @/1 'touch @/1'\n")
    assert _queue(tmp_path, jobs).returncode == 1
    assert not (tmp_path / "1").exists()


def test_a_signal_reaches_the_job_and_the_next_start_goes_on(tmp_path: Path) -> None:
    job = (
        "trap 'sleep 2; touch @/saved; exit 0' TERM; touch @/begun; "
        "if [ -e @/saved ]; then touch @/1; else sleep 60 & wait; fi"
    )
    jobs = _list(tmp_path, f'job @/1 "{job}"\n')
    running = subprocess.Popen([str(SCRIPT), jobs, "1"], env=_environment(tmp_path), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running.send_signal(signal.SIGTERM)
    assert running.wait(120) == 130
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "1").exists()
    assert _queue(tmp_path, jobs, "1").returncode == 0
    assert (tmp_path / "1").exists()


def test_it_may_be_called_from_any_folder(tmp_path: Path) -> None:
    _list(tmp_path, "job @/1 'touch @/1'\n")
    words = [os.path.relpath(SCRIPT, tmp_path), "jobs.sh", "1"]
    assert subprocess.run(words, cwd=tmp_path, env=_environment(tmp_path), timeout=300, check=False).returncode == 0
    assert (tmp_path / "1").exists()


def test_the_list_of_the_project_can_be_read(tmp_path: Path) -> None:
    listed = _queue(tmp_path, "--list").stdout
    assert "runs/gain/all-0/test.json" in listed
    assert "runs/transfer/mm5.done" in listed
