"""The files of a request, received without trusting its headers: bytes are counted as they come."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from typing import IO

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from cimnet.deploy.serve.failures import Failure

FIELDS = ("rgb", "thermal")
_EXAMPLE = "send the files as a form: curl -F rgb=@rgb.png -F thermal=@thermal.png …/predict"


_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,100}")
_IN_MEMORY, _CHUNK = 1 << 20, 1 << 16


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuse parameters of the address that the route does not have, or that are given twice.

    Raises:
        Failure: 422, naming the parameter.
    """
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            there = f"there is {', '.join(known)}" if known else f"{request.url.path} has none"
            raise Failure(422, f"unknown parameter {name[:50]!r}", there)
        if given.count(name) > 1:
            raise Failure(422, f"{name}: given twice", "give it once")


async def receive_uploads(request: Request, max_bytes: int, pool: Executor) -> dict[str, UploadFile]:
    """The files ``rgb`` and ``thermal`` of a form, or the one that is there. Up to 1 MB of each is in memory, the
    rest in unnamed temporary files.

    The form is taken apart in a thread of ``pool``, when all of it has come: some forms take long. A charset that the
    client names is ignored; names are UTF-8.

    Raises:
        Failure: 413 as soon as more than ``max_bytes`` came or were announced; 415 for a body that is not a form; 400
            for a damaged one; 422 for fields that are unknown, given twice or not files, or when there is none.
        ClientDisconnect: the client left.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise Failure(415, "the body is not multipart/form-data", _EXAMPLE)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > max_bytes:
        raise _too_large(max_bytes)
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise Failure(400, "the form cannot be read: Missing boundary in multipart.", _EXAMPLE)
    body = await _receive(request, max_bytes)
    try:
        form = await asyncio.get_running_loop().run_in_executor(pool, _parse, boundary, body)
    except MultiPartException as error:
        raise Failure(400, f"the form cannot be read: {error.message}", _EXAMPLE) from error
    try:
        return _check(form.multi_items())
    except Failure:
        await form.close()
        raise


async def _receive(request: Request, max_bytes: int) -> IO[bytes]:
    """The body, from its beginning."""
    body = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # whoever parses it closes it
    try:
        async for chunk in _counted(request, max_bytes):
            body.write(chunk)
    except BaseException:
        body.close()
        raise
    body.seek(0)
    return body


def _parse(boundary: bytes, body: IO[bytes]) -> FormData:
    """Take a form apart, and close the body.

    Raises:
        MultiPartException: it is damaged.
    """

    async def chunks() -> AsyncGenerator[bytes, None]:
        while chunk := body.read(_CHUNK):
            yield chunk

    headers = Headers({"content-type": f'multipart/form-data; boundary="{boundary.decode("ascii")}"'})
    with body:
        return asyncio.run(MultiPartParser(headers, chunks(), max_files=2, max_fields=2).parse())


def _check(items: list[tuple[str, UploadFile | str]]) -> dict[str, UploadFile]:
    files: dict[str, UploadFile] = {}
    for name, value in items:
        if name not in FIELDS:
            raise Failure(422, f"unknown field {name[:50]!r}", "there are the fields rgb and thermal")
        if not isinstance(value, UploadFile):
            raise Failure(422, f"{name}: is text, not a file", _EXAMPLE)
        if name in files:
            raise Failure(422, f"{name}: given twice", "send one pair a request")
        if value.filename or value.size:  # browsers send an empty part for a file that was not chosen
            files[name] = value
    if not files:
        raise Failure(422, "rgb and thermal are both missing", f"send at least one of them; {_EXAMPLE}")
    return files


async def _counted(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> Failure:
    return Failure(
        413,
        f"the request is larger than {max_bytes / 1e6:g} MB",
        "send less, or start the server with a larger --max-mb",
    )
