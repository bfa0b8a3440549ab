"""Patterns with a free part or a time, files that fit two patterns, and lists of pairs, through the layout `folder`."""

from __future__ import annotations

import shutil
import unicodedata
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cimnet.data import open_dataset
from cimnet.data.io.name_patterns import NamePattern, find_partners
from cimnet.data.io.pair_table import read_table
from cimnet.data.layouts.folder import Folder
from cimnet.errors import DataError
from tests.fakes.layouts import make_folder

START = datetime(2024, 1, 31, 12, 0, 0, tzinfo=UTC)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def described(root: Path, files: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.yaml").write_text(f"classes: [a, b]\nfiles: {files}\n")
    return root


def index(root: Path) -> dict[str, tuple[str, str, str]]:
    """By pair: its three files, "" where there is none."""
    found = Folder.index(root)
    assert found.thermal is not None
    parts = (found.rgb.files, found.thermal.files, found.labels.files)
    return {n: tuple(p[n].name if n in p else "" for p in parts) for n in found.names()}  # type: ignore[misc]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(0, 9999), st.tuples(st.integers(0, 86399), st.integers(0, 86399)), max_size=8))
def test_any_time_same_number(tmp_path: Path, shots: dict[int, tuple[int, int]]) -> None:
    """The number alone pairs, whatever stands in the free part."""
    root = described(tmp_path / "d", '{rgb: "DJI_{*}_{name}_V", thermal: "DJI_{*}_{name}_T", labels: "masks/{name}"}')
    expected = {}
    for number, moments in shots.items():
        rgb, thermal = (f"DJI_{START + timedelta(seconds=s):%Y%m%d%H%M%S}_{number:04d}" for s in moments)
        touch(root, f"{rgb}_V.JPG", f"{thermal}_T.JPG", f"masks/{number:04d}.png")
        expected[f"{number:04d}"] = (f"{rgb}_V.JPG", f"{thermal}_T.JPG", f"{number:04d}.png")
    found = index(root)
    shutil.rmtree(root)
    assert found == expected


def test_times_pair_the_nearest_and_gaps_are_said(tmp_path: Path) -> None:
    root = described(tmp_path, '{rgb: "rgb/{time}", thermal: "ir/cam_{time}", labels: "masks/{time}", max_gap: 0.05}')
    touch(root, *(f"rgb/{1706702400 + k}.000.jpg" for k in range(4)))
    touch(root, "ir/cam_1706702400.040.png", "ir/cam_1706702400.980.png", "ir/cam_1706702402.100.png")
    touch(root, "masks/1706702401.000.png")
    with pytest.warns(UserWarning, match="without a partner in time") as said:
        found = index(root)
    assert found == {
        "1706702400.000": ("1706702400.000.jpg", "cam_1706702400.040.png", ""),
        "1706702401.000": ("1706702401.000.jpg", "cam_1706702400.980.png", "1706702401.000.png"),
    }
    texts = sorted((str(one.message) for one in said), key=lambda text: "RGB" not in text)
    assert "2 RGB images without a partner in time within 0.05 s, left out: rgb/1706702402.000.jpg" in texts[0]
    assert "1 thermal image without a partner in time within 0.05 s, left out: ir/cam_1706702402.100.png" in texts[1]


def test_a_number_twice_is_refused_with_the_way_out(tmp_path: Path) -> None:
    root = described(tmp_path, '{rgb: "{*}_{name}_V", thermal: "{*}_{name}_T", labels: "masks/{name}"}')
    touch(root, "20240131120000_0001_V.jpg", "20240201120000_0001_V.jpg", "20240131120000_0001_T.jpg")
    with pytest.raises(DataError, match=r"share a name; keep one of them, or write \{time\} in place of \{\*\}"):
        Folder.index(root)
    described(root, '{rgb: "{time}_{name}_V", thermal: "{time}_{name}_T", labels: "masks/{name}"}')
    touch(root, "20240201120001_0001_T.jpg")
    assert {files[:2] for files in index(root).values()} == {
        ("20240131120000_0001_V.jpg", "20240131120000_0001_T.jpg"),
        ("20240201120000_0001_V.jpg", "20240201120001_0001_T.jpg"),
    }
    touch(root, "masks/0001.png")
    with pytest.raises(DataError, match=r"'0001' without a time fits 2 files that differ in their time alone"):
        Folder.index(root)


def test_a_file_that_fits_two_patterns_is_said(tmp_path: Path) -> None:
    """Roboflow's _mask: a label, not one more picture."""
    root = described(tmp_path, '{rgb: "train/{name}", thermal: "thermal/{name}", labels: "train/{name}_mask"}')
    touch(root, "train/a.jpg", "train/a_mask.png", "thermal/a.png")
    wanted = (
        r"train/a_mask\.png: the patterns rgb: 'train/\{name\}' and labels: 'train/\{name\}_mask' both fit; taken for "
    )
    with pytest.warns(UserWarning, match=wanted + "labels alone"):
        assert index(root) == {"a": ("a.jpg", "a.png", "a_mask.png")}


def test_patterns_that_say_as_much_are_refused(tmp_path: Path) -> None:
    root = described(tmp_path, '{rgb: "{name}_a", thermal: "thermal/{name}", labels: "b_{name}"}')
    touch(root, "b_x_a.png", "thermal/x.png")
    with pytest.raises(DataError, match=r"b_x_a\.png: the patterns rgb: .* both fit; say more of the names"):
        Folder.index(root)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ('{rgb: "a/{*}"}', r"expected \{name\} or \{time\} in it"),
        ('{rgb: "{name}{name}"}', r"\{time\} in it, each once"),
        ('{rgb: "a/{name}", labels: "a/{name}"}', "rgb and labels are the same pattern"),
        ('{rgb: "a/{name}", max_gap: -1}', "max_gap: -1 must be a number of seconds"),
        ('{rgb: "a/{name}", max_gap: true}', "max_gap: True must be a number of seconds"),
    ],
)
def test_patterns_that_are_none(tmp_path: Path, files: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        Folder.index(described(tmp_path, files))


def test_names_of_a_pattern() -> None:
    pattern = NamePattern("flight/{*}/x_{time}_{name}_V")
    assert pattern.folder == "flight"
    read = pattern.read("2/x_20240131120000_0001_V")
    assert read is not None
    assert (read.name, read.group, read.time) == ("20240131120000_0001", "0001", START.timestamp())
    assert pattern.read("2/x_20241331120000_0001_V") is None  # no month 13
    assert find_partners([read], [], None) == {}


def make_table(root: Path, rows: str, header: str = "rgb,thermal,label,split,name") -> Path:
    make_folder(root)
    for path in root.glob("*.txt"):
        path.unlink()
    (root / "pairs.csv").write_text(f"{header}\n{rows}")
    return root


def test_a_list_of_pairs(tmp_path: Path) -> None:
    """Whatever the names, and although the folders would pair otherwise."""
    rows = "rgb/000.png,thermal/003.png,labels/000.png,train,first\nrgb/001.png,thermal/002.png,,hold out,\n"
    root = make_table(tmp_path, rows)
    dataset = open_dataset(root, "train")
    assert dataset.ids == ["first"]
    assert dataset.pairs[0].thermal == root / "thermal" / "003.png"
    held = open_dataset(root, "hold out", require_labels=False)
    assert (held.ids, held.pairs[0].label) == (["rgb/001"], None)
    assert open_dataset(root, "all", require_labels=False).ids == ["first", "rgb/001"]
    with pytest.raises(DataError, match=r"pairs\.csv: no image for rgb/001 \(labels are required\)"):
        open_dataset(root, "hold out")


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("rgb/000.png,,,,\n", "row 2: no thermal image; a pair of a data set needs both"),
        ("rgb/000.png,thermal/9.png,,,\n", r"no such file: .*9\.png"),
        ("rgb/000.png,thermal/000.png,,,\n" * 2, "row 3: the name 'rgb/000' is there twice"),
        ("rgb/000.png,thermal/000.png,,all,\n", "no split may be called 'all'"),
        ("rgb/000.png\n", "row 2: 1 cell where the first line has 5"),
        ("", "no pairs in it"),
    ],
)
def test_lists_of_pairs_that_cannot_be_used(tmp_path: Path, rows: str, fault: str) -> None:
    root = make_table(tmp_path, rows)
    with pytest.raises(DataError, match=fault):
        open_dataset(root, "all", require_labels=False)


