"""A model of RGB and another second image than thermal: trained, stored, used, and refused where it does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cimnet
from cimnet.analysis.explain import write_explanation
from cimnet.analysis.robustness import measure_robustness
from cimnet.checkpoint import INFO_KEY, ModelInfo, load_checkpoint, read_info, save_checkpoint, write_info
from cimnet.cli.calibrate import calibrate
from cimnet.curation.register import register_dataset
from cimnet.curation.stats import dataset_stats
from cimnet.data import SecondModality, open_dataset
from cimnet.data.io.second_modality import THERMAL
from cimnet.deploy.robots.pair_segmenter import PairSegmenter
from cimnet.deploy.video import predict_video
from cimnet.errors import CheckpointError, ConfigError, DataError
from cimnet.inference import Predictor
from cimnet.inference.alarms.alarm import AlarmModel
from cimnet.inference.alarms.detector import Detector
from cimnet.inference.jobs import Job, predict_job
from cimnet.models import create_model
from cimnet.training import train
from cimnet.training.recipe import parse_recipe
from tests.conftest import Result, make_once, tiny_content, tiny_recipe
from tests.fakes.bands import HEIGHT, WIDTH, make_second, make_stack, write_bands

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
NIR = SecondModality("nir", 2)
SECOND = {"second": {"name": "nir", "channels": 2}}
DATA = {"data": {**SECOND, "workers": 0}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two channels of near infrared, whose first one tells the classes."""

    def make(folder: Path) -> None:
        root = make_second(folder / "data")
        train(tiny_recipe(root, **DATA, training={"batch_size": 2, "epochs": 4}), folder / "run")

    return make_once(tmp_path_factory, "nir", make)


@pytest.fixture
def predictor(run: Path) -> Predictor:
    return cimnet.load(run / "run", "cpu")


def test_the_checkpoint_knows_its_second_image(run: Path) -> None:
    model, info = load_checkpoint(run / "run")
    assert (info.second, info.options["thermal_channels"]) == (NIR, 2)
    assert model.thermal_mean.shape == (1, 2, 1, 1)
    assert model.thermal_mean[0, 0] != model.thermal_mean[0, 1]
    assert model(torch.rand(1, 3, 32, 64), torch.rand(1, 2, 32, 64)).logits.shape == (1, 2, 32, 64)
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\) and \(B, 2, H, W\)"):
        model(torch.rand(1, 3, 32, 64), torch.rand(1, 1, 32, 64))


def test_files_arrays_and_tensors_give_one_mask(run: Path, predictor: Predictor) -> None:
    rgb, nir = run / "data" / "rgb" / "5.png", run / "data" / "nir" / "5.tif"
    with rasterio.open(nir) as file:
        counts = file.read()
    wanted = predictor.predict(rgb, nir)
    assert wanted.shape == (HEIGHT, WIDTH)
    for given in (np.moveaxis(counts, 0, -1), torch.from_numpy(counts.astype(np.int32))):
        np.testing.assert_array_equal(predictor.predict(rgb, given), wanted)
    assert predictor.predict(rgb, None).shape == predictor.predict(None, nir).shape == (HEIGHT, WIDTH)


def test_another_number_of_channels_is_refused(run: Path, predictor: Predictor, tmp_path: Path) -> None:
    rgb = run / "data" / "rgb" / "5.png"
    for shape in ((HEIGHT, WIDTH), (HEIGHT, WIDTH, 3)):
        with pytest.raises(DataError, match=r"nir: got the shape .*, expected \(H, W, 2\)"):
            predictor.predict(rgb, np.zeros(shape, np.uint16))
    other = make_second(tmp_path, channels=3)
    with pytest.raises(DataError, match=r"5\.tif: 3 bands, where 2 are expected"):
        predictor.predict(rgb, other / "nir" / "5.tif")
    with pytest.raises(DataError, match=r"5\.png: given for both images, where nir \(2 channels\) is expected"):
        predictor.predict(rgb, rgb)
    (other / "classes.yaml").write_text("classes: [ground, plant]\nsecond: {name: nir, channels: 3}\n")
    with pytest.raises(DataError, match=r"its second images are nir \(3 channels\), where nir \(2 channels\) is asked"):
        predictor.open_dataset(other, "val")


