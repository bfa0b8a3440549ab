"""Fetch one file over HTTP, complete or not at all: resumed, retried, checked."""

from __future__ import annotations

import hashlib
import http.client
import random
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

from cimnet.curation.download.archives import require_space
from cimnet.errors import DataError, one_line
from cimnet.version import __version__

Report = Callable[[str, int, "int | None"], None]  # a file's name, bytes done, bytes in all (None: not known)
Pause = Callable[[float], None]  # waits so many seconds

ATTEMPTS = 6  # failures in a row that bring not one new byte
TIMEOUT = 30.0  # seconds to connect, and between two pieces
LONGEST_PAUSE = 120.0  # seconds, whatever the host asks for
BLOCK = 1 << 20  # bytes

_PAGE = (b"<!", b"<html", b"<head", b"<?xml", b"<script")  # how a web page begins, and neither an archive nor a list
_NOT_READY = (
    "answers 202 with nothing in it; figshare.com does so where it wants a browser or is yet to build a zip of the "
    "whole article: use the address of the single file, https://ndownloader.figshare.com/files/ID, or a browser"
)


@dataclass(frozen=True)
class Remote:
    """A file to fetch: its name, its address and what is known of it (None: not known)."""

    name: str
    url: str | None = None
    size: int | None = None  # bytes
    md5: str | None = None
    sha256: str | None = None
    folder: str = "."  # where it, or what is in it, belongs below the data set's root
    unpack: bool = False


@dataclass(frozen=True)
class _Job:
    remote: Remote
    url: str
    part: Path
    mark: Path  # which state of the file that is of: its ETag or date, maybe empty
    most: int | None
    report: Report | None
    timeout: float

    def size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def state(self) -> str:
        return self.mark.read_text(encoding="utf-8") if self.mark.exists() else ""

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)


class _Again(Exception):
    """A failure that may pass; `after` is the pause in seconds that the host asks for."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


def fetch(
    remote: Remote,
    path: Path,
    *,
    most: int | None = None,
    report: Report | None = None,
    pause: Pause = time.sleep,
    attempts: int = ATTEMPTS,
    timeout: float = TIMEOUT,
) -> None:
    """Fetch a file to `path`. Until it is whole it lies beside it as `.NAME.part`, and a later call resumes from it.

    A file already there is taken as it is if it has the checksum, and fetched again otherwise. `most` is the
    largest number of bytes to accept where the size is not known.

    Raises:
        DataError: naming the address: not there, unreachable, short, larger than expected, a web page, a wrong
            checksum twice; or the disk is full.
    """
    url = require_http(remote.url or "")
    part, mark = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.mark")
    job = _Job(remote, url, part, mark, remote.size or most, report, timeout)
    try:
        if path.exists():
            if (remote.md5 or remote.sha256) and wrong_sum(remote, path) is None:
                return
            path.unlink()
        for last in (False, True):
            _receive(job, attempts, pause)
            wrong = wrong_sum(remote, part)
            if wrong is None:
                break
            job.discard()
            if last:
                raise DataError(f"{url}: {wrong}, twice; the file there is another one or damaged, ask its owner")
        part.replace(path)
        mark.unlink(missing_ok=True)
    except OSError as error:  # of the disk: those of the network became _Again
        raise DataError(f"{path.parent}: cannot be written ({one_line(error)}); choose another folder") from error


def require_http(url: str) -> str:
    """The address itself if it is a plain one of http or https.

    Raises:
        DataError: it is not.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
        raise DataError(f"{url or 'no address'}: not an address of the form http://host/path or https://host/path")
    return url


