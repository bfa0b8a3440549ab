"""Models by name: what exists, and what a wrong name or option gets."""

from __future__ import annotations

from typing import Any

import pytest

from cimnet.errors import ConfigError
from cimnet.models import CIMNet, SingleStream, create_model, list_models, register_model
from cimnet.models import registry as registry_module

SMALL: dict[str, Any] = {"widths": (8, 16, 20, 32), "decoder_channels": 16}


def test_names_of_the_models() -> None:
    names = list_models()
    encoders = [f"resnet{n}" for n in (18, 34, 50, 101)] + [f"mit_b{n}" for n in range(6)]
    encoders += ["efficientnet_lite0", "convnext_nano", "convnext_tiny", "convnext_tiny.dinov3_lvd1689m"]
    assert {f"{family}_{e}" for family in ("cimnet", "rgb_only", "thermal_only") for e in encoders} <= set(names)
    assert len(names) == len(set(names))


def test_pattern() -> None:
    assert list_models("cimnet_resnet1*") == ["cimnet_resnet18", "cimnet_resnet101"]
    assert list_models("nothing*") == []


def test_family_and_options_arrive() -> None:
    model = create_model("cimnet_resnet18", 5, **SMALL, offset_update="residual", modulation=True)
    assert isinstance(model, CIMNet)
    assert model.scsfr[0].spatial.offset_update == "residual"
    assert model.scsfr[3].spatial.modulation is not None
    assert model.decoder.classify.out_channels == 5
    for name, modality in (("rgb_only_resnet18", "rgb"), ("thermal_only_resnet18", "thermal")):
        single = create_model(name, 5, **SMALL)
        assert isinstance(single, SingleStream)
        assert single.modality == modality


def test_light_widths_belong_to_the_small_encoders() -> None:
    light = create_model("cimnet_efficientnet_lite0", 3)
    assert [m.spatial.align.weight.shape[0] for m in light.scsfr] == [32, 64, 160, 256]
    paper = create_model("rgb_only_resnet18", 3)
    assert [m.in_channels for m in paper.decoder.project] == [64, 128, 320, 512]
    assert paper.decoder.classify.in_channels == 512
    own = create_model("cimnet_efficientnet_lite0", 3, **SMALL)
    assert [m.spatial.align.weight.shape[0] for m in own.scsfr] == [8, 16, 20, 32]


def test_any_encoder_that_timm_can_cut() -> None:
    assert isinstance(create_model("cimnet_mobilenetv3_small_050", 3, **SMALL), CIMNet)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet101", "cimnet_resnet101"),
        ("cimnet-resnet18", "cimnet_resnet18"),
        ("CIMNet_resnet18", "cimnet_resnet18"),
        ("cimnet_resnett18", "resnet18"),
        ("cimnet_mitb4", "mit_b4"),
        ("cimnet", "cimnet_"),
        ("zzz", "cimnet models"),
    ],
)
def test_unknown_name_suggests(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        create_model(name, 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoder", ["vit_relpos_small_patch16_224", "hrnet_w18_small"])
@pytest.mark.parametrize("family", ["cimnet", "rgb_only", "thermal_only"])
def test_unusable_family_is_named(family: str, encoder: str) -> None:
    with pytest.raises(ConfigError, match=encoder):
        create_model(f"{family}_{encoder}", 3)


@pytest.mark.parametrize("num_classes", [1, 0, -3])
def test_too_few_classes(num_classes: int) -> None:
    with pytest.raises(ConfigError, match=f"num_classes is {num_classes}"):
        create_model("cimnet_resnet18", num_classes)


@pytest.mark.parametrize(
    "option",
    [
        {"nonsense": 1},
        {"offset_update": "replaced"},
        {"mutual_information": "adverserial"},
        {"widths": (8, 16, 20)},
        {"widths": (8, 17, 20, 32)},
        {"widths": (8, 16, 20, 0)},
        {"decoder_channels": 0},
        {"decoder_channels": -4},
        {"input_scale": 0.0},
        {"input_scale": -1.0},
        {"dropout": 1.5},
    ],
    ids=str,
)
def test_bad_option(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))) as caught:
        create_model("cimnet_resnet10t", 3, **{**SMALL, **option})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", [{"offset_update": "replace"}, {"modality": "rgb"}, {"modulation": True}], ids=str)
def test_options_of_another_family(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        create_model("rgb_only_resnet10t", 3, **SMALL, **option)


@pytest.fixture
def own_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "_FAMILIES", dict(registry_module._FAMILIES))


@pytest.mark.usefixtures("own_families")
def test_a_new_family_is_one_decorator() -> None:
    @register_model("rgb_only_twice")
    def build(encoder: str, num_classes: int, **options: Any) -> SingleStream:
        return SingleStream(encoder, 2 * num_classes, "rgb", **options)

    assert "rgb_only_twice_resnet18" in list_models("rgb_only_twice_*")
    model = create_model("rgb_only_twice_resnet18", 3, **SMALL)  # the longest family name wins
    assert model.decoder.classify.out_channels == 6
