"""Counters for Prometheus, in a registry of the app's own."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/predict", "/health", "/metrics", "/openapi.json")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The counters of the server.

    Args:
        waiting: gives the number of pairs that wait for the model now.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "cimnet_requests",
            "Answers by status; 499: the client left",
            ("path", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "cimnet_predict_seconds", "From a request to its mask", buckets=_SECONDS, registry=self.registry
        )
        self.batch_size = Histogram(
            "cimnet_batch_size", "Pairs in one pass of the model", buckets=_SIZES, registry=self.registry
        )
        self.in_hand = Gauge("cimnet_requests_in_hand", "Requests to /predict being served", registry=self.registry)
        queue = Gauge("cimnet_queue_length", "Decoded pairs that wait for the model", registry=self.registry)
        queue.set_function(waiting)

    def text(self) -> bytes:
        """Return the counters in Prometheus's text format."""
        return generate_latest(self.registry)


class CountRequests:
    """ASGI middleware that counts answers and times masks."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.monotonic(), 500  # what an exception becomes further out

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            path = scope["path"] if scope["path"] in PATHS else "other"
            self.metrics.requests.labels(path, str(status)).inc()
            if path == "/predict" and status == 200:
                self.metrics.seconds.observe(time.monotonic() - start)
