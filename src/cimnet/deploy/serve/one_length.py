"""Requests that say two lengths of their body are refused, and their connection ends."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from cimnet.deploy.serve.failures import Failure
from cimnet.utils.hosts import has_two_lengths


class RefuseTwoLengths:
    """ASGI middleware against request smuggling, see `has_two_lengths`: what follows such a request is not read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if has_two_lengths(scope.get("headers", ())):
            message = "the request has a Content-Length and a Transfer-Encoding"
            failure = Failure(400, message, "send one of them", {"Connection": "close"})
            await failure.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)
