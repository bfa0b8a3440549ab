"""Requests that take time or memory: answered clearly, and /health within a second all the while."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("python_multipart")
import httpx
import torch

from cimnet.inference import Predictor
from tests.conftest import Trained, one_thread
from tests.deploy.serve.helpers import FORM, Gate, form, pair, running
from tests.deploy.serve.helpers import run as run_async
from tests.faults.attacks.bombs import BOMBS
from tests.faults.attacks.bounds import Clock, bounded
from tests.faults.attacks.serving import Serving

HEALTH = 1.0
"""Seconds in which /health must answer on a quiet machine."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    import cimnet

    return cimnet.load(trained.best, "cpu", batch_size=4)


def _field(content: bytes, name: bytes = b"rgb", more: bytes = b"") -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n--x--\r\n' % (name, more, content)


BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "punycode, one field": ("; charset=punycode", lambda: _field(b"a" * 1_000_000 + b"-" + b"b" * 40_000)),
    "punycode, two fields": (
        "; charset=punycode",
        lambda: (_field(b"a" * 1_000_000) + _field(b"c" * 1_000_000, b"thermal")).replace(b"--x--\r\n--x", b"--x"),
    ),
    "idna": ("; charset=idna", lambda: _field("ü.".encode() * 100_000)),
    "a charset that is none": ("; charset=zlib_codec", lambda: _field(b"x\x9c" * 100_000)),
    "a name of a megabyte": ("", lambda: _field(b"a", b"n" * 1_000_000)),
    "a header of 15 MB": ("", lambda: b"--x\r\nX-Long: " + b"a" * 15_000_000),
    "300,000 headers": ("", lambda: b"--x\r\n" + b"A: b\r\n" * 300_000),
    "almost a boundary, 15 MB": ("", lambda: _field(b"\r\n--" * 3_750_000, more=b'; filename="a"')),
    "200,000 parts": ("", lambda: b"--x\r\n\r\n\r\n" * 200_000),
    "an empty boundary after another": ("; boundary=", lambda: _field(b"a")),
}


@pytest.mark.parametrize("name", BODIES)
def test_health_answers_while_a_form_is_taken_apart(name: str, predictor: Predictor) -> None:
    extra, make = BODIES[name]
    content = make()
    headers = {"content-type": f"multipart/form-data; boundary=x{extra}"}

    clock = Clock()

    async def attack() -> None:
        async with running(predictor, max_mb=20) as (client, _):
            attacks = [asyncio.create_task(client.post("/predict", content=content, headers=headers)) for _ in range(4)]
            waits = []
            while not all(task.done() for task in attacks) or not waits:
                began = time.monotonic()
                assert (await client.get("/health")).status_code == 200
                waits.append(time.monotonic() - began)
                await asyncio.sleep(0.02)
            answers = [task.result() for task in attacks]
            assert {answer.status_code for answer in answers} <= {400, 415, 422}, answers[0].text
            assert answers[0].json()["remedy"]
            clock.require(max(waits), HEALTH, "/health")

    with bounded(10, 400):
        run_async(attack())


@pytest.mark.parametrize("name", BOMBS)
def test_images_whose_tags_would_fill_the_memory(name: str, predictor: Predictor) -> None:
    content = BOMBS[name][1]

    async def attack() -> None:
        async with running(predictor) as (client, _):
            body = form({"rgb": content, "thermal": content})
            answers = await asyncio.gather(*[client.post("/predict", content=body, headers=FORM) for _ in range(4)])
            assert {answer.status_code for answer in answers} == {422}
            assert "image again" in answers[0].text

    with bounded(5, 200):
        run_async(attack())


class _Slow:
    """A model that takes its time for every pass."""

    def __init__(self, model: Any, seconds: float) -> None:
        self.model, self.seconds = model, seconds

    def __call__(self, rgb: torch.Tensor, thermal: torch.Tensor) -> Any:
        time.sleep(self.seconds)
        return self.model(rgb, thermal)

    def predict(self, rgb: torch.Tensor, thermal: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return torch.zeros(len(rgb), *rgb.shape[2:], dtype=torch.int64)


def test_the_end_comes_in_time_under_64_clients(predictor: Predictor) -> None:
    batch, grace = 1.0, 2.0
    slow = Predictor(_Slow(predictor.model, batch), predictor.info, predictor.device, predictor.settings)
    body = form(pair(0).files)
    statuses: list[int] = []
    clock = Clock()

    def client(address: str) -> None:
        try:
            statuses.append(httpx.post(f"{address}/predict", content=body, headers=FORM, timeout=60).status_code)
        except httpx.HTTPError:
            statuses.append(0)

    with Serving(slow, grace_s=grace, queue=64, batch_size=1) as serving:
        clients = [threading.Thread(target=client, args=(serving.address,)) for _ in range(64)]
        for thread in clients:
            thread.start()
        deadline = time.monotonic() + 30
        service = serving.server.service
        while service.in_hand + len(statuses) < 64 and time.monotonic() < deadline:
            time.sleep(0.02)
        took = serving.stop()
        for thread in clients:
            thread.join(30)
    clock.require(took, grace + batch + 2, "the end")
    assert len(statuses) == 64
    assert set(statuses) == {200, 503}, "everybody gets an answer"


def test_a_body_that_never_ends_does_not_hold_up_the_end(predictor: Predictor) -> None:
    def body() -> Iterator[bytes]:
        yield b"--x\r\n"
        while True:
            time.sleep(0.1)
            yield b"a"

    def client(address: str) -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.post(f"{address}/predict", content=body(), headers=FORM, timeout=30).raise_for_status()

    clock = Clock()
    with Serving(predictor, grace_s=1.0) as serving:
        thread = threading.Thread(target=client, args=(serving.address,))
        thread.start()
        while not serving.server.service.receiving:
            time.sleep(0.02)
        took = serving.stop()
        thread.join(30)
    clock.require(took, 3, "the end")


def test_what_is_in_the_model_is_finished_what_waits_is_refused(predictor: Predictor) -> None:
    """What is in the model when the grace ends is finished, not dropped."""
    gate = Gate(predictor.model)
    gated = Predictor(gate, predictor.info, predictor.device, predictor.settings)

    async def stop() -> None:
        async with running(gated) as (client, service):
            body = form(pair(0).files)
            first = asyncio.create_task(client.post("/predict", content=body, headers=FORM))
            await asyncio.to_thread(gate.entered.wait, 30)
            second = asyncio.create_task(client.post("/predict", content=body, headers=FORM))
            while len(service.batcher) < 1:
                await asyncio.sleep(0.01)
            service.give_up()
            answer = await second
            assert answer.status_code == 503
            assert "stopping" in answer.json()["message"]
            gate.open.set()
            assert (await first).status_code == 200

    run_async(stop())
