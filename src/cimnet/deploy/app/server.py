"""Serve the page: bounds, headers, temporary files."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cimnet.deploy.app.uploads import Limits
from cimnet.inference import Predictor
from cimnet.utils.extras import require
from cimnet.utils.hosts import bind
from cimnet.utils.known_hosts import KnownHosts, names_of

if TYPE_CHECKING:
    from fastapi import FastAPI

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Sent with every answer: the browser loads nothing from other hosts, whatever the page says."""


def mount(app: FastAPI, predictor: Predictor, path: str, limits: Limits | None = None, name: str = "model") -> FastAPI:
    """Put the page into a FastAPI application of your own, with the limits of the command.

    Args:
        app: the application.
        predictor: the model, from :func:`cimnet.load`.
        path: where the page is, such as ``/segment``.
        limits: bounds on uploads, visitors and disk. None: the defaults.
        name: shown on the page as the model's name.

    Returns:
        ``app``.

    Raises:
        ConfigError: the extra ``app`` is not installed, or the model's second images have several channels.
    """
    gradio = _gradio()
    from cimnet.deploy.app.gradio_private import (
        bound_sessions,
        cache_folder,
        check_paths,
        event_inputs,
        keep_streams_open,
    )
    from cimnet.deploy.app.guard import Guard
    from cimnet.deploy.app.page import build
    from cimnet.deploy.app.style import CSS, theme

    predictor.info.second.require_one_channel("cimnet app", "`cimnet serve` and `predict` take several")
    limits = limits or Limits()
    page = build(predictor, limits, name)
    page.queue(max_size=limits.queue, default_concurrency_limit=1, api_open=False)
    keep_streams_open(page)
    check_paths(page)
    bound_sessions(page, limits.sessions)
    gradio.mount_gradio_app(
        app,
        page,
        path,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=limits.bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css_paths=CSS,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )
    app.add_middleware(Guard, prefix=path, limits=limits, inputs=partial(event_inputs, page), folder=cache_folder(page))
    return app


def build_app(predictor: Predictor, limits: Limits | None = None, name: str = "model") -> FastAPI:
    """An application with the page alone, at ``/``, that sends `HEADERS` with every answer.

    Args:
        predictor, limits, name: as in :func:`mount`.

    Raises:
        ConfigError: as :func:`mount`.
    """
    _gradio()
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    mount(app, predictor, "/", limits, name)
    app.add_middleware(_Headers)
    return app


def serve(
    predictor: Predictor,
    host: str = "127.0.0.1",
    port: int = 7860,
    limits: Limits | None = None,
    name: str = "model",
    ready: Callable[[str], None] = lambda address: None,
    allow_hosts: Iterable[str] = (),
) -> None:
    """Serve until interrupted (Ctrl-C or SIGTERM), then return. Files of visitors lie in a folder of this run, which is
    removed at the end.

    Args:
        predictor: the model, from :func:`cimnet.load`.
        host, port: address to listen on; port 0 takes a free one.
        limits: bounds on uploads, visitors and disk. None: the defaults of :class:`Limits`.
        name: shown on the page as the model's name.
        ready: called with the page's address before the first request is answered.
        allow_hosts: names under which browsers may open the page, in addition to IP addresses and the names of this
            machine; ``*``: any name. Other Host headers are refused with 421.

    Raises:
        ConfigError: the extra ``app`` is not installed, the address cannot be used, or an allowed name is no host name.
    """
    _gradio()
    import uvicorn

    names = names_of(host, allow_hosts)
    listener = bind(host, port)
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="cimnet-app-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder).resolve())
        try:
            app = KnownHosts(build_app(predictor, limits, name), names)
            shown = f"[{host}]" if ":" in host else host
            ready(f"http://{shown}:{listener.getsockname()[1]}")
            config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
            with _ended_by_signals():
                uvicorn.Server(config).run([listener])
        finally:
            listener.close()
            os.environ.pop("GRADIO_TEMP_DIR")
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Uvicorn stops at a signal and then sends it once more, which would end the process before it has tidied up."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, end)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _gradio() -> Any:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    return require("gradio", "app", "cimnet app")


class _Headers:
    """Adds `HEADERS` to every answer; ASGI, so that streams are not held back."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, receive, with_headers)
