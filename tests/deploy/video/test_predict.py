"""Two videos in, masks and an overlay video out."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cimnet
from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.video import predict_video
from cimnet.deploy.video.output import VideoWriter
from cimnet.deploy.video.smoothing import Average, CutDetector
from cimnet.deploy.video.sources import open_source
from cimnet.errors import CimnetError, DataError
from cimnet.inference import Predictor
from cimnet.inference.fitting import resized
from cimnet.inference.prepared import PreparedPair
from tests.conftest import Trained

from .films import film, look, world, write_video

pytest.importorskip("av")


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return cimnet.load(trained.folder, "cpu", batch_size=4)


def masks(folder: Path) -> list[np.ndarray]:
    return [np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_masks_are_those_of_the_decoded_frames(predictor: Predictor, tmp_path: Path) -> None:
    rgb, thermal = film(tmp_path, 0.6, 0.2)
    steps: list[tuple[int, int]] = []
    settings = {"time_offset": 0.2, "missing": "rgb-only"}
    result = predict_video(
        predictor, rgb, thermal, tmp_path / "out", progress=lambda *done: steps.append(done), **settings
    )
    left, right = (list(open_source(path, kind).frames()) for path, kind in ((rgb, "rgb"), (thermal, "thermal")))
    rows = table(tmp_path / "out" / "frames.csv")
    assert [int(row["frame"]) for row in rows] == list(range(18)) == [int(row["name"]) for row in rows]
    for row, mask in zip(rows, masks(tmp_path / "out" / "masks"), strict=True):
        frame = left[int(row["frame"])]
        near = min(right, key=lambda other: abs(other.time - frame.time - 0.2))
        heat = None if abs(near.time - frame.time - 0.2) > 1 / 9 + 1e-6 else near
        assert row["thermal_frame"] == ("" if heat is None else str(heat.index))
        expected = predictor.predict(frame.image, None if heat is None else heat.image)
        assert (mask == expected).all()
    assert {row["thermal_frame"] for row in rows} >= {"2", "3", "4", ""}
    assert len(np.unique(masks(tmp_path / "out" / "masks"))) > 1
    assert steps[-1] == (18, 18)
    shown = list(open_source(tmp_path / "out" / "overlay.mp4", "rgb").frames())
    assert [frame.time for frame in shown] == pytest.approx([frame.time for frame in left], abs=1e-3)
    assert (result.frames, result.skipped, result.rgb_only) == (18, 0, sum(r["thermal_frame"] == "" for r in rows))
    assert not list(tmp_path.rglob("*.part*"))


def test_thermal_that_ends_first_stops_the_run_with_a_note(predictor: Predictor, tmp_path: Path) -> None:
    rgb, thermal = film(tmp_path, 0.6, 0.2)
    notes: list[str] = []
    result = predict_video(predictor, rgb, thermal, tmp_path / "o.mp4", note=notes.append, time_offset=0.2)
    assert 0 < result.frames < 18
    assert any("no thermal frames for RGB from" in text and "--missing rgb-only" in text for text in notes)
    assert result.notes == notes
    assert result.masks is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.mp4", "rgb.mp4", "thermal.mp4"]


def test_part_views_and_odd_sizes(predictor: Predictor, tmp_path: Path) -> None:
    ground = world()
    folder = tmp_path / "rgb"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(look(number / 10, ground, False)[:63, :95]).save(folder / f"img{number}.png")
    _, thermal = film(tmp_path, 1.2)
    result = predict_video(
        predictor, folder, thermal, tmp_path / "s.mp4", tmp_path / "m", fps=10, every=3, start=0.2, end=1.0, view="side"
    )
    assert [path.stem for path in sorted((tmp_path / "m").glob("*.png"))] == ["img2", "img5", "img8"]
    assert all(mask.shape == (63, 95) for mask in masks(tmp_path / "m"))
    assert any("thermal frames are 96x64, RGB frames 95x63" in text for text in result.notes)
    frame = next(iter(open_source(tmp_path / "s.mp4", "rgb").frames())).image
    assert frame.shape[1] == 3 * 95 + 1
    original = np.array(Image.open(folder / "img2.png")).astype(int)
    assert np.abs(frame[:63, :95].astype(int) - original).mean() < 12
    heat = resized(list(open_source(thermal, "thermal").frames())[2].image, (63, 95)).astype(int)
    assert np.abs(frame[:63, 95:190, 1].astype(int) - heat).mean() < 8


def test_a_thermal_camera_that_hangs_is_told(predictor: Predictor, tmp_path: Path) -> None:
    for sensor in ("rgb", "thermal"):
        (tmp_path / sensor).mkdir()
        for second in range(12):
            shown = look(min(second, 3) if sensor == "thermal" else second, world(), sensor == "thermal")
            Image.fromarray(shown).save(tmp_path / sensor / f"{second:02d}.png")
    settings = {"fps": 1, "thermal_fps": 1, "time_offset": 0.0, "view": "none"}
    result = predict_video(predictor, tmp_path / "rgb", tmp_path / "thermal", tmp_path / "out", **settings)
    assert result.frames == 12
    hung = [note for note in result.notes if "has been the same for 5 s" in note]
    assert [note.startswith(f"{tmp_path / 'thermal'}: ") for note in hung] == [True]


@pytest.mark.parametrize("missing", ["skip", "rgb-only"])
def test_a_thermal_frame_out_of_range_is_left_out(predictor: Predictor, tmp_path: Path, missing: str) -> None:
    """The shutter of a 16-bit camera closes once; if all frames are out of range, the unit is another one."""
    info = replace(predictor.info, scaling=ThermalScaling("range", 7000, 9000), thermal_dtype="uint16")
    deep = Predictor(predictor.model, info, predictor.device, replace(predictor.settings, batch_size=4))
    times = [n / 10 for n in range(6)]
    rgb = write_video(tmp_path / "rgb.mp4", [look(t, world(), False) for t in times], times)
    heat = [look(t, world(), True).astype(np.uint16) * 5 + 7500 for t in times]
    shut = [np.full_like(image, 30000) for image in heat]
    video = {"codec": "ffv1", "pix_fmt": "gray16le"}
    thermal = write_video(tmp_path / "t.mkv", [*heat[:2], shut[2], *heat[3:]], times, **video)
    result = predict_video(deep, rgb, thermal, tmp_path / "out", view="none", missing=missing)
    assert (result.frames, result.out_of_range, result.rgb_only) == ((5, 1, 0) if missing == "skip" else (6, 0, 1))
    [said] = result.notes
    assert said.startswith(f"{thermal}: the frame at 0.20 s is left out: 100% of the thermal values lie outside")
    rows = table(tmp_path / "out" / "frames.csv")
    assert [row["thermal_frame"] for row in rows] == ["0", "1", *([""] if missing == "rgb-only" else []), "3", "4", "5"]
    wrong = write_video(tmp_path / "w.mkv", shut, times, **video)
    with pytest.raises(DataError, match=r"w\.mkv: 100% of the thermal values .*is the unit another one"):
        predict_video(deep, rgb, wrong, tmp_path / "no", view="none", missing=missing)


def test_smoothing_averages_probabilities_and_restarts_at_cuts(predictor: Predictor, tmp_path: Path) -> None:
    ground = world()
    times = [k / 10 for k in range(10)]
    images = [look(t / 5, ground, False) for t in times[:6]] + [255 - look(t / 5, ground, False) for t in times[6:]]
    rgb = write_video(tmp_path / "rgb.mp4", images, times)
    thermal = write_video(tmp_path / "thermal.mp4", [look(t / 5, ground, True) for t in times], times)
    predict_video(predictor, rgb, thermal, tmp_path / "plain", view="none")
    predict_video(predictor, rgb, thermal, tmp_path / "smooth", view="none", smooth=0.7)
    assert not (tmp_path / "smooth" / "overlay.mp4").exists()
    rows = table(tmp_path / "smooth" / "frames.csv")
    assert [row["frame"] for row in rows if row["new_shot"] == "1"] == ["0", "6"]
    pairs = zip(*(open_source(p, k).frames() for p, k in ((rgb, "rgb"), (thermal, "thermal"))), strict=True)
    state, changed = None, 0
    plain, smooth = masks(tmp_path / "plain" / "masks"), masks(tmp_path / "smooth" / "masks")
    for (left, right), one, other in zip(pairs, plain, smooth, strict=True):
        now = predictor.predict_proba(left.image, right.image)
        state = now if state is None or left.index == 6 else 0.7 * state + 0.3 * now
        assert np.mean(other != state.argmax(0)) < 0.002  # the two sums round differently
        changed += int((one != other).sum())
        if left.index in (0, 6):
            second, first = np.sort(now, axis=0)[-2:]
            assert (one == other)[first - second > 1e-6].all()  # ties of probabilities need not be ties of logits
    assert changed > 0


@pytest.mark.parametrize("batch_size", [1, 3])
def test_frames_far_apart_are_one_shot_if_nothing_between_them_is_a_cut(
    predictor: Predictor, tmp_path: Path, batch_size: int
) -> None:
    """With --every, ordinary motion changes the whole picture from one predicted frame to the next."""
    levels = [10 + 8 * k if k < 12 else 255 - 8 * (k - 12) for k in range(20)]
    times = [k / 10 for k in range(20)]
    rgb = write_video(tmp_path / "rgb.mp4", [np.full((64, 96, 3), level, np.uint8) for level in levels], times)
    thermal = write_video(tmp_path / "thermal.mp4", [look(0, world(), True)] * 20, times)
    batches = Predictor(
        predictor.model, predictor.info, predictor.device, replace(predictor.settings, batch_size=batch_size)
    )
    result = predict_video(batches, rgb, thermal, tmp_path / "out", view="none", smooth=0.5, every=5)
    rows = table(tmp_path / "out" / "frames.csv")
    assert [(row["frame"], row["new_shot"]) for row in rows] == [("0", "1"), ("5", "0"), ("10", "0"), ("15", "1")]
    assert result.restarts == 1
    assert any(note.startswith("smoothing restarted at 1 of 4 frames") for note in result.notes)


@pytest.mark.parametrize("smooth", [0.0, 0.5])
def test_a_sensor_called_broken_is_left_out(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smooth: float
) -> None:
    rgb, thermal = film(tmp_path, 0.3, 0.0)
    heat = [frame.image for frame in open_source(thermal, "thermal").frames()]
    expected = predictor.predict(None, heat[0])
    monkeypatch.setattr(predictor, "prepare", lambda pairs, _: [PreparedPair(0 * rgb, heat) for rgb, heat in pairs])
    predict_video(predictor, rgb, thermal, tmp_path / "out", view="none", smooth=smooth)
    assert (masks(tmp_path / "out" / "masks")[0] == expected).all()


def test_average_and_cuts_alone() -> None:
    average = Average(0.5)
    a, b = np.zeros((2, 1, 1), np.float32), np.zeros((2, 1, 1), np.float32)
    a[0], a[1], b[0], b[1] = 0.9, 0.1, 0.3, 0.7
    assert [int(average(p, new)[0, 0]) for p, new in ((a, True), (b, False), (b, False), (b, False))] == [0, 0, 1, 1]
    assert [int(average(p, new)[0, 0]) for p, new in ((a, False), (b, True), (a, False))] == [0, 1, 0]
    cut, dark = CutDetector(), np.zeros((40, 50, 3), np.uint8)
    heat = np.full((40, 50), 3000, np.uint16)
    heat[:20] = 3100
    answers = [cut(dark, heat), cut(dark + 9, heat), cut(dark + 90, heat), cut(dark + 90, heat[::-1]), cut(dark, None)]
    assert answers == [True, False, True, True, True]


def test_16_bit_sequences_and_depth(predictor: Predictor, tmp_path: Path) -> None:
    ground = world()
    for name in ("rgb", "thermal"):
        (tmp_path / name).mkdir()
    for k in range(3):
        Image.fromarray(look(k / 5, ground, False)).save(tmp_path / "rgb" / f"{k}.png")
        heat = look(k / 5, ground, True).astype(np.uint16) * 20 + 18000
        Image.fromarray(heat).save(tmp_path / "thermal" / f"{k}.png")
    settings = {"fps": 5, "thermal_fps": 5}
    with pytest.raises(DataError, match=r"thermal: thermal values of type uint16 where uint8 is expected"):
        predict_video(predictor, tmp_path / "rgb", tmp_path / "thermal", tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()
    from dataclasses import replace

    from cimnet.data.io.thermal_scaling import ThermalScaling

    info = replace(predictor.info, thermal_dtype="uint16", scaling=ThermalScaling("range", 18000, 24000))
    deep = Predictor(predictor.model, info, predictor.device)
    predict_video(deep, tmp_path / "rgb", tmp_path / "thermal", tmp_path / "out", **settings)
    one = deep.predict(tmp_path / "rgb" / "1.png", tmp_path / "thermal" / "1.png")
    assert (masks(tmp_path / "out" / "masks")[1] == one).all()
    rgb, thermal = film(tmp_path, 0.4)
    with pytest.raises(DataError, match=r"thermal.mp4: thermal values of type uint8 where uint16 is expected"):
        predict_video(deep, rgb, thermal, tmp_path / "never")


def test_ctrl_c_keeps_what_is_done(predictor: Predictor, tmp_path: Path) -> None:
    rgb, thermal = film(tmp_path, 0.7)

    def stop(done: int, _: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_video(predictor, rgb, thermal, tmp_path / "out", progress=stop)
    assert len(list(open_source(tmp_path / "out" / "overlay.mp4", "rgb").frames())) == 6
    assert len(table(tmp_path / "out" / "frames.csv")) == len(masks(tmp_path / "out" / "masks")) == 6
    assert not list(tmp_path.rglob("*.part*"))


def test_outputs_are_not_replaced_unless_asked(predictor: Predictor, tmp_path: Path) -> None:
    rgb, thermal = film(tmp_path, 0.3)
    predict_video(predictor, rgb, thermal, tmp_path / "o.mp4", tmp_path / "m")
    with pytest.raises(CimnetError, match=r"o\.mp4: exists.*--overwrite"):
        predict_video(predictor, rgb, thermal, tmp_path / "o.mp4")
    with pytest.raises(CimnetError, match=r"frames\.csv: exists"):
        predict_video(predictor, rgb, thermal, tmp_path / "p.mp4", tmp_path / "m")
    assert not (tmp_path / "p.mp4").exists()
    assert predict_video(predictor, rgb, thermal, tmp_path / "o.mp4", tmp_path / "m", overwrite=True).frames == 9


@pytest.mark.parametrize(("out", "masks"), [("o.mp4", None), ("out", None), ("out", "m"), ("x.mp4", "m")])
def test_one_process_writes_an_output(predictor: Predictor, tmp_path: Path, out: str, masks: str | None) -> None:
    rgb, thermal = film(tmp_path, 0.2, 0.0)
    folder = None if masks is None else tmp_path / masks
    refused: list[str] = []

    def second(done: int, total: int) -> None:
        with pytest.raises(CimnetError, match="another process writes") as caught:
            predict_video(predictor, rgb, thermal, tmp_path / out, folder, overwrite=True)
        refused.append(str(caught.value))

    first = predict_video(predictor, rgb, thermal, tmp_path / out, folder, progress=second)
    assert len(refused) == first.frames
    assert not list(tmp_path.rglob(".*"))


def test_a_killed_or_failing_run_leaves_no_broken_video(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    writer = VideoWriter(tmp_path / "v.mp4", 30)
    for k in range(90):
        writer.add(np.roll(image, k, axis=1), k / 30)
    assert not (tmp_path / "v.mp4").exists()
    copy = tmp_path / "copy.mp4"  # what a killed process would leave
    copy.write_bytes(writer.part.read_bytes())
    assert 40 < len(list(open_source(copy, "rgb").frames())) < 90
    writer.part.write_bytes(b"full disk")
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["copy.mp4"]
