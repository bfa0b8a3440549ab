"""Every encoding gives the picture that was put in, or is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")

from cimnet.deploy.robots.images import image_fields, jpeg_fields, read_image
from cimnet.deploy.robots.ros_types import header, make, typestore
from cimnet.errors import DataError

from ..video.films import look
from .bags import GROUND, compressed, image

STORE = typestore(2)
COLOURS = look(0.3, GROUND, False)
HEAT = look(0.3, GROUND, True)


@pytest.mark.parametrize("pad", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "array"),
    [
        ("rgb8", COLOURS),
        ("bgr8", COLOURS[..., ::-1]),
        ("rgba8", np.dstack([COLOURS, HEAT])),
        ("bgra8", np.dstack([COLOURS[..., ::-1], HEAT])),
    ],
)
def test_colours(encoding: str, array: Any, pad: int) -> None:
    np.testing.assert_array_equal(read_image(image(STORE, array, encoding, 1, pad), "rgb", "t"), COLOURS)


@pytest.mark.parametrize("pad", [0, 6])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("encoding", "array"),
    [
        ("mono8", HEAT),
        ("8UC1", HEAT),
        ("mono16", HEAT.astype(np.uint16) * 200),
        ("16UC1", HEAT.astype(np.uint16) * 200),
        ("32FC1", HEAT.astype(np.float32) / 7),
    ],
)
def test_thermal_values_keep_their_type(encoding: str, array: Any, big: bool, pad: int) -> None:
    found = read_image(image(STORE, array, encoding, 1, pad, big), "thermal", "t")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_grey_images_are_rgb_with_equal_channels() -> None:
    np.testing.assert_array_equal(
        read_image(image(STORE, HEAT, "mono8", 1), "rgb", "t"), np.repeat(HEAT[..., None], 3, axis=2)
    )
    grey = np.repeat(HEAT[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(image(STORE, grey, "rgb8", 1), "thermal", "t"), HEAT)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns(pattern: str) -> None:
    """A smooth picture, seen through each pattern, comes back nearly as it was; also of a PNG that says so."""
    pytest.importorskip("cv2")
    y, x = np.mgrid[:64, :96]
    smooth = np.stack([40 + 2 * x, 200 - y - x // 2, 30 + 3 * y], axis=-1).astype(np.uint8)
    mosaic = np.empty((64, 96), np.uint8)
    for place, letter in enumerate(pattern):
        row, column = divmod(place, 2)
        mosaic[row::2, column::2] = smooth[row::2, column::2, "rgb".index(letter)]
    raw = image(STORE, mosaic, f"bayer_{pattern}8", 1)
    png = compressed(STORE, mosaic, "png", 1, f"bayer_{pattern}8; png compressed ")
    for message in (raw, png):
        found = read_image(message, "rgb", "t")
        assert np.abs(found.astype(int) - smooth)[2:-2, 2:-2].max() <= 4


def test_compressed_images() -> None:
    np.testing.assert_array_equal(read_image(compressed(STORE, COLOURS, "png", 1), "rgb", "t"), COLOURS)
    lossy = read_image(compressed(STORE, COLOURS, "jpeg", 1, "bgr8; jpeg compressed bgr8"), "rgb", "t")
    assert np.abs(lossy.astype(int) - COLOURS).mean() < 4
    deep = HEAT.astype(np.uint16) * 200
    np.testing.assert_array_equal(
        read_image(compressed(STORE, deep, "png", 1, "16UC1; png compressed "), "thermal", "t"), deep
    )
    np.testing.assert_array_equal(read_image(compressed(STORE, HEAT, "png", 1), "thermal", "t"), HEAT)


@pytest.mark.parametrize(
    "form",
    ["jpg", "rgb8; jpeg", "8UC3; jpeg compressed ", "yuv422; jpeg compressed bgr8", "rgb16; jpeg compressed bgr8",
     "bayer_rggb8; jpeg compressed bgr8", "yuv422; jpeg compressed ", "nv12; jpeg compressed ",
     "8UC4; jpeg compressed ", "jpeg; jpeg compressed"],
)  # fmt: skip
def test_colours_that_the_publisher_converted(form: str) -> None:
    found = read_image(compressed(STORE, COLOURS, "jpeg", 1, form), "rgb", "t")
    assert np.abs(found.astype(int) - COLOURS).mean() < 4


@pytest.mark.parametrize("kind", ["rgb", "thermal"])
@pytest.mark.parametrize(
    ("form", "channels", "says"),
    [
        ("rgb16; png compressed bgr16", 3, "encoding bgr16; known are"),
        ("16UC3; png compressed ", 3, "encoding 16UC3; known are"),
        ("16SC1; png compressed ", 1, "encoding 16SC1; known are"),
        ("bayer_rggb16; png compressed ", 1, "encoding bayer_rggb16; known are"),
        ("rgb16; jpeg compressed ", -1, "encoding rgb16; known are"),
        ("32FC3; jpeg compressed ", -1, "encoding 32FC3; known are"),
        ("yuv422; jpeg compressed ", 0, "encoding yuv422; known are"),
        ("yuv422; png compressed ", 4, "encoding yuv422; known are"),
        ("png", 3, "colours of 16 bits"),
        ("bgr8; png compressed bgr8", 3, "a PNG of 16 bits"),
        ("8UC1; png compressed ", 1, "a PNG of 16 bits"),
        ("mono16; jpeg compressed ", 0, "a JPEG of 8 bits"),
        ("32FC1; jpeg compressed ", 0, "a JPEG of 8 bits"),
        ("16UC1; png compressed ", 4, "a PNG of 8 bits"),
    ],
)
def test_compressed_images_that_lost_values(form: str, channels: int, says: str, kind: Any) -> None:
    """Of PNGs with 16 bits: grey, or colours. 0: a grey JPEG; -1: one in colours; 4: a PNG with 8 bits."""
    cv2 = pytest.importorskip("cv2")
    message = compressed(STORE, COLOURS if channels < 0 else HEAT, "png" if channels > 0 else "jpeg", 1, form)
    if channels in (1, 3):
        deep = np.dstack([HEAT.astype(np.uint16) * 200] * channels)
        message.data = cv2.imencode(".png", deep)[1].ravel()
    with pytest.raises(DataError, match=rf"/topic: .*{says}.*; record (it as bgr8, rgb8|the raw topic)"):
        read_image(message, kind, "/topic")


def test_what_is_refused() -> None:
    def refused(message: Any, kind: Any, text: str) -> None:
        with pytest.raises(DataError, match=rf"/topic: .*{text}"):
            read_image(message, kind, "/topic")

    refused(image(STORE, HEAT, "16UC1", 1), "rgb", "too few|16UC1")
    refused(image(STORE, HEAT.astype(np.uint16), "16UC1", 1), "rgb", "encoding 16UC1")
    refused(image(STORE, HEAT, "yuv422", 1), "rgb", "yuv422; known are rgb8.*; record it as bgr8, rgb8, mono8")
    refused(image(STORE, COLOURS, "rgb8", 1), "thermal", "in colours")
    short = image(STORE, COLOURS, "rgb8", 1)
    short.data = short.data[:-3]
    refused(short, "rgb", "too few")
    refused(compressed(STORE, HEAT, "png", 1, "16UC1; compressedDepth png"), "thermal", "compressedDepth")
    broken = compressed(STORE, COLOURS, "png", 1)
    broken.data = broken.data[:40]
    refused(broken, "rgb", "cannot be decoded")
    narrow = image(STORE, COLOURS, "rgb8", 1)
    narrow.step = 4
    refused(narrow, "rgb", "step 4")


def test_what_is_written_can_be_read() -> None:
    heading = header(STORE, 5, "a", 0)
    mask = make(STORE, "sensor_msgs/msg/Image", header=heading, **image_fields(HEAT))
    np.testing.assert_array_equal(read_image(mask, "thermal", "t"), HEAT)
    overlay = make(STORE, "sensor_msgs/msg/Image", header=heading, **image_fields(COLOURS))
    np.testing.assert_array_equal(read_image(overlay, "rgb", "t"), COLOURS)
    lossy = make(STORE, "sensor_msgs/msg/CompressedImage", header=heading, **jpeg_fields(COLOURS))
    assert np.abs(read_image(lossy, "rgb", "t").astype(int) - COLOURS).mean() < 5
