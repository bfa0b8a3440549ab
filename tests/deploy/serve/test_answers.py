"""Masks over HTTP are the predictor's, pixel by pixel, alone and in company."""

from __future__ import annotations

import asyncio
import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra serve")

from cimnet.data import ThermalScaling
from cimnet.data.io.readers import read_label
from cimnet.deploy.serve import create_app
from cimnet.errors import CheckpointError
from cimnet.inference import Predictor
from cimnet.inference.alarms.alarm import NUMBERS, AlarmModel
from cimnet.inference.alarms.detector import Detector
from cimnet.utils.colors import colorize
from tests.deploy.serve.helpers import ids, pair, png, run, running
from tests.fakes.layouts import to_16_bit


def test_a_png_holds_class_ids_and_colours(predictor: Predictor, tmp_path: Path) -> None:
    async def work() -> None:
        async with running(predictor) as (client, _):
            given = pair(1)
            answer = await client.post("/predict", files=given.files)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
            expected = predictor.predict(given.rgb, given.thermal)
            assert len(np.unique(expected)) > 1
            np.testing.assert_array_equal(ids(answer.content), expected)
            (tmp_path / "mask.png").write_bytes(answer.content)
            np.testing.assert_array_equal(read_label(tmp_path / "mask.png"), expected)
            with Image.open(tmp_path / "mask.png") as image:
                np.testing.assert_array_equal(image.convert("RGB"), colorize(expected, predictor.colors))

    run(work())


LOSSLESS: dict[str, dict[str, Any]] = {
    "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}, "JPEG2000": {"irreversible": False}, "AVIF": {"quality": 90},
}  # fmt: skip


@pytest.mark.parametrize("kind", LOSSLESS)
def test_what_the_readers_read_is_served(predictor: Predictor, kind: str, tmp_path: Path) -> None:
    """By content, as from a file; where Pillow was built without a kind it is refused by name."""
    given = pair(1)
    paths = {}
    for field, values in (("rgb", given.rgb), ("thermal", given.thermal)):
        paths[field] = tmp_path / field
        try:
            Image.fromarray(values).convert("RGB").save(paths[field], kind, **LOSSLESS[kind])
        except (KeyError, OSError):
            pytest.skip(f"Pillow writes no {kind} here")

    async def work() -> None:
        async with running(predictor) as (client, _):
            answer = await client.post("/predict", files={field: path.read_bytes() for field, path in paths.items()})
            assert answer.status_code == 200, answer.text
            np.testing.assert_array_equal(ids(answer.content), predictor.predict(paths["rgb"], paths["thermal"]))

    run(work())


def test_eight_at_once_of_two_sizes_get_their_own_masks_in_shared_passes(predictor: Predictor) -> None:
    async def work() -> None:
        async with running(predictor, batch_size=4, batch_wait_ms=10_000) as (client, service):
            given = [pair(k, small=k % 2 == 1) for k in range(8)]
            answers = await asyncio.gather(*(client.post("/predict", files=one.files) for one in given))
            for one, answer in zip(given, answers, strict=True):
                np.testing.assert_array_equal(ids(answer.content), predictor.predict(one.rgb, one.thermal))
            registry = service.metrics.registry
            assert registry.get_sample_value("cimnet_batch_size_sum") == 8
            assert registry.get_sample_value("cimnet_batch_size_count") == 2

    run(work())


def test_json_tells_shares_and_carries_the_mask(predictor: Predictor) -> None:
    async def work() -> None:
        async with running(predictor) as (client, _):
            given = pair(2)
            content = (await client.post("/predict?format=json", files=given.files)).json()
            expected = predictor.predict(given.rgb, given.thermal)
            assert (content["height"], content["width"], content["alarm"]) == (32, 40, None)
            assert [entry["name"] for entry in content["classes"]] == list(predictor.classes)
            assert [tuple(entry["color"]) for entry in content["classes"]] == list(predictor.colors)
            shares = [float((expected == k).mean()) for k in range(len(predictor.classes))]
            assert [entry["share"] for entry in content["classes"]] == pytest.approx(shares)
            np.testing.assert_array_equal(ids(base64.b64decode(content["mask"]["data"])), expected)

    run(work())


@pytest.mark.parametrize("missing", ["rgb", "thermal"])
def test_one_sensor_may_be_missing(predictor: Predictor, missing: str) -> None:
    async def work() -> None:
        async with running(predictor) as (client, _):
            given = pair(3)
            files = {name: file for name, file in given.files.items() if name != missing}
            images = [None if name == missing else getattr(given, name) for name in ("rgb", "thermal")]
            answer = await client.post("/predict", files=files)
            np.testing.assert_array_equal(ids(answer.content), predictor.predict(*images))
            picture = await client.post("/predict?format=overlay", files=files)
            with Image.open(io.BytesIO(picture.content)) as image:
                assert image.mode == "RGB"
                assert image.height > 32  # the legend is below
                shown = np.array(image)[:32, :40].astype(int)
            assert np.abs(shown - shown[..., :1]).any() or missing == "rgb"  # no RGB image: grey below the colours

    run(work())


