"""Break a copy of a data set in all the ways that data sets break, for `cimnet data check` to find.

    python benchmarks/broken_copies.py DATA/msrs-real runs/broken
    cimnet data check runs/broken --classes mfnet --sheet runs/broken.jpg

Takes the labelled pairs of a folder in the generic layout (JPEG or PNG, lists train.txt and test.txt, 22 in train at
least) and prints what it did.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageFilter


def main() -> None:
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    lists = {split: (source / f"{split}.txt").read_text().split() for split in ("train", "test")}
    train = iter(lists["train"])
    for kind in ("rgb", "thermal", "labels"):
        (out / kind).mkdir(parents=True)
        for name in [*lists["train"], *lists["test"]]:
            shutil.copy(file(source, kind, name), out / kind)

    def edit(kind: str, what: str, change: Callable[[Image.Image], Image.Image]) -> None:
        path = file(out, kind, next(train))
        with Image.open(path) as image:
            change(image).save(path)
        print(f"{path.name}: {what}")

    edit("rgb", "black RGB that no list names", lambda i: i.point(lambda v: 0))
    edit("rgb", "over-exposed RGB", lambda i: i.point(lambda v: min(255, v * 40 + 60)))
    edit("thermal", "blurred thermal", lambda i: i.filter(ImageFilter.GaussianBlur(4)))
    edit("thermal", "flat thermal", lambda i: i.point(lambda v: 90))
    edit("thermal", "saturated thermal", lambda i: i.point(lambda v: min(255, v * 20)))
    edit("thermal", "inferno palette", inferno)
    edit("thermal", "half the size", lambda i: i.resize((i.width // 2, i.height // 2)))
    edit("labels", "an id outside the classes", lambda i: i.point(lambda v: v or 12))
    edit("labels", "a label in colours", lambda i: i.convert("RGB"))
    name = next(train)
    shutil.copy(file(out, "rgb", name), file(out, "thermal", name))
    print(f"{name}: thermal is a copy of RGB")
    path = file(out, "thermal", next(train))
    path.write_bytes(path.read_bytes()[:4000])
    print(f"{path.name}: thermal cut off after 4000 bytes")
    path = file(out, "rgb", next(train))
    path.write_bytes(b"")
    print(f"{path.name}: RGB of 0 bytes")
    for kind in ("thermal", "labels"):
        path = file(out, kind, next(train))
        path.unlink()
        print(f"{path.name}: no {kind}")
    path = file(out, "rgb", next(train))
    path.rename(path.with_name(path.name.lower()))
    print(f"{path.name}: RGB named {path.name.lower()}")
    for new in ("copy_exact", "copy_near"):
        name = next(train)
        for kind in ("rgb", "thermal", "labels"):
            path = file(out, kind, name)
            shutil.copy(path, path.with_stem(new))
        if new == "copy_near":
            path = file(out, "rgb", new)
            with Image.open(path) as image:
                image.resize((600, 450)).resize(image.size).save(path, quality=50)
        print(f"{name}: in train, and as {new} in test")
    both = next(train)
    print(f"{both}: in train and in test")
    twice = lists["train"][0]
    (out / "train.txt").write_text("\n".join([*lists["train"], "nowhere", twice]) + "\n")
    (out / "test.txt").write_text("\n".join([*lists["test"], "copy_exact", "copy_near", both]) + "\n")
    (out / "val.txt").write_text("")
    sound = next(train)
    (out / "broke_RGB.txt").write_text(f"{sound}\n")
    print(f"nowhere: in train.txt alone; {twice}: twice in it; val.txt: empty; {sound}: in broke_RGB.txt, and sound")


def inferno(image: Image.Image) -> Image.Image:
    return Image.fromarray((colormaps["inferno"](np.asarray(image.convert("L")))[..., :3] * 255).astype(np.uint8))


def file(root: Path, kind: str, name: str) -> Path:
    return next((root / kind).glob(f"{name}.*"))


if __name__ == "__main__":
    main()
