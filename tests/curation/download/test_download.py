"""Downloads: whole or not at all, resumed by ranges, nothing left after a failure; evil archives are refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cimnet.curation.download as sources
from cimnet.curation.download import SOURCES, Source, download, fetch_source, licence_note
from cimnet.curation.download import archives as unpacking
from cimnet.curation.download.archives import unpack
from cimnet.curation.download.transfer import ATTEMPTS, LONGEST_PAUSE, Remote, fetch
from cimnet.data import open_dataset
from cimnet.errors import CimnetError, DataError
from tests.fakes.layouts import make_kust4k
from tests.fakes.server import Move, Server, answer, drop, replaced, running, slowly, stall, without_length

BODY = random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(BODY).hexdigest()
OTHER = random.Random(1).randbytes(300_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as book:
        yield book


@pytest.fixture
def pauses() -> list[float]:
    return []


def listing(folder: Path) -> dict[str, int]:
    """Every file and folder below, with its size."""
    return {str(path.relative_to(folder)): path.stat().st_size if path.is_file() else 0 for path in folder.rglob("*")}


def get(server: Server, path: Path, pauses: list[float], *moves: Move, body: bytes = BODY, **known: Any) -> bytes:
    """Serve `body` with the moves, fetch it, return what arrived; leaves nothing but the file."""
    etag = known.pop("etag", '"1"')
    ranges = known.pop("ranges", True)
    limits = {key: known.pop(key) for key in ("most", "timeout", "report") if key in known}
    url = server.put("a.bin", body, *moves, etag=etag, ranges=ranges)
    fetch(Remote("a.bin", url, **known), path / "a.bin", pause=pauses.append, **limits)
    assert set(listing(path)) == {"a.bin"}
    return (path / "a.bin").read_bytes()


def refused(error: pytest.ExceptionInfo[CimnetError], *words: str) -> None:
    """The message is one line and holds the words."""
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text


# One file


def test_a_file_arrives_and_is_reported(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    seen: list[tuple[str, int, int | None]] = []
    arrived = get(server, tmp_path, pauses, size=len(BODY), md5=MD5, report=lambda *what: seen.append(what))
    assert arrived == BODY
    assert seen[-1] == ("a.bin", len(BODY), len(BODY))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert server.ranges("a.bin") == [None]
    assert pauses == []


@pytest.mark.parametrize("known", [{"size": len(BODY), "md5": MD5}, {}])
def test_a_dropped_connection_is_resumed_by_ranges(
    server: Server, tmp_path: Path, pauses: list[float], known: dict[str, Any]
) -> None:
    assert get(server, tmp_path, pauses, drop(100_000), drop(50_000), **known) == BODY
    assert server.ranges("a.bin") == [None, "bytes=100000-", "bytes=150000-"]
    assert server.requests[1][1]["If-Range"] == '"1"'
    assert server.sent == len(BODY)  # not a byte twice
    assert len(pauses) == 2


def test_a_body_without_length_is_short_by_the_known_size(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    assert get(server, tmp_path, pauses, without_length(100_000), size=len(BODY)) == BODY
    assert server.ranges("a.bin") == [None, "bytes=100000-"]


def test_silence_counts_as_a_dropped_connection(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    assert get(server, tmp_path, pauses, stall(100_000, 2), timeout=0.5) == BODY
    assert server.ranges("a.bin") == [None, "bytes=100000-"]


@pytest.mark.parametrize("body", [BODY, b"00000D\n"])
def test_a_host_that_does_not_close_the_connection(
    server: Server, tmp_path: Path, pauses: list[float], body: bytes
) -> None:
    assert get(server, tmp_path, pauses, stall(len(body), 2), body=body, timeout=0.5) == body
    assert server.ranges("a.bin") == [None]


def test_nothing_to_tell_a_change_by_means_from_the_start(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    assert get(server, tmp_path, pauses, drop(100_000), size=len(BODY), etag=None) == BODY
    assert server.ranges("a.bin") == [None, None]
    (tmp_path / "a.bin").unlink()
    assert get(server, tmp_path, pauses, drop(100_000), md5=MD5, etag=None) == BODY  # the checksum would tell
    assert server.ranges("a.bin")[2:] == [None, "bytes=100000-"]


def test_a_server_without_ranges_sends_it_again(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    assert get(server, tmp_path, pauses, drop(100_000), md5=MD5, ranges=False) == BODY
    assert server.ranges("a.bin") == [None, "bytes=100000-"]
    assert server.sent == 100_000 + len(BODY)


@pytest.mark.parametrize("if_range", [True, False])
def test_two_states_of_a_file_are_not_mixed(
    server: Server, tmp_path: Path, pauses: list[float], if_range: bool
) -> None:
    assert get(server, tmp_path, pauses, drop(100_000), replaced(OTHER, '"2"', if_range)) == OTHER
    assert server.ranges("a.bin")[1] == "bytes=100000-"


@pytest.mark.parametrize("content_range", ["bytes 99999-299999/300000", "bytes 100000-299999/300001", "bytes x", ""])
def test_another_part_than_asked_for_is_not_appended(
    server: Server, tmp_path: Path, pauses: list[float], content_range: str
) -> None:
    other_part = answer(206, OTHER[100_000:], Content_Range=content_range)
    assert get(server, tmp_path, pauses, drop(100_000), other_part, size=len(BODY)) == BODY
    assert server.ranges("a.bin") == [None, "bytes=100000-", None]


def test_416_means_whole_or_from_the_start(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    for have in (BODY, BODY + b"more"):  # a call was killed before it gave the file its name
        (tmp_path / ".a.bin.part").write_bytes(have)
        (tmp_path / ".a.bin.mark").write_text('"1"', encoding="utf-8")
        assert get(server, tmp_path, pauses) == BODY
        (tmp_path / "a.bin").unlink()
    assert server.ranges("a.bin") == [f"bytes={len(BODY)}-", f"bytes={len(BODY) + 4}-", None]


def test_a_part_that_is_whole_is_not_asked_for_again(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    (tmp_path / ".a.bin.part").write_bytes(BODY)
    assert get(server, tmp_path, pauses, size=len(BODY), md5=MD5) == BODY
    assert server.requests == []


def test_a_full_disk_is_noticed_before_the_body(
    server: Server, tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, len(BODY) - 1))
    with pytest.raises(DataError, match=r"a\.bin: needs .* GB"):
        get(server, tmp_path, pauses)
    assert listing(tmp_path) == {}


def test_longer_than_the_known_size_means_from_the_start(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    (tmp_path / ".a.bin.part").write_bytes(BODY + b"more")
    assert get(server, tmp_path, pauses, size=len(BODY), md5=MD5) == BODY
    assert server.ranges("a.bin") == [None]


def test_pauses_double_and_vary(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    assert get(server, tmp_path, pauses, *[answer(500)] * (ATTEMPTS - 1)) == BODY
    assert all(2**n / 2 <= pause <= 2**n for n, pause in enumerate(pauses))
    assert len(pauses) == ATTEMPTS - 1
    assert any(pause != round(pause) for pause in pauses)


@pytest.mark.parametrize(
    ("asked", "waited"),
    [("7", 7.0), ("100000", LONGEST_PAUSE), ("Fri, 31 Dec 2100 23:59:59 GMT", LONGEST_PAUSE), ("soon", None)],
)
def test_retry_after_is_honoured(
    server: Server, tmp_path: Path, pauses: list[float], asked: str, waited: float | None
) -> None:
    assert get(server, tmp_path, pauses, answer(503, Retry_After=asked)) == BODY
    assert pauses == [waited] if waited else pauses[0] <= 1


def test_progress_resets_the_count_of_failures(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    assert get(server, tmp_path, pauses, *[drop(10_000)] * (3 * ATTEMPTS)) == BODY
    assert max(pauses) <= 1


def test_the_same_bytes_again_are_no_progress(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    with pytest.raises(DataError) as error:
        get(server, tmp_path, pauses, *[drop(10_000)] * 50, md5=MD5, ranges=False)
    refused(error, "ended after 10000 of 300000 bytes", "try again later")
    assert len(server.requests) == ATTEMPTS


def test_a_202_without_a_body_is_waited_for(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    assert get(server, tmp_path, pauses, answer(202), answer(202)) == BODY
    with pytest.raises(DataError) as error:
        get(server, tmp_path, pauses, *[answer(202)] * 50)
    refused(error, f"{server.base}/a.bin", "202", "https://ndownloader.figshare.com/files/ID")
    assert len(server.requests) == 3 + ATTEMPTS


LOGIN = b"\xef\xbb\xbf\n <!DOCTYPE html><html><head><title>Log\nin</title></head></html>"


@pytest.mark.parametrize(
    ("move", "known", "words", "requests"),
    [
        (answer(404), {}, ("HTTP 404", "home page"), 1),
        (answer(403), {}, ("HTTP 403", "browser"), 1),
        (answer(200, LOGIN, Content_Type="application/zip"), {"size": 5}, ("web page (Log in)", "browser"), 1),
        (answer(200, BODY[:-1]), {"size": len(BODY)}, ("has 299999 bytes, 300000 expected",), 1),
        (without_length(), {"size": 10}, ("more than 10 bytes",), 1),
        (without_length(), {"most": 10}, ("more than 10 bytes",), 1),
        (answer(200, BODY, Content_Encoding="gzip"), {}, ("sent as gzip",), 1),
        (answer(302, Location="file:///etc/passwd"), {}, ("HTTP 302", "file:///etc/passwd"), 1),
        (answer(302, Location="ftp://127.0.0.1/x"), {}, ("ftp://127.0.0.1/x", "http://"), 1),
        (answer(429), {}, ("HTTP 429", f"({ATTEMPTS} tries)"), ATTEMPTS),
        (answer(200), {}, ("empty file",), ATTEMPTS),
        (without_length(0), {}, ("empty file",), ATTEMPTS),
        (answer(200, OTHER), {"md5": MD5}, (f"expected {MD5}", hashlib.md5(OTHER).hexdigest(), "twice"), 2),
        (answer(200, OTHER), {"sha256": "0" * 64}, (hashlib.sha256(OTHER).hexdigest(), "twice"), 2),
    ],
)
def test_what_does_not_pass_is_named_and_leaves_nothing(
    server: Server,
    tmp_path: Path,
    pauses: list[float],
    move: Move,
    known: dict[str, Any],
    words: tuple[str, ...],
    requests: int,
) -> None:
    with pytest.raises(DataError) as error:
        get(server, tmp_path, pauses, *[move] * 50, **known)
    refused(error, *words)
    assert "127.0.0.1" in str(error.value)
    assert len(server.requests) == requests
    assert {name for name, size in listing(tmp_path).items() if size > 10} == set()


def test_a_page_that_comes_in_bits(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    with pytest.raises(DataError, match=r"web page \(Log in\)"):
        get(server, tmp_path, pauses, slowly(LOGIN, 4))


def test_a_folder_that_is_not_there(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no: cannot be written"):
        fetch(Remote("a.bin", server.put("a.bin", BODY)), tmp_path / "no" / "a.bin")


def test_a_wrong_checksum_gets_one_more_chance(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    (tmp_path / ".a.bin.part").write_bytes(OTHER[:1000])  # of another file of this name
    assert get(server, tmp_path, pauses, md5=MD5.upper()) == BODY
    assert server.ranges("a.bin") == ["bytes=1000-", None]


def test_what_is_whole_already_is_not_asked_for_again(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    (tmp_path / "a.bin").write_bytes(BODY)
    assert get(server, tmp_path, pauses, md5=MD5) == BODY
    assert server.requests == []
    (tmp_path / "a.bin").write_bytes(OTHER)
    assert get(server, tmp_path, pauses, md5=MD5) == BODY
    assert len(server.requests) == 1


def test_redirects_are_followed_with_the_range(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    there = server.put("there", BODY, drop(100_000))
    moved = [answer(302, Location=there), answer(308, Location=there)]
    assert get(server, tmp_path, pauses, *moved, size=len(BODY), md5=MD5) == BODY
    assert server.ranges("there") == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/a", "http://", "http://u:p@host/a", "http://host/a b", "http://h:x/", ""]
)
def test_only_plain_addresses_of_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="not an address of the form"):
        fetch(Remote("a.bin", url), tmp_path / "a.bin")
    assert listing(tmp_path) == {}


def test_a_host_that_is_not_there(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    with running() as gone:
        url = gone.put("a.bin", BODY)
    with pytest.raises(DataError, match=f"{url}: Connection refused"):
        fetch(Remote("a.bin", url), tmp_path / "a.bin", pause=pauses.append)
    assert len(pauses) == ATTEMPTS - 1


# A data set


def zipped(**members: bytes) -> bytes:
    """A zip; "__" in a keyword stands for a slash."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, body in members.items():
            archive.writestr(name.replace("__", "/") + ".png", body)
    return file.getvalue()


