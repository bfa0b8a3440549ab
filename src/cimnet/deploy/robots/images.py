"""Images of ROS messages as arrays, and arrays as the fields of messages.

A message is anything with the fields of ``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage``, of ROS 1 or 2.
"""

from __future__ import annotations

import io
import re
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from cimnet.errors import DataError, one_line
from cimnet.utils.extras import require

Kind = Literal["rgb", "thermal"]
Array = npt.NDArray[Any]

_LAYOUTS: dict[str, tuple[str, int]] = {  # encoding: type and channels
    "rgb8": ("u1", 3),
    "bgr8": ("u1", 3),
    "rgba8": ("u1", 4),
    "bgra8": ("u1", 4),
    "8UC3": ("u1", 3),
    "mono8": ("u1", 1),
    "8UC1": ("u1", 1),
    "mono16": ("u2", 1),
    "16UC1": ("u2", 1),
    "32FC1": ("f4", 1),
    **{f"bayer_{pattern}8": ("u1", 1) for pattern in ("rggb", "bggr", "gbrg", "grbg")},
}
_RGB = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
_THERMAL = ("mono8", "8UC1", "mono16", "16UC1", "32FC1", "rgb8", "bgr8")
_DEEP = re.compile("16|32|64|8S")
"""In the name of an encoding: its values do not fit into 8 bits."""
_REMEDY = "record it as bgr8, rgb8, mono8 or mono16"
_MOST_PIXELS = 100_000_000


class DamagedImageError(DataError):
    """The data of one message are no picture; the next one's may be."""


def read_image(message: Any, kind: Kind, where: str) -> Array:
    """The picture of a message.

    Args:
        message: ``Image`` or ``CompressedImage``.
        kind: what it is of.
        where: topic, for messages to the user.

    Returns:
        RGB (H, W, 3) uint8, or raw thermal values (H, W) uint8, uint16 or float32.

    Raises:
        DamagedImageError: data that do not fit what the message says of itself, or cannot be decoded.
        DataError: an encoding that is not read.
    """
    array, encoding = _compressed(message, where) if hasattr(message, "format") else _raw(message, where)
    known = _RGB if kind == "rgb" else _THERMAL
    if encoding not in known:
        hint = " (a depth or thermal image?)" if kind == "rgb" else ""
        raise DataError(f"{where}: images of the encoding {encoding}{hint}; {kind} is read from {', '.join(known)}")
    if kind == "thermal":
        return _grey(array, where) if array.ndim == 3 else array
    if encoding.startswith("bayer_"):
        cv2 = require("cv2", "robots", f"{where}: {encoding}")
        pattern = encoding[len("bayer_") : -1].upper()
        colours: Array = cv2.cvtColor(array, getattr(cv2, f"COLOR_Bayer{pattern}2RGB"))
        return colours
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    colours = array[..., :3]
    return np.ascontiguousarray(colours[..., ::-1] if encoding.startswith("bgr") else colours)


def _raw(message: Any, where: str) -> tuple[Array, str]:
    encoding, height, width, step = str(message.encoding), int(message.height), int(message.width), int(message.step)
    kind, channels = _layout(encoding, where)
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    data = np.frombuffer(memoryview(message.data).cast("B"), np.uint8)
    row = width * channels * dtype.itemsize
    if height < 1 or width < 1 or step < row or len(data) < step * (height - 1) + row:
        raise DamagedImageError(
            f"{where}: an image of {width}x{height} {encoding} with step {step} and data of length {len(data)}, which "
            "is too few; the recording is damaged"
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, row), (step, 1), writeable=False)
    array = np.ascontiguousarray(rows).view(dtype).astype(dtype.newbyteorder("="))
    return (array.reshape(height, width, channels) if channels > 1 else array.reshape(height, width)), encoding


def _layout(encoding: str, where: str) -> tuple[str, int]:
    if encoding not in _LAYOUTS:
        raise DataError(f"{where}: images of the encoding {encoding}; known are {', '.join(_LAYOUTS)}; {_REMEDY}")
    return _LAYOUTS[encoding]


def _compressed(message: Any, where: str) -> tuple[Array, str]:
    form, data = str(message.format), bytes(message.data)
    if "compressedDepth" in form:
        raise DataError(f"{where}: {form}; record the raw topic, or republish it (image_transport republish)")
    said = _said(form)
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise DamagedImageError(
                    f"{where}: an image of {picture.width}x{picture.height}; the recording is damaged"
                )
            bits = 16 if picture.format == "PNG" and data[24] == 16 else 8
            if said not in _LAYOUTS and picture.format == "JPEG" and picture.mode == "RGB" and not _DEEP.search(said):
                said = ""  # the encoder made plain colours of it, as of yuv422
            if said:
                _layout(said, where)
            _check_depth(picture, bits, said, where)
            if bits == 16:
                return np.array(picture).astype(np.uint16), "mono16"
            if picture.mode in ("L", "1"):
                return np.array(picture.convert("L")), said if said.startswith("bayer_") else "mono8"
            return np.array(picture.convert("RGB")), "rgb8"
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = f"a compressed image ({form}) cannot be decoded ({one_line(error)})"
        raise DamagedImageError(f"{where}: {reason}") from error


def _said(form: str) -> str:
    """The encoding of the values in a compressed picture by its `format`: the one to which image_transport converted
    them ("yuv422; jpeg compressed bgr8"), or that of the raw images ("16UC1; png compressed "); "" for "jpeg"."""
    encoding, _, how = form.partition(";")
    words = how.split()
    if not words or words[0].lower() not in ("jpeg", "jpg", "png"):
        return ""
    return words[2] if len(words) > 2 else encoding.strip()


def _check_depth(picture: Image.Image, bits: int, said: str, where: str) -> None:
    """Refuse a picture that holds its values with fewer or more bits than they have, or than are read of colours."""
    if said and bits != 8 * np.dtype(_LAYOUTS[said][0]).itemsize:
        raise DataError(
            f"{where}: a {picture.format} of {bits} bits for images of the encoding {said}, whose values it cannot "
            "hold as they are; record the raw topic"
        )
    if bits == 16 and len(picture.getbands()) > 1:
        raise DataError(f"{where}: a {picture.format} of colours of 16 bits; {_REMEDY}")


def _grey(array: Array, where: str) -> Array:
    """One channel of a thermal image that was recorded as colours with three equal channels."""
    if (array.max(axis=2).astype(int) - array.min(axis=2) > 16).mean() > 0.05:
        raise DataError(f"{where}: a thermal image in colours; record the raw topic (mono8 or mono16) of the camera")
    return np.ascontiguousarray(array[..., 1])


def image_fields(array: Array) -> dict[str, Any]:
    """The fields of ``sensor_msgs/Image`` besides its header: mono8 of (H, W) uint8, rgb8 of (H, W, 3)."""
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else 3
    return {
        "height": height,
        "width": width,
        "encoding": "mono8" if channels == 1 else "rgb8",
        "is_bigendian": 0,
        "step": width * channels,
        "data": np.ascontiguousarray(array).reshape(-1),
    }


def jpeg_fields(array: npt.NDArray[np.uint8], quality: int = 85) -> dict[str, Any]:
    """The fields of ``sensor_msgs/CompressedImage`` besides its header, of RGB (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality)
    return {"format": "jpeg", "data": np.frombuffer(buffer.getvalue(), np.uint8)}
