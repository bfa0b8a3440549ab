"""Kust4K: urban scenes from a drone (Scientific Data 12:1701, 2025), the paper's main data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.data.classes import built_in
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import FilePattern
from cimnet.data.pairs import Info
from cimnet.errors import DataError, one_line

CLASSES: tuple[str, ...] = (
    "unlabelled",
    "road",
    "building",
    "motorcycle",
    "car",
    "truck",
    "tree",
    "human",
    "traffic_facilities",
)

# After Okabe and Ito's palette (distinct with every common colour vision), plus black, grey and white.
COLORS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0),
    (128, 128, 128),
    (0, 114, 178),
    (204, 121, 167),
    (230, 159, 0),
    (213, 94, 0),
    (0, 158, 115),
    (255, 255, 255),
    (240, 228, 66),
)

KUST4K_CLASSES = built_in("kust4k", tuple(zip(CLASSES, COLORS, strict=True)))


class Kust4K(RGBTDataset):
    """`RGB/NAME.png`, `TIR/NAME.png`, `Seg_annos/NAME.png`, `train.txt`, `val.txt`, `test.txt`.

    Flags: `rgb_broken` (broke_RGB.txt), `thermal_broken` (broke_TIR.txt), `weakly_aligned` (weakly_aligned.txt); a
    name in a broken_in_*.txt alone counts as `rgb_broken` if its RGB image is black, else as `thermal_broken`. Scenes
    come from day.txt, night.txt and dark_night.txt where they exist, otherwise from the D or N of the name (N:
    "night", dark or not; `cimnet data stats --write-lists` tells them apart by brightness). `broken="drop"` leaves the
    deliberately broken pairs out; without their lists it is an error.
    """

    name = "kust4k"
    info = Info(
        "Kust4K",
        KUST4K_CLASSES,
        sizes={"train": 2814, "val": 403, "test": 807},
        licence="CC BY 4.0",
        citation="Kust4K, Scientific Data 12:1701, 2025, doi 10.1038/s41597-025-05994-7",
        home="https://doi.org/10.6084/m9.figshare.29476610",
        traps=(
            "1,206 pairs are broken on purpose (844 train, 120 val, 242 test): keep, drop or only them, and say which",
            "the three archives are flat and hold the same names: unpack each into its own folder",
            "class ids are not in the order of the paper's text: 3 is motorcycle, 4 car, 5 truck",
        ),
    )
    forms = (FilePattern("RGB/{name}", "TIR/{name}", "Seg_annos/{name}"),)

    def truth(self, index: int) -> dict[str, npt.NDArray[Any]] | None:
        """Arrays of `truth/NAME.npz` (`offset`, `moving`), which synthetic data sets carry; None without it.

        Raises:
            DataError: the file cannot be read.
        """
        path = self.root / "truth" / f"{self.ids[index]}.npz"
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except Exception as error:  # numpy and zipfile raise many kinds on damaged archives
            raise DataError(f"{path}: cannot be read as npz ({one_line(error)})") from error
