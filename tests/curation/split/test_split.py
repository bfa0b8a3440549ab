"""Splits: shares that are kept, groups that stay whole, the same again from the same seed."""

from __future__ import annotations

import json
import os
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from cimnet.curation.split import PARTS, split_dataset
from cimnet.curation.split.division import Division
from cimnet.curation.split.groups import PLAIN
from cimnet.curation.split.stratify import stratify
from cimnet.data import open_dataset
from cimnet.errors import CimnetError, DataError
from tests.fakes.layouts import HEIGHT, WIDTH, make_fmb, make_folder, make_kust4k, write_list

from .conftest import DRIVES, make_drives


def part_by_name(division: Division) -> dict[str, str]:
    return {name: part for part, names in division.names.items() for name in names}


def test_groups_stay_whole_and_every_pair_has_one_part(drives: Path) -> None:
    division = split_dataset(drives)
    assert sorted(name for names in division.names.values() for name in names) == open_dataset(drives, "all").ids
    assert all(names == sorted(names) for names in division.names.values())
    assert division.groups["drive03_0001"] == "drive03"
    found = {(name.partition("_")[0], part) for name, part in part_by_name(division).items()}
    assert len(found) == DRIVES
    assert division.notes == ()
    assert division.counts["groups"].keys() == PARTS.keys()
    assert sum(division.counts["groups"].values()) == DRIVES


def test_counts_are_those_of_the_files(drives: Path) -> None:
    division = split_dataset(drives)
    pairs = {sample.id: sample for sample in open_dataset(drives, "all")}
    for part, names in division.names.items():
        labels = np.stack([pairs[name].label for name in names])
        assert division.counts["pairs"][part] == len(names)
        assert division.counts["pixels of car"][part] == (labels == 1).sum()
        assert division.counts["pairs with bus"][part] == (labels == 3).any((1, 2)).sum()
        assert division.counts["scene night"][part] == sum(pairs[name].scene == "night" for name in names)
        assert division.counts["thermal_broken"][part] == sum(bool(pairs[name].flags) for name in names)


def test_better_than_chance(drives: Path) -> None:
    """The largest deviation of a class's share, against random divisions of the same groups."""
    kinds = ("pixels of", "pairs with")
    ours = [
        max(d.size for d in split_dataset(drives, seed=seed).deviations() if d.what.startswith(kinds))
        for seed in range(3)
    ]
    division = split_dataset(drives)
    labels = {sample.id: sample.label for sample in open_dataset(drives, "all")}
    counts = {name: np.bincount(np.asarray(label).ravel(), minlength=256)[:4] for name, label in labels.items()}
    chance = []
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(sorted(set(division.groups.values())))
        ends = np.round(np.cumsum([0, *PARTS.values()]) * DRIVES).astype(int)
        part_of = {g: part for part, a, b in zip(PARTS, ends, ends[1:], strict=False) for g in order[a:b]}
        held = np.zeros((3, 8))
        for name, count in counts.items():
            held[list(PARTS).index(part_of[division.groups[name]])] += [*count, *(count > 0)]
        chance.append(np.abs(held / held.sum(0) - np.array([*PARTS.values()])[:, None]).max())
    assert max(ours) < 0.6 * np.mean(chance)
    assert max(ours) < 0.12


def test_one_seed_one_division(drives: Path, tmp_path: Path) -> None:
    first = split_dataset(drives, seed=3)
    assert split_dataset(drives, seed=3).names == first.names
    assert any(split_dataset(drives, seed=seed).names != first.names for seed in range(3))
    ids = open_dataset(drives, "all").ids
    shuffled = list(np.random.default_rng(0).permutation(ids))
    other = tmp_path / "other"
    other.mkdir()
    for path in drives.iterdir():
        (other / path.name).symlink_to(path)
    write_list(other / "splits" / "whole.txt", shuffled)
    assert split_dataset(other, of="whole", seed=3).names == first.names


