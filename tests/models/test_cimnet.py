"""CIMNet assembled: what goes from stage to stage, and the size of every part."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cimnet.errors import ConfigError
from cimnet.models import CIMNet, create_model
from cimnet.models.projections import PAPER_WIDTHS, WriteBack, input_projection
from cimnet.models.scsfr import SCSFROutput, halve_offset
from cimnet.training.loss import SegmentationLoss

SMALL: dict[str, Any] = {"widths": (8, 16, 20, 32), "decoder_channels": 16}
NATIVE: dict[str, Any] = {"widths": (32, 64, 160, 256), "decoder_channels": 16}


def _model(name: str = "cimnet_resnet10t", **options: Any) -> CIMNet:
    model = create_model(name, 3, **{**SMALL, **options}).eval()
    assert isinstance(model, CIMNet)
    return model


def _images(size: tuple[int, int] = (64, 96)) -> tuple[Tensor, Tensor]:
    return torch.rand(1, 3, *size), torch.rand(1, 1, *size)


def _move_offsets(model: CIMNet) -> None:
    """Give every offset layer something to say."""
    nn.init.normal_(model.cipa.offset[-1].weight, std=0.5)
    for module in model.scsfr:
        nn.init.normal_(module.spatial.offset_conv.weight, std=0.5)
        nn.init.normal_(module.spatial.offset_conv.bias)


class _Spy:
    """Inputs and outputs of some modules during one forward pass."""

    def __init__(self, **modules: nn.Module) -> None:
        self.inputs: dict[str, tuple[Any, ...]] = {}
        self.outputs: dict[str, Any] = {}
        for name, module in modules.items():
            module.register_forward_hook(self._record(name))

    def _record(self, name: str) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            self.inputs[name], self.outputs[name] = args, output

        return hook


def _spy(model: CIMNet) -> _Spy:
    modules = {f"scsfr{n}": module for n, module in enumerate(model.scsfr)}
    modules |= {f"ffm{n}": module for n, module in enumerate(model.ffm)}
    modules |= {f"rgb{n}": module for n, module in enumerate(model.encoder_rgb.stages)}
    modules |= {f"thermal{n}": module for n, module in enumerate(model.encoder_thermal.stages)}
    for name in ("project_rgb", "project_thermal", "write_back_rgb", "write_back_thermal"):
        modules |= {f"{name}{n}": module for n, module in enumerate(getattr(model, name))}
    return _Spy(**modules, cipa=model.cipa)


def test_offsets_are_halved_from_stage_to_stage() -> None:
    model = _model()
    _move_offsets(model)
    spy = _spy(model)
    output = model(*_images())
    torch.testing.assert_close(spy.inputs["scsfr0"][2], spy.outputs["cipa"].offset, rtol=0, atol=0)
    for n in (1, 2, 3):
        before, given = spy.outputs[f"scsfr{n - 1}"].offset, spy.inputs[f"scsfr{n}"][2]
        assert before.abs().max() > 0.1
        assert given.shape[-2:] == (before.shape[-2] // 2, before.shape[-1] // 2)
        torch.testing.assert_close(given, 0.5 * nn.functional.avg_pool2d(before, 2))
        torch.testing.assert_close(given, halve_offset(before, given.shape[-2:]), rtol=0, atol=0)
    for n in range(4):
        torch.testing.assert_close(output.offsets[n], spy.outputs[f"scsfr{n}"].offset, rtol=0, atol=0)
        assert output.offsets[n].shape == (1, 18, 16 // 2**n, 24 // 2**n)


def test_residual_carries_a_whole_field_through_all_stages() -> None:
    """8 pixels from CIPA, nothing added: 8, 4, 2, 1."""
    model = _model(offset_update="residual")
    nn.init.constant_(model.cipa.offset[-1].bias, 8.0)
    for n, offset in enumerate(model(*_images()).offsets):
        torch.testing.assert_close(offset, torch.full_like(offset, 8.0 / 2**n))


@pytest.mark.parametrize(
    ("name", "options"),
    [("cimnet_resnet10t", SMALL), ("cimnet_mit_b0", NATIVE)],
    ids=["projected", "native widths"],
)
@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("stream", ["rgb", "thermal"])
def test_rectified_features_go_on(name: str, options: dict[str, Any], stage: int, stream: str) -> None:
    model = _model(name, **options)
    for write_back in (*model.write_back_rgb, *model.write_back_thermal):
        if write_back.back is not None:  # as after some training
            nn.init.normal_(write_back.back.weight, std=0.1)
    images = _images()
    spy = _spy(model)
    model(*images)
    before = {side: spy.inputs[f"{side}{stage + 1}"][0] for side in ("rgb", "thermal")}

    def add_one(_module: nn.Module, _args: Any, output: SCSFROutput) -> SCSFROutput:
        return output._replace(**{stream: getattr(output, stream) + 1})

    model.scsfr[stage].register_forward_hook(add_one)
    model(*images)
    after = {side: spy.inputs[f"{side}{stage + 1}"][0] for side in ("rgb", "thermal")}
    other = "thermal" if stream == "rgb" else "rgb"
    assert (after[stream] - before[stream]).abs().max() > 1e-2
    torch.testing.assert_close(after[other], before[other], rtol=0, atol=0)


def test_native_widths_hand_over_the_rectified_map_itself() -> None:
    model = _model("cimnet_mit_b0", **NATIVE)
    spy = _spy(model)
    model(*_images())
    for n in range(3):
        torch.testing.assert_close(spy.inputs[f"rgb{n + 1}"][0], spy.outputs[f"scsfr{n}"].rgb, rtol=0, atol=0)
        torch.testing.assert_close(spy.inputs[f"thermal{n + 1}"][0], spy.outputs[f"scsfr{n}"].thermal, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["cimnet_resnet10t", "cimnet_efficientnet_lite0"])
def test_projected_encoders_start_intact(name: str) -> None:
    """The way back is zero at first: each encoder computes what it would alone."""
    model = _model(name)
    spy = _spy(model)
    rgb, thermal = _images()
    model(rgb, thermal)
    recorded = {side: [spy.outputs[f"{side}{n}"] for n in range(4)] for side in ("rgb", "thermal")}
    ready_rgb, ready_thermal = model.prepare(rgb, thermal)
    alone = {"rgb": model.encoder_rgb(ready_rgb), "thermal": model.encoder_thermal(ready_thermal)}
    for side, maps in alone.items():
        for n in range(4):
            torch.testing.assert_close(recorded[side][n], maps[n], rtol=0, atol=0)


def test_the_way_back_adds_the_change_made_by_rectification() -> None:
    write_back = WriteBack(6, 4)
    native, projected, rectified = torch.randn(1, 6, 3, 5), torch.randn(1, 4, 3, 5), torch.randn(1, 4, 3, 5)
    assert write_back.back is not None
    torch.testing.assert_close(write_back(native, projected, rectified), native, rtol=0, atol=0)
    nn.init.normal_(write_back.back.weight)
    torch.testing.assert_close(write_back(native, projected, projected), native, rtol=0, atol=0)
    expected = native + torch.einsum("oc,bchw->bohw", write_back.back.weight[:, :, 0, 0], rectified - projected)
    torch.testing.assert_close(write_back(native, projected, rectified), expected)


@pytest.mark.parametrize("side", ["rgb", "thermal"])
def test_the_way_back_gets_the_encoders_map_and_both_sides_of_rectification(side: str) -> None:
    """The change added is all of CIPA and SCSFR, measured from the projected map, on the stream's own encoder."""
    model = _model()
    spy = _spy(model)
    model(*_images())
    for n in range(3):
        native, projected = spy.outputs[f"{side}{n}"], spy.outputs[f"project_{side}{n}"]
        rectified = getattr(spy.outputs[f"scsfr{n}"], side)
        for given, expected in zip(spy.inputs[f"write_back_{side}{n}"], (native, projected, rectified), strict=True):
            torch.testing.assert_close(given, expected, rtol=0, atol=0)


