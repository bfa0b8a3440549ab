"""The four switches of the paper's Table III."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cimnet.analysis.paper_values import TABLE3, Ablation

from .test_cimnet import _images, _model, _spy


@pytest.mark.parametrize("off", ["msm", "swr", "cwr"])
def test_a_switch_takes_out_its_part_alone(off: str) -> None:
    """Parameters that are gone are those of the part."""
    full, without = _model(), _model(**{off: False})
    gone = set(dict(full.named_parameters())) - set(dict(without.named_parameters()))
    assert not set(dict(without.named_parameters())) - set(dict(full.named_parameters()))
    parts = {"msm": ("cipa.offset.",), "swr": (".spatial.", "cipa.offset."), "cwr": (".channel.",)}[off]
    assert gone == {name for name, _ in full.named_parameters() if any(part in name for part in parts)}
    output = without(*_images())
    assert output.logits.isfinite().all()
    assert len(output.offsets) == (0 if off == "swr" else 4)


def test_without_msm_the_chain_of_offsets_begins_at_zero() -> None:
    model = _model(msm=False)
    nn.init.normal_(model.scsfr[0].spatial.offset_conv.weight, std=0.5)
    spy = _spy(model)
    model(*_images())
    assert not spy.inputs["scsfr0"][2].any()
    assert spy.inputs["scsfr1"][2].abs().max() > 0.01  # the stages still pass theirs on, eq. 13


def test_without_rectification_the_streams_meet_in_fusion_alone() -> None:
    """The baseline of Table III: thermal changes nothing in the RGB stream."""
    model = _model(swr=False, cwr=False, mutual_information=None)
    assert not model.write_back_rgb
    spy = _spy(model)
    rgb, thermal = _images()
    model(rgb, thermal)
    before = [spy.outputs[f"rgb{n}"].clone() for n in range(4)]
    model(rgb, torch.rand_like(thermal))
    for n in range(4):
        torch.testing.assert_close(spy.outputs[f"rgb{n}"], before[n], rtol=0, atol=0)


@pytest.mark.parametrize("row", TABLE3, ids=lambda row: f"row{row.number}")
def test_every_row_gives_all_its_parameters_a_gradient(row: Ablation) -> None:
    """Distributed training stops at a parameter without one."""
    mode = "adversarial" if row.mir else None
    model = _model(mutual_information=mode, msm=row.msm, swr=row.swr, cwr=row.cwr).train()
    output = model(torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64))
    loss = output.logits.square().mean()
    if output.mutual_information is not None:
        loss = loss + output.mutual_information
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert (output.mutual_information is not None) == row.mir
