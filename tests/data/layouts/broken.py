"""Ways in which a data set folder can be wrong or odd, for any layout: each is done to one pair of it."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.data.pairs import Pair
from tests.fakes.known import Fake
from tests.fakes.layouts import HEIGHT, WIDTH

NUMBER = 2
"""The pair that it is done to."""


@dataclass(frozen=True)
class Victim:
    """A pair of a data set that was made up in `root`; `pairs`: all of its split."""

    root: Path
    fake: Fake
    pairs: list[Pair]

    @property
    def pair(self) -> Pair:
        return self.pairs[NUMBER]

    @property
    def listed(self) -> Path | None:
        """The list of the split, if there is one."""
        return next((path for path in self.root.rglob("*train.txt") if not path.name.startswith("broken")), None)

    @property
    def four_channels(self) -> bool:
        return self.pair.thermal == self.pair.rgb or self.pair.thermal is None

    def file(self, part: str) -> Path:
        path = {"rgb": self.pair.rgb, "thermal": self.pair.thermal, "labels": self.pair.label}[part]
        assert path is not None
        return path

    def folder(self, part: str) -> Path:
        """The lowest folder that holds all the split's files of one kind."""
        return Path(os.path.commonpath([Victim(self.root, self.fake, [p] * 3).file(part).parent for p in self.pairs]))

    def rename(self, word: str) -> str:
        """Give the pair another name on disk and in the list: that name."""
        old = self.fake.word(NUMBER) if self.fake.word else self.pair.id
        for path in {self.file("rgb"), self.file("labels"), self.pair.thermal or self.pair.rgb}:
            there = path.relative_to(self.root).as_posix().replace(old, word)
            (self.root / there).parent.mkdir(parents=True, exist_ok=True)
            path.rename(self.root / there)
        new = self.pair.id.replace(old, word)
        if self.listed is not None:
            lines = self.listed.read_text(encoding="utf-8").splitlines()
            lines[NUMBER] = lines[NUMBER].replace(old, word)
            self.listed.write_text("\n".join(lines), encoding="utf-8")
        return new


def write_png_header(path: Path, width: int, height: int) -> None:
    """A PNG that says it is so large, without pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))


def cut_in_half(path: Path) -> None:
    """Of an image of noise of the same form, so that pixels are missing."""
    with Image.open(path) as image:
        form, shape, depth = image.format, np.array(image).shape, np.array(image).dtype
    noise = np.random.default_rng(0).integers(0, np.iinfo(depth).max, shape, dtype=depth)
    Image.fromarray(noise).save(path, format=form)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@contextmanager
def mended_later(path: Path) -> Iterator[None]:
    """Put the file back as it is now."""
    data = path.read_bytes()
    yield
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def replace_by(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def resave(path: Path, array: npt.NDArray[np.uint8] | Image.Image, form: str = "PNG") -> None:
    """Under the name as it is, whatever its extension."""
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, format=form)


def to_palette(values: npt.NDArray[np.uint8], colors: npt.NDArray[np.uint8]) -> Image.Image:
    """A palette image: value i has the i-th of the 256 colours."""
    image = Image.fromarray(values).copy()
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(colors.tobytes())
    return image


def values_of(path: Path) -> npt.NDArray[np.uint8]:
    """One channel of an image."""
    with Image.open(path) as image:
        array = np.array(image)
    return array if array.ndim == 2 else np.ascontiguousarray(array[..., 0])


def label_with(value: int, pixels: int, dtype: type = np.uint8, form: str = "PNG") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        label = values_of(path).astype(dtype)
        label.ravel()[:pixels] = value
        resave(path, label, form)

    return write


RANDOM_COLORS = np.random.default_rng(1).permutation(256 * 3).astype(np.uint8).reshape(256, 3)

Damage = Callable[[Path], object]
FILES: dict[str, tuple[Damage, list[str]]] = {
    "missing": (Path.unlink, ["no image for", "add it"]),
    "no bytes": (lambda path: path.write_bytes(b""), ["empty (0 bytes)", "restore or remove it"]),
    "no image": (lambda path: path.write_text("<html>404</html>"), ["not a PNG, JPEG", "restore or remove it"]),
    "20,000 x 20,000 pixels": (lambda path: write_png_header(path, 20_000, 20_000), ["150,000,000 pixels", "tiles"]),
    "half of it": (cut_in_half, ["cannot be read", "restore or remove it"]),
    "link to itself": (lambda path: replace_by(path, lambda p: p.symlink_to(p.name)), ["cannot be read", "restore"]),
    "link to nothing": (
        lambda path: replace_by(path, lambda p: p.symlink_to("nowhere.png")),
        ["a link to a file that is not there", "restore"],
    ),
    "a folder": (lambda path: replace_by(path, Path.mkdir), []),
}
"""What may have happened to any file of a pair, and words of the error."""

LABELS: dict[str, tuple[Damage, list[str]]] = {
    "another size": (lambda path: resave(path, np.zeros((16, 20), np.uint8)), ["is 20x16", "is 40x32", "resample"]),
    "id outside the classes": (label_with(200, 10), ["id 200 (10 pixels)", "correct the label"]),
    "16-bit id outside the classes": (label_with(300, 7, np.uint16), ["id 300 (7 pixels)", "correct the label"]),
    "negative id": (label_with(-1, 5, np.int32, "TIFF"), ["id -1 (5 pixels)", "correct the label"]),
    "jpeg": (lambda path: resave(path, values_of(path), "JPEG"), ["JPEG changes class ids", "as PNG"]),
    "1 bit": (lambda path: resave(path, Image.new("1", (WIDTH, HEIGHT))), ["a 1-bit label", "8-bit grey or palette"]),
    "colours": (lambda path: resave(path, Image.new("RGB", (WIDTH, HEIGHT), (9, 8, 7))), ["label_format: colors"]),
}

THERMAL: dict[str, tuple[Damage, list[str]]] = {
    "another size": (lambda path: resave(path, np.zeros((16, 20), np.uint8)), ["is 20x16", "is 40x32", "resample"]),
    "1 bit": (lambda path: resave(path, Image.new("1", (WIDTH, HEIGHT))), ["1-bit", "8 or 16 bits"]),
    "colour palette": (
        lambda path: resave(path, to_palette(np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1)), RANDOM_COLORS)),
        ["palette was burnt in", "export it in grey"],
    ),
}  # fmt: skip

FOUR_CHANNELS: dict[str, tuple[Damage, list[str]]] = {
    "opaque": (lambda path: resave(path, Image.new("RGBA", (WIDTH, HEIGHT), (1, 2, 3, 255))), ["255 everywhere"]),
    "three channels": (lambda path: resave(path, Image.new("RGB", (WIDTH, HEIGHT))), ["mode RGB, expected RGBA"]),
    "palette": (lambda path: resave(path, to_palette(values_of(path), RANDOM_COLORS)), ["mode P, expected RGBA"]),
    "1 bit": (lambda path: resave(path, Image.new("1", (WIDTH, HEIGHT))), ["mode 1, expected RGBA"]),
}


def move_and_link(root: Path, folder: Path) -> None:
    """Put a folder outside the data set and a link in its place."""
    there = folder.with_name(f"{folder.name} elsewhere")
    while there.is_relative_to(root):
        there = there.parents[1] / there.name
    shutil.move(folder, there)
    folder.symlink_to(there, target_is_directory=True)
