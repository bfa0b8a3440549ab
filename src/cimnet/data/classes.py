"""Class names and colours: built-in lists, the YAML beside a data set, and a default palette."""

from __future__ import annotations

import colorsys
import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cimnet.data.io.bands import Bands
from cimnet.data.io.name_patterns import NamePattern
from cimnet.data.io.second_modality import THERMAL, SecondModality, parse_second
from cimnet.data.io.thermal_scaling import ThermalScaling, parse_thermal
from cimnet.errors import ConfigError, DataError, one_line
from cimnet.utils.colors import Color
from cimnet.utils.numbers import pluralize
from cimnet.utils.yaml import read_yaml

_KINDS = ("rgb", "thermal", "labels")
YAML_NAMES = ("classes.yaml", "dataset.yaml", "classes.yml", "dataset.yml")
_ABOUT = ("citation", "licence", "license", "home")
_KEYS = (
    *_ABOUT, "classes", "labels", "thermal_range", "ignore_index", "label_table", "label_format", "files", "border",
    "bands", "second",
)  # fmt: skip
MAX_CLASSES = 255  # ids 0..254 in 8 bits; 255 is "ignore"

_FIRST_COLORS: tuple[Color, ...] = (
    (0, 0, 0), (230, 60, 60), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180),
    (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (170, 110, 40),
    (220, 190, 255), (128, 0, 0), (170, 255, 195), (128, 128, 0), (0, 0, 160), (128, 128, 128), (255, 255,
    255),
)  # fmt: skip


