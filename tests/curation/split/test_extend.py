"""Labels that come in rounds: only labelled pairs are divided, and lists grow without a pair changing its part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cimnet.curation.split import split_dataset
from cimnet.curation.split.division import Division
from cimnet.curation.split.stratify import FREE, stratify
from cimnet.data import open_dataset
from cimnet.errors import ConfigError, DataError
from tests.fakes.layouts import write_list

from .conftest import make_drives


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve drives, of which the first six have labels; the others' wait in the folder ``later``."""
    root = make_drives(tmp_path / "data", 12)
    (root / "later").mkdir()
    for path in (root / "labels").iterdir():
        if path.name >= "drive06":
            path.rename(root / "later" / path.name)
    return root


def label(root: Path, *drives: int) -> None:
    for path in list((root / "later").iterdir()):
        if any(path.name.startswith(f"drive{drive:02d}") for drive in drives):
            path.rename(root / "labels" / path.name)


def labelled(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "labels").iterdir())


def parts_of(division: Division) -> dict[str, str]:
    return {name: part for part, names in division.names.items() for name in names}


def test_pairs_without_a_label_are_left_out(root: Path) -> None:
    division = split_dataset(root, labelled=True)
    assert sorted(parts_of(division)) == labelled(root)
    bare = len(list((root / "later").iterdir()))
    assert division.notes == (f"{bare} pairs have no label and are in no part",)
    division.write()
    assert [len(open_dataset(root, part)) for part in ("train", "val", "test")] == [
        len(names) for names in division.names.values()
    ]
    whole = split_dataset(root, overwrite=True)
    assert whole.notes == (f"{bare} pairs have no label, and training needs one; --labelled leaves such pairs out",)
    whole.write()
    with pytest.raises(DataError, match=r"labels are required\).*`cimnet data split --labelled`"):
        open_dataset(root, "train")
    assert json.loads((root / "split.json").read_text())["labelled"] is False


def test_no_pair_has_a_label(root: Path) -> None:
    for path in (root / "labels").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no pair has a label; label some first"):
        split_dataset(root, labelled=True)


def test_groups_are_those_of_all_pairs(root: Path) -> None:
    """One label of each drive: no two names have a beginning in common, and nothing would tell the drives."""
    for path in (root / "labels").iterdir():
        if not path.stem.endswith("_0000"):
            path.unlink()
    division = split_dataset(root, labelled=True)
    assert division.groups == {name: name.partition("_")[0] for name in labelled(root)}


def test_lists_grow_and_no_pair_changes_its_part(root: Path) -> None:
    first = split_dataset(root, labelled=True, extend=True)
    first.write()
    before = parts_of(first)
    label(root, 6, 7, 8, 9)
    second = split_dataset(root, labelled=True, extend=True)
    after = parts_of(second)
    assert before.items() <= after.items()
    assert sorted(after) == labelled(root)
    assert len({(name.partition("_")[0], part) for name, part in after.items()}) == 10
    assert second.counts["groups"] == {
        part: len({name.partition("_")[0] for name in names}) for part, names in second.names.items()
    }
    added = len(after) - len(before)
    assert f"{len(before)} pairs stayed in the part that they were in, and {added} pairs were added" in second.notes
    second.write()
    label(root, 10, 11)
    third = split_dataset(root, labelled=True, extend=True, seed=5)
    assert after.items() <= parts_of(third).items()
    shares = {part: len(names) / len(parts_of(third)) for part, names in third.names.items()}
    assert shares == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.08)
    third.write()
    same = split_dataset(root, labelled=True, extend=True)
    assert same.names == third.names
    assert json.loads((root / "split.json").read_text())["extended"] is True


def test_new_frames_join_the_part_of_their_drive(root: Path) -> None:
    drives = [f"drive{drive:02d}" for drive in range(6)]
    held = dict(zip(drives, ("train", "train", "train", "train", "val", "test"), strict=True))
    for part in ("train", "val", "test"):
        write_list(root / "splits" / f"{part}.txt", [f"{drive}_0000" for drive in drives if held[drive] == part])
    division = split_dataset(root, labelled=True, extend=True)
    assert parts_of(division) == {name: held[name.partition("_")[0]] for name in labelled(root)}
    division.write()
    assert set(open_dataset(root, "val").ids) == {name for name in labelled(root) if name.startswith("drive04")}


def test_lists_that_tore_a_drive_apart_stay_and_are_told(root: Path) -> None:
    write_list(root / "train.txt", ["drive00_0000", "drive03_0000", "drive03_0001"])
    write_list(root / "test.txt", ["drive03_0002", "drive01_0000"])
    division = split_dataset(root, labelled=True, extend=True)
    part_of = parts_of(division)
    assert [part_of[f"drive03_000{frame}"] for frame in range(5)] == ["train", "train", "test", "train", "train"]
    assert any("1 group (drive03) in several parts" in note for note in division.notes)


def test_unlabelled_pairs_of_the_lists_leave_them(root: Path) -> None:
    """As after a division of all pairs: what is labelled stays where it was."""
    whole = split_dataset(root)
    whole.write()
    division = split_dataset(root, labelled=True, extend=True)
    assert parts_of(division) == {name: parts_of(whole)[name] for name in labelled(root)}
    assert not any("into no part" in note for note in division.notes)


def test_what_cannot_be_extended(root: Path) -> None:
    with pytest.raises(ConfigError, match="--overwrite divides again, --extend keeps"):
        split_dataset(root, overwrite=True, extend=True)
    write_list(root / "train.txt", ["drive00_0000", "drive00_0001"])
    write_list(root / "val.txt", ["drive00_0001"])
    with pytest.raises(DataError, match="drive00_0001 is in the lists train and val; remove it from one"):
        split_dataset(root, extend=True)
    write_list(root / "val.txt", ["gone"])
    with pytest.raises(DataError, match="its list val holds gone, which split 'all' does not; remove the name"):
        split_dataset(root, extend=True)
    assert not (root / "split.json").exists()
    write_list(root / "val.txt", ["drive01_0000"])
    write_list(root / "few.txt", ["drive00_0000", "drive00_0001", "drive01_0000", "drive01_0001"])
    with pytest.raises(DataError, match=r"2 groups \(drive00, drive01\) cannot fill 3 parts"):
        split_dataset(root, of="few", extend=True, out=root)


def test_stratify_places_around_what_is_fixed() -> None:
    """Twenty groups alike, of which four are in train and two in val already."""
    fixed = np.array([0, 0, 0, 0, 1, 1] + [FREE] * 14)
    for seed in range(5):
        parts = stratify(np.ones((20, 1)), [0.7, 0.1, 0.2], seed, fixed=fixed)
        assert parts[:6].tolist() == [0, 0, 0, 0, 1, 1]
        assert np.bincount(parts).tolist() == [14, 2, 4]
    only = stratify(np.ones((4, 1)), [0.5, 0.25, 0.25], 0, fixed=np.array([0, 0, 0, FREE]))
    assert only[:3].tolist() == [0, 0, 0]
    all_fixed = np.array([1, 0, 2])
    assert stratify(np.ones((3, 1)), [0.5, 0.25, 0.25], 0, fixed=all_fixed).tolist() == [1, 0, 2]
