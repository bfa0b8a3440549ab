"""What a client can do wrong, and what it is told: JSON with a remedy, no path, no traceback."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("fastapi", reason="needs the extra serve")

from cimnet.data import ThermalScaling
from cimnet.inference import Predictor
from cimnet.models import Output
from tests.deploy.serve.helpers import FORM, form, pair, png, run, running

GREY = png(np.full((32, 40), 90, np.uint8))
COLOUR = png(np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8))
NAN = png(np.full((32, 40), np.nan, np.float32), "TIFF")


def bomb(width: int, height: int) -> bytes:
    """A small PNG of black pixels that says it is large, and is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + width)) for _ in range(min(height, 2000))) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def objects() -> bytes:
    """A .npy file that would run code when unpickled."""
    file = io.BytesIO()
    np.save(file, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    return file.getvalue()


def told(answer: Any, status: int, *words: str) -> None:
    """The answer is an error of this form, and says so much."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert set(content) == {"status", "message", "remedy"}
    assert content["status"] == status
    assert content["message"]
    assert content["remedy"]
    text = f"{content['message']}; {content['remedy']}"
    for word in words:
        assert word in text
    assert not re.search(r'Traceback|\.py[":]|/tmp|cimnet-serve-|site-packages', text)


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        (
            {"rgb": COLOUR, "thermal": png(np.zeros((30, 41), np.uint8))},
            422,
            ("rgb 40×32", "thermal 41×30", "register"),
        ),
        ({"rgb": b"%PDF-1.4 and so on"}, 415, ("rgb: not a PNG, JPEG, TIFF, BMP",)),
        ({"thermal": b"GIF89a"}, 415, ("thermal: not a PNG", ".npy")),
        ({"rgb": b"\0\0\0\x1cftypheic" + bytes(40)}, 422, ("rgb: ", "HEIC")),
        ({"rgb": b"RIFF\x10\0\0\0WEBPVP8L" + bytes(9)}, 422, ("rgb: ",)),
        ({"rgb": b"\x93NUMPY\x01\0"}, 415, ("rgb: not a PNG",)),
        ({"thermal": b"\x93NUMPY\x01\0"}, 422, ("thermal: cannot be read as a .npy",)),
        ({"thermal": objects()}, 422, ("thermal: cannot be read as a .npy",)),
        ({"rgb": b""}, 422, ("rgb: the file is empty",)),
        ({"rgb": COLOUR[:200]}, 422, ("rgb: cannot be read",)),
        ({"rgb": COLOUR[:20]}, 422, ("rgb:",)),
        ({"rgb": b"\xff\xd8\xff\xe0 no jpeg"}, 422, ("rgb: cannot be read",)),
        ({"thermal": COLOUR[:60]}, 422, ("thermal:",)),
        (
            {"thermal": png(np.dstack([np.eye(32, 40, dtype=np.uint8) * 200] + [np.zeros((32, 40), np.uint8)] * 2))},
            422,
            ("thermal: a thermal image with colours", "export it in grey"),
        ),
        ({"rgb": png(np.zeros((32, 40), np.uint16))}, 422, ("rgb: a one-channel image",)),
        ({"rgb": COLOUR, "thermal": png(np.zeros((32, 40), np.uint16))}, 422, ("type uint16 where uint8 is expected",)),
        ({"rgb": bomb(60_000, 60_000)}, 413, ("rgb: more than 4,000,000 pixels", "tiles")),
        ({"rgb": bomb(13_000, 13_000)}, 413, ("rgb: more than 4,000,000 pixels",)),
        ({"thermal": bomb(2_001, 2_000)}, 413, ("thermal: more than 4,000,000 pixels",)),
        ({"other": COLOUR}, 422, ("unknown field 'other'", "rgb and thermal")),
        ({"rgb": COLOUR, "thermal": GREY, "more": GREY}, 400, ("Too many files",)),
        ([("rgb", COLOUR), ("rgb", COLOUR)], 422, ("rgb: given twice",)),
    ],
    ids=lambda value: None if isinstance(value, int | tuple) else "files",
)
def test_files_that_cannot_be_used(predictor: Predictor, files: Any, status: int, words: tuple[str, ...]) -> None:
    async def work() -> None:
        async with running(predictor) as (client, service):
            told(await client.post("/predict", files=files), status, *words)
            count = service.metrics.registry.get_sample_value
            assert count("cimnet_requests_total", {"path": "/predict", "status": str(status)}) == 1
            assert (await client.post("/predict", files=pair(0).files)).status_code == 200

    run(work())


def test_nan_in_a_float_tiff(predictor: Predictor) -> None:
    info = replace(predictor.info, scaling=ThermalScaling("range", 0, 100), thermal_dtype="float32")
    floats = Predictor(predictor.model, info, torch.device("cpu"), predictor.settings)

    async def work() -> None:
        async with running(floats) as (client, _):
            answer = await client.post("/predict", files={"rgb": COLOUR, "thermal": NAN})
            told(answer, 422, "thermal values are not finite", "fill them")

    run(work())


def test_other_requests(predictor: Predictor) -> None:
    async def work() -> None:
        async with running(predictor) as (client, _):
            told(await client.post("/predict", data={"rgb": "a"}), 415, "multipart/form-data", "curl")
            told(await client.post("/predict", content=COLOUR, headers={"content-type": "image/png"}), 415)
            told(await client.post("/predict", files={"x": ("", b"")}), 422, "unknown field")
            told(await client.post("/predict", content=form({"rgb": b""}, ""), headers=FORM), 422, "both missing")
            told(await client.post("/predict", content=b"--x--\r\n", headers=FORM), 422, "both missing")
            told(await client.post("/predict", files={"rgb": (None, "text")}), 422, "rgb: is text")
            told(await client.post("/predict?format=gif", files=pair(0).files), 422, "format", "overlay")
            answer = await client.post("/predict?fmt=json", files=pair(0).files)
            told(answer, 422, "unknown parameter 'fmt'", "there is format")
            answer = await client.post("/predict?format=png&format=json", files=pair(0).files)
            told(answer, 422, "format: given twice")
            for path in ("/health", "/metrics"):
                told(await client.get(f"{path}?x="), 422, "unknown parameter 'x'", f"{path} has none")
            told(await client.get("/predict"), 405, "POST to /predict")
            told(await client.get("/nothing"), 404, "GET /health")
            for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
                answer = await client.post("/predict", content=b"no form", headers={"content-type": kind})
                told(answer, 400, "the form cannot be read")

    run(work())


async def endless(taken: list[int]) -> AsyncIterator[bytes]:
    """A form whose file does not end; counts what was asked for."""
    yield b'--x\r\nContent-Disposition: form-data; name="rgb"; filename="a.png"\r\n\r\n'
    for _ in range(10_000):
        taken[0] += 1
        yield bytes(100_000)


@pytest.mark.parametrize("announced", [None, "1000"])
def test_bytes_are_counted_as_they_come(predictor: Predictor, announced: str | None) -> None:
    async def work() -> None:
        async with running(predictor, max_mb=1) as (client, _):
            taken = [0]
            headers = dict(FORM)
            if announced is not None:
                headers["content-length"] = announced
            answer = await client.post("/predict", content=endless(taken), headers=headers)
            told(answer, 413, "larger than 1 MB", "--max-mb")
            assert taken[0] <= 11

    run(work())


def test_what_announces_too_much_is_not_read(predictor: Predictor) -> None:
    async def work() -> None:
        async with running(predictor, max_mb=1) as (client, _):
            taken = [0]
            headers = {**FORM, "content-length": "1000001"}
            told(await client.post("/predict", content=endless(taken), headers=headers), 413, "larger than 1 MB")
            assert taken[0] == 0

    run(work())


def test_nothing_stays_on_disk(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    noise = np.random.default_rng(0).integers(0, 256, (700, 800, 3), dtype=np.uint8)  # larger than what stays in memory

    class Quick:
        def __call__(self, rgb: Tensor, thermal: Tensor, /) -> Output:
            return Output(torch.zeros(1, 3, *rgb.shape[-2:]))

        def predict(self, rgb: Tensor, thermal: Tensor, /) -> Tensor:
            return self(rgb, thermal).logits.argmax(1)

    async def work() -> None:
        async with running(Predictor(Quick(), predictor.info, predictor.device)) as (client, _):
            assert (await client.post("/predict", files={"rgb": png(noise)})).status_code == 200
            told(await client.post("/predict", files={"rgb": png(noise)[:-5000]}), 422)
            told(await client.post("/predict", files={"rgb": COLOUR, "thermal": png(noise)}), 422)

    run(work())
    assert list(tmp_path.iterdir()) == []


def test_a_failing_model_is_told_without_details(predictor: Predictor) -> None:
    def broken(rgb: Any, thermal: Any) -> Any:
        raise RuntimeError("secret at /tmp/model.py")

    failing = Predictor(broken, predictor.info, predictor.device)  # type: ignore[arg-type]

    async def work() -> None:
        async with running(failing) as (client, _):
            answer = await client.post("/predict", files=pair(0).files)
            told(answer, 500, "the model failed")
            assert "secret" not in answer.text
            assert (await client.get("/health")).json()["ready"] is True

    run(work())


def test_an_error_nobody_expected(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret at /tmp/answers.py")

    monkeypatch.setattr("cimnet.deploy.serve.service.encode", broken)

    async def work() -> None:
        async with running(predictor) as (client, service):
            answer = await client.post("/predict", files=pair(0).files)
            told(answer, 500, "the server failed")
            assert "secret" not in answer.text
            count = service.metrics.registry.get_sample_value
            assert count("cimnet_requests_total", {"path": "/predict", "status": "500"}) == 1
            assert service.in_hand == 0

    run(work())