RGB = zipped(**{f"{n:05d}D": BODY[n * 1000 : n * 1000 + 50_000] for n in range(4)})
TIR = zipped(TIR__00000D=b"thermal", TIR__00001D=b"thermal too")
GOOD = {"RGB/00000D.png", "RGB/00001D.png", "RGB/00002D.png", "RGB/00003D.png", "TIR/00000D.png", "TIR/00001D.png"}


@pytest.fixture
def source(server: Server) -> Source:
    """Two archives, one flat and one with its folder inside, and a list."""
    files = (
        Remote("RGB.zip", server.put("RGB.zip", RGB), len(RGB), hashlib.md5(RGB).hexdigest(), None, "RGB", True),
        Remote("TIR.zip", server.put("TIR.zip", TIR), len(TIR), hashlib.md5(TIR).hexdigest(), None, "TIR", True),
        Remote("train.txt", server.put("train.txt", b"00000D\n")),
    )
    return Source("made", "Made up", "http://home", "none", "nobody", files)


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("empty_folder", [False, True])
def test_a_data_set_is_laid_out(source: Source, tmp_path: Path, pauses: list[float], empty_folder: bool) -> None:
    root = tmp_path / "data" / "made"
    if empty_folder:
        root.mkdir(parents=True)
    names: set[str] = set()
    report = lambda name, done, total: names.add(name)  # noqa: E731
    assert fetch_source(source, root, report=report, pause=pauses.append) == root
    assert files_below(root) == {*GOOD, "train.txt"}
    assert (root / "RGB/00001D.png").read_bytes() == BODY[1000:51_000]
    assert {path.name for path in root.parent.iterdir()} == {"made"}
    assert {"RGB.zip", "RGB.zip (unpacking)", "TIR.zip", "train.txt"} <= names


