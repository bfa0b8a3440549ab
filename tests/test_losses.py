"""The loss by hand: eq. (24) in numbers, λ under plain gradient descent, outputs of one-sensor models."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cimnet.losses import LambdaMode, MutualInformationWeight, SegmentationLoss
from cimnet.models import Output

LOG3 = math.log(3)


def _output(estimate: float | None = None) -> tuple[Output, Tensor]:
    """Three pixels and two classes: p(class 1) = 3/4, 3/4, 1/2; labels 1, 0, ignore."""
    logits = torch.tensor([[[[0.0, 0.0, 0.0]], [[LOG3, LOG3, 0.0]]]], requires_grad=True)
    mutual_information = None if estimate is None else torch.tensor(estimate, requires_grad=True)
    return Output(logits, mutual_information), torch.tensor([[[1, 0, 255]]])


CROSS_ENTROPY = (math.log(4 / 3) + math.log(4)) / 2


def test_equation_24_by_hand() -> None:
    loss = SegmentationLoss("fixed", 0.3)(*_output(estimate=2.0))
    assert loss.cross_entropy.item() == pytest.approx(CROSS_ENTROPY)
    assert loss.mutual_information.item() == pytest.approx(2.0)
    assert loss.weight.item() == pytest.approx(0.3)
    assert loss.total.item() == pytest.approx(CROSS_ENTROPY + 0.3 * 2.0)


@pytest.mark.parametrize("mode", ["fixed", "free", "balanced"])
def test_a_model_of_one_sensor_has_cross_entropy_alone(mode: LambdaMode) -> None:
    module = SegmentationLoss(mode)
    loss = module(*_output())
    loss.total.backward()
    assert loss.total.item() == pytest.approx(CROSS_ENTROPY)
    assert (loss.mutual_information.item(), loss.weight.item()) == (0, 0)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_class_weights_divide_by_the_weight_of_the_labelled_pixels() -> None:
    loss = SegmentationLoss(class_weights=torch.tensor([3.0, 1.0]))(*_output())
    assert loss.total.item() == pytest.approx((1 * math.log(4 / 3) + 3 * math.log(4)) / (1 + 3))


def test_a_label_of_a_class_without_weight_gives_zero_not_nan() -> None:
    output, _ = _output()
    loss = SegmentationLoss(class_weights=torch.tensor([0.0, 1.0]))(output, torch.tensor([[[0, 0, 255]]]))
    assert loss.total.item() == 0


@pytest.mark.parametrize("estimate", [None, 0.5])
def test_a_label_of_255_alone_leaves_only_the_mutual_information(estimate: float | None) -> None:
    output, label = _output(estimate)
    loss = SegmentationLoss("fixed", 0.1, dice=1.0)(output, torch.full_like(label, 255))
    loss.total.backward()
    assert loss.total.item() == pytest.approx(0.0 if estimate is None else 0.05)
    assert output.logits.grad is not None
    assert output.logits.grad.abs().max() == 0


def test_dice_only_when_asked_and_in_proportion() -> None:
    plain, half, whole = (SegmentationLoss(dice=factor)(*_output()) for factor in (0.0, 0.5, 1.0))
    assert plain.total.item() == pytest.approx(CROSS_ENTROPY)
    assert half.cross_entropy.item() == pytest.approx(CROSS_ENTROPY)
    term = (half.total - plain.total).item()
    assert 0 < term < 0.5
    assert (whole.total - plain.total).item() == pytest.approx(2 * term)


def _descend(weight: MutualInformationWeight, estimate: float, steps: int, rate: float) -> list[float]:
    optimizer = torch.optim.SGD(weight.parameters(), lr=rate)
    path = []
    for _ in range(steps):
        term, value = weight(torch.tensor(estimate))
        path.append(value.item())
        optimizer.zero_grad()
        term.backward()
        optimizer.step()
    return path


def test_free_descends_in_a_straight_line_through_zero() -> None:
    path = _descend(MutualInformationWeight("free", 0.1), estimate=0.5, steps=11, rate=0.04)
    assert path == pytest.approx([0.1 - 0.02 * n for n in range(11)], abs=1e-6)  # dL/dλ = L_mi, whatever λ is
    assert path[-1] < 0


def test_balanced_settles_at_c_over_the_estimate() -> None:
    weight = MutualInformationWeight("balanced", 0.1)
    at_start = _descend(weight, estimate=0.5, steps=weight.first_steps, rate=0.5)
    assert at_start == pytest.approx([0.1] * len(at_start), rel=1e-3)  # the balance is struck there
    assert weight.barrier.item() == pytest.approx(0.1 * 0.5)
    later = _descend(weight, estimate=0.2, steps=400, rate=0.5)
    assert min(later) > 0
    assert later[-1] == pytest.approx(0.1 * 0.5 / 0.2, rel=0.01)


def test_fixed_has_nothing_to_learn_but_travels_with_the_weights() -> None:
    weight = MutualInformationWeight("fixed", 0.25)
    assert list(weight.parameters()) == []
    term, value = weight(torch.tensor(4.0, requires_grad=True))
    assert term.item() == 1.0
    assert not value.requires_grad
    assert weight.state_dict()["value"].item() == 0.25
