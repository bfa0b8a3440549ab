"""FMB: urban scenes with fourteen classes (Liu et al., ICCV 2023)."""

from __future__ import annotations

from cimnet.data.classes import built_in
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import FilePattern
from cimnet.data.pairs import Info

FMB_CLASSES = built_in(
    "fmb",
    (
        ("unlabelled", (0, 0, 0)),
        ("road", (179, 228, 228)),
        ("sidewalk", (181, 57, 133)),
        ("building", (67, 162, 177)),
        ("lamp", (200, 178, 50)),
        ("sign", (132, 45, 199)),
        ("vegetation", (66, 172, 84)),
        ("sky", (179, 73, 79)),
        ("person", (76, 99, 166)),
        ("car", (66, 121, 253)),
        ("truck", (137, 165, 91)),
        ("bus", (155, 97, 152)),
        ("motorcycle", (105, 153, 140)),
        ("bicycle", (222, 215, 158)),
        ("pole", (135, 113, 90)),
    ),
)


class FMB(RGBTDataset):
    """`{train,test}/Visible/NAME.png`, `{train,test}/Infrared/NAME.png`, `{train,test}/Label/NAME.png` (ids; the
    folder color/ beside it holds the same in colours)."""

    name = "fmb"
    info = Info(
        "FMB",
        FMB_CLASSES,
        sizes={"train": 1220, "test": 280},
        citation="Liu et al., Multi-interactive Feature Learning and a Full-time Multi-modality Benchmark for Image "
        "Fusion and Segmentation, ICCV 2023, arXiv 2308.02097",
        home="https://github.com/JinyuanLiu-CV/SegMiF",
        traps=(
            "lists of its colours circulate in the order blue, green, red; these are as in its own color/ folder",
            "neighbouring numbers are near duplicates: take val as blocks, not at random",
            "an early archive had unequal numbers of RGB and infrared files",
            "bicycle is absent from test, and papers average over 13, 14 or 15 classes: say which",
            "there is no val: `cimnet data split --parts val` takes one from train",
        ),
    )
    forms = (FilePattern("{split}/Visible/{name}", "{split}/Infrared/{name}", "{split}/Label/{name}"),)
