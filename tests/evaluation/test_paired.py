"""The paired bootstrap against known answers."""

from __future__ import annotations

import numpy as np
import pytest

from cimnet.errors import DataError
from cimnet.evaluation import paired_difference, scores
from cimnet.evaluation.metrics import Matrix

PIXELS = 200


def images(random: np.random.Generator, accuracy: np.ndarray) -> Matrix:
    """Confusion matrices (images, 2, 2) of two classes with PIXELS true pixels each, by the accuracy of each image."""
    correct = random.binomial(PIXELS, np.stack([accuracy, accuracy], axis=1))
    matrices = np.zeros((len(accuracy), 2, 2), np.int64)
    for true in range(2):
        matrices[:, true, true] = correct[:, true]
        matrices[:, true, 1 - true] = PIXELS - correct[:, true]
    return matrices


def two_models(
    seed: int, groups: int, per_group: int, gain: float, differs: float = 0.05
) -> tuple[Matrix, Matrix, list[str]]:
    """Two models on images whose difficulty, and whose gain, are those of their groups."""
    random = np.random.default_rng(seed)
    base = random.normal(0.75, 0.1, groups).clip(0.4, 0.9).repeat(per_group)
    by_group = (gain + random.normal(0, differs, groups)).repeat(per_group)
    first, second = images(random, base), images(random, (base + by_group).clip(0.01, 0.99))
    return first, second, [f"group {number // per_group}" for number in range(groups * per_group)]


def test_a_model_against_itself() -> None:
    first, _, groups = two_models(0, 12, 4, 0.1)
    found = paired_difference(first, first, groups)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert (found.groups, found.better, found.worse) == (12, 0, 0)


def test_the_pooled_scores_are_those_of_one_matrix() -> None:
    first, second, groups = two_models(1, 12, 4, 0.1)
    found = paired_difference(first, second, groups)
    assert found.first == pytest.approx(scores(first.sum(0)).miou)
    assert found.second == pytest.approx(scores(second.sum(0)).miou)
    assert found.difference == pytest.approx(found.second - found.first)


def test_a_difference_is_found_and_turns_its_sign() -> None:
    first, second, groups = two_models(2, 30, 3, 0.1)
    found, turned = paired_difference(first, second, groups), paired_difference(second, first, groups)
    assert 0 < found.low < found.difference < found.high
    assert found.better > 20
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert (turned.better, turned.worse) == (found.worse, found.better)


def test_images_of_one_group_count_as_one() -> None:
    """Each image ten times over is no further evidence, unless each copy is called a group of its own."""
    first, second, groups = two_models(3, 15, 1, 0.02)
    many = [np.repeat(matrices, 10, axis=0) for matrices in (first, second)]
    once = paired_difference(first, second, groups)
    grouped = paired_difference(*many, groups=list(np.repeat(groups, 10)))
    alone = paired_difference(*many, groups=[str(number) for number in range(150)])
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high))
    assert alone.high - alone.low < 0.5 * (once.high - once.low)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """200 simulated comparisons; of 95 % intervals over 40 groups, 88 % and more must hold the true difference."""
    whole = two_models(99, 200_000, 1, 0.05)
    truth = scores(whole[1].sum(0)).miou - scores(whole[0].sum(0)).miou
    held, width = 0, []
    for seed in range(200):
        found = paired_difference(*two_models(seed, 40, 2, 0.05), draws=500, seed=seed)
        held += found.low <= truth <= found.high
        width.append(found.high - found.low)
    assert 0.88 <= held / 200 <= 0.995
    assert np.mean(width) < 0.06  # an interval that holds everything is no interval


def test_classes_without_true_pixels_do_not_judge() -> None:
    """Class 2 has no true pixel: predicting some costs the class they are taken from, not a class with IoU 0."""
    first = np.zeros((2, 3, 3), np.int64)
    first[:, 0, 0], first[:, 1, 1] = 10, 10
    second = first.copy()
    second[:, 0, 0], second[:, 0, 2] = 9, 1
    found = paired_difference(first, second, ["a", "b"])
    assert (found.first, found.second) == pytest.approx((1, (0.9 + 1) / 2))


def test_a_rare_class_may_be_missing_from_a_draw() -> None:
    first, second, groups = two_models(4, 8, 1, 0.05)
    wide = [np.zeros((8, 3, 3), np.int64) for _ in range(2)]
    for matrices, given in zip(wide, (first, second), strict=True):
        matrices[:, :2, :2] = given
        matrices[0, 2, 2] = 5
    found = paired_difference(*wide, groups=groups)
    assert np.isfinite([found.low, found.high]).all()


def test_what_cannot_be_paired() -> None:
    first, second, groups = two_models(5, 6, 1, 0.1)
    with pytest.raises(DataError, match="cannot be paired"):
        paired_difference(first, second[:-1], groups)
    with pytest.raises(DataError, match="at least two groups"):
        paired_difference(first, second, ["one"] * 6)
    with pytest.raises(DataError, match="no image has a labelled pixel"):
        paired_difference(0 * first, 0 * first, groups)
    other = second.copy()
    other[0, 0, 0] += 1
    with pytest.raises(DataError, match="true pixels of the classes differ"):
        paired_difference(first, other, groups)
