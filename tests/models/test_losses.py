"""The training loss (eq. 24): cross entropy over labelled pixels, and the three ways to treat λ."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.losses import MutualInformationWeight, SegmentationLoss
from cimnet.models import Output


def _batch(estimate: float | None = None) -> tuple[Output, Tensor]:
    logits = torch.randn(2, 4, 6, 7, requires_grad=True)
    label = torch.randint(4, (2, 6, 7))
    label[0, :2] = 255
    mutual_information = None if estimate is None else torch.tensor(estimate, requires_grad=True)
    return Output(logits, mutual_information), label


def _settle(weight: MutualInformationWeight, estimates: list[float]) -> float:
    optimiser = torch.optim.Adam(weight.parameters(), lr=3e-2)
    for estimate in estimates:
        term, _ = weight(torch.tensor(estimate))
        optimiser.zero_grad()
        term.backward()
        optimiser.step()
    return weight(torch.tensor(estimates[-1]))[1].item()


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    output, label = _batch()
    loss = SegmentationLoss()(output, label)
    torch.testing.assert_close(loss.total, F.cross_entropy(output.logits, label, ignore_index=255))
    torch.testing.assert_close(loss.cross_entropy, loss.total.detach())
    assert loss.mutual_information == 0
    assert loss.weight == 0


def test_class_weights() -> None:
    output, label = _batch()
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    loss = SegmentationLoss(class_weights=weights)(output, label)
    torch.testing.assert_close(loss.total, F.cross_entropy(output.logits, label, weights, ignore_index=255))


def test_label_smoothing() -> None:
    output, label = _batch()
    loss = SegmentationLoss(label_smoothing=0.1)(output, label)
    expected = F.cross_entropy(output.logits, label, ignore_index=255, label_smoothing=0.1)
    torch.testing.assert_close(loss.total, expected)


def test_ignored_pixels_get_no_gradient() -> None:
    output, label = _batch()
    SegmentationLoss(dice=1.0)(output, label).total.backward()
    assert output.logits.grad is not None
    assert output.logits.grad[0, :, :2].abs().max() == 0
    assert output.logits.grad[0, :, 2:].abs().max() > 0


@pytest.mark.parametrize("dice", [0.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_without_labels_is_zero(dice: float, weighted: bool) -> None:
    output, label = _batch()
    label.fill_(255)
    loss = SegmentationLoss(dice=dice, class_weights=torch.ones(4) if weighted else None)(output, label)
    loss.total.backward()
    assert loss.total.item() == 0
    assert output.logits.grad is not None
    assert output.logits.grad.abs().max() == 0


def test_dice_is_added_and_falls_with_better_masks() -> None:
    output, label = _batch()
    plain, both = SegmentationLoss()(output, label), SegmentationLoss(dice=0.5)(output, label)
    assert 0 < both.total - plain.total < 0.5
    perfect = Output(30 * F.one_hot(label.clamp(max=3), 4).permute(0, 3, 1, 2).float())
    assert SegmentationLoss(dice=0.5)(perfect, label).total < 1e-3


@pytest.mark.parametrize("mode", ["fixed", "free", "balanced"])
def test_lambda_starts_at_a_tenth(mode: str) -> None:
    output, label = _batch(estimate=0.8)
    loss = SegmentationLoss(weight_mode=mode)(output, label)
    assert loss.weight.item() == pytest.approx(0.1)
    assert loss.mutual_information.item() == pytest.approx(0.8)
    loss.total.backward()
    assert output.mutual_information is not None
    assert output.mutual_information.grad is not None
    assert output.mutual_information.grad.item() == pytest.approx(0.1)  # what the features feel is λ itself


def test_fixed_never_moves() -> None:
    weight = MutualInformationWeight("fixed", 0.3)
    assert not list(weight.parameters())
    term, value = weight(torch.tensor(2.0))
    assert term.item() == pytest.approx(0.6)
    assert value.item() == pytest.approx(0.3)


def test_free_falls_through_zero() -> None:
    """The trap of the literal reading, kept as an option: λ turns negative and redundancy is rewarded."""
    assert _settle(MutualInformationWeight("free"), [0.5] * 100) < 0


def test_balanced_rests_at_the_start_and_settles_at_c_over_the_estimate() -> None:
    first = [0.5] * 100  # c is known after these
    assert _settle(MutualInformationWeight("balanced"), [0.5] * 100) == pytest.approx(0.1, rel=1e-3)
    halved = _settle(MutualInformationWeight("balanced"), first + [0.25] * 800)
    assert halved == pytest.approx(0.2, rel=0.05)
    doubled = _settle(MutualInformationWeight("balanced"), first + [1.0] * 800)
    assert doubled == pytest.approx(0.05, rel=0.05)


def test_balanced_stays_positive() -> None:
    assert _settle(MutualInformationWeight("balanced"), [0.1] + [2.7] * 400) > 0


@pytest.mark.parametrize("silent", [1, 50, 500])
@pytest.mark.parametrize("nothing", [0.0, 1e-7])
def test_balanced_survives_first_estimates_of_almost_nothing(nothing: float, silent: int) -> None:
    """An untrained head finds 1e-7 nats for most of a warm-up: a balance struck there lets λ fall."""
    settled = _settle(MutualInformationWeight("balanced"), [nothing] * silent + [0.5] * 1000)
    assert 0.03 < settled < 0.3


def test_evaluation_leaves_the_barrier_alone() -> None:
    weight = MutualInformationWeight("balanced")
    weight(torch.tensor(0.5))
    before = weight.state_dict()
    before = {key: value.clone() for key, value in before.items()}
    _, value = weight.eval()(torch.tensor(3.0))
    assert value.item() == pytest.approx(0.1)
    assert all(torch.equal(before[key], value) for key, value in weight.state_dict().items())


def test_state_dict_carries_lambda_and_its_barrier() -> None:
    loss = SegmentationLoss()
    _settle(loss.mutual_information, [0.5] * 5 + [1.0] * 20)
    other = SegmentationLoss()
    other.load_state_dict(loss.state_dict())
    x = torch.tensor(0.7)
    for mine, theirs in zip(loss.mutual_information(x), other.mutual_information(x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_half_precision_logits_are_summed_in_float32() -> None:
    output, label = _batch()
    loss = SegmentationLoss()(Output(output.logits.bfloat16()), label)
    assert loss.total.dtype == torch.float32
    expected = F.cross_entropy(output.logits.bfloat16().float(), label, ignore_index=255)
    torch.testing.assert_close(loss.total, expected)
