"""The page under attack: bodies without end, files of no picture, sessions by the dozen, addresses, damaged events."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")
import httpx
import numpy as np
from PIL import Image

from cimnet.deploy.app.guard import Refused, keep_below
from cimnet.deploy.app.uploads import Limits
from cimnet.inference import load
from tests.conftest import Trained
from tests.deploy.app.serving import served
from tests.deploy.app.test_server import FILE, call, config, upload_event
from tests.faults.attacks.bounds import bounded
from tests.faults.attacks.outside import outside

LIMITS = Limits(megabytes=0.5, uploads=8, disk_megabytes=2.0, sessions=3)


@pytest.fixture(scope="module")
def client(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        with (
            served(load(trained.best, "cpu"), LIMITS) as address,
            httpx.Client(base_url=address, timeout=60) as client,
        ):
            client.get("/").raise_for_status()
            yield client


def _endless(megabytes: int, start: bytes) -> Iterator[bytes]:
    yield start
    for _ in range(megabytes):
        yield bytes(1_000_000)


FIELD = b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\n'
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("path", "start", "headers"),
    [
        ("/gradio_api/upload", FIELD, FORM),
        ("/gradio_api/upload", FIELD[:-4] + b'; filename="a.png"\r\n\r\n', FORM),
        ("/gradio_api/queue/join", b'{"data": ["', {"content-type": "application/json"}),
        ("/gradio_api/cancel", b'{"a": "', {"content-type": "application/json"}),
    ],
)
def test_a_body_without_end(client: httpx.Client, path: str, start: bytes, headers: dict[str, str]) -> None:
    """200 MB are sent, or as many as are taken; memory stays."""
    with bounded(5, 60):
        try:
            answer = client.post(path, content=_endless(200, start), headers=headers)
            assert answer.status_code in (413, 429)
        except (httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
            pass  # cut off while it was sending
        assert client.get("/config").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/run/predict",
        "/gradio_api/call/predict",
        "/gradio_api/api/predict",
        "/gradio_api/process_recording",
        "/gradio_api/vibe-edit/",
        "/gradio_api/component_server",
        "/gradio_api/stream/a",
        "/login",
        "/upload",
    ],
)
def test_routes_that_the_page_does_not_need(client: httpx.Client, path: str) -> None:
    assert client.post(path, json={"data": []}).status_code == 404


def test_no_address_is_fetched_for_anybody(client: httpx.Client, tmp_path: Path) -> None:
    with outside(tmp_path) as server:
        address = f"http://{server.address}/secret"
        for path in (
            f"/gradio_api/file={address}",
            f"/gradio_api/file/{address}",
            f"/gradio_api/file=HTTP://{server.address}/x",
            f"/gradio_api/file=ftp://{server.address}/x",
            f"/gradio_api/file=//{server.address}/x",
            f"/gradio_api/proxy={address}",
            f"/proxy={address}",
        ):
            assert client.get(path).status_code in (400, 403, 404)
            assert client.head(path).status_code in (400, 403, 404)
        for event in config(client)["dependencies"]:
            data: list[Any] = [{"path": address, "url": address, "meta": FILE} for _ in event["inputs"]]
            body = {"data": data, "fn_index": event["id"], "session_hash": "a"}
            client.post("/gradio_api/queue/join", json=body)
        time.sleep(0.5)
        assert server.connections == 0


def test_nobody_is_asked_for_a_name(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server runs in this process: only the client may look up its own address."""
    asked: list[Any] = []
    real = socket.getaddrinfo

    def watched(host: Any, *arguments: Any, **settings: Any) -> Any:
        if host not in ("127.0.0.1", b"127.0.0.1"):
            asked.append(host)
            raise OSError("no network in this test")
        return real(host, *arguments, **settings)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    client.get("/gradio_api/file=http://cimnet.invalid/x")
    number = upload_event(client)
    for path in ("http://cimnet.invalid/x.png", "https://cimnet.invalid/x.png", "//cimnet.invalid/x.png"):
        body = {"data": [{"path": path, "url": path, "meta": FILE}, None], "fn_index": number, "session_hash": "b"}
        client.post("/gradio_api/queue/join", json=body)
    time.sleep(0.5)
    assert asked == []


