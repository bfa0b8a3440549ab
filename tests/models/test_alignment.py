"""Explicit alignment: known displacements are found again, and what the self-supervision asks for is true."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cimnet.models import create_model
from cimnet.models.alignment import ThermalAlignment, displace, sample_at

from .test_cimnet import SMALL


def _smooth(*shape: int) -> torch.Tensor:
    return F.avg_pool2d(torch.randn(*shape[:2], shape[2] + 4, shape[3] + 4), 5, 1)


@pytest.mark.parametrize("shift", [(2, -3), (0, 0), (-4, 1)])
def test_sample_at_whole_pixels_is_a_slice(shift: tuple[int, int]) -> None:
    x = torch.randn(1, 3, 12, 15)
    flow = torch.tensor(shift, dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, 12, 15)
    got = sample_at(x, flow)
    inside = got[:, :, 5:8, 5:10]
    expected = x[:, :, 5 + shift[0] : 8 + shift[0], 5 + shift[1] : 10 + shift[1]]
    torch.testing.assert_close(inside, expected)


def test_displaced_features_are_found_by_the_flow() -> None:
    """Where ``seen`` says so, sampling the moved map by the flow gives the first map back, up to interpolation."""
    torch.manual_seed(0)
    x = _smooth(8, 3, 40, 50)
    moved, flow, seen = displace(x, 5.0)
    assert moved.shape == x.shape
    assert flow.shape == (8, 2, 40, 50)
    assert flow.abs().max() <= 5
    assert 0.5 < seen.float().mean() < 1
    error = (sample_at(moved, flow) - x).abs().mean(1)
    assert error[seen].mean() < 0.3 * x.abs().mean()  # two bilinear samplings blur
    assert error[~seen].mean() > 2 * error[seen].mean()
    two = [len(set(field[0, seen[n]].tolist())) for n, field in enumerate(flow)]
    assert max(two) == 2  # a rectangle moves by another amount than the rest


def test_whole_pixel_displacements_are_found_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size, 0.9))
    x = torch.randn(1, 2, 30, 30)
    moved, flow, seen = displace(x, 5.0)  # by 4 px along both axes, everywhere
    torch.testing.assert_close(flow, torch.full_like(flow, 4.0))
    torch.testing.assert_close(sample_at(moved, flow)[:, :, :25, :25], x[:, :, :25, :25], rtol=0, atol=1e-4)
    assert seen[:, :25, :25].all()
    assert not seen[:, 27:].any()


def test_it_learns_to_find_a_displacement() -> None:
    """Thermal shows the negative of what RGB shows, moved: 150 steps of self-supervision on other images suffice."""
    torch.manual_seed(0)
    align = ThermalAlignment(4, embedding=8, reach=4)
    optimizer = torch.optim.Adam(align.parameters(), lr=3e-3)
    mix = torch.randn(4, 4)
    align.train()
    for _ in range(150):
        rgb = _smooth(4, 4, 24, 24)
        error = align(rgb, -torch.einsum("oc,bchw->bohw", mix, rgb)).error
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    align.eval()
    rgb = _smooth(2, 4, 24, 24)
    shift = torch.tensor((2.0, -3.0)).view(1, 2, 1, 1).expand(2, 2, 24, 24)
    thermal = sample_at(-torch.einsum("oc,bchw->bohw", mix, rgb), -shift)
    output = align(rgb, thermal)
    assert output.error is None
    inner = (..., slice(5, -5), slice(5, -5))
    assert (output.flow - shift)[inner].abs().mean() < 0.7  # 2.5 without learning
    torch.testing.assert_close(output.thermal, sample_at(thermal, output.flow))


def test_the_model_aligns_before_cipa() -> None:
    model = create_model("cimnet_resnet10t", 3, explicit_alignment=True, **SMALL)
    seen = []
    model.cipa.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    rgb, thermal = torch.rand(2, 3, 64, 96), torch.rand(2, 1, 64, 96)
    output = model(rgb, thermal)
    assert output.flow.shape == (2, 2, 16, 24)
    assert output.alignment_error.ndim == 0
    output.alignment_error.backward(retain_graph=True)
    touched = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert touched == {"alignment"}  # the error teaches the search, not the features
    model.eval()
    plain = model(rgb, thermal)
    assert plain.alignment_error is None
    before = seen[-1]
    with torch.no_grad():
        model.alignment.sharpness.zero_()  # all displacements alike: no displacement on average inside the image
    model(rgb, thermal)
    assert not torch.equal(seen[-1], before)
