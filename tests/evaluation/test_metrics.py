"""Scores from one confusion matrix: three classes counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cimnet.evaluation import confusion_matrix, scores

TRUTH = np.array([[0, 0, 0, 0, 1], [1, 1, 2, 2, 255]])
PREDICTION = np.array([[0, 0, 0, 1, 1], [1, 2, 2, 0, 1]])
MATRIX = np.array([[3, 1, 0], [0, 2, 1], [1, 0, 1]])


def test_rows_are_truth_and_ignored_pixels_are_left_out() -> None:
    matrix = confusion_matrix(TRUTH, PREDICTION, 3)
    np.testing.assert_array_equal(matrix, MATRIX)
    assert matrix.dtype == np.int64
    assert matrix.sum() == TRUTH.size - 1


def test_a_prediction_at_an_ignored_pixel_changes_nothing() -> None:
    other = PREDICTION.copy()
    other[1, 4] = 0
    np.testing.assert_array_equal(confusion_matrix(TRUTH, other, 3), MATRIX)


def test_small_integer_types_do_not_overflow() -> None:
    truth, prediction = np.full((2, 2), 200, dtype=np.uint8), np.full((2, 2), 199, dtype=np.uint8)
    matrix = confusion_matrix(truth, prediction, 201)
    assert matrix[200, 199] == 4


def test_three_classes_by_hand() -> None:
    result = scores(MATRIX)
    np.testing.assert_allclose(result.iou, [3 / 5, 2 / 4, 1 / 3])  # correct / (true + predicted − correct)
    np.testing.assert_allclose(result.accuracy, [3 / 4, 2 / 3, 1 / 2])  # correct / true
    np.testing.assert_allclose(result.f1, [6 / 8, 4 / 6, 2 / 4])  # 2·correct / (true + predicted)
    assert result.miou == pytest.approx((3 / 5 + 2 / 4 + 1 / 3) / 3)
    assert result.pixel_accuracy == pytest.approx(6 / 9)


def test_a_class_absent_from_both_is_left_out_or_counts_zero() -> None:
    matrix = np.zeros((4, 4), dtype=np.int64)
    matrix[:3, :3] = MATRIX
    ignore, zero = scores(matrix, "ignore"), scores(matrix, "zero")
    assert np.isnan(ignore.iou[3])
    assert ignore.miou == pytest.approx(scores(MATRIX).miou)
    assert zero.iou[3] == 0
    assert zero.miou == pytest.approx(scores(MATRIX).miou * 3 / 4)


def test_a_class_only_predicted_or_only_true_counts_zero_in_both_conventions() -> None:
    for matrix in (np.array([[2, 1], [0, 0]]), np.array([[2, 0], [1, 0]])):
        for absent in ("ignore", "zero"):
            assert scores(matrix, absent).miou == pytest.approx((2 / 3 + 0) / 2)


def test_accuracy_of_a_class_without_true_pixels_is_unknown() -> None:
    assert np.isnan(scores(np.array([[2, 1], [0, 0]])).accuracy[1])


def test_nothing_to_judge_is_nan() -> None:
    result = scores(np.zeros((3, 3), dtype=np.int64))
    assert np.isnan(result.miou)
    assert np.isnan(result.pixel_accuracy)


def test_one_matrix_over_the_set_is_not_the_mean_over_images() -> None:
    """A small object lost in one image and a large one found in another: the mean over images says 0.5."""
    lost = confusion_matrix(np.array([1, 0, 0, 0]), np.array([0, 0, 0, 0]), 2)
    found = confusion_matrix(np.array([1] * 9), np.array([1] * 9), 2)
    assert scores(lost + found).iou[1] == pytest.approx(9 / 10)
    assert np.mean([scores(lost).iou[1], scores(found).iou[1]]) == pytest.approx(0.5)
