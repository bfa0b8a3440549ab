"""A server for a model whose second image has several channels: files of several bands, and arrays."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("rasterio", reason="needs the extra geo")

from cimnet.checkpoint import ModelInfo
from cimnet.data.io.second_modality import SecondModality
from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.serve.batcher import Job
from cimnet.inference import Predictor
from cimnet.inference.settings import Settings
from tests.deploy.serve.helpers import ids, png, run, running
from tests.deploy.serve.test_bad_requests import told
from tests.fakes.bands import write_bands
from tests.fakes.pixel import Pixel

SHAPE = (32, 40)
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (*SHAPE, 3), np.uint8)
COUNTS = RNG.integers(0, 4000, (2, *SHAPE)).astype(np.uint16)


@pytest.fixture
def predictor() -> Predictor:
    torch.manual_seed(0)
    second, classes = SecondModality("nir", 2), ("a", "b", "c")
    scaling, options = ThermalScaling("range", 0, 4000), {"thermal_channels": 2}
    info = ModelInfo("pixel", options, classes, ((9, 9, 9),) * 3, scaling, thermal_dtype="uint16", second=second)
    model = Pixel("plain", 3, thermal_channels=2)
    torch.nn.init.normal_(model.classify.weight)
    return Predictor(model, info, torch.device("cpu"), Settings(batch_size=4))


def _tiff(tmp_path: Path, values: Any, **about: Any) -> bytes:
    return write_bands(tmp_path / "sent.tif", values, **about).read_bytes()


def _npy(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def test_masks_are_the_predictors(predictor: Predictor, tmp_path: Path) -> None:
    """Of bands, of an array, of either image alone."""
    last = np.ascontiguousarray(np.moveaxis(COUNTS, 0, 2))
    rgb, nir = png(RGB), _tiff(tmp_path, COUNTS, compress="deflate")

    async def work() -> None:
        async with running(predictor) as (client, _):
            for files, pair in (
                ({"rgb": rgb, "thermal": nir}, (RGB, last)),
                ({"rgb": rgb, "thermal": _npy(last)}, (RGB, last)),
                ({"thermal": nir}, (None, last)),
                ({"rgb": rgb}, (RGB, None)),
            ):
                answer = await client.post("/predict", files=files)
                assert answer.status_code == 200, answer.text
                expected = predictor.predict(*pair)
                assert len(np.unique(expected)) > 1
                np.testing.assert_array_equal(ids(answer.content), expected)
                for kind in ("overlay", "json"):
                    answer = await client.post("/predict", params={"format": kind}, files=files)
                    assert answer.status_code == 200, answer.text
            answer = await client.post("/predict", params={"format": "overlay"}, files={"thermal": nir})
            with Image.open(io.BytesIO(answer.content)) as image:
                assert image.size[0] >= SHAPE[1]

    run(work())


@pytest.mark.parametrize("pillow", [Image.MAX_IMAGE_PIXELS, 100_000])
def test_what_is_refused(
    predictor: Predictor, tmp_path: Path, pillow: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another number of bands, another size, too many pixels: by the header, also where Pillow is the first to say so,
    as in a running server."""
    rgb, grey = png(RGB), png(np.zeros(SHAPE, np.uint8))
    three = _tiff(tmp_path, np.zeros((3, *SHAPE), np.uint16))
    cases = (
        (three, 422, ("thermal: 3 bands, where 2 are expected",)),
        (grey, 422, ("thermal: 1 band, and band 2 is asked for",)),
        (_npy(COUNTS), 422, ("expected numbers (H, W, 2) of nir (2 channels)",)),
        (_tiff(tmp_path, COUNTS.astype(np.float32)), 422, ("float32 where uint16 is expected",)),
        (_tiff(tmp_path, COUNTS[:, :20]), 422, ("rgb 40×32", "thermal 40×20")),
        (_tiff(tmp_path, np.zeros((2, 300, 500), np.uint16)), 413, ("thermal: more than 100,000 pixels",)),
        (_npy(np.zeros((500, 300, 2), np.uint16)), 413, ("thermal: more than 100,000 pixels",)),
        (_tiff(tmp_path, COUNTS)[:300], 422, ("thermal: ",)),
        (_hidden(tmp_path), 413, ("thermal: more than 100,000 pixels",)),
    )

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow)

    async def work() -> None:
        async with running(predictor, max_pixels=100_000) as (client, _):
            for nir, status, words in cases:
                told(await client.post("/predict", files={"rgb": rgb, "thermal": nir}), status, *words)

    run(work())


def _hidden(tmp_path: Path) -> bytes:
    """A large image that calls itself the overview of a small one: limits that go by the small one would be passed."""
    small, large = Image.new("L", (SHAPE[1], SHAPE[0])), Image.new("L", (3000, 3000))
    large.save(tmp_path / "hidden.tif", save_all=True, append_images=[small], tiffinfo={254: 1})
    content = (tmp_path / "hidden.tif").read_bytes()
    tag = struct.pack("<HHII", 254, 4, 1, 1)  # of both images
    first, second = content.index(tag), content.rindex(tag)
    assert first < second
    return content[:second] + struct.pack("<HHII", 254, 4, 1, 0) + content[second + len(tag) :]


def test_what_waits_is_counted_by_its_memory() -> None:
    one, many = (Job(torch.zeros(3, 8, 10), torch.zeros(channels, 8, 10)) for channels in (1, 29))
    assert (one.pixels, one.held) == (80, 80)
    assert (many.pixels, many.held) == (80, 640)