def test_a_mirror_has_every_file_by_its_name(source: Source, tmp_path: Path, server: Server) -> None:
    away = replace(source, files=tuple(replace(file, url=None) for file in source.files), listing="http://127.0.0.1:1/")
    fetch_source(away, tmp_path / "made", mirror=f"{server.base}/")
    assert files_below(tmp_path / "made") == {*GOOD, "train.txt"}
    with pytest.raises(DataError, match="ftp://mirror"):
        fetch_source(away, tmp_path / "again", mirror="ftp://mirror")


def interrupt(at: str) -> Callable[[str, int, int | None], None]:
    def report(name: str, done: int, total: int | None) -> None:
        if name == at:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize(
    ("name", "body", "moves", "words"),
    [
        ("TIR.zip", TIR, (answer(404),), ("HTTP 404",)),
        ("TIR.zip", TIR[:-1] + b"x", (), ("md5", "twice")),
        ("train.txt", b"<html>log in", (), ("web page",)),
        ("train.txt", b"", (), ("empty file",)),
    ],
)
def test_a_failure_leaves_nothing(
    source: Source,
    server: Server,
    tmp_path: Path,
    pauses: list[float],
    name: str,
    body: bytes,
    moves: tuple[Move, ...],
    words: tuple[str, ...],
) -> None:
    server.put(name, body, *moves)
    (tmp_path / "empty").mkdir()
    before = listing(tmp_path)
    for root in (tmp_path / "some/where/made", tmp_path / "empty"):
        with pytest.raises(DataError) as error:
            fetch_source(source, root, pause=pauses.append)
        refused(error, f"{server.base}/{name}", *words)
        assert listing(tmp_path) == before
        server.put(name, body, *moves)


