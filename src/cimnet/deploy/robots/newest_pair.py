"""A worker for a running robot. It segments the newest pair; a newer pair replaces a waiting one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cimnet.deploy.robots.pair_segmenter import PairSegmenter, Segmented
from cimnet.errors import CimnetError, one_line


class NewestPair:
    """A thread that segments the newest pair of messages and drops older ones that it had no time for.

    Args:
        segment: segments a pair.
        publish: called in the thread with the result and the RGB message.
        complain: called with a sentence when a pair cannot be used; not again with the same sentence.

    Attributes:
        dropped: number of pairs that were replaced before their turn.
    """

    def __init__(
        self,
        segment: PairSegmenter,
        publish: Callable[[Segmented, Any], object],
        complain: Callable[[str], object],
    ) -> None:
        self.segment, self.publish, self.complain = segment, publish, complain
        self.dropped = 0
        self._waiting: tuple[Any, Any] | None = None
        self._news = threading.Condition()
        self._stopped = False
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="segment", daemon=True)
        self._thread.start()

    def offer(self, rgb: Any, thermal: Any) -> None:
        """Put a pair of messages in front of the thread."""
        with self._news:
            self.dropped += self._waiting is not None
            self._waiting = rgb, thermal
            self._news.notify()

    def stop(self) -> None:
        """End the thread after the pair in hand."""
        with self._news:
            self._stopped = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._news:
                while self._waiting is None and not self._stopped:
                    self._news.wait()
                if self._stopped:
                    return
                pair, self._waiting = self._waiting, None
            assert pair is not None
            try:
                self.publish(self.segment(*pair), pair[0])
                self._said = ""
            except Exception as error:  # whatever it is (memory of the device, a publisher), the next pair has its turn
                known = isinstance(error, CimnetError)
                text = one_line(error) if known else f"{type(error).__name__}: {one_line(error)}"
                if text != self._said:
                    self._said = text
                    self.complain(text)