def test_equal_widths_need_no_projection() -> None:
    x, rectified = torch.randn(1, 4, 3, 5), torch.randn(1, 4, 3, 5)
    assert input_projection(4, 4)(x) is x
    assert WriteBack(4, 4)(x, x, rectified) is rectified
    assert not [*input_projection(4, 4).parameters(), *WriteBack(4, 4).parameters()]
    assert input_projection(6, 4)(torch.randn(2, 6, 3, 5)).shape == (2, 4, 3, 5)


@pytest.mark.parametrize("options", [SMALL, NATIVE])
def test_without_any_exchange_each_encoder_gets_its_own_map_in_training_and_in_use(options: dict[str, Any]) -> None:
    model = _model("cimnet_efficientnet_lite0", exchange_dropout=1.0, **options).train()
    rgb, thermal = torch.rand(2, 3, 64, 96), torch.rand(2, 1, 64, 96)
    for mode in (True, False):
        spy = _spy(model.train(mode))
        model(rgb, thermal)
        for n in range(3):
            for stream in ("rgb", "thermal"):
                assert torch.equal(spy.inputs[f"{stream}{n + 1}"][0], spy.outputs[f"{stream}{n}"])
    # nothing without a gradient
    assert not [*model.write_back_rgb.parameters(), *model.write_back_thermal.parameters()]


