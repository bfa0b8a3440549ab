"""The guard between the network and gradio: few routes, bodies counted as they arrive, events checked, disk bounded.

Gradio serves far more routes than the page needs; one of them fetches any address for anybody. It reads fields of forms
into memory without a bound, and runs events on whatever they hold.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cimnet.deploy.app.uploads import Limits
from cimnet.utils.hosts import has_two_lengths

_API = r"/gradio_api"
_READ = re.compile(
    rf"/?|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/(assets|static|svelte|_app)/.*"
    rf"|{_API}/(queue/(data|status)|heartbeat/[\w-]+|upload_progress|startup-events|info/?|app_id/?|user/?|theme\.css)"
    rf"|{_API}/file=(?!\w+:|//).+"
)
_WRITE = re.compile(rf"{_API}/(queue/join|upload|cancel|reset)/?")
_FORM_OVERHEAD = 100_000  # bytes of a form beside its file
_EVENT = 1_000_000  # bytes of an event: numbers and names of files
_YOUNG = 30.0  # seconds that a file is not removed for want of space
_WINDOW = 60.0


class Refused(Exception):
    """An answer other than gradio's: status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Guard:
    """ASGI middleware in front of the page at `prefix`; other paths pass.

    Args:
        inputs: by number of an event, what it takes, see `check_event`.
        folder: where gradio keeps files of visitors.
    """

    def __init__(
        self, app: ASGIApp, prefix: str, limits: Limits, inputs: Callable[[int], list[Any] | None], folder: Path
    ) -> None:
        self.app, self.prefix, self.limits, self.inputs, self.folder = app, prefix.rstrip("/"), limits, inputs, folder
        self._uploads: dict[str, deque[float]] = defaultdict(deque)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or not (path == self.prefix or path.startswith(f"{self.prefix}/")):
            await self.app(scope, receive, send)
            return
        inner = path.removeprefix(self.prefix)
        if has_two_lengths(scope.get("headers", ())):
            answer = {"detail": "the request has a Content-Length and a Transfer-Encoding"}
            await JSONResponse(answer, 400, {"Connection": "close"})(scope, receive, send)
            return
        try:
            if scope["method"] in ("GET", "HEAD") and _READ.fullmatch(inner):
                await self.app(scope, receive, send)
            elif scope["method"] == "POST" and _WRITE.fullmatch(inner):
                await self._write(inner, scope, receive, send)
            else:
                raise Refused(404, "there is nothing here")
        except Refused as refused:
            await JSONResponse({"detail": refused.words}, refused.status)(scope, receive, send)

    async def _write(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if "upload" in path:
            self._count_upload(scope)
            keep_below(self.folder, self.limits.disk_bytes)
            await self._pass_on(scope, receive, send, self.limits.bytes + _FORM_OVERHEAD)
            return
        body = await _whole(receive)
        if "join" in path:
            keep_below(self.folder, self.limits.disk_bytes)
            check_event(body, self.inputs)
        sent = False

        async def again() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        """Pass the body on as it arrives, up to this many bytes."""
        received, too_large, started = 0, False, False

        async def counted() -> Message:
            nonlocal received, too_large
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                too_large = True
                raise Refused(413, "the upload is too large")
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            if not too_large:
                started = True
                await send(message)

        try:
            await self.app(scope, counted, watched)
        except Exception:
            if not too_large:
                raise
        if too_large and not started:
            raise Refused(413, f"the upload is larger than the maximum of {self.limits.megabytes:g} MB")

    def _count_upload(self, scope: Scope) -> None:
        client, now = str((scope.get("client") or ("",))[0]), time.monotonic()
        for name in [name for name, times in self._uploads.items() if times and now - times[-1] > _WINDOW]:
            del self._uploads[name]
        times = self._uploads[client]
        while times and now - times[0] > _WINDOW:
            times.popleft()
        if len(times) >= self.limits.uploads:
            raise Refused(429, f"{self.limits.uploads} uploads per minute are accepted; wait and try again")
        times.append(now)


async def _whole(receive: Receive) -> bytes:
    """A body of an event.

    Raises:
        Refused: it is longer than `_EVENT`.
    """
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _EVENT:
            raise Refused(413, f"an event is longer than {_EVENT:,} bytes")
        if message["type"] != "http.request" or not message.get("more_body", False):
            return bytes(body)


def check_event(body: bytes, inputs: Callable[[int], list[Any] | None]) -> None:
    """Refuse an event that the page does not send.

    Args:
        inputs: by number of an event, the components whose values it takes; None: there is no such event.

    Raises:
        Refused: 422.
    """
    try:
        event = json.loads(body)
        number, data, session = event["fn_index"], event["data"], event["session_hash"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(422, "not an event of this page") from error
    if type(number) is not int or not isinstance(data, list):
        raise Refused(422, "not an event of this page")
    if not isinstance(session, str) or not re.fullmatch(r"[\w-]{1,100}", session):
        raise Refused(422, "an event of no session")
    components = inputs(number)
    if components is None or len(components) != len(data):
        raise Refused(422, "an event that the page does not have, or with other values than it takes")
    for component, value in zip(components, data, strict=True):
        if not _fits(component, value):
            label = getattr(component, "label", None) or type(component).__name__
            raise Refused(422, f"{str(label)[:60]}: a value that it cannot have")


def _fits(component: Any, value: Any) -> bool:
    """Whether a component of the page can have a value."""
    kind = type(component).__name__
    if kind == "Slider":
        low, high = component.minimum, component.maximum
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return number and low <= value <= high
    if kind == "Checkbox":
        return isinstance(value, bool)
    if kind == "Radio":
        return value is None or value in [choice[1] for choice in component.choices]
    if kind == "File":
        path = value.get("path") if isinstance(value, dict) else None
        return value is None or (isinstance(path, str) and ":" not in path[2:] and "\0" not in path)
    return value is None or kind != "State"  # what a state holds stays on the server


def keep_below(folder: Path, most: int) -> None:
    """Remove the oldest files until the folder has room.

    Raises:
        Refused: 503, the files that are left are too young to go.
    """
    files = []
    for path in folder.rglob("*"):
        try:
            state = path.stat()
        except OSError:  # somebody else removed it
            continue
        if path.is_file():
            files.append((state.st_mtime, state.st_size, path))
    total = sum(size for _, size, _ in files)
    now = time.time()
    for changed, size, path in sorted(files, key=lambda file: file[0]):
        if total <= most:
            return
        if now - changed > _YOUNG:
            path.unlink(missing_ok=True)
            total -= size
    if total > most:
        raise Refused(503, "the files of visitors fill the space set aside for them; try again in a minute")
