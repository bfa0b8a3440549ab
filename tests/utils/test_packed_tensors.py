"""Weights in 8 bits: how far they are from the weights, and what is refused."""

from __future__ import annotations

import pytest
import torch

from cimnet.utils.packed_tensors import SCALE, pack, unpack


def _state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    matrix = torch.randn(8, 16, 3, 3) * torch.logspace(-12, 3, 8).view(8, 1, 1, 1)  # channels of very different size
    matrix[5] = 0
    return {
        "conv.weight": matrix,
        "depthwise.weight": torch.randn(8, 1, 3, 3),
        "norm.weight": torch.randn(64),
        "norm.num_batches_tracked": torch.tensor(7),
    }


def test_each_channel_is_off_by_half_a_step_at_most() -> None:
    state = _state()
    packed = pack(state)
    assert packed["conv.weight"].dtype == torch.int8
    found = unpack(packed)
    assert list(found) == list(state)
    rows = state["conv.weight"].flatten(1)
    step = rows.abs().amax(1, keepdim=True) / 127
    assert ((found["conv.weight"].flatten(1) - rows).abs() <= 0.501 * step).all()
    assert (found["conv.weight"][5] == 0).all()
    for name in list(state)[1:]:
        assert torch.equal(found[name], state[name])


def test_a_second_rounding_changes_nothing() -> None:
    once = unpack(pack(_state()))
    twice = unpack(pack(once))
    assert all(torch.allclose(once[name], twice[name], rtol=1e-6, atol=0) for name in once)


def test_a_state_that_was_not_packed_stays() -> None:
    state = _state()
    assert all(found is value for found, value in zip(unpack(state).values(), state.values(), strict=True))


def test_numbers_that_are_none_stay_for_the_check_on_loading() -> None:
    state = {"weight": torch.full((2, 20), float("nan"))}
    assert pack(state)["weight"].isnan().all()


@pytest.mark.parametrize("scale", [None, torch.ones(3), torch.ones(2, 1), torch.ones(2, dtype=torch.int64)])
def test_eight_bits_without_their_scale_are_refused(scale: torch.Tensor | None) -> None:
    stored = {"weight": torch.zeros(2, 20, dtype=torch.int8)}
    if scale is not None:
        stored["weight" + SCALE] = scale
    with pytest.raises(ValueError, match="'weight' is stored in 8 bits without the scale"):
        unpack(stored)
