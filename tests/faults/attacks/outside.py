"""A server that counts who connects, and a resolver that nobody may ask."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_SERVER = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    with open(sys.argv[1], "ab") as file:
        file.write(b"x")
    client.settimeout(1)
    try:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    except OSError:
        pass
    client.close()
"""
_WATCH = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
static void note(const char *what, const char *name) {
    FILE *file = fopen(getenv("WATCH_LOG"), "a");
    if (file) { fprintf(file, "%s %s\n", what, name ? name : ""); fclose(file); }
}
int getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r) {
    note("getaddrinfo", n);
    return EAI_FAIL;
}
int connect(int fd, const struct sockaddr *address, socklen_t length) {
    if (address->sa_family == AF_INET || address->sa_family == AF_INET6) note("connect", "");
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    return real(fd, address, length);
}
"""


class Outside:
    """A server on the loopback, in a process of its own: native code may hold Python's lock while it waits for it."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self._log = port, log
        self.address = f"127.0.0.1:{port}"

    @property
    def connections(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0


@contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """The server, until the body ends."""
    log = folder / "connections"
    with subprocess.Popen([sys.executable, "-c", _SERVER, str(log)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Outside(int(process.stdout.readline()), log)
        finally:
            process.kill()


@contextmanager
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Inside, whatever Python code asks for a name or connects to is kept in the list, and fails."""
    asked: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        asked.append(repr(arguments[:2]))
        raise OSError("no network in this test")

    with monkeypatch.context() as patch:
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
            patch.setattr(socket, name, refuse)
        patch.setattr(socket.socket, "connect", lambda _, address: refuse(address))
        patch.setattr(socket.socket, "connect_ex", lambda _, address: refuse(address))
        yield asked


def watch_native(folder: Path) -> tuple[dict[str, str], Path]:
    """Environment for a process in which C code, too, is seen when it asks for a name or connects; and the log.

    Skips the test where there is no C compiler, or no such thing as LD_PRELOAD.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and LD_PRELOAD")
    (folder / "watch.c").write_text(_WATCH)
    library, log = folder / "watch.so", folder / "asked"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(folder / "watch.c"), "-ldl"]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("the C compiler makes no library here")
    return {**os.environ, "LD_PRELOAD": str(library), "WATCH_LOG": str(log)}, log
