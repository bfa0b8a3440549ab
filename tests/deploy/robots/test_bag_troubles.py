"""`cimnet bag` on recordings as robots make them: clocks that jump, cameras that start again, damaged images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")

from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2

from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.robots import predict_bag
from cimnet.deploy.robots.images import read_image
from cimnet.deploy.robots.ros_types import stamp_of, typestore
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.inference import Predictor, load
from tests.conftest import Trained

from ..video.films import look
from .bags import GROUND, RGB, SECOND, THERMAL, compressed, drive, image, read, write_bag


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return load(trained.best, "cpu")


def test_stamps_that_jump_back_are_said(predictor: Predictor, tmp_path: Path) -> None:
    """Both clocks are set back in the middle of a recording; the RGB images that wait are more than the queue holds."""
    first, store, later = drive(2, 2.0, fps=(20, 5)), typestore(2), []
    for topic, logged, message in drive(2, 1.0, fps=(20, 5)):
        stamp = stamp_of(message) - 1000 * SECOND
        array = read_image(message, "rgb" if topic == RGB else "thermal", "")
        encoding = "rgb8" if topic == RGB else "mono8"
        later.append((topic, logged + 2 * SECOND, image(store, array, encoding, stamp)))
    notes: list[str] = []
    bag = write_bag(tmp_path / "in", [*first, *later])
    assert predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out.mcap", note=notes.append).pairs == 15
    assert [note for note in notes if "jump back 1 time;" in note and RGB in note]


def test_a_camera_that_was_started_again_is_read_on(predictor: Predictor, tmp_path: Path) -> None:
    """In ROS 1 each start of a publisher has a connection of its own, on the same topic."""
    store = typestore(1)
    with Writer1(tmp_path / "in.bag") as writer:
        starts = [
            {
                topic: writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=store, callerid=f"/{start}")
                for topic in (RGB, THERMAL)
            }
            for start in range(2)
        ]
        for number, (topic, logged, message) in enumerate(drive(1)):
            start = starts[number >= 8]
            writer.write(start[topic], logged, store.serialize_ros1(message, message.__msgtype__))
    result = predict_bag(predictor, tmp_path / "in.bag", RGB, THERMAL, tmp_path / "out.bag")
    assert (result.pairs, result.unpaired) == (5, (5, 0))


def test_a_camera_that_hangs_is_told(predictor: Predictor, tmp_path: Path) -> None:
    store = typestore(2)
    messages = [entry for entry in drive(2, 7.0, fps=(2, 2)) if entry[0] == RGB]
    picture = look(0, GROUND, True)
    messages += [(THERMAL, stamp, image(store, picture, "mono8", stamp)) for _, stamp, _ in messages]
    bag, notes = write_bag(tmp_path / "in", sorted(messages, key=lambda entry: entry[1])), []
    predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out.mcap", note=notes.append)
    assert notes == [f"{THERMAL}: the picture has been the same for 5 s; does the camera hang?"]


def test_a_topic_without_messages_is_named(predictor: Predictor, tmp_path: Path) -> None:
    store = typestore(2)
    with Writer2(tmp_path / "in", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic in (RGB, THERMAL):
            connection = writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=store)
            if topic == RGB:
                message = drive(2)[0][2]
                writer.write(connection, 5, store.serialize_cdr(message, message.__msgtype__))
    with pytest.raises(DataError, match=rf"{THERMAL} has 0 messages.*a topic that was recorded"):
        predict_bag(predictor, tmp_path / "in", RGB, THERMAL, tmp_path / "out.mcap")


def test_the_folder_that_holds_the_recording_is_kept(predictor: Predictor, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in", drive(2))
    [inner] = bag.glob("*.mcap")
    with pytest.raises(CimnetError, match="is also an input"):
        predict_bag(predictor, inner, RGB, THERMAL, bag, overwrite=True)
    assert len(read(bag, RGB)) == 10


def test_a_damaged_image_is_left_out_and_said(predictor: Predictor, tmp_path: Path) -> None:
    """A JPEG that a camera broke off does not cost the rest of a long recording; nothing but such ones is refused."""
    store = typestore(2)
    good: list[Any] = []
    broken: list[Any] = []
    for number in range(3):
        stamp = number * SECOND + 1
        heat = (THERMAL, stamp, image(store, look(number, GROUND, True), "mono8", stamp))
        whole = compressed(store, look(number, GROUND, False), "jpeg", stamp)
        half = compressed(store, look(number, GROUND, False), "jpeg", stamp)
        half.data = half.data[: len(half.data) // 2]
        good += [(RGB, stamp, half if number == 1 else whole), heat]
        broken += [(RGB, stamp, half), heat]
    notes: list[str] = []
    bag = write_bag(tmp_path / "in", good)
    result = predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out.mcap", note=notes.append)
    assert (result.pairs, result.damaged) == (2, 1)
    assert [stamp_of(mask) for mask in read(tmp_path / "out.mcap", "/cimnet/mask")] == [1, 2 * SECOND + 1]
    assert any("1 damaged pair left out; the first: /camera/color: a compressed image" in note for note in notes)
    with pytest.raises(DataError, match=r"all 3 pairs are damaged; .*cannot be decoded"):
        predict_bag(predictor, write_bag(tmp_path / "bad", broken), RGB, THERMAL, tmp_path / "no.mcap")
    assert not (tmp_path / "no.mcap").exists()


def test_a_frame_out_of_range_is_left_out_and_said(predictor: Predictor, tmp_path: Path) -> None:
    """The shutter of a 16-bit camera closes once; if all frames are out of range, the unit is another one."""
    info = replace(predictor.info, scaling=ThermalScaling("range", 7000, 9000), thermal_dtype="uint16")
    deep, store = Predictor(predictor.model, info, predictor.device), typestore(2)

    def recorded(name: str, closed: tuple[int, ...]) -> Path:
        entries: list[Any] = []
        for number in range(4):
            stamp = number * SECOND + 1
            counts = look(number, GROUND, True).astype(np.uint16) * 5 + 7500
            heat = image(store, np.full_like(counts, 30000) if number in closed else counts, "mono16", stamp)
            entries += [(RGB, stamp, image(store, look(number, GROUND, False), "rgb8", stamp)), (THERMAL, stamp, heat)]
        return write_bag(tmp_path / name, entries)

    notes: list[str] = []
    result = predict_bag(deep, recorded("in", (1,)), RGB, THERMAL, tmp_path / "out.mcap", note=notes.append)
    assert (result.pairs, result.out_of_range) == (3, 1)
    [said] = notes
    assert said.startswith(f"{THERMAL}: the frame at 1.00 s is left out: 100% of the thermal values lie outside")
    with pytest.raises(DataError, match=rf"^{THERMAL}: 100% of the thermal values .*is the unit another one"):
        predict_bag(deep, recorded("all", (0, 1, 2, 3)), RGB, THERMAL, tmp_path / "no.mcap")
    assert not (tmp_path / "no.mcap").exists()


@pytest.mark.parametrize("ending", ["", ".bag"])
def test_a_damaged_message_is_left_out_and_said(predictor: Predictor, tmp_path: Path, ending: str) -> None:
    """Bytes that are no message: the rest of the recording is read all the same."""
    ros = 1 if ending else 2
    store = typestore(ros)
    bags = {name: tmp_path / f"{name}{ending}" for name in ("one", "all")}
    for name, bag in bags.items():
        with Writer1(bag) if ending else Writer2(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            kind = "sensor_msgs/msg/Image"
            topics = {topic: writer.add_connection(topic, kind, typestore=store) for topic in (RGB, THERMAL)}
            for number, (topic, logged, message) in enumerate(drive(ros, 1.0, fps=(5, 5))):
                pack = store.serialize_ros1 if ending else store.serialize_cdr
                raw = bytes(pack(message, kind))
                writer.write(topics[topic], logged, raw[:30] if number == 4 or name == "all" else raw)
    notes: list[str] = []
    result = predict_bag(predictor, bags["one"], RGB, THERMAL, tmp_path / f"out{ending}", note=notes.append)
    assert (result.pairs, result.unreadable, result.damaged, sum(result.unpaired)) == (4, 1, 0, 1)
    [said] = [note for note in notes if "damaged" in note]
    assert said.startswith(f"{bags['one']}: 1 damaged message left out; the first: a message of /")
    assert len(read(tmp_path / f"out{ending}", "/cimnet/mask")) == 4
    with pytest.raises(DataError, match="all 10 messages are damaged; the first: a message of /camera/color cannot be"):
        predict_bag(predictor, bags["all"], RGB, THERMAL, tmp_path / f"no{ending}")
    assert not (tmp_path / f"no{ending}").exists()


def test_a_constant_offset_of_the_clocks(predictor: Predictor, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in", drive(2, 1.0, late=0.33))
    assert predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "out.mcap", offset=0.33, slop=0.001).pairs == 5
    masks = read(tmp_path / "out.mcap", "/cimnet/mask")
    expected = predictor.predict(look(0, GROUND, False), look(0, GROUND, True))
    np.testing.assert_array_equal(read_image(masks[0], "thermal", ""), expected)
    with pytest.raises(CimnetError, match="offset nan"):
        predict_bag(predictor, bag, RGB, THERMAL, tmp_path / "no.mcap", offset=float("nan"))


@pytest.mark.parametrize("name", ["masks.zip", "masks.db3", "masks.MCAP"])
def test_a_name_that_no_bag_has_is_refused(predictor: Predictor, tmp_path: Path, name: str) -> None:
    bag = write_bag(tmp_path / "in", drive(2, 1.0))
    with pytest.raises(ConfigError, match=rf"{name}: no bag ends in .*; give NAME\.mcap, NAME\.bag"):
        predict_bag(predictor, bag, RGB, THERMAL, tmp_path / name)
    assert not (tmp_path / name).exists()
