"""`cimnet bag`: bags of every kind in, pairs by stamps, a bag out that other readers open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")

from rosbags.rosbag2 import StoragePlugin

from cimnet.deploy.robots import ApproximateTime, Segmented, predict_bag
from cimnet.deploy.robots.bag_output import BagWriter
from cimnet.deploy.robots.images import read_image
from cimnet.deploy.robots.ros_types import stamp_of, typestore
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.inference import Predictor, load
from cimnet.inference.alarms.alarm import Alarm
from tests.conftest import Trained

from ..video.films import look
from .bags import GROUND, RGB, SECOND, THERMAL, compressed, drive, image, read, write_bag

PYTHON = next((python for python in ("/usr/bin/python3",) if Path(python).exists()), sys.executable)
"""That of the system, which has the packages of ROS if any has."""


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return load(trained.best, "cpu")


class TestApproximateTime:
    def test_the_nearest_waits_and_is_taken_once(self) -> None:
        pairs = ApproximateTime[str](0.05, 10)
        assert pairs.add(0, 0, "a") is None
        assert pairs.add(0, 40_000_000, "b") is None
        assert pairs.add(1, 30_000_000, "x") == ("b", "x")
        assert pairs.add(1, 31_000_000, "y") == ("a", "y")
        assert pairs.add(1, 32_000_000, "z") is None
        assert pairs.add(0, 81_999_999, "c") == ("c", "z")

    def test_from_the_slop_on_nothing_pairs(self) -> None:
        pairs = ApproximateTime[str](0.05, 10)
        assert pairs.add(0, 0, "a") is None
        assert pairs.add(1, 50_000_000, "x") is None
        assert pairs.gap() == pytest.approx(0.05)
        assert pairs.add(1, 49_999_999, "y") == ("a", "y")

    @pytest.mark.parametrize(("slop", "queue_size"), [(0.0, 10), (-1.0, 10), (float("nan"), 10), (0.05, 0)])
    def test_what_can_pair_nothing_is_refused(self, slop: float, queue_size: int) -> None:
        with pytest.raises(ConfigError, match="give at least 1e-9 seconds and 1 message"):
            ApproximateTime[str](slop, queue_size)

    def test_the_same_pairs_as_message_filters(self) -> None:
        """Where Debian's `python3-message-filters` is installed. On a grid of milliseconds stamps are often equal, just
        as far apart as the slop, or equally near on both sides."""
        if subprocess.run([PYTHON, "-c", "import message_filters"], capture_output=True).returncode:
            pytest.skip("ROS 1's message_filters is not installed (apt install python3-message-filters)")
        runs: list[dict[str, Any]] = []
        for seed in range(400):
            rng = np.random.default_rng(seed)
            grid = 1 if seed % 4 == 0 else 10**6 * int(rng.choice([1, 5, 10]))
            times = np.arange(60) * int(rng.choice([11, 20, 33])) * 10**6 + rng.normal(0, 2e7, 60).astype(int)
            stamps = (10**9 + times // grid * grid).tolist()
            events = [[int(side), int(stamp)] for side, stamp in zip(rng.random(60) < 0.4, stamps, strict=True)]
            slop, size = float(rng.choice([0.005, 0.02, 0.05])), int(rng.choice([1, 2, 3, 10]))
            runs.append({"slop": slop, "queue_size": size, "events": events})
        script = Path(__file__).with_name("message_filters_pairs.py")
        ran = subprocess.run([PYTHON, script], input=json.dumps(runs), capture_output=True, text=True, check=True)
        theirs = json.loads(ran.stdout)
        assert sum(map(len, theirs)) > 2000
        for run, expected in zip(runs, theirs, strict=True):
            pairs = ApproximateTime[int](run["slop"], run["queue_size"])
            found = [pairs.add(side, stamp, place) for place, (side, stamp) in enumerate(run["events"])]
            assert [list(pair) for pair in found if pair is not None] == expected
            assert pairs.jumps == [0, 0]

    def test_the_oldest_fall_out(self) -> None:
        pairs = ApproximateTime[int](0.05, 3)
        for number in range(5):
            pairs.add(0, number * SECOND // 5, number)
        assert sorted(pairs.queues[0].values()) == [2, 3, 4]
        assert pairs.unpaired == [2, 0]
        assert pairs.add(0, 0, 9) is None  # older than all that wait
        assert pairs.add(1, 0, 1) is None

    def test_a_clock_that_goes_back_pairs_on(self) -> None:
        """A bag that is played again: what waits lies in the future and must not push out all that comes."""
        pairs = ApproximateTime[int](0.05, 3)
        for number in range(5):
            pairs.add(0, (100 + number) * SECOND, number)
        assert pairs.add(1, 90 * SECOND, 0) is None
        assert pairs.add(0, 10 * SECOND, 7) is None
        assert pairs.add(1, 10 * SECOND, 8) == (7, 8)
        assert pairs.jumps == [1, 1]
        assert pairs.unpaired == [5, 1]
        assert pairs.add(0, 10 * SECOND - 1000, 9) is None  # out of order by a little: no jump
        assert pairs.jumps == [1, 1]

    def test_of_two_messages_with_one_stamp_the_later_waits(self) -> None:
        """As in message_filters; the one that it replaces is counted."""
        pairs = ApproximateTime[str](0.05, 10)
        assert pairs.add(0, 5, "a") is None
        assert pairs.add(0, 5, "b") is None
        assert pairs.add(1, 5, "x") == ("b", "x")
        assert pairs.unpaired == [1, 0]


@pytest.mark.parametrize(("name", "storage"), [("in.bag", None), ("mcap", "MCAP"), ("sqlite", "SQLITE3")])
@pytest.mark.parametrize("out", ["out.mcap", "out.bag", "folder"])
def test_bags_of_every_kind(predictor: Predictor, tmp_path: Path, name: str, storage: str | None, out: str) -> None:
    ros = 1 if storage is None else 2
    bag = write_bag(tmp_path / name, drive(ros), StoragePlugin[storage or "MCAP"])
    result = predict_bag(predictor, bag, RGB, THERMAL, tmp_path / out)
    assert result.pairs == 5
    assert result.unpaired == (5, 0)
    masks = read(tmp_path / out, "/cimnet/mask")
    sources = {stamp_of(message): message for message in read(bag, RGB)}
    heats = {stamp_of(message): message for message in read(bag, THERMAL)}
    assert len(masks) == 5
    for mask in masks:
        assert mask.encoding == "mono8"
        rgb = sources[stamp_of(mask)]  # its header is the RGB image's
        assert mask.header.frame_id == rgb.header.frame_id
        expected = predictor.predict(read_image(rgb, "rgb", ""), read_image(heats[stamp_of(mask)], "thermal", ""))
        np.testing.assert_array_equal(read_image(mask, "thermal", ""), expected)
    [labels] = read(tmp_path / out, "/cimnet/label_info")
    assert [(entry.class_id, entry.class_name) for entry in labels.class_map] == list(enumerate(predictor.classes))
    assert len(read(tmp_path / out, "/cimnet/overlay/compressed")) == 5
    assert not [path for path in tmp_path.iterdir() if "part" in path.name or "lock" in path.name]


def test_one_mcap_file_opens_with_another_reader(predictor: Predictor, tmp_path: Path) -> None:
    """As Foxglove reads it: MCAP with schemas, decoded by the `mcap` packages."""
    reader = pytest.importorskip("mcap.reader")
    decoder = pytest.importorskip("mcap_ros2.decoder")
    bag = write_bag(tmp_path / "in", drive(2))
    inner = next(bag.glob("*.mcap"))
    predict_bag(predictor, inner, RGB, THERMAL, tmp_path / "out.mcap", overlay="raw")
    with (tmp_path / "out.mcap").open("rb") as file:
        opened = reader.make_reader(file, decoder_factories=[decoder.DecoderFactory()])
        schemas = {schema.name for schema in opened.get_summary().schemas.values()}
        assert schemas == {"sensor_msgs/msg/Image", "vision_msgs/msg/LabelInfo"}
        topics = [channel.topic for _, channel, _, _ in opened.iter_decoded_messages()]
    assert topics.count("/cimnet/mask") == topics.count("/cimnet/overlay") == 5
    assert topics.count("/cimnet/label_info") == 1
    with (tmp_path / "out.mcap").open("rb") as file:
        opened = reader.make_reader(file, decoder_factories=[decoder.DecoderFactory()])
        [(_, channel, _, labels)] = opened.iter_decoded_messages(topics=["/cimnet/label_info"])
    assert labels.class_map[1].class_name == predictor.classes[1]
    assert "transient_local" in channel.metadata["offered_qos_profiles"]


def test_stamps_pair_not_the_order_of_recording(predictor: Predictor, tmp_path: Path) -> None:
    """Thermal images come half a second later, in a burst; their stamps say when they were taken."""
    messages = [
        (topic, time + (SECOND // 2 if topic == THERMAL else 0), message) for topic, time, message in drive(2, 1.5)
    ]
    bag = write_bag(tmp_path / "in", sorted(messages, key=lambda entry: entry[1]))
    assert predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out.mcap").pairs == 8
    few = predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "few.mcap", queue_size=2)
    assert few.pairs < 8


@pytest.mark.parametrize("name", ["out.bag", "out"])
def test_alarms_become_diagnostics(trained: Trained, tmp_path: Path, name: str) -> None:
    """One status an alarm, a warning where it is raised; a checkpoint without alarms is refused before the work."""
    with pytest.raises(CimnetError, match="cimnet calibrate"):
        predict_bag(load(trained.best, "cpu"), tmp_path, RGB, THERMAL, tmp_path / "out.mcap", alarms=True)
    rgb = drive(1 if name.endswith("bag") else 2)[0][2]
    alarm = Alarm({"rgb_broken": 0.9, "thermal_broken": 0.125}, ("rgb_broken",), {"rgb_broken": "RGB: dark"})
    empty = np.zeros((4, 4), np.uint8)
    with BagWriter(tmp_path / name, ["a", "b"], "none", True) as writer:
        writer.add(Segmented(empty, np.zeros((4, 4, 3), np.uint8), alarm), rgb, 5)
    [array] = read(tmp_path / name, "/cimnet/diagnostics")
    assert [(status.name, status.level, status.message) for status in array.status] == [
        ("cimnet: rgb_broken", 1, "RGB: dark"),
        ("cimnet: thermal_broken", 0, ""),
    ]
    assert array.status[1].values[0].value == "0.1250"
    assert stamp_of(array) == stamp_of(rgb)


def test_no_pair_says_how_far_off_the_nearest_is(predictor: Predictor, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in", drive(2, 1.0, late=30.0))
    with pytest.raises(DataError, match=r"no pair closer than 0.05 s .*apart\).*--slop"):
        predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out.mcap")
    assert not (tmp_path / "out.mcap").exists()


def test_a_missing_topic_lists_what_is_there(predictor: Predictor, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in.bag", drive(1))
    with pytest.raises(DataError, match=rf"no topic /nothing; there are {RGB} \(sensor_msgs/Image\), {THERMAL}"):
        predict_bag(predictor, bag, "/nothing", THERMAL, tmp_path / "out.bag")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["mcap", "db3", "bag"])
def test_a_bag_cut_short(predictor: Predictor, tmp_path: Path, kind: str, share: float) -> None:
    """It is refused with the command that repairs it, or what came before the cut is kept and said."""
    if kind == "bag":
        whole = write_bag(tmp_path / "in.bag", drive(1, 3.0))
    else:
        storage = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
        [whole] = write_bag(tmp_path / "in", drive(2, 3.0), storage).glob(f"*.{kind}")
    cut, out = tmp_path / f"cut.{kind}", tmp_path / "out.mcap"
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    found: list[str] = []
    try:
        result = predict_bag(predictor, cut, RGB, THERMAL, out, note=found.append)
    except DataError as error:
        found.append(str(error))
        result = None
    assert found[-1].startswith(f"{cut}: ")
    assert "\n" not in found[-1]
    if result is None:
        assert "reindex" in found[-1] or "no pair" in found[-1] or "no topic" in found[-1]
        assert not out.exists()
    else:
        assert result.problem
        assert len(read(out, "/cimnet/mask")) == result.pairs


def test_a_file_that_is_no_bag(predictor: Predictor, tmp_path: Path) -> None:
    for name in ("no.bag", "no.mcap", "no.db3"):
        (tmp_path / name).write_bytes(b"<html>")
        with pytest.raises(DataError, match="cannot be opened as a bag"):
            predict_bag(predictor, tmp_path / name, RGB, THERMAL, tmp_path / "out.mcap")
    with pytest.raises(DataError, match="no such file"):
        predict_bag(predictor, tmp_path / "nothing", RGB, THERMAL, tmp_path / "out.mcap")


def test_compressed_topics_and_another_size(predictor: Predictor, tmp_path: Path) -> None:
    store = typestore(2)
    messages: list[Any] = []
    for number in range(3):
        stamp = number * SECOND + 1
        messages.append((RGB, stamp, compressed(store, look(number, GROUND, False), "jpeg", stamp)))
        small = look(number, GROUND, True)[::2, ::2]
        messages.append((THERMAL, stamp, image(store, small, "mono8", stamp + 1000)))
    bag = write_bag(tmp_path / "in", messages)
    notes: list[str] = []
    assert predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out", note=notes.append).pairs == 3
    assert any("resized" in note for note in notes)
    with pytest.raises(DataError, match="is of vision_msgs/msg/LabelInfo; give a topic of Image"):
        predict_bag(predictor, tmp_path / "out", "/cimnet/label_info", "/cimnet/mask", tmp_path / "again")


def test_outputs_that_exist_are_kept(predictor: Predictor, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in", drive(2))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for out in (tmp_path / "mine", bag):
        for overwrite in (False, True):
            with pytest.raises(CimnetError):
                predict_bag(predictor, bag, RGB, THERMAL, out, overwrite=overwrite)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    assert len(read(bag, RGB)) == 10
    predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out.mcap")
    predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out.mcap", overwrite=True)
    assert len(read(tmp_path / "out.mcap", "/cimnet/mask")) == 5


def test_the_command(cli: Any, trained: Trained, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in.bag", drive(1))
    words = ["bag", trained.best, bag, "--rgb-topic", RGB, "--thermal-topic", THERMAL, "--out", tmp_path / "out.mcap"]
    ran = cli(*words)
    assert ran.code == 0
    assert "5 pairs" in ran.out
    assert "5 RGB and 0 thermal" in ran.out
    assert cli(*words).code == 2


def test_ros_1_itself_reads_what_is_written(predictor: Predictor, tmp_path: Path) -> None:
    """Where Debian's `python3-rosbag` is installed: its reader knows nothing of rosbags."""
    code = (
        "import sys, rosbag; bag = rosbag.Bag(sys.argv[1]);"
        "print(sum(m.data == bytes(m.height * m.width) or len(m.data) == m.height * m.width"
        " for _, m, _ in bag.read_messages(['/cimnet/mask'])),"
        "[m.class_map[1].class_name for _, m, _ in bag.read_messages(['/cimnet/label_info'])][0])"
    )
    if subprocess.run([PYTHON, "-c", "import rosbag"], capture_output=True).returncode:
        pytest.skip("ROS 1's rosbag is not installed (apt install python3-rosbag)")
    bag = write_bag(tmp_path / "in.bag", drive(1))
    predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out.bag")
    ran = subprocess.run([PYTHON, "-c", code, str(tmp_path / "out.bag")], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["5", predictor.classes[1]]
