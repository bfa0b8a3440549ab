"""A new folder appears at the end, all at once, and nothing is left otherwise."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cimnet.errors import CimnetError
from cimnet.utils.files import require_apart, staged_folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def fill(part: Path) -> None:
    (part / "images").mkdir()
    (part / "images" / "a.png").write_text("a")
    (part / "train.txt").write_text("a\n")


def fill_and_fail(part: Path, error: BaseException) -> None:
    fill(part)
    raise error


FILLED = ["out", "out/images", "out/images/a.png", "out/train.txt"]


@pytest.mark.parametrize("there", [False, True])
def test_the_folder_appears_at_the_end(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "out").mkdir()
    with staged_folder(tmp_path / "out") as part:
        fill(part)
        assert names(tmp_path / "out") == []
    assert names(tmp_path) == FILLED


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x"), SystemExit(1)])
def test_nothing_is_left_after_an_error(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), staged_folder(tmp_path / "new" / "out") as part:
        fill_and_fail(part, error)
    assert names(tmp_path) == []


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(CimnetError, match=r"out: cannot be written \(No space"), staged_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_errors_name_the_folder_by_its_coming_name(tmp_path: Path) -> None:
    with pytest.raises(CimnetError, match=r"^[^.]*/out/a\.png/b\.txt: cannot"), staged_folder(tmp_path / "out") as part:
        fill_and_fail(part, CimnetError(f"{part}/a.png/b.txt: cannot be written"))


def test_what_can_be_known_before_is_said_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full" / "theirs").mkdir(parents=True)
    for out, message in (("file", "is a file"), ("full", "not empty; choose a new"), ("file/out", "cannot be written")):
        with pytest.raises(CimnetError, match=f"{out}: .*{message}"), staged_folder(tmp_path / out):
            pytest.fail("began to work")
    assert names(tmp_path) == ["file", "full", "full/theirs"]


def test_a_link_stays_and_its_target_is_filled(tmp_path: Path) -> None:
    (tmp_path / "disk" / "out").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "out")
    with staged_folder(tmp_path / "link") as part:
        assert part.parent == tmp_path / "disk"
        fill(part)
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "disk") == FILLED


@pytest.mark.parametrize("why", ["mount point", "current folder", "parent that may not be written"])
def test_a_folder_that_cannot_be_replaced_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if why == "mount point":
        monkeypatch.setattr(os.path, "ismount", lambda path: path == out)
    elif why == "current folder":
        monkeypatch.chdir(out)
    else:
        monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    before = out.stat().st_ino
    with pytest.raises(KeyboardInterrupt), staged_folder(out) as part:
        fill_and_fail(part, KeyboardInterrupt())
    assert names(tmp_path) == ["out"]
    (out / ".out.1234.part" / "images").mkdir(parents=True)  # of a process that was killed
    (out / ".lock").touch()
    with staged_folder(out) as part:
        assert part.parent == out
        fill(part)
    assert names(tmp_path) == FILLED
    assert out.stat().st_ino == before


def test_entries_move_up_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    rename = Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.name == "train.txt":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(CimnetError, match="cannot be written"), staged_folder(tmp_path / "out") as part:
        fill(part)
    assert names(tmp_path) == ["out"]


def test_a_folder_that_was_filled_meanwhile_stays(tmp_path: Path) -> None:
    with pytest.raises(CimnetError, match="out: cannot be written"), staged_folder(tmp_path / "out"):
        (tmp_path / "out" / "theirs").mkdir(parents=True)
    assert names(tmp_path) == ["out", "out/theirs"]


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out") as part:
        fill(part)
        with pytest.raises(CimnetError, match="another process writes it"), staged_folder(tmp_path / "out"):
            pytest.fail("began to work")
    assert names(tmp_path) == FILLED


WORK = """
import sys, time
from pathlib import Path
from cimnet.utils.files import staged_folder
with staged_folder(Path(sys.argv[1])) as part:
    (part / "half").touch()
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_nothing_for_long(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORK, tmp_path / "out"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(number)
    if number == signal.SIGKILL:
        assert names(tmp_path) != []
    else:
        assert names(tmp_path) == []
    assert process.returncode == {signal.SIGTERM: 143}.get(number, -number)
    (tmp_path / ".other.12.part").mkdir()
    with staged_folder(tmp_path / "out") as part:
        fill(part)
    assert names(tmp_path) == [".other.12.part", *FILLED]


def test_an_output_in_an_input_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "link").symlink_to(source)
    require_apart(tmp_path / "source2", source)
    require_apart(tmp_path, source)
    for out in (source / "a" / "b", tmp_path / "link" / "b", tmp_path / "x" / ".." / "source" / "b"):
        with pytest.raises(CimnetError, match=r"b: lies inside the input folder .*source; give an output folder else"):
            require_apart(out, tmp_path / "elsewhere", source)
    with pytest.raises(CimnetError, match="link: is the input folder"):
        require_apart(tmp_path / "link", source)
