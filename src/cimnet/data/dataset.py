"""The part that all layouts share: find pairs, check them on opening, read, cache, check labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from cimnet.data.cache import DiskCache
from cimnet.data.classes import choose_classes
from cimnet.data.dataset_file import YAML_NAMES, DatasetFile, read_dataset_file
from cimnet.data.flags import broken_flags, name_sensor, read_flags
from cimnet.data.io.folder_spelling import case_hint
from cimnet.data.io.pair_table import TABLE, find_table
from cimnet.data.io.patterns import FileIndex, FilePattern, split_names
from cimnet.data.io.second_modality import THERMAL, SecondModality, agree
from cimnet.data.io.split_lists import ALL, FLIP, LIST_PLACES, require_all, scenes_of
from cimnet.data.io.thermal_files import Wanted, check_depth, depth, read_pair
from cimnet.data.io.thermal_scaling import MOST_OUTSIDE, ThermalRange, ThermalScaling, parse_thermal
from cimnet.data.labels import label_lookup, read_class_ids, read_color_label
from cimnet.data.pairs import Arrays, Info, Pair, check_sizes, check_units
from cimnet.data.sample import IGNORE_INDEX, RGBTSample, channels_first
from cimnet.errors import DataError
from cimnet.utils.pool import map_in_threads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Transform = Callable[[RGBTSample], RGBTSample]
Broken = Literal["keep", "drop", "only", "rgb", "thermal"]
Cache = Literal["none", "ram", "disk"]


class RGBTDataset(Dataset[RGBTSample]):
    """RGB-thermal pairs of one split of a folder; :func:`cimnet.open_dataset` opens one and describes the arguments.

    A layout is a subclass with ``name``, ``info`` and ``forms``. ``dataset[i]`` is a :class:`cimnet.RGBTSample`.

    Args:
        root, split, classes, thermal_range, transform, require_labels, cache, cache_folder: as in
            :func:`cimnet.open_dataset`.
        broken, thermal_dtype, check_range, second: as there, too.

    Attributes:
        classes: class names, in the order of their ids.
        colors: (red, green, blue) of each class, 0..255.
        ids, scenes, flags: name, scene and flags of each pair, as in :class:`cimnet.RGBTSample`; known without
            decoding.
        pairs: the files of each pair.
        scaling: how thermal values become 0..1, as it was found or given.
        second: what the second images are, as it was found or given.
        plain_ids: whether the values in the label files are class ids, with 255 alone ignored.
        ignored: number of label pixels that are ignored; 0 until :meth:`check` has counted.

    Raises:
        DataError: the folder holds something that cannot be used; the message names the file.
    """

    name: ClassVar[str]
    info: ClassVar[Info]
    forms: ClassVar[tuple[FilePattern, ...]]
    lists: ClassVar[tuple[str, ...]] = LIST_PLACES
    """Where split lists may lie; `{list}` is the split's name."""
    flips: ClassVar[bool] = False
    """Whether a listed NAME_flip without files of its own means NAME, mirrored."""
    any_second: ClassVar[bool] = False
    """Whether its second images may be other than thermal."""
    settles: ClassVar[frozenset[str]] = frozenset({"files", TABLE})
    """What it knows by itself: keys of the YAML, and the list of pairs, that could not change it."""

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the folder looks like this layout."""
        return any(form.recognises(root) for form in cls.forms)

    @classmethod
    def index(cls, root: Path) -> FileIndex:
        """List the files in the folder, whether or not they fit together.

        Raises:
            DataError: the folder does not have this layout, or two files share a name.
        """
        for form in cls.forms:
            if form.recognises(root):
                return form.index(root)
        hint = case_hint(root, [form.patterns() for form in cls.forms])
        raise DataError(f"{root}: not in the layout {cls.name}; expected {cls.expects()}{hint}")

    @classmethod
    def require_obeyed(cls, root: Path, file: DatasetFile) -> None:
        """Refuse what the folder says of its files and labels without effect in this layout.

        Raises:
            DataError: naming file, key and remedy.
        """
        said = {key: f"{file.path}: {key}" for key in file.overrides}
        if table := find_table(root):
            said[TABLE] = f"{table}: this list"
        if unheard := [words for key, words in said.items() if key in cls.settles]:
            raise DataError(
                f"{unheard[0]} would have no effect: the layout {cls.name} settles that itself; remove it, or open the "
                "folder with layout: folder (--layout folder), which obeys it"
            )

    def find_files(self) -> FileIndex:
        """List the files in the folder of this data set, as `index` does."""
        return self.index(self.root)

    @classmethod
    def expects(cls) -> str:
        """The folders of the layout in words."""
        return "; or ".join(form.folders() for form in cls.forms)

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        classes: str | Sequence[str] | None = None,
        thermal_range: ThermalRange | None = None,
        transform: Transform | None = None,
        require_labels: bool = True,
        cache: Cache = "none",
        cache_folder: str | Path = "runs/cache",
        broken: Broken = "keep",
        thermal_dtype: str | None = None,
        check_range: bool | Literal["force"] = False,
        second: SecondModality | None = None,
    ) -> None:
        self.root, self.split, self.transform, self.thermal_dtype = Path(root), split, transform, thermal_dtype
        self.check_range = check_range
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder")
        self.file = read_dataset_file(self.root) or DatasetFile(self.root)
        self.require_obeyed(self.root, self.file)
        self.second = agree(second, self.file.second, str(self.root))
        if self.second != THERMAL and not self.any_second:
            raise DataError(f"{self.root}: the layout {self.name} holds thermal images, not {self.second}")
        chosen = choose_classes(classes, self.file.classes or self.info.classes, self.root)
        if chosen is None:
            raise DataError(
                f"{self.root}: no class names; write {self.root / 'classes.yaml'} with one line such as "
                "'classes: [background, person, car]' (ids from 0), or give classes (`cimnet data`: --classes)"
            )
        self.classes, self.colors = chosen.names, chosen.colors
        self.scaling = parse_thermal(thermal_range, "thermal_range") or self.file.thermal or ThermalScaling()
        self.pairs = self._select(self._find(require_labels, broken), broken)
        self.ids = [pair.id for pair in self.pairs]
        self.scenes = [pair.scene for pair in self.pairs]
        self.flags = [pair.flags for pair in self.pairs]
        table = self.file.label_table or self.info.label_table
        self._table = label_lookup(table, len(self.classes), self.file.ignore_id)
        self.wanted = Wanted(
            self.scaling.known_unit, thermal_dtype, self.file.thermal_unit, self.file.bands, self.second
        )
        self.plain_ids = table is None and not self.file.label_colors and self.file.ignore_id == IGNORE_INDEX
        self.ignored = 0
        self._kept: dict[int, Arrays] | None = {} if cache == "ram" else None
        check_sizes(self.pairs, self.wanted)
        self._disk: DiskCache | None = None
        if cache not in get_args(Cache):
            raise DataError(f"cache must be one of {', '.join(get_args(Cache))}, not {cache!r}")
        if cache == "disk":
            self._disk = self._cached(Path(cache_folder))

    def _cached(self, folder: Path) -> DiskCache:
        settings = (self.name, self.file.border, self.label_values, self.wanted)
        return DiskCache(folder, self.pairs, self.decode, settings)

    def _find(self, require_labels: bool, broken: str) -> list[Pair]:
        index = self.find_files()
        rgb, thermal, labels = index.rgb, index.thermal or index.rgb, index.labels
        names = split_names(self.root, self.split, index, self.lists)
        source = {name: self._source(name, index, require_labels) for name in names}
        why = f"named by split {self.split!r}" if self.split != ALL else "its partner is there"
        for part in (rgb, thermal):
            require_all(list(source.values()), index.place(part, self.split), part.files, why, index.hint)
        if require_labels:
            place = index.place(labels, self.split)
            if not labels.files and not Path(place).is_dir():
                raise DataError(f"{place}: no such folder{index.hint}; labels are required")
            remedy = (
                "add it, or leave the pair out of the list (`cimnet data split --labelled` lists pairs with labels)"
            )
            require_all(list(source.values()), place, labels.files, "labels are required", index.hint, remedy)
        flags, self.broken_known = read_flags(self.root, index, broken)
        return [
            Pair(
                id=name,
                rgb=rgb.files[source[name]],
                thermal=None if index.thermal is None else thermal.files[source[name]],
                label=labels.files.get(source[name]),
                scene=scene,
                flags=frozenset(flags.get(name, ())),
                mirrored=source[name] != name,
            )
            for name, scene in zip(names, scenes_of(self.root, self.split, names, index.read_lists), strict=True)
        ]

    def _source(self, name: str, index: FileIndex, require_labels: bool) -> str:
        """The files that serve a name: its own, or those of the original where a `_flip` name lacks one of them."""
        original = name.removesuffix(FLIP)
        if not self.flips or original not in index.rgb.files:
            return name
        whole = name in index.rgb.files and (not require_labels or name in index.labels.files)
        return name if whole else original

    def _select(self, pairs: list[Pair], broken: str) -> list[Pair]:
        if broken not in get_args(Broken):
            raise DataError(f"broken must be one of {', '.join(get_args(Broken))}, not {broken!r}")
        pairs = list(map_in_threads(partial(name_sensor, bands=self.file.bands), pairs))
        if broken == "keep":
            return pairs
        where = f"{self.root}, split {self.split!r}"
        if not self.broken_known:
            raise DataError(
                f"{where}: broken={broken!r} needs lists of the broken pairs (broke_RGB.txt, broke_TIR.txt)"
            )
        wanted = broken_flags(broken)
        chosen = [pair for pair in pairs if pair.flags.isdisjoint(wanted) == (broken == "drop")]
        if not chosen:
            raise DataError(f"{where}: no pairs left with broken={broken!r}")
        return chosen

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def files(self) -> list[Path]:
        """The files of all pairs of the split, and the data set's own description."""
        return [*(self.root / name for name in YAML_NAMES), *(path for pair in self.pairs for path in pair.files)]

    @property
    def label_values(self) -> tuple[Any, ...]:
        """The rules that give the class ids of a label file, beside the file and its pair's `meaning`: with the same
        rules, the ids are the same. Colours count only where they tell ids."""
        return (self._table.tobytes(), self.file.label_colors, self.colors if self._by_colour else None)

    @property
    def _by_colour(self) -> bool:
        """Whether labels are pictures in the classes' colours, or a palette may say which ids their values are."""
        plain = self.file.label_table is None and self.info.label_table is None
        return self.file.label_colors or plain

    def __getitem__(self, index: int) -> RGBTSample:
        sample = self.read(index)
        return sample if self.transform is None else self.transform(sample)

    def read(self, index: int) -> RGBTSample:
        """The sample at an index as it is on disk, without the transform.

        Raises:
            DataError: a file cannot be decoded, or its values are refused.
        """
        pair = self.pairs[index]
        arrays = self.arrays(index)
        path = pair.thermal or pair.rgb
        check_depth(arrays.thermal, self.thermal_dtype, path)
        if self.check_range:
            self.scaling.check_range(arrays.thermal, path, force=self.check_range == "force")
        return RGBTSample(
            rgb=torch.from_numpy(arrays.rgb).permute(2, 0, 1).contiguous().to(torch.float32).div_(255),
            thermal=channels_first(self.scaling(arrays.thermal, path)),
            label=None if arrays.label is None else torch.from_numpy(arrays.label).to(torch.int64),
            id=pair.id,
            scene=pair.scene,
            flags=pair.flags,
        )

    def arrays(self, index: int) -> Arrays:
        """The decoded files of one pair, from the cache where there is one. Do not write into them."""
        index = range(len(self.pairs))[index]
        if self._disk is not None:
            return self._disk[index]
        if self._kept is None:
            return self.decode(self.pairs[index])
        if index not in self._kept:
            self._kept[index] = self.decode(self.pairs[index])
        return self._kept[index]

    def check(self) -> npt.NDArray[np.int64]:
        """Decode every file of the split and count the pixels of each class.

        With ``cache="ram"`` this fills the cache, which DataLoader workers forked later share. Sets ``thermal_dtype``
        and ``ignored``.

        Returns:
            (K,) int64, pixels of each class, without ignored ones.

        Raises:
            DataError: a file cannot be read, a label holds an id outside the classes, thermal images differ in type or
                in the unit that they state, or half of the thermal values or more lie outside the thermal range.
        """
        self.thermal_dtype = self.thermal_dtype or depth(self.arrays(0).thermal)
        counts, outside = np.zeros(256, dtype=np.int64), 0.0
        for pixels, share in map_in_threads(self._check, range(len(self))):
            counts += pixels
            outside += share / len(self)
        if outside >= MOST_OUTSIDE:
            raise DataError(
                f"{self.root}, split {self.split!r}: {100 * outside:.0f}% of the thermal values lie outside the "
                f"thermal_range {self.scaling}, and would all become 0 or 1; is the unit of the files another one? "
                "Correct thermal_range (`cimnet data check` shows the values), or convert the files"
            )
        if self.scaling.kind != "gain_control":  # by which each image has a range of its own
            check_units(self.pairs, self.wanted)
        self.ignored = int(counts[IGNORE_INDEX])
        return counts[: len(self.classes)]

    def _check(self, index: int) -> tuple[npt.NDArray[np.int64], float]:
        """Pixels by value of the label, (256,), and the share of the thermal values outside the range."""
        pair, arrays = self.pairs[index], self.arrays(index)
        path = pair.thermal or pair.rgb
        check_depth(arrays.thermal, self.thermal_dtype, path)
        outside = self.scaling.share_outside(arrays.thermal, path)
        ids = np.zeros(0, np.uint8) if arrays.label is None else arrays.label.ravel()
        return np.bincount(ids, minlength=256).astype(np.int64), outside

    def decode(self, pair: Pair) -> Arrays:
        """Read the files of a pair: cut off the border that the data set declares, turn label values into class ids,
        and mirror the pair if it is a mirrored one.

        Raises:
            DataError: a file cannot be read, or a label holds an id outside the classes.
        """
        rgb, thermal = read_pair(pair.rgb, pair.thermal or pair.rgb, self.wanted)
        label = None if pair.label is None else self.class_ids(pair.label)
        arrays: list[Any] = [_cut(array, self.file.border, pair.rgb) for array in (rgb, thermal, label)]
        if pair.mirrored:
            arrays = [None if array is None else np.fliplr(array).copy() for array in arrays]
        return Arrays(*arrays)

    def class_ids(self, path: Path) -> npt.NDArray[np.uint8]:
        """Class ids of a label file, (H, W) uint8, 255 = ignore. Ids may be stored as three equal channels.

        Raises:
            DataError: the file cannot be read, or it holds an id outside the classes.
        """
        if self.file.label_colors:
            return read_color_label(path, self.colors)
        return read_class_ids(path, self._table, self.colors, by_colour=self._by_colour)

    def plot(self, index: int) -> Figure:
        """Draw RGB, thermal and label of the pair at an index side by side, with a legend of the classes in it. The
        figure belongs to no window; save it with ``figure.savefig``.
        """
        from cimnet.data.plot import plot_sample

        return plot_sample(self.read(index), self.classes, self.colors)


def _cut(array: Any, border: tuple[int, int, int, int], path: Path) -> Any:
    if array is None or not any(border):
        return array
    top, right, bottom, left = border
    height, width = array.shape[:2]
    if top + bottom >= height or left + right >= width:
        raise DataError(f"{path}: {width}x{height} pixels leave nothing inside the border {list(border)}; correct it")
    return array[top : height - bottom, left : width - right].copy()  # a masked array stays one
