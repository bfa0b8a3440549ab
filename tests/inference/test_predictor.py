"""A checkpoint in use: every kind of input gives the same mask, counts are read as in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import cimnet
from cimnet.checkpoint import load_checkpoint
from cimnet.data import ThermalScaling, open_dataset
from cimnet.errors import CheckpointError, ConfigError, DataError
from cimnet.inference import Predictor
from cimnet.inference.settings import Settings
from cimnet.models import Output
from tests.conftest import Trained
from tests.fakes.layouts import make_arrays, make_folder, make_mfnet


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return cimnet.load(trained.folder, "cpu")


def _paths(trained: Trained, name: str = "010") -> tuple[Path, Path]:
    return trained.root / "rgb" / f"{name}.png", trained.root / "thermal" / f"{name}.png"


def test_what_runs_is_folded_and_follows_the_model(trained: Trained) -> None:
    """Weights that change after the first pass count, hooks are called, and what would be saved stays."""
    predictor, pair = cimnet.load(trained.folder, "cpu"), _paths(trained)
    before = {key: value.clone() for key, value in predictor.network.state_dict().items()}
    first = predictor.predict_proba(*pair)
    after = predictor.network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)
    called: list[object] = []
    handle = predictor.network.decoder.register_forward_hook(lambda *call: called.append(call))
    np.testing.assert_allclose(predictor.predict_proba(*pair), first, atol=1e-5)  # the model itself, for the hook
    assert called
    handle.remove()
    with torch.no_grad():
        predictor.network.decoder.classify.bias[1] += 100.0
    assert (predictor.predict(*pair) == 1).all()


def _seen(predictor: Predictor, monkeypatch: pytest.MonkeyPatch, rgb: Any, thermal: Any) -> tuple[Tensor, Tensor]:
    """What reaches the model."""
    seen: list[tuple[Tensor, Tensor]] = []

    def spy(rgb: Tensor, thermal: Tensor) -> Output:
        seen.append((rgb, thermal))
        return Output(torch.zeros(1, len(predictor.classes), *rgb.shape[-2:]))

    monkeypatch.setattr(predictor.model, "forward", spy)
    predictor.predict(rgb, thermal)
    return seen[0]


def test_paths_pictures_arrays_and_tensors_agree(
    trained: Trained, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb, thermal = _paths(trained)
    sample = open_dataset(trained.root, "test")[1]
    assert sample.id == "010"
    with Image.open(rgb) as colour, Image.open(thermal) as heat:
        pictures = colour.copy(), heat.copy()
    arrays = np.asarray(pictures[0]), np.asarray(pictures[1])
    pairs: list[tuple[Any, Any]] = [
        (rgb, thermal),
        (str(rgb), str(thermal)),
        pictures,
        arrays,
        (arrays[0], arrays[1][..., None]),
        (arrays[0].astype(np.float32) / 255, arrays[1].astype(np.float64) / 255),
        (torch.from_numpy(arrays[0].copy()).permute(2, 0, 1), torch.from_numpy(arrays[1].copy())),
        (sample.rgb, sample.thermal),
        (sample.rgb, sample.thermal[0]),
        (rgb, sample.thermal),
    ]
    masks = [predictor.predict(*pair) for pair in pairs]
    expected = predictor.model.predict(sample.rgb[None], sample.thermal[None])[0].numpy()
    assert len(np.unique(expected)) > 1
    for mask in masks:
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, expected)
    for pair in pairs:
        for given, read in zip(_seen(predictor, monkeypatch, *pair), (sample.rgb, sample.thermal), strict=True):
            torch.testing.assert_close(given[0], read, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::cimnet.errors.DataWarning")
def test_the_checkpoints_thermal_range_is_applied_to_16_bit_files_and_arrays_alike(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path, bit_depth=16)
    model, info = load_checkpoint(trained.best)
    info = replace(info, scaling=ThermalScaling("range", 18500.0, 20000.0), thermal_dtype="uint16")
    predictor = Predictor(model, info, torch.device("cpu"), Settings(force_range=True))
    rgb, thermal = root / "rgb" / "000.png", root / "thermal" / "000.png"
    counts = make_arrays(0)[1].astype(np.uint16) * 20 + 18000
    expected = ((counts.astype(np.float64) - 18500) / 1500).clip(0, 1)
    assert (expected == 0).any()
    assert (expected == 1).any()
    with Image.open(thermal) as picture:
        inputs = [thermal, counts, picture.copy(), torch.from_numpy(counts.astype(np.int32))]
    for given in inputs:
        seen = _seen(predictor, monkeypatch, rgb, given)[1]
        np.testing.assert_allclose(seen[0, 0].numpy(), expected, atol=1e-6)
    data = predictor.open_dataset(root, "train")
    np.testing.assert_allclose(data[0].thermal[0].numpy(), expected, atol=1e-6)


def test_without_a_range_the_bit_depth_is_the_range(
    predictor: Predictor, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = _paths(trained)[0]
    assert predictor.info.scaling.low is None
    predictor = Predictor(predictor.model, replace(predictor.info, thermal_dtype=None), torch.device("cpu"))
    for dtype, top in ((np.uint8, 255), (np.uint16, 65535)):
        heat = np.full((32, 40), top // 5, dtype=dtype)
        assert _seen(predictor, monkeypatch, rgb, heat)[1].mean().item() == pytest.approx(0.2)


def test_rgb_reaches_the_model_in_0_to_1_red_first(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((5, 7, 3), dtype=np.uint8)
    image[..., 0], image[..., 1] = 255, 51
    seen = _seen(predictor, monkeypatch, image, np.zeros((5, 7), dtype=np.uint8))[0]
    assert seen.shape == (1, 3, 5, 7)
    assert seen.mean(dim=(0, 2, 3)).tolist() == pytest.approx([1.0, 0.2, 0.0])


def test_pictures_are_turned_upright_as_files_are(trained: Trained, predictor: Predictor, tmp_path: Path) -> None:
    rgb, thermal = _paths(trained)
    with Image.open(rgb) as picture:
        tags = picture.getexif()
        tags[0x0112] = 3
        picture.save(tmp_path / "turned.png", exif=tags)
    with Image.open(tmp_path / "turned.png") as picture:
        np.testing.assert_array_equal(
            predictor.predict(picture, thermal), predictor.predict(tmp_path / "turned.png", thermal)
        )


def test_any_size(predictor: Predictor) -> None:
    mask = predictor.predict(np.zeros((37, 51, 3), dtype=np.uint8), np.zeros((37, 51), dtype=np.uint8))
    assert mask.shape == (37, 51)


GREY = np.zeros((8, 8), dtype=np.uint8)
COLOUR = np.zeros((8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("rgb", "thermal", "message"),
    [
        (COLOUR, np.zeros((8, 9), dtype=np.uint8), "thermal is 9x8 but rgb is 8x8; register"),
        (GREY, GREY, r"rgb: got the shape \(8, 8\)"),
        (torch.zeros(8, 8, 3), GREY, r"rgb: got the shape \(8, 8, 3\), .* tensor \(3, H, W\)"),
        (COLOUR.astype(np.int64), GREY, "rgb: got values of type torch.int64"),
        (Image.fromarray(GREY.astype(np.uint16)), GREY, "rgb: a picture of mode I;16, expected 8-bit RGB"),
        (COLOUR, Image.fromarray(GREY).convert("P"), "thermal: a palette picture"),
        (None, np.zeros((1, 8, 9), dtype=np.uint8), r"thermal: got the shape \(1, 8, 9\)"),
        (COLOUR, COLOUR, r"thermal: got the shape \(8, 8, 3\)"),
        (COLOUR, torch.zeros(3, 8, 8), r"thermal: got the shape \(3, 8, 8\)"),
        ("none.png", GREY, "none.png: no such file"),
        (COLOUR.astype(np.float32) + 255, GREY, "rgb: float values from 255 to 255, expected 0 to 1"),
        (COLOUR, GREY * np.float32(np.nan), "thermal: float values from nan"),
        (COLOUR, GREY.astype(np.uint16), "ndarray: thermal values of type uint16 where uint8 is expected"),
        (COLOUR, GREY.astype(np.int64) - 1, "ndarray: thermal values of type int16 where uint8 is expected"),
    ],
)
def test_input_that_cannot_be_used(predictor: Predictor, rgb: Any, thermal: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predictor.predict(rgb, thermal)


def test_sizes_that_differ_are_named_with_their_files(predictor: Predictor, tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    Image.fromarray(GREY[:4]).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png is 8x4 but .*a\.png is 8x8; register and resample"):
        predictor.predict(tmp_path / "a.png", tmp_path / "b.png")


def test_what_an_exported_model_cannot_do_names_its_file(predictor: Predictor) -> None:
    class Exported:
        path = Path("m.onnx")

    exported = Predictor(cast("Any", Exported()), predictor.info, predictor.device)
    with pytest.raises(
        CheckpointError, match=r"^m\.onnx: an exported model, whose weights cannot be reached; .*\.safetensors"
    ):
        _ = exported.network
    with pytest.raises(CheckpointError, match=r"^m\.onnx: an exported model, which raises no alarms; .*\.safetensors"):
        exported.alarm_model()


def test_attributes(predictor: Predictor, trained: Trained) -> None:
    assert predictor.classes == ("background", "person", "car")
    assert predictor.colors == open_dataset(trained.root, "test").colors
    assert not predictor.model.training
    assert predictor.info.metrics["miou"] > 0


def test_data_of_other_classes_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "other")
    (root / "classes.yaml").write_text("classes: [background, car, person]\n")
    for folder, words in ((root, "background, car, person"), (make_mfnet(tmp_path / "mfnet"), "guardrail")):
        with pytest.raises(DataError, match=words) as caught:
            predictor.open_dataset(folder, "test")
        assert str(folder) in str(caught.value)
        assert "not those asked for (background, person, car)" in str(caught.value)
    (root / "classes.yaml").unlink()
    assert predictor.open_dataset(root, "test").classes == predictor.classes


def test_what_cannot_be_opened(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file"):
        cimnet.load(tmp_path / "none.safetensors")
    devices = ["banana"] if torch.cuda.is_available() else ["banana", "cuda"]
    for device in devices:
        with pytest.raises(ConfigError, match=f"device '{device}': not usable here") as caught:
            cimnet.load(trained.folder, device)
        assert "\n" not in str(caught.value)
