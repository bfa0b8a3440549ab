"""The source of a live stream, as the user writes it."""

from __future__ import annotations

import errno
import io
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cimnet.deploy.video.sources import LOCAL, local_name
from cimnet.errors import ConfigError, DataError

Medium = Literal["network", "device", "pipe", "folder", "file"]
OPEN_SECONDS, READ_SECONDS = 10.0, 5.0
_NETWORK: dict[str, dict[str, str]] = {
    "rtsp": {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,rtp,tcp,udp,tls,crypto", "fflags": "nobuffer"},
    "rtsps": {"rtsp_transport": "tcp", "protocol_whitelist": "rtsps,rtsp,rtp,tcp,udp,tls,crypto", "fflags": "nobuffer"},
    "udp": {"protocol_whitelist": "udp", "format_whitelist": "mpegts,h264,hevc,mjpeg", "fflags": "nobuffer"},
    "tcp": {
        "protocol_whitelist": "tcp",
        "format_whitelist": "mpegts,matroska,nut,h264,hevc,mjpeg",
        "fflags": "nobuffer",
    },
}
_HEALS = (errno.EBUSY, errno.EAGAIN, errno.EIO, errno.ETIMEDOUT, errno.EINTR)
"""Of a device that cannot be opened: another program uses it, or it is not ready yet."""
_SECRET = re.compile(
    r"\b((?:user|usr|username|login|pass|passwd|password|pwd|psw|token|auth|key|secret)=)[^&;?/\s]*", re.IGNORECASE
)


@dataclass(frozen=True)
class Address:
    """A place that frames come from.

    Attributes:
        text: as the user wrote it, passwords taken out.
        medium: what kind of place.
        target: for FFmpeg, or the folder.
        options: of FFmpeg.
        format: of FFmpeg, None: found out.
    """

    text: str
    medium: Medium
    target: str
    options: dict[str, str] = field(default_factory=dict)
    format: str | None = None

    @property
    def returns(self) -> bool:
        """Whether it is worth trying again when the stream has ended."""
        return self.medium in ("network", "device")

    def may_heal(self, error: Exception) -> bool:
        """Whether a source that has given no frame yet may be opened later, after this error of `open`: a camera that
        another program uses, or a server that is not up. Not: what is no camera, or must not be read."""
        from cimnet.deploy.video.sources import pyav

        if not self.returns:
            return False
        if self.medium == "device":
            return isinstance(error, OSError) and error.errno in _HEALS
        av = pyav().error
        final = (av.HTTPUnauthorizedError, av.HTTPForbiddenError, av.PermissionError, av.ProtocolNotFoundError)
        return not isinstance(error, (*final, av.DemuxerNotFoundError, av.DecoderNotFoundError))

    @property
    def remedy(self) -> str:
        """Return the remedy for an address that can never be opened."""
        if self.medium == "device":
            return "give a camera's capture device that you may read (`v4l2-ctl --list-devices` lists them)"
        return "check the address, the user name and the password with ffplay"

    def open(self) -> Any:
        """FFmpeg's container of it.

        Raises:
            OSError, av.error.FFmpegError: it cannot be opened now.
        """
        from cimnet.deploy.video.sources import pyav

        file: Any = self.target
        if self.medium == "pipe":
            # not sys.stdin: a thread that waits in it makes the interpreter abort at its end
            file = io.FileIO(0, closefd=False) if self.target == "-" else io.FileIO(self.target)
        timeout = (OPEN_SECONDS, READ_SECONDS) if self.medium == "network" else None
        return pyav().open(file, format=self.format, options=self.options, timeout=timeout)


def parse_address(text: str, option: str) -> Address:
    """The place that a user's text names: ``rtsp://…``, ``udp://…``, ``tcp://…``, a V4L2 device (``/dev/video0``), a
    video file (played at its own pace), a named pipe, ``-`` (standard input), or a folder that images are written to.

    Args:
        option: of the command line, for messages.

    Raises:
        ConfigError: an address of another kind.
        DataError: no such file.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if scheme:
        name = scheme[1].lower()
        if name not in _NETWORK:
            known = ", ".join(f"{known}://" for known in _NETWORK)
            raise ConfigError(f"{option} {hide_password(text)}: addresses begin with {known}; others are not opened")
        raw = {"udp": {"fifo_size": "20000", "overrun_nonfatal": "1"}}.get(name, {})
        return Address(hide_password(text), "network", text, {**_NETWORK[name], **raw})
    if text == "-":
        return Address("standard input", "pipe", "-", {"format_whitelist": LOCAL["format_whitelist"]})
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"{option} {text}: {error.strerror}; give a stream's address, a device or a file") from error
    if stat.S_ISDIR(mode):
        return Address(text, "folder", text)
    if stat.S_ISCHR(mode):
        return Address(text, "device", text, {"fflags": "nobuffer"}, "v4l2")
    if stat.S_ISFIFO(mode):
        return Address(text, "pipe", text, {"format_whitelist": LOCAL["format_whitelist"]})
    return Address(text, "file", local_name(path), LOCAL)


def hide_password(address: str) -> str:
    """The address without user name and password, for messages and the page.

    A password may hold any sign, "@" and "/" too. Some cameras take it in the path or query instead, as
    ``/user=NAME&password=…``.
    """
    return _SECRET.sub(r"\1…", re.sub(r"//.*@", "//…@", address))
