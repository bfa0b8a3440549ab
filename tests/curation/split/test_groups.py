"""What belongs together: by names, by looks, by a regular expression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cimnet.curation.split import split_dataset
from cimnet.curation.split.groups import PLAIN
from cimnet.errors import DataError
from tests.fakes.bands import write_bands
from tests.fakes.layouts import make_mfnet, save_array, write_list

from .test_split import part_by_name


def test_regular_expressions(drives: Path) -> None:
    division = split_dataset(drives, groups=r"drive(\d)\d_\d+", parts={"a": 0.5, "b": 0.3, "c": 0.2})
    assert set(division.groups.values()) == {"0", "1", "2"}
    for groups, message in (
        ("(", r"'\(' is not auto, near, a CSV file or a regular expression"),
        (r"drive\d+_.*", "has no group in brackets"),
        (r"drive(0\d)_\d+", "does not match drive10_0000, drive10_0001 and .* more; write one"),
        (r"drive(\d)", "does not match"),
        (r"drive(0\d)?.*", "does not match drive10_0000"),
    ):
        with pytest.raises(DataError, match=message):
            split_dataset(drives, groups=groups)


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["a/1", "a/2", "b/1", "b/2"], ["a", "a", "b", "b"]),
        (["A_1", "A_2", "B_1", "B_2N"], ["A", "A", "B", "B"]),
        (["20-01-02_x_1", "20-01-02_x_2", "21-01-02_x_1", "21-01-02_x_3"], ["20-01-02_x"] * 2 + ["21-01-02_x"] * 2),
        (["0_bag1_f1", "1_bag1_f2", "2_bag2_f3", "3_bag2_f4"], ["bag1_f"] * 2 + ["bag2_f"] * 2),
        (["a/1", "a/2", "b/1", "b/2", "c"], ["a", "a", "b", "b", "c"]),
        (["train/s1_1", "train/s1_2", "test/s2_1", "test/s2_2"], ["s1", "s1", "s2", "s2"]),
        (["00001D", "00002N", "00003D"], None),
        (["frame1", "frame2", "frame3"], None),
        (["2020-01-02_03", "2020-01-02_04", "2020-02-02_03"], None),
        (["train/01", "train/02", "test/01", "test/02"], None),
    ],
)  # fmt: skip
def test_groups_by_name(tmp_path: Path, names: list[str], groups: list[str] | None) -> None:
    (tmp_path / "classes.yaml").write_text("classes: [a]\n")
    for name in names:
        save_array(tmp_path / "rgb" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
        save_array(tmp_path / "thermal" / f"{name}.png", np.zeros((4, 4), np.uint8))
    division = split_dataset(tmp_path, parts={"train": 0.5, "test": 0.5})
    assert [division.groups[name] for name in names] == (groups or names)
    assert division.notes == (() if groups else (PLAIN,))


def test_mirrored_pairs_stay_with_their_originals(tmp_path: Path) -> None:
    root = make_mfnet(tmp_path, n=8)
    names = [f"{index:05d}{'DN'[index % 2]}" for index in range(8)]
    write_list(root / "train.txt", [f"{name}{end}" for name in names for end in ("", "_flip")])
    for groups in ("auto", "near", "([0-9]+)[DN]"):
        division = split_dataset(root, of="train", parts={"train": 0.5, "val": 0.5}, groups=groups, overwrite=True)
        parts = part_by_name(division)
        assert [parts[name] for name in names] == [parts[f"{name}_flip"] for name in names]
        assert len(parts) == 16


def test_frames_that_look_alike_are_one_group(tmp_path: Path) -> None:
    """Three shots of several frames each, numbered without leading zeros; light drifts slowly."""
    random = np.random.default_rng(0)
    (tmp_path / "classes.yaml").write_text("classes: [a]\n")
    number = 0
    expected = {}
    for shot, frames in enumerate((9, 1, 5)):
        picture = random.integers(0, 200, (6, 8, 3)).repeat(8, 0).repeat(8, 1)
        for frame in range(frames):
            number += 1
            noisy = picture + 4 * frame + random.integers(0, 20, picture.shape)
            save_array(tmp_path / "rgb" / f"{number}.png", noisy.astype(np.uint8))
            save_array(tmp_path / "thermal" / f"{number}.png", np.zeros(picture.shape[:2], np.uint8))
            expected[str(number)] = shot
    division = split_dataset(tmp_path, groups="near")
    assert {division.groups[name]: shot for name, shot in expected.items()} == {"1": 0, "10": 1, "11": 2}
    assert division.notes == ()


def test_frames_look_as_their_chosen_bands_do(tmp_path: Path) -> None:
    """Bands 1 to 3 of all frames are equal; those that are chosen show two shots. Deep values need their range."""
    pytest.importorskip("rasterio")
    random = np.random.default_rng(0)
    for shot in range(2):
        picture = random.integers(0, 4000, (3, 6, 8)).repeat(8, 1).repeat(8, 2)
        for frame in range(2):
            values = np.concatenate((np.zeros((3, 48, 64)), picture, np.full((1, 48, 64), 29000)))
            write_bands(tmp_path / "img" / f"{2 * shot + frame}.tif", values.astype(np.uint16))
    (tmp_path / "classes.yaml").write_text(
        "classes: [a]\nfiles: {rgb: 'img/{name}', thermal: 'img/{name}'}\n"
        "bands: {rgb: [6, 5, 4], thermal: 7, rgb_range: [0, 4000]}\n"
    )
    assert split_dataset(tmp_path, groups="near", parts={"a": 0.5, "b": 0.5}).groups == {
        "0": "0",
        "1": "0",
        "2": "2",
        "3": "2",
    }


def test_too_few_groups_and_unknown_splits(drives: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 group \(drive\) cannot fill 3 parts; give fewer parts, or choose"):
        split_dataset(drives, groups=r"(drive)\d+_\d+")
    with pytest.raises(DataError, match=r"no list train.txt"):
        split_dataset(drives, of="train")
    with pytest.raises(DataError, match="no such folder"):
        split_dataset(tmp_path / "nowhere")
