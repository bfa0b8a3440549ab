"""What every model must do. A family's test class inherits it and names its family and encoders."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.models import Output, RGBTModel, create_model
from cimnet.models.recompute import Checkpointing

SMALL: dict[str, Any] = {"widths": (8, 16, 20, 32), "decoder_channels": 16}
CLASSES = 4
_BUILT: dict[type, RGBTModel] = {}


def images(batch: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A random pair in 0..1."""
    return torch.rand(batch, 3, *size), torch.rand(batch, 1, *size)


def _loss(output: Output) -> Tensor:
    loss = output.logits.square().mean()
    for head in output.auxiliary:
        loss = loss + head.weight * head.logits.square().mean()
    return loss if output.mutual_information is None else loss + output.mutual_information


def _backward(model: RGBTModel, rgb: Tensor, thermal: Tensor) -> None:
    _loss(model(rgb, thermal)).backward()


def trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that take a gradient, by name: all but those that a published network has and does not use."""
    named = list(model.named_parameters())
    left = (*getattr(model, "unused", ()), *getattr(model, "fitted_afterwards", ()))
    assert all(p.requires_grad or name.startswith(left) for name, p in named)
    return [(name, parameter) for name, parameter in named if parameter.requires_grad]


def batch_statistics(module: nn.Module) -> list[Tensor]:
    """Copies of all running statistics."""
    return [buffer.clone() for name, buffer in module.named_buffers() if "running_" in name]


class BuildsModel:
    """Attributes: the family's name, encoders of one kind each, further arguments of the model, by how much its logits
    may differ for rounding, and whether its thermal statistics are its own, not those of a data set."""

    family: str
    encoder: str
    options: Mapping[str, Any] = {}
    number_of_offsets = 0
    rounding = 1e-5
    keeps_thermal_statistics = False

    def build(self, **options: Any) -> RGBTModel:
        return create_model(f"{self.family}_{self.encoder}", CLASSES, **{**SMALL, **self.options, **options})

    @pytest.fixture
    def shared(self) -> RGBTModel:
        """Built once for the class, in evaluation mode; for tests that leave it as it is."""
        if type(self) not in _BUILT:
            _BUILT[type(self)] = self.build().eval()
        return _BUILT[type(self)]

    @pytest.fixture
    def model(self, shared: RGBTModel) -> RGBTModel:
        """A copy that a test may change."""
        return copy.deepcopy(shared)


class ModelTester(BuildsModel):
    """What each family does in its own way."""

    @pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 96)])
    def test_logits_at_the_inputs_size(self, shared: RGBTModel, size: tuple[int, int]) -> None:
        output = shared(*images(2, size))
        assert output.logits.shape == (2, CLASSES, *size)
        assert output.logits.isfinite().all()
        assert output.mutual_information is None
        assert len(output.offsets) == self.number_of_offsets

    def test_images_do_not_see_each_other_in_eval(self, shared: RGBTModel) -> None:
        rgb, thermal = images(3, (40, 64))
        together = shared(rgb, thermal).logits
        alone = torch.cat([shared(rgb[n : n + 1], thermal[n : n + 1]).logits for n in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=self.rounding)

    def test_a_fresh_model_has_finite_gradients_everywhere(self, model: RGBTModel) -> None:
        _backward(model.train(), *images(2, (64, 64)))
        assert [name for name, p in trained(model) if p.grad is None] == []
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    def test_gradients_reach_every_parameter(self, model: RGBTModel) -> None:
        """None may be zero once the layers that start at zero have moved.

        Batch norms keep to running statistics here: those of the batch would take out again what a bias before them
        adds to all pixels, and leave these biases (``decoder.project``, ``ffm.*.embed``, the way back, some encoders'
        last norms) no gradient by design.
        """
        model.double().train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        for parameter in model.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
        _backward(model, *(x.double() for x in images(2, (64, 64))))
        assert [name for name, p in trained(model) if p.grad is None or not p.grad.any()] == []

    @pytest.mark.parametrize("how", [True, "light"])
    def test_checkpointing_changes_nothing_but_memory(self, model: RGBTModel, how: Checkpointing) -> None:
        """Gradients, dropout and running statistics are those of a plain step, also with an image missing; fewer
        tensors are kept for the backward pass."""
        rgb, thermal = images(3, (64, 64))
        rgb[0] = 0
        found, kept = [], []
        for checkpointing in (False, how):
            copied = copy.deepcopy(model).train()
            copied.checkpointing = checkpointing
            sizes: list[int] = []

            def pack(x: Tensor, sizes: list[int] = sizes) -> Tensor:
                sizes.append(x.numel())
                return x

            torch.manual_seed(0)
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
                loss = _loss(copied(rgb, thermal))
            loss.backward()
            gradients = {name: p.grad for name, p in trained(copied)}
            found.append((gradients, dict(copied.named_buffers())))
            kept.append(sum(sizes))
        for plain, again in zip(*found, strict=True):
            for name, value in plain.items():
                torch.testing.assert_close(again[name], value, msg=lambda text, name=name: f"{name}: {text}")
        assert how == "light" or kept[1] < 0.7 * kept[0]  # what light keeps is hidden from these hooks

    def test_a_missing_image_is_a_black_one(self, shared: RGBTModel) -> None:
        rgb, thermal = images(2, (40, 64))
        same = {"rtol": 0, "atol": 0}
        torch.testing.assert_close(shared(None, thermal).logits, shared(0 * rgb, thermal).logits, **same)
        torch.testing.assert_close(shared(rgb, None).logits, shared(rgb, 0 * thermal).logits, **same)
        torch.testing.assert_close(shared.predict(rgb, None), shared(rgb, None).logits.argmax(1), **same)
        with pytest.raises(ValueError, match="both None"):
            shared(None, None)

    def test_masks_are_made_for_missing_images_alone(self, shared: RGBTModel) -> None:
        """Multiplying every map of whole pairs by one costs a pass over each."""
        rgb, thermal = images(2, (32, 64))
        found = shared.begin(rgb, thermal)
        assert (found.has_rgb, found.has_thermal, found.has_both) == (None, None, None)
        thermal[1] = 0
        found = shared.begin(rgb, thermal)
        assert found.has_rgb is None
        assert found.has_thermal is not None
        assert found.has_both is not None
        assert found.has_thermal.tolist() == found.has_both.tolist() == [True, False]

    def test_training_with_missing_images(self, model: RGBTModel) -> None:
        rgb, thermal = images(4, (64, 64))
        rgb[0], thermal[1], rgb[2], thermal[2] = 0, 0, 0, 0
        _backward(model.train(), rgb, thermal)
        assert all(p.grad is not None and p.grad.isfinite().all() for _, p in trained(model))
        _backward(model, 0 * rgb, thermal)
        _backward(model, rgb, 0 * thermal)
        assert all(p.grad is not None and p.grad.isfinite().all() for _, p in trained(model))

    def test_predict(self, shared: RGBTModel) -> None:
        rgb, thermal = images(2, (33, 47))
        ids = shared.predict(rgb, thermal)
        assert ids.shape == (2, 33, 47)
        assert ids.dtype == torch.int64
        assert not ids.requires_grad
        torch.testing.assert_close(ids, shared(rgb, thermal).logits.argmax(1), rtol=0, atol=0)

    def test_state_dict_round_trip(self, model: RGBTModel) -> None:
        """The statistics of thermal images travel with the weights, where a data set sets them at all."""
        model.set_thermal_statistics(0.31, 0.17)
        torch.manual_seed(1)
        other = self.build().eval()
        other.set_thermal_statistics(0.31, 0.17)
        pair = images(1, (33, 47))
        assert not torch.equal(other(*pair).logits, model(*pair).logits)
        other.set_thermal_statistics(0.5, 0.25)
        other.load_state_dict(model.state_dict())
        torch.testing.assert_close(other(*pair).logits, model(*pair).logits, rtol=0, atol=0)
        if not self.keeps_thermal_statistics:
            assert other.state_dict()["thermal_mean"].item() == pytest.approx(0.31)
            assert other.state_dict()["thermal_std"].item() == pytest.approx(0.17)

    @pytest.mark.parametrize(("size", "scale"), [((1, 1), 0.5), ((33, 47), 0.5), ((64, 128), 1.5)])
    def test_input_scale(self, model: RGBTModel, scale: float, size: tuple[int, int]) -> None:
        model.input_scale = scale
        output = model(*images(1, size))
        assert output.logits.shape == (1, CLASSES, *size)
        if size == (64, 128) and output.offsets:
            assert output.offsets[0].shape[-2:] == (scale * 16, scale * 32)

    def test_channels_last(self, model: RGBTModel) -> None:
        rgb, thermal = images(2, (40, 64))
        expected = model(rgb, thermal).logits
        model.to(memory_format=torch.channels_last)
        rgb, thermal = (x.contiguous(memory_format=torch.channels_last) for x in (rgb, thermal))
        torch.testing.assert_close(model(rgb, thermal).logits, expected, rtol=1e-3, atol=1e-4)

    def test_autocast(self, shared: RGBTModel) -> None:
        pair = images(1, (64, 64))
        expected = shared(*pair).logits
        with torch.autocast("cpu", torch.bfloat16):
            logits = shared(*pair).logits
        assert (logits.float() - expected).abs().max() < 0.2 * expected.abs().max() + 0.05


class BaseTester(BuildsModel):
    """What :class:`cimnet.models.RGBTModel` does for all families alike: tried with one stream and with two."""

    @pytest.mark.parametrize("training", [False, True])
    def test_predict_restores_the_mode(self, model: RGBTModel, training: bool) -> None:
        model.train(training)
        statistics = {key: value.clone() for key, value in model.state_dict().items()}
        model.predict(*images(1, (32, 32)))
        assert all(module.training == training for module in model.modules())
        assert all(torch.equal(statistics[key], value) for key, value in model.state_dict().items())
        with pytest.raises(ValueError, match="expected"):
            model.predict(torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32))
        assert model.training == training

    @pytest.mark.parametrize(
        ("rgb", "thermal"),
        [
            ((1, 1, 32, 32), (1, 1, 32, 32)),
            ((1, 3, 32, 32), (1, 3, 32, 32)),
            ((1, 3, 32, 32), (1, 1, 32, 33)),
            ((2, 3, 32, 32), (1, 1, 32, 32)),
            ((3, 32, 32), (1, 32, 32)),
        ],
        ids=str,
    )
    def test_wrong_shapes_are_named(self, shared: RGBTModel, rgb: tuple[int, ...], thermal: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="expected") as caught:
            shared(torch.rand(rgb), torch.rand(thermal))
        assert str(rgb) in str(caught.value)
        assert str(thermal) in str(caught.value)

    def test_training_takes_images_as_they_are(self, model: RGBTModel) -> None:
        """The training transform scales; the model must not scale a second time."""
        model.input_scale = 0.5
        rgb, thermal = images(1, (64, 96))
        assert model.eval().prepare(rgb, thermal)[0].shape[-2:] == (32, 64)
        assert model.train().prepare(rgb, thermal)[0].shape[-2:] == (64, 96)

    def test_input_scale_is_an_option(self) -> None:
        assert self.build(input_scale=0.5).input_scale == 0.5

    def test_normalises_inside(self, model: RGBTModel) -> None:
        rgb, thermal = images(1, (32, 64))
        ready_rgb, ready_thermal = model.prepare(rgb, thermal)
        mean, std = model.rgb_mean.view(1, 3, 1, 1), model.rgb_std.view(1, 3, 1, 1)
        torch.testing.assert_close(ready_rgb, (rgb - mean) / std)
        model.set_thermal_statistics(thermal.mean().item(), thermal.std().item())
        ready_thermal = model.prepare(rgb, thermal)[1]
        assert ready_thermal.shape == (1, 3, 32, 64)
        assert ready_thermal.mean().abs() < 1e-5
        assert abs(ready_thermal.std() - 1) < 1e-2

    def test_a_flat_thermal_set_does_not_divide_by_zero(self, model: RGBTModel) -> None:
        model.set_thermal_statistics(0.5, 0.0)
        rgb, thermal = images(1, (32, 32))
        assert model(rgb, torch.full_like(thermal, 0.5)).logits.isfinite().all()

    def test_padding_by_hand_changes_nothing(self, shared: RGBTModel) -> None:
        """The logits of an image lie in the corner of those of its padded copy, in the image's own pixels."""
        rgb, thermal = images(1, (33, 47))
        padded = (F.pad(x, (0, 64 - 47, 0, 64 - 33), mode="replicate") for x in (rgb, thermal))
        torch.testing.assert_close(shared(rgb, thermal).logits, shared(*padded).logits[:, :, :33, :47])

    @pytest.mark.parametrize("scale", [1.0, 0.5])
    def test_logits_return_to_the_pixels_they_come_from(self, model: RGBTModel, scale: float) -> None:
        """A coarse map that holds the position of its 4×4 pixels becomes the position of every pixel."""
        model.input_scale = scale
        size = (48, 80)
        padded = model.prepare(*images(1, size))[0].shape[-2:]
        y, x = ((torch.arange(n // 4) * 4 + 2) / scale - 0.5 for n in padded)  # centres, in pixels of the image
        restored = model.restore(torch.stack(torch.meshgrid(y, x, indexing="ij"))[None], tuple(padded), size)
        expected = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in size), indexing="ij"))[None]
        inside = (..., slice(6, -6), slice(6, -6))  # beyond the outermost centres the map is flat
        torch.testing.assert_close(restored[inside], expected[inside], rtol=0, atol=1e-3)

    def test_padding_repeats_the_border(self, shared: RGBTModel) -> None:
        """Up to a multiple of 32, below and to the right."""
        rgb, thermal = images(1, (33, 64))
        ready = shared.prepare(rgb, thermal)[0]
        assert ready.shape[-2:] == (64, 64)
        torch.testing.assert_close(ready[:, :, 33:], ready[:, :, 32:33].expand(-1, -1, 31, -1))


