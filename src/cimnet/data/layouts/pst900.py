"""PST900: objects underground (Shivakumar et al., ICRA 2020), with 8-bit or with raw 16-bit thermal images."""

from __future__ import annotations

from cimnet.data.classes import built_in
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import FilePattern
from cimnet.data.pairs import Info

PST900_CLASSES = built_in(
    "pst900",
    (
        ("background", (0, 0, 0)),
        ("fire_extinguisher", (255, 0, 0)),
        ("backpack", (0, 255, 0)),
        ("hand_drill", (0, 0, 255)),
        ("survivor", (255, 255, 255)),
    ),
)
_INFO = Info(
    "PST900",
    PST900_CLASSES,
    sizes={"train": 597, "test": 288},
    citation="Shivakumar et al., PST900: RGB-Thermal Calibration, Dataset and Segmentation Network, ICRA 2020, "
    "arXiv 1909.10980",
    home="https://github.com/ShreyasSkandanS/pst900_thermal_rgb",
    licence="GPL-3.0 (as a copy of the data set states it)",
    traps=(
        "another order of the classes circulates: 1 is the fire extinguisher, 3 the hand drill",
        "thermal images have holes of value 0 from reprojection",
        "129 of the 885 labels are background alone",
        "the paper counts 894 pairs, the folders hold 885",
        "there is no val: `cimnet data split --parts val` takes one from train; others pick the epoch on test",
    ),
)


class PST900(RGBTDataset):
    """`{train,test}/rgb/NAME.png`, `{train,test}/thermal/NAME.png` (8 bit), `{train,test}/labels/NAME.png`."""

    name = "pst900"
    info = _INFO
    forms = (FilePattern("{split}/rgb/{name}", "{split}/thermal/{name}", "{split}/labels/{name}"),)


class PST900Raw(RGBTDataset):
    """PST900 with the 16-bit images of `{train,test}/thermal_raw/`; they need a `thermal_range`."""

    name = "pst900_raw"
    info = _INFO
    forms = (FilePattern("{split}/rgb/{name}", "{split}/thermal_raw/{name}", "{split}/labels/{name}"),)
