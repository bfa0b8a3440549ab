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
from cimnet.analysis.calibration.gate import Opinions, collect_opinions, fit_gate, judge_gate
from cimnet.checkpoint import ModelInfo, load_checkpoint, save_checkpoint
from cimnet.data.sample import RGBTSample
from cimnet.errors import ConfigError, DataError
from cimnet.models import create_model
from cimnet.models.cimnetx import CIMNetX
from cimnet.models.reliability_gate import FIRST_WEIGHTS
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


def test_opinions_are_those_of_the_cases(model: CIMNetX, scenes: Kept) -> None:
    opinions = collect_opinions(model, scenes, device=CPU, seed=0, defects=("blackout", "thermal_blur"))
    made = list(cases(scenes, 0, ("blackout", "thermal_blur")))
    assert len(opinions.labels) == len(made) > len(scenes)
    assert opinions.logits.shape == (len(made), 3, len(scenes.classes), 32, 40)
    for n in (0, 7, len(made) - 1):
        sample = made[n].sample
        assert sample.label is not None
        assert torch.equal(opinions.labels[n].long(), sample.label[::4, ::4])
        shows = [bool(image.amax() > image.amin()) for image in (sample.rgb, sample.thermal)]
        if all(shows):
            assert opinions.shown[n].all()
        else:
            assert opinions.shown[n].flatten(1).any(1).tolist() == shows
        with torch.no_grad():
            mixed = model(sample.rgb[None], sample.thermal[None]).logits[..., ::4, ::4]
        if all(shows):
            weights = torch.tensor(FIRST_WEIGHTS).view(3, 1, 1, 1)
            expected = (weights * opinions.logits[n].float().softmax(1)).sum(0)
            torch.testing.assert_close(mixed[0].softmax(0), expected, rtol=0, atol=5e-3)  # float16


def test_of_large_images_fewer_pairs_are_drawn(model: CIMNetX, scenes: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """All kinds of cases of some pairs, not all pairs up to the one where memory ends."""
    monkeypatch.setattr(gate_module, "MOST_BYTES", 5 * 4 * 2 * 3 * len(scenes.classes) * 32 * 40)
    made = list(cases(scenes, 0, DEFECTS, 5))
    assert len({case.pair for case in made}) == 5
    assert len(made) <= 20
    assert len(collect_opinions(model, scenes, device=CPU, seed=0, defects=DEFECTS).labels) == len(made)


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


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_sizes_that_differ_and_are_padded(model: CIMNetX, scenes: Kept, scale: float) -> None:
    model.input_scale = scale
    opinions = collect_opinions(model, Cropped(scenes), device=CPU, seed=0, defects=("blackout",))
    side = (24, 24) if scale == 1 else (16, 16)
    assert opinions.labels.shape[-2:] == side
    assert opinions.logits.shape[-2:] == side
    shown = round(75 * scale / 4 + 0.499), round(90 * scale / 4 + 0.499)
    first = opinions.labels[0]
    assert (first[shown[0] :] == 255).all()
    assert (first[:, shown[1] :] == 255).all()
    if scale == 1:
        label = Cropped(scenes)[0].label
        assert label is not None
        assert torch.equal(first[: shown[0], : shown[1]].long(), label[::4, ::4])


def test_what_cannot_be_fitted_to(model: CIMNetX, scenes: Kept) -> None:
    with pytest.raises(DataError, match="has no label, so a gate cannot be fitted to it"):
        fit_gate(model, Cropped(scenes, unlabelled=2), device=CPU)
    nothing = Cropped(scenes)
    nothing.__class__ = type("Nothing", (Cropped,), {"__len__": lambda _: 0})
    with pytest.raises(DataError, match="no pair to fit the gate to"):
        fit_gate(model, nothing, device=CPU)


def test_it_believes_who_was_right(model: CIMNetX, scenes: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RGB is sure it is right, else thermal is."""
    classes, count = len(scenes.classes), 40
    labels = torch.randint(classes, (count, 16, 20))
    right = 8 * F.one_hot(labels, classes).permute(0, 3, 1, 2).float()
    unsure, broken = torch.randn(2, count, classes, 16, 20), torch.arange(count).view(-1, 1, 1, 1) % 2 == 0
    rgb, thermal = torch.where(broken, unsure[0], right), torch.where(broken, right, unsure[0])
    logits = torch.stack((unsure[1], rgb, thermal), 1).half()
    opinions = Opinions(logits, labels.to(torch.uint8), torch.ones(count, 2, 16, 20, dtype=torch.bool))
    monkeypatch.setattr(gate_module, "collect_opinions", lambda *_, **__: opinions)
    torch.manual_seed(5)
    found = fit_gate(model, scenes, device=CPU)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))  # whoever draws numbers beside it draws the same
    weights = found(*logits.float().unbind(1), None, None)[1].mean((2, 3))
    assert weights[::2, 2].min() > 0.9
    assert weights[1::2, 1].min() > 0.9
    again = fit_gate(model, scenes, device=CPU)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), again.parameters(), strict=True))
    assert not any(p.requires_grad for p in found.parameters())
    judged = judge_gate(found, model, scenes, device=CPU, seed=1)
    assert judged.with_gate > 0.95 > 0.5 > judged.pair


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
