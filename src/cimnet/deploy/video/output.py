"""The outputs of a run: overlay video, masks, table of frames. Finished frames are kept, whatever ends the run."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.deploy.video.sources import local_name, pyav
from cimnet.errors import CimnetError, ConfigError, one_line
from cimnet.utils.files import (
    refuse_inputs_as_outputs,
    require_writable,
    require_writable_file,
    resolved,
    write_atomically,
)
from cimnet.utils.locks import OutputLock

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi")
CLOCK = 60_000
"""Ticks a second: a whole number for 24, 25, 30, 60 and 59.94 frames a second; MPEG-4 allows 65,535."""


COLUMNS = ("frame", "name", "time", "thermal_frame", "thermal_time", "difference", "new_shot")
"""Of frames.csv: numbers from 0, seconds of each video's clock, and thermal time − RGB time − offset."""


class VideoWriter:
    """Encode RGB images of one size as H.264, where this PyAV has it, else MPEG-4; no sound.

    The file is `.NAME.PID.part.mp4` until `close` renames it, and playable from its first seconds on.

    Args:
        rate: frames a second, about; each frame has its own time.

    Raises:
        CimnetError: the file cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate, self.frames = path, rate, 0
        self.part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        self._last = -1
        self._container: Any = None
        self._stream: Any = None
        self._error = pyav().error.FFmpegError

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.close()

    def add(self, image: npt.NDArray[np.uint8], time: float) -> None:
        """Append an image (H, W, 3), to be shown at `time` seconds; odd sizes are padded by a row or column."""
        odd = image.shape[0] % 2, image.shape[1] % 2
        image = np.pad(image, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else image
        try:
            if self._container is None:
                self._open(image.shape[0], image.shape[1])
            frame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            self._last = max(self._last + 1, round(time * CLOCK))
            frame.pts, frame.time_base = self._last, Fraction(1, CLOCK)
            self._container.mux(self._stream.encode(frame))
        except (self._error, OSError) as error:
            raise self._failure(error) from error
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name; without a frame that can be played nothing is left."""
        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            container.mux(self._stream.encode(None))
            container.close()
        except (self._error, OSError) as error:
            raise self._failure(error) from error
        finally:
            if self._playable():
                self.part.replace(self.path)
            self.part.unlink(missing_ok=True)

    def _playable(self) -> bool:
        """Whether the file can be opened and begins with a frame; it may not where the disk was full."""
        try:
            with pyav().open(local_name(self.part)) as written:
                return next(written.decode(video=0), None) is not None
        except (self._error, OSError):
            return False

    def _open(self, height: int, width: int) -> None:
        av = pyav()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # an .mp4 in pieces that close() turns into a plain one, each written at once: readable if the process dies
        flags = {"flush_packets": "1"}
        if self.path.suffix.lower() in (".mp4", ".mov"):
            flags["movflags"] = "+hybrid_fragmented"
        self._container = av.open(local_name(self.part), "w", options=flags)
        h264 = "libx264" in av.codecs_available
        quality = {"crf": "20", "preset": "veryfast", "bf": "0"} if h264 else {"qscale": "3"}
        rate = Fraction(self.rate).limit_denominator(1001)
        stream = self._container.add_stream("libx264" if h264 else "mpeg4", rate=rate, options=quality)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, CLOCK)
        context.gop_size = max(1, round(2 * self.rate))
        context.colorspace, context.color_range = 1, 1  # BT.709, 16 to 235
        self._stream = stream

    def _failure(self, error: Exception) -> CimnetError:
        reason = one_line(error)
        return CimnetError(f"{self.path}: cannot be written ({reason}); choose another folder or free space")


