"""A page that shows the run in a browser: the overlay as motion JPEG, the legend, rates and alarms."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.deploy.video.live.session import LiveResult
from cimnet.utils.colors import Color
from cimnet.utils.extras import require
from cimnet.utils.hosts import bind
from cimnet.utils.known_hosts import KnownHosts, names_of
from cimnet.utils.templates import load_templates

BOUNDARY = "cimnet-frame"
VIEWERS = 8
"""Browsers that are shown the stream at once; more get 503."""
_QUALITY = 80


class LivePage:
    """A small web server in a thread of its own. Only the newest picture is kept; it is coded when somebody looks.

    Args:
        classes, colors: names and colours of the legend, in the order of the class ids.
        status: returns what ``/status.json`` says.
        host, port: address to listen on; port 0 takes a free one.
        allow_hosts: names under which browsers may open the page, in addition to those of this machine.

    Raises:
        ConfigError: the extra ``serve`` is missing, the address cannot be used, or an allowed name is none.
    """

    def __init__(
        self,
        classes: Sequence[str],
        colors: Sequence[Color],
        status: Callable[[], dict[str, Any]],
        host: str,
        port: int,
        allow_hosts: Iterable[str] = (),
    ) -> None:
        uvicorn = require("uvicorn", "serve", "the page of `cimnet live`")
        self._html = (
            load_templates(__package__, "templates")
            .get_template("live.html")
            .render(entries=list(zip(classes, colors, strict=True)))
        )
        self._status, self._viewers = status, 0
        self._newest: tuple[int, npt.NDArray[np.uint8]] | None = None
        self._alarm: dict[str, Any] | None = None
        app = KnownHosts(self._app(), names_of(host, allow_hosts))
        self._socket = bind(host, port)
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="live page", daemon=True
        )

    def __enter__(self) -> LivePage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(5.0)
        with suppress(OSError):
            self._socket.close()

    def show(self, result: LiveResult) -> None:
        """Show a result to whoever looks."""
        if result.alarm is not None:
            chances = {name: round(float(value), 3) for name, value in result.alarm.probabilities.items()}
            self._alarm = {"raised": list(result.alarm.raised), "probabilities": chances}
        elif result.sensors != "both":
            self._alarm = None
        self._newest = result.number, result.picture

    def _app(self) -> Any:
        from starlette.applications import Starlette
        from starlette.routing import Route

        routes = [
            Route("/", self._page),
            Route("/status.json", self._state),
            Route("/stream.mjpg", self._stream),
        ]
        return Starlette(routes=routes)

    async def _page(self, _: Any) -> Any:
        from starlette.responses import HTMLResponse

        return HTMLResponse(self._html, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"})

    async def _state(self, _: Any) -> Any:
        from starlette.responses import JSONResponse

        return JSONResponse({**self._status(), "alarm": self._alarm})

    async def _stream(self, _: Any) -> Any:
        from starlette.responses import PlainTextResponse, StreamingResponse

        if self._viewers >= VIEWERS:
            return PlainTextResponse(f"{VIEWERS} browsers look already", status_code=503)
        return StreamingResponse(self._parts(), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    async def _parts(self) -> AsyncIterator[bytes]:
        self._viewers += 1
        try:
            last = -1
            while not self._server.should_exit:
                newest = self._newest
                if newest is None or newest[0] == last:
                    await asyncio.sleep(0.01)
                    continue
                last = newest[0]
                jpeg = await asyncio.to_thread(_encode, newest[1])
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                yield head.encode() + jpeg + b"\r\n"
        finally:
            self._viewers -= 1


def _encode(picture: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
