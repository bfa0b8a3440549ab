"""Pair the images of two folders, or of one, by the rules for names in `cimnet.data.io`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cimnet.data.dataset_file import DatasetFile, read_dataset_file
from cimnet.data.io.name_patterns import FileName, NamePattern, find_partners
from cimnet.data.io.pair_table import TABLE
from cimnet.data.io.patterns import folders_below
from cimnet.data.io.readers import same_file
from cimnet.data.io.second_modality import SecondModality, agree
from cimnet.data.io.sensor_names import Named, NamedPairs, pair_one_folder, pair_two_folders
from cimnet.data.io.split_lists import IMAGE_EXTENSIONS, THERMAL_EXTENSIONS, index_images
from cimnet.data.layouts.folder import described
from cimnet.errors import ConfigError, DataError
from cimnet.utils.files import is_there, resolved
from cimnet.utils.numbers import pluralize

FilePair = tuple[str, Path | None, Path | None]
"""Name without extension, below the folders given ("flight1/0001"); RGB and thermal file, None: missing."""


@dataclass(frozen=True)
class NameRules:
    """The rules that pair file names, given by the user instead of found automatically.

    Attributes:
        rgb, thermal: patterns of the names in the two folders, such as ``{name}_V`` and ``{name}_T``, see
            ``cimnet.data.io.name_patterns``. None: found out.
        max_gap: seconds by which partners may be apart if names hold times. None: the usual interval of the folder.

    Raises:
        ConfigError: only one pattern is given, or a pattern cannot be used.
    """

    rgb: str | None = None
    thermal: str | None = None
    max_gap: float | None = None

    def __post_init__(self) -> None:
        if (self.rgb is None) != (self.thermal is None):
            raise ConfigError("--rgb-pattern and --thermal-pattern belong together; give both")
        for option, pattern in (("--rgb-pattern", self.rgb), ("--thermal-pattern", self.thermal)):
            try:
                NamePattern("{name}" if pattern is None else pattern)
            except DataError as error:
                raise ConfigError(f"{option}: {error}") from error

    def given(self) -> dict[str, str]:
        """Return the options that the user gave."""
        said = {"rgb_pattern": self.rgb, "thermal_pattern": self.thermal, "max_gap": self.max_gap}
        return {option: str(value) for option, value in said.items() if value is not None}


_FOUND_OUT = NameRules()


@dataclass(frozen=True)
class Matched:
    """Pairs to predict, and the files without a partner; `taken`: in words, what told the pairs, "" for equal names."""

    pairs: list[FilePair]
    unmatched: list[Path]
    taken: str = ""


def match_pairs(
    rgb: Path | None, thermal: Path | None, out: Path | None = None, rules: NameRules = _FOUND_OUT
) -> Matched:
    """Pair two files, or the images of two folders and of the folders in them, by name; extensions may differ.

    One file given twice is a 4-channel image (RGB and thermal in one file). One folder given twice holds pairs whose
    names say the sensor (``DJI_0001_V`` and ``DJI_0001_T``) or whose ``classes.yaml`` says so under ``files:``;
    otherwise it holds 4-channel images.

    Args:
        rgb, thermal: two files or two folders. None: that sensor is missing.
        out: folder of outputs; what lies in it is no input.
        rules: how names are alike. Default: found out.

    Raises:
        DataError: a path does not exist, one is a file and the other a folder, or no name matches.
    """
    if rgb is None and thermal is None:
        raise DataError("neither --rgb nor --thermal is given; give at least one")
    for path, option in ((rgb, "--rgb"), (thermal, "--thermal")):
        if path is not None and not is_there(path):
            raise DataError(f"{option} {path}: no such file or folder")
    files = [path.is_file() for path in (rgb, thermal) if path is not None]
    if all(files):
        return Matched([((rgb or thermal or Path()).stem, rgb, thermal)], [])
    if any(files):
        raise DataError(f"--rgb {rgb} and --thermal {thermal}: give two files or two folders")
    left = None if rgb is None else _images(rgb, IMAGE_EXTENSIONS, "--rgb", out)
    right = None if thermal is None else _images(thermal, THERMAL_EXTENSIONS, "--thermal", out)
    if rgb is not None and thermal is not None and left is not None and right is not None:
        found = _pair(rgb, thermal, left, right, rules)
        return Matched(list(found.pairs), found.unmatched, found.taken)
    alone = left or right or {}
    pairs: list[FilePair] = [
        (n, path if right is None else None, path if left is None else None) for n, path in alone.items()
    ]
    return Matched(pairs, [], _say_alone(rgb, alone) if rgb is not None else "")


def _say_alone(folder: Path, files: Named) -> str:
    """Warn a user who names a folder that holds pairs as the folder of RGB images."""
    if pair_one_folder(files) is None:
        return ""
    return f"{folder} holds pairs by their names, and all of it counts as RGB; give it for --thermal, too"


def _pair(rgb: Path, thermal: Path, left: Named, right: Named, rules: NameRules) -> NamedPairs:
    one_folder = same_file(rgb, thermal)
    if rules.rgb is None and one_folder:
        rules = _of_folder(rgb, rules)
    if rules.rgb is not None and rules.thermal is not None:
        found: NamedPairs | None = _by_patterns(left, right, rules.rgb, rules.thermal, rules.max_gap)
    elif one_folder:
        found = pair_one_folder(right, rules.max_gap) or pair_two_folders(left, right)
    else:
        found = pair_two_folders(left, right, rules.max_gap)
    if found is None or not found.pairs:
        raise DataError(
            f"--rgb {rgb} ({pluralize(len(left), 'image')}) and --thermal {thermal} ({len(right)}): no two files share "
            "a name, also without words such as _V and _T, or have times near each other; give both files of a pair "
            "the same name, or say how names differ (--rgb-pattern, --thermal-pattern)"
        )
    return found


def _of_folder(folder: Path, rules: NameRules) -> NameRules:
    """Return the rules with `files:` and `second:` of the folder's YAML applied. A list of pairs, which a data set puts
    before them, is refused by name."""
    if (folder / TABLE).is_file():
        raise DataError(
            f"{folder / TABLE}: the folder lists its pairs; give the list to `cimnet predict --pairs`, or two folders"
        )
    file = read_dataset_file(folder)
    form = None if file is None else described(file)
    if form is None or form.thermal is None:
        return rules
    return NameRules(form.rgb, form.thermal, form.max_gap if rules.max_gap is None else rules.max_gap)


def pair_by_yaml(folder: Path) -> NamedPairs | None:
    """Pair the images of one folder by `files:` and `second:` of its YAML; None: it gives no patterns of two files.

    Raises:
        DataError: the YAML cannot be used, or no two images fit its patterns.
    """
    rules = _of_folder(folder, _FOUND_OUT)
    if rules.rgb is None or rules.thermal is None:
        return None
    images = _images(folder, IMAGE_EXTENSIONS, "--rgb", None), _images(folder, THERMAL_EXTENSIONS, "--thermal", None)
    found = _by_patterns(*images, rules.rgb, rules.thermal, rules.max_gap)
    if not found.pairs:
        raise DataError(f"{folder}: no two images fit the patterns of its YAML, {rules.rgb} and {rules.thermal}")
    return found


def described_folder(rgb: Path | str | None, thermal: Path | str | None) -> DatasetFile | None:
    """The YAML in the one folder that is given for both sensors; None: there is none, or they are two.

    Raises:
        DataError: it cannot be used.
    """
    if rgb is None or thermal is None or not Path(rgb).is_dir() or not same_file(Path(rgb), Path(thermal)):
        return None
    return read_dataset_file(Path(rgb))


def with_described(settings: Mapping[str, Any], file: DatasetFile | None) -> dict[str, Any]:
    """Return settings for :func:`cimnet.load` with the bands and the unit that a folder's YAML says, where they give
    none."""
    said = {} if file is None else {"bands": file.bands, "thermal_unit": file.thermal_unit}
    return {**settings, **said, **{key: value for key, value in settings.items() if value is not None}}


def check_described(file: DatasetFile, second: SecondModality, note: Callable[[str], object]) -> None:
    """Check what else a folder's YAML says of the images to predict; `note` is told that they keep a declared border.

    Raises:
        DataError: its second images are of another kind than `second`, the checkpoint's.
    """
    agree(second, file.second, str(file.path))
    if any(file.border):
        note(
            f"{file.path}: the border {list(file.border)} is not cut off: masks have the size of the images. `cimnet "
            "eval` cuts it off; `cimnet data convert` writes images without it"
        )


def _by_patterns(left: Named, right: Named, rgb: str, thermal: str, max_gap: float | None) -> NamedPairs:
    files = _meant(left, rgb, "--rgb-pattern"), _meant(right, thermal, "--thermal-pattern")
    partners = find_partners(files[0], files[1], max_gap)
    used = set(partners.values())
    spare = [path for name, path in files[0].items() if name not in used]
    spare += [path for name, path in files[1].items() if name not in partners]
    pairs = sorted((mine.name, files[0][mine], files[1][theirs]) for theirs, mine in partners.items())
    return NamedPairs(
        pairs, spare, f"{pluralize(len(pairs), 'pair')} by the patterns {rgb} (RGB) and {thermal} (thermal)"
    )


def _meant(files: Named, pattern: str, option: str) -> dict[FileName, Path]:
    """The files that fit a pattern, by what their names mean."""
    names = NamePattern(pattern)
    found: dict[FileName, Path] = {}
    for name, path in files.items():
        inside = name.removeprefix(f"{names.folder}/") if names.folder else name
        key = names.read(inside) if inside != name or not names.folder else None
        if key is not None and found.setdefault(key, path) != path:
            raise DataError(
                f"{option} {pattern}: {found[key]} and {path} are both {key.name!r}; write {{time}} in place of {{*}}, "
                "or keep one of them"
            )
    return found


def _images(folder: Path, extensions: tuple[str, ...], option: str, out: Path | None) -> dict[str, Path]:
    """Images of a folder and of those in it, by their path below it without extension."""
    found: dict[str, Path] = {}
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    for inner in folders_below(folder):
        below = inner.relative_to(folder)
        if out is None or not resolved(inner).is_relative_to(resolved(out)):
            found |= {(below / stem).as_posix(): path for stem, path in index_images(inner, extensions).items()}
    if not found:
        raise DataError(f"{option} {folder}: no images in it")
    return dict(sorted(found.items()))
