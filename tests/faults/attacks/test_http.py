"""Bytes that are no HTTP, or nearly: each kind gets a refusal or a closed connection, and /health answers meanwhile.

Also clients that connect and say nothing.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

pytest.importorskip("fastapi")
import httpx
import numpy as np

from tests.conftest import Trained
from tests.deploy.serve.helpers import FORM, form, pair
from tests.faults.attacks.bounds import Clock
from tests.faults.attacks.serving import Serving

HOST = b"Host: a\r\n"
HEALTH = 1.0
_END = 5.0  # seconds after which an attacker leaves by himself


def get(line: bytes = b"GET /health HTTP/1.1", headers: bytes = HOST) -> bytes:
    return line + b"\r\n" + headers + b"\r\n"


def post(headers: bytes, body: bytes = b"") -> bytes:
    return get(b"POST /predict HTTP/1.1", HOST + headers) + body


def chunked(body: bytes, coding: bytes = b"chunked") -> bytes:
    return post(b"Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: " + coding + b"\r\n", body)


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "random bytes": np.random.default_rng(0).bytes(2000),
    "zeros": bytes(2000),
    "line ends alone": b"\r\n" * 500,
    "a TLS hello": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "an SSH banner": b"SSH-2.0-OpenSSH_9.6\r\n",
    "mail": b"EHLO example.org\r\nMAIL FROM:<a@example.org>\r\n",
    "HTTP/0.9": b"GET /health\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "HTTP/3.0": get(b"GET /health HTTP/3.0"),
    "no version's number": get(b"GET /health HTTP/"),
    "http in lower case": get(b"GET /health http/1.1"),
    "no method": get(b"/health HTTP/1.1"),
    "no path": get(b"GET HTTP/1.1"),
    "two spaces": get(b"GET  /health  HTTP/1.1"),
    "tabs": get(b"GET\t/health\tHTTP/1.1"),
    "a method of 10,000 letters": get(b"A" * 10_000 + b" / HTTP/1.1"),
    "a method with brackets": get(b"G(E)T /health HTTP/1.1"),
    "CONNECT": get(b"CONNECT example.org:443 HTTP/1.1"),
    "TRACE": get(b"TRACE /health HTTP/1.1"),
    "another server's address": get(b"GET http://example.org/health HTTP/1.1"),
    "NUL in the path": get(b"GET /he\0alth HTTP/1.1"),
    "a path of 200,000 bytes": get(b"GET /" + b"a" * 200_000 + b" HTTP/1.1"),
    "a path that is no UTF-8": get(b"GET /\xff\xfe HTTP/1.1"),
    "damaged percent signs": get(b"GET /%zz%f HTTP/1.1"),
    "a way up": get(b"GET /../../../../etc/passwd HTTP/1.1"),
    "a way up, coded": get(b"GET /%2e%2e%2f%2e%2e%2fetc/passwd HTTP/1.1"),
    "no host": get(headers=b""),
    "two hosts": get(headers=b"Host: a\r\nHost: b\r\n"),
    "a header without a colon": get(headers=HOST + b"Nothing\r\n"),
    "a header's name with a space": get(headers=HOST + b"A B: c\r\n"),
    "a space before the colon": get(headers=HOST + b"Content-Length : 5\r\n"),
    "a folded header": get(headers=HOST + b"A: b\r\n c\r\n"),
    "NUL in a header": get(headers=HOST + b"A: b\0c\r\n"),
    "a header of 200,000 bytes": get(headers=HOST + b"A: " + b"b" * 200_000 + b"\r\n"),
    "20,000 headers": get(headers=HOST + b"A: b\r\n" * 20_000),
    "bare line feeds": b"GET /health HTTP/1.1\nHost: a\n\n",
    "bare carriage returns": b"GET /health HTTP/1.1\rHost: a\r\r",
    "a length below zero": post(b"Content-Length: -1\r\n"),
    "a length that is no number": post(b"Content-Length: five\r\n"),
    "a length with a sign": post(b"Content-Length: +5\r\n", b"aaaaa"),
    "a length of 2^70": post(b"Content-Length: 1180591620717411303424\r\n"),
    "two lengths": post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"aaaaaa"),
    "a length and chunks": post(
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + get(b"GET /metrics HTTP/1.1")
    ),
    "an unknown coding": chunked(b"", b"magic"),
    "chunks twice": chunked(b"0\r\n\r\n", b"chunked, chunked"),
    "a chunk's size that is no number": chunked(b"xyz\r\naaa\r\n"),
    "a chunk's size below zero": chunked(b"-5\r\naaaaa\r\n"),
    "a chunk of 2^80": chunked(b"1" + b"0" * 20 + b"\r\naaa"),
    "a chunk without an end": chunked(b"3\r\naaabbb"),
    "a chunk's extension of 200,000 bytes": chunked(b"3;" + b"a" * 200_000 + b"\r\naaa\r\n0\r\n\r\n"),
    "a body cut off": post(b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5000\r\n", b"--x\r\n"),
    "an expectation": post(b"Expect: magic\r\nContent-Length: 0\r\n"),
    "a websocket": get(headers=HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ?\r\n"),
    "a thousand requests at once": get() * 1000,
    "more after the last one": get(headers=HOST + b"Connection: close\r\n") * 3,
}


@pytest.fixture(scope="module")
def serving(trained: Trained) -> Iterator[Serving]:
    import cimnet

    with Serving(cimnet.load(trained.best, "cpu"), timeout_s=10) as server:
        yield server


def ask_health(serving: Serving, clock: Clock) -> None:
    began = time.monotonic()
    assert httpx.get(f"{serving.address}/health", timeout=60).status_code == 200
    clock.require(time.monotonic() - began, HEALTH, "/health")


def send(place: tuple[str, int], content: bytes) -> bytes:
    """What comes back until the server closes the connection, or the attacker leaves."""
    answer = b""
    with socket.create_connection(place, timeout=_END) as client:
        try:
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(1 << 16):
                answer += part
        except OSError:  # the server closed the connection, or says nothing
            pass
    return answer


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_http(serving: Serving, kind: str) -> None:
    clock = Clock()
    answer = send(serving.place, MALFORMED[kind])
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:200]
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert all(status < 500 or status in (501, 505) for status in statuses), statuses
    for secret in (b"Traceback", b"root:", b'.py"'):
        assert secret not in answer
    ask_health(serving, clock)


def test_a_request_hidden_behind_another_is_not_answered(serving: Serving) -> None:
    """A proxy that goes by the length and a server that goes by the chunks would see different requests."""
    answer = send(serving.place, MALFORMED["a length and chunks"])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"cimnet_requests_total" not in answer


@pytest.fixture
def many_files() -> Iterator[int]:
    """Raise the number of files that this process may open; how many there are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield max(soft, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("said", [b"", b"POST /predict HTTP/1.1\r\nHost: a\r\n"], ids=["silent", "half a request"])
def test_1500_idle_connections(serving: Serving, many_files: int, said: bytes) -> None:
    """A client and its server are two files of this process each."""
    if many_files < 3500:
        pytest.skip(f"this system allows {many_files} open files")
    clock = Clock()
    with ExitStack() as stack:
        for _ in range(1500):
            client = stack.enter_context(socket.create_connection(serving.place, timeout=30))
            if said:
                client.sendall(said)
        for _ in range(5):
            ask_health(serving, clock)
        answer = httpx.post(f"{serving.address}/predict", content=form(pair(0).files), headers=FORM, timeout=60)
        assert answer.status_code == 200
    ask_health(serving, clock)
