"""Pairs of messages whose stamps are near each other, as message_filters' ApproximateTimeSynchronizer makes them."""

from __future__ import annotations

from typing import Generic, TypeVar

from cimnet.errors import ConfigError

T = TypeVar("T")
JUMP = 10**9
"""Nanoseconds that a stamp may lie before the newest one of its side; further back, the clock was set."""


class ApproximateTime(Generic[T]):
    """Two queues of messages by stamp. A message that comes is paired with the one of the other queue whose stamp is
    nearest, if it is nearer than `slop`; both are taken out. Otherwise it waits, until `queue_size` newer ones have
    come. Of two that are equally near, the one that came first is taken.

    Of two messages with one stamp the later one waits. All this is the rule of message_filters. One thing is not: a
    clock that goes back (a bag that is played again, a clock that is set) empties the queue of its side, because all
    that comes then would be older than what waits, and would fall out at once.

    Args:
        slop: stamps of a pair differ by less than this, seconds.
        queue_size: messages that wait on each side.

    Raises:
        ConfigError: a slop at which nothing can pair, or a queue for no message.

    Attributes:
        unpaired: messages of each side that fell out of their queue.
        jumps: how often the clock of each side went back.
    """

    def __init__(self, slop: float, queue_size: int) -> None:
        if not 1e-9 <= slop < 1e9 or queue_size < 1:
            raise ConfigError(
                f"slop {slop}, queue_size {queue_size}: give at least 1e-9 seconds and 1 message; stamps of a pair "
                "differ by less than slop, as in message_filters, so that 0 pairs nothing"
            )
        self.slop, self.queue_size = round(slop * 1e9), queue_size
        self.queues: tuple[dict[int, T], dict[int, T]] = ({}, {})
        self.unpaired = [0, 0]
        self.jumps = [0, 0]
        self._newest: list[int | None] = [None, None]

    def add(self, side: int, stamp: int, message: T) -> tuple[T, T] | None:
        """Take a message in.

        Args:
            side: 0 or 1.
            stamp: nanoseconds.

        Returns:
            The pair that it makes, side 0 first; None: none yet.
        """
        mine, others = self.queues[side], self.queues[1 - side]
        self._note_jump(side, stamp)
        self.unpaired[side] += stamp in mine
        mine[stamp] = message
        while len(mine) > self.queue_size:
            del mine[min(mine)]
            self.unpaired[side] += 1
        if stamp not in mine:  # older than all that wait
            return None
        near = min(others, key=lambda other: abs(other - stamp), default=None)
        if near is None or abs(near - stamp) >= self.slop:
            return None
        partner = others.pop(near)
        del mine[stamp]
        return (message, partner) if side == 0 else (partner, message)

    def _note_jump(self, side: int, stamp: int) -> None:
        newest = self._newest[side]
        if newest is not None and stamp < newest - JUMP:
            self.jumps[side] += 1
            self.unpaired[side] += len(self.queues[side])
            self.queues[side].clear()
            newest = None
        self._newest[side] = stamp if newest is None else max(newest, stamp)

    def gap(self) -> float | None:
        """The smallest difference of stamps that wait, side 1 − side 0 in seconds; None: one side is empty."""
        gaps = [(b - a) / 1e9 for a in self.queues[0] for b in self.queues[1]]
        return min(gaps, key=abs, default=None)
