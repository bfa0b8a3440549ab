"""Requests that say two lengths of their body are refused, and their connection ends."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from cimnet.deploy.serve.failures import Failure


class RefuseTwoLengths:
    """ASGI middleware against request smuggling: a proxy that goes by Content-Length and a server that goes by chunks
    would see different requests (RFC 9112, section 6.1), so what follows such a request is not looked at."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = [name for name, _ in scope.get("headers", ())]
        if b"transfer-encoding" in names and b"content-length" in names:
            message = "the request has a Content-Length and a Transfer-Encoding"
            failure = Failure(400, message, "send one of them", {"Connection": "close"})
            await failure.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)
