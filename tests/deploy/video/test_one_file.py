"""Both sensors in one file, parts of frames, streams by number, and folders whose names hold times."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cimnet
from cimnet.data.io.thermal_files import Wanted
from cimnet.deploy.video import predict_video
from cimnet.deploy.video.crop import Crop, parse_crop
from cimnet.deploy.video.pairing import pair_frames
from cimnet.deploy.video.predict_video import open_sources
from cimnet.deploy.video.sources import open_source, pyav
from cimnet.deploy.video.video_settings import VideoSettings
from cimnet.errors import ConfigError, DataError
from cimnet.inference import Predictor
from tests.conftest import Trained

from .films import HEIGHT, WIDTH, look, world, write_video

av = pytest.importorskip("av")
TIMES = [0.0, 0.1, 0.2, 0.3]


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return cimnet.load(trained.folder, "cpu")


def pictures() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """RGB frames, and thermal frames as three equal channels."""
    ground = world()
    grey = [look(time, ground, thermal=True) for time in TIMES]
    return [look(time, ground, thermal=False) for time in TIMES], [np.dstack([image] * 3) for image in grey]


def two_streams(path: Path, first: list[np.ndarray], second: list[np.ndarray], late: tuple[int, int] = (0, 0)) -> Path:
    """A file with two video streams of 10 frames a second; each begins so many frames late."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=10, options={"crf": "8"}) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, pair in enumerate(zip(first, second, strict=True)):
            for stream, image, wait in zip(streams, pair, late, strict=True):
                if number < wait:
                    continue
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def masks(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted((folder / "masks").glob("*.png"))]


