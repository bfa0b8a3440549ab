"""The server seen by a client that does not play fair."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

gradio = pytest.importorskip("gradio")
import httpx  # noqa: E402

from cimnet.cli.app import serve_page  # noqa: E402
from cimnet.deploy.app.server import serve  # noqa: E402
from cimnet.deploy.app.uploads import Limits  # noqa: E402
from cimnet.errors import ConfigError  # noqa: E402
from cimnet.inference import load  # noqa: E402
from tests.conftest import Trained  # noqa: E402

from .serving import served  # noqa: E402

FILE = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def client(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        with served(load(trained.best, "cpu"), Limits(megabytes=0.1)) as address:
            for _ in range(100):
                try:
                    httpx.get(address, timeout=30)
                    break
                except httpx.ConnectError:
                    time.sleep(0.2)
            with httpx.Client(base_url=address, timeout=60) as client:
                yield client


def config(client: httpx.Client) -> dict[str, Any]:
    return client.get("/config").json()


def upload_event(client: httpx.Client) -> int:
    """Number of the event that reads an uploaded RGB image."""
    content = config(client)
    (file,) = [part["id"] for part in content["components"] if part["props"].get("elem_id") == "rgb"]
    (event,) = [e["id"] for e in content["dependencies"] if [file, "upload"] in e["targets"]]
    return int(event)


def call(client: httpx.Client, event: int, data: list[Any]) -> dict[str, Any]:
    """Send an event as the page does, wait for the server's last word about it."""
    session = uuid.uuid4().hex
    body = {"data": data, "fn_index": event, "session_hash": session}
    joined = client.post("/gradio_api/queue/join", json=body)
    assert joined.status_code == 200, joined.text
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:") and '"process_completed"' in line:
                return json.loads(line.removeprefix("data:"))
    raise AssertionError("the stream ended without an answer")


def test_an_address_on_the_web_is_not_fetched(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    async def fetch(url: str, cache_dir: str) -> str:
        fetched.append(url)
        return "/x.png"

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    data = [{"path": "https://example.org/x.png", "meta": FILE}, None]
    body = {"data": data, "fn_index": upload_event(client), "session_hash": "a"}
    assert client.post("/gradio_api/queue/join", json=body).status_code == 422
    assert not fetched


@pytest.mark.parametrize("place", ["elsewhere", "beside the program", "above the uploads"])
def test_a_file_that_was_not_uploaded_is_refused(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    if place == "beside the program":
        monkeypatch.chdir(tmp_path)
    cache = Path(os.environ["GRADIO_TEMP_DIR"])
    path = cache / os.path.relpath(secret, cache) if place == "above the uploads" else secret
    answer = call(client, upload_event(client), [{"path": str(path), "meta": FILE}, None])
    assert answer["success"] is False
    assert client.get(f"/gradio_api/file={path}").status_code in (403, 404)
    assert not list(cache.rglob("secret.png"))


def test_the_stream_of_events_stays_open_between_events(client: httpx.Client) -> None:
    """Else what the browser sends before it knows of the end is never answered."""
    session = uuid.uuid4().hex
    body = {
        "data": [{"path": "no such file", "meta": FILE}, None],
        "fn_index": upload_event(client),
        "session_hash": session,
    }
    client.post("/gradio_api/queue/join", json=body).raise_for_status()
    waiting = httpx.Timeout(60, read=5)
    seen = []
    asked = {"params": {"session_hash": session}, "timeout": waiting}
    with pytest.raises(httpx.ReadTimeout), client.stream("GET", "/gradio_api/queue/data", **asked) as stream:
        seen.extend(line for line in stream.iter_lines() if line)
    assert any('"process_completed"' in line for line in seen)
    assert not any('"close_stream"' in line for line in seen)


def test_an_uploaded_file_is_read(client: httpx.Client) -> None:
    files = {"files": ("note.png", b"no picture", "image/png")}
    (path,) = client.post("/gradio_api/upload", files=files).json()
    answer = call(client, upload_event(client), [{"path": path, "meta": FILE}, None])
    assert answer["success"] is True
    assert "note.png: not a PNG, JPEG, TIFF or BMP image" in json.dumps(answer)
    assert Path(path).parent.name not in json.dumps(answer)


@pytest.mark.parametrize("path", ["/etc/hostname", "/proc/self/environ", "pyproject.toml"])
def test_files_of_the_machine_are_not_served(client: httpx.Client, path: str) -> None:
    assert client.get(f"/gradio_api/file={path}").status_code in (403, 404)


def test_an_upload_that_is_too_long_is_cut_off(client: httpx.Client) -> None:
    files = {"files": ("long.png", bytes(200_000), "image/png")}
    assert client.post("/gradio_api/upload", files=files).status_code == 413


def test_nothing_is_asked_of_other_hosts_and_no_interface_is_published(client: httpx.Client) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"'](https?:)?//[^\"']+", page.text)
    assert not loaded
    content = config(client)
    assert content["analytics_enabled"] is False
    assert all(event["api_visibility"] == "private" for event in content["dependencies"] if event["backend_fn"])
    assert client.get("/gradio_api/info").json() == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert client.get("/docs").status_code == 404


def test_events_that_run_the_model_share_one_place(client: httpx.Client) -> None:
    events = [event for event in config(client)["dependencies"] if event["backend_fn"]]
    sliders = [e for e in events if any(target[1] == "input" for target in e["targets"]) and len(e["targets"]) > 1]
    assert [e["trigger_mode"] for e in sliders] == ["always_last"]


def test_a_port_in_use_is_one_clear_error(trained: Trained) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"--port {port}: .* in use"):
            serve(load(trained.best, "cpu"), port=port)


