"""Export pairs for a labelling tool, the least certain ones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cimnet.curation.label.cvat import write_cvat
from cimnet.curation.label.label_studio import write_label_studio
from cimnet.curation.label.names import TABLE, name_files, write_table
from cimnet.curation.label.pictures import LabelTask
from cimnet.curation.label.tool_classes import ToolClasses
from cimnet.data.contents import Contents, read_contents
from cimnet.data.pairs import Arrays, Pair
from cimnet.errors import ConfigError, DataError
from cimnet.utils.files import require_apart, require_stageable, staged_folder, write_text
from cimnet.utils.numbers import spread_evenly
from cimnet.utils.pool import Progress

Mask = npt.NDArray[np.uint8]
Prelabel = Callable[[Arrays, Pair], tuple[Mask, float]]
"""Gives a pair's class ids (H, W) and how uncertain they are, 0..1."""
TOOLS = {"cvat": write_cvat, "label-studio": write_label_studio}


@dataclass(frozen=True)
class Exported:
    """Counts of what was written for the labelling tool.

    Attributes:
        pairs: number of pairs.
        files: files to give to the tool.
    """

    pairs: int
    files: tuple[Path, ...]


def export_for_labelling(
    root: str | Path,
    out: str | Path,
    tool: str,
    *,
    prelabel: Prelabel | None = None,
    labelled: bool = False,
    most: int | None = None,
    layout: str = "auto",
    classes: str | Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write the pairs that have no label into a new folder, for CVAT or Label Studio.

    RGB images are upright, cropped as the data set says, and PNG. Beside each stands the thermal image in 8 bits, as a
    context image. ``names.csv`` leads back from the tool's file names to the pairs.

    Args:
        root: the data set's folder.
        out: folder to write, new or empty.
        tool: "cvat" or "label-studio".
        prelabel: predicts masks to start from; the most uncertain pairs then come first. None: no masks, pairs by name.
        labelled: whether to export pairs that have labels, too; their labels are the masks to start from. With
            ``prelabel`` they come last.
        most: export at most this many pairs: with ``prelabel`` the most uncertain ones, else some that are spread
            evenly over the names, because neighbouring frames are much alike. None: all.
        layout, classes: as in :func:`cimnet.open_dataset`.
        progress: called with the number of finished pairs and the total.

    Raises:
        DataError: the data set cannot be read, or no pair needs a label.
        CimnetError: ``out`` is not empty or cannot be written.
    """
    root, out = Path(root), Path(out)
    if tool not in TOOLS or (most is not None and most < 1):
        raise ConfigError(f"tool {tool!r}, most {most}: the tool is one of {', '.join(TOOLS)}, and most at least 1")
    require_apart(out, root)
    require_stageable(out)
    contents = read_contents(root, layout=layout, classes=classes)
    pairs = [pair for _, pair in sorted(contents.pairs.items()) if labelled or pair.label is None]
    if not pairs:
        raise DataError(f"{root}: every pair has a label; --labelled takes them, too")
    if prelabel is None and most is not None:
        pairs = [pairs[position] for position in spread_evenly(len(pairs), most)]
    masks, order = _look(contents, pairs, prelabel, most, progress)
    named = name_files([(pair.id, uncertainty) for pair, uncertainty in order])
    known = ToolClasses.of(contents.dataset.classes, contents.dataset.colors)
    tasks = [
        LabelTask(entry.file, pair, contents.dataset, masks.get(pair.id))
        for entry, (pair, _) in zip(named, order, strict=True)
    ]
    with staged_folder(out) as folder:
        files = TOOLS[tool](folder, tasks, known, out)
        write_text(folder / TABLE, write_table(named))
    return Exported(len(tasks), tuple(out / file for file in files))


def _look(
    contents: Contents, pairs: list[Pair], prelabel: Prelabel | None, most: int | None, progress: Progress | None
) -> tuple[dict[str, Mask], list[tuple[Pair, float | None]]]:
    """Masks by pair, and the pairs in the order of labelling."""
    masks: dict[str, Mask] = {}
    order: list[tuple[Pair, float | None]] = []
    for number, pair in enumerate(pairs, start=1):
        uncertainty = None
        if pair.label is not None or prelabel is not None:
            arrays = contents.dataset.decode(pair)
            if arrays.label is not None:
                masks[pair.id] = arrays.label
            elif prelabel is not None:
                masks[pair.id], uncertainty = prelabel(arrays, pair)
        order.append((pair, uncertainty))
        if most is not None and len(order) > most:  # masks that are not exported are not kept
            order.sort(key=_urgency)
            masks.pop(order.pop()[0].id, None)
        if progress is not None:
            progress(number, len(pairs))
    order.sort(key=_urgency)
    return masks, order


def _urgency(entry: tuple[Pair, float | None]) -> float:
    """Least certain first; pairs of which nothing is known (they have labels, or there is no model) come last."""
    return 1.0 if entry[1] is None else -entry[1]
