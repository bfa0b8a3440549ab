"""MSRS: MFNet's images with enhanced thermal, made for image fusion (Tang et al., Information Fusion 2022)."""

from __future__ import annotations

from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import FilePattern
from cimnet.data.layouts.mfnet import MFNET_CLASSES
from cimnet.data.pairs import Info


class MSRS(RGBTDataset):
    """`{train,test}/vi/NAME.png`, `{train,test}/ir/NAME.png`, `{train,test}/Segmentation_labels/NAME.png`; day and
    night by the D or N of the name."""

    name = "msrs"
    info = Info(
        "MSRS",
        MFNET_CLASSES,
        sizes={"train": 1083, "test": 361},
        citation="Tang et al., PIAFusion: A progressive infrared and visible image fusion network based on "
        "illumination aware, Information Fusion 83-84, 2022, doi 10.1016/j.inffus.2022.03.007",
        home="https://github.com/Linfeng-Tang/MSRS",
        traps=(
            "the images are MFNet's in another split: a model trained on one has seen test images of the other",
            "test is about every fourth frame: neighbours of test images are in train",
            "some labels are empty though objects can be seen (00012N, 00013N)",
            "there is no val: `cimnet data split --parts val` takes one from train",
        ),
    )
    forms = (FilePattern("{split}/vi/{name}", "{split}/ir/{name}", "{split}/Segmentation_labels/{name}"),)
