"""The server process: socket, signals, uvicorn."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import uvicorn
from PIL import Image

from cimnet.deploy.serve.options import ServeOptions
from cimnet.deploy.serve.service import LAST_BATCH, Service, create_app
from cimnet.inference import Predictor
from cimnet.utils.hosts import bind
from cimnet.utils.known_hosts import KnownHosts, names_of


def run_server(
    load: Callable[[], Predictor],
    options: ServeOptions,
    host: str = "127.0.0.1",
    port: int = 8000,
    on_start: Callable[[str], None] = print,
    allow_hosts: Iterable[str] = (),
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in hand and exit with code 0.

    Args:
        load: opens the model; called once the address is known to be free.
        options: limits of the server.
        host, port: address to listen on; port 0 takes a free one.
        on_start: called with the address, ``http://host:port``, when the model is loaded.
        allow_hosts: names under which clients may call the server, in addition to IP addresses and the names of this
            machine; ``*``: any name. Other Host headers are refused with 421.

    Raises:
        ConfigError: the address cannot be used, or an allowed name is no host name.
        CheckpointError: the model cannot be used.
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn hands them on when it has shut down
        signal.signal(number, _stop)
    with bind(host, port) as listener:
        names = names_of(host, allow_hosts)
        app = create_app(load(), options)
        config = uvicorn.Config(
            KnownHosts(app, names),
            server_header=False,
            timeout_graceful_shutdown=math.ceil(options.grace_s + LAST_BATCH),
            log_config=_to_stderr(),
        )
        name = f"[{host}]" if ":" in host else host
        on_start(f"http://{name}:{listener.getsockname()[1]}")
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = options.max_pixels  # also of pictures inside pictures; above twice that Pillow refuses
        try:
            _Server(config, app.state.service).run(sockets=[listener])
        finally:
            Image.MAX_IMAGE_PIXELS = before


class _Server(uvicorn.Server):
    """Gives up what is not in the model ``grace_s`` after a signal."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse connections, answer what is in hand, end."""
        asyncio.get_running_loop().call_later(self.service.options.grace_s, self.service.give_up)
        await super().shutdown(sockets)


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _to_stderr() -> dict[str, Any]:
    """uvicorn's logging, all of it on stderr."""
    config = {**uvicorn.config.LOGGING_CONFIG}
    config["handlers"] = {
        name: {**handler, "stream": "ext://sys.stderr"} for name, handler in config["handlers"].items()
    }
    return config
