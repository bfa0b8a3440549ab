"""The gate of a CIMNetX, fitted to pairs with defects."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cimnet.analysis.calibration import gate as gate_module
from cimnet.analysis.calibration.defects import DEFECTS, cases, defects_named
from cimnet.analysis.calibration.gate import draw_pixels, fit_gate, judge_gate, run_cases
from cimnet.checkpoint import ModelInfo, load_checkpoint, save_checkpoint
from cimnet.data.sample import RGBTSample
from cimnet.errors import ConfigError, DataError
from cimnet.models import Output, create_model
from cimnet.models.cimnetx import CIMNetX
from cimnet.models.reliability_gate import ReliabilityGate
from tests.analysis.calibration.conftest import Kept
from tests.conftest import Result
from tests.fakes.layouts import CLASSES

CPU = torch.device("cpu")
SMALL = {"widths": (8, 16, 20, 32), "decoder_channels": 16}


@pytest.fixture
def model(scenes: Kept) -> CIMNetX:
    torch.manual_seed(0)
    built = create_model("cimnetx_resnet10t", len(scenes.classes), **SMALL).eval()
    assert isinstance(built, CIMNetX)
    return built


def test_pixels_are_those_of_the_cases(model: CIMNetX, scenes: Kept) -> None:
    """All pixels of all cases, but for those that an image does not show, with what the model says there."""
    few = Subset(scenes, 3)
    drawn = draw_pixels(model, run_cases(model, few, CPU, 0, ("blackout", "thermal_blur")), 10**9)
    expected, truth = [], []
    for case in cases(few, 0, ("blackout", "thermal_blur")):
        sample = case.sample
        assert sample.label is not None
        given: list[tuple[torch.Tensor, ...]] = []
        hook = model.reliability.register_forward_pre_hook(lambda _, inputs, given=given: given.append(inputs))
        with torch.no_grad():
            model(sample.rgb[None], sample.thermal[None])
            said = [model.restore(logits, (128, 160), (128, 160)).log_softmax(1)[0] for logits in given[0][:3]]
        hook.remove()
        shown = torch.ones(1, 1, 128, 160)
        for mask in given[0][3:]:
            shown = shown if mask is None else shown * F.interpolate(mask.float().expand(1, 1, 32, 40), (128, 160))
        seen = (shown[0, 0] > 0) & (sample.label != 255)
        truth.append(sample.label[seen])
        expected.append(torch.stack([logs.gather(0, sample.label[None])[0][seen] for logs in said], dim=1))
    assert len(drawn.truth) == pytest.approx(sum(map(len, truth)), rel=0.02)  # a mask's border is between pixels
    found, given_ = drawn.likelihood.double().mean(0), torch.cat(expected).double().mean(0)
    torch.testing.assert_close(found, given_, rtol=0.02, atol=0)
    shares = [torch.bincount(x, minlength=9) / len(x) for x in (drawn.truth, torch.cat(truth))]
    torch.testing.assert_close(*shares, rtol=0, atol=0.02)
    assert drawn.evidence.shape == (len(drawn.truth), 36)


class Subset:
    """The first scenes."""

    def __init__(self, scenes: Kept, count: int) -> None:
        self.scenes, self.count, self.classes = scenes, count, scenes.classes

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> RGBTSample:
        return self.scenes[index]


class Cropped:
    """Scenes of two sizes, neither a multiple of 32, one of them without a label where ``unlabelled``."""

    def __init__(self, scenes: Kept, unlabelled: int = -1) -> None:
        self.scenes, self.unlabelled, self.classes = scenes, unlabelled, scenes.classes

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> RGBTSample:
        sample, width = self.scenes[index], 150 if index % 2 else 90
        assert sample.label is not None
        label = None if index == self.unlabelled else sample.label[:75, :width]
        return replace(sample, rgb=sample.rgb[:, :75, :width], thermal=sample.thermal[:, :75, :width], label=label)


@pytest.mark.parametrize("scale", [1.0, 0.5, 1.5])
def test_positions_in_maps_that_are_scaled_and_padded(model: CIMNetX, scale: float) -> None:
    """What is read at a pixel is what the model's own restoring gives there."""
    model.input_scale = scale
    size = (75, 90)
    padded = model.padded_size(*model.inner_size(*size))
    maps = torch.rand(1, 3, padded[0] // 4, padded[1] // 4)
    smooth = F.interpolate(F.avg_pool2d(maps, 5, 1, 2), maps.shape[-2:])
    pixels = torch.randperm(75 * 90)[:400]
    grid = gate_module._positions(pixels, size, model.inner_size(*size), padded)
    found = gate_module._read(smooth, grid)
    expected = model.restore(smooth, padded, size)[0].flatten(1)[:, pixels].T
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 if scale == 1 else 0.03)


def test_images_of_several_sizes(model: CIMNetX, scenes: Kept) -> None:
    drawn = draw_pixels(model, run_cases(model, Cropped(scenes), CPU, 0, ("blackout",)), 25_000)
    assert len(drawn.truth) > 4 * 75 * 90
    assert drawn.evidence.isfinite().all()
    scores = judge_gate(ReliabilityGate(), model, Cropped(scenes), device=CPU, seed=0)
    assert 0 <= scores.pair <= 1