def test_an_overlay_lies_on_the_rgb_image(predictor: Predictor) -> None:
    async def work() -> None:
        async with running(predictor) as (client, _):
            given = pair(4)
            answer = await client.post("/predict?format=overlay", files=given.files)
            mask = predictor.predict(given.rgb, given.thermal)
            with Image.open(io.BytesIO(answer.content)) as image:
                shown = np.array(image)[:32, :40].astype(int)
            colors = colorize(mask, predictor.colors)
            bare = ~colors.any(axis=2)
            assert 0 < bare.sum() < bare.size
            np.testing.assert_array_equal(shown[bare], given.rgb[bare])
            half = (given.rgb[~bare].astype(float) + colors[~bare]) / 2
            assert np.abs(shown[~bare] - half).max() <= 0.5

    run(work())


@pytest.mark.parametrize("form", ["png", "tiff", "npy", "float"])
def test_deep_thermal_files_are_scaled_as_in_training(predictor: Predictor, form: str) -> None:
    given = pair(1)
    counts = to_16_bit(given.thermal)
    dtype = "float32" if form == "float" else "uint16"
    info = replace(predictor.info, scaling=ThermalScaling("range", 18000.0, 23100.0), thermal_dtype=dtype)
    deep = Predictor(predictor.model, info, torch.device("cpu"), predictor.settings)
    if form == "npy":
        file = io.BytesIO()
        np.save(file, counts)
        content = file.getvalue()
    elif form == "float":
        content = png(counts.astype(np.float32), "TIFF")
    else:
        content = png(counts, form.upper())

    async def work() -> None:
        async with running(deep) as (client, _):
            answer = await client.post("/predict", files={"rgb": png(given.rgb), "thermal": content})
            np.testing.assert_array_equal(ids(answer.content), predictor.predict(given.rgb, given.thermal))

    run(work())


def test_a_single_pixel(predictor: Predictor) -> None:
    async def work() -> None:
        async with running(predictor) as (client, _):
            rgb, thermal = np.full((1, 1, 3), 90, np.uint8), np.full((1, 1), 130, np.uint8)
            for kind in ("png", "json", "overlay"):
                answer = await client.post(f"/predict?format={kind}", files={"rgb": png(rgb), "thermal": png(thermal)})
                assert answer.status_code == 200
            answer = await client.post("/predict", files={"rgb": png(rgb), "thermal": png(thermal)})
            np.testing.assert_array_equal(ids(answer.content), predictor.predict(rgb, thermal))

    run(work())


def calibrated(predictor: Predictor) -> Predictor:
    """With alarms that look at everything; the one for RGB is raised."""
    detectors = {}
    for name, numbers in NUMBERS.items():
        flat = tuple(0.0 for _ in numbers)
        weights = tuple(0.1 * (k % 3 - 1) for k in range(len(numbers)))
        ones = tuple(1.0 for _ in numbers)
        detectors[name] = Detector(numbers, flat, ones, weights, weights, bias=5.0 if name == "rgb_broken" else -1.0)
    info = replace(predictor.info, alarm=AlarmModel(detectors).to_dict())
    return Predictor(predictor.model, info, predictor.device, predictor.settings)


def test_alarms_come_with_json_if_both_images_are_there(predictor: Predictor) -> None:
    async def work() -> None:
        judging = calibrated(predictor)
        async with running(judging) as (client, _):
            assert (await client.get("/health")).json()["alarm"] is True
            given = pair(0)
            alarm: Any = judging.alarm(given.rgb, given.thermal)
            content = (await client.post("/predict?format=json", files=given.files)).json()
            assert content["alarm"]["probabilities"] == pytest.approx(alarm.probabilities)
            assert content["alarm"]["texts"] == alarm.texts
            assert "rgb_broken" in content["alarm"]["raised"]
            alone = await client.post("/predict?format=json", files={"rgb": given.files["rgb"]})
            assert alone.json()["alarm"] is None

    run(work())


def test_alarms_of_pairs_that_wait_together_share_three_passes(predictor: Predictor) -> None:
    async def work() -> None:
        judging = calibrated(predictor)
        given = [pair(k) for k in range(2)]
        masks, alarms = zip(
            *((judging.predict(p.rgb, p.thermal), judging.alarm(p.rgb, p.thermal)) for p in given), strict=True
        )
        passes: list[int] = []
        hook = judging.network.register_forward_hook(lambda _, arguments, __: passes.append(len(arguments[0])))
        try:
            async with running(judging, batch_size=2, batch_wait_ms=10_000) as (client, _):
                asked = [client.post("/predict?format=json", files=p.files) for p in given]
                contents = [answer.json() for answer in await asyncio.gather(*asked)]
        finally:
            hook.remove()
        assert passes == [2, 2, 2]
        for content, mask, alarm in zip(contents, masks, alarms, strict=True):
            np.testing.assert_array_equal(ids(base64.b64decode(content["mask"]["data"])), mask)
            assert content["alarm"]["probabilities"] == pytest.approx(alarm.probabilities)

    run(work())


def test_alarms_of_another_version_are_an_error_at_the_start(predictor: Predictor) -> None:
    info = replace(predictor.info, alarm={"version": 99})
    with pytest.raises(CheckpointError, match="another version"):
        create_app(Predictor(predictor.model, info, predictor.device))
