"""Error answers: always JSON, with a remedy, never a path or a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from cimnet.errors import one_line

RETRY_AFTER = {"Retry-After": "1"}
CLIENT_GONE = 499
"""Status under which requests are counted whose client left; nobody reads it."""

_REMEDIES = {
    404: "there are POST /predict, GET /health, GET /metrics and GET /openapi.json",
    405: "POST to /predict, GET /health and /metrics",
}


class Failure(Exception):
    """An answer other than 200.

    Args:
        status: HTTP status.
        message: what is wrong and where.
        remedy: what to do about it.
    """

    def __init__(self, status: int, message: str, remedy: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.remedy, self.headers = status, message, remedy, headers

    @classmethod
    def of(cls, status: int, error: Exception, names: Mapping[Path, str]) -> Failure:
        """A one-line error of this package; paths in it are replaced by the names of the fields they came from."""
        text = one_line(error, None)
        for path, name in names.items():
            text = text.replace(str(path), name)
        message, _, remedy = text.partition("; ")
        return cls(status, message, remedy or "check the file and send another")

    def response(self) -> JSONResponse:
        """Return the failure as JSON: status, message, remedy."""
        content = {"status": self.status, "message": self.message, "remedy": self.remedy}
        return JSONResponse(content, self.status, dict(self.headers or {}))


def busy(what: str) -> Failure:
    """503 with Retry-After."""
    return Failure(503, f"the server is busy: {what}", "try again after the seconds in Retry-After", RETRY_AFTER)


def add_handlers(app: FastAPI) -> None:
    """Give every error of the app this form, also those of the framework and those nobody expected."""

    async def failure(request: Request, error: Exception) -> Response:
        assert isinstance(error, Failure)
        return error.response()

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        remedy = _REMEDIES.get(error.status_code, "see the documentation of `cimnet serve`")
        message = f"{request.method} {request.url.path[:100]}: {HTTPStatus(error.status_code).phrase}"
        return Failure(error.status_code, message, remedy, error.headers).response()

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        return Failure(422, f"{name}: {first['msg']}", "correct it; GET /openapi.json lists what is allowed").response()

    async def unexpected(request: Request, error: Exception) -> Response:
        return Failure(500, "the server failed on this request", "try again; the server's log says more").response()

    app.add_exception_handler(Failure, failure)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unexpected)