def test_the_command_warns_where_others_can_reach_the_page(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("cimnet.deploy.app.server.serve", lambda *a: calls.append(a))
    serve_page(trained.best, max_mb=5, max_pixels=1e6, device="cpu")
    assert "no password" not in capsys.readouterr().out
    serve_page(trained.best, host="0.0.0.0", port=0, queue=3, allow_host=["a.example"], device="cpu")
    assert "no password" in capsys.readouterr().out
    assert calls[0][1:5] == ("127.0.0.1", 7860, Limits(5, 1_000_000, 16), "best.safetensors")
    assert calls[1][1:4] == ("0.0.0.0", 0, Limits(20, 4_000_000, 3))
    assert [tuple(call[6]) for call in calls] == [(), ("a.example",)]


def test_the_page_answers_under_its_own_names_alone(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web page elsewhere must not read it through a name that leads here."""
    apps: list[Any] = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: apps.append(self.config.app))
    serve(load(trained.best, "cpu"), "0.0.0.0", 0, allow_hosts=["masks.example"])

    async def status(host: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(apps[0]), base_url=f"http://{host}") as client:
            return (await client.get("/theme.css")).status_code

    names = ["evil.example", "masks.example", "10.0.0.7:7860", "localhost"]
    assert [asyncio.run(status(name)) for name in names] == [421, 200, 200, 200]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_nothing_of_a_visitor_stays_when_the_server_ends(
    trained: Trained, tmp_path: Path, ending: signal.Signals
) -> None:
    program = "import sys; from cimnet.deploy.app import serve; from cimnet import load; "
    program += "serve(load(sys.argv[1], 'cpu'), port=0, ready=lambda address: print(address, flush=True))"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, str(trained.best)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        files = {"files": ("mine.png", b"private", "image/png")}
        httpx.post(f"{address}/gradio_api/upload", files=files, timeout=60).raise_for_status()
        assert list(tmp_path.rglob("mine.png"))
        process.send_signal(ending)
        assert process.wait(60) == 0
    assert not list(tmp_path.glob("cimnet-app-*"))
