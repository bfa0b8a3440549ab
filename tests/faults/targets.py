"""What random input is given to: every function that reads a file of a stranger's, or settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import yaml

from cimnet.checkpoint import INFO_KEY, load_checkpoint, read_info, write_info
from cimnet.curation.download.archives import unpack
from cimnet.data import ThermalScaling, open_dataset
from cimnet.data.dataset_file import read_dataset_file
from cimnet.data.flags import read_flags
from cimnet.data.io.open_image import image_size
from cimnet.data.io.readers import read_label, read_rgb, read_rgbt
from cimnet.data.io.split_lists import read_names
from cimnet.data.io.thermal_files import read_thermal_counts, thermal_size
from cimnet.data.labels import read_color_label
from cimnet.data.layouts.coco_json import read_panoptic
from cimnet.data.layouts.folder import Folder
from cimnet.inference.alarms.alarm import AlarmModel
from cimnet.inference.alarms.thresholds import ALARMS
from cimnet.inference.backends.details import EXPORT_KEY, from_metadata
from cimnet.inference.backends.runtime import ExportedModel, load_exported
from cimnet.training.recipe import Recipe, load_recipe, parse_recipe
from cimnet.training.run_folder import RunFolder
from tests.fakes.layouts import make_folder
from tests.faults import seeds

Step = Callable[[Path], object]


@dataclass(frozen=True)
class FileTarget:
    """Bytes of a file, mutated.

    Attributes:
        files: name and content of sound files; cases are made of them and go by the same names.
        steps: called one after the other with the path of the case; each must return or raise a `CimnetError`.
        setup: called once with the folder that cases will lie in.
    """

    files: Callable[[], seeds.Files]
    steps: tuple[Step, ...]
    setup: Step | None = None


@dataclass(frozen=True)
class ValueTarget:
    """Values of a strategy; `step` must return or raise a `CimnetError`."""

    values: Callable[[], st.SearchStrategy[Any]]
    step: Callable[[Any, Path], object]
    setup: Step | None = None


def _images(*words: str) -> Callable[[], seeds.Files]:
    return lambda: [file for name, file in seeds.images().items() if any(word in name for word in words)]


def _scaled(path: Path) -> object:
    return ThermalScaling("range", 0, 1000)(read_thermal_counts(path), path)


def _data(folder: Path) -> None:
    make_folder(folder / "data", 4)


def _open_listed(path: Path) -> object:
    """The data set in ``data`` with this list; names are read and looked for."""
    shutil.copy(path, path.parent / "data" / "train.txt")
    return open_dataset(path.parent / "data", "train").ids


def _open_flags(path: Path) -> object:
    root = path.parent / "data"
    shutil.copy(path, root / "broke_RGB.txt")
    return read_flags(root, Folder.index(root), broken="drop")


def _open_classes(path: Path) -> object:
    shutil.copy(path, path.parent / "data" / "classes.yaml")
    return read_dataset_file(path.parent / "data")


def _unpack(path: Path) -> object:
    out = path.parent / "unpacked"
    shutil.rmtree(out, ignore_errors=True)
    return unpack(path, out, max_bytes=1 << 26)


def _load_state(path: Path) -> object:
    run = path.parent / "run"
    shutil.copy(path, run / "last.pt")
    return RunFolder(run).load_state(seeds.run_recipe())


LISTS = [
    ("a.txt", b"000\n001\n"),
    ("b.txt", b"\xef\xbb\xbf000.png\r\n\r\nrgb/001\tx\r\n"),
    ("c.txt", "./000\nÄ 1.jpg,2\n../003\n".encode()),
]
CLASSES = [
    ("a.yaml", b"classes: [background, person, car]\nthermal_range: [270, 330]\nborder: [1, 0, 2, 0]\n"),
    ("b.yaml", b"classes:\n- {name: a, color: '#ff0000'}\n- {name: b, color: [1, 2, 3]}\nlabel_format: colors\n"),
    ("c.yaml", b"labels: {0: a, 1: b}\nlabel_table: {0: a, 7: ignore}\nignore_index: 254\nhome: x\n"),
    ("d.yaml", b"classes: &x [a, b]\nfiles: {rgb: 'i/{name}', thermal: 't/{name}_t'}\nthermal_range: {kind: kelvin,"
     b" low: 1e2, high: .inf, unit: celsius}\n"),
]  # fmt: skip
PANOPTIC = [
    (
        "panoptic_train.json",
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "rgb/0.png"}],
                "annotations": [
                    {"image_id": 1, "file_name": "0.png", "segments_info": [{"id": 1, "category_id": 2}]},
                ],
                "categories": [{"id": 2, "name": "car", "color": [1, 2, 3]}],
            }
        ).encode(),
    )
]

FIELDS = [
    f"{name}.{field}"
    for name, section in Recipe.model_fields.items()
    if section.annotation is not None
    for field in section.annotation.model_fields
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([0, 1, -1, 10**9, 10**12, 1e308, float("nan"), "off", "no", "a", "1e-3", "pixel_plain", "uint8"])
)
nested = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | scalars, inner),
    max_leaves=8,
)


def recipes() -> st.SearchStrategy[Any]:
    """Recipes of real names and any values, and whatever else a YAML file can hold."""
    sections = {
        name: st.dictionaries(st.sampled_from([*field.annotation.model_fields, "other"]), nested, max_size=4) | nested
        for name, field in Recipe.model_fields.items()
        if field.annotation is not None
    }
    anything = st.fixed_dictionaries({}, optional=sections) | st.dictionaries(st.text(max_size=6), nested)
    return anything | st.lists(st.tuples(st.sampled_from(FIELDS), nested), max_size=3).map(_changed)


def _changed(changes: list[tuple[str, Any]]) -> dict[str, Any]:
    """A sound recipe with some fields replaced."""
    content = yaml.safe_load(seeds.recipe())
    for field, value in changes:
        section, _, name = field.partition(".")
        content.setdefault(section, {})[name] = value
    return content


def overrides() -> st.SearchStrategy[Any]:
    keys = st.sampled_from(FIELDS)
    values = (
        st.text(max_size=12) | nested.map(repr) | st.sampled_from(["!!python/name:os.system", "[" * 500, "&a [*a]"])
    )
    return st.lists(st.tuples(keys, values).map("=".join) | st.text(max_size=20), min_size=1, max_size=3)


def descriptions() -> st.SearchStrategy[Any]:
    """Descriptions of checkpoints: real fields with any JSON value."""
    sound = json.loads(write_info(seeds.INFO))
    fields = {name: st.just(value) | st.just(value) | nested for name, value in sound.items()}
    return st.fixed_dictionaries(fields).map(lambda value: json.dumps(value, default=str, skipkeys=True))


_DETECTOR = ("centre", "spread", "above", "below")


def alarms() -> st.SearchStrategy[Any]:
    """What a checkpoint may say of its alarm: real fields with any JSON value."""
    names = ["agreement"]
    sound = {"names": names, **{name: [1.0] for name in _DETECTOR}, "bias": 0.0, "threshold": 0.5}
    detector = st.fixed_dictionaries({name: st.just(value) for name, value in sound.items()})
    changed = st.fixed_dictionaries({name: st.just(value) | nested for name, value in sound.items()})
    detectors = st.fixed_dictionaries(dict.fromkeys(ALARMS, detector | changed | nested))
    return st.fixed_dictionaries({"version": st.just(1) | nested, "detectors": detectors | nested})


def exported() -> st.SearchStrategy[Any]:
    """What an exported model may say of itself: real fields with any JSON value."""
    sound = asdict(seeds.DETAILS)
    return st.fixed_dictionaries({name: st.just(value) | nested for name, value in sound.items()}) | nested


def _exported(value: Any, folder: Path) -> object:
    texts = {INFO_KEY: write_info(seeds.INFO), EXPORT_KEY: json.dumps(value, default=str, skipkeys=True)}
    info, details = from_metadata(folder, texts)
    return ExportedModel(folder, lambda rgb, thermal: rgb, details), info


@cache
def _recipe_file(folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_bytes(seeds.recipe())
    return path


def _load_described(text: str, folder: Path) -> object:
    import safetensors.torch

    path = folder / "described.safetensors"
    tensors = safetensors.torch.load(seeds.checkpoint())
    path.write_bytes(safetensors.torch.save(tensors, {INFO_KEY: text}))
    return load_checkpoint(path)


FILES: dict[str, FileTarget] = {
    "rgb images": FileTarget(_images("rgb", "grey", "turned", "progressive", "16"), (image_size, read_rgb)),
    "thermal images": FileTarget(_images("grey", "16", "tiff", "palette", "big"), (thermal_size, read_thermal_counts)),
    "thermal values": FileTarget(_images("npy", "float"), (thermal_size, _scaled)),
    "flir jpeg": FileTarget(_images("flir"), (thermal_size, _scaled)),
    "label images": FileTarget(
        _images("label", "palette", "16", "1 bit", "png rgb", "bmp", "int32"),
        (read_label, lambda path: read_label(path, grey=True), lambda path: read_color_label(path, seeds.COLORS)),
    ),
    "4-channel images": FileTarget(_images("4 channels"), (read_rgbt,)),
    "lists": FileTarget(lambda: LISTS, (read_names, _open_listed), _data),
    "flags": FileTarget(lambda: LISTS, (_open_flags,), _data),
    "classes.yaml": FileTarget(lambda: CLASSES, (_open_classes,), _data),
    "panoptic json": FileTarget(lambda: PANOPTIC, (lambda path: read_panoptic.__wrapped__(path, 0),)),
    "recipe files": FileTarget(lambda: [("a.yaml", seeds.recipe())], (load_recipe,)),
    "checkpoints": FileTarget(lambda: [("a.safetensors", seeds.checkpoint())], (load_checkpoint,)),
    "training state": FileTarget(
        lambda: [("last.pt", seeds.state())], (_load_state,), lambda f: seeds.write_run(f / "run")
    ),
    "archives": FileTarget(seeds.archives, (_unpack,)),
    "onnx": FileTarget(lambda: [("a.onnx", seeds.onnx_model())], (load_exported,)),
}
VALUES: dict[str, ValueTarget] = {
    "recipe values": ValueTarget(recipes, lambda value, folder: parse_recipe(value, "fuzz")),
    "overrides": ValueTarget(overrides, lambda value, folder: load_recipe(_recipe_file(folder), value)),
    "descriptions": ValueTarget(descriptions, lambda value, folder: read_info(folder, {INFO_KEY: value})),
    "exported descriptions": ValueTarget(exported, _exported),
    "alarms": ValueTarget(alarms, lambda value, folder: AlarmModel.from_dict(value)),
    "described checkpoints": ValueTarget(descriptions, _load_described),
}
