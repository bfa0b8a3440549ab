"""Open sources of frames, and decode the frames of a video file one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cimnet.data.io.bands import Bands
from cimnet.data.io.split_lists import THERMAL_EXTENSIONS
from cimnet.data.io.thermal_files import Wanted
from cimnet.data.io.tiff_tags import read_tiff
from cimnet.deploy.video.crop import Crop
from cimnet.deploy.video.file_clock import FileClock, announced_interval
from cimnet.deploy.video.frame_image import frame_image
from cimnet.deploy.video.frames import Frame, Image, Kind, Source
from cimnet.deploy.video.image_source import ImageSource
from cimnet.errors import ConfigError, DataError
from cimnet.utils.extras import install, require
from cimnet.utils.numbers import pluralize

if TYPE_CHECKING:
    import av

OLDEST_PYAV = 17
"""Before, PyAV converts every video with the matrix of BT.601, whatever the file says."""
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,mxf,nut,ivf,av1,h264,hevc,m4v,mjpeg,"
    "yuv4mpegpipe,gif"
)
"""FFmpeg's names of containers that hold their own pictures: no playlists, no scripts, no streams."""
LOCAL = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}


def open_source(
    path: Path,
    kind: Kind,
    fps: float | None = None,
    stream: int | None = None,
    crop: Crop | None = None,
    wanted: Wanted | None = None,
    files: Mapping[str, Path] | None = None,
    bands: Bands | None = None,
) -> Source:
    """A video, or a folder of images.

    Args:
        fps: images a second, for folders whose names hold no times, and for nothing else.
        stream: which of a file's video streams, from 0; None: the first.
        crop: the part of each frame that this sensor's picture takes; None: all of it.
        wanted: unit (for folders) and depth of the checkpoint's thermal values.
        files: of a folder, this sensor's images by name; None: all of them.
        bands: of a folder's RGB images, which are the colours; None: the files say.

    Raises:
        DataError: not there, not a video, without a frame or an image.
        ConfigError: `fps` is missing, not above 0, or given for a video; `stream` is given for a folder; or PyAV is not
            installed.
    """
    option = "fps" if kind == "rgb" else "thermal_fps"
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
        raise DataError(f"{path}: an address; record the stream to a file first, and give the file")
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        if stream is not None:
            raise ConfigError(f"{kind}_stream: {path} is a folder of images and has no streams; leave it out")
        return ImageSource(path, kind, fps, crop, wanted, files, bands)
    if bands is not None:
        raise ConfigError(f"rgb_embedded: {path} is not a folder of FLIR JPEGs; leave it out, or give one")
    if path.suffix.lower() in THERMAL_EXTENSIONS:
        pages = len(read_tiff(path).pages)  # none of what is no TIFF
        if pages > 1:
            raise DataError(
                f"{path}: a stack of {pages} images (pages); split it into a folder of numbered files (tiffsplit, or "
                "tifffile) and give that"
            )
        raise DataError(f"{path}: one image; give a video or a folder of images, or use `cimnet predict` for one pair")
    if fps is not None:
        raise ConfigError(f"{option}: {path} is a video and has its own times; leave {option} out")
    return VideoSource(path, kind, stream or 0, crop, None if wanted is None else wanted.dtype)


def pyav() -> Any:
    """The module `av`.

    Raises:
        ConfigError: not installed.
    """
    av = require("av", "video", "videos")
    if int(av.__version__.split(".")[0]) < OLDEST_PYAV:
        raise ConfigError(f"PyAV {av.__version__} reads BT.709 videos in wrong colours; {install('video')}")
    # PyAV's logging takes the GIL in FFmpeg's threads: closing a file waits for them, with the GIL, for ever.
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.FATAL)
    return av


def local_name(path: Path) -> str:
    """A file's name as FFmpeg takes it for nothing else: ``http:x.mp4`` would be an address."""
    return f"file:{path.absolute()}"


def stream_count(path: Path) -> int:
    """Number of video streams of a file.

    Raises:
        DataError: the file cannot be read as a video.
    """
    with VideoSource.open(path) as container:
        return len(container.streams.video)


