"""Models of this package and others: what is taken, what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cimnet.analysis.robustness import Condition, measure_robustness
from cimnet.data import open_dataset
from cimnet.errors import CheckpointError, ConfigError, DataError
from cimnet.inference import load
from cimnet.inference.backends.details import Details
from cimnet.inference.backends.runtime import ExportedModel

from .conftest import by_value


class Foreign(nn.Module):
    """Knows nothing of this package; wrong in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(0.9)

    def forward(self, rgb: torch.Tensor, thermal: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.dropout(self.weight * by_value(thermal[:, 0])))


def test_a_module_of_ones_own_with_logits(columns, tmp_path) -> None:
    model = Foreign().train()
    report = measure_robustness(model, columns, tmp_path / "out", conditions=[Condition("blackout", 5)])
    assert report.clean.miou == report.mean_corruption_score == 1
    assert model.training
    assert model.dropout.training
    assert report.facts.model == "Foreign"


def test_a_function_of_ones_own(columns, tmp_path) -> None:
    def call(rgb: torch.Tensor, thermal: torch.Tensor) -> torch.Tensor:
        return by_value(rgb[:, 1])

    report = measure_robustness(call, columns, tmp_path / "out", conditions=[], name="mine")
    assert report.clean.miou == 1
    assert report.facts.model == "mine"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            lambda rgb: torch.zeros(len(rgb), 5, *rgb.shape[2:]),
            r"5 classes, but the data set has 3 \(ground",
        ),
        (lambda rgb: torch.zeros(len(rgb), 3, 6, 8), r"\(4, 3, 6, 8\), expected \(4, 3, 24, 32\); resize"),
        (lambda rgb: rgb[:, 0].long(), r"returned \(4, 24, 32\), expected .* logits"),
        (lambda rgb: [rgb], "returned list, expected"),
    ],
)
def test_what_are_no_logits_of_these_classes(columns, tmp_path, output, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        measure_robustness(lambda rgb, thermal: output(rgb), columns, tmp_path / "out", conditions=[])


def test_a_checkpoint(trained, tmp_path) -> None:
    dataset = load(trained.folder, "cpu").open_dataset(trained.root, "test")
    report = measure_robustness(trained.folder, dataset, tmp_path / "out", conditions=[], device="cpu")
    assert report.facts.model == trained.folder.name
    with pytest.raises(ConfigError, match=r"settings: model \(sha256 .* then, .* now\)"):
        measure_robustness(by_value, dataset, tmp_path / "out", conditions=[], name="x")


def test_a_file_of_class_ids_is_refused_before_anything_is_written(trained, tmp_path) -> None:
    opened = load(trained.folder, "cpu")
    dataset = opened.open_dataset(trained.root, "test")
    details = Details.of(opened.network, True, True, "float32")
    opened.model = ExportedModel(tmp_path / "ids.onnx", lambda rgb, thermal: rgb[:, 0].long(), details)
    with pytest.raises(CheckpointError, match=r"ids\.onnx: exported with --argmax.*--logits"):
        measure_robustness(trained.folder, dataset, tmp_path / "out", conditions=[], opened=opened)
    assert not (tmp_path / "out").exists()


def test_a_file_for_another_size_is_refused_before_anything_is_written(trained, tmp_path) -> None:
    opened = load(trained.folder, "cpu")
    dataset = opened.open_dataset(trained.root, "test")
    details = Details.of(opened.network, False, True, "float32", size=(480, 640))
    opened.model = ExportedModel(tmp_path / "fixed.onnx", lambda rgb, thermal: rgb, details)
    with pytest.raises(CheckpointError, match=r"fixed\.onnx: exported for images of 480x640, these have \d+x\d+;"):
        measure_robustness(trained.folder, dataset, tmp_path / "out", conditions=[], opened=opened)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_and_a_set_opened_in_another_way(trained, tmp_path) -> None:
    other = open_dataset(trained.root, "test")
    other.classes = ("a", "b", "c")
    with pytest.raises(ConfigError, match=r"has the classes background, person, car, but .* a, b, c"):
        measure_robustness(trained.best, other, tmp_path / "out", conditions=[])
    other = open_dataset(trained.root, "test", thermal_range=(0, 100))
    with pytest.raises(ConfigError, match=r"scales thermal images in another way .*load\(checkpoint\)\.open_dataset"):
        measure_robustness(trained.best, other, tmp_path / "out", conditions=[])


def test_no_checkpoint(columns, tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"no such file"):
        measure_robustness(tmp_path / "none.safetensors", columns, tmp_path / "out", conditions=[])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2}, "a callable cannot be given to other processes"),
        ({"workers": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"moving": ["lorry"]}, "moving: no class 'lorry'; there are ground, car, tree"),
        ({"device": "nonsense"}, "device 'nonsense'"),
    ],
)
def test_options_that_do_not_fit(columns, sees, tmp_path, options, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        measure_robustness(sees("rgb"), columns, tmp_path / "out", conditions=[], **options)
    assert not (tmp_path / "out").exists()


def test_pairs_without_labels(columns, sees, tmp_path) -> None:
    (columns.root / "labels" / "1D.png").unlink()
    dataset = open_dataset(columns.root, "test", require_labels=False)
    with pytest.raises(DataError, match=r"1D has no label, so nothing can be scored"):
        measure_robustness(sees("rgb"), dataset, tmp_path / "out", conditions=[])


def test_a_flag_that_no_pair_has(columns, sees, tmp_path) -> None:
    asked = [Condition("clean", flag="weakly_aligned")]
    with pytest.raises(DataError, match=r"no pair .*'weakly_aligned'; name such pairs in .*weakly_aligned\.txt"):
        measure_robustness(sees("rgb"), columns, tmp_path / "out", conditions=asked)


def test_time_lag_where_nothing_moves_is_left_out_and_noted(columns, sees, tmp_path) -> None:
    asked = [Condition("time_lag", 5)]
    report = measure_robustness(sees("thermal"), columns, tmp_path / "out", conditions=asked, moving=[])
    assert report.curves == {}
    assert "time_lag was left out" in (tmp_path / "out" / "robustness.html").read_text(encoding="utf-8")