def test_stratify_is_exact_where_it_can_be() -> None:
    kinds = np.repeat(np.eye(4), 10, axis=0)
    parts = stratify(kinds, [0.7, 0.1, 0.2], seed=0)
    for kind in range(4):
        assert np.bincount(parts[10 * kind : 10 * kind + 10]).tolist() == [7, 1, 2]
    assert len({stratify(kinds, [0.7, 0.1, 0.2], seed=seed).tobytes() for seed in range(5)}) > 1


def test_stratify_gives_every_part_a_group() -> None:
    for groups in range(4, 8):
        amounts = np.random.default_rng(groups).random((groups, 3)) ** 4
        parts = stratify(amounts, [0.97, 0.01, 0.01, 0.01], seed=0)
        assert set(parts.tolist()) == {0, 1, 2, 3}
    assert stratify(np.zeros((2, 3)), [0.5, 0.5], seed=0).tolist() in ([0, 1], [1, 0])
    assert stratify(np.ones((3, 1)), [1.0], seed=0).tolist() == [0, 0, 0]


def test_stratify_places_few_large_groups_better_than_greedily() -> None:
    """10 + 7 + 5 + 4 + 4 divided in halves: only 10 + 5 and 7 + 4 + 4 are even."""
    for seed in range(10):
        parts = stratify(np.array([[10], [7], [5], [4], [4]]), [0.5, 0.5], seed)
        assert parts[0] == parts[2] != parts[1] == parts[3] == parts[4]


def test_stratify_places_well_before_it_improves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("cimnet.curation.split.stratify"), "_PASSES", 0)
    kinds = np.repeat(np.eye(4), 10, axis=0)
    for seed in range(5):
        parts = stratify(kinds, [0.7, 0.1, 0.2], seed)
        assert [np.bincount(parts[k : k + 10]).tolist() for k in range(0, 40, 10)] == [[7, 1, 2]] * 4


def test_val_out_of_train(tmp_path: Path) -> None:
    root = make_fmb(tmp_path, n=12)
    whole = open_dataset(root, "train").ids
    division = split_dataset(root, of="train", parts={"train": 0.75, "val": 0.25})
    assert len(division.names["val"]) == 2
    division.write()
    train, val = open_dataset(root, "train").ids, open_dataset(root, "val").ids
    assert sorted(train + val) == whole
    assert len(open_dataset(root, "test")) == 4
    with pytest.raises(DataError, match=r"train.txt: exists; --overwrite replaces it, --out"):
        split_dataset(root, of="train", parts={"train": 0.75, "val": 0.25})
    with pytest.raises(DataError, match=r"split.json: exists; --overwrite"):
        split_dataset(root, of="train", parts={"a": 0.75, "b": 0.25})
    again = split_dataset(root, of="train", parts={"train": 0.5, "val": 0.5}, overwrite=True)
    again.write()
    assert [len(open_dataset(root, split)) for split in ("train", "val")] == [3, 3]
    assert again.notes[1:] == ("2 pairs that split 'val' holds now come into no part: divide all of them",)
    with pytest.raises(DataError, match=r"a list test.txt of pairs of train would hide the pairs of the folder test"):
        split_dataset(root, of="train", parts={"train": 0.5, "test": 0.5}, out=tmp_path / "lists")
    notes = split_dataset(root, parts={"a": 0.5, "b": 0.5}, out=tmp_path / "lists").notes
    assert any(note.startswith("split 'train', which stays, shares pairs with ") for note in notes)


def test_what_is_written(tmp_path: Path) -> None:
    root = make_drives(tmp_path / "data", 8)
    (root / "labels" / "drive00_0000.png").unlink()
    division = split_dataset(root, parts={"train": 0.5, "dev": 0.5}, seed=7)
    assert not (root / "train.txt").exists()
    assert (
        division.counts["labelled pairs"]["train"] + division.counts["labelled pairs"]["dev"]
        == len(division.groups) - 1
    )
    assert [path.name for path in division.write()] == ["train.txt", "dev.txt", "split.json"]
    assert (root / "dev.txt").read_text() == "".join(f"{name}\n" for name in division.names["dev"])
    record = json.loads((root / "split.json").read_text())
    assert (record["seed"], record["of"], record["groups"], record["layout"]) == (7, "all", "auto", "folder")
    assert record["parts"] == {"train": 0.5, "dev": 0.5}
    assert record["counts"] == division.counts
    assert record["members"]["drive01"] == ["drive01_0000", "drive01_0001", "drive01_0002"]
    again = split_dataset(
        root, parts=record["parts"], seed=record["seed"], groups=record["groups"], of=record["of"], overwrite=True
    )
    assert again.names == division.names
    with pytest.raises(DataError, match=r"train.txt: exists; --overwrite"):
        division.write()
    other = split_dataset(root, out=tmp_path / "new" / "lists")
    other.write()
    assert sorted(path.name for path in (tmp_path / "new" / "lists").iterdir()) == [
        "split.json",
        "test.txt",
        "train.txt",
        "val.txt",
    ]