def test_exchange_is_dropped_by_sample_and_by_stream() -> None:
    torch.manual_seed(0)
    model = _model("cimnet_efficientnet_lite0", exchange_dropout=0.5).train()
    for layer in (*model.write_back_rgb, *model.write_back_thermal):
        nn.init.normal_(layer.back.weight)
    spy = _spy(model)
    model(torch.rand(16, 3, 32, 32), torch.rand(16, 1, 32, 32))
    kept = [
        tuple(bool(torch.equal(spy.inputs[f"{stream}1"][0][k], spy.outputs[f"{stream}0"][k])) for k in range(16))
        for stream in ("rgb", "thermal")
    ]
    assert kept[0] != kept[1]
    assert all(0 < sum(stream) < 16 for stream in kept)
    with pytest.raises(ConfigError, match=r"exchange_dropout is 1\.5"):
        _model(exchange_dropout=1.5)


def _alone(**options: Any) -> tuple[CIMNet, Tensor, Tensor]:
    """A model that decodes streams alone, with batch normalisation as in use, and three pairs: one whole, one without
    RGB, one without thermal."""
    torch.manual_seed(0)
    model = _model("cimnet_efficientnet_lite0", decode_alone=True, dropout=0.0, **options)
    for layer in (*model.write_back_rgb, *model.write_back_thermal):
        nn.init.normal_(layer.back.weight)
    rgb, thermal = torch.rand(3, 3, 64, 96), torch.rand(3, 1, 64, 96)
    rgb[1], thermal[2] = 0, 0
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model, rgb, thermal


@pytest.mark.parametrize("options", [SMALL, NATIVE])
def test_what_is_learned_alone_is_what_is_used_without_the_partner(options: dict[str, Any]) -> None:
    model, rgb, thermal = _alone(exchange_dropout=1.0, **options)
    output = model(rgb, thermal)
    assert output.logits.shape == (3, 3, 64, 96)
    by_rgb, by_thermal = output.alone
    assert by_rgb.pairs.tolist() == by_thermal.pairs.tolist() == [0]  # of the others the masks themselves are by one
    model.eval()
    for found, expected in (
        (by_rgb.logits, model(rgb[:1], None).logits),
        (by_thermal.logits, model(None, thermal[:1]).logits),
        (output.logits[1:2], model(None, thermal[1:2]).logits),
        (output.logits[2:], model(rgb[2:], None).logits),
        (output.logits[:1], model(rgb[:1], thermal[:1]).logits),
        (model(rgb, thermal).logits[1:2], model(None, thermal[1:2]).logits),
    ):
        assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(output.logits[:1], by_rgb.logits, atol=1e-3)


