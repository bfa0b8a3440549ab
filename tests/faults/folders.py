"""Folders: missing, unreadable, linked, too deep; what is written must not follow a link out of where it belongs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from cimnet.data import open_dataset
from cimnet.errors import CheckpointError, CimnetError, ConfigError, DataError
from cimnet.utils.files import write_atomically, write_text
from tests.data.layouts.broken import move_and_link
from tests.fakes.layouts import make_folder
from tests.faults.bench import Bench, Fault


def _folder_as_image(bench: Bench) -> str:
    path = bench.data / "rgb" / "000.png"
    path.unlink()
    path.mkdir()
    return bench.read()


def _folder_as_pair(bench: Bench) -> str:
    path = bench.data / "rgb" / "000.png"
    path.unlink()
    path.mkdir()
    return bench.predict()


def _folder_as_checkpoint(bench: Bench) -> str:
    (bench.folder / "model.safetensors").mkdir()
    return bench.command("eval", "model.safetensors", bench.data)


def _folder_as_recipe(bench: Bench) -> str:
    return bench.command("train", bench.data, "--out", bench.out)


def _file_as_data(bench: Bench) -> str:
    bench.write("data", "text")
    return bench.command("eval", bench.checkpoint, "data")


def _file_as_out(bench: Bench) -> str:
    bench.write("file", "text")
    bench.command("predict", bench.checkpoint, "--rgb", bench.data / "rgb", "--thermal", bench.data / "thermal",
                  "--out", "file")  # fmt: skip
    return "written"


def _file_above_out(bench: Bench) -> str:
    bench.write("file", "text")
    return bench.command("train", bench.recipe, "--out", "file/run")


def _linked_parts(bench: Bench) -> str:
    """Where the images of a data set lie on another disk."""
    for part in ("rgb", "thermal", "labels"):
        move_and_link(bench.data, bench.data / part)
    return bench.read() + "; " + bench.predict()


def _linked_files(bench: Bench) -> str:
    for path in list((bench.data / "rgb").iterdir()):
        there = bench.folder / "elsewhere" / path.name
        there.parent.mkdir(exist_ok=True)
        shutil.move(path, there)
        path.symlink_to(there)
    return bench.read()


def _loop_of_links(bench: Bench) -> str:
    path = bench.data / "rgb" / "000.png"
    path.unlink()
    path.symlink_to("000.png")
    return bench.read()


def _link_to_nothing(bench: Bench) -> str:
    path = bench.data / "labels" / "000.png"
    path.unlink()
    path.symlink_to("gone.png")
    return bench.read()


def _folder_in_itself(bench: Bench) -> str:
    (bench.data / "rgb" / "again").symlink_to(bench.data / "rgb")
    return bench.read(split="all")


def _linked_checkpoint(bench: Bench) -> str:
    (bench.folder / "link.safetensors").symlink_to(bench.checkpoint)
    bench.checkpoint = bench.folder / "link.safetensors"
    return bench.predict()


def _write_over_a_link(bench: Bench) -> str:
    """The name of a result is a link to a file outside: the link is replaced, the file stays."""
    outside = bench.write("outside.txt", "precious")
    bench.out.mkdir()
    (bench.out / "result.txt").symlink_to(outside)
    write_text(bench.out / "result.txt", "new")
    assert outside.read_text() == "precious"
    assert not (bench.out / "result.txt").is_symlink()
    return "the link was replaced"


def _mask_over_a_link(bench: Bench) -> str:
    outside = bench.write("outside.png", "precious")
    (bench.out / "masks").mkdir(parents=True)
    (bench.out / "masks" / "000.png").symlink_to(outside)
    told = bench.predict(None, None, "--overwrite")
    assert outside.read_text() == "precious"
    return told


def _link_in_the_place_of_a_temporary(bench: Bench) -> str:
    """Somebody who may write into the folder knows what temporary files are called."""
    outside = bench.write("outside.txt", "precious")
    seen: list[Path] = []
    write_atomically(bench.out / "first.txt", lambda path: seen.append(path) or path.write_text("x"))
    name = seen[0].name.replace("first", "second")
    (bench.out / name).symlink_to(outside)
    write_text(bench.out / "second.txt", "new")
    assert outside.read_text() == "precious"
    assert not (bench.out / "second.txt").is_symlink()
    return (bench.out / "second.txt").read_text()


def _link_in_the_place_of_a_probe(bench: Bench) -> str:
    bench.out.mkdir()
    (bench.out / f".write-test.{os.getpid()}").symlink_to(bench.folder / "made.txt")
    told = bench.predict()
    assert not (bench.folder / "made.txt").exists()
    return told


def _two_with_one_name(bench: Bench) -> str:
    shutil.copy(bench.data / "rgb" / "000.png", bench.data / "rgb" / "000.jpg")
    return bench.read()


def _composed_and_decomposed(bench: Bench) -> str:
    for name in ("\u00e9.png", "e\u0301.png"):
        shutil.copy(bench.data / "rgb" / "000.png", bench.data / "rgb" / name)
    return bench.read(split="all")


def _not_utf8(bench: Bench) -> str:
    """A file name that is not UTF-8, as old disks have."""
    for part in ("rgb", "thermal"):
        os.rename(bench.data / part / "000.png", os.fsencode(bench.data / part) + b"/\xff\xe9.png")  # noqa: PTH104
    return bench.predict()


def _damaged_and_not_utf8(bench: Bench) -> str:
    """The name stands in failed.csv."""
    for part in ("rgb", "thermal"):
        os.rename(bench.data / part / "000.png", os.fsencode(bench.data / part) + b"/\xff\xe9.png")  # noqa: PTH104
    Path(os.fsdecode(os.fsencode(bench.data / "rgb") + b"/\xff\xe9.png")).write_bytes(b"")
    return bench.predict()


def _long_name(bench: Bench) -> str:
    bench.data = make_folder(bench.folder / "data", names=["n" * 251, "b"])
    return bench.predict()


def _long_path(bench: Bench) -> Path:
    return bench.folder / "/".join(["d" * 200] * 21)


def _deep(bench: Bench) -> str:
    """Folders in folders, 3,000 bytes deep: as far as a name fits."""
    deep = Path("rgb", *["d" * 100] * 30)
    for part in ("rgb", "thermal"):
        target = bench.data / part / deep
        target.mkdir(parents=True)
        shutil.copy(bench.data / part / "000.png", target / "deep.png")
    return bench.predict()


def _empty_images(bench: Bench) -> str:
    for path in (bench.data / "rgb").iterdir():
        path.unlink()
    return bench.predict()


def _no_partner(bench: Bench) -> str:
    for path in (bench.data / "thermal").iterdir():
        path.rename(path.with_name(f"t{path.name}"))
    return bench.predict()


def _fifo_as(name: str) -> Callable[[Bench], str]:
    def run(bench: Bench) -> str:
        (bench.data / name).with_suffix(".png").unlink()
        os.mkfifo(bench.data / name)
        return bench.predict()

    return run


def _device(bench: Bench) -> str:
    """A link to a device without end."""
    (bench.data / "rgb" / "000.png").unlink()
    (bench.data / "rgb" / "000.png").symlink_to("/dev/zero")
    return bench.predict()


def _fifo(bench: Bench) -> str:
    """A pipe that nobody writes into: opening it would wait for ever."""
    path = bench.data / "classes.yaml"
    path.unlink()
    os.mkfifo(path)
    return bench.read()


FAULTS: list[Fault] = [Fault(name, "folders", run, error, says) for name, run, error, says in (
    ("folder in the place of an image", _folder_as_image, DataError, "rgb: no image for 000|rgb/000.png: .*remove it"),
    ("folder in the place of an image to predict", _folder_as_pair, None, "^7 masks"),
    ("folder in the place of a checkpoint", _folder_as_checkpoint, CheckpointError,
     "best.safetensors: no such file; give"),
    ("folder in the place of a recipe", _folder_as_recipe, ConfigError, "recipe data: cannot be read .*give the path"),
    ("file in the place of a data set", _file_as_data, DataError, "data: no such folder"),
    ("file in the place of --out", _file_as_out, CimnetError, "file.*(cannot be written|is a file).*choose another"),
    ("file above --out", _file_above_out, CimnetError, "file/run: cannot be written .*choose another folder"),
    ("rgb, thermal and labels are links to folders elsewhere", _linked_parts, None, "^4 pairs read: .*; 8 masks$"),
    ("images are links to files elsewhere", _linked_files, None, "^4 pairs read"),
    ("link to itself", _loop_of_links, DataError, "rgb/000.png: cannot be read .*restore or remove it"),
    ("link to nothing", _link_to_nothing, DataError,
     "labels/000.png: a link to a file that is not there; restore or remove"),
    ("folder linked into itself", _folder_in_itself, None, "^8 pairs read"),
    ("checkpoint that is a link", _linked_checkpoint, None, "^8 masks$"),
    ("link in the place of a result", _write_over_a_link, None, "the link was replaced"),
    ("link in the place of a mask", _mask_over_a_link, None, "^8 masks$"),
    ("link in the place of a temporary file", _link_in_the_place_of_a_temporary, None, "^new$"),
    ("link in the place of the write test", _link_in_the_place_of_a_probe, None, "^8 masks$"),
    ("two images with one name", _two_with_one_name, DataError, "000.jpg and 000.png share a name; keep one of them"),
    ("two images whose names differ by composition", _composed_and_decomposed, DataError,
     "share a name; keep one of them"),
    ("name that is not UTF-8", _not_utf8, None, "^8 masks$"),
    ("name that is not UTF-8 of a damaged image", _damaged_and_not_utf8, None, "^7 masks; failed.csv: .*empty"),
    ("names of 255 bytes to predict", _long_name, None, "^2 masks$"),
    ("folders in folders 3,000 bytes deep", _deep, None, "^9 masks$"),
    ("no images in a folder", _empty_images, DataError, "--rgb data/rgb: no images in it"),
    ("no two images share a name", _no_partner, DataError,
     "no two files share a name, .*; give both files of a pair the same name"),
    ("data set at a path of more than 4,096 bytes", lambda b: b.command("eval", b.checkpoint, _long_path(b)), DataError,
     "(no such folder|too long)"),
    ("checkpoint at a path of more than 4,096 bytes",
     lambda b: b.command("eval", _long_path(b), b.data), CheckpointError,
     "(no such file|too long)"),
    ("recipe at a path of more than 4,096 bytes", lambda b: b.command("train", _long_path(b)), ConfigError,
     "cannot be read"),
    ("name of 300 bytes as a recipe", lambda b: b.command("train", "r" * 300), ConfigError,
     "cannot be read .*give the path"),
    ("name of 300 bytes as --out", lambda b: b.command("publish", b.checkpoint, "--out", "o" * 300), CimnetError,
     "cannot be written .*choose another"),
    ("name of 300 bytes as --json", lambda b: b.command("eval", b.checkpoint, b.data, "--json", "o" * 300), CimnetError,
     "cannot be written .*choose another"),
    ("name of 300 bytes as --rgb", lambda b: b.predict("r" * 300), DataError, "--rgb r.*no such file or folder"),
    ("zero byte in a path", lambda b: str(open_dataset("a\0b", "train")), DataError, "no such folder"),
    ("pipe in the place of an image", _fifo_as("rgb/000.png"), None, "^7 masks; failed.csv: 000,.*a pipe.* remove it"),
    ("pipe in the place of a .npy file", _fifo_as("thermal/000.npy"), None,
     "^7 masks; failed.csv: 000,.*a pipe.* remove"),
    ("link to /dev/zero in the place of an image", _device, None, "^7 masks; failed.csv: 000,.*device.* remove it"),
    ("pipe in the place of classes.yaml", _fifo, DataError, "no class names; write"),
)]  # fmt: skip