def test_all_lists_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_drives(tmp_path / "data", 8)
    division = split_dataset(root)
    before = set(root.iterdir())
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if ".test" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CimnetError, match=r"test\.txt: cannot be written \(No space left on device\), so nothing"):
        division.write()
    assert set(root.iterdir()) == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everyone may write here")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    root = make_drives(tmp_path / "data", 8)
    division = split_dataset(root)
    root.chmod(0o500)
    with pytest.raises(CimnetError, match="cannot be written"):
        division.write()


def test_report(tmp_path: Path) -> None:
    root = make_kust4k(tmp_path, n=8)
    division = split_dataset(root, parts={"train": 0.75, "test": 0.25}, overwrite=True)
    text = division.to_markdown()
    assert "|  | all | train | test |" in text
    assert "| wanted |  | 75.0 % | 25.0 % |" in text
    assert "| pairs | 8 | 6 (75.0 %) | 2 (25.0 %) |" in text
    for what in ("scene dark_night", "rgb_broken", "weakly_aligned", "pixels of truck", "pairs with tree", "groups"):
        assert f"| {what} | " in text
    worst = division.deviations()[0]
    assert "groups" not in {deviation.what for deviation in division.deviations()}
    assert worst.size == max(
        abs(counts[part] / sum(counts.values()) - share)
        for what, counts in division.counts.items()
        if what != "groups"
        for part, share in division.parts.items()
    )
    assert f"Largest deviation: {100 * worst.size:.1f} points ({worst.part} holds" in text
    assert f"\n\nNote: {PLAIN}.\n" in text
    assert text.endswith("Note: split 'val', which stays, shares pairs with test, train: do not use it beside them.\n")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": 0.7, "val": 0.2}, "the sum of train 0.7, val 0.2 is 0.9; it must be 1"),
        ({}, "the sum of none is 0"),
        ({"train": 1.2, "val": -0.2}, "train 1.2 is not a share"),
        ({"train": 1.0, "val": 0.0}, "val 0 is not a share"),
        ({"train": float("nan")}, "train nan is not a share"),
        ({"all": 1.0}, "'all' cannot be the name of a list"),
        ({"night": 1.0}, "'night' cannot be the name of a list"),
        ({"a/b": 1.0}, "'a/b' cannot be the name of a list"),
    ],
)
def test_parts_that_cannot_be(drives: Path, parts: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_dataset(drives, parts=parts)


def test_shares_may_be_off_by_rounding(drives: Path) -> None:
    assert split_dataset(drives, parts={"a": 1 / 3, "b": 1 / 3, "c": 0.3333334}).names.keys() == {"a", "b", "c"}


def test_the_border_does_not_count(tmp_path: Path) -> None:
    root = make_folder(tmp_path, n=6)
    (root / "classes.yaml").write_text("classes: [background, person, car]\nborder: [1, 2, 3, 4]\n")
    counts = split_dataset(root, parts={"a": 0.5, "b": 0.5}).counts
    inside = (HEIGHT - 4) * (WIDTH - 6)
    assert sum(sum(counts[f"pixels of {name}"].values()) for name in ("background", "person", "car")) == 6 * inside
    assert Counter(open_dataset(root, "all").check().tolist()) == Counter(
        sum(counts[f"pixels of {name}"].values()) for name in ("background", "person", "car")
    )
