"""`cimnet live` with registration and alarms, with images whose size changes, and with a calibration that is none."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from cimnet.deploy.robots import PairSegmenter
from cimnet.deploy.video import predict_video
from cimnet.deploy.video.live import LiveSettings, run_live
from cimnet.errors import DataError
from cimnet.inference import Predictor, load
from cimnet.inference.alarms.alarm import NUMBERS, AlarmModel
from cimnet.inference.alarms.detector import Detector
from tests.conftest import Result, Trained

from ..films import HEIGHT, WIDTH, Array, film, look, wander, world
from .waiting import wait_for

av = pytest.importorskip("av")
GROUND = world()
ASKED = LiveSettings(tolerance=0.25, lost_after=60, wait=60)


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return load(trained.best, "cpu")


@dataclass
class Played:
    """What a run left: its status at the end, its masks in their order, and its notes."""

    masks: list[Array]
    notes: list[str] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)


def play(
    predictor: Predictor,
    folder: Path,
    pairs: Sequence[tuple[Array, Array]],
    asked: LiveSettings = ASKED,
    seen: Callable[[int, list[str]], object] = lambda number, notes: None,
    **outputs: Any,
) -> Played:
    """Write each pair into two growing folders once the one before is predicted; then the run ends."""
    places, masks, played = (folder / "rgb", folder / "thermal"), folder / "masks", Played([])
    for place in places:
        place.mkdir()
    ended = threading.Event()

    def write() -> None:
        try:
            time.sleep(0.5)  # what is there when a run begins is left alone
            for number, images in enumerate(pairs):
                now = time.time()
                for place, image in zip(places, images, strict=True):
                    hidden = place / f".{number}.png"
                    Image.fromarray(image).save(hidden)
                    os.utime(hidden, (now, now))  # taken at one time, however long the writing takes
                    hidden.rename(place / f"{number}.png")
                wait_for(lambda count=number + 1: len(list(masks.glob("*.png"))) >= count)
                seen(number, played.notes)
                time.sleep(2 * asked.tolerance)
        finally:
            ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        played.status = run_live(
            predictor, str(places[0]), str(places[1]), asked, masks=masks, note=played.notes.append,
            stopped=ended.is_set, **outputs,
        )  # fmt: skip
    finally:
        writer.join()
    played.masks = [np.array(Image.open(path)) for path in sorted(masks.glob("*.png"))]
    return played


def test_thermal_frames_are_registered_before_the_model(predictor: Predictor, tmp_path: Path) -> None:
    """A thermal camera that sees more, its view further up and left: the masks are those of images that fit."""
    top, left = wander(0)
    wide = GROUND[top - 3 : top + HEIGHT + 7, left - 5 : left + WIDTH + 9]
    thermal = (40 + 170 * (1 - wide) ** 1.5).astype(np.uint8)
    np.testing.assert_array_equal(thermal[3 : 3 + HEIGHT, 5 : 5 + WIDTH], look(0, GROUND, True))
    matrix = tmp_path / "matrix.json"
    matrix.write_text('{"status": "ok", "matrix": [[1, 0, 5], [0, 1, 3]]}')
    rgb = look(0, GROUND, False)
    played = play(predictor, tmp_path, [(rgb, thermal)], replace(ASKED, calibration=matrix))
    np.testing.assert_array_equal(played.masks[0], predictor.predict(rgb, look(0, GROUND, True)))
    resized = np.array(Image.fromarray(thermal).resize((WIDTH, HEIGHT)))
    assert (played.masks[0] != predictor.predict(rgb, resized)).any()
    assert not [note for note in played.notes if "resized" in note]


def test_images_whose_size_changes(predictor: Predictor, tmp_path: Path) -> None:
    """Masks have the new size, a recording keeps that of its first picture and plays to its end."""
    pairs = []
    for time_, step in ((0.0, 1), (0.1, 2), (0.2, 1)):
        pairs.append((look(time_, GROUND, False)[::step, ::step], look(time_, GROUND, True)[::step, ::step]))
    played = play(predictor, tmp_path, pairs, record=tmp_path / "out.mp4")
    assert [mask.shape for mask in played.masks] == [(64, 96), (32, 48), (64, 96)]
    for mask, pair in zip(played.masks, pairs, strict=True):
        np.testing.assert_array_equal(mask, predictor.predict(*map(np.ascontiguousarray, pair)))
    assert [note for note in played.notes if note.startswith("rgb,") and "frames are 48x32 now" in note]
    with av.open(str(tmp_path / "out.mp4")) as recording:
        sizes = [(frame.height, frame.width) for frame in recording.decode(video=0)]
    assert sizes == [(64, 96)] * 3
    assert played.status["from"] == {"both": 3, "rgb": 0, "thermal": 0}


def test_a_camera_that_hangs_is_told(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stream is live, and the page says that its picture does not change."""
    monkeypatch.setattr("cimnet.inference.frozen.FROZEN_AFTER", 0.5)
    pairs = [(look(number, GROUND, False), look(0, GROUND, True)) for number in range(4)]
    played = play(predictor, tmp_path, pairs)
    hung = [note for note in played.notes if "the picture has been the same" in note]
    assert [note.startswith("thermal, ") for note in hung] == [True]
    assert (played.status["rgb"]["state"], played.status["thermal"]["state"]) == ("live", "frozen")


