"""Many requests at once: queue, time-outs, clients that leave, metrics, the end."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from torch import Tensor

pytest.importorskip("fastapi", reason="needs the extra serve")

from cimnet.deploy.serve import ServeOptions
from cimnet.deploy.serve.batcher import Batcher, Job
from cimnet.deploy.serve.failures import Failure
from cimnet.errors import ConfigError
from cimnet.inference import Predictor
from cimnet.models import Output
from tests.deploy.serve.helpers import FORM, Gate, form, hold, ids, pair, run, running, until
from tests.deploy.serve.test_bad_requests import told


def test_a_full_queue_refuses_at_once_and_recovers(gated: Predictor) -> None:
    gate: Any = gated.model

    async def work() -> None:
        async with running(gated, queue=2, batch_size=1) as (client, service):
            held = await hold(gate, client, [pair(k) for k in range(3)])
            await until(lambda: len(service.batcher) == 2)
            answer = await client.post("/predict", files=pair(3).files)
            told(answer, 503, "busy", "Retry-After")
            assert int(answer.headers["retry-after"]) >= 1
            metrics = (await client.get("/metrics")).text
            assert "cimnet_queue_length 2.0" in metrics
            assert "cimnet_requests_in_hand 3.0" in metrics
            gate.open.set()
            for k, task in enumerate(held):
                expected = gate.model.predict(*(x[None] for x in gated.tensors(pair(k).rgb, pair(k).thermal)))
                np.testing.assert_array_equal(ids((await task).content), expected[0].numpy())
            assert (await client.post("/predict", files=pair(3).files)).status_code == 200
            assert gate.passes == [1, 1, 1, 1]

    run(work())


def test_decoded_pairs_fill_a_set_amount_of_memory(gated: Predictor) -> None:
    gate: Any = gated.model

    async def work() -> None:
        async with running(gated, max_pixels=32 * 40, batch_size=1) as (client, service):
            held = await hold(gate, client, [pair(0)] * 8)
            await until(lambda: len(service.batcher) == 7)
            told(await client.post("/predict", files=pair(0).files), 503, "large images")
            gate.open.set()
            assert {(await task).status_code for task in held} == {200}

    run(work())


def test_a_request_that_takes_too_long_gets_504_and_is_skipped(gated: Predictor) -> None:
    gate: Any = gated.model

    async def work() -> None:
        async with running(gated, timeout_s=1, batch_size=1) as (client, service):
            tasks = await hold(gate, client, [pair(k) for k in range(3)])
            for task in tasks:
                told(await task, 504, "within 1 s", "try again later")
            assert len(service.batcher) == 0
            assert service.in_hand == 0
            gate.open.set()
            assert (await client.post("/predict", files=pair(0).files)).status_code == 200
            assert len(gate.passes) == 2  # the one that was in the model already, and the last one

    run(work())


def test_a_body_that_does_not_arrive_gets_408(predictor: Predictor) -> None:
    async def slow() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="rgb"; filename="a.png"\r\n\r\n'
        await asyncio.sleep(60)

    async def work() -> None:
        async with running(predictor, timeout_s=0.2) as (client, service):
            told(await client.post("/predict", content=slow(), headers=FORM), 408, "did not arrive within 0.2 s")
            assert service.in_hand == 0

    run(work())


def scope() -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/predict",
        "raw_path": b"/predict",
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
    }


@pytest.mark.parametrize("when", ["in the body", "in the queue"])
def test_a_client_that_leaves_is_forgotten(gated: Predictor, when: str) -> None:
    gate: Any = gated.model

    async def work() -> None:
        async with running(gated, batch_size=1) as (client, service):
            (first,) = await hold(gate, client, [pair(0)])
            body, left = form(pair(1).files), asyncio.Event()
            messages = [{"type": "http.request", "body": body[:100], "more_body": True}]
            if when == "in the queue":
                messages.append({"type": "http.request", "body": body[100:], "more_body": False})

            async def receive() -> dict[str, Any]:
                if messages:
                    return messages.pop(0)
                await left.wait()
                return {"type": "http.disconnect"}

            async def send(message: dict[str, Any]) -> None:
                pass

            task = asyncio.create_task(client._transport.app(scope(), receive, send))
            await until(lambda: service.in_hand == 2 and not messages)
            if when == "in the queue":
                await until(lambda: len(service.batcher) == 1)
            left.set()
            await task
            assert (len(service.batcher), service.in_hand) == (0, 1)
            gate.open.set()
            assert (await first).status_code == 200
            assert gate.passes == [1]
            count = service.metrics.registry.get_sample_value
            assert count("cimnet_requests_total", {"path": "/predict", "status": "499"}) == 1
            assert count("cimnet_predict_seconds_count") == 1

    run(work())


def test_one_pair_that_the_model_fails_on_does_not_fail_the_others(predictor: Predictor) -> None:
    whole: Any = predictor.model

    class Picky(Gate):
        def __call__(self, rgb: Tensor, thermal: Tensor) -> Output:
            self.passes.append(len(rgb))
            if (rgb == 1).all(dim=(1, 2, 3)).any():
                raise RuntimeError("white")
            return whole(rgb, thermal)

    model = Picky(whole)

    async def work() -> None:
        picky = Predictor(model, predictor.info, predictor.device, predictor.settings)
        async with running(picky, batch_size=4, batch_wait_ms=10_000) as (client, _):
            given = [pair(k) for k in range(4)]
            given[2].rgb[:] = 255
            answers = await asyncio.gather(*(client.post("/predict", files=one.files) for one in given))
            assert model.passes == [4, 1, 1, 1, 1]
            assert [answer.status_code for answer in answers] == [200, 200, 500, 200]
            for k in (0, 1, 3):
                expected = predictor.predict(given[k].rgb, given[k].thermal)
                np.testing.assert_array_equal(ids(answers[k].content), expected)

    run(work())


def test_closing_finishes_what_waits_and_refuses_more(gated: Predictor) -> None:
    gate: Any = gated.model
    batcher = Batcher(gated, ServeOptions(batch_size=1), lambda size: None)
    batcher.start()
    jobs = [Job(*gated.tensors(pair(k).rgb, pair(k).thermal)) for k in range(3)]
    for job in jobs:
        batcher.submit(job)
    assert gate.entered.wait(30)
    batcher.close(timeout=0)
    assert batcher.ready is False
    with pytest.raises(Failure, match="stopping"):
        batcher.submit(Job(*gated.tensors(pair(0).rgb, pair(0).thermal)))
    gate.open.set()
    batcher.close()
    for k, job in enumerate(jobs):
        expected = gate.model.predict(*(x[None] for x in gated.tensors(pair(k).rgb, pair(k).thermal)))
        np.testing.assert_array_equal(job.future.result(timeout=0)[0], expected[0].numpy())


def test_passes_hold_no_more_pixels_than_an_image_seen_at_once(
    gated: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cimnet.deploy.serve.batcher.WHOLE", 2 * 32 * 40)
    gate: Any = gated.model
    gate.open.set()

    async def work() -> None:
        async with running(gated, batch_size=4, batch_wait_ms=10_000) as (client, _):
            await asyncio.gather(*(client.post("/predict", files=pair(k).files) for k in range(4)))
            assert gate.passes == [2, 2]

    run(work())


def test_health_and_metrics(predictor: Predictor) -> None:
    async def work() -> None:
        async with running(predictor) as (client, service), running(predictor) as (other, _):
            health = await client.get("/health")
            assert health.status_code == 200
            content = health.json()
            assert (content["live"], content["ready"], content["model"]) == (True, True, "cimnet_test_resnet")
            assert content["classes"] == list(predictor.classes)
            await client.post("/predict", files=pair(0).files)
            await client.post("/predict")
            answer = await client.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=")
            lines = answer.text.splitlines()
            assert 'cimnet_requests_total{path="/predict",status="200"} 1.0' in lines
            assert 'cimnet_requests_total{path="/predict",status="415"} 1.0' in lines
            assert 'cimnet_batch_size_bucket{le="1.0"} 1.0' in lines
            assert "cimnet_predict_seconds_count 1.0" in lines
            assert "cimnet_queue_length 0.0" in lines
            assert "cimnet_predict_seconds_count 0.0" in (await other.get("/metrics")).text.splitlines()
            service.batcher.close()
            health = await client.get("/health")
            assert (health.status_code, health.json()["live"], health.json()["ready"]) == (503, True, False)

    run(work())


def test_the_schema_names_the_files(predictor: Predictor) -> None:
    async def work() -> None:
        async with running(predictor) as (client, _):
            route = (await client.get("/openapi.json")).json()["paths"]["/predict"]["post"]
            schema = route["requestBody"]["content"]["multipart/form-data"]["schema"]
            assert set(schema["properties"]) == {"rgb", "thermal"}

    run(work())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_mb", 0),
        ("max_pixels", 0),
        ("queue", 0),
        ("batch_size", 0),
        ("batch_wait_ms", -1),
        ("timeout_s", 0),
        ("timeout_s", float("nan")),
        ("decoders", 0),
    ],
)
def test_options_out_of_range(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{field} is {value}, expected"):
        ServeOptions(**{field: value})
