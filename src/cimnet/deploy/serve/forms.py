"""The files of a request, received without trusting its headers: bytes are counted as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from cimnet.deploy.serve.failures import Failure

FIELDS = ("rgb", "thermal")
_EXAMPLE = "send the files as a form: curl -F rgb=@rgb.png -F thermal=@thermal.png …/predict"


async def receive_uploads(request: Request, max_bytes: int) -> dict[str, UploadFile]:
    """The files ``rgb`` and ``thermal`` of a form, or the one that is there. Up to 1 MB of each is in memory, the
    rest in unnamed temporary files.

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
    parser = MultiPartParser(request.headers, _counted(request, max_bytes), max_files=2, max_fields=2)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Failure(400, f"the form cannot be read: {error.message}", _EXAMPLE) from error
    try:
        return _check(form.multi_items())
    except Failure:
        await form.close()
        raise


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
