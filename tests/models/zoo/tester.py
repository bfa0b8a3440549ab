"""What every network of the zoo must do: all that :class:`tests.models.tester.ModelTester` asks for, and the original's
logits from the original's weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from cimnet.models import RGBTModel, create_model
from cimnet.models.zoo.network import InputStatistics, ZooNetwork

from ..tester import CLASSES, ModelTester
from . import vectors
from .fill import fill_all, images


class ZooTester(ModelTester):
    """Attributes: the network's name for ``create_model``."""

    network: str
    keeps_thermal_statistics = True

    def build(self, **options: Any) -> RGBTModel:
        return create_model(self.network, CLASSES, **{**self.options, **options})

    def test_a_data_set_does_not_change_the_statistics(self, model: RGBTModel) -> None:
        mean, std = model.thermal_mean.clone(), model.thermal_std.clone()
        model.set_thermal_statistics(0.31, 0.17)
        torch.testing.assert_close((model.thermal_mean, model.thermal_std), (mean, std), rtol=0, atol=0)


class ParityTester:
    """The original's numbers, one class a variant.

    Attributes:
        network: name for ``create_model``.
        original: name of the vectors.
        parameters: how many the original has.
        classes: K of the vectors.
        rule: see :func:`tests.models.zoo.fill.fill`; cases whose names end in ``-strong`` or ``-tc`` add to it.
        cases: names of vectors.
        options: of the network.
    """

    network: str
    original: str
    parameters: int
    classes = 9
    rule = ""
    cases: Sequence[str] = ("64x96", "96x160")
    options: ClassVar[Mapping[str, Any]] = {}

    def test_parameters(self) -> None:
        with torch.device("meta"):
            model = create_model(self.network, self.classes, **self.options)
        assert sum(p.numel() for p in model.parameters()) == self.parameters

    def test_names_and_shapes_of_all_weights(self) -> None:
        """They are the original's, and every name has its way back."""
        model = _empty(self.network, self.classes, self.options)
        official = model.official_state()
        lines = sorted(f"{name} {'x'.join(map(str, value.shape))}" for name, value in official.items())
        assert lines == str(vectors.read(self.original)["weights"]).splitlines()
        assert set(model.own_names(official)) | set(InputStatistics._fields) == set(model.state_dict())

    def test_logits(self) -> None:
        """In float64 to 1e-8, at sizes that are multiples of 32 and at others."""
        expected = vectors.read(self.original)
        for case in self.cases:
            model = self.filled(case)
            logits = self.run(model, case)
            assert_extract(logits, expected, f"{case}/logits")

    def test_logits_in_float32(self) -> None:
        """To a thousandth of the largest, and no pixel's class changes where two classes are not level."""
        case = self.cases[0]
        expected = vectors.read(self.original)
        logits = self.run(self.filled(case).float(), case).double().numpy()
        found = logits.ravel()[vectors.places(logits.size)]
        assert np.abs(found - expected[f"{case}/logits"]).max() < 1e-3 * expected[f"{case}/logits/largest"]

    def test_all_logits(self) -> None:
        """Of every case, where the full vectors are at hand."""
        if not vectors.FULL.is_dir():
            pytest.skip("the full vectors are not here")
        for case in self.cases:
            [file] = [f for f in vectors.FULL.glob(f"*{self.original}-{case}.npz") if "inter" not in f.name]
            with np.load(file) as arrays:
                expected = arrays["logits"]
            found = self.run(self.filled(case), case).numpy()
            assert np.abs(found - expected).max() < 1e-8

    def filled(self, case: str) -> ZooNetwork:
        """The network in float64 with weights by rule."""
        rule = f"{self.rule} {'strong' * case.endswith('-strong')}{'warm' * ('-tc' in case)}"
        return _filled(self.network, self.classes, tuple(sorted(self.options.items())), rule)

    @torch.no_grad()
    def run(self, model: ZooNetwork, case: str) -> Tensor:
        """Logits (1, K, H, W) of the images of a case."""
        return model(*pair_of(case, next(model.parameters()).dtype)).logits


def pair_of(case: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """The images of a case, ``64x96`` for example; ``…-batch3`` has three."""
    found = re.match(r"(\d+)x(\d+)(?:.*-batch(\d+))?", case)
    assert found
    rgb, thermal = images(int(found[1]), int(found[2]), int(found[3] or 1))
    return torch.from_numpy(rgb).to(dtype), torch.from_numpy(thermal).to(dtype)


def assert_extract(logits: Tensor, expected: Mapping[str, Any], name: str) -> None:
    """Logits agree with an extract of :mod:`tests.models.zoo.vectors` to 1e-8."""
    values = logits.numpy().ravel()
    assert np.abs(values[vectors.places(values.size)] - expected[name]).max() < 1e-8
    assert abs(np.abs(values).max() - expected[f"{name}/largest"]) < 1e-8


def _empty(network: str, classes: int, options: Mapping[str, Any]) -> ZooNetwork:
    with torch.device("meta"):
        model = create_model(network, classes, **options)
    assert isinstance(model, ZooNetwork)
    return model


@lru_cache(1)  # some hold gigabytes
def _filled(network: str, classes: int, options: tuple[tuple[str, Any], ...], rule: str) -> ZooNetwork:
    model = _empty(network, classes, dict(options))
    shapes = {name: tuple(value.shape) for name, value in model.official_state().items()}
    weights = {name: torch.from_numpy(np.asarray(value)) for name, value in fill_all(shapes, rule).items()}
    built = create_model(network, classes, **dict(options))
    assert isinstance(built, ZooNetwork)
    built = built.double().eval()
    statistics = {name: built.state_dict()[name] for name in InputStatistics._fields}
    built.load_state_dict({**built.own_names(weights), **statistics})
    return built