@pytest.fixture(scope="module")
def expected(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Masks from two files."""
    folder = tmp_path_factory.mktemp("two")
    rgb, thermal = pictures()
    write_video(folder / "rgb.mp4", rgb, TIMES)
    write_video(folder / "thermal.mp4", thermal, TIMES)
    predict_video(predictor, folder / "rgb.mp4", folder / "thermal.mp4", folder / "out", view="none")
    return masks(folder / "out")


def agree(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    """Of another encoding, a few pixels may differ."""
    shares = [(a == b).mean() for a, b in zip(found, expected, strict=True)]
    return min(shares) > 0.97


@pytest.mark.parametrize("order", ["left", "right", "top", "bottom"])
def test_halves_are_told_apart(predictor: Predictor, tmp_path: Path, expected: list[np.ndarray], order: str) -> None:
    rgb, thermal = pictures()
    first, second = (rgb, thermal) if order in ("left", "top") else (thermal, rgb)
    stack = np.hstack if order in ("left", "right") else np.vstack
    frames = [stack(pair) for pair in zip(first, second, strict=True)]
    path = write_video(tmp_path / "both.mp4", frames, TIMES)
    result = predict_video(predictor, path, path, tmp_path / "out", view="none")
    assert f"the {order} half taken for RGB" in result.notes[0]
    assert agree(masks(tmp_path / "out"), expected)


@pytest.mark.parametrize("rgb_first", [True, False])
def test_streams_are_told_apart(
    predictor: Predictor, tmp_path: Path, expected: list[np.ndarray], rgb_first: bool
) -> None:
    rgb, thermal = pictures()
    path = two_streams(tmp_path / "both.mkv", *((rgb, thermal) if rgb_first else (thermal, rgb)))
    result = predict_video(predictor, path, path, tmp_path / "out", view="none")
    assert f"stream {0 if rgb_first else 1} taken for RGB" in result.notes[0]
    assert agree(masks(tmp_path / "out"), expected)


@pytest.mark.parametrize("late", [(0, 5), (3, 0), (2, 2)])
@pytest.mark.parametrize("name", ["both.mkv", "both.mp4"])
def test_streams_of_one_file_share_its_clock(tmp_path: Path, name: str, late: tuple[int, int]) -> None:
    """Brightness is the time: frames of one moment are a pair, and times count from the first RGB frame."""
    rgb = [np.full((HEIGHT, WIDTH, 3), 20 + 10 * number, np.uint8) for number in range(12)]
    thermal = [image.copy() for image in rgb]
    for image in rgb:
        image[:, :48] = (200, 10, 10)
    path = two_streams(tmp_path / name, rgb, thermal, late)
    _, sources = open_sources(path, path, VideoSettings(), str, Wanted())
    pairs = [pair for pair in pair_frames(sources[0].frames(), sources[1].frames(), 0.0, 0.01) if pair.thermal]
    assert len(pairs) == 12 - max(late)
    for pair in pairs:
        assert pair.thermal is not None
        assert pair.thermal.time == pytest.approx(pair.rgb.time, abs=1e-6)
        assert abs(int(pair.thermal.image[32, 70]) - int(pair.rgb.image[32, 70, 0])) < 5
    assert next(sources[0].frames()).time == 0
    assert next(sources[1].frames()).time == pytest.approx((late[1] - late[0]) / 10)
    assert [source.problems for source in sources] == [[], []]


def test_what_cannot_be_told_apart_is_refused_with_the_options(predictor: Predictor, tmp_path: Path) -> None:
    rgb, _ = pictures()
    path = write_video(tmp_path / "rgb.mp4", rgb, TIMES)
    with pytest.raises(DataError, match=r"rgb\.mp4: given for both sensors.*--rgb-crop left --thermal-crop right"):
        predict_video(predictor, path, path, tmp_path / "out")
    path = two_streams(tmp_path / "twice.mkv", rgb, rgb)
    with pytest.raises(DataError, match=r"2 video streams, of which 2 are in colour.*--rgb-stream 0"):
        predict_video(predictor, path, path, tmp_path / "out")
    for places in ({"rgb_stream": 1, "thermal_stream": 1}, {"rgb_crop": "left", "thermal_crop": "left"}):
        with pytest.raises(ConfigError, match=r"stream [01] is given for both sensors; .*--thermal-crop right"):
            predict_video(predictor, path, path, tmp_path / "out", **places)
    assert not (tmp_path / "out").exists()


def test_streams_and_crops_by_name(predictor: Predictor, tmp_path: Path, expected: list[np.ndarray]) -> None:
    rgb, thermal = pictures()
    path = two_streams(tmp_path / "both.mkv", thermal, rgb)
    predict_video(predictor, path, path, tmp_path / "a", view="none", rgb_stream=1, thermal_stream=0)
    assert agree(masks(tmp_path / "a"), expected)
    path = write_video(tmp_path / "side.mp4", [np.hstack(pair) for pair in zip(rgb, thermal, strict=True)], TIMES)
    crops = {"rgb_crop": f"0,0,{WIDTH},{HEIGHT}", "thermal_crop": f"{WIDTH},0,{WIDTH},{HEIGHT}"}
    predict_video(predictor, path, path, tmp_path / "b", view="none", **crops)
    assert agree(masks(tmp_path / "b"), expected)
    with pytest.raises(DataError, match="does not lie in a frame of 192x64"):
        predict_video(predictor, path, path, tmp_path / "c", rgb_crop="100,0,100,64", thermal_crop="right")
    with pytest.raises(DataError, match="no video stream 3; the file has 1"):
        open_source(path, "rgb", stream=3)


@pytest.mark.parametrize("text", ["middle", "1,2,3", "0,0,0,5", "-1,0,5,5", "٣,0,5,5"])
def test_crops_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"rgb_crop .*: give left, right, top, bottom"):
        parse_crop(text, "rgb_crop")


def test_halves_of_an_odd_size_leave_the_middle_out() -> None:
    image = np.arange(15).reshape(3, 5)
    assert Crop("left").cut(image, Path("x")).tolist() == [[0, 1], [5, 6], [10, 11]]
    assert Crop("right").cut(image, Path("x")).tolist() == [[3, 4], [8, 9], [13, 14]]
    assert Crop("bottom").cut(image, Path("x")).tolist() == [[10, 11, 12, 13, 14]]


def test_an_address_is_no_file() -> None:
    with pytest.raises(DataError, match="an address; record the stream to a file first"):
        open_source(Path("rtsp://127.0.0.1:8554/x"), "rgb")


def test_an_older_pyav_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "__version__", "16.1.0")
    with pytest.raises(ConfigError, match=r"PyAV 16\.1\.0 reads BT\.709 videos in wrong colours"):
        pyav()


def test_folders_are_paired_by_the_times_in_their_names(predictor: Predictor, tmp_path: Path) -> None:
    """The RGB logger began later and lost six images: every pair is of one moment all the same."""
    rgb, thermal = tmp_path / "rgb", tmp_path / "thermal"
    rgb.mkdir()
    thermal.mkdir()
    for number in range(16):
        name = f"{1_706_702_400 + number / 10:.3f}.png"
        if 3 <= number < 5 or number > 10:
            Image.fromarray(np.full((HEIGHT, WIDTH, 3), number * 10, np.uint8)).save(rgb / name)
        Image.fromarray(np.full((HEIGHT, WIDTH), number * 10, np.uint8)).save(thermal / name)
    result = predict_video(predictor, rgb, thermal, tmp_path / "out", view="none", fps=10)
    with (tmp_path / "out" / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = sorted(path.stem for path in thermal.iterdir())
    assert [names[int(row["thermal_frame"])] for row in rows] == [row["name"] for row in rows]
    for row in rows:  # both on the clock that begins at the first RGB image
        assert float(row["time"]) == pytest.approx(float(row["name"]) - 1_706_702_400.3, abs=1e-5)
        assert float(row["thermal_time"]) == pytest.approx(float(row["time"]), abs=1e-5)
    assert {float(row["difference"]) for row in rows} == {0.0}
    assert any("about 6 images missing" in note for note in result.notes)
    assert any("fps is ignored" in note for note in result.notes)


def test_a_moment_twice_counts_once(tmp_path: Path) -> None:
    for name in ("a_1706702400000", "b_1706702400000", "a_1706702400100", "a_1706702400200"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / f"{name}.png")
    source = open_source(tmp_path, "rgb")
    assert [frame.name for frame in source.frames()] == ["a_1706702400000", "a_1706702400100", "a_1706702400200"]
    assert "1 image left out" in source.problems[0]


def test_the_offset_of_a_shared_clock(predictor: Predictor, tmp_path: Path) -> None:
    """thermal time − RGB time − offset, by the columns of the table and the offset that was given."""
    for number in range(6):
        for name, first, image in (("rgb", 0.2, (HEIGHT, WIDTH, 3)), ("thermal", 0.0, (HEIGHT, WIDTH))):
            (tmp_path / name).mkdir(exist_ok=True)
            stamp = f"{1_706_702_400 + first + number / 10:.3f}"
            Image.fromarray(np.full(image, 9 * number, np.uint8)).save(tmp_path / name / f"{stamp}.png")
    result = predict_video(
        predictor, tmp_path / "rgb", tmp_path / "thermal", tmp_path / "out", view="none", time_offset=-0.14
    )
    with (tmp_path / "out" / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert result.offset == -0.14
    assert [row["thermal_frame"] for row in rows[:3]] == ["1", "2", "3"]
    for row in rows:
        difference = float(row["thermal_time"]) - float(row["time"]) + 0.14
        assert float(row["difference"]) == pytest.approx(difference, abs=1e-5)
    result = predict_video(
        predictor, tmp_path / "rgb", tmp_path / "thermal", tmp_path / "other", view="none", time_offset=-0.34
    )
    assert "1 RGB frame left out: no thermal frame within 0.100 s" in result.notes


def test_bt709_colours(tmp_path: Path) -> None:
    """Colours of a video that says BT.709, as nearly all HD video does."""
    from av.video.reformatter import ColorRange, Colorspace

    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (128, 128, 128), (230, 120, 60)]
    image = np.zeros((96, 120, 3), np.uint8)
    for number, colour in enumerate(colours):
        image[:, 20 * number : 20 * number + 20] = colour
    path = tmp_path / "hd.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 96, 120, "yuv444p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        for number in range(2):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format="yuv444p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            frame.colorspace, frame.color_range, frame.pts, frame.time_base = 1, 1, number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    read = next(iter(open_source(path, "rgb").frames())).image
    for number, colour in enumerate(colours):
        assert np.abs(read[48, 20 * number + 10].astype(int) - colour).max() < 6
