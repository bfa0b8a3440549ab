"""A file server on the loopback that can misbehave as real ones do, and remembers what it was asked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from .http_server import serving


@dataclass
class Served:
    """A file: its bytes, what tells its state (None: nothing does) and whether parts of it can be had."""

    body: bytes = field(repr=False)
    etag: str | None = '"1"'
    ranges: bool = True
    if_range: bool = True


Move = Callable[["Handler", Served], None]
"""What happens at one request instead of sending the file as asked."""


@dataclass
class Server:
    """Files by name; `moves` of a name are played one a request, then it is served as it should be."""

    base: str
    files: dict[str, Served] = field(default_factory=dict)
    moves: dict[str, list[Move]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list, repr=False)
    sent: int = 0  # bytes of bodies

    def put(self, name: str, body: bytes, *moves: Move, etag: str | None = '"1"', ranges: bool = True) -> str:
        """Serve a file; returns its address."""
        self.files[name] = Served(body, etag, ranges)
        self.moves[name] = list(moves)
        return f"{self.base}/{name}"

    def ranges(self, name: str) -> list[str | None]:
        """The Range of every request for a file so far."""
        return [headers.get("Range") for asked, headers in self.requests if asked == name]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_test: Server

    def do_GET(self) -> None:
        name, book = self.path.lstrip("/").partition("?")[0], self.server_of_test
        book.requests.append((name, dict(self.headers.items())))
        if name not in book.files:
            return self.reply(404, b"not here")
        moves = book.moves.get(name)
        if moves:
            moves.pop(0)(self, book.files[name])
        else:
            self.serve(book.files[name])

    def serve(self, file: Served, stop: int | None = None, length: bool = True) -> None:
        """Send the file, or the part asked for; only `stop` bytes of it, and without Content-Length if so told."""
        start, asked = 0, re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = not file.if_range or self.headers.get("If-Range") in (None, file.etag)
        if asked and file.ranges and same:
            start = int(asked[1])
            if start >= len(file.body):
                return self.reply(416, b"", {"Content-Range": f"bytes */{len(file.body)}"})
        body = file.body[start:]
        headers = {"ETag": file.etag} if file.etag is not None else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(file.body) - 1}/{len(file.body)}"
        if length:
            headers["Content-Length"] = str(len(body))
        self.reply(206 if start else 200, body[:stop], headers)

    def reply(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        headers = {"Content-Length": str(len(body))} if headers is None else headers
        self.send_response(code)
        for key, value in {"Connection": "close", **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.server_of_test.sent += len(body)
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def drop(after: int) -> Move:
    """The connection breaks after so many bytes of the body."""
    return lambda handler, file: handler.serve(file, stop=after)


def without_length(stop: int | None = None) -> Move:
    """No Content-Length: nothing but the end of the connection tells that the body is over."""
    return lambda handler, file: handler.serve(file, stop=stop, length=False)


def answer(code: int, body: bytes = b"", **headers: str) -> Move:
    """Another answer altogether; underscores in the names of headers stand for hyphens."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda handler, file: handler.reply(code, body, {"Content-Length": str(len(body)), **named})


def replaced(body: bytes, etag: str, if_range: bool = True) -> Move:
    """The file has become another one; without `if_range` the server sends the part asked for all the same."""

    def move(handler: Handler, file: Served) -> None:
        file.body, file.etag, file.if_range = body, etag, if_range
        handler.serve(file)

    return move


def stall(after: int, seconds: float) -> Move:
    """So many bytes, then silence."""

    def move(handler: Handler, file: Served) -> None:
        handler.serve(file, stop=after)
        handler.wfile.flush()
        time.sleep(seconds)

    return move


def slowly(body: bytes, first: int) -> Move:
    """Another body, so many bytes of it a moment before the rest."""

    def move(handler: Handler, file: Served) -> None:
        handler.reply(200, body[:first], {"Content-Length": str(len(body))})
        handler.wfile.flush()
        time.sleep(0.05)
        handler.wfile.write(body[first:])

    return move


@contextmanager
def running() -> Iterator[Server]:
    """A server on a free port of 127.0.0.1, for as long as the block runs."""

    class Bound(Handler):
        pass

    with serving(Bound) as address:
        Bound.server_of_test = Server(address)
        yield Bound.server_of_test
