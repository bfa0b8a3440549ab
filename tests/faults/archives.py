"""Archives from strangers: names that lead out, links, devices, bombs."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable

from cimnet.curation.download.archives import unpack
from cimnet.errors import DataError
from tests.faults import seeds
from tests.faults.bench import Bench, Fault

Member = tuple[str, bytes]
_TELL = "nothing of it was unpacked, tell its owner"


def _zip(*members: Member, method: int = zipfile.ZIP_DEFLATED, mode: int = 0, flags: int = 0) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as packed:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name
            info.external_attr, info.compress_type = mode << 16, method
            packed.writestr(info, content)
    content = bytearray(stream.getvalue())
    if flags:  # "encrypted", in the local header and in the directory
        content[6] |= flags
        content[content.index(b"PK\x01\x02") + 8] |= flags
    return bytes(content)


def _tar(*members: tarfile.TarInfo, packed: bool = False) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as whole:
        for member in members:
            member.size = 4 if member.isreg() else 0
            whole.addfile(member, io.BytesIO(b"evil"))
    return gzip.compress(stream.getvalue()) if packed else stream.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def _unpacked(content: bytes | Callable[[], bytes], name: str = "a.zip") -> Callable[[Bench], str]:
    """Unpack into ``out``; nothing may appear beside it. A function makes content that takes a second to pack."""

    def run(bench: Bench) -> str:
        path = bench.write(name, content if isinstance(content, bytes) else content())
        before = set(bench.folder.rglob("*"))
        try:
            unpack(path, bench.out)
        finally:
            outside = [p for p in bench.folder.rglob("*") if p not in before and not p.is_relative_to(bench.out)]
            assert not outside, outside
        return f"unpacked: {', '.join(sorted(p.relative_to(bench.out).as_posix() for p in bench.out.rglob('*')))}"

    return run


def _absolute(bench: Bench) -> str:
    return _unpacked(_zip((f"{bench.folder}/evil", b"x")))(bench)


def _absolute_tar(bench: Bench) -> str:
    return _unpacked(_tar(_member(f"{bench.folder}/evil")), "a.tar")(bench)


def _taken(bench: Bench) -> str:
    bench.out.mkdir()
    (bench.out / "keep.txt").write_text("mine")
    try:
        return _unpacked(_zip(("keep.txt", b"other"), ("b", b"x")))(bench)
    finally:
        assert (bench.out / "keep.txt").read_text() == "mine"
        assert len(list(bench.out.iterdir())) == 1
        (bench.out / "keep.txt").unlink()


def _linked_work_folder(bench: Bench) -> str:
    """The folder that it unpacks into before it moves the result is a link to somewhere else."""
    (bench.folder / "elsewhere").mkdir()
    link = bench.folder / f".out.{os.getpid()}.part"
    link.symlink_to("elsewhere")
    try:
        return _unpacked(_zip(("a", b"x")))(bench)
    finally:
        assert not list((bench.folder / "elsewhere").iterdir())
        link.unlink(missing_ok=True)


def _no_name() -> bytes:
    content = bytearray(_zip(("a", b"x")))
    at = content.index(b"PK\x01\x02")
    content[at + 28 : at + 30] = b"\0\0"  # the length of the name
    del content[at + 46]
    end = content.index(b"PK\x05\x06")
    content[end + 12 : end + 16] = struct.pack("<I", end - at)
    return bytes(content)


def _lying_zip() -> bytes:
    """A member that says it has 4 bytes and unpacks to 200 MB."""
    content = bytearray(_zip(("a", b"\0" * 200_000_000)))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(mark)
        content[at + offset : at + offset + 4] = struct.pack("<I", 4)
    return bytes(content)


def _many() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for number in range(3000):
            packed.writestr(str(number), b"")
    return stream.getvalue()


def _too_many(bench: Bench) -> str:
    unpack(bench.write("a.zip", _many()), bench.out, max_entries=1000)
    return "unpacked"


ZIPS: tuple[tuple[str, Callable[[Bench], str], str], ...] = (
    ("with ..", _unpacked(_zip(("ok", b"x"), ("../evil", b"x"))), f"'../evil' leads out of the folder.*{_TELL}"),
    ("with .. inside a path", _unpacked(_zip(("a/../../evil", b"x"))), f"leads out of the folder.*{_TELL}"),
    ("with an absolute name", _absolute, f"leads out of the folder.*{_TELL}"),
    ("with a drive letter", _unpacked(_zip(("C:/evil", b"x"))), f"leads out of the folder.*{_TELL}"),
    ("with backslashes", _unpacked(_zip(("..\\evil", b"x"))), f"leads out of the folder.*{_TELL}"),
    ("with a zero byte in a name", _unpacked(_zip(("a\0b", b"x"))), "(leads out|damaged)"),
    ("with a line end in a name", _unpacked(_zip(("a\nb", b"x"))), f"is no plain name.*{_TELL}"),
    ("with a name of nothing", _unpacked(_no_name()),
     "damaged, or neither .*fetch it again|has the name of another one"),
    ("with a symbolic link", _unpacked(_zip(("link", b"/etc"), mode=stat.S_IFLNK | 0o777)),
     f"link or a device.*{_TELL}"),
    ("with a device", _unpacked(_zip(("null", b""), mode=stat.S_IFCHR | 0o666)), f"link or a device.*{_TELL}"),
    ("with a pipe", _unpacked(_zip(("pipe", b""), mode=stat.S_IFIFO | 0o666)), f"link or a device.*{_TELL}"),
    ("that is encrypted", _unpacked(_zip(("a", b"x"), flags=1)), f"is encrypted.*{_TELL}"),
    ("with two names that differ in case", _unpacked(_zip(("A", b"x"), ("a", b"y"))),
     f"upper and lower case alike.*{_TELL}"),
    ("with a name twice", _unpacked(_zip(("a", b"x"), ("a", b"y"))), f"has the name of another one.*{_TELL}"),
    ("with a file where a folder is", _unpacked(_zip(("a/b", b"x"), ("a", b"y"))),
     f"has the name of another one.*{_TELL}"),
    ("bomb of 300 MB", _unpacked(lambda: _zip(("a", b"\0" * 300_000_000))),
     "far more than its own size, like a bomb; tell its owner"),
    ("bomb whose size is a lie", _unpacked(_lying_zip), "(bomb|damaged).*"),
    ("of too many members", _too_many, "too many members, like a bomb; tell its owner"),
    ("that is empty", _unpacked(_zip()), "holds no files; it is not the data set"),
    ("cut", _unpacked(seeds.archives()[0][1][:-30]), "damaged, or neither zip nor tar .*fetch it again"),
    ("with a byte changed", _unpacked(_zip(("a", b"hello" * 9), method=0).replace(b"hellohello", b"hellohellp", 1)),
     "damaged, or neither zip nor tar .*fetch it again"),
    ("of no bytes", _unpacked(b""), "damaged, or neither zip nor tar .*fetch it again"),
    ("of random bytes", _unpacked(b"PK" + bytes(range(256)) * 4), "damaged, or neither zip nor tar .*fetch it again"),
    ("with a name of 300 bytes", _unpacked(_zip(("n" * 300, b"x"))), "(cannot be unpacked .*too long|damaged)"),
    ("onto a file that is there", _taken, "keep.txt is already in out/ from another file; tell its owner"),
)  # fmt: skip
TARS: tuple[tuple[str, Callable[[Bench], str], str], ...] = tuple(
    (name, _unpacked(_tar(*members), "a.tar"), says)
    for name, members, says in (
        ("with ..", (_member("../evil"),), f"leads out of the folder.*{_TELL}"),
        ("with a symbolic link out, then a file through it", (_member("l", tarfile.SYMTYPE,
         ".."), _member("l/evil")), _TELL),
        ("with a symbolic link inside", (_member("a"), _member("l", tarfile.SYMTYPE, "a")),
         f"link or a device.*{_TELL}"),
        ("with a hard link out", (_member("l", tarfile.LNKTYPE, "../../etc/passwd"),), f"link or a device.*{_TELL}"),
        ("with a hard link inside", (_member("a"), _member("l", tarfile.LNKTYPE, "a")), f"link or a device.*{_TELL}"),
        ("with a character device", (_member("null", tarfile.CHRTYPE),), f"link or a device.*{_TELL}"),
        ("with a block device", (_member("disk", tarfile.BLKTYPE),), f"link or a device.*{_TELL}"),
        ("with a pipe", (_member("pipe", tarfile.FIFOTYPE),), f"link or a device.*{_TELL}"),
    )
)  # fmt: skip
TARS += (
    ("with an absolute name", _absolute_tar, f"leads out of the folder.*{_TELL}"),
    ("cut", _unpacked(seeds.archives()[1][1][:700], "a.tar"), "damaged, or neither zip nor tar .*fetch it again"),
    ("packed by gzip, cut", _unpacked(seeds.archives()[2][1][:-12], "a.tar.gz"),
     "damaged, or neither .*fetch it again"),
    ("packed by gzip, with a wrong checksum", _unpacked(seeds.archives()[2][1][:-8] + b"\0" * 8, "a.tar.gz"),
     "damaged, or neither zip nor tar .*fetch it again"),
    ("packed by gzip, bomb of 300 MB", _unpacked(lambda: gzip.compress(b"\0" * 300_000_000, 1), "a.tar.gz"),
     "(bomb|holds no files|damaged)"),
)  # fmt: skip
FAULTS: list[Fault] = [
    *(Fault(f"zip {name}", "archives", run, DataError, says, slow="bomb" in name) for name, run, says in ZIPS),
    Fault("zip whose work folder is a link", "archives", _linked_work_folder, None, "^unpacked: a$"),
    *(Fault(f"tar {name}", "archives", run, DataError, says, slow="bomb" in name) for name, run, says in TARS),
    Fault("text in the place of an archive", "archives", _unpacked(b"<html>404</html>"), DataError,
          "damaged, or neither"),
    *(Fault(f"{kind}, whole and sound", "archives", _unpacked(content, name), None, "^unpacked: rgb, rgb/0, train.txt$")
      for kind, (name, content) in zip(("zip", "tar", "tar packed by gzip"), seeds.archives(), strict=True)),
    Fault("zip with what macOS adds",
          "archives", _unpacked(_zip(("s/a", b"x"), ("__MACOSX/s/._a", b"x"), ("s/.DS_Store", b""))),
          None, "^unpacked: a$"),
    Fault("zip with names in Unicode", "archives", _unpacked(_zip(("s/Ähre 🔥", b"x"), ("s/夜", b"y"))), None, "夜"),
]  # fmt: skip