def test_a_stream_without_partner_gets_what_a_drawn_one_gets() -> None:
    model, _, _ = _alone(exchange_dropout=0.5)
    for layer in (*model.write_back_rgb, *model.write_back_thermal):
        nn.init.normal_(layer.back.bias)
    rgb, thermal = torch.rand(16, 3, 32, 32), torch.rand(16, 1, 32, 32)
    by_rgb, by_thermal = model(rgb, thermal).alone
    model.eval()
    assert torch.allclose(by_rgb.logits, model(rgb[by_rgb.pairs], None).logits, atol=1e-5)
    assert torch.allclose(by_thermal.logits, model(None, thermal[by_thermal.pairs]).logits, atol=1e-5)


def test_alone_means_without_rectification_and_fusion() -> None:
    model, rgb, thermal = _alone()
    model.eval()
    before = model(rgb, thermal).logits
    with torch.no_grad():
        for parameter in (*model.ffm.parameters(), *model.scsfr.parameters(), *model.cipa.parameters()):
            parameter.add_(0.1 * torch.randn_like(parameter))
    after = model(rgb, thermal).logits
    assert torch.allclose(after[1:], before[1:], atol=1e-6)
    assert not torch.allclose(after[:1], before[:1], atol=1e-3)


def test_only_streams_that_were_handed_nothing_are_decoded_alone() -> None:
    model, rgb, thermal = _alone(exchange_dropout=0.5)
    rgb, thermal = torch.rand(16, 3, 32, 32), torch.rand(16, 1, 32, 32)
    spy = _spy(model)
    output = model(rgb, thermal)
    for stream, found in zip(("rgb", "thermal"), output.alone, strict=True):
        own = [k for k in range(16) if torch.equal(spy.inputs[f"{stream}1"][0][k], spy.outputs[f"{stream}0"][k])]
        assert 0 < len(own) < 16
        assert found.pairs.tolist() == own
        assert len(found.logits) == len(own)
    assert _alone()[0](rgb, thermal).alone is None  # every stream was handed something
    assert model.eval()(rgb, thermal).alone is None


def test_a_batch_in_which_every_pair_lacks_an_image_can_be_trained_on() -> None:
    model, rgb, thermal = _alone(exchange_dropout=1.0)
    output = model(rgb[1:], thermal[1:])
    assert [len(found.logits) for found in output.alone] == [0, 0]
    SegmentationLoss(dice=1.0)(output, torch.randint(3, (2, 64, 96))).total.backward()
    gradient = model.encoder_thermal.stages[3].parameters().__next__().grad
    assert gradient is not None
    assert gradient.isfinite().all()


def test_the_first_step_reaches_the_way_back() -> None:
    model = _model().train()
    output = model(torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64))
    output.logits.square().mean().backward()
    assert len(model.write_back_rgb) == len(model.write_back_thermal) == 3
    for write_back in (*model.write_back_rgb, *model.write_back_thermal):
        assert write_back.back.weight.grad.abs().max() > 0


def test_nothing_is_shared_between_the_streams() -> None:
    model = _model()
    assert len({id(p) for p in model.parameters()}) == len(list(model.parameters()))
    storages = [p.data_ptr() for p in model.parameters()]
    assert len(set(storages)) == len(storages)
    first, second = next(model.encoder_rgb.parameters()), next(model.encoder_thermal.parameters())
    assert not torch.equal(first, second)


