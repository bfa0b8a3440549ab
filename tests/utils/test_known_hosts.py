"""Which Host headers a server takes for its own."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from cimnet.errors import ConfigError
from cimnet.utils.known_hosts import KnownHosts, names_of


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "answered"})


def guarded(host: str, *allowed: str) -> KnownHosts:
    return KnownHosts(_answer, names_of(host, allowed))


def ask(guard: KnownHosts, *hosts: str, kind: str = "http") -> list[dict[str, Any]]:
    """What is sent for a request with these Host headers."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": kind, "headers": [(b"accept", b"*/*"), *((b"host", host.encode("latin-1")) for host in hosts)]}
    asyncio.run(guard(scope, None, send))
    return sent


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> KnownHosts:
    """Of a machine ``gpu3.lab.example`` that listens to everybody, behind a proxy."""
    monkeypatch.setattr(socket, "gethostname", lambda: "GPU3.lab.example")
    return guarded("0.0.0.0", "Masks.example.org")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "192.168.0.7",
        "8.8.8.8",
        "[::1]:8000",
        "[fe80::1]",
        "localhost",
        "localhost.:8000",
        "a.localhost",
        "GPU3.lab.example:8000",
        "masks.example.org",
        "masks.example.org.:443",
        "cimnet:8000",
        "camera.local",
        "masks.svc.cluster.local",
        "rig.internal",
    ],
)
def test_names_of_this_server_pass(guard: KnownHosts, host: str) -> None:
    assert ask(guard, host) == [{"type": "answered"}]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "masks.example.org.evil.example",
        "evil-masks.example.org",
        "evillocal.example",
        "localhost@evil.example",
        "evil.example#.local",
        "evil.example:80:.local",
        "[evil.example]",
        "",
    ],
)
def test_names_of_others_are_refused_with_the_option_that_allows_them(guard: KnownHosts, host: str) -> None:
    start, end = ask(guard, host)
    assert start["status"] == 421
    body = json.loads(end["body"])
    assert body["status"] == 421
    assert "--allow-host " in body["remedy"]
    assert dict(start["headers"])[b"content-length"] == str(len(end["body"])).encode()


def test_the_remedy_can_be_followed(guard: KnownHosts) -> None:
    body = json.loads(ask(guard, "Maps.example.net:8443")[1]["body"])
    name = body["remedy"].rpartition("--allow-host ")[2]
    assert ask(guarded("0.0.0.0", name), "Maps.example.net:8443") == [{"type": "answered"}]


def test_one_unknown_name_of_two_is_enough(guard: KnownHosts) -> None:
    assert ask(guard, "localhost", "evil.example")[0]["status"] == 421


def test_no_header_passes_as_no_browser_sends_such_a_request(guard: KnownHosts) -> None:
    assert ask(guard) == [{"type": "answered"}]


def test_a_websocket_is_closed(guard: KnownHosts) -> None:
    assert ask(guard, "evil.example", kind="websocket") == [{"type": "websocket.close", "code": 1008}]
    assert ask(guard, "localhost", kind="websocket") == [{"type": "answered"}]


def test_a_star_allows_every_name() -> None:
    guard = guarded("0.0.0.0", "*")
    assert ask(guard, "evil.example") == ask(guard, "") == [{"type": "answered"}]


def test_a_name_that_is_listened_on_passes_and_no_resolver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> str:
        raise AssertionError("asked")

    for name in ("getfqdn", "gethostbyaddr", "gethostbyname", "getaddrinfo"):
        monkeypatch.setattr(socket, name, fail)
    assert ask(guarded("127.0.0.1"), "evil.example")[0]["status"] == 421
    assert ask(guarded("Rig.example.org"), "rig.example.org:8008") == [{"type": "answered"}]


@pytest.mark.parametrize("name", ["https://a.example", "a.example:8000", "a.example/x", "", "*.a.example", "a b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"--allow-host .*: not a host name"):
        names_of("0.0.0.0", [name])