@pytest.mark.parametrize("at", ["RGB.zip", "train.txt", "RGB.zip (unpacking)"])
def test_ctrl_c_leaves_nothing(source: Source, tmp_path: Path, at: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch_source(source, tmp_path / "some/where/made", report=interrupt(at))
    assert listing(tmp_path) == {}


def test_a_bad_archive_leaves_nothing(source: Source, server: Server, tmp_path: Path) -> None:
    url = server.put("x.zip", zipped(**{"..__..__evil": b"x"}))
    bad = replace(source, files=(*source.files, Remote("x.zip", url, folder="x", unpack=True)))
    with pytest.raises(DataError, match=r"x\.zip: member '../../evil\.png'"):
        fetch_source(bad, tmp_path / "made")
    assert listing(tmp_path) == {}


def test_keep_partial_goes_on_in_the_next_call(source: Source, server: Server, tmp_path: Path) -> None:
    root = tmp_path / "data" / "made"
    server.put("TIR.zip", TIR, drop(100), answer(404))
    with pytest.raises(DataError, match="HTTP 404"):
        fetch_source(source, root, keep_partial=True, pause=lambda seconds: None)
    assert {path.name for path in root.parent.iterdir()} == {".made.part"}
    assert (root.parent / ".made.part/files/RGB.zip").read_bytes() == RGB
    server.requests.clear()
    fetch_source(source, root)
    assert server.ranges("RGB.zip") == []
    assert server.ranges("TIR.zip") == ["bytes=100-"]
    assert files_below(root) == {*GOOD, "train.txt"}
    assert {path.name for path in root.parent.iterdir()} == {"made"}


def test_keep_partial_after_ctrl_c_while_unpacking(source: Source, server: Server, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch_source(source, tmp_path / "made", keep_partial=True, report=interrupt("TIR.zip (unpacking)"))
    assert set(listing(tmp_path)) >= {".made.part", ".made.part/files/RGB.zip", ".made.part/files/TIR.zip"}
    assert not (tmp_path / ".made.part/data").exists()
    server.requests.clear()
    fetch_source(source, tmp_path / "made")
    assert {name for name, _ in server.requests} == {"train.txt"}  # whose checksum is not known


def test_keep_partial_keeps_no_empty_folders(source: Source, server: Server, tmp_path: Path) -> None:
    server.put("RGB.zip", RGB, answer(404))
    with pytest.raises(DataError, match="404"):
        fetch_source(source, tmp_path / "data/made", keep_partial=True)
    assert listing(tmp_path) == {}


def test_the_next_failure_without_keep_partial_removes_what_was_kept(
    source: Source, server: Server, tmp_path: Path
) -> None:
    server.put("TIR.zip", TIR, answer(404), answer(404))
    for keep in (True, False):
        with pytest.raises(DataError, match="404"):
            fetch_source(source, tmp_path / "made", keep_partial=keep)
        assert bool(listing(tmp_path)) is keep


@pytest.mark.parametrize("why", ["mount point", "current folder"])
def test_a_folder_that_cannot_be_replaced_is_filled(
    source: Source, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    root = tmp_path / "made"
    root.mkdir()
    if why == "mount point":
        monkeypatch.setattr(os.path, "ismount", lambda path: path == root)
    else:
        monkeypatch.chdir(root)
    inode = root.stat().st_ino
    server.put("TIR.zip", TIR, answer(404))
    with pytest.raises(DataError, match="404"):
        fetch_source(source, root, keep_partial=True)
    assert {path.name for path in root.iterdir()} == {".made.part"}
    server.requests.clear()
    fetch_source(source, root)
    assert server.ranges("RGB.zip") == []
    assert files_below(root) == {*GOOD, "train.txt"}
    assert {path.name for path in root.iterdir()} == {"RGB", "TIR", "train.txt"}
    assert root.stat().st_ino == inode
    assert listing(tmp_path).keys() == {"made", *(f"made/{name}" for name in listing(root))}


def test_two_downloads_into_one_folder(source: Source, tmp_path: Path) -> None:
    caught: list[str] = []

    def second(name: str, done: int, total: int | None) -> None:
        if not caught:
            with pytest.raises(CimnetError) as error:
                fetch_source(source, tmp_path / "made")
            caught.append(str(error.value))

    fetch_source(source, tmp_path / "made", report=second)
    assert "another process writes it" in caught[0]
    assert files_below(tmp_path) == {f"made/{name}" for name in {*GOOD, "train.txt"}}


def test_the_lock_of_a_killed_download_does_not_block(source: Source, tmp_path: Path) -> None:
    (tmp_path / ".made.lock").touch()
    (tmp_path / ".made.part/data/RGB").mkdir(parents=True)
    (tmp_path / ".made.part/data/RGB/old.png").touch()
    fetch_source(source, tmp_path / "made")
    assert files_below(tmp_path) == {f"made/{name}" for name in {*GOOD, "train.txt"}}


def test_a_lock_that_its_owner_has_just_removed(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", lambda file, how: (tmp_path / ".made.lock").unlink())
    with pytest.raises(CimnetError, match="another process writes it"):
        fetch_source(source, tmp_path / "made")
    assert listing(tmp_path) == {}


def test_where_a_data_set_cannot_go(
    source: Source, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = listing(tmp_path)
    for root, words in (
        ("../file", "is a file"),
        ("../file/made", "cannot be written"),
        ("../full", "not empty"),
    ):
        with pytest.raises(CimnetError, match=words):
            fetch_source(source, root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 2 * len(RGB)))
    with pytest.raises(DataError, match=r"made: needs .* GB"):
        fetch_source(source, tmp_path / "new")
    assert server.requests == []
    assert listing(tmp_path) == before


def test_files_need_plain_names_of_their_own(source: Source, tmp_path: Path) -> None:
    for names in (("../a.zip", "b"), ("a/b", "b"), ("a", "A"), (".part", "b"), ()):
        with pytest.raises(DataError, match="names of their own"):
            fetch_source(replace(source, files=tuple(map(Remote, names))), tmp_path / "made", mirror="http://127.0.0.1")
    assert listing(tmp_path) == {}


def test_a_list_that_an_archive_holds_too(source: Source, server: Server, tmp_path: Path) -> None:
    flat = io.BytesIO()
    with zipfile.ZipFile(flat, "w") as archive:
        archive.writestr("train.txt", "other")
        archive.writestr("val.txt", "other")
    extra = Remote("all.zip", server.put("all.zip", flat.getvalue()), unpack=True)
    with pytest.raises(DataError, match=r"all\.zip: train\.txt is already in data/"):
        fetch_source(replace(source, files=(*source.files, extra)), tmp_path / "made")
    assert listing(tmp_path) == {}


# figshare's list of files


def entry(name: object, url: object, **more: object) -> dict[str, object]:
    return {"id": 1, "name": name, "download_url": url, "is_link_only": False, **more}


@pytest.fixture
def listed(server: Server, source: Source) -> Source:
    """The list's address is not in the table."""
    files = (*source.files[:2], Remote("train.txt"))
    return replace(source, files=files, listing=f"{server.base}/files?page_size=1000")


def test_the_list_gives_addresses_and_more_lists(server: Server, listed: Source, tmp_path: Path) -> None:
    body = b"00000D\n"
    md5 = hashlib.md5(body).hexdigest()
    entries = [
        entry("train.txt", server.put("1", body), size=len(body), computed_md5=md5),
        entry("night.txt", server.put("2", body), size="7", computed_md5="", supplied_md5=md5),
        entry("RGB.zip", "http://127.0.0.1:1/other", size=1, computed_md5=md5),  # the table knows better
        entry("visual.py", server.put("3", body)),
        entry("../../evil.txt", server.put("4", body)),
        entry("a/b.txt", server.put("5", body)),
        entry(".hidden.txt", server.put("6", body)),
        entry("far.txt", "file:///etc/passwd"),
        entry("link.txt", server.put("7", body), is_link_only=True),
        entry(["x.txt"], 5),
        "no entry",
    ]
    server.put("files", json.dumps(entries).encode())
    fetch_source(listed, tmp_path / "made")
    assert files_below(tmp_path / "made") == {*GOOD, "train.txt", "night.txt"}
    assert server.requests[0][0] == "files"


def test_checksums_of_the_list_hold(server: Server, listed: Source, tmp_path: Path) -> None:
    entries = [entry("train.txt", server.put("1", b"00000D\n"), computed_md5="0" * 32)]
    server.put("files", json.dumps(entries).encode())
    with pytest.raises(DataError, match=f"expected {'0' * 32}, twice"):
        fetch_source(listed, tmp_path / "made")
    assert listing(tmp_path) == {}


@pytest.mark.parametrize(
    ("body", "moves", "words"),
    [
        (b"[]", (), "it does not name them"),
        (b"{}", (), "it does not name them"),
        (b"[" * 100_000, (), "not JSON"),
        (b"\xff", (), "not JSON"),
        (b"[" + b" " * (1 << 20) + b"]", (), "more than 1048576 bytes"),
        (b"[]", (answer(500),) * 3, "HTTP 500"),
        (json.dumps([entry("train.txt", "http://a/b")] * 2).encode(), (), r"names train\.txt twice"),
        (json.dumps([entry("train.txt", "file:///etc/passwd")]).encode(), (), "it does not name them"),
    ],
)
def test_without_the_lists_there_is_no_data_set(
    server: Server,
    listed: Source,
    tmp_path: Path,
    pauses: list[float],
    body: bytes,
    moves: tuple[Move, ...],
    words: str,
) -> None:
    server.put("files", body, *moves)
    with pytest.raises(DataError, match=words) as error:
        fetch_source(listed, tmp_path / "made", pause=pauses.append)
    refused(error, "no address for train.txt", "mirror")
    assert {name for name, _ in server.requests} == {"files"}
    assert listing(tmp_path) == {}


def test_a_list_out_of_reach_does_not_matter_if_the_table_is_complete(
    server: Server, source: Source, tmp_path: Path, pauses: list[float]
) -> None:
    fetch_source(replace(source, listing=f"{server.base}/gone"), tmp_path / "made", pause=pauses.append)
    assert files_below(tmp_path / "made") == {*GOOD, "train.txt"}


# The table


def test_kust4k_opens_after_a_download(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, kust4k = make_kust4k(tmp_path / "made"), SOURCES["kust4k"]
    bodies = {path.name: path.read_bytes() for path in made.glob("*.txt")}
    for folder in ("RGB", "TIR", "Seg_annos"):
        flat = io.BytesIO()
        with zipfile.ZipFile(flat, "w") as archive:
            for path in (made / folder).iterdir():
                archive.write(path, path.name)
        bodies[f"{folder}.zip"] = flat.getvalue()
    for name, body in bodies.items():
        server.put(name, body)
    known = [file for file in kust4k.files if not file.name.startswith("broken_in_")]
    free = replace(kust4k, files=tuple(replace(file, size=None, md5=None) for file in known))
    monkeypatch.setitem(sources.SOURCES, "kust4k", free)
    root = download("kust4k", tmp_path / "kust4k", mirror=server.base)
    assert len(open_dataset(root, "train")) == len(open_dataset(made, "train"))


@pytest.mark.parametrize("name", SOURCES)
def test_the_table_is_sound(name: str, tmp_path: Path) -> None:
    source = SOURCES[name]
    assert bool(source.files) is not bool(source.by_hand)
    assert source.licence in licence_note(name)
    assert source.citation in licence_note(name)
    assert source.home.startswith("https://")
    for file in source.files:
        assert file.url is None or file.url.startswith("https://")
        assert file.url is not None or source.listing is not None
        assert file.md5 is None or len(file.md5) == 32
        assert file.unpack is file.name.endswith(".zip")
    if source.by_hand:
        with pytest.raises(DataError) as error:
            download(name, tmp_path / "x", mirror="http://127.0.0.1:1")
        refused(error, name, source.home, f"{tmp_path / 'x'} has", f"cimnet data check {tmp_path / 'x'}")
    assert listing(tmp_path) == {}


def test_an_unknown_data_set(tmp_path: Path) -> None:
    for call in (lambda: download("cityscapes", tmp_path / "x"), lambda: licence_note("cityscapes")):
        with pytest.raises(DataError, match="cityscapes: no data set of this name; there are kust4k, msrs"):
            call()


# Archives


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, body in members:
            archive.writestr(name, body)
    return path


def tar_of(path: Path, *members: tuple[str, bytes | bytes], **header: Any) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            for key, value in header.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(body))
    return path


def must_refuse(archive: Path, tmp_path: Path, words: str, **limits: Any) -> None:
    before = listing(tmp_path)
    with pytest.raises(DataError, match=words) as error:
        unpack(archive, tmp_path / "out", **limits)
    refused(error, archive.name)
    assert listing(tmp_path) == before


EVIL = ["../x.png", "a/../../x.png", "/etc/x.png", "C:/x.png", "a/C:x.png", "..\\x.png", "a\\x.png", "a\n.png", ".."]


@pytest.mark.parametrize("name", EVIL)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    members = (("good.png", b"good"), (name, b"evil"))
    must_refuse(zip_of(tmp_path / "a.zip", *members), tmp_path, "leads out of the folder")
    must_refuse(tar_of(tmp_path / "a.tar", *members), tmp_path, "leads out of the folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", ("link", b""), type=kind, linkname="/etc/passwd")
    must_refuse(archive, tmp_path, "member 'link' is a link or a device")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    must_refuse(zip_of(tmp_path / "a.zip", ("a.png", b"x"), (link, b"/etc/passwd")), tmp_path, "'link' is a link")


@pytest.mark.parametrize(
    "names", [("a.png", "A.PNG"), ("a", "a/b"), ("a/b", "a"), ("R/x", "r/y"), ("é", "e\u0301"), ("a", "./a")]
)
def test_names_that_collide_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    members = [(name, b"x") for name in names]
    must_refuse(zip_of(tmp_path / "a.zip", *members), tmp_path, "has the name of another one")
    must_refuse(tar_of(tmp_path / "a.tar", *members), tmp_path, "has the name of another one")


@pytest.mark.parametrize("limits", [{"max_bytes": 999_999}, {"max_ratio": 50}, {"max_entries": 1}])
def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]) -> None:
    monkeypatch.setattr(unpacking, "SMALL", 1000)
    members = (("a.bin", bytes(500_000)), ("b.bin", bytes(500_000)))
    allowed = {"max_bytes": 2_000_000, "max_ratio": 5000, "max_entries": 2}
    for archive in (
        zip_of(tmp_path / "a.zip", *members, method=zipfile.ZIP_DEFLATED),
        tar_of(tmp_path / "a.tar.gz", *members),
    ):
        must_refuse(archive, tmp_path, "like a bomb", **{**allowed, **limits})
        unpack(archive, tmp_path / "out", **allowed)
        assert (tmp_path / "out/b.bin").read_bytes() == bytes(500_000)
        shutil.rmtree(tmp_path / "out")


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_declared_sizes_are_enough_to_refuse_a_bomb(tmp_path: Path, name: str) -> None:
    archive = (zip_of if name == "a.zip" else tar_of)(tmp_path / name, ("a.bin", bytes(3 << 20)))
    never = lambda *what: pytest.fail("something was unpacked")  # noqa: E731
    must_refuse(archive, tmp_path, "like a bomb", max_bytes=2 << 20, report=never)


def test_a_tar_that_unpacks_to_more_than_its_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SMALL", 1000)
    archive = tar_of(tmp_path / "a.tar.gz", ("a.png", b"x"), pax_headers={"comment": "x" * 1_000_000})
    must_refuse(archive, tmp_path, "like a bomb")


def test_a_zip_that_lies_about_sizes(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("a.bin", BODY), method=zipfile.ZIP_DEFLATED)
    raw = bytearray(archive.read_bytes())
    central = raw.rindex(b"PK\x01\x02")
    for size in (1000, len(BODY) + 1000):
        raw[central + 24 : central + 28] = size.to_bytes(4, "little")
        archive.write_bytes(raw)
        must_refuse(archive, tmp_path, "damaged")


def test_encrypted_and_odd_zips(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("a.bin", BODY))
    whole = archive.read_bytes()
    central = whole.rindex(b"PK\x01\x02")
    for offset, value, words in (
        (8, 1, "is encrypted, as no published"),
        (10, 9, "packed by method 9"),
        (6, 90, "damaged"),
    ):
        raw = bytearray(whole)
        raw[central + offset] = value
        archive.write_bytes(raw)
        must_refuse(archive, tmp_path, words)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_damaged_archives(tmp_path: Path, name: str) -> None:
    archive, members = tmp_path / name, [(f"{n}.bin", BODY[n : n + 10_000]) for n in range(9)]
    zip_of(archive, *members) if name == "a.zip" else tar_of(archive, *members)
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    middle = 5 * 10_752 + 5 if name == "a.tar" else len(whole) // 2  # tar has sums of headers alone
    flipped[middle] ^= 1
    for body in (bytes(flipped), whole[: len(whole) // 2], whole[:512], b"", b"no archive at all" * 100):
        archive.write_bytes(body)
        must_refuse(archive, tmp_path, "damaged, or neither zip nor tar")


def test_what_macos_adds_is_skipped(tmp_path: Path) -> None:
    names = ("RGB/a.png", "__MACOSX/RGB/b.png", "RGB/.DS_Store", "RGB/._b.png", "RGB/sub/c.png")
    unpack(zip_of(tmp_path / "a.zip", *((name, b"x") for name in names)), tmp_path / "RGB")
    assert files_below(tmp_path / "RGB") == {"a.png", "sub/c.png"}
    must_refuse(zip_of(tmp_path / "b.zip", ("__MACOSX/._a.png", b"x")), tmp_path, "holds no files")


def test_tar_and_its_folders(tmp_path: Path) -> None:
    for name in ("a.tar", "a.tar.gz"):
        archive = tar_of(tmp_path / name, ("./MSRS-main/train/a.png", b"a"), ("./MSRS-main/test/b.png", b"b"))
        unpack(archive, tmp_path / "out")
        assert files_below(tmp_path / "out") == {"train/a.png", "test/b.png"}
        shutil.rmtree(tmp_path / "out")


def test_an_archive_does_not_overwrite_another(tmp_path: Path) -> None:
    unpack(zip_of(tmp_path / "a.zip", ("a.png", b"first"), ("b.png", b"x")), tmp_path / "out")
    must_refuse(zip_of(tmp_path / "b.zip", ("A.png", b"second"), ("c.png", b"x")), tmp_path, "already in out/")
    unpack(zip_of(tmp_path / "c.zip", ("d.png", b"x")), tmp_path / "out")
    assert files_below(tmp_path / "out") == {"a.png", "b.png", "d.png"}


def test_the_disk_is_asked_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = (("a.bin", BODY), ("b.bin", BODY))
    archives = [zip_of(tmp_path / "a.zip", *members), tar_of(tmp_path / "a.tar", *members)]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, len(BODY) - 1))
    for archive in archives:
        must_refuse(archive, tmp_path, "free space")
