"""The gate over three predictions, and the model around it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cimnet.errors import ConfigError
from cimnet.models import Output, RGBTModel, create_model
from cimnet.models.reliability_gate import TRUST_IN_PAIR, ReliabilityGate
from cimnet.training.loss import SegmentationLoss

from .tester import CLASSES, SMALL, images

FIRST = torch.softmax(torch.tensor([TRUST_IN_PAIR, 0.0, 0.0]), 0)


def opinions(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    pair, rgb, thermal = 3 * torch.randn(3, batch, CLASSES, 20, 28)
    return pair, rgb, thermal


def small(**options: object) -> RGBTModel:
    return create_model("cimnetx_resnet10t", CLASSES, **{**SMALL, **options})


def test_the_mixture_is_one_of_probabilities() -> None:
    gate, given = ReliabilityGate(CLASSES), opinions()
    torch.nn.init.normal_(gate.weigh.weight)
    mixed, weights = gate(*given, None, None)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 20, 28))
    expected = sum(w[:, None] * logits.softmax(1) for w, logits in zip(weights.unbind(1), given, strict=True))
    torch.testing.assert_close(mixed.exp(), expected)
    assert weights.std() > 0.05


def test_it_begins_with_trust_in_the_pair() -> None:
    weights = ReliabilityGate(CLASSES)(*opinions(), None, None)[1]
    torch.testing.assert_close(weights, FIRST.view(1, 3, 1, 1).expand_as(weights))


@pytest.mark.parametrize("lost", ["rgb", "thermal"])
def test_what_an_absent_sensor_says_has_no_weight(lost: str) -> None:
    there = torch.tensor([True, False])
    pair, rgb, thermal = opinions()
    gate = ReliabilityGate(CLASSES)
    masks = (there, None) if lost == "rgb" else (None, there)
    mixed, weights = gate(pair, rgb, thermal, *masks)
    assert (weights[:, 1 if lost == "rgb" else 2].amax((1, 2)) > 0).tolist() == [True, False]
    other = (pair, 100 + rgb.roll(1, 1), thermal) if lost == "rgb" else (pair, rgb, 100 + thermal.roll(1, 1))
    changed, _ = gate(*other, *masks)
    assert (mixed - changed)[0].abs().max() > 1e-3
    torch.testing.assert_close(mixed[1], changed[1], rtol=0, atol=1e-6)


def test_no_gradient_goes_into_the_opinions() -> None:
    given = [logits.requires_grad_() for logits in opinions()]
    gate = ReliabilityGate(CLASSES)
    torch.nn.init.normal_(gate.weigh.weight)
    gate(*given, None, None)[0].square().mean().backward()
    assert [logits.grad for logits in given] == [None] * 3
    assert all(p.grad is not None and p.grad.any() for p in gate.parameters())


def test_it_learns_whom_to_believe() -> None:
    """A sensor that is wrong but not sure is left for one that is right."""
    torch.manual_seed(0)
    gate = ReliabilityGate(CLASSES)
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.02)
    found = []
    for _ in range(60):
        label = torch.randint(CLASSES, (4, 20, 28))
        right = 6 * torch.nn.functional.one_hot(label, CLASSES).permute(0, 3, 1, 2).float()
        unsure = torch.randn(2, 4, CLASSES, 20, 28)
        broken = torch.rand(4, 1, 1, 1) < 0.5  # of each pair one sensor
        rgb, thermal = torch.where(broken, unsure[0], right), torch.where(broken, right, unsure[0])
        mixed, _ = gate(unsure[1], rgb, thermal, None, None)
        loss = torch.nn.functional.cross_entropy(mixed, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < 0.3 * found[0]


def test_three_opinions_are_trained_and_one_comes_out() -> None:
    model = small().train()
    rgb, thermal = images(3, (64, 96))
    rgb[1] = 0
    output = model(rgb, thermal)
    assert output.logits.shape == (3, CLASSES, 64, 96)
    assert output.reliability is not None
    assert output.reliability.shape == (3, 3, 16, 24)
    assert output.alone is not None
    assert [stream.pairs.tolist() for stream in output.alone] == [[0, 2], [0, 2]]  # of whole pairs alone
    (pair,) = output.auxiliary
    label = torch.randint(CLASSES, (3, 64, 96))
    criterion = SegmentationLoss()
    found = criterion(output, label)
    opinions = [(output.logits, label), (pair.logits, label)]
    opinions += [(stream.logits, label[stream.pairs]) for stream in output.alone]
    part = [criterion(Output(logits), labels) for logits, labels in opinions]
    mixed, fused, rgb_alone, thermal_alone = (loss.total for loss in part)
    expected = (mixed + rgb_alone + 2 * thermal_alone) / 4 + fused / 4 + found.weight * found.mutual_information
    torch.testing.assert_close(found.total.detach(), expected.detach(), rtol=1e-3, atol=1e-3)


def test_a_missing_image_leaves_one_opinion() -> None:
    model = small().eval()
    rgb, thermal = images(2, (64, 64))
    with torch.no_grad():
        alone = model(rgb, None)
        plain = small(reliability=False).eval()
        plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("gate.")})
        torch.testing.assert_close(alone.logits.softmax(1), plain(rgb, None).logits.softmax(1), rtol=1e-3, atol=1e-4)
        assert not alone.reliability[:, 2].any()
        assert not model(None, thermal).reliability[:, 1].any()
        assert plain(rgb, thermal).reliability is None


@pytest.mark.parametrize("options", [{"decode_alone": False}, {"exchange_dropout": 0.5}])
def test_a_gate_needs_opinions(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="reliability weighs predictions of single sensors, which need decode_alone"):
        small(**options)
    assert small(**options, reliability=False).gate is None