def wrong_sum(remote: Remote, path: Path) -> str | None:
    """'md5 is …, expected …' if the file is not what it should be; None if it is, or if no checksum is known."""
    for kind, expected in (("md5", remote.md5), ("sha256", remote.sha256)):
        if expected is None:
            continue
        digest = hashlib.new(kind, usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        if digest.hexdigest() != expected.lower():
            return f"{kind} is {digest.hexdigest()}, expected {expected}"
    return None


def _receive(job: _Job, attempts: int, pause: Pause) -> None:
    """Fill `part`, in as many tries as it takes, until `attempts` of them in a row bring nothing new."""
    best, failures = job.size(), 0
    while True:
        try:
            _try_once(job)
            return
        except _Again as error:
            failures = 1 if job.size() > best else failures + 1
            best = max(best, job.size())
            if failures >= attempts:
                raise DataError(f"{job.url}: {error} ({failures} tries); try again later") from error
            pause(_delay(failures, error.after))


def _try_once(job: _Job) -> None:
    """Resume from what has arrived, unless it is too long or a change of the file would go unnoticed."""
    start, state, remote = job.size(), job.state(), job.remote
    sure = bool(state or remote.md5 or remote.sha256)
    if start and (not sure or (remote.size is not None and start > remote.size)):
        job.discard()
        start = 0
    if start and start == remote.size:
        return
    headers = {"User-Agent": f"cimnet/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": state} if state else {})
    try:
        opener = urllib.request.build_opener(_Redirects)
        answer = opener.open(urllib.request.Request(job.url, headers=headers), timeout=job.timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            if error.headers.get("Content-Range") == f"bytes */{start}":
                return  # nothing comes after what is here
            job.discard()
            raise _Again("cannot resume (HTTP 416)") from error
        _refused(job.url, error)
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise DataError(f"{job.url}: {cause.verify_message}; check the clock and the network") from error
        raise _Again(_network_error(cause)) from error
    else:
        with answer:
            _take(job, answer, start)


def _network_error(error: object) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else one_line(error)


def _refused(url: str, error: urllib.error.HTTPError) -> NoReturn:
    """Raise what an answer of 300 and above means: for good, or to be tried again."""
    what = f"HTTP {error.code} {one_line(error.reason)}"
    if error.code in (408, 425, 429) or error.code >= 500:
        raise _Again(what, _retry_after(error.headers.get("Retry-After", ""))) from error
    remedy = "fetch it with a browser" if error.code in (401, 403) else "look for it at the data set's home page"
    raise DataError(f"{url}: {what}; {remedy}, or give a --mirror") from error


def _take(job: _Job, answer: http.client.HTTPResponse, start: int) -> None:
    """Append the body to `part`, or restart where the host sends the whole file."""
    url, size = job.url, job.remote.size
    if answer.status not in (200, 206):
        raise _Again(_NOT_READY if answer.status == 202 else f"HTTP {answer.status} {answer.reason}")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise DataError(f"{url}: sent as {answer.headers['Content-Encoding']}, not asked for; give a --mirror")
    state, total = _state(answer.headers), None
    if answer.status == 206:
        part = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        total = int(part[2]) if part and part[2].isdecimal() else size
        changed = state and job.state() and state != job.state()
        if part is None or int(part[1]) != start or size not in (None, total) or changed:
            job.discard()
            raise _Again("the host sends another part than the one asked for, or the file has changed")
    else:
        start = 0
    if total is None and answer.length is not None:
        total = start + answer.length
    block = _piece(answer, 512)
    if start == 0 and (page := block.removeprefix(b"\xef\xbb\xbf").lstrip()).lower().startswith(_PAGE):
        raise DataError(f"{url}: sends a web page{_title(page)}; if it wants a login, fetch the file with a browser")
    if size is not None and total not in (None, size):
        raise DataError(f"{url}: has {total} bytes, {size} expected; the file there is another one")
    if start == 0 and not block and not total:
        raise _Again("sends an empty file")
    total = size if total is None else total
    require_space(job.part.parent, (total or 0) - start, job.remote.name)
    with job.part.open("ab" if start else "wb") as file:
        if start == 0:
            job.mark.write_text(state, encoding="utf-8")
        while block:
            start += len(block)
            if job.most is not None and start > job.most:
                raise DataError(f"{url}: sends more than {job.most} bytes; the file there is another one")
            file.write(block)
            if job.report is not None:
                job.report(job.remote.name, start, total)
            block = _piece(answer)
    if total is not None and start < total:
        raise _Again(f"the connection ended after {start} of {total} bytes")


def _piece(answer: http.client.HTTPResponse, least: int = 1) -> bytes:
    """The next bytes of the body, `least` of them unless it ends; b"" at its end."""
    piece = b""
    try:
        while len(piece) < least and (more := answer.read1(BLOCK)):
            piece += more
    except (OSError, http.client.HTTPException) as error:
        raise _Again(_network_error(error)) from error
    return piece


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        require_http(newurl)
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DataError(f"{req.full_url}: redirects to {newurl}, which is not encrypted; give a --mirror")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _state(headers: Any) -> str:
    """Return the mark of the file's version: a strong ETag, otherwise the date, otherwise ""."""
    etag = headers.get("ETag", "")
    value = str(etag if etag.startswith('"') else headers.get("Last-Modified", ""))
    return value if value.isprintable() else ""


def _delay(failures: int, after: float | None) -> float:
    """Seconds to wait: what the host asks for, or twice as long after every failure, and never quite the same."""
    if after is not None:
        return min(max(after, 0.0), LONGEST_PAUSE)
    return min(2.0 ** (failures - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.0)


def _retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header: a number or a date; None for anything else."""
    try:
        return float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None


def _title(page: bytes) -> str:
    match = re.search(rb"<title[^>]*>([^<]{1,200})", page, re.IGNORECASE)
    return f" ({' '.join(match[1].decode(errors='replace').split())})" if match else ""
