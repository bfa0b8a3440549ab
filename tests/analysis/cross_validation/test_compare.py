"""Two cross-validations against each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cimnet.analysis.cross_validation import cross_validate
from cimnet.analysis.cross_validation.compare import compare_runs, comparison_table
from cimnet.analysis.cross_validation.held_out import HeldOut, read_held_out
from cimnet.curation.split.folds import divide_into_folds
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.training.recipe import Recipe
from tests.conftest import Result


@pytest.fixture
def runs(recipe: Recipe, tmp_path: Path) -> list[Path]:
    """One model with two seeds, and one that learns nothing with one."""
    cross_validate(recipe.with_fields("training", epochs=3), tmp_path / "good", seeds=[0, 1])
    cross_validate(recipe.with_fields("training", learning_rate=1e-9), tmp_path / "bad")
    return [tmp_path / "good", tmp_path / "bad"]


def test_the_difference_of_two_models(runs: list[Path]) -> None:
    found = compare_runs(runs)[0]
    assert found.paired.groups == 6
    assert found.paired.high < 0  # what learns nothing is worse
    assert found.paired.worse == 6
    good = read_held_out(runs[0] / "images.npz", "").matrices.mean(0).sum(0)
    true, predicted, correct = good.sum(1), good.sum(0), np.diag(good)
    assert found.paired.first == pytest.approx((correct / (true + predicted - correct)).mean())
    text = comparison_table([found])
    assert f"Against {runs[0]}" in text
    assert f"| {runs[1]} | pixel_mi | " in text
    assert "0 of 6 (worse: 6)" in text
    assert "which model is better. With 6 groups, fewer than 20, the interval is a rough guide" in text
    content = found.to_dict()
    assert found.paired.warning is not None
    assert content["warning"] == found.paired.warning
    assert content["difference"] == pytest.approx(content["second"] - content["first"])


def test_a_run_against_itself_and_the_order_of_images(runs: list[Path], tmp_path: Path) -> None:
    """Images are paired by name, whatever their order in the files."""
    images = read_held_out(runs[0] / "images.npz", "")
    other = tmp_path / "turned"
    other.mkdir()
    (other / "cross_validation.json").write_bytes((runs[0] / "cross_validation.json").read_bytes())
    HeldOut(images.ids[::-1], images.matrices[:, ::-1]).write(other / "images.npz")
    for folder in (runs[0], other):
        paired = compare_runs([runs[0], folder])[0].paired
        assert (paired.difference, paired.low, paired.high, paired.better) == (0, 0, 0, 0)
    assert [found.folder for found in compare_runs([runs[0], runs[1], other])] == [runs[1], other]


def test_a_comparison_does_not_replace_what_it_compares(runs: list[Path], cli: Callable[..., Result]) -> None:
    record = runs[0] / "cross_validation.json"
    before = record.read_bytes()
    ran = cli("runs", *runs, "--compare", "--json", record)
    assert ran.code == 2
    assert "cross_validation.json: is also an input" in ran.err
    assert record.read_bytes() == before
    for _ in range(2):
        assert cli("runs", *runs, "--compare", "--json", runs[0] / "against.json").code == 0


def test_what_cannot_be_compared(runs: list[Path], root: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two cross-validations or more"):
        compare_runs(runs[:1])
    with pytest.raises(CimnetError, match="holds no cross-validation; `cimnet cross-validate` makes one"):
        compare_runs([runs[0], root])
    divide_into_folds(root, 2, overwrite=True).write()
    cross_validate(recipe, tmp_path / "two")
    with pytest.raises(DataError, match=r"two: its folds are not those of .*good; compare runs on the same lists"):
        compare_runs([runs[0], tmp_path / "two"])
    images = read_held_out(runs[1] / "images.npz", "")
    HeldOut(images.ids[1:], images.matrices[:, 1:]).write(runs[1] / "images.npz")
    with pytest.raises(DataError, match=r"not the tested images of .*good"):
        compare_runs(runs)
    HeldOut(images.ids, images.matrices.repeat(2, axis=0)).write(runs[1] / "images.npz")
    with pytest.raises(DataError, match=r"images\.npz: holds 2 seeds, the record 1; repeat the command"):
        compare_runs(runs)
    wrong = images.matrices.copy()
    wrong[0, 0, 0, 0] += 1
    HeldOut(images.ids, wrong).write(runs[1] / "images.npz")
    with pytest.raises(DataError, match=r"good and .*bad: the true pixels of the classes differ"):
        compare_runs(runs)
    (runs[1] / "images.npz").unlink()
    with pytest.raises(DataError, match="repeat the command of the cross-validation to write it again"):
        compare_runs(runs)
    record = json.loads((runs[1] / "cross_validation.json").read_text())
    (runs[1] / "cross_validation.json").write_text(json.dumps({**record, "by_seed": {}}))
    with pytest.raises(DataError, match="bad: no seed is complete; repeat its command"):
        compare_runs(runs)
    (runs[1] / "cross_validation.json").write_text(json.dumps({**record, "classes": ["a", "b", "c"]}))
    with pytest.raises(DataError, match="bad: its classes are not those of"):
        compare_runs(runs)
