"""Writes the miniature exports of labelling tools beside this file: `python -m tests.data.exports.make`.

Folders, names and values are those that the tools write for semantic masks; the pictures are drawn here. Each folder
also holds a thermal image for every picture, and the classes.yaml that docs/reference/layouts.md shows for the tool.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

HERE = Path(__file__).parent
SIZE = (6, 8)
COUNT = 3
VOC = ((0, 0, 0), (128, 0, 0), (0, 128, 0))
Mask = npt.NDArray[np.uint8]


def truth(index: int, classes: int = 3) -> Mask:
    """The class ids (6, 8) of a picture: one block of each class but the background."""
    ids = np.zeros(SIZE, np.uint8)
    for class_id in range(1, classes):
        ids[index : index + 2, 3 * class_id - 3 : 3 * class_id - 1] = class_id
    return ids


def save(path: Path, values: npt.NDArray[np.uint8], palette: tuple[tuple[int, int, int], ...] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image.putpalette(bytes(value for color in palette for value in color))
    image.save(path, optimize=True)


def images(rgb: Path, thermal: Path, index: int) -> None:
    ids = truth(index)
    save(rgb, np.dstack([40 + 60 * ids, 90 - 20 * ids, 30 + 10 * ids]).astype(np.uint8))
    save(thermal, (20 + 70 * ids).astype(np.uint8))


def cvat(root: Path) -> None:
    """Segmentation mask 1.1: colours by labelmap.txt."""
    for k in range(COUNT):
        images(root / "JPEGImages" / f"frame_{k:06d}.png", root / "thermal" / f"frame_{k:06d}.png", k)
        save(root / "SegmentationClass" / f"frame_{k:06d}.png", np.array(VOC, np.uint8)[truth(k)])
    rows = ["# label:color_rgb:parts:actions", "background:0,0,0::", "person:128,0,0::", "car:0,128,0::"]
    (root / "labelmap.txt").write_text("\n".join(rows) + "\n")
    (root / "classes.yaml").write_text(
        "classes:\n"
        "  - {name: background, color: [0, 0, 0]}\n"
        "  - {name: person, color: [128, 0, 0]}\n"
        "  - {name: car, color: [0, 128, 0]}\n"
        "label_format: colors\n"
        'files: {rgb: "JPEGImages/{name}", thermal: "thermal/{name}", labels: "SegmentationClass/{name}"}\n'
    )


def label_studio(root: Path) -> None:
    """Brush labels to PNG: one mask of 0 and 255 a label, named by task and annotation; a list leads to the images."""
    rows = ["rgb,thermal,label,split"]
    for k in range(COUNT):
        mask = f"masks/task-{k + 7}-annotation-{k + 3}-by-1-tag-warm-0.png"
        images(root / "images" / f"8f2a1b3c-{k:04d}.png", root / "thermal" / f"{k:04d}.png", k)
        save(root / mask, (255 * (truth(k, 2) == 1)).astype(np.uint8))
        rows.append(f"images/8f2a1b3c-{k:04d}.png,thermal/{k:04d}.png,{mask},{'val' if k == COUNT - 1 else 'train'}")
    (root / "pairs.csv").write_text("\n".join(rows) + "\n")
    (root / "classes.yaml").write_text("classes: [background, warm]\nlabel_table: {0: background, 255: warm}\n")


def roboflow(root: Path) -> None:
    """Semantic segmentation masks: picture and mask side by side, with a hash in the names."""
    for k in range(COUNT):
        split, name = "valid" if k == COUNT - 1 else "train", f"{k:04d}_png.rf.{k:x}1c2d3e4f"
        images(root / split / f"{name}.png", root / "thermal" / f"{k:04d}.png", k)
        save(root / split / f"{name}_mask.png", truth(k))
    (root / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, person\n2, car\n")
    (root / "classes.yaml").write_text(
        "classes: [background, person, car]\n"
        "files:\n"
        '  rgb: "{*}/{name}_png.rf.{*}"\n'
        '  thermal: "thermal/{name}"\n'
        '  labels: "{*}/{name}_png.rf.{*}_mask"\n'
    )


def supervisely(root: Path) -> None:
    """Export as masks: machine masks hold ids in three equal channels; human masks are for looking at."""
    for k in range(COUNT):
        images(root / "ds0" / "img" / f"{k:04d}.png", root / "ds0" / "thermal" / f"{k:04d}.png", k)
        save(root / "ds0" / "masks_machine" / f"{k:04d}.png", np.dstack([truth(k)] * 3))
        save(root / "ds0" / "masks_human" / f"{k:04d}.png", np.array(VOC, np.uint8)[truth(k)])
    (root / "obj_class_to_machine_color.json").write_text(
        json.dumps({"person": [1, 1, 1], "car": [2, 2, 2]}, indent=1) + "\n"
    )
    (root / "classes.yaml").write_text(
        "classes: [background, person, car]\n"
        'files: {rgb: "ds0/img/{name}", thermal: "ds0/thermal/{name}", labels: "ds0/masks_machine/{name}"}\n'
    )


def labelme(root: Path) -> None:
    """labelme2voc: palette PNGs in VOC's colours, 255 for nothing labelled."""
    for k in range(COUNT):
        images(root / "JPEGImages" / f"{k:04d}.png", root / "thermal" / f"{k:04d}.png", k)
        ids = truth(k)
        ids[-1, -1] = 255
        save(root / "SegmentationClass" / f"{k:04d}.png", ids, (*VOC, *[(0, 0, 0)] * 252, (224, 224, 192)))
    (root / "class_names.txt").write_text("_background_\nperson\ncar\n")
    (root / "classes.yaml").write_text(
        "classes: [background, person, car]\n"
        'files: {rgb: "JPEGImages/{name}", thermal: "thermal/{name}", labels: "SegmentationClass/{name}"}\n'
    )


EXPORTS: dict[str, Callable[[Path], None]] = {
    "cvat": cvat,
    "label_studio": label_studio,
    "labelme": labelme,
    "roboflow": roboflow,
    "supervisely": supervisely,
}


def main(folder: Path = HERE) -> None:
    for name, write in EXPORTS.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
        write(folder / name)


if __name__ == "__main__":
    main()