def test_what_cannot_be_fitted_to(model: CIMNetX, scenes: Kept) -> None:
    with pytest.raises(DataError, match="has no label, so a gate cannot be fitted to it"):
        fit_gate(model, Cropped(scenes, unlabelled=2), device=CPU)
    nothing = Cropped(scenes)
    nothing.__class__ = type("Nothing", (Cropped,), {"__len__": lambda _: 0})
    with pytest.raises(DataError, match="no labelled pair to fit the gate to"):
        fit_gate(model, nothing, device=CPU)


class Speaker(CIMNetX):
    """Says by the scene's label what the three predictions are: where RGB is broken, RGB and the pair do not know."""

    truth: torch.Tensor

    def forward(self, rgb: torch.Tensor | None, thermal: torch.Tensor | None) -> Output:
        assert rgb is not None
        right = (
            8 * F.one_hot(self.truth[None, ::4, ::4], self.decoder.classify.out_channels).permute(0, 3, 1, 2).float()
        )
        broken = not bool(rgb.mean() > 0.05)
        unsure = torch.randn(2, *right.shape)
        said = (unsure[0], unsure[1], right) if broken else (unsure[0], right, unsure[1])
        mixed, weights = self.reliability(*said, None, None)
        return Output(mixed, reliability=weights)


class Told(Subset):
    """Tells the speaker what is true in the pair that was asked for last."""

    speaker: Speaker

    def __getitem__(self, index: int) -> RGBTSample:
        sample = self.scenes[index]
        assert sample.label is not None
        rgb = torch.full_like(sample.rgb, 0.01 if index % 2 else 0.5)
        rgb[..., 0] = 0.02  # it shows something
        coarse = sample.label[::32, ::32].repeat_interleave(32, 0).repeat_interleave(32, 1)
        self.speaker.truth = coarse
        return replace(sample, rgb=rgb, label=coarse, flags=frozenset())


def test_it_believes_who_was_right(scenes: Kept) -> None:
    """In every second pair RGB is right, in the others thermal is; the pair never is."""
    speaker = Speaker("resnet10t", len(scenes.classes), **SMALL).eval()
    pairs = Told(scenes, 12)
    pairs.speaker = speaker
    found = fit_gate(speaker, pairs, device=CPU, defects=())
    for index, believed in ((0, 1), (1, 2)):
        sample = pairs[index]
        weights = speaker_weights(speaker, found, sample)
        assert weights[believed] > 0.9
    assert not any(p.requires_grad for p in found.parameters())
    judged = judge_gate(found, speaker, pairs, device=CPU, seed=1)
    assert judged.with_gate > 0.95 > 0.5 > judged.pair


def speaker_weights(speaker: Speaker, gate: ReliabilityGate, sample: RGBTSample) -> list[float]:
    """Mean weights of the pair, RGB and thermal."""
    speaker.reliability = gate
    weights = speaker(sample.rgb[None], sample.thermal[None]).reliability
    assert weights is not None
    return weights.mean((0, 2, 3)).tolist()


def test_a_fit_draws_no_numbers_and_is_repeatable(model: CIMNetX, scenes: Kept) -> None:
    few = Subset(scenes, 4)
    torch.manual_seed(5)
    first = fit_gate(model, few, device=CPU)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))  # whoever draws numbers beside it draws the same
    second = fit_gate(model, few, device=CPU)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_the_command_fits_and_keeps_it(cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    model = create_model("cimnetx_resnet10t", len(CLASSES), **SMALL).eval()
    with torch.no_grad():  # no class is the largest everywhere
        means = model(torch.rand(4, 3, 128, 160), torch.rand(4, 1, 128, 160)).logits.mean((0, 2, 3))
        model.decoder.classify.bias.sub_(means)
    source, out = tmp_path / "x.safetensors", tmp_path / "calibrated.safetensors"
    options = {"widths": list(SMALL["widths"]), "decoder_channels": 16}
    save_checkpoint(source, model, ModelInfo("cimnetx_resnet10t", options, CLASSES, ((0, 0, 0), (9, 9, 9), (99, 9, 9))))
    done = cli("calibrate", source, folder, "--out", out, "--device", "cpu")
    assert done.code == 0, done.err
    assert "temperature, gate and alarms: " in done.out
    assert "with it and" in done.out
    kept, info = load_checkpoint(out)
    assert info.alarm is not None
    before, after = model.state_dict(), kept.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("reliability.")}


def test_defects_by_name() -> None:
    assert defects_named(None) == DEFECTS
    assert defects_named("fog, thermal_blur,affine") == ("fog", "thermal_blur", "affine")
    for text in ("fog,frost", "rgb_dropped"):
        with pytest.raises(ConfigError, match=r"--defects: '.*' is none of translation, "):
            defects_named(text)
    with pytest.raises(ConfigError, match=r"--defects: none that the alarm misaligned could be fitted on; add one of "):
        defects_named("fog,thermal_blur")


def test_the_command_fits_on_the_named_defects(
    cli: Callable[..., Result], checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    out = ("--out", tmp_path / "c.safetensors", "--report", report, "--device", "cpu")
    assert cli("calibrate", checkpoint, folder, *out, "--defects", "fog,stripes,affine").code == 0
    assert json.loads((report / "calibration.json").read_text())["defects"] == ["fog", "stripes", "affine"]
    assert cli("calibrate", checkpoint, folder, *out, "--defects", "fog").code == 2
