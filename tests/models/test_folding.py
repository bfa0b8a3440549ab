"""Folding for inference: the same outputs, the model as it was, and a copy that follows what happens to the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cimnet.models import RGBTModel, create_model
from cimnet.models.folding import FoldedModel, fold_for_inference

SMALL: dict[str, Any] = {"widths": (8, 16, 20, 32), "decoder_channels": 16}
NAMES = (
    "cimnet_resnet10t",
    "cimnet_efficientnet_lite0",
    "cimnet_mit_b0",
    "early_fusion_efficientnet_lite0",
    "cimnet_test_vit",
)


def _model(name: str = "cimnet_resnet10t") -> RGBTModel:
    """Weights and statistics at random, also those that begin at zero or one."""
    model = create_model(name, 5, **SMALL).eval()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and tensor.numel() > 1 and (tensor == tensor.flatten()[0]).all():
            tensor.detach().uniform_(0.5, 1.5) if tensor.ndim == 1 else nn.init.normal_(tensor.detach(), std=0.05)
    return model


def _pair(size: tuple[int, int] = (37, 53)) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(2, 3, *size), torch.rand(2, 1, *size)


def _norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_logits_with_fewer_normalisations(name: str) -> None:
    model, pair = _model(name).double(), [image.double() for image in _pair()]
    folded = fold_for_inference(model)
    with torch.inference_mode():
        wanted, found = model(*pair).logits, folded(*pair).logits
    assert (found - wanted).abs().max() <= 1e-10 * wanted.abs().max()
    assert _norms(folded) == (0 if "early_fusion" in name else 4)  # those of FFM, behind a sum


@pytest.mark.parametrize("name", NAMES)
def test_the_model_stays_as_it_was(name: str) -> None:
    model = _model(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_for_inference(model)
    after = model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)
    shared = {id(tensor) for tensor in model.parameters()} & {id(tensor) for tensor in folded.parameters()}
    assert shared  # what is not folded takes no memory twice


def test_normalisations_that_take_something_else_stay() -> None:
    class Branching(RGBTModel):
        def __init__(self) -> None:
            super().__init__([0.5] * 3, [0.5] * 3)
            self.conv, self.twice, self.once = (nn.Conv2d(3, 3, 1) for _ in range(3))
            self.norm, self.other, self.last = (nn.BatchNorm2d(3) for _ in range(3))

        def forward(self, rgb: torch.Tensor, thermal: torch.Tensor) -> torch.Tensor:
            first = self.conv(rgb)  # goes to two places
            second = self.twice(self.twice(self.norm(first) + first))  # runs twice
            return self.last(self.once(self.other(second)))

    model = Branching().eval()
    for norm in (model.norm, model.other, model.last):
        norm.running_var.uniform_(0.2, 3)
        norm.running_mean.normal_()
    folded = fold_for_inference(model)
    assert isinstance(folded.last, nn.Identity)
    assert isinstance(folded.norm, nn.BatchNorm2d)
    assert isinstance(folded.other, nn.BatchNorm2d)
    rgb, thermal = _pair()
    torch.testing.assert_close(folded(rgb, thermal), model(rgb, thermal))


def test_the_copy_is_made_once_and_again_when_a_weight_changes() -> None:
    model, pair = _model(), _pair()
    keeper = FoldedModel(model)
    first = keeper.get()
    assert first is not model
    assert keeper.get() is first
    with torch.no_grad():
        model.encoder_rgb.stages[2][0][0].conv1.weight.mul_(1.5)
    second = keeper.get()
    assert second is not first
    with torch.inference_mode():
        torch.testing.assert_close(second(*pair).logits, model(*pair).logits, rtol=1e-4, atol=1e-5)
    model.input_scale = 0.5
    assert keeper.get().input_scale == 0.5


def test_with_hooks_or_in_training_the_model_itself_runs() -> None:
    model = _model()
    keeper = FoldedModel(model)
    handle = model.decoder.register_forward_hook(lambda *_: None)
    assert keeper.get() is model
    handle.remove()
    assert keeper.get() is not model
    model.train()
    assert keeper.get() is model


@pytest.mark.slow  # networks at their published sizes
@pytest.mark.parametrize("name", ["rtfnet_resnet18", "cainet_mobilenet_v2", "cmx_mit_b2", "cmnext_mit_b2"])
def test_published_networks(name: str) -> None:
    model = create_model(name, 5).eval()
    for key, tensor in model.named_buffers():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    pair = _pair((64, 96))
    with torch.inference_mode():
        wanted, found = model(*pair).logits, fold_for_inference(model)(*pair).logits
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()
