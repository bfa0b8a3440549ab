"""Outputs of live prediction: a video, a folder of masks, raw masks on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.deploy.video.live.session import LiveResult
from cimnet.deploy.video.output import VIDEO_SUFFIXES, VideoWriter
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.utils.files import refuse_inputs_as_outputs, require_writable, require_writable_file, write_atomically
from cimnet.utils.locks import OutputLock


class LiveOutputs:
    """Use it in a `with`: at its end a recording gets its name, whatever ended the run.

    Args:
        record: a video of the overlay. None: none.
        masks: a folder for PNG files of class ids, named by number and milliseconds since the run began; ``-``: each
            mask's bytes (H·W, uint8, row by row) go to standard output. None: none.
        overwrite: replace existing files.
        inputs: files and folders that are read.

    Raises:
        CimnetError: something is there already, or cannot be written.
        ConfigError: the recording is no name of a video, or an input would be overwritten.
    """

    def __init__(self, record: Path | None, masks: Path | None, overwrite: bool, inputs: Sequence[Path] = ()) -> None:
        self.record, self.raw = record, str(masks) == "-"
        self.masks = None if self.raw else masks
        if record is not None:
            if record.suffix.lower() not in VIDEO_SUFFIXES:
                raise ConfigError(f"--record {record}: give a name that ends in {', '.join(VIDEO_SUFFIXES)}")
            if record.exists() and not overwrite:
                raise CimnetError(f"{record}: exists; choose another name, or --overwrite to replace it")
            require_writable_file(record)
        if self.masks is not None:
            if self.masks.is_dir() and any(self.masks.glob("*.png")) and not overwrite:
                raise CimnetError(f"{self.masks}: has images in it; choose another folder, or --overwrite")
            require_writable(self.masks)
        refuse_inputs_as_outputs([path for path in (record, self.masks) if path is not None], inputs)
        self._locks = [OutputLock.beside(record)] if record is not None else []
        self._locks += [OutputLock(self.masks)] if self.masks is not None else []
        self._held = ExitStack()
        self._writer = None if record is None else VideoWriter(record, 25)
        self._size: tuple[int, int] | None = None
        self._raw_size: tuple[int, ...] | None = None

    def __enter__(self) -> LiveOutputs:
        with ExitStack() as stack:
            for lock in self._locks:
                stack.enter_context(lock)
            if self._writer is not None:
                stack.callback(self._writer.close)
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def add(self, result: LiveResult) -> None:
        """Write one result.

        Raises:
            CimnetError: it cannot be written.
            DataError: raw masks whose size changes, which no reader of standard output could tell.
            BrokenPipeError: nobody reads standard output any more.
        """
        if self.masks is not None:
            name = f"{result.number:06d}_{max(0, round(1000 * result.time)):09d}.png"
            write_atomically(self.masks / name, Image.fromarray(result.mask).save)
        if self.raw:
            if self._raw_size not in (None, result.mask.shape):
                raise DataError(f"--masks -: masks were {self._raw_size} and are {result.mask.shape} now; start again")
            self._raw_size = result.mask.shape
            sys.stdout.buffer.write(result.mask.tobytes())
            sys.stdout.buffer.flush()
        if self._writer is not None:
            self._writer.add(self._fitted(result.picture), max(0.0, result.time))

    def _fitted(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """At the size of the recording's first picture."""
        size = (picture.shape[1], picture.shape[0])
        self._size = self._size or size
        if size == self._size:
            return picture
        return np.array(Image.fromarray(picture).resize(self._size, Image.Resampling.BILINEAR))
