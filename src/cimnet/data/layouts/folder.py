"""The generic layout: rgb/ thermal/ labels/, split lists, and a YAML with the classes; any other names by patterns."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from cimnet.data.dataset import RGBTDataset
from cimnet.data.dataset_file import DatasetFile, read_dataset_file
from cimnet.data.io.pair_table import find_table, index_table, require_agreement
from cimnet.data.io.patterns import FileIndex, FilePattern
from cimnet.data.io.second_modality import THERMAL, SecondModality
from cimnet.data.pairs import Info


class Folder(RGBTDataset):
    """`rgb/NAME.*`, `thermal/NAME.*`, `labels/NAME.*` (extensions may differ), `train.txt`, `classes.yaml`.

    NAME may hold folders (`rgb/flight 3/0001.jpg`). Other places are given by `files:` in the YAML, for example
    `files: {rgb: "{name}_V", thermal: "{name}_T", labels: "masks/{name}"}`; the same pattern for rgb and thermal means
    4-channel files. Second images other than thermal lie in the folder of their name, `nir/NAME.*`, after `second:
    {name: nir}` in the YAML or in a recipe. A list of pairs, `pairs.csv` (see `cimnet.data.io.pair_table`), comes
    before all of these. See `read_dataset_file` for everything that the YAML may say.
    """

    name = "folder"
    info = Info("a folder of pairs", classes=None)
    forms = (FilePattern("rgb/{name}", "thermal/{name}", "labels/{name}", nested=True),)
    any_second = True
    settles = frozenset()

    @classmethod
    def recognises(cls, root: Path) -> bool:
        return find_table(root) is not None or _described(root) is not None or super().recognises(root)

    @classmethod
    def index(cls, root: Path) -> FileIndex:
        if table := find_table(root):
            return index_table(table)
        form = _described(root)
        return super().index(root) if form is None else form.index(root)

    def find_files(self) -> FileIndex:
        if table := find_table(self.root):
            index = self.index(self.root)
            require_agreement(table, self.split, index)
            return index
        form = described(self.file, self.second)
        return self.index(self.root) if form is None else form.index(self.root)


def _described(root: Path) -> FilePattern | None:
    file = read_dataset_file(root)
    return None if file is None else described(file)


def described(file: DatasetFile, second: SecondModality | None = None) -> FilePattern | None:
    """The form that a folder's YAML gives; None: it gives none.

    Args:
        second: what the second images are; None: what the YAML says.
    """
    name = (second or file.second or THERMAL).name
    if not file.files and name == THERMAL.name:
        return None
    usual = {"rgb": "rgb/{name}", "thermal": f"{name}/{{name}}", "labels": "labels/{name}"}
    rgb, thermal, labels = (PurePosixPath(file.files.get(kind, usual[kind])).as_posix() for kind in usual)
    return FilePattern(rgb, None if thermal == rgb else thermal, labels, nested=True, max_gap=file.max_gap)