def palette(count: int) -> tuple[Color, ...]:
    """`count` distinct colours, the same every time: black, then strong ones far from each other."""
    colors = list(_FIRST_COLORS[:count])
    taken = set(colors)
    step = 0
    while len(colors) < count:
        hue, ring = (step * 0.61803398875) % 1.0, step % 6
        red, green, blue = colorsys.hsv_to_rgb(hue, (0.9, 0.55, 0.75)[ring % 3], (0.95, 0.6)[ring // 3])
        color = (round(red * 255), round(green * 255), round(blue * 255))
        if color not in taken:
            colors.append(color)
            taken.add(color)
        step += 1
    return tuple(colors)


@dataclass(frozen=True)
class ClassList:
    """Class names in the order of their ids, with one (red, green, blue) colour each, 0..255.

    Raises:
        DataError: no class, more than 255, a name twice or not printable, or not one colour a class.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.names or len(self.names) > MAX_CLASSES:
            raise DataError(f"a class list needs 1 to {MAX_CLASSES} names, not {len(self.names)}")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise DataError(f"class names must differ: {', '.join(twice)} listed more than once")
        unprintable = [name for name in self.names if not name.isprintable()]
        if unprintable:
            raise DataError(f"class name {unprintable[0]!r} holds a character that cannot be shown; remove it")
        if not self.colors:
            object.__setattr__(self, "colors", palette(len(self.names)))
        if len(self.colors) != len(self.names):
            names, colors = pluralize(len(self.names), "class name"), pluralize(len(self.colors), "colour")
            raise DataError(f"{names} but {colors}")


MOVING_CLASSES = frozenset(
    {"car", "truck", "bus", "van", "train", "vehicle", "vehicles", "motorcycle", "motorbike", "bike", "bicycle"}
    | {"motorcyclist", "bicyclist", "cyclist", "rider", "person", "human", "pedestrian", "survivor", "animal"}
)
"""Names, in lower case, of classes whose things may move between the exposures of two cameras."""


def moving_ids(classes: Iterable[str]) -> frozenset[int]:
    """Ids of the classes in `MOVING_CLASSES`."""
    return frozenset(k for k, name in enumerate(classes) if name.lower() in MOVING_CLASSES)


BUILT_IN: dict[str, ClassList] = {}
"""Lists that `classes="mfnet"` and the like choose; each layout file adds its own."""


def built_in(name: str, entries: Sequence[tuple[str, Color]]) -> ClassList:
    """Make a class list and offer it under a name."""
    BUILT_IN[name] = ClassList(tuple(entry[0] for entry in entries), tuple(entry[1] for entry in entries))
    return BUILT_IN[name]


def choose_classes(asked: str | Sequence[str] | None, found: ClassList | None, root: Path) -> ClassList | None:
    """The classes asked for (a list of names or the name of a built-in list), else those found with the data.

    Names found and names asked for must agree: ids of other classes would be trained or scored as these.

    Raises:
        DataError: an unknown built-in list, or names other than those found with the data in `root`.
    """
    if asked is None:
        return found
    if isinstance(asked, str) and asked not in BUILT_IN:
        raise DataError(f"classes: no built-in list {asked!r}; there are {', '.join(sorted(BUILT_IN))}")
    wanted = BUILT_IN[asked] if isinstance(asked, str) else ClassList(tuple(asked))
    if found is None:
        return wanted
    if found.names != wanted.names:
        raise DataError(
            f"{root}: its classes ({', '.join(found.names)}) are not those asked for ({', '.join(wanted.names)}); "
            "take data and checkpoint, or data and recipe, of the same classes"
        )
    return found


@dataclass(frozen=True)
class DatasetFile:
    """What the YAML beside a data set says; every part is optional.

    Attributes:
        thermal: how thermal values become 0..1.
        label_table: class id by value in the label files, 255 = ignore; None: values are class ids.
        ignore_id: value in the label files that means ignore, beside 255.
        label_colors: whether labels are pictures in the classes' colours.
        files: patterns rgb, thermal and labels, see `FilePattern`.
        max_gap: seconds by which partners in time may be apart; None: the usual interval.
        border: pixels to cut off at the top, right, bottom and left of every image.
        bands: which bands of the image files are which, and the range of deep colours; None: the files say.
        second: what the second image of a pair is; None: it does not say, so thermal.
        about: citation, licence, home: free text.
    """

    path: Path
    classes: ClassList | None = None
    thermal: ThermalScaling | None = None
    label_table: dict[int, int] | None = None
    ignore_id: int = 255
    label_colors: bool = False
    files: dict[str, str] = field(default_factory=dict)
    max_gap: float | None = None
    border: tuple[int, int, int, int] = (0, 0, 0, 0)
    bands: Bands | None = None
    second: SecondModality | None = None
    about: dict[str, str] = field(default_factory=dict)


def read_dataset_file(root: Path) -> DatasetFile | None:
    """Read classes.yaml or dataset.yaml in root; None when there is neither.

    Keys, all optional: `classes` (or `labels`): names, or entries `{name: …, color: [r, g, b] or "#rrggbb"}`;
    `thermal_range: [low, high]` or a mapping (`parse_thermal`); `ignore_index`: a value of the label files to ignore;
    `label_table: {value: class name, id or ignore}`; `label_format: ids` or `colors`; `files: {rgb: PATTERN, thermal:
    PATTERN, labels: PATTERN, max_gap: seconds}` (see `NamePattern`); `border: pixels` or `[top, right, bottom, left]`;
    `bands: {rgb: [3, 2, 1], thermal: 6, rgb_range: [0, 4095]}`, `{rgb: embedded}` or `{thermal: picture}`; `second:
    {name: nir, channels: 1}`, after which `files:` and `bands:` may say `nir` in place of `thermal`; `citation`,
    `licence`, `home`. Other keys are left alone.

    Raises:
        DataError: not YAML, or a key of the wrong form.
    """
    path = next((root / name for name in YAML_NAMES if (root / name).is_file()), None)
    return None if path is None else _read_dataset_file(path)


def classes_of(given: str | Path) -> ClassList:
    """A class list as a user names it: a built-in one, names with commas between, or a file such as classes.yaml.

    Raises:
        DataError: there is no such list or file, or the file names no classes.
    """
    text = str(given)
    if text in BUILT_IN:
        return BUILT_IN[text]
    if "," in text:
        return ClassList(tuple(name.strip() for name in text.split(",")))
    if not text.endswith((".yaml", ".yml")):
        raise DataError(
            f"classes: no built-in list {text!r}; give one of {', '.join(sorted(BUILT_IN))}, names with commas, or a "
            "classes.yaml"
        )
    classes = _read_dataset_file(Path(text)).classes
    if classes is None:
        raise DataError(f"{text}: names no classes; add a list under `classes:`")
    return classes


def _read_dataset_file(path: Path) -> DatasetFile:
    try:
        content = read_yaml(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file or allow it") from error
    except ValueError as error:  # also of dates like 2020-99-99
        raise DataError(f"{path}: not valid YAML ({one_line(error, None)})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected keys such as 'classes: [background, person]'")
    for key in content:
        near = difflib.get_close_matches(str(key), _KEYS, n=1, cutoff=0.8)
        if near and key not in _KEYS:
            raise DataError(f"{path}: key {key!r}: did you mean {near[0]!r}?")
    entries = content.get("classes", content.get("labels"))
    classes = None if entries is None else _parse_classes(entries, path)
    ignore_id = content.get("ignore_index", 255)
    if type(ignore_id) is not int or not 0 <= ignore_id <= 65535:
        raise DataError(f"{path}: ignore_index must be a whole number in 0..65535, not {ignore_id!r}")
    label_colors = _parse_label_format(content, classes, path)
    second = parse_second(content.get("second"), str(path))
    name = (second or THERMAL).name
    files, max_gap = _parse_files(_as_thermal(content.get("files"), name, path), path)
    return DatasetFile(
        path=path,
        classes=classes,
        thermal=parse_thermal(content.get("thermal_range"), str(path)),
        label_table=_parse_table(content, classes, path),
        ignore_id=ignore_id,
        label_colors=label_colors,
        files=files,
        max_gap=max_gap,
        border=_parse_border(content.get("border", 0), path),
        bands=_parse_bands(_as_thermal(content.get("bands"), name, path), path),
        second=second,
        about={key: str(content[key]) for key in _ABOUT if key in content},
    )


def _as_thermal(given: Any, name: str, path: Path) -> Any:
    """A mapping of `files:` or `bands:` with what it says of the second image below `thermal`."""
    if not isinstance(given, dict) or name == THERMAL.name or name not in given:
        return given
    if THERMAL.name in given:
        raise DataError(f"{path}: {name} and thermal are both given; they mean the same, keep {name}")
    return {THERMAL.name if key == name else key: value for key, value in given.items()}


def _parse_label_format(content: dict[str, Any], classes: ClassList | None, path: Path) -> bool:
    """Whether labels are in colours."""
    if content.get("label_format", "ids") not in ("ids", "colors"):
        raise DataError(f"{path}: label_format must be ids or colors, not {content['label_format']!r}")
    if content.get("label_format") != "colors":
        return False
    if content.get("label_table") is not None:
        raise DataError(f"{path}: label_table and label_format: colors exclude each other; remove one")
    names: dict[Color, str] = {}
    for name, color in zip(classes.names, classes.colors, strict=True) if classes else ():
        if color in names:
            raise DataError(
                f"{path}: label_format: colors needs different colours, not the same for {names[color]} and {name}"
            )
        names[color] = name
    return True


def _parse_table(content: dict[str, Any], classes: ClassList | None, path: Path) -> dict[int, int] | None:
    table = content.get("label_table")
    if table is None:
        return None
    if not isinstance(table, dict) or classes is None:
        raise DataError(f"{path}: label_table must be a mapping such as {{0: background, 7: ignore}}, beside classes")
    ids: dict[Any, int] = {**{i: i for i in range(len(classes.names))}, 255: 255, "ignore": 255}
    ids |= {name: i for i, name in enumerate(classes.names)}
    for value, meaning in table.items():
        fits = isinstance(meaning, int | str) and not isinstance(meaning, bool) and meaning in ids
        if type(value) is not int or not 0 <= value <= 65535 or not fits:
            raise DataError(
                f"{path}: label_table: {value!r}: {meaning!r} is not a value in 0..65535 and one of "
                f"{', '.join(classes.names)}, their ids, or ignore"
            )
    return {value: ids[meaning] for value, meaning in table.items()}


def _parse_files(files: Any, path: Path) -> tuple[dict[str, str], float | None]:
    """The patterns by kind, and `max_gap`."""
    if files is None:
        return {}, None
    if not isinstance(files, dict) or not files.keys() <= {*_KINDS, "max_gap"}:
        raise DataError(f"{path}: files must give patterns for rgb, thermal and labels, not {files!r}")
    gap = files.get("max_gap")
    if gap is not None and (isinstance(gap, bool) or not isinstance(gap, int | float) or not 0 <= gap < math.inf):
        raise DataError(f"{path}: files: max_gap: {gap!r} must be a number of seconds, 0 or more")
    patterns = {kind: pattern for kind, pattern in files.items() if kind in _KINDS}
    for kind, pattern in patterns.items():
        parts = str(pattern).split("/")
        try:
            NamePattern(str(pattern))
            known = True
        except DataError:
            known = False
        if not isinstance(pattern, str) or not known or ".." in parts or parts[0] == "":
            raise DataError(
                f"{path}: files: {kind}: {pattern!r} must be a path below the folder with {{name}} or {{time}} in it"
            )
    for one, other in (("rgb", "labels"), ("thermal", "labels")):
        if one in patterns and patterns.get(other) == patterns[one]:
            raise DataError(f"{path}: files: {one} and {other} are the same pattern {patterns[one]!r}; correct one")
    return patterns, gap


def _parse_border(border: Any, path: Path) -> tuple[int, int, int, int]:
    sides = [border] * 4 if type(border) is int else border
    if not isinstance(sides, list) or len(sides) != 4 or any(type(v) is not int or v < 0 for v in sides):
        raise DataError(f"{path}: border must be a number of pixels, or [top, right, bottom, left], not {border!r}")
    return sides[0], sides[1], sides[2], sides[3]


def _parse_bands(given: Any, path: Path) -> Bands | None:
    if given is None:
        return None
    example = (
        "bands must be a mapping such as {rgb: [3, 2, 1], thermal: 6, rgb_range: [0, 4095]}, {rgb: embedded} or "
        "{thermal: picture}"
    )
    if not isinstance(given, dict) or not given.keys() <= {"rgb", "thermal", "rgb_range"}:
        raise DataError(f"{path}: {example}, not {given!r}")
    rgb, thermal, ends = given.get("rgb"), given.get("thermal"), given.get("rgb_range")
    whole = [] if rgb in (None, "embedded") else rgb
    numbers = [] if ends is None else ends
    if not isinstance(whole, list) or not isinstance(numbers, list) or len(numbers) not in (0, 2):
        raise DataError(f"{path}: {example}, not {given!r}")
    felt = thermal if isinstance(thermal, list) else [] if thermal in (None, "picture") else [thermal]
    right = all(type(v) is int for v in (*whole, *felt)) and thermal != []
    if not right or not all(type(v) in (int, float) for v in numbers):
        raise DataError(f"{path}: {example}, not {given!r}")
    try:
        chosen: Any = "embedded" if rgb == "embedded" else tuple(whole) or None  # Bands checks lengths
        band = tuple(thermal) if isinstance(thermal, list) and len(thermal) > 1 else thermal
        band = band[0] if isinstance(band, list) else band
        return Bands(chosen, band, (float(numbers[0]), float(numbers[1])) if numbers else None)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error


def _parse_classes(entries: Any, path: Path) -> ClassList:
    if isinstance(entries, dict) and list(entries) == list(range(len(entries))):
        entries = list(entries.values())
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: classes must be a list of names, in the order of their ids from 0")
    names: list[str] = []
    colors: list[Color | None] = []
    for number, entry in enumerate(entries):
        name, color = (entry.get("name"), entry.get("color")) if isinstance(entry, dict) else (entry, None)
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: class {number}: expected a name, not {name!r} (quote names like 'on' or '1')")
        names.append(name.strip())
        colors.append(None if color is None else _parse_color(color, path, name))
    spare = iter(color for color in palette(2 * len(names)) if color not in colors)
    try:
        return ClassList(tuple(names), tuple(color or next(spare) for color in colors))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _parse_color(color: Any, path: Path, name: str) -> Color:
    if isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
    if isinstance(color, list) and len(color) == 3 and all(type(v) is int and 0 <= v <= 255 for v in color):
        return color[0], color[1], color[2]
    raise DataError(f'{path}: class {name}: color must be [red, green, blue] in 0..255 or "#rrggbb", not {color!r}')