class TwoStreamTester(ModelTester):
    """What the models with one encoder a sensor do besides."""

    def test_both_images_count(self, shared: RGBTModel) -> None:
        rgb, thermal = images(1, (64, 64))
        logits = shared(rgb, thermal).logits
        assert (shared(torch.rand_like(rgb), thermal).logits - logits).abs().max() > 1e-4
        assert (shared(rgb, torch.rand_like(thermal)).logits - logits).abs().max() > 1e-4

    @pytest.mark.parametrize("lost", ["rgb", "thermal"])
    def test_the_first_stage_of_a_missing_image_says_nothing(self, model: RGBTModel, lost: str) -> None:
        """Whatever its weights are, and whatever one value its pixels have."""
        pair = dict(zip(("rgb", "thermal"), images(1, (64, 64)), strict=True))
        black = model(**{**pair, lost: torch.zeros_like(pair[lost])}).logits
        grey = model(**{**pair, lost: torch.full_like(pair[lost], 0.7)}).logits
        torch.testing.assert_close(grey, black, rtol=0, atol=0)
        with torch.no_grad():
            for parameter in getattr(model, f"encoder_{lost}").stages[0].parameters():
                parameter.add_(torch.randn_like(parameter))
        torch.testing.assert_close(model(**{**pair, lost: None}).logits, black, rtol=0, atol=0)

    def test_missing_images_stay_out_of_batch_statistics(self, model: RGBTModel) -> None:
        rgb, thermal = images(3, (64, 64))
        other = copy.deepcopy(model)
        model.train()(torch.cat((rgb[:2], 0 * rgb[2:])), thermal)
        other.train()(rgb[:2], thermal[:2])
        ours, theirs = (batch_statistics(m.encoder_rgb.stages[0]) for m in (model, other))
        torch.testing.assert_close(ours, theirs)
