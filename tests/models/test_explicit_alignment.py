"""Explicit alignment: shifts are found whatever the contrast, and the model sees the aligned image."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from cimnet.models import create_model
from cimnet.models.explicit_alignment import ThermalAlignment, sample_at

from .test_cimnet import SMALL


def _things(batch: int, height: int, width: int) -> torch.Tensor:
    """Images (B, 3, H, W) with edges in all directions and flat ground between them."""
    noise = F.interpolate(torch.randn(batch, 1, height // 8, width // 8), size=(height, width), mode="bilinear")
    colors = torch.rand(1, 3, 1, 1)
    return (noise > 0.3).float() * colors + 0.02 * torch.rand(batch, 3, height, width)


@pytest.mark.parametrize("shift", [(2, -3), (0, 0), (-4, 1)])
def test_sample_at_whole_pixels_is_a_slice(shift: tuple[int, int]) -> None:
    x = torch.randn(1, 3, 12, 15)
    flow = torch.tensor(shift, dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, 12, 15)
    got = sample_at(x, flow)
    inside = got[:, :, 5:8, 5:10]
    expected = x[:, :, 5 + shift[0] : 8 + shift[0], 5 + shift[1] : 10 + shift[1]]
    torch.testing.assert_close(inside, expected)


@pytest.mark.parametrize("shift", [(8, -12), (0, 0), (-4, 16)])
def test_a_shift_is_found_without_training(shift: tuple[int, int]) -> None:
    """The thermal image shows the same edges with the contrast turned round, elsewhere."""
    rgb = _things(2, 128, 160)
    flow = torch.tensor(shift, dtype=torch.float32).view(1, 2, 1, 1).expand(2, 2, 128, 160)
    seen = sample_at(1 - rgb.mean(1, keepdim=True), -flow)
    output = ThermalAlignment()(rgb, seen)
    assert output.flow.shape == (2, 2, 32, 40)
    inner = (..., slice(5, -5), slice(5, -5))
    assert (4 * output.flow - flow[..., ::4, ::4])[inner].abs().mean() < 1.0  # pixels
    back = (..., slice(20, -20), slice(20, -20))
    wrong = (seen - (1 - rgb.mean(1, keepdim=True)))[back].abs().mean()
    left = (output.thermal - (1 - rgb.mean(1, keepdim=True)))[back].abs().mean()
    assert shift == (0, 0) or left < 0.5 * wrong


def test_images_without_anything_in_common_stay_nearly_where_they_are() -> None:
    flow = ThermalAlignment()(_things(1, 128, 160), torch.full((1, 1, 128, 160), 0.5)).flow
    assert flow.abs().max() < 0.05
    missing = ThermalAlignment()(_things(1, 64, 64), _things(1, 64, 64), torch.tensor([False])).flow
    assert not missing.any()


def test_parts_that_move_differently_are_told_apart() -> None:
    """The left half of the thermal image is displaced by 12 px to the right, the other half by 8 px to the left."""
    rgb = _things(2, 128, 256)
    true = torch.zeros(2, 2, 128, 256)
    true[:, 1, :, :128], true[:, 1, :, 128:] = 12, -8
    flow = 4 * ThermalAlignment()(rgb, sample_at(1 - rgb.mean(1, keepdim=True), -true)).flow
    assert flow[:, 1, 4:-4, 4:20].mean() > 6
    assert flow[:, 1, 4:-4, -20:-4].mean() < -4


def test_expected_displacement_by_hand() -> None:
    """Nine displacements; all logits are 0 but that of (0, +1), which is log 8: its share is 1/2, the others' 1/16."""
    logits = torch.zeros(1, 9, 1, 1)
    logits[:, 5] = torch.log(torch.tensor(8.0))
    flow = ThermalAlignment(reach=1)._expected(logits)
    torch.testing.assert_close(flow.flatten(), torch.tensor([0.0, 0.5 + 2 / 16 - 3 / 16]))


@pytest.mark.parametrize("family", ["cimnet", "parallel_rectification", "addition", "early_fusion"])
def test_the_model_aligns_before_its_encoders(family: str) -> None:
    model = create_model(f"{family}_resnet10t", 3, explicit_alignment=True, **SMALL).train()
    seen = []
    encoder = model.encoder if family == "early_fusion" else model.encoder_thermal
    encoder.stages[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, -1:]))
    rgb = _things(2, 64, 96)
    flow = torch.tensor((4.0, -8.0)).view(1, 2, 1, 1).expand(2, 2, 64, 96)
    thermal = sample_at(rgb.mean(1, keepdim=True), -flow)
    output = model(rgb, thermal)
    given = (thermal - model.thermal_mean) / model.thermal_std
    moved = sample_at(given, 4 * F.interpolate(output.flow, scale_factor=4.0, mode="bilinear"))
    torch.testing.assert_close(seen[0], moved.detach())
    assert (seen[0] - given).abs().mean() > 0.05
    assert not list(model.alignment.parameters())  # nothing to learn, nothing to lose


@pytest.mark.parametrize("lost", ["rgb", "thermal"])
def test_what_is_lost_takes_no_part_in_the_alignment(lost: str) -> None:
    """Two thirds of an image are black, and half of what the thermal image shows, RGB does not."""
    torch.manual_seed(3)
    rgb, other = _things(4, 128, 160), _things(4, 128, 160).mean(1, keepdim=True)
    flow = torch.tensor([8.0, -12.0]).view(1, 2, 1, 1).expand(4, 2, 128, 160)
    thermal = sample_at(1 - rgb.mean(1, keepdim=True), -flow) / 2 + 0.7 * other + 0.1 * torch.rand(4, 1, 128, 160)
    shown = torch.ones(4, 1, 32, 40, dtype=torch.bool)
    shown[:, :, :22] = False
    (rgb if lost == "rgb" else thermal)[:, :, :88] = 0
    known = (shown, None) if lost == "rgb" else (None, shown)
    errors = [
        (4 * ThermalAlignment()(rgb, thermal, shown=cells).flow - flow[..., ::4, ::4])[..., 24:, 5:-5].abs().mean()
        for cells in ((None, None), known)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_it_runs_where_its_images_are(fake_tensors: FakeTensorMode) -> None:
    """On a device that need not exist here: tensors without values."""
    with fake_tensors:
        rgb, thermal = (torch.empty(1, channels, 64, 96, device="cuda") for channels in (3, 1))
        shown = torch.ones(1, 1, 16, 24, dtype=torch.bool, device="cuda")
        output = ThermalAlignment()(rgb, thermal, shown=(shown, shown))
    assert output.thermal.device.type == output.flow.device.type == "cuda"


def test_a_model_finds_what_is_lost_before_it_aligns() -> None:
    rgb = _things(2, 64, 96)
    thermal = rgb.mean(1, keepdim=True)
    rgb[1, :, 16:32] = 0
    model = create_model("cimnet_resnet10t", 5, explicit_alignment=True, **SMALL).eval()
    assert model.alignment is not None
    given: list[object] = []
    model.alignment.register_forward_pre_hook(lambda _, inputs: given.append(inputs[3]))
    with torch.no_grad():
        found = model.begin(rgb, thermal)
    assert found.shown_thermal is None
    assert found.shown_rgb is not None
    assert (~found.shown_rgb).sum((1, 2, 3)).tolist() == [0, 4 * 24]
    assert given == [(found.shown_rgb, None)]
