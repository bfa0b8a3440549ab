"""Lists of names: how editors save them, and names that lead nowhere or elsewhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from cimnet.errors import DataError
from tests.fakes.layouts import make_folder
from tests.faults.bench import Bench, Fault


def _listed(text: str | bytes, name: str = "train.txt") -> Callable[[Bench], str]:
    """Write a list and read what it names."""

    def run(bench: Bench) -> str:
        bench.replace(name, text)
        return bench.read()

    return run


def _named(name: str, listed: str | None = None) -> Callable[[Bench], str]:
    """A data set one of whose pairs has this name on disk, spelt in the list as `listed`."""

    def run(bench: Bench) -> str:
        bench.data = make_folder(bench.folder / "data", names=[name, "b", "c", "d"])
        bench.replace("train.txt", f"{listed or name}\nb\n")
        return bench.read() + "; " + bench.predict()

    return run


def _secret(text: str) -> Callable[[Bench], str]:
    """A pair beside the data set, and a list that leads to it."""

    def run(bench: Bench) -> str:
        make_folder(bench.folder / "secret", names=["s"] * 1)
        bench.replace("train.txt", text.replace("{root}", str(bench.folder)))
        return bench.read()

    return run


def _sound(bench: Bench) -> str:
    bench.replace("broke_RGB.txt", "nobody\n")
    return bench.read(broken="drop")


def _folder_for_a_list(bench: Bench) -> str:
    (bench.data / "train.txt").unlink()
    (bench.data / "train.txt").mkdir()
    return bench.read()


def _case(bench: Bench) -> str:
    bench.data = make_folder(bench.folder / "data", names=["Ab", "b", "c", "d"])
    bench.replace("train.txt", "aB\n")
    return bench.read()


_RIGHT = "^2 pairs read: 000, 001$"
_NFD = unicodedata.normalize("NFD", "Ähre é")
FAULTS: list[Fault] = [
    *(Fault(f"list with {name}", "lists", _listed(text), None, _RIGHT) for name, text in (
        ("a byte order mark", b"\xef\xbb\xbf000\n001\n"),
        ("CRLF", "000\r\n001\r\n"),
        ("a byte order mark and CRLF", b"\xef\xbb\xbf000\r\n001\r\n"),
        ("CR alone", "000\r001\r"),
        ("blank lines", "\n\n000\n\n001\n\n"),
        ("trailing spaces and tabs", "000  \n001\t\n"),
        ("leading spaces", "  000\n\t001\n".replace("\t", " ")),
        ("no line end", "000\n001"),
        ("extensions", "000.png\n001.png\n"),
        ("folders before the names", "rgb/000.png\nrgb/001.png\n"),
        ("backslashes", "rgb\\000.png\nrgb\\001.png\n"),
        ("./ before the names", "./000\n./001\n"),
        ("a further column", "000\tlabels/000.png\n001\tx\n"),
        ("commas after file names", "000.png,1\n001.png,2\n"),
    )),
    *(Fault(name, "lists", run, DataError, says) for name, run, says in (
        ("list with a name twice", _listed("000\n001\n000\n"), "train.txt: listed more than once: 000; remove the rep"),
        ("list with one image under two spellings", _listed("000\nrgb/000.png\n"),
         "listed more than once: 000; remove"),
        ("list with a name that does not exist", _listed("000\nmissing\n"),
         "data/rgb: no image for missing .*add it or rem"),
        ("list with a name in the wrong case", _case, "no image for aB .*Ab differs in upper and lower case only"),
        ("list in UTF-16", _listed("000\n001\n".encode("utf-16")), "train.txt: cannot be read as UTF-8 text; save"),
        ("list in Latin-1", _listed("Ähre\n".encode("latin-1")), "train.txt: cannot be read as UTF-8 text; save"),
        ("list of binary", _listed(bytes(range(256))), "train.txt: cannot be read as UTF-8 text; save"),
        ("list of zero bytes", _listed(b"\0" * 50), "data/rgb: no image for .*(add it or remove the name)"),
        ("empty list", _listed(""), "train.txt: the list of split 'train' is empty; write one name a line"),
        ("list of blank lines", _listed("\n \n\t\n"), "train.txt: the list of split 'train' is empty; write one"),
        ("folder in the place of a list", _folder_for_a_list, "no list train.txt .*write one name a line"),
        ("name with .. in a list", _secret("../../secret/rgb/s\n"), "no image for s .*add it or remove the name"),
        ("absolute name in a list", _secret("{root}/secret/rgb/s.png\n"), "no image for s .*add it or remove the name"),
        ("name of 5,000 letters in a list", _listed("a" * 5000), "no image for a+.*add it or remove the name"),
    )),
    *(Fault(name, "lists", run, None, says) for name, run, says in (
        ("name with a space", _named("Frame 1"), "^2 pairs read: Frame 1, b; 4 masks$"),
        ("name with an emoji", _named("🔥🚗"), "^2 pairs read: 🔥🚗, b; 4 masks$"),
        ("name composed on disk, decomposed in the list", _named("Ähre é", _NFD), "^2 pairs read: Ähre é, b; 4 masks$"),
        ("name decomposed on disk, composed in the list", _named(_NFD, "Ähre é"), "^2 pairs read: Ähre é, b; 4 masks$"),
        ("name in Chinese and Arabic", _named("夜间 ليل"), "^2 pairs read: 夜间 ليل, b; 4 masks$"),
        ("name with quotes, a comma and a semicolon", _named("a'b\",;c"), "^2 pairs read: a'b\",;c, b; 4 masks$"),
        ("name with a percent sign and braces", _named("%s{0}{name}"), r"^2 pairs read: %s\{0\}\{name\}, b; 4 masks$"),
        ("name with dots", _named("v1.2.3"), "^2 pairs read: v1.2.3, b; 4 masks$"),
        ("name of 251 bytes", _named("n" * 251), "^2 pairs read: n{251}, b; 4 masks$"),
        ("name of 83 letters of 3 bytes", _named("夜" * 83), "^2 pairs read: 夜{83}, b; 4 masks$"),
        ("list of flags with a byte order mark", _listed(b"\xef\xbb\xbf000\r\n", "broke_RGB.txt"), "^4 pairs read"),
        ("list of flags with an unknown name", _listed("000\nnobody\n", "broke_RGB.txt"), "^4 pairs read"),
    )),
    Fault("list of flags in UTF-16", "lists", _listed("000".encode("utf-16"), "broke_RGB.txt"), DataError,
          "broke_RGB.txt: cannot be read as UTF-8 text; save"),
    Fault("list of flags with unknown names alone, to leave broken pairs out", "lists", _sound, DataError,
          r"broke_RGB.txt: no pair goes by the names listed there \(nobody\).*correct them"),
]  # fmt: skip
