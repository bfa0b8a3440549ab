"""The command as a process: real sockets, real signals."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx")

import httpx

from cimnet.cli.serve import serve
from cimnet.deploy.serve import ServeOptions
from cimnet.errors import ConfigError
from cimnet.inference import Predictor
from cimnet.utils.hosts import bind
from tests.conftest import Trained
from tests.deploy.serve.helpers import FORM, form, ids, pair

SLOW_MODEL = """
import sys, time
import torch, typer
from cimnet.cli.serve import serve
from cimnet.inference import Predictor
torch.set_num_threads(1)
original = Predictor.predict_prepared
def slow(self, pairs):
    time.sleep({delay})
    return original(self, pairs)
Predictor.predict_prepared = slow
app = typer.Typer()
app.command()(serve)
app()
"""


@contextmanager
def server(trained: Trained, *arguments: str, delay: float = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address and process of `cimnet serve`, ready; its model takes `delay` seconds longer than it does."""
    command = [
        sys.executable,
        "-c",
        SLOW_MODEL.format(delay=delay),
        str(trained.best),
        "--port",
        "0",
        "--device",
        "cpu",
    ]
    process = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    )
    assert process.stdout is not None
    try:
        address = next(line for line in process.stdout if "http://" in line).split()[-1]
        wait_until_ready(address)
        yield address, process
    finally:
        process.kill()
        process.wait()


def wait_until_ready(address: str) -> None:
    for _ in range(600):
        try:
            assert httpx.get(f"{address}/health").status_code == 200
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("not ready")


def wait_for(address: str, line: str) -> None:
    """Until a line stands in the metrics."""
    for _ in range(600):
        if line in httpx.get(f"{address}/metrics").text.splitlines():
            return
        time.sleep(0.05)
    raise AssertionError(f"no {line} in {httpx.get(f'{address}/metrics').text}")


def raw(address: str, head: str, body: bytes) -> socket.socket:
    """A connection on which a request was written by hand."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(
        f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM['content-type']}\r\n{head}\r\n\r\n".encode()
    )
    connection.sendall(body)
    return connection


@pytest.mark.slow
def test_sigterm_finishes_what_is_in_hand_and_exits_with_0(trained: Trained, predictor: Predictor) -> None:
    with server(trained, "--batch-size", "1", delay=0.7) as (address, process):
        answers: dict[int, Any] = {}

        def ask(k: int) -> None:
            answers[k] = httpx.post(f"{address}/predict", files=pair(k).files, timeout=60)

        threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        wait_for(address, "cimnet_requests_in_hand 4.0")
        process.send_signal(signal.SIGTERM)
        refused = False
        while not refused and process.poll() is None:
            try:
                httpx.get(f"{address}/health")
            except httpx.TransportError:
                refused = True
        assert refused
        assert len(answers) < 4  # refused while requests were in hand
        for thread in threads:
            thread.join()
        assert process.wait(60) == 0
        for k, answer in answers.items():
            given = pair(k)
            np.testing.assert_array_equal(ids(answer.content), predictor.predict(given.rgb, given.thermal))


@pytest.mark.slow
def test_clients_that_leave_or_lie_do_no_harm(trained: Trained) -> None:
    with server(trained, "--batch-size", "1", "--max-mb", "1", delay=0.7) as (address, process):
        folder = Path(f"/proc/{process.pid}/fd")
        body = form(pair(0).files)
        busy = raw(address, f"Content-Length: {len(body)}", body)
        wait_for(address, "cimnet_requests_in_hand 1.0")
        for sent in (body, body[:200]):  # in the queue, in the body
            raw(address, f"Content-Length: {len(body)}", sent).close()
        wait_for(address, 'cimnet_requests_total{path="/predict",status="499"} 2.0')
        assert busy.recv(100).startswith(b"HTTP/1.1 200")
        busy.close()
        before = len(list(folder.iterdir())) if folder.exists() else 0
        start = form({"rgb": b""}).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        for _ in range(5):
            chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [start, *[bytes(100_000)] * 11])
            told = raw(address, "Transfer-Encoding: chunked", chunked)
            assert told.recv(100).startswith(b"HTTP/1.1 413")
            told.close()
            announced = raw(address, "Content-Length: 900000000", b"")
            assert announced.recv(100).startswith(b"HTTP/1.1 413")
            announced.close()
        wait_for(address, "cimnet_requests_in_hand 0.0")
        assert httpx.post(f"{address}/predict", files=pair(1).files, timeout=60).status_code == 200
        after = len(list(folder.iterdir())) if folder.exists() else 0
        assert after <= before + 3  # sockets of clients that have just left may still be open, files may not


def test_a_taken_port_is_one_clear_error() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"--port {port}: .*choose another"):
            bind("127.0.0.1", port)


def test_a_host_of_another_machine_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"--host 192\.0\.2\.1"):
        bind("192.0.2.1", 0)


def test_the_command_says_what_is_wrong_before_it_listens(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(serve)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        result = CliRunner().invoke(app, [str(tmp_path / "none.safetensors"), "--port", "0", "--host", "0.0.0.0"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert re.search("none.safetensors: no such file", str(result.exception))
    assert "without a password" in result.output
    result = CliRunner().invoke(app, [str(tmp_path), "--timeout-s", "-1"])
    assert str(result.exception) == "timeout_s is -1.0, expected more than 0, at most 3600"


def test_the_command_answers_under_its_own_names_alone(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web page elsewhere must not use the server through a name that leads here; the answer names the option."""
    served: list[Any] = []
    limits = [Image.MAX_IMAGE_PIXELS]

    def run(self: Any, sockets: Any) -> None:
        served.append(self.config.app)
        limits.append(Image.MAX_IMAGE_PIXELS)

    monkeypatch.setattr("uvicorn.Server.run", run)
    # it would end all handlers of this process; that of absl, which OpenVINO imports, closes what it took for stderr
    monkeypatch.setattr("uvicorn.Config.configure_logging", lambda self: None)
    app = typer.Typer()
    app.command()(serve)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    arguments = [str(trained.best), "--port", "0", "--device", "cpu", "--host"]
    try:
        CliRunner().invoke(app, [*arguments, "127.0.0.1"], catch_exceptions=False)
        CliRunner().invoke(app, [*arguments, "0.0.0.0", "--allow-host", "masks.example"], catch_exceptions=False)
        wrong = CliRunner().invoke(app, ["none.safetensors", "--port", "0", "--allow-host", "https://masks.example"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert limits[1:] == [ServeOptions().max_pixels] * 2
    assert limits[0] == Image.MAX_IMAGE_PIXELS  # as it was before
    assert "--allow-host https://masks.example: not a host name" in str(wrong.exception)

    async def ask(guarded: Any, host: str) -> tuple[int, str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url=f"http://{host}") as client:
            answer = await client.get("/openapi.json")
        return answer.status_code, answer.text

    for guarded in served:
        assert asyncio.run(ask(guarded, "127.0.0.1:8000"))[0] == 200
        status, text = asyncio.run(ask(guarded, "evil.example:8000"))
        assert status == 421
        assert "--allow-host evil.example" in text
    assert [asyncio.run(ask(guarded, "masks.example"))[0] for guarded in served] == [421, 200]


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("cimnet.deploy.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ConfigError, match=r'pip install "cimnet\[serve\]"'):
        serve(Path("x"))