class Outputs:
    """The outputs of a run. Use them in a `with`: at its end files get their names, even after an error or Ctrl-C.

    Args:
        out: a video file, or a folder for `overlay.mp4`, `masks/` and `frames.csv`.
        masks: folder for masks and `frames.csv` beside a video; None: by `out`.
        video: whether there is an overlay video.
        overwrite: replace existing files.
        columns: further columns of the table.
        inputs: files and folders that are read.

    Raises:
        CimnetError: something is there already, a folder cannot be written, or (at its start) another process writes
            there.
        ConfigError: nothing would be written, or an input would be overwritten.
    """

    def __init__(
        self,
        out: Path,
        masks: Path | None,
        video: bool,
        rate: float,
        overwrite: bool,
        columns: Sequence[str],
        inputs: Sequence[Path] = (),
    ) -> None:
        is_file = out.suffix.lower() in VIDEO_SUFFIXES
        if is_file and not video:
            raise ConfigError(f"--out {out}: a video, but --view none makes no video; give a folder")
        if is_file and columns and masks is None:
            raise ConfigError("alarms are written to frames.csv: give a folder as --out, or --masks FOLDER")
        self.overlay = (out if is_file else out / "overlay.mp4") if video else None
        self.masks = masks or (None if is_file else out / "masks")
        self.table = None if self.masks is None else (out if masks is None else masks) / "frames.csv"
        self._overwrite = overwrite
        self._check()
        refuse_inputs_as_outputs([path for path in (self.overlay, self.masks, self.table) if path], inputs)
        folders = {resolved(path): path for path in (None if is_file else out, masks) if path is not None}
        self._locks = [OutputLock(path) for path in folders.values()] + ([OutputLock.beside(out)] if is_file else [])
        self._writer = None if self.overlay is None else VideoWriter(self.overlay, rate)
        self._header = [*COLUMNS, *columns]
        self._rows: IO[str] | None = None
        self._part: Path | None = None
        self._held = ExitStack()
        self.frames = 0

    def __enter__(self) -> Outputs:
        with ExitStack() as stack:
            for lock in self._locks:
                stack.enter_context(lock)
            self._check()  # another process may have written it meanwhile
            self._held = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        except CimnetError:
            if kind is None:  # else the first error says more
                raise
        finally:
            if self._rows is not None and self._part is not None and self.table is not None:
                self._rows.close()
                self._part.replace(self.table)
            self._held.close()

    def add(self, name: str, mask: npt.NDArray[np.uint8], row: Sequence[object], picture: Any, time: float) -> None:
        """Write one frame.

        Args:
            name: of its mask, without suffix.
            row: of the table.
            picture: what the overlay video shows (H, W, 3), at `time` seconds; ignored without one.
        """
        if self.masks is not None:
            write_atomically(self.masks / f"{name}.png", Image.fromarray(mask).save)
        if self._writer is not None:
            self._writer.add(picture, time)
        if self.table is not None:
            self._write(self.table, row)
        self.frames += 1

    def _write(self, table: Path, row: Sequence[object]) -> None:
        try:
            if self._rows is None:
                table.parent.mkdir(parents=True, exist_ok=True)
                self._part = table.with_name(f".{table.stem}.{os.getpid()}.part.csv")
                self._rows = self._part.open("w", encoding="utf-8", newline="")
                csv.writer(self._rows, lineterminator="\n").writerow(self._header)
            csv.writer(self._rows, lineterminator="\n").writerow(row)
            self._rows.flush()
        except OSError as error:
            raise CimnetError(f"{table}: cannot be written ({error.strerror}); free space") from error

    def _check(self) -> None:
        for path in (self.overlay, self.table):
            if path is not None and not self._overwrite and path.exists():
                raise CimnetError(f"{path}: exists; choose another place, or --overwrite to replace it")
            if path is not None:
                require_writable_file(path)
        if self.masks is not None:
            if self.masks.exists() and not self.masks.is_dir():
                raise CimnetError(f"{self.masks}: is a file, not a folder; choose another")
            if not self._overwrite and self.masks.is_dir() and any(self.masks.glob("*.png")):
                raise CimnetError(f"{self.masks}: has images in it; choose another folder, or --overwrite")
            require_writable(self.masks)
