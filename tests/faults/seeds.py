"""Sound files of every kind that the package reads, small, for faults to be made of."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import safetensors.torch
import tifffile
import torch
import yaml
from PIL import Image

from cimnet.checkpoint import INFO_KEY, ModelInfo, write_info
from cimnet.inference.backends.details import Details, to_metadata
from cimnet.models import create_model, registry
from cimnet.training.recipe import parse_recipe
from tests.fakes.flir import to_raw, write_flir
from tests.fakes.layouts import CLASSES, make_arrays
from tests.fakes.pixel import Pixel

COLORS = ((0, 0, 0), (230, 60, 60), (60, 180, 75))
INFO = ModelInfo("pixel_plain", {}, CLASSES, COLORS, thermal_dtype="uint8", metrics={"miou": 0.5})
DETAILS = Details(False, True, "float32", 1.0, (0.5,) * 3, (0.2,) * 3, (0.5,), (0.2,))
Files = list[tuple[str, bytes]]
"""Name and content."""


@contextmanager
def pixel_models() -> Iterator[None]:
    """The names ``pixel_*``: models that load in a millisecond."""
    with patch.dict(registry._FAMILIES, pixel=Pixel):
        yield


def picture(array: Any, form: str, **options: Any) -> bytes:
    """An array or picture in a format of Pillow's."""
    stream = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(stream, form, **options)
    return stream.getvalue()


def tiff(array: Any, **options: Any) -> bytes:
    """An array as scientific programs write it."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, metadata=None, **options)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@cache
def flir() -> bytes:
    """A radiometric JPEG."""
    with tempfile.TemporaryDirectory() as folder:
        kelvin = np.linspace(280, 310, 40 * 32).reshape(32, 40)
        return write_flir(Path(folder) / "flir.jpg", to_raw(kelvin)).read_bytes()


@cache
def images() -> dict[str, tuple[str, bytes]]:
    """One image for each form that some reader takes: its file name and content."""
    rgb, thermal, label = make_arrays(0)
    deep, degrees = thermal.astype(np.uint16) * 20 + 18000, thermal.astype(np.float32) / 4
    palette = Image.fromarray(label).convert("P")
    rgba = np.dstack([rgb, thermal])
    return {
        "png rgb": ("a.png", picture(rgb, "PNG")),
        "png grey": ("b.png", picture(thermal, "PNG")),
        "png 16 bit": ("c.png", picture(deep, "PNG")),
        "png palette": ("d.png", picture(palette, "PNG")),
        "png 4 channels": ("e.png", picture(rgba, "PNG")),
        "png 1 bit": ("f.png", picture(Image.fromarray(label).convert("1"), "PNG")),
        "png label": ("g.png", picture(label, "PNG")),
        "jpeg rgb": ("h.jpg", picture(rgb, "JPEG")),
        "jpeg grey": ("i.jpg", picture(thermal, "JPEG")),
        "jpeg turned": ("j.jpg", picture(rgb, "JPEG", exif=_turned())),
        "jpeg progressive": ("k.jpg", picture(rgb, "JPEG", progressive=True)),
        "bmp rgb": ("l.bmp", picture(rgb, "BMP")),
        "bmp grey": ("m.bmp", picture(thermal, "BMP")),
        "tiff 8 bit": ("n.tif", tiff(thermal)),
        "tiff rgb": ("o.tif", tiff(rgb, photometric="rgb")),
        "tiff 16 bit": ("p.tiff", tiff(deep)),
        "tiff big-endian": ("q.tiff", tiff(deep, byteorder=">")),
        "tiff float": ("r.tiff", tiff(degrees)),
        "tiff int32": ("s.tiff", tiff(thermal.astype(np.int32))),
        "tiff lzw": ("t.tif", picture(thermal, "TIFF", compression="tiff_lzw")),
        "tiff deflate": ("u.tif", picture(deep, "TIFF", compression="tiff_adobe_deflate")),
        "flir jpeg": ("v.jpg", flir()),
        "npy float": ("w.npy", npy(degrees)),
        "npy 16 bit": ("x.npy", npy(deep)),
    }


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@cache
def checkpoint() -> bytes:
    """A checkpoint of a tiny model, needs `pixel_models`."""
    with pixel_models():
        model = create_model(INFO.name, len(CLASSES))
    return safetensors.torch.save(model.state_dict(), {INFO_KEY: write_info(INFO)})


def with_info(**changes: Any) -> bytes:
    """The checkpoint with fields of its description replaced."""
    content = {**json.loads(write_info(INFO)), **changes}
    return safetensors.torch.save(safetensors.torch.load(checkpoint()), {INFO_KEY: json.dumps(content)})


def recipe(**sections: Any) -> bytes:
    """A recipe for the data set in ``data`` and a tiny model, with fields of its sections replaced."""
    content: dict[str, dict[str, Any]] = {
        "model": {"name": "pixel_plain", "pretrained": False},
        "data": {"root": "data", "workers": 0},
        "augmentation": {"crop": [32, 40], "scale": [1, 1]},
        "training": {"epochs": 1, "batch_size": 2, "warmup_iterations": 0, "milestones": []},
    }
    names = {*content, *sections}
    merged = {
        name: {**content.get(name, {}), **sections.get(name, {})}
        if isinstance(sections.get(name, {}), dict)
        else sections[name]
        for name in names
    }
    return yaml.safe_dump(merged).encode()


@cache
def state() -> bytes:
    """Training state as torch writes it."""
    stream = io.BytesIO()
    torch.save({"model": {"w": torch.ones(2, 3)}, "progress": {"epoch": 1, "history": [{"loss": 1.0}]}}, stream)
    return stream.getvalue()


def write_run(folder: Path) -> None:
    """The recipe of a run folder; `state` goes beside it as last.pt."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_bytes(recipe())


def run_recipe() -> Any:
    return parse_recipe(yaml.safe_load(recipe()), "tests")


@cache
def archives() -> Files:
    """A small archive of each kind."""
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("set/rgb/0", b"picture" * 20)
        packed.writestr("set/train.txt", "0\n")
    with tarfile.open(fileobj=tarred, mode="w") as whole:
        for name in ("set/rgb/0", "set/train.txt"):
            info = tarfile.TarInfo(name)
            info.size = 140
            whole.addfile(info, io.BytesIO(b"picture" * 20))
    import gzip

    return [("a.zip", zipped.getvalue()), ("b.tar", tarred.getvalue()), ("c.tar.gz", gzip.compress(tarred.getvalue()))]


@cache
def onnx_model() -> bytes:
    """An exported model of one layer."""
    from onnx import TensorProto, helper

    rgb, thermal = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 4, 4])
        for name, channels in (("rgb", 3), ("thermal", 1))
    )
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 4, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["rgb"], ["out"])], "g", [rgb, thermal], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, to_metadata(INFO, DETAILS))
    return model.SerializeToString()
