"""The YAML beside a data set: its classes, how its files are named and how they are read."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cimnet.data.classes import BUILT_IN, ClassList, parse_classes
from cimnet.data.io.bands import Bands
from cimnet.data.io.name_patterns import NamePattern
from cimnet.data.io.second_modality import THERMAL, SecondModality, parse_second
from cimnet.data.io.thermal_scaling import ThermalScaling, parse_thermal
from cimnet.errors import ConfigError, DataError, one_line
from cimnet.utils.colors import Color
from cimnet.utils.yaml import read_yaml

_KINDS = ("rgb", "thermal", "labels")
YAML_NAMES = ("classes.yaml", "dataset.yaml", "classes.yml", "dataset.yml")
_ABOUT = ("citation", "licence", "license", "home")
_KEYS = (
    *_ABOUT, "classes", "labels", "thermal_range", "ignore_index", "label_table", "label_format", "files", "border",
    "bands", "second",
)  # fmt: skip


@dataclass(frozen=True)
class DatasetFile:
    """The content of the YAML file beside a data set; every part is optional.

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

    @property
    def thermal_unit(self) -> str | None:
        """The unit of thermal files that do not say one themselves; None: it is not known."""
        return None if self.thermal is None else self.thermal.known_unit

    @property
    def overrides(self) -> list[str]:
        """The keys that give other files or label values than the layout."""
        given = {
            "files": bool(self.files) or self.max_gap is not None,
            "label_table": self.label_table is not None,
            "ignore_index": self.ignore_id != 255,
            "label_format": self.label_colors,
        }
        return [key for key, differs in given.items() if differs]


def read_dataset_file(root: Path) -> DatasetFile | None:
    """Read classes.yaml or dataset.yaml in root (the one that describes the data set); None when there is neither.

    Keys, all optional: `classes` (or `labels`): names, or entries `{name: …, color: [r, g, b] or "#rrggbb"}`;
    `thermal_range: [low, high]` or a mapping (`parse_thermal`); `ignore_index`: a value of the label files to ignore;
    `label_table: {value: class name, id or ignore}`; `label_format: ids` or `colors`; `files: {rgb: PATTERN, thermal:
    PATTERN, labels: PATTERN, max_gap: seconds}` (see `NamePattern`); `border: pixels` or `[top, right, bottom, left]`;
    `bands: {rgb: [3, 2, 1], thermal: 6, rgb_range: [0, 4095]}`, `{rgb: embedded}` or `{thermal: picture}`; `second:
    {name: nir, channels: 1}`, after which `files:` and `bands:` may say `nir` in place of `thermal`; `citation`,
    `licence`, `home`. Other keys are left alone.

    Raises:
        DataError: not YAML, a key of the wrong form, or several files that describe the data set.
    """
    paths = [path for name in YAML_NAMES if (path := root / name).is_file()]
    if not paths:
        return None
    saying = [path for path in paths if _describes(path)] if len(paths) > 1 else paths
    if len(saying) > 1:
        other = saying[1].name
        raise DataError(f"{saying[0]}: {other} describes the data set, too; keep one with all keys, or rename {other}")
    path = (saying or paths)[0]
    return _parse(_content(path), path)


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
    path = Path(text)
    classes = _parse(_content(path), path).classes
    if classes is None:
        raise DataError(f"{text}: names no classes; add a list under `classes:`")
    return classes


def _describes(path: Path) -> bool:
    """Whether a file says how the data set is read. A dataset.yaml that cannot be read is another tool's."""
    try:
        content = _mapping(path)
    except DataError:
        if path.stem == "classes":
            raise
        return False
    return any(content.get(key) is not None for key in _KEYS if key not in _ABOUT)


def _content(path: Path) -> dict[Any, Any]:
    """The keys of a file; one that is nearly a known key is refused."""
    content = _mapping(path)
    for key in content:
        near = difflib.get_close_matches(str(key), _KEYS, n=1, cutoff=0.8)
        if near and key not in _KEYS:
            raise DataError(f"{path}: key {key!r}: did you mean {near[0]!r}?")
    return content


def _mapping(path: Path) -> dict[Any, Any]:
    try:
        content = read_yaml(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file or allow it") from error
    except ValueError as error:  # also of dates like 2020-99-99
        raise DataError(f"{path}: not valid YAML ({one_line(error, None)})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected keys such as 'classes: [background, person]'")
    return content


def _parse(content: dict[Any, Any], path: Path) -> DatasetFile:
    lists = [content[key] for key in ("classes", "labels") if content.get(key) is not None]
    if len(lists) > 1:
        raise DataError(f"{path}: classes and labels are both given; they mean the same, keep classes")
    entries = lists[0] if lists else None
    classes = None if entries is None else parse_classes(entries, path)
    ignore_id = content.get("ignore_index", 255)
    if type(ignore_id) is not int or not 0 <= ignore_id <= 65535:
        raise DataError(f"{path}: ignore_index must be a whole number in 0..65535, not {ignore_id!r}")
    label_colors = _parse_label_format(content, classes, path)
    second = parse_second(content.get("second"), str(path))
    name = (second or THERMAL).name
    files, max_gap = _parse_files(_as_thermal(content.get("files"), name, path), name, path)
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
    if content.get("ignore_index", 255) != 255:
        raise DataError(
            f"{path}: ignore_index and label_format: colors exclude each other; remove ignore_index, and paint what is "
            "to be ignored in light grey (#e0e0e0)"
        )
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


def _parse_files(files: Any, second: str, path: Path) -> tuple[dict[str, str], float | None]:
    """The patterns by kind, and `max_gap`. Errors call the thermal images ``second``."""
    if files is None:
        return {}, None
    if not isinstance(files, dict):
        raise DataError(f"{path}: files must give patterns for rgb, {second} and labels, not {files!r}")
    if unknown := sorted(str(kind) for kind in files.keys() - {*_KINDS, "max_gap"}):
        raise DataError(f"{path}: files: {unknown[0]}: unknown; its keys are rgb, {second}, labels and max_gap")
    gap = files.get("max_gap")
    if gap is not None and (isinstance(gap, bool) or not isinstance(gap, int | float) or not 0 <= gap < math.inf):
        raise DataError(f"{path}: files: max_gap: {gap!r} must be a number of seconds, 0 or more")
    patterns = {kind: pattern for kind, pattern in files.items() if kind in _KINDS}
    for kind, pattern in patterns.items():
        said = f"{path}: files: {second if kind == THERMAL.name else kind}"
        if not isinstance(pattern, str) or ".." in pattern.split("/") or pattern.startswith("/"):
            raise DataError(f"{said}: {pattern!r} must be a path below the folder with {{name}} or {{time}} in it")
        try:
            NamePattern(pattern)
        except DataError as error:
            raise DataError(f"{said}: {error}") from error
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
    colours: Any = [] if rgb in (None, "embedded") else rgb
    second: Any = [] if thermal in (None, "picture") else thermal if isinstance(thermal, list) else [thermal]
    numbers: Any = [] if ends is None else ends
    if not isinstance(colours, list) or not isinstance(numbers, list) or len(numbers) not in (0, 2) or thermal == []:
        raise DataError(f"{path}: {example}, not {given!r}")
    if any(type(v) is not int for v in (*colours, *second)) or any(type(v) not in (int, float) for v in numbers):
        raise DataError(f"{path}: {example}, not {given!r}")
    try:  # Bands checks lengths
        return Bands(
            "embedded" if rgb == "embedded" else tuple(colours) or None,
            "picture" if thermal == "picture" else tuple(second) or None,
            (float(numbers[0]), float(numbers[1])) if numbers else None,
        )
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error