def dark_is_broken(predictor: Predictor) -> Predictor:
    """With alarms of which one is raised: rgb_broken, by an RGB image that is darker than most."""
    detectors = {}
    for name, numbers in NUMBERS.items():
        none = tuple(0.0 for _ in numbers)
        centre = tuple(0.3 * (number == "rgb_brightness") for number in numbers)
        spread = tuple(0.05 if number == "rgb_brightness" else 1.0 for number in numbers)
        below = tuple(9.0 * (number == "rgb_brightness" and name == "rgb_broken") for number in numbers)
        detectors[name] = Detector(numbers, centre, spread, none, below, bias=-5.0)
    info = replace(predictor.info, alarm=AlarmModel(detectors).to_dict())
    return Predictor(predictor.model, info, predictor.device, predictor.settings)


def test_alarms_of_each_pair_are_on_the_page(predictor: Predictor, tmp_path: Path) -> None:
    """An RGB image that turns black raises the alarm, the next good one ends it; the masks go on."""
    rgb, thermal = look(0, GROUND, False), look(0, GROUND, True)
    pairs = [(rgb, thermal), (np.zeros_like(rgb), thermal), (rgb, thermal)]
    states: list[dict[str, Any]] = []

    def ask(number: int, notes: list[str]) -> None:
        page = next(note.removeprefix("page: ") for note in notes if note.startswith("page: "))

        def alarm() -> Any:
            state = httpx.get(f"{page}/status.json").json()
            return state["predicted"] > number and state["alarm"]

        states.append(wait_for(alarm))

    played = play(dark_is_broken(predictor), tmp_path, pairs, replace(ASKED, alarms=True), ask, page=("127.0.0.1", 0))
    assert [state["raised"] for state in states] == [[], ["rgb_broken"], []]
    assert states[1]["probabilities"]["rgb_broken"] > 0.9 > states[0]["probabilities"]["rgb_broken"]
    assert len(played.masks) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [('{"focal": 3}', "holds neither 'matrix' nor"), ('{"matrix": [[1, 2], [3, 4]]}', "must be 2x3 or 3x3, not 2x2")],
)
def test_a_calibration_that_is_none_stops_before_the_work(
    predictor: Predictor, tmp_path: Path, text: str, words: str
) -> None:
    """Before a stream is opened and before anything is written, wherever a calibration is taken."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text(text)
    rgb, thermal = film(tmp_path, seconds=0.3)
    before = sorted(tmp_path.iterdir())
    names = [thread.name for thread in threading.enumerate()]
    with pytest.raises(DataError, match=rf"wrong\.json: .*{words}"):
        run_live(
            predictor, str(rgb), str(thermal), replace(ASKED, calibration=wrong), record=tmp_path / "out.mp4",
            masks=tmp_path / "masks",
        )  # fmt: skip
    assert [thread.name for thread in threading.enumerate()] == names
    with pytest.raises(DataError, match=words):
        predict_video(predictor, rgb, thermal, tmp_path / "out", calibration=wrong)
    with pytest.raises(DataError, match=words):
        PairSegmenter(predictor, "/rgb", "/thermal", wrong)
    assert sorted(tmp_path.iterdir()) == before


def test_the_counts_of_the_end_are_not_printed_twice(
    cli: Callable[..., Result], trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last report of a run may come when nothing is left to predict."""
    feed = {"state": "ended", "dropped": 1, "received": 3}
    status = {"predicted": 2, "frames_per_second": 0.7, "latency_ms": 9.0, "latency_p95_ms": 9.5}
    status |= {"rgb": feed, "thermal": feed}

    def run(*_: Any, report: Callable[[dict[str, Any]], object], **__: Any) -> dict[str, Any]:
        report({**status, "predicted": 1})
        report(status)
        return status

    monkeypatch.setattr("cimnet.deploy.video.live.run_live", run)
    ran = cli("live", trained.best, "--rgb", "a.mp4", "--thermal", "b.mp4", "--no-page", "--device", "cpu")
    assert (ran.code, ran.out.count("frames/s")) == (0, 2), ran.err
    assert ran.out.count("2 frames") == 1