def test_a_split_list_against_the_column(tmp_path: Path) -> None:
    """A stale train.txt would train on what the column tests; one that takes fewer pairs of its split is no fault."""
    rows = "".join(f"rgb/00{n}.png,thermal/00{n}.png,,{split},\n" for n, split in enumerate(("train", "train", "test")))
    root = make_table(tmp_path, rows)
    (root / "splits").mkdir()
    for text, fault in (("rgb/001.png\n", ""), ("rgb/001.png\nrgb/002.png\n", "rgb/002")):
        (root / "splits" / "train.txt").write_text(text)
        if not fault:
            assert open_dataset(root, "train", require_labels=False).ids == ["rgb/001"]
            continue
        with pytest.raises(DataError, match=r"train\.txt: names rgb/002, which pairs\.csv .*test.*; remove"):
            open_dataset(root, "train", require_labels=False)
    assert open_dataset(root, "test", require_labels=False).ids == ["rgb/002"]


@pytest.mark.parametrize("listed", [False, True])
def test_decomposed_names_in_a_list_of_pairs(tmp_path: Path, listed: bool) -> None:
    """macOS writes é as two characters; lists, scenes and boxes are read as composed ones."""
    name = unicodedata.normalize("NFD", "été")
    root = make_table(tmp_path, f"rgb/{name}.png,thermal/{name}.png,,train,{name if listed else ''}\n")
    for folder in ("rgb", "thermal"):
        (root / folder / "000.png").rename(root / folder / f"{name}.png")
    id_ = unicodedata.normalize("NFC", name if listed else f"rgb/{name}")
    (root / "mine.txt").write_text(f"{id_}\n", encoding="utf-8")
    for split in ("train", "mine"):
        dataset = open_dataset(root, split, require_labels=False)
        assert dataset.ids == [id_]
        assert dataset[0].rgb.shape[0] == 3


def test_columns_of_a_list(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("\ufeffRGB, Thermal ,note\na.png,b.png,x\n", encoding="utf-8")
    assert [(row.rgb, row.thermal, row.split) for row in read_table(path)] == [
        (tmp_path / "a.png", tmp_path / "b.png", "")
    ]


def test_plain_patterns_say_nothing(tmp_path: Path) -> None:
    root = described(tmp_path, '{rgb: "{name}_V", thermal: "{name}_T", labels: "masks/{name}"}')
    touch(root, "1_V.jpg", "1_T.jpg", "masks/1.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert index(root) == {"1": ("1_V.jpg", "1_T.jpg", "1.png")}
