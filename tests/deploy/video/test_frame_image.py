"""Decoded frames: turned and mirrored as the file says, and of more than 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimnet.data.io.thermal_files import Wanted
from cimnet.deploy.video.frame_image import frame_image
from cimnet.deploy.video.one_file import tell_apart
from cimnet.deploy.video.sources import open_source
from cimnet.deploy.video.video_settings import VideoSettings
from cimnet.errors import DataError

from .films import Array, look, world, write_video

av = pytest.importorskip("av")
ONE, W = 65536, 1 << 30
tags = pytest.mark.skipif(
    not hasattr(av.video.stream.VideoStream, "set_display_matrix"), reason="this PyAV cannot write the matrix"
)


def matrix(a: float, b: float, c: float, d: float) -> list[int]:
    """FFmpeg's display matrix: x' = a·x + c·y, y' = b·x + d·y."""
    return [round(a * ONE), round(b * ONE), 0, round(c * ONE), round(d * ONE), 0, 0, 0, W]


def first_frame(path: Path, numbers: Sequence[int]) -> Array:
    write_video(path, [look(0, world(), False)] * 2, [0, 0.1], codec="png", pix_fmt="rgb24", matrix=numbers)
    image: Array = next(iter(open_source(path, "rgb").frames())).image
    return image


@tags
@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),  # mirrored, as by a selfie camera
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),  # clockwise
        ((0, -1, 1, 0), lambda image: np.rot90(image)),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda image: image[::-1, ::-1].swapaxes(0, 1)),
        ((0, 2, -2, 0), lambda image: np.rot90(image, -1)),  # pixels stay as they are
        ((0.0001, 1, -1, 0), lambda image: np.rot90(image, -1)),
    ],
)
def test_quarter_turns_and_mirroring(tmp_path: Path, numbers: Sequence[float], expected: Any) -> None:
    image = first_frame(tmp_path / "v.mov", matrix(*numbers))
    np.testing.assert_array_equal(image, expected(look(0, world(), False)))


@tags
@pytest.mark.parametrize(("numbers", "angle"), [((0.7071, 0.7071, -0.7071, 0.7071), 45), ((1, 0, 0.3, 1), 0)])
def test_other_angles_and_skews_are_refused(tmp_path: Path, numbers: Sequence[float], angle: int) -> None:
    with pytest.raises(DataError, match=rf"v\.mov: its display matrix turns the picture by {angle} degrees .*ffmpeg"):
        first_frame(tmp_path / "v.mov", matrix(*numbers))


def frame(layout: str, values: Any) -> Any:
    """A frame of 16x16 whose planes hold a ramp of values."""
    made = av.VideoFrame(16, 16, layout)
    for plane in made.planes:
        kind = np.uint16 if made.format.components[0].bits > 8 else np.uint8
        plane.update(np.resize(values, plane.buffer_size // np.dtype(kind).itemsize).astype(kind).tobytes())
    return made


@pytest.mark.parametrize("layout", ["yuv420p10le", "gbrp10le", "gbrp16le", "rgb48le", "gray10le", "gray12le"])
def test_thermal_values_of_more_than_8_bits_are_not_cut(layout: str) -> None:
    with pytest.raises(DataError, match=rf"t\.mkv: thermal values of the format {layout} .*ffmpeg -i .*gray16le"):
        frame_image(frame(layout, 512), "thermal", "t.mkv")


@pytest.mark.parametrize("layout", ["yuv420p10le", "yuv422p12le", "gbrp10le"])
def test_thermal_pictures_in_display_formats_become_8_bits_for_a_model_of_8(layout: str) -> None:
    bits = av.VideoFormat(layout, 16, 16).components[0].bits
    image = frame_image(frame(layout, 1 << (bits - 1)), "thermal", "t.mkv", dtype="uint8")
    assert (image.shape, image.dtype) == ((16, 16), np.uint8)
    assert np.abs(image.astype(int) - 128).max() < 5
    with pytest.raises(DataError, match="format"):
        frame_image(frame(layout, 512), "thermal", "t.mkv", dtype="uint16")


@pytest.mark.parametrize("layout", ["gray10le", "gray12le", "gbrp16le"])
def test_thermal_counts_of_more_bits_are_cut_for_no_model(layout: str) -> None:
    with pytest.raises(DataError, match="format"):
        frame_image(frame(layout, 512), "thermal", "t.mkv", dtype="uint8")


def test_a_10_bit_thermal_film_is_read_for_a_model_of_8(tmp_path: Path) -> None:
    picture = look(0, world(), True)
    path = write_video(tmp_path / "t.mkv", [picture] * 2, [0, 0.1], codec="ffv1", pix_fmt="yuv420p10le")
    image = next(iter(open_source(path, "thermal", wanted=Wanted(dtype="uint8")).frames())).image
    assert np.abs(image.astype(int) - picture).max() < 4
    with pytest.raises(DataError, match="yuv420p10le"):
        _ = next(iter(open_source(path, "thermal").frames())).image


def test_thermal_values_of_16_grey_bits_are_read() -> None:
    assert (frame_image(frame("gray16le", 12345), "thermal", "t.mkv") == 12345).all()
    assert (frame_image(frame("gray", 77), "thermal", "t.mkv") == 77).all()


@pytest.mark.parametrize("layout", ["gbrp16le", "rgb48le", "gray16le"])
def test_colours_of_16_bits_may_fill_fewer(layout: str) -> None:
    """12 bits in 16 would be almost black."""
    with pytest.raises(DataError, match=rf"c\.mkv: RGB values of 16 bits \({layout}\).*ffmpeg .*colorlevels"):
        frame_image(frame(layout, 4095), "rgb", "c.mkv")


@pytest.mark.parametrize("layout", ["yuv420p10le", "yuv422p12le", "gbrp10le", "gbrp12le"])
def test_colours_of_10_and_12_bits_become_8(layout: str) -> None:
    bits = av.VideoFormat(layout, 16, 16).components[0].bits
    image = frame_image(frame(layout, 1 << (bits - 1)), "rgb", "c.mkv")
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - 128).max() < 5


def test_a_stream_of_16_grey_bits_is_told_from_colours(tmp_path: Path) -> None:
    path = tmp_path / "both.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("ffv1", rate=10) for _ in range(2)]
        for stream, layout in zip(streams, ("gray16le", "bgr0"), strict=True):
            stream.width, stream.height, stream.pix_fmt = 96, 64, layout
        deep = look(0, world(), True).astype(np.uint16) * 200
        for stream, made in zip(
            streams,
            (
                av.VideoFrame.from_ndarray(deep, format="gray16le"),
                av.VideoFrame.from_ndarray(look(0, world(), False), format="rgb24"),
            ),
            strict=True,
        ):
            made.pts, made.time_base = 0, Fraction(1, 10)
            container.mux(stream.encode(made))
            container.mux(stream.encode(None))
    asked, _ = tell_apart(path, VideoSettings())
    assert (asked.rgb_stream, asked.thermal_stream) == (1, 0)
