"""Read the frames of one stream as they arrive and keep only the newest few."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from PIL import UnidentifiedImageError

from cimnet.data.io.name_times import times_of
from cimnet.data.io.split_lists import IMAGE_EXTENSIONS, THERMAL_EXTENSIONS
from cimnet.data.io.thermal_files import Wanted
from cimnet.deploy.video.crop import Crop
from cimnet.deploy.video.file_clock import FileClock, announced_interval
from cimnet.deploy.video.frame_image import frame_image
from cimnet.deploy.video.frames import Frame, Image, Kind
from cimnet.deploy.video.image_source import read_frame
from cimnet.deploy.video.live.address import READ_SECONDS, Address
from cimnet.deploy.video.live.clock import StreamClock
from cimnet.deploy.video.sources import pyav
from cimnet.errors import CimnetError, DataError, one_line

KEPT = 12
"""Frames that are held, so that a frame of the other stream that comes later still finds its partner."""
MOST_HELD = 2**30
"""Bytes of frames that may be held for an offset: 11 s of 1920x1080 at 30 a second (3.1 MB each, as decoded)."""
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
_POLL = 0.02
_SAME_CLOCK = 60.0

State = Literal["connecting", "live", "lost", "ended", "failed"]


class Feed:
    """A thread that reads one stream, opening it again whenever it is lost.

    Attributes:
        frames: the newest `KEPT` ones and those of ``hold`` seconds before them, oldest first; times are seconds of
            ``time.monotonic``.
        overfull: whether frames had to go before ``hold`` seconds were over, as they take more than `MOST_HELD`.
        state: ``connecting`` until the first frame, ``lost`` while it is opened again, ``ended`` for good, ``failed``
            where it can never be read, or not any further.
        received, reconnects: counts.
        problem: why it was lost or failed.
        news: notified with each frame and each change; shared by both feeds.
        epoch: when both feeds began, seconds of ``time.monotonic``.
        hold: seconds by which the frames of the other stream come later.
    """

    def __init__(
        self,
        address: Address,
        kind: Kind,
        news: threading.Condition,
        epoch: float,
        crop: Crop | None = None,
        wanted: Wanted | None = None,
        hold: float = 0.0,
    ) -> None:
        self.epoch, self.hold, self.overfull = epoch, hold, False
        self.address, self.kind, self.news, self.crop, self.wanted = address, kind, news, crop, wanted
        self.frames: deque[Frame] = deque()
        self.state: State = "connecting"
        self.received = self.reconnects = 0
        self.problem = ""
        self.clock = StreamClock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{kind} feed", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end, at most this many seconds: it may be blocked in FFmpeg."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def silent_for(self, now: float) -> float:
        """Seconds since the newest frame came; infinite before the first."""
        return now - self._arrived if self.received else float("inf")

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            before = self.received
            try:
                frames = self._folder() if self.address.medium == "folder" else self._stream()
                for frame in frames:
                    if self._stop.is_set():
                        return
                    self._add(frame)
                self._change("lost" if self.address.returns else "ended", "the stream has ended")
            except CimnetError as error:
                if not (self.address.returns and self.received):  # it was right before: it may be again
                    self._change("failed", one_line(error))
                    return
                self._change("lost", one_line(error))
            except Exception as error:  # PyAV's errors and Python's: whatever it is, the other stream goes on
                silent = isinstance(error, pyav().error.ExitError)
                reason = f"nothing came for {READ_SECONDS:g} s" if silent else one_line(error)
                if not self._may_return(error):
                    remedy = f"; {self.address.remedy}" if self.address.returns else ""
                    self._change("failed", reason + remedy)
                    return
                self._change("lost", reason)
            if not self.address.returns:
                return
            failures = 0 if self.received > before else failures + 1
            self.reconnects += 1
            self._stop.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])

    def _may_return(self, error: Exception) -> bool:
        """Whether it is worth trying again: always where it was right before."""
        return self.address.returns and (self.received > 0 or self.address.may_heal(error))

    def _add(self, frame: Frame) -> None:
        with self.news:
            self._arrived = time.monotonic()
            self.received += 1
            self.frames.append(frame)
            self._forget()
            self.state, self.problem = "live", ""
            self.news.notify_all()

    def _forget(self) -> None:
        """Drop the frames that are too old, and those that do not fit into memory."""
        held = sum(frame.size for frame in self.frames) if self.hold else 0
        while len(self.frames) > KEPT:
            if self.hold and abs(self.frames[-KEPT].time - self.frames[0].time) <= self.hold:
                if held <= MOST_HELD:
                    return
                self.overfull = True
            held -= self.frames.popleft().size

    def _change(self, state: State, problem: str) -> None:
        with self.news:
            self.state, self.problem = state, problem
            self.news.notify_all()

    def _stream(self) -> Iterator[Frame]:
        """Frames as FFmpeg decodes them; those of a file at the pace of its times."""
        container = self.address.open()
        try:
            if not container.streams.video:
                raise DataError(f"{self.address.text}: holds no video stream; give one that does")
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"  # several frames at once would come later
            frames = self._decoded(container, stream)
            if self.address.medium == "file":
                yield from self._played(frames, stream)
            else:
                for stamp, frame in frames:
                    yield self._frame(frame, self.clock(stamp, time.monotonic()))
        finally:
            container.close()

    @staticmethod
    def _decoded(container: Any, stream: Any) -> Iterator[tuple[float | None, Any]]:
        """Time stamps and frames."""
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except pyav().error.InvalidDataError:  # damaged, as at the beginning of a stream that one joins
                continue
            for frame in frames:
                yield None if frame.time is None else float(frame.time), frame

    def _played(self, frames: Iterator[tuple[float | None, Any]], stream: Any) -> Iterator[Frame]:
        """Frames of a file, at the pace of its times."""
        clock = FileClock[Any](announced_interval(stream))
        for seconds, frame in clock(frames):
            self.clock.jumps = clock.jumps
            taken = self.epoch + seconds  # one beginning for the files of both sensors
            if self._stop.wait(max(0.0, taken - time.monotonic())):
                return
            yield self._frame(frame, taken)

    def _frame(self, frame: Any, taken: float) -> Frame:
        dtype = None if self.wanted is None else self.wanted.dtype

        def read() -> Image:
            return frame_image(frame, self.kind, self.address.text, self.crop, dtype)

        size = sum(plane.buffer_size for plane in frame.planes)
        return Frame(self.received, f"{self.received:06d}", taken, read, size)

    def _folder(self) -> Iterator[Frame]:
        """Images that are written to a folder from now on. One that cannot be read yet is tried again.

        A listing takes longer the more images there are; at most a fifth of the time goes into it.
        """
        folder = Path(self.address.target)
        kinds = IMAGE_EXTENSIONS if self.kind == "rgb" else THERMAL_EXTENSIONS
        seen = {path.name for path in folder.iterdir()}
        patience: dict[str, int] = {}
        pause = _POLL
        while not self._stop.wait(pause):
            began = time.monotonic()
            try:
                names = {path.name for path in folder.iterdir()}
            except OSError as error:
                raise DataError(f"{folder}: cannot be read ({error.strerror}); is it still there?") from error
            pause = max(_POLL, 4 * (time.monotonic() - began))
            seen &= names  # what was deleted may come again, and need not be remembered
            new = (folder / name for name in sorted(names - seen) if not name.startswith("."))
            for path in [p for p in new if p.suffix.lower() in kinds]:
                try:
                    image = read_frame(path, self.kind, self.crop, self.wanted)
                except (CimnetError, UnidentifiedImageError, OSError) as error:
                    patience[path.name] = patience.get(path.name, 0) + 1
                    if patience[path.name] < 2.0 / _POLL:
                        continue  # still being written
                    self.problem = one_line(error)
                    image = None
                patience.pop(path.name, None)
                seen.add(path.name)
                if image is not None:
                    yield Frame(self.received, path.stem, self._taken(path), partial(_itself, image), image.nbytes)

    def _taken(self, path: Path) -> float:
        """Return the time in the name, otherwise the time at which the file was written."""
        now, wall = time.monotonic(), time.time()
        clock = times_of([path.stem])
        if clock is None:
            return min(now, now - (wall - path.stat().st_mtime))
        if abs(clock[0] - wall) < _SAME_CLOCK:  # the folders' times can be compared as they are
            return now - (wall - clock[0])
        return self.clock(clock[0], now)


def _itself(image: Image) -> Image:
    return image
