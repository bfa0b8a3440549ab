"""The loop: the newest pair of frames through the model, over and over."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cimnet.data.io.thermal_scaling import Counts
from cimnet.deploy.video.frames import Frame
from cimnet.deploy.video.live.feed import MOST_HELD, Feed
from cimnet.deploy.video.live.newest_pair import newest_pair, why_no_pair
from cimnet.deploy.video.live.settings import LiveSettings
from cimnet.errors import DataError
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.fitting import Fitter, frame_tensors, read_position
from cimnet.inference.frozen import FrozenWatch
from cimnet.inference.odd_frames import OddFrames
from cimnet.inference.overlay import overlay_mask, to_rgb
from cimnet.inference.predictor import Predictor

Note = Callable[[str], object]
_RECENT = 120


@dataclass(frozen=True)
class LiveResult:
    """One predicted pair.

    Attributes:
        number: from 0.
        time: when the RGB frame (or the thermal frame, where there is none) was taken, seconds since the run began.
        mask: class ids (H, W) uint8.
        picture: RGB (H, W, 3) uint8, or the thermal image in grey where there is no RGB, with the classes laid over.
        sensors: ``both``, ``rgb`` or ``thermal``: what was predicted from.
        gap: thermal time − RGB time − offset, seconds. None with one sensor.
        alarm: what the checkpoint's alarms say. None: not asked, or one sensor.
        latency: seconds from when the frame was taken (as far as can be told here) to the mask.
    """

    number: int
    time: float
    mask: npt.NDArray[np.uint8]
    picture: npt.NDArray[np.uint8]
    sensors: str
    gap: float | None
    alarm: Alarm | None
    latency: float


class LiveSession:
    """Predicts pairs while the feeds run.

    Args:
        predictor: the model, from :func:`cimnet.load`.
        rgb, thermal: feeds that share ``news``.
        asked: how.
        note: called with each sentence that a user should know.

    Raises:
        DataError: the calibration cannot be used.
    """

    def __init__(
        self, predictor: Predictor, rgb: Feed, thermal: Feed, news: threading.Condition, asked: LiveSettings, note: Note
    ) -> None:
        self.predictor, self.rgb, self.thermal, self.news = predictor, rgb, thermal, news
        self.asked, self.note = asked, note
        self.calibration = read_position(asked.calibration)
        self.began = time.monotonic()
        self.predicted = 0
        self.by_sensors = {"both": 0, "rgb": 0, "thermal": 0}
        self.latencies: deque[float] = deque(maxlen=_RECENT)
        self._ends: deque[float] = deque(maxlen=_RECENT)
        self._fitter: Fitter | None = None
        self._after = {"rgb": float("-inf"), "thermal": float("-inf")}
        self._last_pair = time.monotonic()
        self._said: dict[str, str] = {}
        self.odd = OddFrames(f"thermal, {thermal.address.text}", note)
        self._frozen = {feed.kind: FrozenWatch(f"{feed.kind}, {feed.address.text}", note) for feed in (rgb, thermal)}

    def results(self, stopped: Callable[[], bool]) -> Iterator[LiveResult]:
        """Predict until `stopped`, the time is up, or both streams have ended.

        Raises:
            DataError: no stream gives a frame, one can never be read, or frames cannot be used.
        """
        yield from self._results(stopped)
        self.odd.end()

    def _results(self, stopped: Callable[[], bool]) -> Iterator[LiveResult]:
        while not stopped():
            now = time.monotonic()
            if self.asked.duration is not None and now - self.began >= self.asked.duration:
                return
            self._watch(now)
            frames = self._next(now)
            if frames is not None:
                result = self._predict(*frames)
                if result is not None:
                    yield result
            elif self._over():
                return
            else:
                with self.news:
                    self.news.wait(0.05)

    def status(self) -> dict[str, Any]:
        """Counts, rates and states, plain JSON."""
        latencies = np.array(list(self.latencies)) * 1000
        ends = list(self._ends)  # the page asks from its own thread
        spent = ends[-1] - ends[0] if len(ends) > 1 else 0.0
        return {
            "seconds": round(time.monotonic() - self.began, 1),
            "predicted": self.predicted,
            "from": dict(self.by_sensors),
            "out_of_range": self.odd.count,
            "frames_per_second": round((len(ends) - 1) / spent, 2) if spent else None,
            "latency_ms": round(float(np.median(latencies)), 1) if len(latencies) else None,
            "latency_p95_ms": round(float(np.percentile(latencies, 95)), 1) if len(latencies) else None,
            **{feed.kind: self._feed_status(feed) for feed in (self.rgb, self.thermal)},
        }

    def _feed_status(self, feed: Feed) -> dict[str, Any]:
        used = self.by_sensors["both"] + self.by_sensors[feed.kind]
        state: str = feed.state
        if state == "live" and not self._alive(feed, time.monotonic()):
            state = "lost"  # nobody has hung up
        elif state == "live" and self._frozen[feed.kind].frozen:
            state = "frozen"
        return {
            "source": feed.address.text,
            "state": state,
            "received": feed.received,
            "dropped": max(feed.received - used, 0),
            "reconnects": feed.reconnects,
            "clock_jumps": feed.clock.jumps,
            "problem": feed.problem,
        }

    def _watch(self, now: float) -> None:
        """Report changes, and give up if no frame can come any more."""
        for feed, other in ((self.rgb, self.thermal), (self.thermal, self.rgb)):
            if feed.state == "failed" and not feed.received:
                raise DataError(f"{feed.kind}, {feed.address.text}: {feed.problem}")
            if feed.overfull:
                raise DataError(
                    f"{feed.kind}, {feed.address.text}: its frames of {feed.hold:g} s, held for --offset, take more "
                    f"than {MOST_HELD >> 20} MiB; send smaller or fewer frames, or delay this stream where it is sent"
                )
            alive = self._alive(feed, now)
            if alive:
                self._say(feed, "live", "" if feed.kind not in self._said else "is back")
            elif feed.received or (other.received and now - self.began > self.asked.lost_after):
                since = f"for {self.asked.lost_after:g} s" if feed.received else "yet"
                why = f" ({feed.problem})" if feed.problem else ""
                then = f"going on with {other.kind} alone" if self._alive(other, now) else "waiting for a frame"
                self._say(feed, "lost", f"no frame {since}{why}; {then}")
            elif now - self.began > self.asked.wait and not other.received:
                problem = feed.problem or other.problem or "no answer"
                raise DataError(
                    f"{feed.address.text}, {other.address.text}: no frame within {self.asked.wait:g} s ({problem}); "
                    "check the addresses with ffplay, or give --wait"
                )
        if self._alive(self.rgb, now) and self._alive(self.thermal, now):
            offset, tolerance = self.asked.offset, self.asked.tolerance
            if now - self._last_pair > max(2.0, 4 * tolerance) + abs(offset):
                self._last_pair = now
                if text := why_no_pair(self._held(self.rgb), self._held(self.thermal), offset, tolerance):
                    self.note(text)
        else:
            self._last_pair = now

    def _say(self, feed: Feed, state: str, text: str) -> None:
        if self._said.get(feed.kind) != state:
            self._said[feed.kind] = state
            if text:
                self.note(f"{feed.kind}, {feed.address.text}: {text}")

    def _alive(self, feed: Feed, now: float) -> bool:
        return feed.silent_for(now) <= self.asked.lost_after

    def _over(self) -> bool:
        return all(feed.state in ("ended", "failed") for feed in (self.rgb, self.thermal))

    def _held(self, feed: Feed) -> list[Frame]:
        with self.news:
            return list(feed.frames)

    def _next(self, now: float) -> tuple[Frame | None, Frame | None] | None:
        """The newest pair, or the newest frame of the stream that is left; None: nothing new."""
        rgb, thermal = self._held(self.rgb), self._held(self.thermal)
        pair = newest_pair(rgb, thermal, self.asked.offset, self.asked.tolerance, self._after["rgb"])
        if pair is not None:
            return pair
        for feed, held, other in ((self.rgb, rgb, self.thermal), (self.thermal, thermal, self.rgb)):
            waiting = not other.received and other.state != "ended" and now - self.began < self.asked.lost_after
            if self._alive(other, now) or waiting or not held or held[-1].time <= self._after[feed.kind]:
                continue
            return (held[-1], None) if feed is self.rgb else (None, held[-1])
        return None

    def _predict(self, rgb: Frame | None, thermal: Frame | None) -> LiveResult | None:
        """None: the thermal frame is left out."""
        sensors = "both" if rgb and thermal else "rgb" if rgb else "thermal"
        for feed, frame in ((self.rgb, rgb), (self.thermal, thermal)):
            if frame is not None:
                self._frozen[feed.kind](frame.image, frame.time)
        image = None if rgb is None else rgb.image
        pair = self._tensors(image, thermal)
        if pair is None:
            self._pass(rgb, thermal)
            return None
        [ready] = self.predictor.prepare([pair], [self.asked.alarms and sensors == "both"])
        [mask] = self.predictor.predict_prepared([ready])
        shown = to_rgb(pair[0] if image is not None else pair[1])
        picture = overlay_mask(shown, mask, self.predictor.colors, self.asked.opacity)
        return self._count(rgb, thermal, sensors, mask, picture, ready.alarm)

    def _tensors(self, image: npt.NDArray[np.uint8] | None, thermal: Frame | None) -> tuple[Tensor, Tensor] | None:
        """The model's input; None: the thermal frame is left out."""
        who = self.thermal.address.text
        if thermal is None:
            return frame_tensors(image, None, self.predictor, who)
        return self.odd(
            lambda: frame_tensors(image, self._fitted(thermal, image), self.predictor, who), thermal.time - self.began
        )

    def _fitted(self, frame: Frame, image: npt.NDArray[np.uint8] | None) -> Counts:
        """Thermal values at the size of the RGB frame, or of the last one where there is none now."""
        if image is not None:
            size = (image.shape[0], image.shape[1])
            if self._fitter is not None and self._fitter.size != size:
                self.note(f"rgb, {self.rgb.address.text}: frames are {size[1]}x{size[0]} now")
            if self._fitter is None or self._fitter.size != size:
                self._fitter = Fitter(size, self.calibration, "resize", self.note)
        return frame.image if self._fitter is None else self._fitter(frame.image)

    def _count(
        self, rgb: Frame | None, thermal: Frame | None, sensors: str, mask: Any, picture: Any, alarm: Alarm | None
    ) -> LiveResult:
        now = time.monotonic()
        first = rgb if rgb is not None else thermal
        assert first is not None
        gap = None
        self._pass(rgb, thermal)
        if rgb is not None and thermal is not None:
            gap = thermal.time - self.asked.offset - rgb.time
        number, self.predicted = self.predicted, self.predicted + 1
        self.by_sensors[sensors] += 1
        self.latencies.append(now - first.time)
        self._ends.append(now)
        return LiveResult(number, first.time - self.began, mask, picture, sensors, gap, alarm, now - first.time)

    def _pass(self, rgb: Frame | None, thermal: Frame | None) -> None:
        """Take no frame up to these again."""
        if rgb is not None:
            self._after["rgb"] = rgb.time
        if thermal is not None:
            self._after["thermal"] = thermal.time
        if rgb is not None and thermal is not None:
            self._last_pair = time.monotonic()
