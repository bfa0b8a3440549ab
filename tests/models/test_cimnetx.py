"""The gate over three predictions, and the model around it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cimnet.errors import ConfigError
from cimnet.models import Output, RGBTModel, create_model
from cimnet.models.reliability_gate import FIRST_WEIGHTS, ReliabilityGate

from .tester import CLASSES, SMALL, images

UNALIGNED = {"explicit_alignment": False}
ALONE = {"decode_alone": True, "exchange_dropout": 1.0}


def opinions(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    pair, rgb, thermal = 3 * torch.randn(3, batch, CLASSES, 20, 28)
    return pair, rgb, thermal


def small(**options: object) -> RGBTModel:
    return create_model("cimnetx_resnet10t", CLASSES, **{**SMALL, **options})


def test_the_mixture_is_one_of_logarithms() -> None:
    gate, given = ReliabilityGate(), opinions()
    torch.nn.init.normal_(gate.weigh.weight)
    mixed, weights = gate(*given, None, None)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 20, 28))
    expected = sum(w[:, None] * logits.log_softmax(1) for w, logits in zip(weights.unbind(1), given, strict=True))
    torch.testing.assert_close(mixed, expected)
    assert weights.std() > 0.05


def test_it_begins_with_equal_weights_everywhere() -> None:
    weights = ReliabilityGate()(*opinions(), None, None)[1]
    torch.testing.assert_close(weights, torch.tensor(FIRST_WEIGHTS).view(1, 3, 1, 1).expand_as(weights))


@pytest.mark.parametrize("lost", ["rgb", "thermal"])
def test_what_an_absent_sensor_says_has_no_weight(lost: str) -> None:
    there = torch.tensor([True, False]).view(2, 1, 1, 1)
    pair, rgb, thermal = opinions()
    gate = ReliabilityGate()
    masks = (there, None) if lost == "rgb" else (None, there)
    mixed, weights = gate(pair, rgb, thermal, *masks)
    assert (weights[:, 1 if lost == "rgb" else 2].amax((1, 2)) > 0).tolist() == [True, False]
    other = (pair, 100 + rgb.roll(1, 1), thermal) if lost == "rgb" else (pair, rgb, 100 + thermal.roll(1, 1))
    changed, _ = gate(*other, *masks)
    assert (mixed - changed)[0].abs().max() > 1e-3
    torch.testing.assert_close(mixed[1], changed[1], rtol=0, atol=1e-6)


def test_by_place_what_shows_nothing_has_no_weight() -> None:
    """Neither what one sensor says where it shows nothing, nor what the pair says there."""
    rgb, thermal = torch.ones(2, 2, 1, 20, 28, dtype=torch.bool)
    rgb[0, :, :5] = thermal[0, :, 3:8] = False  # in rows 3 and 4, neither shows anything
    weights = ReliabilityGate()(*opinions(), rgb, thermal)[1]
    at = {"rgb lost": weights[0, :, 1, 0], "neither": weights[0, :, 4, 0], "thermal lost": weights[0, :, 6, 0]}
    assert {name: found.tolist() for name, found in at.items()} == {
        "rgb lost": [0, 0, 1],
        "neither": [1, 0, 0],
        "thermal lost": [0, 1, 0],
    }
    sound = torch.tensor(FIRST_WEIGHTS).view(3, 1, 1)
    torch.testing.assert_close(weights[0, :, 8:], sound.expand(3, 12, 28))
    torch.testing.assert_close(weights[1], sound.expand(3, 20, 28))


def test_it_learns_whom_to_believe() -> None:
    """A sensor that is wrong but not sure is left for one that is right."""
    torch.manual_seed(0)
    gate = ReliabilityGate()
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


def test_training_is_that_of_streams_decoded_alone() -> None:
    """The gate takes no part in it, so that it finds predictions that know nothing of it."""
    model = small().train()
    plain = create_model("cimnet_resnet10t", CLASSES, **SMALL, **{**ALONE, "explicit_alignment": True}).train()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("reliability.")})
    pair = images(3, (64, 96))
    found, expected = (_output(x, pair) for x in (model, plain))
    assert found.reliability is None
    torch.testing.assert_close(found.logits, expected.logits)
    assert found.alone is not None
    assert expected.alone is not None
    for mine, theirs in zip(found.alone, expected.alone, strict=True):
        torch.testing.assert_close(mine, theirs)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == [
        name for name, _ in model.named_parameters() if name.startswith("reliability.")
    ]


def _output(model: RGBTModel, pair: tuple[Tensor, Tensor]) -> Output:
    torch.manual_seed(0)
    return model(*pair)


def test_what_comes_out_is_the_mixture() -> None:
    model = small(**UNALIGNED).eval()  # nothing can be aligned to a missing image
    given: list[tuple[Tensor, ...]] = []
    model.reliability.register_forward_pre_hook(lambda _, inputs: given.append(inputs))
    rgb, thermal = images(2, (64, 96))
    with torch.no_grad():
        output = model(rgb, thermal)
        plain = small_copy(model, **UNALIGNED)
        lone = [plain(rgb, None).logits, plain(None, thermal).logits]
    assert output.reliability is not None
    assert output.reliability.shape == (2, 3, 16, 24)
    for logits, expected in zip(given[0][1:3], lone, strict=True):
        restored = model.restore(logits, (64, 96), (64, 96)).softmax(1)
        torch.testing.assert_close(restored, expected.softmax(1), rtol=1e-3, atol=1e-3)
    mixed = sum(w * x.log_softmax(1) for w, x in zip(FIRST_WEIGHTS, given[0][:3], strict=True))
    torch.testing.assert_close(output.logits, model.restore(mixed, (64, 96), (64, 96)))


def small_copy(model: RGBTModel, **options: object) -> RGBTModel:
    """The same weights without a gate."""
    plain = small(reliability=False, **options).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("reliability.")})
    return plain


def test_a_missing_image_leaves_one_opinion() -> None:
    model = small().eval()
    rgb, thermal = images(2, (64, 64))
    with torch.no_grad():
        alone = model(rgb, None)
        plain = small_copy(model)
        torch.testing.assert_close(alone.logits.softmax(1), plain(rgb, None).logits.softmax(1), rtol=1e-3, atol=1e-3)
        assert not alone.reliability[:, 2].any()
        assert not model(None, thermal).reliability[:, 1].any()
        assert plain(rgb, thermal).reliability is None


@pytest.mark.parametrize("aligned", [False, True])
def test_rows_that_a_link_lost_are_left_to_the_other_sensor(aligned: bool) -> None:
    model = small(explicit_alignment=aligned).eval()
    rgb, _ = images(2, (64, 96))
    thermal = rgb.mean(1, keepdim=True)  # so that nothing moves
    rgb[0, :, 16:32] = 0
    thermal[1, :, 40:56] = 0
    weights = _output(model, (rgb, thermal)).reliability
    assert weights is not None
    assert (weights[0, 2, 4:8] == 1).all()
    assert (weights[1, 1, 10:14] == 1).all()
    first = torch.tensor(FIRST_WEIGHTS).view(3, 1, 1)
    for n, others in ((0, weights[0, :, 8:]), (0, weights[0, :, :4]), (1, weights[1, :, :4])):
        torch.testing.assert_close(others, first.expand_as(others), msg=f"pair {n}")


@pytest.mark.parametrize("options", [{"decode_alone": False}, {"exchange_dropout": 0.5}])
def test_a_gate_needs_opinions(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="reliability weighs predictions of single sensors, which need decode_alone"):
        small(**options)
    assert small(**options, reliability=False).reliability is None
