"""Import corrected masks from a labelling tool into a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cimnet.curation.label.cvat import is_cvat, read_cvat
from cimnet.curation.label.label_files import LabelFiles, Written
from cimnet.curation.label.label_studio import read_label_studio
from cimnet.curation.label.names import TABLE, read_table
from cimnet.curation.label.tool_classes import BACKGROUND, ToolClasses
from cimnet.curation.label.zips import Entries
from cimnet.data.contents import Contents, read_contents
from cimnet.data.pairs import rgb_size
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError


@dataclass(frozen=True)
class Imported(Written):
    """The label files written, and the number of pairs that still wait for a mask.

    Attributes:
        waiting: number of exported pairs that came back without a mask, and got no label.
    """

    waiting: int


def import_masks(
    root: str | Path,
    result: str | Path,
    names: str | Path,
    *,
    empty: bool = False,
    overwrite: bool = False,
    classes: str | Sequence[str] | None = None,
) -> Imported:
    """Write the masks that a labelling tool exported into a data set of the layout ``folder``, as label files of class
    ids: all of them, or none.

    Args:
        root: the data set's folder.
        result: CVAT's export "Segmentation mask 1.1" (.zip, or its folder), or Label Studio's "JSON".
        names: ``names.csv`` of the export, or the folder that contains it.
        empty: whether to label images on which nothing is painted as background. CVAT lists those that nobody has
            looked at yet as well. False: they stay without a label.
        overwrite: whether to replace existing labels that differ.
        classes: as in :func:`cimnet.open_dataset`.

    Raises:
        DataError: the result cannot be read; or it holds labels that are no classes of the data set, an image or pair
            that is not known or comes twice, or a mask of another size; or `empty` is asked for and the data set has no
            background class.
        CimnetError: existing labels differ, or labels cannot be written.
    """
    root, result, names = Path(root), Path(result), Path(names)
    table = read_table(names / TABLE if names.is_dir() else names)
    contents = read_contents(root, layout="folder", classes=classes)
    labels = LabelFiles(contents.dataset)
    known = ToolClasses.of(contents.dataset.classes, contents.dataset.colors)
    seen = set()
    if empty and known.unpainted == IGNORE_INDEX:
        raise DataError(
            f"{root}: no class is called {', '.join(BACKGROUND[:-1])} or {BACKGROUND[-1]}, so --empty cannot tell what "
            "an image without paint shows; leave it out"
        )
    for file, mask in _masks(result, known):
        pair = contents.pairs.get(table.get(file, ""))
        if pair is None:
            raise DataError(f"{result}: the image {file!r} is not in {names}, or its pair no longer in {root}")
        if pair.id in seen:
            raise DataError(
                f"{result}: the pair {pair.id!r} comes twice, the second time as {file!r}; keep one of them"
            )
        if mask is None:
            if not empty:
                continue
            mask = np.full(rgb_size(pair.rgb, contents.dataset.wanted.bands), known.unpainted, np.uint8)
        _check_size(result, file, mask, contents, pair.id)
        seen.add(pair.id)
        labels.add(pair, mask)
    return Imported(**vars(labels.write(overwrite)), waiting=len(set(table.values()) - seen))


def _masks(result: Path, known: ToolClasses) -> Iterator[tuple[str, npt.NDArray[np.uint8] | None]]:
    if result.suffix.lower() == ".json":
        yield from read_label_studio(result, known)
        return
    entries = Entries(result)
    if not is_cvat(entries):
        raise DataError(
            f'{result}: not a result that is read; export from CVAT as "Segmentation mask 1.1", from Label Studio as '
            "JSON"
        )
    yield from read_cvat(entries, known)


def _check_size(result: Path, file: str, mask: npt.NDArray[np.uint8], contents: Contents, pair_id: str) -> None:
    pair = contents.pairs[pair_id]
    if any(contents.dataset.file.border) or pair.mirrored:
        raise DataError(
            f"{contents.dataset.file.path}: its images are cropped (border) or mirrored, so masks do not fit the "
            "files; convert the data set first (`cimnet data convert`)"
        )
    height, width = rgb_size(pair.rgb, contents.dataset.wanted.bands)
    if mask.shape != (height, width):
        raise DataError(
            f"{result}: {file}: a mask of {mask.shape[1]}x{mask.shape[0]}, but {pair.rgb} is {width}x{height}"
        )
