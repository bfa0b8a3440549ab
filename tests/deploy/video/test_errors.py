"""Videos that are not what they should be, and the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import cimnet
from cimnet.cli.video import video
from cimnet.deploy.video import VideoSettings, predict_video
from cimnet.deploy.video.sources import open_source
from cimnet.errors import CheckpointError, CimnetError, ConfigError, DataError
from cimnet.inference import Predictor
from tests.conftest import Trained

from .films import HEIGHT, WIDTH, film, look, world, write_video

av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return cimnet.load(trained.folder, "cpu")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.mp4", None, "no such file or folder"),
        ("text.mp4", b"not a video at all" * 50, "cannot be read as a video"),
        ("empty.mp4", b"", "cannot be read as a video"),
        ("one.png", b"x", "one image; give a video or a folder"),
    ],
)
def test_not_a_video(tmp_path: Path, name: str, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=expected):
        open_source(tmp_path / name, "rgb")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(DataError, match="holds no video stream"):
        open_source(path, "rgb")


def test_folders_need_a_rate_and_videos_do_not(tmp_path: Path) -> None:
    rgb, thermal = film(tmp_path, 0.2)
    with pytest.raises(DataError, match="no images in it"):
        open_source(tmp_path, "rgb", 10)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "7.png").touch()
    with pytest.raises(ConfigError, match="hold no times; give thermal_fps"):
        open_source(tmp_path / "images", "thermal")
    with pytest.raises(ConfigError, match="is a video and has its own times; leave thermal_fps out"):
        open_source(thermal, "thermal", 9)
    assert open_source(rgb, "rgb").interval == pytest.approx(1 / 30)


def test_images_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    from PIL import Image

    for number in (1, 2, 9, 10, 11):
        Image.new("RGB", (8, 8)).save(tmp_path / f"f{number}.png")
    source = open_source(tmp_path, "rgb", 10)
    assert [(frame.name, frame.time) for frame in source.frames()] == [
        ("f1", 0.0), ("f2", 0.1), ("f9", 0.2), ("f10", pytest.approx(0.3)), ("f11", 0.4),
    ]  # fmt: skip
    assert source.problems == []  # more numbers are missing than there are: they count something else
    Image.new("RGB", (8, 8)).save(tmp_path / "f5.png")
    (tmp_path / "f1.png").unlink()
    for number in (3, 4, 6, 7):
        Image.new("RGB", (8, 8)).save(tmp_path / f"f{number}.png")
    assert ": 1 number left out" in open_source(tmp_path, "rgb", 10).problems[0]


def test_truncated_videos_give_what_they_have(predictor: Predictor, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(30)]
    times = [k / 30 for k in range(30)]
    _, thermal = film(tmp_path, 1.2)
    for name, flags in (("cut.mp4", "+faststart"), ("cut.mkv", None)):
        path = write_video(tmp_path / name, images, times, movflags=flags)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        result = predict_video(predictor, path, thermal, tmp_path / f"{name}.out.mp4")
        assert 8 < result.frames < 22
        assert any("ends early" in text for text in result.notes)
        assert len(list(open_source(tmp_path / f"{name}.out.mp4", "rgb").frames())) == result.frames
    path = write_video(tmp_path / "noindex.mp4", images, times)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(DataError, match="has no index"):
        open_source(path, "rgb")


@pytest.mark.skipif(
    not hasattr(av.video.stream.VideoStream, "set_display_rotation"), reason="this PyAV cannot write the tag"
)
def test_phone_videos_are_turned_upright(tmp_path: Path) -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:16] = 255  # the top, as stored
    for rotation, bright in ((90, np.s_[:, :16]), (-90, np.s_[:, -16:]), (180, np.s_[-16:])):
        path = write_video(tmp_path / f"{rotation}.mp4", [image] * 3, [0, 0.1, 0.2], rotation=rotation)
        upright = next(iter(open_source(path, "rgb").frames())).image
        assert upright.shape == ((HEIGHT, WIDTH, 3) if rotation == 180 else (WIDTH, HEIGHT, 3))
        assert upright[bright].mean() > 235
        assert upright.mean() < 90


def test_thermal_videos(tmp_path: Path) -> None:
    ground = world()
    times = [0, 0.1, 0.2]
    grey = [look(time, ground, True) for time in times]
    deep = [image.astype(np.uint16) * 200 for image in grey]
    path = write_video(tmp_path / "deep.mkv", deep, times, codec="ffv1", pix_fmt="gray16le")
    assert (list(open_source(path, "thermal").frames())[1].image == deep[1]).all()
    path = write_video(tmp_path / "grey.mkv", grey, times, codec="ffv1", pix_fmt="gray")
    assert (list(open_source(path, "thermal").frames())[2].image == grey[2]).all()
    lossy = next(iter(open_source(write_video(tmp_path / "a.mp4", grey, times), "thermal").frames())).image
    assert np.abs(lossy.astype(int) - grey[0]).max() < 16
    coloured = write_video(tmp_path / "c.mp4", [look(time, ground, False) for time in times], times)
    with pytest.raises(DataError, match=r"c\.mp4: a thermal video in colours"):
        _ = next(iter(open_source(coloured, "thermal").frames())).image


def test_sizes_offsets_and_alarms_that_do_not_fit(predictor: Predictor, tmp_path: Path) -> None:
    rgb, thermal = film(tmp_path, 0.4)
    ground = world()
    small = write_video(tmp_path / "small.mp4", [look(t / 9, ground, True)[:32] for t in range(4)], [0, 0.1, 0.2, 0.3])
    with pytest.raises(DataError, match="thermal frames are 96x32, RGB frames 96x64; register"):
        predict_video(predictor, rgb, small, tmp_path / "out", thermal_fit="error")
    with pytest.raises(DataError, match=r"no RGB frame has a thermal frame .*--time-offset"):
        predict_video(predictor, rgb, thermal, tmp_path / "out", time_offset=9.0)
    with pytest.raises(DataError, match=r"no frame from 7 s on; give another --start"):
        predict_video(predictor, rgb, thermal, tmp_path / "out", start=7)
    with pytest.raises(CheckpointError, match="cimnet calibrate"):
        predict_video(predictor, rgb, thermal, tmp_path / "out", alarms=True)
    with pytest.raises(ConfigError, match="--view none makes no video"):
        predict_video(predictor, rgb, thermal, tmp_path / "o.mp4", view="none")
    assert not (tmp_path / "out").exists()
    matrix = tmp_path / "matrix.json"
    matrix.write_text('{"matrix": [[1, 0, 0], [0, 0.5, 0]]}', encoding="utf-8")
    fitted = predict_video(predictor, rgb, small, tmp_path / "out", calibration=matrix, thermal_fit="error")
    assert fitted.frames > 6
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(CimnetError, match="file"):
        predict_video(predictor, rgb, thermal, tmp_path / "file")


@pytest.mark.parametrize(
    "setting", [{"smooth": 1.0}, {"every": 0}, {"start": 2.0, "end": 1.0}, {"time_offset": "soon"}, {"view": "both"}]
)
def test_settings_out_of_range(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"{list(setting)[-1]} is .*expected"):
        VideoSettings(**setting)  # type: ignore[arg-type]


def test_without_pyav(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "v.mp4"
    path.touch()
    with pytest.raises(ConfigError, match=r'pip install "cimnet\[video\]"'):
        open_source(path, "rgb")


def test_command(trained: Trained, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(video)
    rgb, thermal = film(tmp_path, 0.4)
    arguments = [str(trained.folder), "--rgb", str(rgb), "--thermal", str(thermal), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*arguments, "--time-offset", "-0.05", "--view", "side", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "frames: " in done.output
    assert (tmp_path / "out" / "overlay.mp4").stat().st_size > 1000
    wrong = CliRunner().invoke(app, [*arguments, "--time-offset", "x"])
    assert isinstance(wrong.exception, ConfigError)


def test_a_stack_of_images_is_no_video(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((3, 8, 9), np.uint16), photometric="minisblack")
    with pytest.raises(DataError, match=r"stack\.tif: a stack of 3 images \(pages\); split it"):
        open_source(tmp_path / "stack.tif", "thermal")