class VideoSource:
    """A video stream of a file, brought upright by its display matrix, then cropped. Times are those of the file (pts),
    counted from the stream's first frame unless `count_from` says otherwise.

    Attributes:
        first: time of the first frame on the file's clock, seconds; None: frames have no times.
    """

    start: float | None = None
    first: float | None = None
    _shift = 0.0

    def __init__(
        self, path: Path, kind: Kind, number: int = 0, crop: Crop | None = None, dtype: str | None = None
    ) -> None:
        self.path, self.kind, self.number, self.crop, self.dtype = path, kind, number, crop, dtype
        self.problems: list[str] = []
        with self._open() as container:
            stream = container.streams.video[number]
            self.interval = announced_interval(stream)
            self.total = stream.frames or None
            self.duration = _duration(stream, container)
        if self.total and self.duration:
            self.interval = self.duration / self.total
        if next(self.frames(), None) is None:
            raise DataError(f"{path}: no frame can be decoded{_because(self.problems)}; record or convert it again")

    def frames(self) -> Iterator[Frame]:
        """Yield all frames that can be decoded; damaged ones, and time stamps in disorder (see `FileClock`), count in
        `problems`."""
        problems = self.problems = []
        clock = FileClock[tuple[int, Any]](self.interval)
        last = -1.0
        with self._open() as container:
            packets = _Packets(container, self.number, problems)
            stamped = ((frame.time, (index, frame)) for index, frame in enumerate(packets))
            try:
                for last, (index, frame) in clock(stamped):
                    self.first = clock.first
                    yield Frame(index, f"{index:06d}", last + self._shift, partial(self._image, frame))
            finally:
                if packets.damaged:
                    problems.append(f"{self.path}: {pluralize(packets.damaged, 'damaged packet')} left out")
                problems += clock.problems(self.path)
        if self.duration and last >= 0 and self.duration - last > 2.5 * self.interval + 0.01:
            announced = f", announced are {self.duration:.2f} s"
            problems.append(f"{self.path}: ends early, after {last + self.interval:.2f} s{announced}")

    def count_from(self, moment: float | None) -> None:
        """Count the times from this moment on the file's clock, seconds, if its frames have times."""
        if self.first is not None and moment is not None:
            self._shift = self.first - moment

    @staticmethod
    def open(path: Path) -> av.container.InputContainer:
        """The file's container.

        Raises:
            DataError: it cannot be read, or holds no video stream.
        """
        av = pyav()
        try:
            container = av.open(local_name(path), options=LOCAL)
        except av.error.FFmpegError as error:
            raise DataError(
                f"{path}: cannot be read as a video ({error.strerror}); an .mp4 whose recording was cut off has "
                "no index: repair it, or give another file"
            ) from error
        if not container.streams.video:
            container.close()
            raise DataError(f"{path}: holds no video stream; give a file with one")
        return container

    def _open(self) -> av.container.InputContainer:
        container = self.open(self.path)
        if self.number >= len(container.streams.video):
            count = len(container.streams.video)
            container.close()
            raise DataError(f"{self.path}: no video stream {self.number}; the file has {count}, counted from 0")
        container.streams.video[self.number].thread_type = "AUTO"
        return container

    def _image(self, frame: av.VideoFrame) -> Image:
        return frame_image(frame, self.kind, self.path, self.crop, self.dtype)


class _Packets:
    """Frames of a video stream; ends where the file does.

    Attributes:
        damaged: number of packets left out because they cannot be decoded.
    """

    def __init__(self, container: av.container.InputContainer, number: int, problems: list[str]) -> None:
        self.container, self.number, self.problems, self.damaged = container, number, problems, 0

    def __iter__(self) -> Iterator[av.VideoFrame]:
        error = pyav().error
        packets = self.container.demux(self.container.streams.video[self.number])
        while True:
            try:
                packet = next(packets, None)
            except (error.FFmpegError, OSError) as failure:
                name = self.container.name.removeprefix("file:")
                self.problems.append(f"{name}: cannot be read further ({failure.strerror})")
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except error.EOFError:
                return
            except error.FFmpegError:
                self.damaged += 1


def _duration(stream: av.VideoStream, container: av.container.InputContainer) -> float | None:
    """Seconds, of the video stream alone where the file tells: sound may be longer."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        end = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])  # Matroska counts from the file's beginning
        return end - float((stream.start_time or 0) * (stream.time_base or 0))
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else None


def _because(problems: list[str]) -> str:
    return f" ({problems[0]})" if problems else ""
