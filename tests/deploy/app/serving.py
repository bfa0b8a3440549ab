"""A server of the page in a thread of its own, for tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from cimnet.deploy.app.server import build_app
from cimnet.deploy.app.uploads import Limits
from cimnet.inference import Predictor


@contextmanager
def served(predictor: Predictor, limits: Limits) -> Iterator[str]:
    """The address of a page on a free port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(build_app(predictor, limits, "tiny"), log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
