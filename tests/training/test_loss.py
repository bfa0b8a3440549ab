"""The training loss: eq. (24) by hand and against torch, λ under descent, outputs of one-sensor models."""

from __future__ import annotations

import math
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.models import Output
from cimnet.models.output import Alone, Auxiliary
from cimnet.training.loss import LambdaMode, MutualInformationWeight, SegmentationLoss, dice_loss, targets_of

LOG3 = math.log(3)
CROSS_ENTROPY = (math.log(4 / 3) + math.log(4)) / 2
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 4.0])


def _output(estimate: float | None = None) -> tuple[Output, Tensor]:
    """Three pixels and two classes: p(class 1) = 3/4, 3/4, 1/2; labels 1, 0, ignore."""
    logits = torch.tensor([[[[0.0, 0.0, 0.0]], [[LOG3, LOG3, 0.0]]]], requires_grad=True)
    mutual_information = None if estimate is None else torch.tensor(estimate, requires_grad=True)
    return Output(logits, mutual_information), torch.tensor([[[1, 0, 255]]])


def _batch(estimate: float | None = None) -> tuple[Output, Tensor]:
    """Two random images and four classes, two rows of the first without a label."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 7, generator=random).requires_grad_()
    label = torch.randint(4, (2, 6, 7), generator=random)
    label[0, :2] = 255
    mutual_information = None if estimate is None else torch.tensor(estimate, requires_grad=True)
    return Output(logits, mutual_information), label


def test_equation_24_by_hand() -> None:
    loss = SegmentationLoss("fixed", 0.3)(*_output(estimate=2.0))
    assert loss.cross_entropy.item() == pytest.approx(CROSS_ENTROPY)
    assert loss.mutual_information.item() == pytest.approx(2.0)
    assert loss.weight.item() == pytest.approx(0.3)
    assert loss.total.item() == pytest.approx(CROSS_ENTROPY + 0.3 * 2.0)


@pytest.mark.parametrize("mode", ["fixed", "free", "balanced"])
def test_a_model_of_one_sensor_has_cross_entropy_alone(mode: LambdaMode) -> None:
    loss = SegmentationLoss(mode)(*_output())
    assert loss.total.item() == pytest.approx(CROSS_ENTROPY)
    assert (loss.mutual_information.item(), loss.weight.item()) == (0, 0)


@pytest.mark.parametrize("mode", ["free", "balanced"])
def test_without_an_estimate_lambda_gets_a_gradient_of_zero(mode: LambdaMode) -> None:
    """Distributed training waits for a gradient of every parameter, and λ must not move."""
    module = SegmentationLoss(mode)
    module(*_output()).total.backward()
    gradient = module.mutual_information.value.grad
    assert gradient is not None
    assert gradient.item() == 0


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        ({}, {}),
        ({"class_weights": WEIGHTS}, {"weight": WEIGHTS}),
        ({"label_smoothing": 0.1}, {"label_smoothing": 0.1}),
    ],
    ids=["plain", "class weights", "label smoothing"],
)
def test_cross_entropy_is_torchs_mean_over_labelled_pixels(ours: dict[str, Any], torchs: dict[str, Any]) -> None:
    output, label = _batch()
    loss = SegmentationLoss(**ours)(output, label)
    torch.testing.assert_close(loss.total, F.cross_entropy(output.logits, label, ignore_index=255, **torchs))
    torch.testing.assert_close(loss.cross_entropy, loss.total.detach())


def test_class_weights_divide_by_the_weight_of_the_labelled_pixels() -> None:
    loss = SegmentationLoss(class_weights=torch.tensor([3.0, 1.0]))(*_output())
    assert loss.total.item() == pytest.approx((1 * math.log(4 / 3) + 3 * math.log(4)) / (1 + 3))


@pytest.mark.parametrize(("progress", "power"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_class_weights_fall_to_a_power_of_themselves(progress: float, power: float) -> None:
    loss = SegmentationLoss(class_weights=torch.tensor([3.0, 1.0]), class_weights_end=0.5)(*_output(), progress)
    weight = 3.0**power
    assert loss.total.item() == pytest.approx((math.log(4 / 3) + weight * math.log(4)) / (1 + weight))


def test_a_label_of_a_class_without_weight_gives_zero_not_nan() -> None:
    output, _ = _output()
    loss = SegmentationLoss(class_weights=torch.tensor([0.0, 1.0]))(output, torch.tensor([[[0, 0, 255]]]))
    assert loss.total.item() == 0


def test_ignored_pixels_get_no_gradient() -> None:
    output, label = _batch()
    SegmentationLoss(dice=1.0)(output, label).total.backward()
    assert output.logits.grad is not None
    assert output.logits.grad[0, :, :2].abs().max() == 0
    assert output.logits.grad[0, :, 2:].abs().max() > 0


@pytest.mark.parametrize("estimate", [None, 0.5])
@pytest.mark.parametrize("dice", [0.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_without_labels_leaves_only_the_mutual_information(
    estimate: float | None, dice: float, weighted: bool
) -> None:
    output, label = _batch(estimate)
    module = SegmentationLoss("fixed", 0.1, class_weights=torch.ones(4) if weighted else None, dice=dice)
    loss = module(output, torch.full_like(label, 255))
    loss.total.backward()
    assert loss.total.item() == (0 if estimate is None else pytest.approx(0.05))
    assert output.logits.grad is not None
    assert output.logits.grad.abs().max() == 0


def test_dice_only_when_asked_and_in_proportion() -> None:
    plain, half, whole = (SegmentationLoss(dice=factor)(*_output()) for factor in (0.0, 0.5, 1.0))
    assert plain.total.item() == pytest.approx(CROSS_ENTROPY)
    assert half.cross_entropy.item() == pytest.approx(CROSS_ENTROPY)
    term = (half.total - plain.total).item()
    assert 0 < term < 0.5
    assert (whole.total - plain.total).item() == pytest.approx(2 * term)


def test_streams_alone_count_by_their_weights() -> None:
    output, label = _batch(estimate=2.0)
    other = output.logits.detach().flip(1)
    streams = (Alone(other[1:], torch.tensor([1])), Alone(other.flip(0), torch.tensor([1, 0])))
    options: dict[str, Any] = {"dice": 0.5, "class_weights": WEIGHTS}
    plain = SegmentationLoss("fixed", 0.3, **options)
    loss = SegmentationLoss("fixed", 0.3, alone=(1.0, 3.0), **options)
    found = loss(output._replace(alone=streams), label)
    parts = [
        plain(Output(logits), target).total
        for logits, target in ((output.logits, label), (other[1:], label[1:]), (other, label))
    ]
    assert found.total.item() == pytest.approx((parts[0] + parts[1] + 3 * parts[2]).item() / 5 + 0.3 * 2.0, rel=1e-6)
    assert found.cross_entropy.item() == plain(output, label).cross_entropy.item()  # that of the pairs


def test_no_stream_alone_in_a_batch_adds_nothing_but_keeps_its_place_in_the_mean() -> None:
    output, label = _batch()
    none = Alone(output.logits[:0], torch.zeros(0, dtype=torch.int64))
    found = SegmentationLoss(dice=0.5, alone=(1.0, 2.0))(output._replace(alone=(none, none)), label)
    assert found.total.item() == pytest.approx(SegmentationLoss(dice=0.5)(output, label).total.item() / 4, rel=1e-6)


def test_a_perfect_mask_costs_nothing() -> None:
    _, label = _batch()
    perfect = Output(30 * F.one_hot(label.clamp(max=3), 4).permute(0, 3, 1, 2).float())
    assert SegmentationLoss(dice=0.5)(perfect, label).total < 1e-3


def test_half_precision_logits_are_summed_in_float32() -> None:
    output, label = _batch()
    loss = SegmentationLoss()(Output(output.logits.bfloat16()), label)
    assert loss.total.dtype == torch.float32
    expected = F.cross_entropy(output.logits.bfloat16().float(), label, ignore_index=255)
    torch.testing.assert_close(loss.total, expected)


@pytest.mark.parametrize("mode", ["fixed", "free", "balanced"])
def test_lambda_starts_at_a_tenth(mode: LambdaMode) -> None:
    output, label = _batch(estimate=0.8)
    loss = SegmentationLoss(weight_mode=mode)(output, label)
    assert loss.weight.item() == pytest.approx(0.1)
    assert loss.mutual_information.item() == pytest.approx(0.8)
    loss.total.backward()
    assert output.mutual_information is not None
    assert output.mutual_information.grad is not None
    assert output.mutual_information.grad.item() == pytest.approx(0.1)  # what the features feel is λ itself


def _descend(
    weight: MutualInformationWeight,
    estimates: list[float],
    kind: type[torch.optim.Optimizer] = torch.optim.Adam,
    rate: float = 3e-2,
) -> list[float]:
    """λ as it meets each of the estimates."""
    optimizer = kind(weight.parameters(), lr=rate)  # type: ignore[call-arg]  # the base class takes a dictionary
    path = []
    for estimate in estimates:
        term, value = weight(torch.tensor(estimate))
        path.append(value.item())
        optimizer.zero_grad()
        term.backward()
        optimizer.step()
    return path


def test_fixed_has_nothing_to_learn_but_travels_with_the_weights() -> None:
    weight = MutualInformationWeight("fixed", 0.25)
    assert list(weight.parameters()) == []
    term, value = weight(torch.tensor(4.0, requires_grad=True))
    assert term.item() == 1.0
    assert value.item() == 0.25
    assert not value.requires_grad
    assert weight.state_dict()["value"].item() == 0.25


def test_free_descends_in_a_straight_line_through_zero() -> None:
    """The trap of the literal reading, kept as an option: λ turns negative and redundancy is rewarded."""
    path = _descend(MutualInformationWeight("free", 0.1), [0.5] * 11, torch.optim.SGD, rate=0.04)
    assert path == pytest.approx([0.1 - 0.02 * n for n in range(11)], abs=1e-6)  # dL/dλ = L_mi, whatever λ is
    assert path[-1] < 0


@pytest.mark.parametrize(
    ("kind", "rate", "resting", "settled"),
    [(torch.optim.SGD, 0.5, 1e-3, 0.01), (torch.optim.Adam, 3e-2, 0.02, 0.05)],
    ids=["SGD", "Adam"],
)
@pytest.mark.parametrize("estimate", [0.2, 1.0])
def test_balanced_rests_at_the_start_and_settles_at_c_over_the_estimate(
    kind: type[torch.optim.Optimizer], rate: float, resting: float, settled: float, estimate: float
) -> None:
    weight = MutualInformationWeight("balanced", 0.1)
    struck = [0.5] * weight.first_steps  # c is known after these
    path = _descend(weight, struck + [estimate] * 800, kind, rate)
    assert path[: len(struck)] == pytest.approx([0.1] * len(struck), rel=resting)
    assert path[len(struck)] == pytest.approx(0.1, rel=1e-3)
    assert min(path) > 0
    assert path[-1] == pytest.approx(0.1 * 0.5 / estimate, rel=settled)
    assert weight.barrier.item() == pytest.approx(0.1 * 0.5)


def test_balanced_stays_positive() -> None:
    assert min(_descend(MutualInformationWeight("balanced"), [0.1] + [2.7] * 400)) > 0


@pytest.mark.parametrize("silent", [1, 50, 500])
@pytest.mark.parametrize("nothing", [0.0, 1e-7])
def test_balanced_survives_first_estimates_of_almost_nothing(nothing: float, silent: int) -> None:
    """An untrained head finds 1e-7 nats for most of a warm-up: a balance struck there lets λ fall."""
    path = _descend(MutualInformationWeight("balanced"), [nothing] * silent + [0.5] * 1000)
    assert path[: silent + 1] == pytest.approx([0.1] * (silent + 1))
    assert 0.03 < path[-1] < 0.3


def test_the_barrier_comes_from_the_largest_of_the_informative_estimates() -> None:
    weight = MutualInformationWeight("balanced", 0.1)
    for estimate in (0.005, 0.3, 0.6, 0.2):
        weight(torch.tensor(estimate))
    assert weight.barrier.item() == pytest.approx(0.1 * 0.6)
    assert weight.steps.item() == 3


def test_evaluation_leaves_the_barrier_alone() -> None:
    weight = MutualInformationWeight("balanced")
    weight(torch.tensor(0.5))
    before = {key: value.clone() for key, value in weight.state_dict().items()}
    _, value = weight.eval()(torch.tensor(3.0))
    assert value.item() == pytest.approx(0.1)
    assert all(torch.equal(before[key], value) for key, value in weight.state_dict().items())


def test_state_dict_carries_lambda_and_its_barrier() -> None:
    loss = SegmentationLoss()
    _descend(loss.mutual_information, [0.5] * 5 + [1.0] * 20)
    other = SegmentationLoss()
    other.load_state_dict(loss.state_dict())
    x = torch.tensor(0.7)
    for mine, theirs in zip(loss.mutual_information(x), other.mutual_information(x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_dice_is_that_of_segmentation_models_pytorch() -> None:
    output, label = _batch()
    label = label.clamp_max(255).where(label != 3, 255)  # the fourth class has no true pixels
    theirs = smp.losses.DiceLoss(mode="multiclass", ignore_index=255)
    torch.testing.assert_close(dice_loss(output.logits, label), theirs(output.logits, label))


def test_foreground_is_every_class_but_the_first() -> None:
    label = torch.tensor([[[0, 1, 255], [3, 0, 2]]])
    assert targets_of(label, "foreground").tolist() == [[[0, 1, 255], [1, 0, 1]]]


def test_boundary_is_one_pixel_on_each_side() -> None:
    label = torch.zeros(1, 6, 7, dtype=torch.int64)
    label[0, :, 4:] = 3
    expected = torch.zeros_like(label)
    expected[0, :, 3:5] = 1
    assert torch.equal(targets_of(label, "boundary"), expected)
    corner = torch.zeros(1, 4, 4, dtype=torch.int64)
    corner[0, 3, 3] = 8
    assert targets_of(corner, "boundary")[0].nonzero().tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_pixels_without_a_label_are_no_boundary() -> None:
    """Neither they nor the pixels beside them, for what they show is not known."""
    label = torch.full((1, 5, 5), 2)
    label[0, 2] = 255
    assert targets_of(label, "boundary").tolist() == [[[0] * 5, [0] * 5, [255] * 5, [0] * 5, [0] * 5]]
    assert (targets_of(torch.full((1, 3, 3), 255), "boundary") == 255).all()


def _heads() -> tuple[Output, list[Tensor]]:
    """An output with a head of each target."""
    random = torch.Generator().manual_seed(1)
    logits = [torch.randn(2, k, 6, 7, generator=random).requires_grad_() for k in (4, 2, 2)]
    targets: list[Any] = ["classes", "foreground", "boundary"]
    heads = tuple(Auxiliary(x, w, t) for x, w, t in zip(logits, (0.4, 0.5, 2.0), targets, strict=True))
    return _batch()[0]._replace(auxiliary=heads), logits


@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_further_heads_count_by_their_weights(factor: float) -> None:
    output, logits = _heads()
    label = _batch()[1]
    options: dict[str, Any] = {"class_weights": WEIGHTS, "dice": 0.5, "label_smoothing": 0.1}
    found = SegmentationLoss("fixed", auxiliary=factor, **options)(output, label)
    plain = SegmentationLoss("fixed", **options)
    alone = [plain(Output(x), label) for x in (output.logits, logits[0])]
    others = [
        F.cross_entropy(x, targets_of(label, t), ignore_index=255)
        for x, t in ((logits[1], "foreground"), (logits[2], "boundary"))
    ]
    expected = alone[0].total + factor * (0.4 * alone[1].total + 0.5 * others[0] + 2.0 * others[1])
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(found.cross_entropy, alone[0].cross_entropy)


def test_class_weights_of_further_heads() -> None:
    """A head for foreground or borders has its own; one for the classes has those of the training."""
    output, logits = _heads()
    label = _batch()[1]
    own: list[Any] = [None, (1.5, 10.25), (1.25, 23.75)]
    heads = tuple(h._replace(class_weights=w) for h, w in zip(output.auxiliary, own, strict=True))
    loss = SegmentationLoss("fixed", class_weights=WEIGHTS)
    found = loss(output._replace(auxiliary=heads), label)
    expected = loss(Output(output.logits), label).total + 0.4 * loss(Output(logits[0]), label).total
    for head, weights in zip(heads[1:], own[1:], strict=True):
        target = targets_of(label, head.target)  # type: ignore[arg-type]
        mean = F.cross_entropy(head.logits, target, torch.tensor(weights), ignore_index=255)
        expected = expected + head.weight * mean
    torch.testing.assert_close(found.total, expected)
    found.total.backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in logits)


def test_heads_left_out_get_a_gradient_of_zero() -> None:
    """Distributed training waits for a gradient of every parameter."""
    output, logits = _heads()
    label = _batch()[1]
    loss = SegmentationLoss("fixed", auxiliary=0.0)(output, label)
    torch.testing.assert_close(loss.total, SegmentationLoss("fixed")(Output(output.logits), label).total)
    loss.total.backward()
    assert all(x.grad is not None and not x.grad.any() for x in logits)