def test_commands(run: Path, tmp_path: Path, cli: Callable[..., Result]) -> None:
    data, model = run / "data", run / "run"
    assert cli("eval", model, data, "--split", "val").code == 0
    done = cli("predict", model, "--rgb", data / "rgb", "--thermal", data / "nir", "--out", tmp_path / "masks")
    assert done.code == 0, done.out + done.err
    assert len(list((tmp_path / "masks" / "masks").iterdir())) == 6
    done = cli("predict", model, "--thermal", data / "nir", "--out", tmp_path / "alone")  # overlays lie on channel 1
    assert done.code == 0, done.out + done.err
    with Image.open(next((tmp_path / "alone" / "overlays").iterdir())) as overlay:
        assert overlay.size[0] >= WIDTH
    colours, nir = np.moveaxis(np.array(Image.open(data / "rgb" / "0.png")), 2, 0), data / "nir" / "0.tif"
    raster, out = write_bands(tmp_path / "rgb.tif", colours, photometric="rgb"), tmp_path / "classes.tif"
    done = cli("geo", model, "--rgb", raster, "--thermal", nir, "--out", out)
    assert done.code == 0, done.out + done.err
    with rasterio.open(out) as classes, Image.open(tmp_path / "masks" / "masks" / "0.png") as mask:
        np.testing.assert_array_equal(classes.read(1), np.asarray(mask))


def test_the_tools_that_look_at_one_channel(run: Path, predictor: Predictor, tmp_path: Path) -> None:
    """The first one is drawn and compared with RGB; it says so."""
    rgb, nir = run / "data" / "rgb" / "5.png", run / "data" / "nir" / "5.tif"
    page = write_explanation(predictor, rgb, nir, tmp_path).read_text(encoding="utf-8")
    assert "nir, the first of 2 channels" in page
    root = make_second(tmp_path / "data")
    (root / "classes.yaml").write_text("classes: [ground, plant]\nsecond: {name: nir, channels: 2}\n")
    found = dataset_stats(root, sample=2)
    assert {name: len(pairs) for name, pairs in found.splits.items()} == {"train": 4, "val": 2}
    assert sum(pair.asked for pair in found.pairs()) == 4


def test_what_is_refused_names_a_way_out(run: Path, predictor: Predictor, tmp_path: Path) -> None:
    for name in ("av", "gradio"):
        pytest.importorskip(name)
    from fastapi import FastAPI

    from cimnet.deploy.app import mount
    from cimnet.deploy.video.live.run_live import run_live
    from cimnet.deploy.video.live.settings import LiveSettings

    data, val = run / "data", predictor.open_dataset(run / "data", "val")
    root = make_second(tmp_path / "data")
    (root / "classes.yaml").write_text("classes: [ground, plant]\nsecond: {name: nir, channels: 2}\n")
    commands: dict[str, tuple[Callable[[], object], str]] = {
        "cimnet robustness": (lambda: measure_robustness(predictor.network, val, out=tmp_path / "r"), "cimnet eval"),
        "cimnet calibrate": (lambda: calibrate(run / "run", data, test_split="val"), "without alarms"),
        "cimnet video": (
            lambda: predict_video(predictor, tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "out"),
            "save the frames as files and give the folders to `cimnet predict`",
        ),
        "cimnet live": (lambda: run_live(predictor, "rtsp://a/1", "rtsp://a/2", LiveSettings()), "cimnet serve"),
        "cimnet app": (lambda: mount(FastAPI(), predictor, "/segment"), "cimnet serve"),
        "cimnet bag": (lambda: PairSegmenter(predictor, "a", "b"), "give the folders to `cimnet predict`"),
        "cimnet data align": (lambda: register_dataset(root, tmp_path / "aligned"), "gdalwarp"),
    }
    for what, (call, instead) in commands.items():
        with pytest.raises(ConfigError) as refused:
            call()
        text = str(refused.value)
        assert text.startswith(f"{what} works with second images of one channel, not with nir (2 channels); "), what
        assert instead in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augmentation": {"misalignment": 3}}, "recipe field augmentation.misalignment"),
        ({"augmentation": {"corruption_prob": 0.5}}, "recipe field augmentation.corruption_prob"),
        ({"model": {"explicit_alignment": True}}, "recipe field model.explicit_alignment"),
        ({"model": {"name": "cmx_mit_b2", "widths": None, "decoder_channels": None}}, "published network cmx_mit_b2"),
    ],
)
def test_recipes_that_need_one_channel(run: Path, tmp_path: Path, changes: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"{words} works with second images of one channel, not with nir"):
        train(tiny_recipe(run / "data", **DATA, **changes), tmp_path)


def test_a_recipe_that_names_none(tmp_path: Path) -> None:
    content = tiny_content(tmp_path, data={"second": {"name": "Near IR"}})
    with pytest.raises(ConfigError, match=r"field 'data\.second'.*expected a word in lower case"):
        parse_recipe(content, "r.yaml")


