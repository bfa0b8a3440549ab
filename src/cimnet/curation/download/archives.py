"""Unpack untrusted zip and tar(.gz) files: nothing outside the folder, no links, no bombs; all of it or nothing."""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cimnet.errors import DataError, one_line
from cimnet.utils.files import hidden_folder

MAX_BYTES = 200 * 10**9  # unpacked
MAX_RATIO = 100  # unpacked : packed, of archives that hold more than SMALL bytes
MAX_ENTRIES = 1_000_000
SMALL = 1 << 26

_BLOCK = 1 << 20
_CODECS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError)
_ODD = (RuntimeError, NotImplementedError, IndexError)  # zipfile and tarfile on headers that nobody writes


def unpack(
    archive: Path,
    folder: Path,
    *,
    report: Callable[[str, int, int | None], None] | None = None,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
    max_entries: int = MAX_ENTRIES,
) -> None:
    """Unpack into `folder`, created if necessary. Where all lies in one top folder, that folder is left out.

    `__MACOSX/`, `.DS_Store` and `._*` are skipped; permissions, owners and times are not taken over.

    Raises:
        DataError: naming the archive and the member: encrypted, damaged, neither zip nor tar, a name that leads
            elsewhere or that two members share (upper and lower case alike), a link or device, too many or too
            large for the limits or the disk, or already there. `folder` is then as it was.
        CimnetError: the folder above `folder` cannot be written, or another process unpacks there.
    """
    with hidden_folder(folder) as work:
        try:
            most = min(max_bytes, max(SMALL, int(max_ratio * archive.stat().st_size)))
            job = _Job(archive.name, work, most, max_entries, report)
            extract = _unpack_zip if _is_zip(archive) else _unpack_tar
            extract(archive, job)
            if not job.files:
                raise DataError(f"{archive.name}: holds no files; it is not the data set")
            _move(work, folder, archive.name)
        except (*_DAMAGED, *_ODD, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                why = f"cannot be unpacked ({one_line(error)}); free space or choose another folder"
            else:
                why = f"damaged, or neither zip nor tar ({one_line(error)}); fetch it again"
            raise DataError(f"{archive.name}: {why}") from error


def require_space(folder: Path, needed: int, name: str) -> None:
    """Raise a DataError if the disk of `folder` has fewer than `needed` bytes left for `name`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        has = f"needs {needed / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB left"
        raise DataError(f"{name}: {has}; free space or choose another disk")


@dataclass
class _Job:
    """The progress of one archive: what it may still unpack, and what it has unpacked."""

    archive: str
    folder: Path
    bytes_left: int
    entries_left: int
    report: Callable[[str, int, int | None], None] | None
    total: int | None = None
    done: int = 0
    files: set[str] = field(default_factory=set)  # paths without case
    folders: dict[str, str] = field(default_factory=dict)  # path without case -> as it is spelt

    def refuse(self, member: str, why: str) -> DataError:
        return DataError(f"{self.archive}: member {member!r} {why}; nothing of it was unpacked, tell its owner")

    def allow(self, count: int) -> None:
        """Raise a DataError if `count` more bytes are more than an honest archive of this size holds."""
        if count > self.bytes_left:
            raise DataError(f"{self.archive}: unpacks to far more than its own size, like a bomb; tell its owner")

    def place(self, name: str, is_file: bool) -> Path | None:
        """Return the path of a member; None for files that macOS adds.

        Raises:
            DataError: too many members, a name that leads elsewhere or one that is taken.
        """
        self.entries_left -= 1
        if self.entries_left < 0:
            raise DataError(f"{self.archive}: too many members, like a bomb; tell its owner")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        drive = any(re.match("[A-Za-z]:", part) for part in parts)
        control = any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
        if name.startswith("/") or "\\" in name or ".." in parts or drive or control:
            raise self.refuse(name, "leads out of the folder or is no plain name")
        if "__MACOSX" in parts or (parts and (parts[-1] == ".DS_Store" or parts[-1].startswith("._"))):
            return None
        keys = [unicodedata.normalize("NFC", part).casefold() for part in parts]
        last = len(parts) - 1 if is_file else len(parts)
        for count in range(1, last + 1):
            key, spelt = "/".join(keys[:count]), "/".join(parts[:count])
            if key in self.files or self.folders.setdefault(key, spelt) != spelt:
                raise self.refuse(name, "has the name of another one, upper and lower case alike")
        if is_file:
            key = "/".join(keys)
            if not parts or key in self.files or key in self.folders:
                raise self.refuse(name, "has the name of another one, upper and lower case alike")
            self.files.add(key)
        return self.folder.joinpath(*parts)

    def write(self, source: Any, path: Path, size: int, member: str) -> None:
        """Copy one member of `size` bytes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with path.open("xb") as file:
            while block := source.read(_BLOCK):
                written += len(block)
                file.write(block)
                self.done += len(block)
                if self.report is not None:
                    self.report(f"{self.archive} (unpacking)", self.done, self.total)
        if written != size:
            raise EOFError(f"{member!r} has {written} of {size} bytes")


@dataclass
class _Counted:
    """A file that tells the job how much is read from it."""

    file: Any
    job: _Job

    def read(self, count: int) -> bytes:
        block: bytes = self.file.read(count)
        self.job.allow(len(block))
        self.job.bytes_left -= len(block)
        return block


class _Header(tarfile.TarInfo):
    """tarfile takes a broken header in the middle for the end; here it is an error."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # the end
            raise tarfile.ReadError(f"bad header: {error}") from error


def _is_zip(archive: Path) -> bool:
    with archive.open("rb") as file:
        return file.read(2) == b"PK"


def _unpack_zip(archive: Path, job: _Job) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = [(info, _checked(info, job)) for info in opened.infolist()]  # all of them before the first byte
        job.total = sum(info.file_size for info, path in members if path is not None and not info.is_dir())
        job.allow(job.total)
        require_space(job.folder, job.total, archive.name)
        for info, path in members:
            if path is not None and info.is_dir():
                path.mkdir(parents=True, exist_ok=True)
            elif path is not None:
                with opened.open(info) as source:
                    job.write(_Counted(source, job), path, info.file_size, info.filename)


def _checked(info: zipfile.ZipInfo, job: _Job) -> Path | None:
    path = job.place(info.orig_filename, not info.is_dir())
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise job.refuse(info.filename, "is a link or a device")
    if info.flag_bits & 1:
        raise job.refuse(info.filename, "is encrypted, as no published data set is")
    if info.compress_type not in _CODECS:
        raise job.refuse(info.filename, f"is packed by method {info.compress_type}, which Python cannot read")
    return path


def _unpack_tar(archive: Path, job: _Job) -> None:
    with archive.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: Any = _Counted(gzip.GzipFile(fileobj=raw) if packed else raw, job)  # "r|" needs no other method
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as opened:
            for member in opened:
                path = job.place(member.name, not member.isdir())
                if not (member.isdir() or member.isreg()) or member.issparse():
                    raise job.refuse(member.name, "is a link or a device")
                job.allow(member.size)
                if path is not None and member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif path is not None:
                    require_space(job.folder, member.size, archive.name)
                    job.write(opened.extractfile(member), path, member.size, member.name)
        while stream.read(_BLOCK):  # to the checksum of gzip, at its end
            pass


def _move(work: Path, folder: Path, archive: str) -> None:
    """Move what was unpacked, without the one folder that holds it all, into `folder`."""
    top = list(work.iterdir())
    source = top[0] if len(top) == 1 and top[0].is_dir() else work
    folder.mkdir(parents=True, exist_ok=True)
    present = {path.name.casefold() for path in folder.iterdir()}
    for path in source.iterdir():
        if path.name.casefold() in present:
            raise DataError(f"{archive}: {path.name} is already in {folder.name}/ from another file; tell its owner")
    for path in source.iterdir():
        path.rename(folder / path.name)
