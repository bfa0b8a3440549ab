"""The names under which a server answers: a guard against DNS rebinding.

The owner of a web page can let the page's name lead to an address behind the visitor's firewall. The browser then takes
the server there for the page's own, and the page may read its answers. The Host header still holds the page's name.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

from cimnet.errors import ConfigError
from cimnet.utils.hosts import is_loopback

OPTION = "--allow-host"
_HEADER = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]]+)(?::\d*)?")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_NOT_PUBLIC = (".localhost", ".local", ".internal", ".home.arpa")
"""Domains that the public DNS does not have: RFC 6761, RFC 6762, ICANN's decision of July 2024 and RFC 8375."""


class KnownHosts:
    """ASGI middleware that refuses requests whose Host header names another site, with 421 and one line of JSON.

    It passes IP addresses, names that no stranger can own (without a dot, or in a domain that the public DNS does not
    have), the names of this machine and those that are allowed. A request without the header passes: browsers send it.

    Args:
        app: the application behind it.
        names: those of this machine and those that are allowed, from :func:`names_of`.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], names: Collection[str]) -> None:
        self.app, self.names = app, frozenset(names)

    def knows(self, header: str) -> bool:
        """Whether a Host header, with or without a port, is one of this server."""
        if "*" in self.names:
            return True
        name = _name_in(header)
        if name is None:
            return False
        return name in self.names or "." not in name or name.endswith(_NOT_PUBLIC) or _is_address(name)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        hosts = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"]
        unknown = next((host for host in hosts if not self.knows(host)), None)
        if unknown is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(unknown, send)


def names_of(host: str, allowed: Iterable[str] = ()) -> set[str]:
    """The names of a server for :class:`KnownHosts`, in lower case.

    Args:
        host: name or address that the server listens on. If other machines can reach it, the name that this machine
            gives itself is included.
        allowed: further names, such as ``masks.example.org``; ``*`` lets every name pass.

    Raises:
        ConfigError: an allowed name has a scheme, a port or a path.
    """
    names = {host.lower(), *(_checked(name) for name in allowed)}
    if not is_loopback(host):
        names.add(socket.gethostname().lower())  # not getfqdn, which asks the network's name server
    return names


def _checked(name: str) -> str:
    """An allowed name in lower case."""
    small = name.lower().removesuffix(".")
    if name != "*" and not _NAME.fullmatch(small):
        raise ConfigError(
            f"{OPTION} {name}: not a host name; give one without scheme, port and path, such as masks.example.org, or *"
        )
    return small


def _name_in(header: str) -> str | None:
    """The name or address in a Host header, in lower case and without the port; None: the header holds none."""
    match = _HEADER.fullmatch(header.strip().lower())
    return None if match is None else match[1].removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


async def _refuse(host: str, send: Any) -> None:
    remedy = f"use the server's IP address, or start it with {OPTION} {(_name_in(host) or 'NAME')[:255]}"
    content = {"status": 421, "message": f"this server is not known as {host[:255]}", "remedy": remedy}
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),  # the body is not read
    ]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body})
