"""The generic layout: rgb/ thermal/ labels/, split lists, and a YAML with the classes; any other names by patterns."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from cimnet.data.classes import read_dataset_file
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import FileIndex, FilePattern
from cimnet.data.pairs import Info


class Folder(RGBTDataset):
    """`rgb/NAME.*`, `thermal/NAME.*`, `labels/NAME.*` (extensions may differ), `train.txt`, `classes.yaml`.

    NAME may hold folders (`rgb/flight 3/0001.jpg`). Other places are given by `files:` in the YAML, for example
    `files: {rgb: "{name}_V", thermal: "{name}_T", labels: "masks/{name}"}`; the same pattern for rgb and thermal means
    4-channel files. See `read_dataset_file` for everything that the YAML may say.
    """

    name = "folder"
    info = Info("a folder of pairs", classes=None)
    forms = (FilePattern("rgb/{name}", "thermal/{name}", "labels/{name}", nested=True),)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        return _described(root) is not None or super().recognises(root)

    @classmethod
    def index(cls, root: Path) -> FileIndex:
        described = _described(root)
        return super().index(root) if described is None else described.index(root)


def _described(root: Path) -> FilePattern | None:
    """The form that the folder's YAML gives."""
    file = read_dataset_file(root)
    if file is None or not file.files:
        return None
    kinds = ("rgb", "thermal", "labels")
    rgb, thermal, labels = (PurePosixPath(file.files.get(kind, f"{kind}/{{name}}")).as_posix() for kind in kinds)
    return FilePattern(rgb, None if thermal == rgb else thermal, labels, nested=True)
