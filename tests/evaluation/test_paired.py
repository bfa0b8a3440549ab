"""The paired bootstrap against known answers."""

from __future__ import annotations

import numpy as np
import pytest

from cimnet.errors import DataError
from cimnet.evaluation import paired_difference, scores
from cimnet.evaluation.metrics import Matrix
from cimnet.evaluation.paired import expanded_percentiles

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


def test_a_class_without_true_pixels_counts_as_in_the_scores() -> None:
    """Class 2 has no true pixel: it is left out, or counts as 0 once it is predicted, here as everywhere."""
    first = np.zeros((2, 4, 4), np.int64)
    first[:, 0, 0], first[:, 1, 1] = 10, 10
    second = first.copy()
    second[:, 0, 0], second[:, 0, 2] = 9, 1
    found = paired_difference(first, second, ["a", "b"])
    assert (found.first, found.second) == pytest.approx((1, (0.9 + 1 + 0) / 3))
    assert (found.first, found.second) == pytest.approx((scores(first.sum(0)).miou, scores(second.sum(0)).miou))
    assert (found.low, found.high) == pytest.approx((found.difference, found.difference))


def test_a_class_that_a_draw_misses_is_left_out_for_both() -> None:
    """Class 2 lies in group b alone; that the second model predicts it in group a costs class 0 there, no more."""
    first = np.zeros((2, 3, 3), np.int64)
    first[:, 0, 0], first[:, 1, 1], first[1, 2, 2] = 10, 10, 10
    second = first.copy()
    second[0, 0, 0], second[0, 0, 2] = 9, 1
    found = paired_difference(first, second, ["a", "b"])
    assert found.second == pytest.approx((19 / 20 + 1 + 10 / 11) / 3)
    assert found.low == pytest.approx((0.9 + 1) / 2 - 1)  # group a twice


@pytest.mark.parametrize("groups", [6, 26])
def test_few_groups_widen_the_interval(groups: int) -> None:
    """300 pairs of models without a true difference: at most 9 % of 95 % intervals may exclude 0. Plain percentiles
    exclude it in 15 % with 6 groups."""
    excluded = 0
    for seed in range(300):
        found = paired_difference(*two_models(1000 + seed, groups, 1, 0), draws=1000, seed=seed)
        excluded += not found.low <= 0 <= found.high
    assert excluded <= 27


def test_the_percentiles_for_few_groups() -> None:
    """For 6 groups: Student's t with 5 degrees of freedom, 2.5706, times √(6/5), as a normal tail."""
    assert expanded_percentiles(6) == pytest.approx((0.2432, 99.7568), abs=1e-3)
    assert expanded_percentiles(10_000) == pytest.approx((2.5, 97.5), abs=0.01)


def test_few_groups_are_said() -> None:
    assert "With 12 groups, fewer than 20" in (paired_difference(*two_models(0, 12, 1, 0)).warning or "")
    assert paired_difference(*two_models(0, 20, 1, 0)).warning is None


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
