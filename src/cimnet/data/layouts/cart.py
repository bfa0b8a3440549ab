"""CART: the Caltech aerial RGB-thermal data set, 16-bit thermal (Lee et al., ECCV 2024)."""

from __future__ import annotations

from cimnet.data.classes import built_in
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import FilePattern
from cimnet.data.io.split_lists import LIST_PLACES
from cimnet.data.pairs import Info

CART_CLASSES = built_in(
    "cart",
    (
        ("bare_ground", (242, 216, 196)),
        ("rocky_terrain", (89, 70, 54)),
        ("developed_structures", (166, 166, 166)),
        ("road", (82, 89, 90)),
        ("shrubs", (155, 230, 0)),
        ("trees", (0, 138, 53)),
        ("sky", (0, 216, 245)),
        ("water", (13, 127, 252)),
        ("vehicles", (255, 249, 0)),
        ("person", (254, 0, 170)),
    ),
)


class CART(RGBTDataset):
    """`color/TRIP_eo-NUMBER.jpg`, `thermal16/TRIP_thermal-NUMBER.tiff`, `annotations/TRIP_mask-NUMBER.png`, a pair
    going by TRIP_NUMBER; lists `rgbt_splits/rgb_train.txt` … of the authors' repository, or one's own."""

    name = "cart"
    info = Info(
        "CART",
        CART_CLASSES,
        label_table={0: 255, 1: 255, 2: 0, 3: 1, 4: 2, 5: 3, 6: 4, 7: 5, 8: 6, 9: 7, 10: 8, 11: 9},
        sizes={"train": 1731, "val": 272, "test": 279},
        licence="CC BY-NC-SA 4.0 (its places differ; this is the strictest)",
        citation="Lee et al., Caltech Aerial RGB-Thermal Dataset in the Wild, ECCV 2024, arXiv 2403.08997",
        home="https://github.com/aerorobotics/caltech-aerial-rgbt-dataset",
        traps=(
            "values 0 (unknown) and 1 (background) of the labels are ignored, as the authors do: ten classes remain",
            "thermal16 holds counts of the sensor, not temperatures: use a percentile range or gain_control",
            "the published split is random by frame: one flight is in train, val and test",
            "thermal is 1 to 4 pixels off, with empty borders",
        ),
    )
    forms = (
        FilePattern(
            "color/{name}_eo-{frame}",
            "thermal16/{name}_thermal-{frame}",
            "annotations/{name}_mask-{frame}",
            thermal_extension=".tiff",
        ),
    )
    lists = (*LIST_PLACES, "rgbt_splits/rgb_{list}.txt", "splits/rgbt_splits/rgb_{list}.txt")
