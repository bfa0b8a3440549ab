"""Images, thermal files and labels that are damaged, of the wrong kind or too large."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image

from cimnet.data.io.readers import read_label, read_rgb
from cimnet.data.io.thermal_files import read_thermal_counts
from cimnet.errors import DataError
from tests.data.layouts.broken import write_png_header
from tests.fakes.flir import CAMERA_INFO, RAW_DATA, camera_info, chunks, raw_data, records, write_records
from tests.faults import seeds
from tests.faults.bench import Bench, Fault, needs

READ = {"rgb": read_rgb, "thermal": read_thermal_counts, "labels": read_label}
RESTORE = "restore or remove it"


def _noise(form: str) -> bytes:
    """An image of noise, which cannot be packed, so that half of the file is about half of the pixels."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (64, 64), dtype=np.uint8)
    return {
        "PNG": lambda: seeds.picture(np.stack([grey] * 3, axis=2), "PNG"),
        "PNG grey": lambda: seeds.picture(grey, "PNG"),
        "PNG 16 bit": lambda: seeds.picture(grey.astype(np.uint16) * 255, "PNG"),
        "JPEG": lambda: seeds.picture(grey, "JPEG"),
        "BMP": lambda: seeds.picture(grey, "BMP"),
        "TIFF 8 bit": lambda: seeds.tiff(grey),
        "TIFF 16 bit": lambda: seeds.tiff(grey.astype(np.uint16) * 255),
        "TIFF float": lambda: seeds.tiff(grey.astype(np.float32)),
        "TIFF LZW": lambda: seeds.picture(grey, "TIFF", compression="tiff_lzw"),
        "NPY": lambda: seeds.npy(grey.astype(np.float32)),
        "FLIR JPEG": seeds.flir,
    }[form]()


def _read(part: str, name: str, content: bytes) -> Callable[[Bench], str]:
    """Read one file with the reader of a part."""

    def run(bench: Bench) -> str:
        array = READ[part](bench.write(f"{part}/{name}", content))
        return f"read, {array.shape[1]}x{array.shape[0]} {array.dtype}"

    return run


