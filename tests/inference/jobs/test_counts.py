"""How often a job decodes a file, runs the model and asks the alarm: once where once is enough."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cimnet
from cimnet.checkpoint import load_checkpoint, save_checkpoint
from cimnet.inference import Predictor
from cimnet.inference.alarms.alarm import AlarmModel
from cimnet.inference.jobs import Job, predict_job
from cimnet.inference.jobs import job as walk
from tests.conftest import Trained
from tests.fakes.layouts import make_folder, make_mfnet

PAIRS = 4


class Counts:
    """Of one job: pairs in each pass of the model, pairs judged, and decoded files by name."""

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.judged = 0
        self.opened: Counter[Path] = Counter()

    def numbers(self) -> tuple[int, int, int]:
        """Passes, pairs judged, and how often any file was opened at most."""
        return len(self.passes), self.judged, max(self.opened.values(), default=0)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Counts what jobs do from now on."""
    found = Counts()
    load, judge, open_image = walk.load, AlarmModel.__call__, Image.open

    def counting_load(*arguments: Any, **settings: Any) -> Predictor:
        predictor = load(*arguments, **settings)
        predictor.network.register_forward_pre_hook(lambda _, inputs: found.passes.append(len(inputs[0])))
        return predictor

    def counting_judge(self: AlarmModel, numbers: Any) -> Any:
        found.judged += 1
        return judge(self, numbers)

    def counting_open(path: Any, *arguments: Any, **options: Any) -> Any:
        found.opened[Path(path)] += 1
        return open_image(path, *arguments, **options)

    monkeypatch.setattr(walk, "load", counting_load)
    monkeypatch.setattr(AlarmModel, "__call__", counting_judge)
    monkeypatch.setattr(Image, "open", counting_open)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("counts") / "data", PAIRS)


def _job(checkpoint: Path, root: Path, out: Path, sensors: str = "both", **settings: Any) -> Job:
    rgb = None if sensors == "thermal" else root / "rgb"
    thermal = None if sensors == "rgb" else root / "thermal"
    return Job.of(checkpoint, out, rgb=rgb, thermal=thermal, settings=settings, device="cpu")


@pytest.mark.parametrize(
    ("checkpoint", "settings", "passes", "judged"),
    [
        ("plain", {}, [1] * 4, 0),
        ("plain", {"batch_size": 2}, [2] * 2, 0),
        ("plain", {"flip": True}, [1] * 8, 0),
        ("plain", {"window": 32}, [1] * 8, 0),  # two windows a pair
        ("plain", {"sensors": "rgb"}, [1] * 4, 0),
        ("alarms", {}, [1] * 12, 4),  # the alarm's three, of which one is the prediction
        ("alarms", {"batch_size": 2}, [2] * 6, 4),
        ("alarms", {"leave_out_broken": True}, [1] * 12, 4),
        ("alarms", {"leave_out_broken": True, "batch_size": 2}, [2] * 6, 4),
        ("alarms", {"leave_out_broken": True, "flip": True}, [1] * 20, 4),
        ("alarms", {"leave_out_broken": True, "precision": "bfloat16"}, [1] * 16, 4),
        ("alarms", {"window": 32}, [1] * 20, 4),
        ("alarms", {"window": 32, "batch_size": 2}, [1, 1, 1, 2] * 2 + [1, 1, 1, 2] * 2, 4),
        ("alarms", {"leave_out_broken": True, "window": 32}, [1] * 20, 4),
        ("alarms", {"sensors": "rgb"}, [1] * 4, 0),
        ("alarms", {"sensors": "thermal", "leave_out_broken": True}, [1] * 4, 0),
    ],
)
def test_each_pair_is_decoded_and_judged_once(
    trained: Trained,
    alarming: Path,
    data: Path,
    tmp_path: Path,
    counts: Counts,
    checkpoint: str,
    settings: dict[str, Any],
    passes: list[int],
    judged: int,
) -> None:
    source = alarming if checkpoint == "alarms" else trained.folder
    result = predict_job(_job(source, data, tmp_path / "out", **settings))
    assert result.failed == {}
    assert sorted(counts.passes) == sorted(passes)
    assert counts.judged == judged
    sensors = {"both": ("rgb", "thermal")}.get(settings.get("sensors", "both"), (settings.get("sensors"),))
    expected = {data / str(sensor) / f"{k:03d}.png": 1 for sensor in sensors for k in range(PAIRS)}
    assert counts.opened == expected


def test_a_file_of_four_channels_is_decoded_once(trained: Trained, tmp_path: Path, counts: Counts) -> None:
    images = make_mfnet(tmp_path / "data", 2) / "images"
    names = dict.fromkeys(images.iterdir(), 1)
    counts.opened.clear()
    predict_job(Job.of(trained.folder, tmp_path / "out", rgb=images, thermal=images, device="cpu"))
    assert counts.opened == names


def test_a_resumed_job_touches_what_is_missing_alone(
    alarming: Path, data: Path, tmp_path: Path, counts: Counts
) -> None:
    out = tmp_path / "out"
    predict_job(_job(alarming, data, out, leave_out_broken=True))
    (out / "masks" / "002.png").unlink()
    counts.__init__()  # type: ignore[misc]
    job = _job(alarming, data, out, leave_out_broken=True)
    predict_job(Job.of(alarming, out, **job.origin, settings=job.settings, device="cpu", resume=True))
    assert counts.numbers() == (3, 1, 1)
    assert {path.name for path in counts.opened} == {"002.png"}


def test_the_pass_that_is_taken_over_is_the_prediction(alarming: Path, data: Path, tmp_path: Path) -> None:
    """The alarm of this checkpoint calls each RGB image broken: with ``leave_out_broken`` thermal alone counts."""
    model, info = load_checkpoint(alarming)
    bare = tmp_path / "bare.safetensors"
    save_checkpoint(bare, model, type(info)(**{**vars(info), "alarm": None}))
    plain = cimnet.load(bare, "cpu")
    for leave_out in (False, True):
        out = tmp_path / str(leave_out)
        predict_job(_job(alarming, data, out, leave_out_broken=leave_out))
        for k in range(PAIRS):
            pair = [data / sensor / f"{k:03d}.png" for sensor in ("rgb", "thermal")]
            with Image.open(out / "masks" / f"{k:03d}.png") as mask:
                expected = plain.predict(None, pair[1]) if leave_out else plain.predict(*pair)
                np.testing.assert_array_equal(np.asarray(mask), expected)
