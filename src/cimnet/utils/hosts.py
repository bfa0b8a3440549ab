"""Addresses that servers listen on, and requests that no server should accept."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from cimnet.errors import ConfigError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address, not listening yet.

    Raises:
        ConfigError: no such host, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {host}: {error.strerror or error}; give an address of this machine") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        reason = error.strerror or error
        raise ConfigError(f"--host {host} --port {port}: cannot be used ({reason}); choose another") from error
    return listener


def has_two_lengths(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request says two lengths of its body: a proxy that goes by Content-Length and a server that goes by
    chunks would see different requests (RFC 9112, section 6.1). Such a request is refused, and its connection ends.

    Args:
        headers: as ASGI gives them, names in lower case.
    """
    names = {name for name, _ in headers}
    return {b"transfer-encoding", b"content-length"} <= names
