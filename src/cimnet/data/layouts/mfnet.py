"""MFNet: street scenes from a car, by day and by night (Ha et al., IROS 2017)."""

from __future__ import annotations

from cimnet.data.classes import built_in
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import FilePattern
from cimnet.data.pairs import Info

MFNET_CLASSES = built_in(
    "mfnet",
    (
        ("unlabelled", (0, 0, 0)),
        ("car", (64, 0, 128)),
        ("person", (64, 64, 0)),
        ("bike", (0, 128, 192)),
        ("curve", (0, 0, 192)),
        ("car_stop", (128, 128, 0)),
        ("guardrail", (64, 64, 128)),
        ("colour_cone", (192, 128, 128)),
        ("bump", (192, 64, 0)),
    ),
)


class MFNet(RGBTDataset):
    """The original 4-channel files, or one of the forms with separate files that others made from them.

    Scenes come from `SPLIT_day.txt` and `SPLIT_night.txt` where they exist, otherwise from the D or N of the
    name. Some published lists name `NAME_flip` files that exist only after an offline augmentation: where
    such a file is missing, the mirrored original is served under that name.
    """

    name = "mfnet"
    info = Info(
        "MFNet",
        MFNET_CLASSES,
        sizes={"train": 784, "val": 392, "test": 393},
        citation="Ha et al., MFNet: Towards Real-Time Semantic Segmentation for Autonomous Vehicles with "
        "Multi-Spectral Scenes, IROS 2017",
        home="https://www.mi.t.u-tokyo.ac.jp/static/projects/mil_multispectral/",
        traps=(
            "92% of the pixels are unlabelled: say whether they count as a class",
            "a loader that subtracts 1 from ids (right for NYU) turns unlabelled into ignore and shifts all classes",
            "four test images hold guardrail, and much of it is doubtful: one class can move mIoU by points",
            "published code trains on train and val, or picks the best epoch on test: compare with care",
        ),
    )
    forms = (
        FilePattern("images/{name}", None, "labels/{name}"),
        FilePattern("RGB/{name}", "Thermal/{name}", "Label/{name}"),
        FilePattern("RGB/{name}", "Modal/{name}", "Label/{name}"),
        FilePattern("rgb/{name}", "ther/{name}", "labels/{name}"),
        FilePattern("seperated_images/{name}_rgb", "seperated_images/{name}_th", "labels/{name}"),
    )
    flips = True
