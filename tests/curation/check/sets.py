"""Sets to break, and short ways to look at a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.curation.check import Finding, Report, check_dataset
from tests.fakes.layouts import make_arrays, make_folder, make_kust4k

Break = Callable[[Path], object]
Change = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def make_msrs(root: Path, train: int = 4, test: int = 3, same_names: bool = False) -> Path:
    """A layout with split folders; with `same_names` both splits count from zero."""
    for split, first, count in (("train", 0, train), ("test", 0 if same_names else train, test)):
        for folder in ("vi", "ir", "Segmentation_labels"):
            (root / split / folder).mkdir(parents=True)
        for number in range(first, first + count):
            arrays = make_arrays(number + 50 * (split == "test"), classes=9)
            for folder, array in zip(("vi", "ir", "Segmentation_labels"), arrays, strict=True):
                Image.fromarray(array).save(root / split / folder / f"{number:05d}D.png")
    return root


def broken(root: Path) -> Path:
    """Twelve pairs of Kust4K's layout with one fault each of five kinds."""
    make_kust4k(root, n=12)
    (root / "TIR/00003N.png").unlink()
    (root / "RGB/00004D.png").write_bytes(b"")
    change(root / "Seg_annos/00005N.png", lambda v: v + 9)
    Image.new("RGB", (40, 32)).save(root / "RGB/00006D.png")
    change(root / "TIR/00007N.png", lambda v: v[::2])
    return root


def change(path: Path, how: Change) -> None:
    """Replace an image's values."""
    Image.fromarray(how(np.array(Image.open(path)))).save(path)


def check(root: Path, **options: Any) -> Report:
    """In this process: a few pairs are not worth others."""
    return check_dataset(root, workers=1, **options)


def check_broken(root: Path, *breaks: Break, **options: Any) -> dict[str, Finding]:
    """Findings by code of the generic set after it was broken."""
    make_folder(root, n=12)
    for break_ in breaks:
        break_(root)
    return by_code(check(root, **options))


def by_code(report: Report) -> dict[str, Finding]:
    """Findings by code; a code with several findings keeps the first."""
    return {finding.code: finding for finding in reversed(report.findings)}


def names(finding: Finding) -> list[str]:
    return [item.name for item in finding.items]
