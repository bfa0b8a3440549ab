"""The application: its routes, and the path of a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Query, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from cimnet.deploy.serve.answers import Format, encode
from cimnet.deploy.serve.batcher import Batcher, Job
from cimnet.deploy.serve.failures import CLIENT_GONE, Failure, add_handlers, busy
from cimnet.deploy.serve.forms import receive_uploads, refuse_unknown_parameters
from cimnet.deploy.serve.image_parts import decode
from cimnet.deploy.serve.one_length import RefuseTwoLengths
from cimnet.deploy.serve.options import ServeOptions
from cimnet.deploy.serve.prometheus import CountRequests, Metrics
from cimnet.inference import Predictor
from cimnet.utils.extras import require
from cimnet.utils.numbers import pluralize
from cimnet.version import __version__

T = TypeVar("T")
LAST_BATCH = 30.0
"""Seconds that what is in the model may still take when the time for a polite end is over."""
_FILE = {"type": "string", "format": "binary"}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "properties": {"rgb": _FILE, "thermal": _FILE}}}
        },
    },
    "responses": {"200": {"description": "The mask", "content": {"image/png": {}, "application/json": {}}}},
}


def create_app(predictor: Predictor, options: ServeOptions | None = None) -> FastAPI:
    """An ASGI application that serves one model. Run it in one process: two processes load two models. It does not
    check the Host header; :func:`cimnet.deploy.serve.run_server` does.

    Args:
        predictor: from :func:`cimnet.load`, with ``options.windows_at_once`` as its ``batch_size``.
        options: limits of the server. None: the defaults.

    Raises:
        CheckpointError: the checkpoint's alarm is of another version.
        ConfigError: the second image has several channels, and the extra that reads them is not installed.
    """
    service = Service(predictor, options or ServeOptions())
    app = FastAPI(
        title="cimnet",
        version=__version__,
        lifespan=service.lifespan,
        dependencies=[Depends(refuse_unknown_parameters)],
        docs_url=None,
        redoc_url=None,
    )  # the pages of docs_url load scripts from elsewhere
    app.add_middleware(CountRequests, metrics=service.metrics)
    if service.options.allow_origins:  # no credentials: the server knows none
        app.add_middleware(
            CORSMiddleware, allow_origins=list(service.options.allow_origins), allow_methods=["GET", "POST"]
        )
    app.add_middleware(RefuseTwoLengths)
    app.add_api_route("/predict", service.predict, methods=["POST"], openapi_extra=_FORM, response_class=Response)
    app.add_api_route("/health", service.health, methods=["GET", "HEAD"])
    app.add_api_route("/metrics", service.metrics_text, methods=["GET"], response_class=Response)
    add_handlers(app)
    app.state.service = service
    return app


class Service:
    """The state that the routes share."""

    def __init__(self, predictor: Predictor, options: ServeOptions) -> None:
        if predictor.info.second.channels > 1:
            require("rasterio", "geo", f"cimnet serve with {predictor.info.second}")  # for files of several bands
        self.predictor, self.options = predictor, options
        self.metrics = Metrics(lambda: len(self.batcher))
        self.batcher = Batcher(predictor, options, self.metrics.batch_size.observe)
        self.pool = ThreadPoolExecutor(options.decoders, "cimnet-decode")
        self.in_hand = 0
        self.receiving: set[asyncio.Future[Any]] = set()
        self.stopping = False
        self.has_alarm = predictor.has_alarm
        if self.has_alarm:
            predictor.alarm_model()  # one of another version is an error now, not at a request

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Start the worker; at the end let it finish what waits."""
        self.batcher.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.batcher.close, LAST_BATCH)
            self.pool.shutdown(wait=False, cancel_futures=True)

    def give_up(self) -> None:
        """The grace period is over: answer requests that are not in the model with 503. Called in the event loop."""
        self.stopping = True
        self.batcher.give_up()
        for request in tuple(self.receiving):
            request.cancel()

    async def health(self) -> JSONResponse:
        """Whether the server lives and takes pairs, and what it serves."""
        ready = self.batcher.ready
        content = {
            "live": True,
            "ready": ready,
            "model": self.predictor.info.name,
            "classes": self.predictor.classes,
            "alarm": self.has_alarm,
            "version": __version__,
        }
        return JSONResponse(content, 200 if ready else 503)

    async def metrics_text(self) -> Response:
        """Counters for Prometheus."""
        return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def predict(self, request: Request, format: Annotated[Format, Query()] = "png") -> Response:
        """Segment one pair, or one image of it: a PNG of class ids, JSON, or an overlay."""
        if self.in_hand >= self.options.in_hand:
            raise busy(f"{pluralize(self.in_hand, 'request')} in hand")
        self.in_hand += 1
        self.metrics.in_hand.set(self.in_hand)
        try:
            return await self._predict(request, format)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        finally:
            self.in_hand -= 1
            self.metrics.in_hand.set(self.in_hand)

    async def _predict(self, request: Request, kind: Format) -> Response:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.options.timeout_s
        files = await self._receive(request)
        gone = asyncio.create_task(_gone(request))
        try:
            sources = {name: upload.file for name, upload in files.items()}
            decoding = loop.run_in_executor(self.pool, decode, self.predictor, sources, self.options.max_pixels)
            rgb, thermal = await self._within(decoding, gone, deadline, "decoded")
            job = Job(rgb, thermal, alarm=kind == "json" and self.has_alarm and len(files) == 2)
            self.batcher.submit(job)
            try:
                mask, alarm = await self._within(asyncio.wrap_future(job.future), gone, deadline, "predicted")
            finally:
                self.batcher.cancel(job)
            background = rgb if "rgb" in files else thermal
            encoding = loop.run_in_executor(self.pool, encode, self.predictor, kind, mask, alarm, background)
            body, media_type = await self._within(encoding, gone, deadline, "answered")
            return Response(body, media_type=media_type)
        finally:
            gone.cancel()
            for upload in files.values():
                with suppress(OSError, ValueError):
                    upload.file.close()

    async def _receive(self, request: Request) -> dict[str, UploadFile]:
        receiving = asyncio.ensure_future(receive_uploads(request, self.options.max_bytes, self.pool))
        self.receiving.add(receiving)
        receiving.add_done_callback(self.receiving.discard)
        try:
            return await asyncio.wait_for(receiving, self.options.timeout_s)
        except asyncio.CancelledError as error:
            if self.stopping:
                raise busy("it is stopping") from error
            raise
        except TimeoutError as error:
            message = f"the request did not arrive within {self.options.timeout_s:g} s"
            raise Failure(408, message, "send smaller files or use a faster connection") from error

    async def _within(self, work: asyncio.Future[T], gone: asyncio.Task[None], deadline: float, verb: str) -> T:
        """The result of some work, which is given up when the time is over or the client has left.

        Raises:
            Failure: 504, or what the work raised.
            ClientDisconnect: the client left.
        """
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        either: set[asyncio.Future[Any]] = {work, gone}
        try:
            await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if gone.done():
                raise ClientDisconnect
            message = f"the pair was not {verb} within {self.options.timeout_s:g} s of its arrival"
            raise Failure(504, message, "try again later, send smaller images, or start the server with --timeout-s")
        finally:
            work.cancel()


async def _gone(request: Request) -> None:
    """Ends when the client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
