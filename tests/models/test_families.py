"""The common tests for each family with a few encoders, and what is special to a family."""

from __future__ import annotations

import pytest
import torch

from cimnet.errors import ConfigError
from cimnet.models import RGBTModel, SingleStream, create_model, list_models
from cimnet.models.base import class_ids
from cimnet.models.baselines.parallel import ParallelRectification
from cimnet.models.encoder import create_encoder
from cimnet.models.registry import list_networks
from cimnet.models.staged_encoder import take_channels

from .tester import CLASSES, SMALL, ModelTester, TwoStreamTester, images

ALIGNED = {"explicit_alignment": True}
UNALIGNED = {"explicit_alignment": False}
RESIDUAL = {"offset_update": "residual", "modulation": True}
NATIVE = {"widths": (32, 64, 160, 256)}


class CIMNetTester(TwoStreamTester):
    family = "cimnet"
    number_of_offsets = 4


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
    encoder = "resnet10t"


@pytest.mark.slow
class TestCIMNetMiT(CIMNetTester):
    encoder = "mit_b0"


class TestCIMNetMiTNativeWidths(CIMNetTester):
    encoder = "mit_b0"
    options = NATIVE


@pytest.mark.slow
class TestCIMNetEfficientNet(CIMNetTester):
    encoder = "efficientnet_lite0"


class TestCIMNetResidualModulated(CIMNetTester):
    encoder = "efficientnet_lite0"
    options = RESIDUAL


class TestRGBOnlyEfficientNet(RGBOnlyTester):
    encoder = "efficientnet_lite0"


@pytest.mark.slow
class TestRGBOnlyMiT(RGBOnlyTester):
    encoder = "mit_b0"


@pytest.mark.slow
class TestThermalOnlyEfficientNet(ThermalOnlyTester):
    encoder = "efficientnet_lite0"


class TestThermalOnlyResNet(ThermalOnlyTester):
    encoder = "resnet10t"


class TestCIMNetAligned(CIMNetTester):
    encoder = "efficientnet_lite0"
    options = ALIGNED


class TestCIMNetX(TwoStreamTester):
    family = "cimnetx"
    encoder = "efficientnet_lite0"
    number_of_offsets = 4
    rounding = 1e-4  # of logits around 1: alignment passes it on


@pytest.mark.slow
class TestCIMNetXMiT(TwoStreamTester):
    family = "cimnetx"
    encoder = "mit_b0"
    options = UNALIGNED
    number_of_offsets = 4


class TestEarlyFusion(ModelTester):
    family = "early_fusion"
    encoder = "efficientnet_lite0"

    def test_the_fourth_channel_begins_as_the_mean_of_the_others(self) -> None:
        """A pair whose images all agree, grey and normalised alike, is seen as three channels saw it."""
        three, four = create_encoder("resnet10t"), create_encoder("resnet10t")
        four.load_state_dict(three.state_dict())
        take_channels(four, 1, beside_rgb=True)
        grey = torch.rand(1, 1, 64, 64)
        torch.testing.assert_close(
            four.eval()(grey.expand(-1, 4, -1, -1)), three.eval()(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5
        )


@pytest.mark.slow
class TestEarlyFusionMiT(ModelTester):
    family = "early_fusion"
    encoder = "mit_b0"


@pytest.mark.slow
class TestEarlyFusionAligned(ModelTester):
    family = "early_fusion"
    encoder = "efficientnet_lite0"
    options = ALIGNED


class TestAddition(TwoStreamTester):
    family = "addition"
    encoder = "efficientnet_lite0"

    def test_what_goes_on_is_the_sum(self, model: RGBTModel) -> None:
        """With a thermal encoder that gives zeros the model is the one-stream model of RGB."""
        single = create_model("rgb_only_efficientnet_lite0", CLASSES, **SMALL).eval()
        single.encoder, single.project, single.decoder = model.encoder_rgb, model.project_sum, model.decoder
        rgb, thermal = images(1, (64, 64))
        torch.testing.assert_close(model(rgb, None).logits, single(rgb, None).logits)
        assert (model(rgb, thermal).logits - single(rgb, None).logits).abs().max() > 1e-4


@pytest.mark.slow
class TestAdditionAligned(TwoStreamTester):
    family = "addition"
    encoder = "efficientnet_lite0"
    options = ALIGNED
    rounding = 1e-4  # of logits around 1: alignment passes it on


class TestParallelRectification(TwoStreamTester):
    family = "parallel_rectification"
    encoder = "efficientnet_lite0"


@pytest.mark.slow
class TestParallelRectificationMiT(TwoStreamTester):
    family = "parallel_rectification"
    encoder = "mit_b0"


@pytest.mark.slow
class TestParallelRectificationAligned(TwoStreamTester):
    family = "parallel_rectification"
    encoder = "efficientnet_lite0"
    options = ALIGNED
    rounding = 1e-4  # of logits around 1: alignment passes it on


def test_parallel_rectification_by_hand() -> None:
    """All weights 1/2: each stream gets half of the other one; both kinds of weights see the maps as they came."""
    module = ParallelRectification(2)
    for layer in (module.channel[-1], module.spatial[-1]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    rgb, thermal = torch.randn(2, 1, 2, 3, 4)
    out_rgb, out_thermal = module(rgb, thermal)
    torch.testing.assert_close(out_rgb, rgb + 0.5 * thermal)
    torch.testing.assert_close(out_thermal, thermal + 0.5 * rgb)
    given = []
    for part in (module.channel, module.spatial):
        part.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    module(rgb, thermal)
    maps = (rgb.amax((2, 3)), rgb.mean((2, 3)), thermal.amax((2, 3)), thermal.mean((2, 3)))
    torch.testing.assert_close(given[0], torch.cat(maps, dim=1))
    torch.testing.assert_close(given[1], torch.cat((rgb, thermal), dim=1))


def test_an_unknown_modality_is_named() -> None:
    """Anything but ``rgb`` would otherwise be taken for thermal."""
    with pytest.raises(ValueError, match="modality is 'infrared'"):
        SingleStream("resnet10t", CLASSES, modality="infrared", **SMALL)  # type: ignore[arg-type]


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
def test_a_model_of_one_sensor_refuses_alignment(modality: str) -> None:
    with pytest.raises(ConfigError, match=f"a model of {modality} alone sees one"):
        create_model(f"{modality}_only_resnet10t", CLASSES, explicit_alignment=True, **SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(list_models()) - set(list_networks())))
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


def test_class_ids_are_those_of_argmax() -> None:
    scores = torch.randint(3, (2, 5, 40, 60)).float()  # many equals
    assert torch.equal(class_ids(scores), scores.argmax(1))
    assert torch.equal(class_ids(scores[0], 0), scores[0].argmax(0))
    assert class_ids(scores).dtype == torch.int64