def test_fusion_gets_both_rectified_streams() -> None:
    model = _model()
    spy = _spy(model)
    model(*_images())
    for n in range(4):
        rectified = spy.outputs[f"scsfr{n}"]
        torch.testing.assert_close(spy.inputs[f"ffm{n}"][0], rectified.rgb, rtol=0, atol=0)
        torch.testing.assert_close(spy.inputs[f"ffm{n}"][1], rectified.thermal, rtol=0, atol=0)


def test_first_rectification_gets_what_cipa_amplified() -> None:
    model = _model()
    spy = _spy(model)
    model(*_images())
    torch.testing.assert_close(spy.inputs["scsfr0"][0], spy.outputs["cipa"].rgb, rtol=0, atol=0)
    torch.testing.assert_close(spy.inputs["scsfr0"][1], spy.outputs["cipa"].thermal, rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["adversarial", "cooperative", None])
def test_the_head_runs_in_training_only(mode: str | None) -> None:
    model = _model(mutual_information=mode).train()
    calls: list[int] = []
    if model.cipa.mi_head is not None:
        model.cipa.mi_head.register_forward_hook(lambda *_: calls.append(1))
    images = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)
    trained = model(*images)
    assert (trained.mutual_information is None) == (mode is None)
    assert len(calls) == (0 if mode is None else 1)
    assert model.eval()(*images).mutual_information is None
    model.predict(*images)
    assert len(calls) == (0 if mode is None else 1)


def test_the_estimate_reaches_the_encoders() -> None:
    model = _model().train()
    with torch.no_grad():
        for parameter in model.cipa.mi_head.parameters():
            parameter.mul_(5)
    images = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)
    model(*images).mutual_information.backward()
    for encoder in (model.encoder_rgb, model.encoder_thermal):
        assert next(encoder.parameters()).grad.abs().max() > 0


@pytest.fixture(scope="module")
def paper_model() -> CIMNet:
    with torch.device("meta"):
        model = create_model("cimnet_resnet101", num_classes=9)
    assert isinstance(model, CIMNet)
    return model


def _millions(*modules: nn.Module) -> float:
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def test_parameters_in_all(paper_model: CIMNet) -> None:
    total = _millions(paper_model) - _millions(paper_model.cipa.mi_head)
    assert total == pytest.approx(110.94, rel=1e-3)


def test_parameters_of_each_part(paper_model: CIMNet) -> None:
    model = paper_model
    spatial, channel = [m.spatial for m in model.scsfr], [m.channel for m in model.scsfr]
    parts = {
        "encoders": (_millions(model.encoder_rgb, model.encoder_thermal), 85.000),
        "projections in": (_millions(model.project_rgb, model.project_thermal), 2.920),
        "projections back": (_millions(model.write_back_rgb, model.write_back_thermal), 0.823),
        "reduce": (_millions(*(s.reduce for s in spatial)), 0.771),
        "offset convolution": (_millions(*(s.offset_conv for s in spatial)), 0.166),
        "deformable": (_millions(*(s.align for s in spatial)), 3.466),
        "spatial weights": (_millions(*(s.weights for s in spatial)), 0.388),
        "channel MLP": (_millions(*(c.mlp for c in channel)), 9.247),
        "FFM": (_millions(model.ffm), 6.572),
        "decoder linears": (_millions(model.decoder.project), 0.526),
        "decoder mix": (_millions(model.decoder.mix), 1.050),
        "classes and first offset": (_millions(model.decoder.classify, model.cipa.offset), 0.014),
    }
    wrong = {name: pair for name, pair in parts.items() if pair[0] != pytest.approx(pair[1], abs=6e-4)}
    assert not wrong
    assert PAPER_WIDTHS == (64, 128, 320, 512)
    scales_and_attention = 8e-6 + 6e-6
    total = sum(found for found, _ in parts.values()) + scales_and_attention
    assert total == pytest.approx(_millions(model) - _millions(model.cipa.mi_head), abs=1e-6)
