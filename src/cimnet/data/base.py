"""What all data set layouts share: checks on opening, reading, caching, label checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from cimnet.data.classes import ClassList, check_range
from cimnet.data.files import name_some
from cimnet.data.readers import (
    Counts,
    check_depth,
    image_size,
    read_label,
    read_pair,
    scale_thermal,
)
from cimnet.data.sample import IGNORE_INDEX, RGBTSample
from cimnet.errors import DataError

Transform = Callable[[RGBTSample], RGBTSample]
Broken = Literal["keep", "drop", "only"]
BROKEN_FLAGS = frozenset({"rgb_broken", "thermal_broken", "broken"})
_THREADS = 4


@dataclass(frozen=True)
class Pair:
    """Where one sample lies. `thermal` None: fourth channel of the file `rgb`; `mirrored`: flip left-right."""

    id: str
    rgb: Path
    thermal: Path | None
    label: Path | None
    scene: str = ""
    flags: frozenset[str] = frozenset()
    mirrored: bool = False


@dataclass(frozen=True)
class Listing:
    """What a layout finds in a folder. `ignore_id`: value in the label files that means ignore, beside 255;
    `broken_known`: whether the folder says which pairs are broken."""

    pairs: list[Pair]
    classes: ClassList
    thermal_range: tuple[float, float] | None = None
    ignore_id: int = IGNORE_INDEX
    broken_known: bool = False


class Arrays(NamedTuple):
    """A decoded pair: rgb (H, W, 3) uint8, thermal (H, W) raw counts, label (H, W) uint8 or None."""

    rgb: npt.NDArray[np.uint8]
    thermal: Counts
    label: npt.NDArray[np.uint8] | None


class RGBTDataset(Dataset[RGBTSample], ABC):
    """RGB-thermal pairs of one split of a folder. A layout subclasses it with `recognises` and `find`.

    Opening checks names, partners and, by the image headers, sizes; pixels are decoded on access.

    Args:
        root: the data set's folder.
        split: name of a list ("train" for train.txt), or "all" for every file.
        classes: class names in the order of their ids, or the name of a built-in list; None: what the data
            set says.
        thermal_range: (low, high) in raw counts mapped to 0..1; None: what the data set says, else the whole
            range of the bit depth.
        transform: applied last to every sample.
        require_labels: False serves pairs without a label, too (`label` is None).
        cache: keep decoded images in memory, each decoded once in a process (see `check`).
        broken: "keep" all pairs, "drop" those flagged as broken, or "only" those.
        thermal_dtype: "uint8", "uint16" or "float32": refuse thermal images of another depth; None: any.

    Attributes:
        classes, colors: names and (red, green, blue) of each class id.
        ids, scenes, flags: one entry a sample, known without decoding.
        thermal_range: as resolved; None means the range of the bit depth.

    Raises:
        DataError: anything in the folder that cannot be used; the message names the file.
    """

    name: ClassVar[str]
    expects: ClassVar[str]

    @classmethod
    @abstractmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the folder looks like this layout."""

    @classmethod
    @abstractmethod
    def find(cls, root: Path, split: str, classes: str | Sequence[str] | None, require_labels: bool) -> Listing:
        """List the pairs of a split and the classes; raises DataError for missing files."""

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        classes: str | Sequence[str] | None = None,
        thermal_range: tuple[float, float] | None = None,
        transform: Transform | None = None,
        require_labels: bool = True,
        cache: bool = False,
        broken: Broken = "keep",
        thermal_dtype: str | None = None,
    ) -> None:
        self.root = Path(root)
        self.thermal_dtype = thermal_dtype
        self.split = split
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder")
        listing = self.find(self.root, split, classes, require_labels)
        self.pairs = _select(listing, broken, f"{self.root}, split {split!r}")
        self.classes = listing.classes.names
        self.colors = listing.classes.colors
        self.thermal_range = check_range(thermal_range, "thermal_range") or listing.thermal_range
        self.transform = transform
        self.ids = [pair.id for pair in self.pairs]
        self.scenes = [pair.scene for pair in self.pairs]
        self.flags = [pair.flags for pair in self.pairs]
        self._ignore_id = listing.ignore_id
        self._cache: dict[int, Arrays] | None = {} if cache else None
        _check_sizes(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> RGBTSample:
        sample = self.read(index)
        return sample if self.transform is None else self.transform(sample)

    def read(self, index: int) -> RGBTSample:
        """The sample as it is on disk, without the transform."""
        pair = self.pairs[index]
        arrays = self.arrays(index)
        path = pair.thermal or pair.rgb
        check_depth(arrays.thermal, self.thermal_dtype, path)
        thermal = scale_thermal(arrays.thermal, self.thermal_range, path)
        return RGBTSample(
            rgb=torch.from_numpy(arrays.rgb).permute(2, 0, 1).contiguous().to(torch.float32).div_(255),
            thermal=torch.from_numpy(thermal)[None],
            label=None if arrays.label is None else torch.from_numpy(arrays.label).to(torch.int64),
            id=pair.id,
            scene=pair.scene,
            flags=pair.flags,
        )

    def arrays(self, index: int) -> Arrays:
        """The decoded files of one pair, from the cache where there is one. Do not write into them."""
        index = range(len(self.pairs))[index]
        if self._cache is None:
            return self._decode(self.pairs[index])
        if index not in self._cache:
            self._cache[index] = self._decode(self.pairs[index])
        return self._cache[index]

    def check(self) -> npt.NDArray[np.int64]:
        """Decode every file of the split and count the pixels of each class: (classes,) int64, without 255.

        Fills the cache (`cache=True`): DataLoader workers forked later share it. Sets `thermal_dtype`.

        Raises:
            DataError: a file that cannot be read, a label with an id outside the classes, or thermal images of
                different depths.
        """
        self.thermal_dtype = self.thermal_dtype or self.arrays(0).thermal.dtype.name
        with ThreadPoolExecutor(_THREADS) as pool:
            counts = sum(pool.map(self._check, range(len(self))), np.zeros(256, dtype=np.int64))
        return counts[: len(self.classes)]

    def _check(self, index: int) -> npt.NDArray[np.int64]:
        pair, arrays = self.pairs[index], self.arrays(index)
        check_depth(arrays.thermal, self.thermal_dtype, pair.thermal or pair.rgb)
        ids = np.zeros(0, np.uint8) if arrays.label is None else arrays.label.ravel()
        return np.bincount(ids, minlength=256).astype(np.int64)

    def _decode(self, pair: Pair) -> Arrays:
        rgb, thermal = read_pair(pair.rgb, pair.thermal or pair.rgb)
        label = None if pair.label is None else self._decode_label(pair.label)
        return _mirror(Arrays(rgb, thermal, label)) if pair.mirrored else Arrays(rgb, thermal, label)

    def _decode_label(self, path: Path) -> npt.NDArray[np.uint8]:
        ids = read_label(path)
        if self._ignore_id != IGNORE_INDEX:
            ids[ids == self._ignore_id] = IGNORE_INDEX
        count = len(self.classes)
        outside = (ids < 0) | ((ids >= count) & (ids != IGNORE_INDEX))
        if outside.any():
            values, pixels = np.unique(ids[outside], return_counts=True)
            found = name_some([f"id {i} ({n} pixels)" for i, n in zip(values, pixels, strict=True)])
            raise DataError(
                f"{path}: {found} outside the {count} classes 0..{count - 1} (and not 255, ignore); "
                "correct the label, the class list or ignore_index"
            )
        return ids.astype(np.uint8, copy=False)


def _mirror(arrays: Arrays) -> Arrays:
    label = None if arrays.label is None else np.fliplr(arrays.label).copy()
    return Arrays(np.fliplr(arrays.rgb).copy(), np.fliplr(arrays.thermal).copy(), label)


def _select(listing: Listing, broken: str, where: str) -> list[Pair]:
    if broken not in ("keep", "drop", "only"):
        raise DataError(f"broken must be 'keep', 'drop' or 'only', not {broken!r}")
    if broken == "keep":
        return listing.pairs
    if not listing.broken_known:
        raise DataError(f"{where}: broken={broken!r} needs lists of the broken pairs (broke_RGB.txt, broke_TIR.txt)")
    pairs = [pair for pair in listing.pairs if bool(pair.flags & BROKEN_FLAGS) == (broken == "only")]
    if not pairs:
        raise DataError(f"{where}: no pairs left with broken={broken!r}")
    return pairs


def _check_sizes(pairs: Sequence[Pair]) -> None:
    """Compare image sizes by the headers alone."""
    with ThreadPoolExecutor(_THREADS) as pool:
        problems = [problem for problem in pool.map(_size_problem, pairs) if problem]
    if problems:
        more = f" (and {len(problems) - 1} more pairs)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}; register and resample to the size of the RGB image first")


def _size_problem(pair: Pair) -> str | None:
    height, width = image_size(pair.rgb)
    for path in (pair.thermal, pair.label):
        if path is not None and (size := image_size(path)) != (height, width):
            return f"{path} is {size[1]}x{size[0]} but {pair.rgb} is {width}x{height}"
    return None
