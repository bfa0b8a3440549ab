"""The common tests for each family with a few encoders, and what is special to a family."""

from __future__ import annotations

import pytest
import torch

from cimnet.models import RGBTModel, SingleStream, create_model, list_models

from .tester import CLASSES, SMALL, ModelTester, images


class CIMNetTester(ModelTester):
    family = "cimnet"
    number_of_offsets = 4

    def test_both_images_count(self, shared: RGBTModel) -> None:
        rgb, thermal = images(1, (64, 64))
        logits = shared(rgb, thermal).logits
        assert (shared(torch.rand_like(rgb), thermal).logits - logits).abs().max() > 1e-4
        assert (shared(rgb, torch.rand_like(thermal)).logits - logits).abs().max() > 1e-4


class RGBOnlyTester(ModelTester):
    family = "rgb_only"

    def test_thermal_is_ignored(self, shared: RGBTModel) -> None:
        rgb, thermal = images(1, (64, 64))
        logits = shared(rgb, thermal).logits
        torch.testing.assert_close(shared(rgb, torch.rand_like(thermal)).logits, logits, rtol=0, atol=0)
        assert (shared(torch.rand_like(rgb), thermal).logits - logits).abs().max() > 1e-4


class ThermalOnlyTester(ModelTester):
    family = "thermal_only"

    def test_rgb_is_ignored(self, shared: RGBTModel) -> None:
        rgb, thermal = images(1, (64, 64))
        logits = shared(rgb, thermal).logits
        torch.testing.assert_close(shared(torch.rand_like(rgb), thermal).logits, logits, rtol=0, atol=0)
        assert (shared(rgb, torch.rand_like(thermal)).logits - logits).abs().max() > 1e-4


class TestCIMNetResNet(CIMNetTester):
    encoder = "resnet18"


@pytest.mark.slow
class TestCIMNetMiT(CIMNetTester):
    encoder = "mit_b0"


class TestCIMNetMiTNativeWidths(CIMNetTester):
    encoder = "mit_b0"

    def build(self, **options: object) -> RGBTModel:
        return super().build(**{"widths": (32, 64, 160, 256), **options})


@pytest.mark.slow
class TestCIMNetEfficientNet(CIMNetTester):
    encoder = "efficientnet_lite0"


class TestCIMNetResidualModulated(CIMNetTester):
    encoder = "efficientnet_lite0"

    def build(self, **options: object) -> RGBTModel:
        return super().build(offset_update="residual", modulation=True, **options)


class TestRGBOnlyEfficientNet(RGBOnlyTester):
    encoder = "efficientnet_lite0"


@pytest.mark.slow
class TestRGBOnlyMiT(RGBOnlyTester):
    encoder = "mit_b0"


@pytest.mark.slow
class TestThermalOnlyEfficientNet(ThermalOnlyTester):
    encoder = "efficientnet_lite0"


class TestThermalOnlyResNet(ThermalOnlyTester):
    encoder = "resnet18"


def test_an_unknown_modality_is_named() -> None:
    """Anything but ``rgb`` would otherwise be taken for thermal."""
    with pytest.raises(ValueError, match="modality is 'infrared'"):
        SingleStream("resnet10t", CLASSES, modality="infrared", **SMALL)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_every_named_model_runs(name: str) -> None:
    model = create_model(name, CLASSES, **SMALL).eval()
    assert model(*images(1, (33, 47))).logits.shape == (1, CLASSES, 33, 47)


def test_predict_leaves_frozen_parts_frozen() -> None:
    """Frozen batch statistics are a usual way to fine-tune: a prediction must not thaw them."""
    model = create_model("rgb_only_resnet18", CLASSES, **SMALL).train()
    frozen = [module for module in model.encoder.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for module in frozen:
        module.eval()
    model.predict(*images(1, (32, 32)))
    assert model.training
    assert not any(module.training for module in frozen)
