"""Figures of a data set: splits, light, classes, offsets; and the lists that can be written from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.stats import dataset_stats
from cimnet.curation.stats.stats_figures import plot_classes, plot_offsets, write_lists
from cimnet.data import open_dataset
from cimnet.data.io.lighting import lighting, mean_luma
from cimnet.data.io.split_lists import SPLIT_FOLDERS
from cimnet.data.synthetic import synthesize
from cimnet.errors import CimnetError, DataError
from tests.fakes.killer import deadly
from tests.fakes.layouts import make_arrays, make_folder, make_kust4k


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stats") / "scenes"
    synthesize(root, train=8, val=2, test=4, seed=1, size=(256, 320), scale=0.5)
    return root


def test_classes_and_splits(tmp_path: Path) -> None:
    found = dataset_stats(make_folder(tmp_path), sample=0)
    assert {name: len(pairs) for name, pairs in found.splits.items()} == {"train": 3, "val": 1, "test": 2}
    labels = np.stack([make_arrays(index)[2] for index in range(6)])
    np.testing.assert_allclose(found.shares(), np.bincount(labels.ravel(), minlength=3) / labels.size)
    np.testing.assert_allclose(found.shares("val"), np.bincount(labels[3].ravel(), minlength=3) / labels[3].size)
    assert found.offsets()["pairs"] == 0
    with pytest.raises(DataError, match="no offsets were estimated"):
        plot_offsets(found)


def test_every_split_folder_counts_and_the_rest_is_said(tmp_path: Path) -> None:
    folders = {kind: f"{kind}/{{split}}/{{name}}" for kind in ("rgb", "thermal", "labels")}
    (tmp_path / "classes.yaml").write_text(json.dumps({"classes": ["a", "b", "c"], "files": folders}))
    for index, split in enumerate(SPLIT_FOLDERS):
        for kind, image in zip(folders, make_arrays(index), strict=True):
            path = tmp_path / kind / split / f"{index}.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(image).save(path)
    found = dataset_stats(tmp_path, sample=0)
    assert {name: len(pairs) for name, pairs in found.splits.items()} == dict.fromkeys(SPLIT_FOLDERS, 1)
    assert found.left_out == 0
    assert "In none of these splits" not in found.to_markdown()
    part = dataset_stats(tmp_path, splits=("train",), sample=0)
    assert json.loads(part.to_json())["left_out"] == 3
    assert "In none of these splits: 3 pairs." in part.to_markdown()


def test_ignored_pixels_are_left_out(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    label = np.full((32, 40), 255, np.uint8)
    label[:4] = 1
    for path in (root / "labels").iterdir():
        Image.fromarray(label).save(path)
    assert dataset_stats(root, sample=0).shares() == [0, 1, 0]


def test_flags_and_scenes(tmp_path: Path) -> None:
    found = dataset_stats(make_kust4k(tmp_path), sample=0)
    table = found.to_markdown()
    assert "| pairs | 4 | 2 | 2 |" in table
    assert "| published | 2814 | 403 | 807 |" in table
    assert "| RGB broken | 1 | 0 | 0 |" in table
    assert "| thermal broken | 2 | 0 | 0 |" in table
    assert "| dark night | 1 | 0 | 0 |" in table


def test_light_of_scenes_by_brightness(scenes: Path) -> None:
    pairs = [p for p in dataset_stats(scenes, sample=0).pairs() if "rgb_broken" not in p.flags]
    assert len({pair.scene for pair in pairs}) == 3
    assert [pair.light for pair in pairs] == [pair.scene for pair in pairs]


def test_rule_for_light() -> None:
    for value, known, expected in (
        (100, "", "day"),
        (40, "", "night"),
        (40, "day", "day"),
        (10, "", "dark_night"),
        (10, "day", "day"),
        (100, "night", "night"),
        (10, "night", "dark_night"),
    ):
        assert lighting(np.full((8, 8, 3), value, np.uint8), known) == expected
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 100
    assert mean_luma(red) == pytest.approx(29.9)


def test_true_offsets_are_taken_where_there_are_any(scenes: Path) -> None:
    found = dataset_stats(scenes, sample=0)
    offsets = found.offsets()
    assert found.truth
    assert offsets["pairs"] == 14
    data = open_dataset(scenes, "train")
    for pair in found.splits["train"]:
        truth = data.truth(data.ids.index(pair.id))  # type: ignore[attr-defined]
        still = truth["offset"].astype(np.float32)[:, ~truth["moving"]].mean(1)
        assert pair.static == pytest.approx((still[1], still[0]), abs=1e-3)
    weak = {pair.id for pair in found.pairs() if pair.weak}
    listed = set((scenes / "weakly_aligned.txt").read_text().split())
    assert len(weak ^ listed) <= 2  # the list goes by single pixels, the figures by whole objects


def test_estimates_agree_with_the_truth(scenes: Path, tmp_path: Path) -> None:
    true = {pair.id: pair.static for pair in dataset_stats(scenes, sample=0).pairs()}
    (scenes / "truth").rename(tmp_path / "truth")
    try:
        found = dataset_stats(scenes, sample=2)
    finally:
        (tmp_path / "truth").rename(scenes / "truth")
    assert not found.truth
    known = [pair for pair in found.pairs() if pair.static is not None]
    assert len(known) >= 4
    for pair in known:
        assert np.hypot(*np.subtract(pair.static, true[pair.id])) < 1
    assert "estimated offsets" in found.to_markdown()


@pytest.mark.slow  # imports torch twice more; tests/curation/check/test_processes.py tries processes, too
def test_processes_change_nothing(scenes: Path) -> None:
    calls: list[tuple[int, int]] = []
    one = dataset_stats(scenes, sample=0)
    two = dataset_stats(scenes, sample=0, workers=2, progress=lambda done, total: calls.append((done, total)))
    assert one == two
    assert calls == [(k, 14) for k in range(1, 15)]


def test_a_killed_process_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "cimnet.curation.stats.open_dataset", lambda *args, **options: deadly(open_dataset(*args, **options), "001")
    )
    with pytest.raises(CimnetError, match=r"worker process was killed \(out of memory\?\) at .*001.*use fewer workers"):
        dataset_stats(make_folder(tmp_path), sample=0, workers=2)


def test_lists_can_be_written_and_are_read(scenes: Path, tmp_path: Path) -> None:
    found = dataset_stats(scenes, sample=0)
    paths = write_lists(found, tmp_path)
    assert (tmp_path / "day.txt").read_text().split() == sorted(p.id for p in found.pairs() if p.light == "day")
    assert {path.stem for path in paths} <= {"day", "night", "dark_night", "weakly_aligned"}
    with pytest.raises(DataError, match="exists; --overwrite"):
        write_lists(found, tmp_path)
    write_lists(found, tmp_path, overwrite=True)


def test_command(scenes: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    result = cli("data", "stats", scenes, "--out", tmp_path / "stats", "--sample", 0, "--workers", 1)
    assert result.code == 0, result.err
    assert "Weakly aligned" in result.out
    content = json.loads((tmp_path / "stats" / "stats.json").read_text())
    assert sum(content["shares"]["all"]) == pytest.approx(1)
    assert len(content["pairs"]["train"]) == 8
    for name in ("classes.png", "offsets.png"):
        with Image.open(tmp_path / "stats" / name) as image:
            assert min(image.size) > 200


def test_figures_show_every_class_and_part(scenes: Path) -> None:
    found = dataset_stats(scenes, sample=0)
    (axis,) = plot_classes(found).axes
    assert len(axis.patches) == len(found.classes)
    pie, scatter = plot_offsets(found).axes
    assert sum(found.offsets()[key] > 0 for key in ("weakly_aligned", "aligned", "unknown")) == len(pie.patches)
    assert scatter.get_xlabel() == "offset along x, px"
