"""An imported network does what a trained model does: predict, score, calibrate, robustness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cimnet
from cimnet.data.synthetic import synthesize
from cimnet.models.zoo import PUBLICATIONS
from cimnet.models.zoo.network import ZooNetwork
from tests.models.zoo import vectors
from tests.models.zoo.fill import fill_all
from tests.models.zoo.tester import assert_extract, pair_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imported") / "data"
    synthesize(root, train=2, val=24, test=3, seed=0, size=(70, 90))  # which 32 does not divide
    return root


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = cimnet.create_model("rtfnet_resnet18", 9)
    assert isinstance(network, ZooNetwork)
    file = tmp_path_factory.mktemp("official") / "rtfnet.pth"
    torch.save(network.official_state(), file)
    return file


def test_commands(data: Path, official: Path, tmp_path: Path, cli: Any) -> None:
    model = tmp_path / "model.safetensors"
    assert cli("import", "rtfnet_resnet18", official, "--classes", "kust4k", "--out", model).code == 0
    calibrated = tmp_path / "calibrated.safetensors"
    for command in (
        ("predict", model, "--rgb", data / "RGB", "--thermal", data / "TIR", "--out", tmp_path / "masks"),
        ("eval", model, data, "--json", tmp_path / "scores.json"),
        ("calibrate", model, data, "--out", calibrated),
        ("robustness", model, data, "--corruption", "fog", "--out", tmp_path / "robustness"),
    ):
        result = cli(*command)
        assert result.code == 0, result
    assert len(list((tmp_path / "masks" / "masks").iterdir())) == 29
    assert cimnet.load(calibrated).has_alarm
    assert (tmp_path / "scores.json").is_file()


@pytest.mark.parametrize(
    ("name", "original"),
    [("rtfnet_resnet18", "rtfnet-18"), ("cainet_mobilenet_v2", "cainet"), ("sigma_tiny", "sigma-tiny")],
)
def test_logits_of_float64_weights_are_the_originals(name: str, original: str) -> None:
    """Through the public function, as a user checks it: nothing on the way rounds to float32."""
    expected = vectors.read(original)
    lines = (line.partition(" ") for line in str(expected["weights"]).splitlines())
    shapes = {key: tuple(int(side) for side in shape.split("x") if side) for key, _, shape in lines}
    weights = {key: torch.from_numpy(np.asarray(value)) for key, value in fill_all(shapes).items()}
    model = cimnet.from_official(name, weights, channel_order="rgb").double()
    with torch.no_grad():
        logits = model(*pair_of("64x96")).logits
    assert_extract(logits, expected, "64x96/logits")


SMALLEST = (
    *("rtfnet_resnet18", "feanet_resnet50", "gmnet_resnet50", "eaefnet_resnet50", "eaefnet_pst_resnet50"),
    *("cmx_mit_b2", "cmnext_mit_b2", "cainet_mobilenet_v2", "sigma_tiny"),
)
"""Of each family; names and shapes of the others' weights are compared in tests/models/zoo."""


def test_every_family_is_here() -> None:
    assert {name.partition("_")[0] for name in SMALLEST} == {name.partition("_")[0] for name in PUBLICATIONS}


@pytest.mark.parametrize("name", SMALLEST)
def test_every_network_takes_its_own_weights(name: str) -> None:
    """The number of classes is found, and what may be missing from official files may be missing."""
    torch.manual_seed(0)
    network = cimnet.create_model(name, 5)
    assert isinstance(network, ZooNetwork)
    unused = {key for key, value in network.state_dict().items() if key.startswith(tuple(network.unused))}
    official = network.official_state()
    given = {key: official[key] for key in official if not unused & set(network.own_names({key: official[key]}))}
    found = cimnet.from_official(name, given)
    for key, value in network.state_dict().items():
        if key not in unused and not key.startswith(("rgb_", "thermal_")):
            assert torch.equal(found.state_dict()[key], value), key
