"""Folds: every pair is tested once, groups stay whole, and what is tested chooses nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.split.folds import Folds, divide_into_folds
from cimnet.data import open_dataset
from cimnet.errors import CimnetError, DataError
from tests.conftest import Result
from tests.fakes.layouts import make_fmb, make_folder

from .conftest import DRIVES, make_drives


def check_whole(folds: Folds, names: list[str]) -> None:
    """Every pair is tested once; in each fold every pair has one part, and no group is in two."""
    tested = [name for parts in folds.names for name in parts["test"]]
    assert sorted(tested) == sorted(names)
    for parts in folds.names:
        assert all(parts[part] for part in ("train", "val", "test"))
        assert sorted(name for ids in parts.values() for name in ids) == sorted(names)
        places = {(folds.groups[name], part) for part, ids in parts.items() for name in ids}
        assert max(Counter(group for group, _ in places).values()) == 1


def test_every_pair_is_tested_once_and_groups_stay_whole(drives: Path) -> None:
    folds = divide_into_folds(drives, 5)
    check_whole(folds, open_dataset(drives, "all").ids)
    sizes = folds.counts["pairs"]
    assert sum(sizes) == len(folds.groups)
    assert max(sizes) - min(sizes) <= 4  # of 84 pairs in drives of 2 to 5
    for parts in folds.names:
        others = len(parts["train"]) + len(parts["val"])
        assert abs(len(parts["val"]) / others - 0.125) < 0.05


def test_classes_are_shared_out_better_than_by_chance(drives: Path) -> None:
    """The largest deviation of the tested pairs that hold a class from a fifth, against random folds of the drives."""
    folds = divide_into_folds(drives, 5)
    kinds = [what for what in folds.counts if what.startswith("pairs with")]
    ours = max(np.abs(np.array(folds.counts[kind]) / sum(folds.counts[kind]) - 0.2).max() for kind in kinds)
    held = {sample.id: [(sample.label == k).any().item() for k in range(4)] for sample in open_dataset(drives, "all")}
    chance = []
    for seed in range(40):
        fold_of = dict(
            zip(sorted(set(folds.groups.values())), np.random.default_rng(seed).permutation(DRIVES) % 5, strict=True)
        )
        counts = np.zeros((5, 4))
        for name, group in folds.groups.items():
            counts[fold_of[group]] += held[name]
        chance.append(np.abs(counts / counts.sum(0) - 0.2).max())
    assert ours < 0.6 * np.mean(chance)


def test_one_group_at_a_time(drives: Path) -> None:
    folds = divide_into_folds(drives, None)
    assert len(folds.names) == DRIVES
    check_whole(folds, open_dataset(drives, "all").ids)
    assert all(len({folds.groups[name] for name in parts["test"]}) == 1 for parts in folds.names)


def test_other_shares_and_seeds(drives: Path) -> None:
    half = divide_into_folds(drives, 3, parts={"train": 0.5, "val": 0.5})
    assert all(abs(len(parts["val"]) - len(parts["train"])) <= 5 for parts in half.names)
    assert divide_into_folds(drives, 3, seed=1).names == divide_into_folds(drives, 3, seed=1).names
    assert len({json.dumps(divide_into_folds(drives, 3, seed=seed).names) for seed in range(3)}) > 1


def test_what_is_written_is_read_as_splits(tmp_path: Path) -> None:
    root = make_drives(tmp_path / "data", 8)
    (root / "train.txt").write_text("drive00_0000\n")
    folds = divide_into_folds(root, 4)
    assert not (root / "folds").exists()
    paths = folds.write()
    assert len(paths) == 4 * 3 + 1
    assert (root / "train.txt").read_text() == "drive00_0000\n"
    for number, parts in enumerate(folds.names):
        for part, names in parts.items():
            assert open_dataset(root, f"folds/{number}/{part}").ids == names
    record = json.loads((root / "folds" / "split.json").read_text())
    assert (record["folds"], record["groups"], record["seed"]) == (4, "auto", 0)
    assert record["members"]["drive01"] == ["drive01_0000", "drive01_0001", "drive01_0002"]
    assert sum(map(len, record["members"].values())) == len(folds.groups)  # those of one pair, too
    assert record["counts"]["pairs"] == [len(parts["test"]) for parts in folds.names]


def test_lists_may_lie_elsewhere(tmp_path: Path) -> None:
    root = make_drives(tmp_path / "data", 8)
    folds = divide_into_folds(root, 2, out=tmp_path / "lists")
    folds.write()
    assert not (root / "folds").exists()
    place = tmp_path / "lists" / "folds" / "1" / "test"
    assert open_dataset(root, str(place)).ids == folds.names[1]["test"]


def test_folds_are_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    root = make_drives(tmp_path / "data", 8)
    divide_into_folds(root, 4).write()
    (root / "folds" / "3" / "mine.txt").write_text("notes\n")
    (root / "folds" / "by hand").mkdir()
    (root / "folds" / "by hand" / "train.txt").write_text("drive00_0000\n")
    with pytest.raises(DataError, match=r"folds/0/test\.txt: exists; --overwrite replaces all folds"):
        divide_into_folds(root, 2)
    divide_into_folds(root, 2, overwrite=True).write()
    assert sorted(path.name for path in (root / "folds").iterdir()) == ["0", "1", "3", "by hand", "split.json"]
    assert (root / "folds" / "by hand" / "train.txt").read_text() == "drive00_0000\n"
    assert [path.name for path in (root / "folds" / "3").iterdir()] == ["mine.txt"]


def test_split_folders_in_place_of_lists(tmp_path: Path) -> None:
    root = make_fmb(tmp_path, n=12)
    train, whole = open_dataset(root, "train").ids, open_dataset(root, "all").ids
    folds = divide_into_folds(root, 3)
    check_whole(folds, whole)
    folds.write()
    assert open_dataset(root, "train").ids == train
    assert open_dataset(root, "folds/0/test").ids == folds.names[0]["test"]
    check_whole(divide_into_folds(root, 3, of="train", overwrite=True), train)


def test_groups_from_a_file(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", 9)
    ids = open_dataset(root, "all").ids
    table = tmp_path / "groups.csv"
    table.write_text("group,name\n" + "".join(f"tree {number // 3},{name}\n" for number, name in enumerate(ids)))
    folds = divide_into_folds(root, None, groups=str(table))
    assert [sorted(parts["test"]) for parts in folds.names] == [ids[0:3], ids[3:6], ids[6:9]]
    assert folds.notes == ()
    for text, message in (
        ("name,group\n" + f"{ids[0]},a\n", f"has no line for {ids[1]}, {ids[2]} and 6 more; add one"),
        ("name,tree\n" + f"{ids[0]},a\n", "line 2: needs a name and a group; begin with the line name,group"),
        (f"name,group\n{ids[0]},a\n{ids[0]},b\n", f"line 3: {ids[0]} is in group a already"),
    ):
        table.write_text(text)
        with pytest.raises(DataError, match=message):
            divide_into_folds(root, None, groups=str(table))
    with pytest.raises(DataError, match=r"none\.csv cannot be read \(No such file"):
        divide_into_folds(root, None, groups=str(tmp_path / "none.csv"))


def test_a_class_of_one_group_is_said(tmp_path: Path) -> None:
    """Where its group is tested or chooses the model, the training part lacks it."""
    root = make_drives(tmp_path / "data", 6)
    for path in sorted((root / "labels").iterdir()):
        with Image.open(path) as image:
            label = np.array(image)
        label[label == 3] = 0
        if path.stem.startswith("drive02"):
            label[0, 0] = 3
        Image.fromarray(label).save(path)
    folds = divide_into_folds(root, None)
    lacking = [
        number
        for number, parts in enumerate(folds.names)
        if not any(name.startswith("drive02") for name in parts["train"])
    ]
    assert 2 in lacking
    many = "fold" if len(lacking) == 1 else "folds"
    text = f"train of {many} {', '.join(map(str, lacking))} has no pixels of bus"
    assert any(note.startswith(text) for note in folds.notes)
    assert f"Note: {text}" in folds.to_markdown()


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (1, {}, "folds: 1 is too few; give 2 or more, or groups"),
        (25, {}, "24 groups .* cannot fill 25 folds; give 24 or fewer, or choose the groups in another way"),
        (2, {"groups": r"drive(0(?=0)|).*"}, r"2 groups .* cannot fill train, val and test of a fold"),
        (2, {"groups": r"drive(.).*"}, r"3 groups .* leave a fold without train and val; give more folds"),
        (3, {"parts": {"train": 0.7, "val": 0.1, "test": 0.2}}, "not train, val, test; give both or neither"),
        (3, {"parts": {"train": 0.7, "val": 0.1}}, "must be 1"),
    ],
)
def test_what_cannot_be_divided(drives: Path, count: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        divide_into_folds(drives, count, **options)  # type: ignore[arg-type]  # of mixed types


def test_pairs_without_a_label_are_named(tmp_path: Path) -> None:
    root = make_drives(tmp_path / "data", 6)
    (root / "labels" / "drive00_0000.png").unlink()
    with pytest.raises(DataError, match=r"1 pair \(drive00_0000\) without a label cannot be tested; label them"):
        divide_into_folds(root, 3)
    folds = divide_into_folds(root, 3, labelled=True)
    tested = [name for names in folds.names for name in names["test"]]
    assert sorted(["drive00_0000", *tested]) == sorted(path.stem for path in (root / "rgb").iterdir())
    assert folds.notes[0] == "1 pair has no label and is in no part"


def test_all_files_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_drives(tmp_path / "data", 6)
    folds = divide_into_folds(root, 3)
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if "2" in self.parent.name:
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CimnetError, match="No space left on device"):
        folds.write()
    assert [path for path in (root / "folds").rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    folds.write()


def test_the_command(tmp_path: Path, cli: Callable[..., Result]) -> None:
    root = make_drives(tmp_path / "data", 8)
    done = cli("data", "split", root, "--folds", 4, "--part", "train=0.5", "--part", "val=0.5")
    assert done.code == 0, done.err
    assert "fold 3" in done.out
    assert len(open_dataset(root, "folds/3/val")) > 5
    assert cli("data", "split", root, "--folds", "groups", "--overwrite").code == 0
    assert (root / "folds" / "7" / "test.txt").is_file()
    wrong = cli("data", "split", root, "--folds", "many")
    assert (wrong.code, wrong.err) == (2, "cimnet: --folds many: give a number such as 5, or groups\n")
