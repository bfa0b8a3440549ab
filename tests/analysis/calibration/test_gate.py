"""The gate of a CIMNetX, fitted to pairs with defects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cimnet.analysis.calibration import gate as gate_module
from cimnet.analysis.calibration.defects import DEFECTS, cases, defects_named
from cimnet.analysis.calibration.gate import Opinions, collect_opinions, fit_gate
from cimnet.checkpoint import ModelInfo, load_checkpoint, save_checkpoint
from cimnet.errors import ConfigError
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
        assert opinions.there[n].tolist() == shows
        with torch.no_grad():
            mixed = model(sample.rgb[None], sample.thermal[None]).logits[..., ::4, ::4]
        if all(shows):
            weights = torch.tensor(FIRST_WEIGHTS).view(3, 1, 1, 1)
            expected = (weights * opinions.logits[n].float().softmax(1)).sum(0)
            torch.testing.assert_close(mixed[0].softmax(0), expected, rtol=0, atol=5e-3)  # float16


def test_memory_is_bounded(model: CIMNetX, scenes: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "MOST_BYTES", 5 * 2 * 3 * len(scenes.classes) * 32 * 40)
    assert len(collect_opinions(model, scenes, device=CPU, seed=0, defects=DEFECTS).labels) == 5


def test_it_believes_who_was_right(model: CIMNetX, scenes: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RGB is sure it is right, else thermal is."""
    classes, count = len(scenes.classes), 40
    labels = torch.randint(classes, (count, 16, 20))
    right = 8 * F.one_hot(labels, classes).permute(0, 3, 1, 2).float()
    unsure, broken = torch.randn(2, count, classes, 16, 20), torch.arange(count).view(-1, 1, 1, 1) % 2 == 0
    rgb, thermal = torch.where(broken, unsure[0], right), torch.where(broken, right, unsure[0])
    logits = torch.stack((unsure[1], rgb, thermal), 1).half()
    opinions = Opinions(logits, labels.to(torch.uint8), torch.ones(count, 2, dtype=torch.bool))
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


def test_the_command_fits_and_keeps_it(cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    model = create_model("cimnetx_resnet10t", len(CLASSES), **SMALL).eval()
    source, out = tmp_path / "x.safetensors", tmp_path / "calibrated.safetensors"
    options = {"widths": list(SMALL["widths"]), "decoder_channels": 16}
    save_checkpoint(source, model, ModelInfo("cimnetx_resnet10t", options, CLASSES, ((0, 0, 0), (9, 9, 9), (99, 9, 9))))
    done = cli("calibrate", source, folder, "--out", out, "--device", "cpu")
    assert done.code == 0, done.err
    assert "temperature and alarms, gate" in done.out.replace("\n", " ")
    kept, info = load_checkpoint(out)
    assert info.alarm is not None
    before, after = model.state_dict(), kept.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("gate.")}


def test_defects_by_name() -> None:
    assert defects_named(None) == DEFECTS
    assert defects_named("fog, thermal_blur") == ("fog", "thermal_blur")
    for text in ("fog,frost", "rgb_dropped", ""):
        with pytest.raises(ConfigError, match=r"--defects: '.*' is none of translation, "):
            defects_named(text)
