"""A real server in a thread, for attacks by sockets."""

from __future__ import annotations

import threading
import time
from typing import Any

import uvicorn

from cimnet.deploy.serve import ServeOptions, create_app
from cimnet.deploy.serve.run_server import _Server
from cimnet.inference import Predictor


class Serving:
    """The server, until the context ends; `place`: its (host, port)."""

    def __init__(self, predictor: Predictor, **options: Any) -> None:
        app = create_app(predictor, ServeOptions(**options))
        config = uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=30)
        self.server = _Server(config, app.state.service)
        self.thread = threading.Thread(target=self.server.run)

    def __enter__(self) -> Serving:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.place: tuple[str, int] = self.server.servers[0].sockets[0].getsockname()
        self.address = "http://{}:{}".format(*self.place)
        return self

    def stop(self) -> float:
        """Do what SIGTERM does; seconds until the end."""
        began = time.monotonic()
        self.server.should_exit = True
        self.thread.join(60)
        assert not self.thread.is_alive()
        return time.monotonic() - began

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(60)
