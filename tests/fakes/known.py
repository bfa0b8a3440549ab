"""What the makers write and how it must be read, one entry for each layout and form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.data import RGBTDataset, open_dataset

from . import layouts
from .layouts import CART_TRIP, MFNET_FORMS, make_arrays, to_16_bit

N = 6
LISTS = {"train": [0, 1, 2], "val": [3], "test": [4, 5]}
FOLDERS = {"train": [0, 1, 2, 3], "test": [4, 5]}


@dataclass(frozen=True)
class Fake:
    """A data set that is made up.

    Attributes:
        title: how it is called here.
        layout: name of the layout that must recognise it.
        make: writes `N` pairs into a folder.
        name: name of a pair by its number.
        splits: numbers of the pairs by split.
        values: the label files hold 0..values-1.
        word: what the names of all files of a pair have in common, where that is not the name.
        ids: class id of a value in the label files.
        deep: whether the thermal images have 16 bits.
        claims: the layouts that recognise it, in order; None: `layout` alone.
    """

    title: str
    layout: str
    make: Callable[[Path], Path]
    name: Callable[[int], str]
    splits: dict[str, list[int]]
    values: int
    word: Callable[[int], str] | None = None
    ids: Callable[[int], int] = int
    deep: bool = False
    claims: tuple[str, ...] | None = None

    def open(self, root: Path, split: str = "train", **options: Any) -> RGBTDataset:
        """As recognised; by name where another layout comes first."""
        first = self.claims[0] if self.claims else self.layout
        return open_dataset(root, split, layout="auto" if first == self.layout else self.layout, **options)

    def arrays(self, number: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """RGB, thermal counts and class ids that a pair was written with."""
        rgb, thermal, label = make_arrays(number, classes=self.values)
        if self.layout == "kust4k":
            rgb, thermal = rgb * (number != 0), np.full_like(thermal, 90) if number == 1 else thermal
        ids = np.array([self.ids(value) for value in range(self.values)])
        return rgb, to_16_bit(thermal) if self.deep else thermal, ids[label]


def _day_night(number: int) -> str:
    return f"{number:05d}{'DN'[number % 2]}"


def _bag(number: int) -> str:
    return f"{number}_bag21_rgb_frame{number:07d}"


def _described(title: str, rgb: str, thermal: str, labels: str) -> Fake:
    make = partial(layouts.make_described, rgb=rgb, thermal=thermal, labels=labels)
    return Fake(title, "folder", make, lambda i: f"flight {i % 2 + 1}/{i:04d}", LISTS, 3, word="{:04d}".format)


def _mfnet(form: str) -> Fake:
    return Fake(f"mfnet {form}", "mfnet", partial(layouts.make_mfnet_separate, form=form), _day_night, LISTS, 9)


_FRAMES = [f"Frame {number}" for number in range(N)]
_BOTH = ("pst900", "pst900_raw")
_ALL = (
    Fake("folder", "folder", partial(layouts.make_folder, names=_FRAMES), _FRAMES.__getitem__, LISTS, 3),
    Fake(
        "folder tiff",
        "folder",
        partial(layouts.make_folder, bit_depth=16, ext="tiff"),
        "{:03d}".format,
        LISTS,
        3,
        deep=True,
    ),
    _described("suffixes", "{name}_V", "{name}_T", "masks/{name}"),
    _described("folder a pair", "{name}/rgb", "{name}/thermal", "{name}/label"),
    _described("nested", "visible/{name}", "ir/{name}", "gt/{name}"),
    _described("4 channels", "both/{name}", "both/{name}", "gt/{name}_gt"),
    Fake("mfnet", "mfnet", layouts.make_mfnet, _day_night, LISTS, 9),
    *map(_mfnet, MFNET_FORMS),
    Fake("kust4k", "kust4k", partial(layouts.make_kust4k, n=N), _day_night, LISTS, 9),
    Fake("msrs", "msrs", layouts.make_msrs, _day_night, FOLDERS, 9),
    Fake("pst900", "pst900", layouts.make_pst900, _bag, FOLDERS, 5, claims=_BOTH),
    Fake("pst900 raw beside", "pst900_raw", layouts.make_pst900, _bag, FOLDERS, 5, deep=True, claims=_BOTH),
    Fake("pst900 raw", "pst900_raw", partial(layouts.make_pst900, eight_bit=False), _bag, FOLDERS, 5, deep=True),
    Fake("fmb", "fmb", layouts.make_fmb, "{:05d}".format, FOLDERS, 15),
    Fake(
        "cart",
        "cart",
        layouts.make_cart,
        lambda number: f"{CART_TRIP}_{number:05d}",
        LISTS,
        12,
        word=lambda number: CART_TRIP,
        ids=lambda value: 255 if value < 2 else value - 2,
        deep=True,
    ),
)
FAKES = {fake.title: fake for fake in _ALL}
