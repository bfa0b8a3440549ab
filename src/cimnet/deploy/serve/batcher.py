"""One thread that runs the model; pairs of one size that wait at the same time share a pass."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cimnet.deploy.serve.failures import Failure, busy
from cimnet.deploy.serve.options import ServeOptions
from cimnet.errors import CimnetError
from cimnet.inference import Predictor
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.settings import WHOLE

log = logging.getLogger("uvicorn.error")
Answer = tuple[npt.NDArray[np.uint8], Alarm | None]
"""Class ids (H, W); the alarm if it was asked for."""


@dataclass(eq=False)
class Job:
    """A pair that waits: RGB (3, H, W) and thermal (C, H, W) in 0..1, and whether its alarm is asked for."""

    rgb: Tensor
    thermal: Tensor
    alarm: bool = False
    future: Future[Answer] = field(default_factory=Future)

    @property
    def pixels(self) -> int:
        """The number of pixels of one image."""
        return self.rgb.shape[-2] * self.rgb.shape[-1]

    @property
    def held(self) -> int:
        """The memory that it takes, in pixels of four channels."""
        return -(-(self.rgb.numel() + self.thermal.numel()) // 4)


class Batcher:
    """The queue and its worker.

    Args:
        predictor: its ``settings.batch_size`` is the number of windows of a large image in one pass.
        observe: called with the number of pairs in each pass.
    """

    def __init__(self, predictor: Predictor, options: ServeOptions, observe: Callable[[int], None]) -> None:
        self.predictor, self.options, self.observe = predictor, options, observe
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="cimnet-model", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    def close(self, timeout: float | None = None) -> None:
        """Refuse new pairs, finish those that wait, stop the worker; wait for that up to ``timeout`` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def give_up(self) -> None:
        """Refuse new pairs and those that wait; what is in the model is finished."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = list(self._waiting), deque()
            self._changed.notify_all()
        for job in waiting:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(busy("it is stopping"))

    @property
    def ready(self) -> bool:
        """Whether pairs are taken and the worker lives."""
        return self._thread.is_alive() and not self._closed

    def __len__(self) -> int:
        """Pairs that wait."""
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Put a pair at the end of the queue.

        Raises:
            Failure: 503, the decoded pairs fill the memory set aside for them, or the server stops.
        """
        with self._changed:
            if self._closed:
                raise busy("it is stopping")
            held = sum(other.held for other in (*self._waiting, *self._running))
            if held and held + job.held > self.options.held_pixels:
                raise busy("too many large images wait")
            self._waiting.append(job)
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Take a pair out of the queue; one that is in the model already is finished for nobody."""
        with self._changed:
            job.future.cancel()
            if job in self._waiting:
                self._waiting.remove(job)
                self._changed.notify_all()

    def _work(self) -> None:
        while jobs := self._next():
            self.observe(len(jobs))
            self._run(jobs)
            with self._changed:
                self._running = []
            jobs = []  # the tensors must not live on while the queue is empty

    def _next(self) -> list[Job]:
        """The oldest pair with others of its size, at the latest ``batch_wait_ms`` after it is looked at; empty when
        the batcher is closed and nothing waits."""
        with self._changed:
            until: float | None = None
            while True:
                while not self._waiting:
                    if self._closed:
                        return []
                    until = None
                    self._changed.wait()
                until = until or time.monotonic() + self.options.batch_wait_ms / 1000
                jobs = self._alike()
                left = until - time.monotonic()
                if len(jobs) < self._room(jobs[0]) and left > 0 and not self._closed:
                    self._changed.wait(left)
                    continue
                for job in jobs:
                    self._waiting.remove(job)
                self._running = [job for job in jobs if job.future.set_running_or_notify_cancel()]
                if self._running:
                    return self._running
                until = None

    def _alike(self) -> list[Job]:
        """The oldest pair and the next ones of its size, as many as fit a pass."""
        first = self._waiting[0]
        alike = [job for job in self._waiting if job.thermal.shape == first.thermal.shape]
        return alike[: self._room(first)]

    def _room(self, job: Job) -> int:
        """Pairs of this size in a pass: up to ``batch_size``, and no more pixels than an image seen at once has."""
        return max(1, min(self.options.batch_size, WHOLE // job.pixels))

    def _run(self, jobs: list[Job]) -> None:
        """One pass for the pairs without an alarm; those with one are judged together, in three passes, the first of
        which gives their masks as well."""
        try:
            for asked in (False, True):  # who waits for no alarm does not wait for those of others
                part = [job for job in jobs if job.alarm == asked]
                if part:
                    self._answer(part, asked)
        except Exception as error:
            left = [job for job in jobs if not job.future.done()]
            if len(jobs) > 1:  # one pair, or too little memory for all of them: each gets its own chance
                for job in left:
                    self._run([job])
            else:
                self._fail(jobs[0], error)

    def _answer(self, jobs: list[Job], asked: bool) -> None:
        pairs = self.predictor.prepare([(job.rgb, job.thermal) for job in jobs], [asked] * len(jobs))
        for job, pair, mask in zip(jobs, pairs, self.predictor.predict_prepared(pairs), strict=True):
            job.future.set_result((mask, pair.alarm))

    def _fail(self, job: Job, error: Exception) -> None:
        if isinstance(error, CimnetError):
            job.future.set_exception(Failure.of(422, error, {}))
            return
        log.error("the model failed on a pair of %s pixels", tuple(job.thermal.shape[1:]), exc_info=error)
        job.future.set_exception(
            Failure(500, "the model failed on this pair", "try a smaller image; the server's log says more")
        )
