"""CAINet: the original's numbers, and what the specification warns of."""

from __future__ import annotations

import pytest
import torch

from cimnet import from_official
from cimnet.errors import CheckpointError, ConfigError
from cimnet.models import create_model
from cimnet.models.zoo.cainet import CAINet, ComplementaryReasoning

from .tester import ParityTester, ZooTester

UNUSED = tuple(f"mobile_{x}.{part}." for x in ("rgb", "dep") for part in ("features.17", "features.18", "classifier"))


class TestCAINet(ZooTester):
    network = "cainet_mobilenet_v2"


class TestParity(ParityTester):
    network = "cainet_mobilenet_v2"
    original = "cainet"
    parameters = 13_796_091


def test_used_parameters() -> None:
    with torch.device("meta"):
        model = CAINet(9)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 9_461_931


def test_sizes_of_the_original_are_not_padded() -> None:
    model = CAINet(4)
    assert model.network_input(torch.rand(1, 3, 48, 80), None)[0].shape == (1, 3, 48, 80)
    assert model.network_input(torch.rand(1, 3, 49, 80), None)[0].shape == (1, 3, 64, 80)


def test_the_deep_stages_keep_their_resolution() -> None:
    model = CAINet(4).eval()
    maps = model._maps(model.encoder_thermal, torch.rand(1, 3, 64, 96))
    shapes = [(24, 16, 24), (32, 8, 12), (64, 4, 6), (96, 4, 6), (160, 4, 6)]
    assert [tuple(x.shape[1:]) for x in maps] == shapes


def test_the_memory_is_read_as_it_lies() -> None:
    """Element l·S + s of (L, S) becomes the one at that place of (S, H, W)."""
    module = ComplementaryReasoning(8)
    seen = []
    module.out.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    rgb, thermal = torch.rand(1, 4, 2, 3), torch.rand(1, 4, 2, 3)
    module(rgb, thermal)
    x = torch.cat((rgb, thermal), dim=1)
    assignment, states = module.theta(x).flatten(2)[0], module.phi(x).flatten(2)[0]
    nodes = assignment @ states.T / 6
    nodes = nodes + module.node_conv(nodes[None])[0].relu()
    nodes = module.channel_conv(nodes.T[None])[0].relu()
    memory = torch.einsum("nl,sn->ls", assignment, nodes)
    torch.testing.assert_close(seen[0].ravel(), memory.ravel())


def test_imagenet_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(ConfigError, match=r"no ImageNet weights.*no route to host.*model\.pretrained=false"):
        create_model("cainet_mobilenet_v2", 4, pretrained=True)


def test_imagenet_weights_go_into_both_trunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import mobilenet_v2

    weights = mobilenet_v2().state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: weights)
    model = CAINet(4, pretrained=True)
    for trunk in (model.encoder_rgb, model.encoder_thermal):
        assert all(torch.equal(value, weights[name]) for name, value in trunk.state_dict().items())


def test_official_files_may_hold_heads_of_training_but_must_hold_the_rest() -> None:
    state = create_model("cainet_mobilenet_v2", 4).official_state()
    used = {name: value for name, value in state.items() if not name.startswith(UNUSED)}
    assert (len(state), len(used)) == (786, 734)
    heads = {"classifier_Z2.0.conv.weight": torch.rand(64, 64, 3, 3)}
    model = from_official("cainet_mobilenet_v2", {**used, **heads})
    assert torch.equal(model.state_dict()["classify.weight"], state["classifier_Z1.2.weight"])
    del used["CRRM.ori.weight"]
    with pytest.raises(CheckpointError, match=r"CRRM\.ori\.weight missing"):
        from_official("cainet_mobilenet_v2", used)


def test_options_of_other_models_are_refused() -> None:
    with pytest.raises(ConfigError, match="widths"):
        create_model("cainet_mobilenet_v2", 4, widths=(8, 16, 20, 32))