def _cut(form: str, part: str) -> Fault:
    content = _noise(form)
    suffix = {"PNG": ".png", "JPEG": ".jpg", "BMP": ".bmp", "TIFF": ".tif", "NPY": ".npy", "FLIR": ".jpg"}[
        form.split()[0]
    ]
    run = _read(part, f"a{suffix}", content[: len(content) // 2])
    if form == "FLIR JPEG":  # its first segment, so that the picture stays whole
        run = _cut_record
    return Fault(
        f"{form} cut, as {part}",
        "images",
        run,
        DataError,
        rf"^{part}/a{suffix}: .*(remove it|as TIFF|numpy.save|32-bit floats)$",
    )


def _flip(form: str, part: str) -> Fault:
    """Bytes in the middle changed: a checksum or a decoder must find it."""
    content = bytearray(_noise(form))
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(255 - value for value in content[middle : middle + 64])
    return Fault(
        f"{form} with bytes changed, as {part}", "images", _read(part, "a.png", bytes(content)), DataError, RESTORE
    )


def _everywhere(name: str, content: bytes, says: str, suffix: str = ".png") -> list[Fault]:
    """The same file as each part."""
    return [
        Fault(
            f"{name}, as {part}",
            "images",
            _read(part, f"a{suffix}", content),
            DataError,
            rf"^{part}/a{suffix}: .*{says}",
        )
        for part in READ
    ]


def _in_a_set(path: str, content: bytes) -> Callable[[Bench], str]:
    """Put a file into a data set and read it all."""

    def run(bench: Bench) -> str:
        bench.replace(path, content)
        return bench.read()

    return run


def _predicted(path: str, content: bytes) -> Callable[[Bench], str]:
    def run(bench: Bench) -> str:
        bench.replace(path, content)
        return bench.predict()

    return run


def _bomb(bench: Bench) -> str:
    path = bench.write("rgb/a.png", b"")
    write_png_header(path, 100_000, 100_000)
    return str(read_rgb(path).shape)


def _bomb_in_a_prediction(bench: Bench) -> str:
    write_png_header(bench.data / "rgb" / "000.png", 60_000, 60_000)
    return bench.predict()


def _huge_tiff(bench: Bench) -> str:
    """A TIFF whose header says 400,000 x 400,000; Pillow's size is what it says."""
    content = bytearray(seeds.tiff(np.zeros((8, 8), np.uint16)))
    for tag in (256, 257):
        at = content.index(struct.pack("<H", tag))
        content[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 400_000)
    return str(read_thermal_counts(bench.write("thermal/a.tif", bytes(content))).shape)


def _many_records(bench: Bench) -> str:
    """A FLIR directory of four billion records, each of which would be looked for."""
    needs("flyr", "thermal")
    fff = bytearray(records({RAW_DATA: raw_data(np.zeros((8, 8), np.uint16)), CAMERA_INFO: camera_info()}))
    fff[28:32] = b"\xff" * 4
    path = bench.write("thermal/a.jpg", b"")
    return str(read_thermal_counts(write_records(path, chunks(bytes(fff)))).shape)


def _cut_record(bench: Bench) -> str:
    """A FLIR JPEG whose picture is whole, with half of the counts."""
    needs("flyr", "thermal")
    raw = raw_data(np.zeros((32, 40), np.uint16))
    fff = records({RAW_DATA: raw[: len(raw) // 2], CAMERA_INFO: camera_info()})
    return str(read_thermal_counts(write_records(bench.write("thermal/a.jpg", b""), chunks(fff))).shape)


def _nan_for_floats(bench: Bench) -> str:
    """A model trained on floats."""
    bench.checkpoint.write_bytes(
        seeds.with_info(thermal_dtype="float32", scaling={"kind": "range", "low": 0, "high": 9})
    )
    return bench.predict(bench.data / "rgb/000.png", bench.write("t.npy", seeds.npy(_NAN)))


def _huge_npy(bench: Bench) -> str:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    return str(read_thermal_counts(bench.write("thermal/a.npy", stream.getvalue() + b"\0" * 100)).shape)


def _objects_npy(bench: Bench) -> str:
    """An array of Python objects, which is a pickle: numpy would run it."""
    stream = io.BytesIO()
    np.save(stream, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    return str(read_thermal_counts(bench.write("thermal/a.npy", stream.getvalue())).shape)


def _label(value: int, dtype: type = np.uint8) -> bytes:
    values = np.zeros((32, 40), dtype)
    values[:2, :5] = value
    return seeds.tiff(values) if dtype is np.int32 else seeds.picture(values, "PNG")


_SIZES = seeds.picture(np.zeros((16, 20), np.uint8), "PNG")
_GOOD = seeds.picture(np.zeros((32, 40), np.uint8), "PNG")
_NAN = np.full((32, 40), np.nan, np.float32)
ONE = [Fault(name, "images", run, DataError, says) for name, run, says in (
    ("id outside the classes", _in_a_set("labels/001.png", _label(7)), r"labels/001.png: id 7 \(10 pixels\) .*correct"),
    ("id 300 in 16 bits", _in_a_set("labels/001.png", _label(300, np.uint16)),
     r"labels/001.png: id 300 .*correct the label"),
    ("id -1", _in_a_set("labels/001.png", _label(-1, np.int32)), r"labels/001.png: id -1 .*correct the label"),
    ("label saved as JPEG", _read("labels", "a.png", _noise("JPEG")),
     "labels/a.png: JPEG changes class ids; save .* PNG"),
    ("label in colours", _in_a_set("labels/000.png", seeds.images()["png rgb"][1]),
     "labels/000.png: .*label_format: colors"),
    ("label of 1 bit", _in_a_set("labels/000.png", seeds.images()["png 1 bit"][1]), "1-bit label; save .* 8-bit"),
    ("label of another size", _in_a_set("labels/002.png", _SIZES), "labels/002.png is 20x16 .* resample"),
    ("thermal image of another size", _in_a_set("thermal/002.png", _SIZES), "thermal/002.png is 20x16 .*data align"),
    ("thermal image in colours", _in_a_set("thermal/000.png", seeds.images()["png rgb"][1]),
     "thermal/000.png: .*in grey"),
    ("thermal image of 1 bit", _in_a_set("thermal/000.png", seeds.images()["png 1 bit"][1]), "8 or 16 bits"),
    ("RGB and thermal swapped", _read("rgb", "a.png", seeds.images()["png 16 bit"][1]), "rgb/a.png: .*folders swapped"),
    ("one thermal image of 16 bits among 8", _in_a_set("thermal/002.png", seeds.images()["png 16 bit"][1]),
     "thermal/002.png: .*uint16 where uint8 is expected.* convert"),
    ("thermal values of NaN",
     _nan_for_floats,
     "t.npy: .* thermal values are not finite .*; fill them"),
    ("thermal values of float for a model of 8 bits",
     lambda bench: bench.predict(bench.data / "rgb/000.png", bench.write("t.npy", seeds.npy(np.nan_to_num(_NAN)))),
     "t.npy: .*float32 where uint8 is expected.* convert"),
    ("PNG that claims 100,000 x 100,000", _bomb, "rgb/a.png: more than 150,000,000 pixels; cut the image into tiles"),
    ("TIFF that claims 400,000 x 400,000", _huge_tiff, "thermal/a.tif: more than 150,000,000 pixels; cut"),
    ("FLIR JPEG of four billion records", _many_records, "thermal/a.jpg: .*4294967295 records.*export it as TIFF"),
    (".npy that claims 10^12 values", _huge_npy, "thermal/a.npy: cannot be read as a .npy array .*numpy.save"),
    (".npy of Python objects", _objects_npy, "thermal/a.npy: cannot be read as a .npy array .*numpy.save"),
)]  # fmt: skip
RIGHT = [Fault(name, "images", run, None, says) for name, run, says in (
    ("one cut image in a folder to predict", _predicted("rgb/003.png", seeds.images()["png rgb"][1][:300]),
     "^7 masks; failed.csv: 003,data/rgb/003.png: cannot be read"),
    ("one bomb in a folder to predict", _bomb_in_a_prediction,
     "^7 masks; failed.csv: 000,.*more than 150,000,000 pixels"),
    ("one empty thermal image in a folder to predict", _predicted("thermal/001.png", b""),
     "^7 masks; failed.csv: 001,.*empty"),
    ("PNG named .jpg", _read("rgb", "a.jpg", seeds.images()["png rgb"][1]), "^read, 40x32 uint8"),
    ("JPEG named .png", _read("rgb", "a.png", seeds.images()["jpeg rgb"][1]), "^read, 40x32 uint8"),
    ("JPEG with bytes behind its end", _read("rgb", "a.jpg", seeds.images()["jpeg rgb"][1] + b"x" * 100),
     "^read, 40x32"),
    ("JPEG turned by its EXIF tag", _read("rgb", "a.jpg", seeds.images()["jpeg turned"][1]), "^read, 32x40 uint8"),
    ("label in 255 (ignore) alone", _in_a_set("labels/000.png", _label(255)), "^4 pairs read"),
    ("RGB image in grey", _in_a_set("rgb/000.png", _GOOD), "^4 pairs read"),
)]  # fmt: skip

FAULTS: list[Fault] = [
    *(_cut(form, "rgb") for form in ("PNG", "JPEG", "BMP", "TIFF 8 bit", "TIFF LZW")),
    *(_cut(form, "thermal") for form in
      ("PNG grey", "PNG 16 bit", "JPEG", "BMP", "TIFF 8 bit", "TIFF 16 bit", "TIFF float", "TIFF LZW", "NPY",
       "FLIR JPEG")),
    *(_cut(form, "labels") for form in ("PNG grey", "PNG 16 bit", "BMP", "TIFF 8 bit", "TIFF 16 bit")),
    *(_flip(form, part) for form, part in (("PNG", "rgb"), ("PNG 16 bit", "thermal"), ("PNG grey", "labels"))),
    *_everywhere("empty file", b"", r"empty \(0 bytes\); restore or remove it$"),
    *_everywhere("text", b"<html>404 not found</html>", "not a PNG, JPEG, TIFF or BMP image; restore or remove it$"),
    *_everywhere("GIF", seeds.picture(Image.new("L", (8, 8)), "GIF"), "a GIF image, which is not read"),
    *_everywhere("PNG signature alone", b"\x89PNG\r\n\x1a\n", "(not a PNG|cannot be read).*restore or remove it$"),
    *_everywhere("TIFF header alone", b"II*\0\x08\0\0\0", "damaged TIFF.*save it|restore or remove", ".tif"),
    *_everywhere("random bytes", np.random.default_rng(1).bytes(2000), "restore or remove it$"),
    *ONE,
    *RIGHT,
]  # fmt: skip