def _events(client: httpx.Client) -> dict[str, Any]:
    number = upload_event(client)
    return {
        "no JSON": b"{",
        "a list": b"[]",
        "nested 100,000 deep": b"[" * 100_000,
        "nothing": b"{}",
        "no such event": {"data": [], "fn_index": 10**6, "session_hash": "a"},
        "an event that is text": {"data": [], "fn_index": "0", "session_hash": "a"},
        "an event that is true": {"data": [], "fn_index": True, "session_hash": "a"},
        "no data": {"fn_index": number, "session_hash": "a"},
        "data that are text": {"data": "ab", "fn_index": number, "session_hash": "a"},
        "too few": {"data": [], "fn_index": number, "session_hash": "a"},
        "too many": {"data": [None] * 50, "fn_index": number, "session_hash": "a"},
        "a number for a file": {"data": [7, None], "fn_index": number, "session_hash": "a"},
        "a list of files": {"data": [[{"path": "a"}], None], "fn_index": number, "session_hash": "a"},
        "no session": {"data": [None, None], "fn_index": number},
        "a session that is a path": {"data": [None, None], "fn_index": number, "session_hash": "../a"},
        "a state from outside": {"data": [None, {"a": 1}], "fn_index": number, "session_hash": "a"},
    }


def test_damaged_events_are_refused_without_a_traceback(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        for name, body in _events(client).items():
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = client.post("/gradio_api/queue/join", content=content)
            assert answer.status_code == 422, name
            assert answer.json()["detail"], name
        sliders = [e for e in config(client)["dependencies"] if len(e["inputs"]) > 5]
        for value in (float("1e400"), -1e9, "7", None, [1], True):
            data = [None] + [value] * (len(sliders[0]["inputs"]) - 1)
            text = json.dumps({"data": data, "fn_index": sliders[0]["id"], "session_hash": "a"})
            assert client.post("/gradio_api/queue/join", content=text).status_code == 422
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not [record for record in caplog.records if record.exc_info]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_files_of_no_picture_are_bounded(client: httpx.Client) -> None:
    cache = Path(os.environ["GRADIO_TEMP_DIR"])
    statuses = []
    for k in range(30):
        files = {"files": (f"{k}.png", os.urandom(450_000), "image/png")}
        statuses.append(client.post("/gradio_api/upload", files=files).status_code)
    assert set(statuses) <= {200, 429, 503}
    assert {429, 503} & set(statuses)
    assert _size(cache) <= LIMITS.disk_bytes + LIMITS.bytes


def test_a_file_that_is_no_picture_goes_when_it_was_looked_at(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with served(load(trained.best, "cpu"), Limits()) as address, httpx.Client(base_url=address, timeout=60) as client:
        files = {"files": ("note.png", b"no picture", "image/png")}
        (path,) = client.post("/gradio_api/upload", files=files).json()
        call(client, upload_event(client), [{"path": path, "meta": FILE}, None])
    assert not Path(path).exists()


def test_old_files_go_first(tmp_path: Path) -> None:
    for k in range(4):
        (tmp_path / str(k)).write_bytes(bytes(100))
        os.utime(tmp_path / str(k), (time.time() - 1000 + k,) * 2)
    keep_below(tmp_path, 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
    (tmp_path / "new").write_bytes(bytes(1000))
    with pytest.raises(Refused):
        keep_below(tmp_path, 250)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_sessions_are_forgotten(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of the visitor who came first goes; memory does not grow with visitors."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(file, "PNG")
    limits = Limits(sessions=3)
    with served(load(trained.best, "cpu"), limits) as address, httpx.Client(base_url=address, timeout=60) as client:
        files = {"files": ("a.png", file.getvalue(), "image/png")}
        (path,) = client.post("/gradio_api/upload", files=files).json()
        number = upload_event(client)
        from gradio.state_holder import StateHolder

        kept: list[StateHolder] = []
        real = StateHolder.__getitem__

        def seen(holder: StateHolder, session: str) -> Any:
            kept.append(holder)
            return real(holder, session)

        monkeypatch.setattr(StateHolder, "__getitem__", seen)
        for _ in range(8):
            assert uuid.uuid4()
            call(client, number, [{"path": path, "meta": FILE}, None])
    assert kept
    assert all(len(holder.session_data) <= limits.sessions for holder in kept)


def test_other_routes_of_an_application_pass(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from cimnet.deploy.app import mount

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    app = FastAPI()
    app.add_api_route("/segments", lambda: "mine", methods=["POST"])
    mount(app, load(trained.best, "cpu"), "/segment", LIMITS)
    with TestClient(app) as client:
        assert client.post("/segments").json() == "mine"
        assert client.get("/segment/config").status_code == 200
        assert client.get("/segment/gradio_api/file=http://127.0.0.1:9/x").status_code == 404
        assert client.post("/segment/gradio_api/queue/join", content=b"{").status_code == 422


def test_two_lengths_of_one_body(client: httpx.Client) -> None:
    """Behind a proxy, such a request could hide another one; the connection ends."""
    host, port = client.base_url.host, client.base_url.port
    assert port
    with socket.create_connection((host, port), timeout=30) as link:
        head = f"POST /gradio_api/queue/join HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 4\r\n"
        smuggled = b"0\r\n\r\nGET /config HTTP/1.1\r\nHost: x\r\n\r\n"
        link.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + smuggled)
        answer = b""
        while part := link.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
