"""The folder that `synthesize` writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.data import open_dataset
from cimnet.data.synthetic import render, synthesize
from cimnet.data.synthetic.contact_sheet import contact_sheet
from cimnet.data.synthetic.synthesis import _write
from cimnet.errors import CimnetError, ConfigError
from tests.fakes.killer import kill_worker
from tests.fakes.scene_dataset import SceneDataset

VIEW = {"size": (64, 80), "scale": 0.125}
COUNTS = {"train": 5, "val": 2, "test": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "scenes"
    synthesize(out, **COUNTS, seed=4, **VIEW)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def names(folder: Path, stem: str) -> list[str]:
    return (folder / f"{stem}.txt").read_text().split()


def test_layout_and_lists(folder):
    train, val, test = (names(folder, split) for split in COUNTS)
    assert [int(name[:5]) for name in train + val + test] == list(range(1, 11))
    for sub in ("RGB", "TIR", "Seg_annos"):
        assert sorted(p.stem for p in (folder / sub).iterdir()) == sorted(train + val + test)
    night = names(folder, "night") + names(folder, "dark_night")
    assert sorted(night) == [name for name in train + val + test if name.endswith("N")]
    about = json.loads((folder / "synth.json").read_text())
    assert about["seed"] == 4
    assert about["size"] == [64, 80]
    assert {k: about[k] for k in COUNTS} == COUNTS


def test_files_hold_what_render_gives(folder):
    name = names(folder, "test")[1]
    pair = render(4, split="test", index=1, number=9, **VIEW)
    assert name == pair.id
    assert np.array_equal(np.asarray(Image.open(folder / "RGB" / f"{name}.png")), pair.rgb)
    assert np.array_equal(np.asarray(Image.open(folder / "TIR" / f"{name}.png")), pair.thermal)
    assert np.array_equal(np.asarray(Image.open(folder / "Seg_annos" / f"{name}.png")), pair.label)
    with np.load(folder / "truth" / f"{name}.npz") as truth:
        np.testing.assert_allclose(truth["offset"], pair.offset, atol=0.01)
        assert np.array_equal(truth["moving"], pair.moving)
    for stem, flag in (("broke_RGB", "rgb_broken"), ("broke_TIR", "thermal_broken")):
        assert (name in names(folder, stem)) == (flag in pair.flags)


def test_the_data_room_reads_it(folder):
    for split, count in COUNTS.items():
        dataset = open_dataset(folder, split)
        assert len(dataset) == count
        for index in range(count):
            pair = render(4, split=split, index=index, **VIEW)
            assert dataset.flags[index] == pair.flags
            assert dataset.scenes[index] == pair.scene
    sample = dataset[0]
    assert sample.label is not None
    assert int(sample.label.max()) <= 8


def test_two_processes_write_the_same_bytes(folder, tmp_path):
    synthesize(tmp_path / "again", **COUNTS, seed=4, workers=2, **VIEW)
    assert contents(tmp_path / "again") == contents(folder)


def test_progress_is_reported(tmp_path):
    steps = []
    synthesize(tmp_path / "out", train=2, val=1, test=0, progress=lambda *step: steps.append(step), **VIEW)
    assert steps == [(1, 3), (2, 3), (3, 3)]


def _write_or_die(job):
    if job.index == 3:
        kill_worker()
    return _write(job)


def test_a_killed_process_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("cimnet.data.synthetic.synthesis._write", _write_or_die)
    with pytest.raises(CimnetError, match=r"was killed \(out of memory\?\) at .*train 3.*use fewer workers"):
        synthesize(tmp_path / "out", train=6, val=0, test=0, workers=2, **VIEW)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(CimnetError, match="not empty") as caught:
        synthesize(tmp_path, train=1, val=0, test=0, **VIEW)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == {"mine.txt": b"keep"}


def test_an_empty_folder_is_used(tmp_path):
    out = tmp_path / "empty"
    out.mkdir()
    synthesize(out, train=1, val=0, test=0, **VIEW)
    assert len(names(out, "train")) == 1


def test_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(folder, written):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cimnet.data.synthetic.synthesis._write_lists", fail)
    with pytest.raises(CimnetError, match="No space left"):
        synthesize(tmp_path / "out", train=1, val=0, test=0, **VIEW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [{"train": -1}, {"train": 0, "val": 0, "test": 0}, {"workers": 0}, {"scale": 9}, {"late": 2}]
)
def test_unusable_numbers_are_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(ConfigError) as caught:
        synthesize(tmp_path / "out", **wrong)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_scene_dataset_draws_samples():
    dataset = SceneDataset("val", 3, seed=4, transform=lambda sample: sample, **VIEW)
    sample = dataset[2]
    assert len(dataset) == 3
    assert sample.rgb.shape == (3, 64, 80)
    assert sample.thermal.shape == (1, 64, 80)
    assert np.array_equal(sample.label.numpy(), render(4, split="val", index=2, **VIEW).label)
    with pytest.raises(IndexError):
        dataset[3]


def test_contact_sheet():
    sheet = contact_sheet(0, rows=2, size=(64, 80), scale=0.125)
    assert sheet.width > 4 * 80
    assert len(sheet.getcolors(10**6)) > 500