def test_one_channel_of_another_kind(tmp_path: Path, pixel: None) -> None:
    """Depth as the second image: everything for thermal images works, and messages say depth."""
    root = make_second(tmp_path / "data", "depth", 1)
    model = {"name": "pixel_plain", "widths": None, "decoder_channels": None}
    train(tiny_recipe(root, data={"second": {"name": "depth"}, "workers": 0}, model=model), tmp_path / "run")
    predictor = cimnet.load(tmp_path / "run", "cpu")
    assert predictor.info.second == SecondModality("depth")
    assert "thermal_channels" not in predictor.info.options
    rgb = root / "rgb" / "0.png"
    with pytest.raises(DataError, match=r"depth: got the shape \(40, 56, 2\), expected \(H, W\)"):
        predictor.predict(rgb, np.zeros((HEIGHT, WIDTH, 2), np.uint16))
    with pytest.raises(DataError, match="depth: float values from 0 to 2, expected 0 to 1"):
        predictor.predict(rgb, np.linspace(0, 2, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH))
    thermal = make_second(tmp_path / "thermal", "thermal", 1)
    with pytest.raises(DataError, match=r"thermal/depth: no image for 4, 5"):
        predictor.open_dataset(thermal, "val")


def test_alarms_name_the_second_image() -> None:
    detectors = {
        name: Detector((number,), (0.0,), (1.0,), (5.0,), (5.0,), 0.0)
        for name, number in (
            ("rgb_broken", "rgb_noise"), ("thermal_broken", "thermal_noise"), ("misaligned", "thermal_contrast")
        )
    }  # fmt: skip
    content = AlarmModel(detectors).to_dict()
    numbers = {"rgb_noise": 3.0, "thermal_noise": 3.0, "thermal_contrast": 3.0}
    for name in ("thermal", "depth"):
        texts = " ".join(AlarmModel.from_dict(content, name)(numbers).texts.values())
        assert f"the {name} image looks broken" in texts
        assert f"RGB and {name} image do not lie on each other" in texts
        assert ("thermal" in texts) == (name == "thermal")


def test_checkpoints_without_the_field_are_thermal(tmp_path: Path, pixel: None) -> None:
    """As those written before; one whose fields contradict each other is refused."""
    model = create_model("pixel_plain", 2)
    info = ModelInfo("pixel_plain", {}, ("a", "b"), ((0, 0, 0), (1, 1, 1)))
    save_checkpoint(tmp_path / "a.safetensors", model, info)
    assert load_checkpoint(tmp_path / "a.safetensors")[1].second == THERMAL
    old = json.loads(write_info(info))
    del old["second"]
    assert read_info(Path("a"), {INFO_KEY: json.dumps(old)}) == info
    wrong = write_info(replace(info, second=NIR))
    with pytest.raises(CheckpointError, match=r"thermal_channels is not that of nir \(2 channels\)"):
        read_info(Path("a"), {INFO_KEY: wrong})


@pytest.mark.parametrize("family", ["cimnet", "addition", "parallel_rectification", "thermal_only", "early_fusion"])
def test_equal_channels_are_seen_as_one_was(family: str) -> None:
    """With the first convolution's weights averaged, n equal channels give what one, given three times, gave."""
    name, options = f"{family}_test_resnet", {"widths": (16, 16, 20, 32), "decoder_channels": 16}
    torch.manual_seed(0)
    one = create_model(name, 3, **options).eval()
    torch.manual_seed(0)
    many = create_model(name, 3, thermal_channels=4, **options).eval()
    assert many.thermal_mean.shape == (1, 4, 1, 1)
    rgb, thermal = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    found = many(rgb, thermal.expand(-1, 4, -1, -1)).logits
    if family == "early_fusion":  # there, three of seven weights are those of the colours
        assert found.shape == (1, 3, 64, 64)
    else:
        torch.testing.assert_close(found, one(rgb, thermal).logits, rtol=1e-3, atol=1e-4)


def test_bands_of_one_file_through_the_commands(tmp_path: Path, pixel: None, cli: Callable[..., Result]) -> None:
    """Six bands a file: train by classes.yaml, predict by options, on a folder."""
    root = make_stack(tmp_path / "data")
    model = {"name": "pixel_plain", "widths": None, "decoder_channels": None}
    train(tiny_recipe(root, model=model), tmp_path / "run")
    bands = ("--rgb-bands", "3,2,1", "--thermal-band", "6", "--rgb-range", "0,4000")
    images = ("--rgb", root / "img", "--thermal", root / "img")
    done = cli("predict", tmp_path / "run", *images, *bands, "--out", tmp_path / "out")
    assert done.code == 0, done.out + done.err
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 4
    sample = open_dataset(root, "val")[0]
    with torch.inference_mode():
        model_ = load_checkpoint(tmp_path / "run")[0]
        wanted = model_.predict(sample.rgb[None], sample.thermal[None])[0]
    found = np.array(Image.open(tmp_path / "out" / "masks" / "IMG_0000.png"))
    assert (found == wanted.numpy()).mean() > 0.99
    job = Job.of(tmp_path / "run", tmp_path / "again", rgb=root / "img", thermal=root / "img")
    with pytest.raises(DataError, match=r"none of 4 pairs can be read; .*choose bands"):
        predict_job(job)
