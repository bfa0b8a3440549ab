"""The limits of an endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cimnet.errors import check_fields

_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.\-\[\]:]+")


@dataclass(frozen=True)
class ServeOptions:
    """The limits of one server.

    Attributes:
        max_mb: largest body of a request, millions of bytes, at most 2000.
        max_pixels: largest image, pixels.
        queue: requests in hand in addition to those in the model; further ones are refused with 503.
        batch_size: largest number of pairs in one pass of the model; they have one size.
        batch_wait_ms: how long the first pair of a pass waits for others, milliseconds.
        timeout_s: time limit of a request from its first byte, seconds.
        grace_s: after a signal to stop, how long requests in hand may still be answered, seconds.
        decoders: number of threads that decode images and encode answers.
        allow_origins: origins of web pages that may use the server from a browser (CORS), such as
            ``https://maps.example.org``; ``*`` for any page. Empty: none.

    Raises:
        ConfigError: a field is out of range; the message names it.
    """

    max_mb: float = 20.0
    max_pixels: int = 4_000_000
    queue: int = 64
    batch_size: int = 16
    batch_wait_ms: float = 5.0
    timeout_s: float = 30.0
    decoders: int = 2
    grace_s: float = 20.0
    allow_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(
            self,
            ("max_mb", 0 < self.max_mb <= 2000, "more than 0, at most 2000"),
            ("max_pixels", 1 <= self.max_pixels <= 150_000_000, "1 to 150000000"),
            ("queue", self.queue >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("batch_wait_ms", 0 <= self.batch_wait_ms <= 10_000, "0 to 10000"),
            ("timeout_s", 0 < self.timeout_s <= 3600, "more than 0, at most 3600"),
            ("grace_s", 0 <= self.grace_s <= 3600, "0 to 3600"),
            ("decoders", self.decoders >= 1, "at least 1"),
            (
                "allow_origins",
                all(_ORIGIN.fullmatch(origin) for origin in self.allow_origins),
                "origins without a path, such as http://localhost:3000, or *",
            ),
        )

    @property
    def max_bytes(self) -> int:
        """`max_mb` in bytes."""
        return int(self.max_mb * 1e6)

    @property
    def windows_at_once(self) -> int:
        """Windows of a large image in one pass. They are larger than most pairs, so there are fewer of them."""
        return min(self.batch_size, 4)

    @property
    def in_hand(self) -> int:
        """Requests that are read, decoded, waiting, predicted or answered at one time."""
        return self.queue + self.batch_size

    @property
    def held_pixels(self) -> int:
        """Pixels of decoded pairs that wait or are in the model (16 bytes each, of a second image of several channels
        more): eight of the largest images."""
        return 8 * self.max_pixels
