"""Segment a recorded bag into a bag with masks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from cimnet.deploy.robots.approximate_time import ApproximateTime
from cimnet.deploy.robots.bag_output import BagWriter, Overlay
from cimnet.deploy.robots.images import DamagedImageError
from cimnet.deploy.robots.pair_segmenter import PairSegmenter, Segmented
from cimnet.deploy.robots.ros_types import rosbags, stamp_of, typestore
from cimnet.errors import CimnetError, ConfigError, DataError, one_line
from cimnet.inference.odd_frames import OddFrames
from cimnet.inference.predictor import Predictor
from cimnet.utils.files import hidden_folder, refuse_inputs_as_outputs, require_writable_file
from cimnet.utils.numbers import pluralize
from cimnet.utils.pool import Progress

_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@dataclass
class BagResult:
    """The result of predicting a bag.

    Attributes:
        pairs: number of predicted pairs.
        unpaired: numbers of RGB messages and of thermal messages without a partner.
        problem: why the bag could not be read to its end. Empty: it was.
        damaged: number of pairs left out because one of their images cannot be decoded.
        out_of_range: number of pairs left out because the values of their thermal image lie outside that of training.
        unreadable: number of messages left out because they cannot be deserialised.
        damage: what is wrong with the first of them all.
    """

    pairs: int = 0
    unpaired: tuple[int, int] = (0, 0)
    problem: str = ""
    damaged: int = 0
    out_of_range: int = 0
    unreadable: int = 0
    damage: str = ""

    def left_out(self) -> str:
        """The damaged pairs and messages in words, and what is wrong with the first; "": there are none."""
        counts = ((self.damaged, "damaged pair"), (self.unreadable, "damaged message"))
        found = " and ".join(pluralize(count, what) for count, what in counts if count)
        return f"{found} left out; the first: {self.damage}" if found else ""


class _Logged(NamedTuple):
    message: Any
    time: int


def predict_bag(
    predictor: Predictor,
    bag: str | Path,
    rgb_topic: str,
    thermal_topic: str,
    out: str | Path,
    *,
    slop: float = 0.05,
    offset: float = 0.0,
    queue_size: int = 10,
    overlay: Overlay = "jpeg",
    calibration: Path | None = None,
    alarms: bool = False,
    overwrite: bool = False,
    note: Callable[[str], object] = lambda _: None,
    progress: Progress | None = None,
) -> BagResult:
    """Segment the pairs of a bag, in memory that does not grow with its length.

    Args:
        predictor: the model, from :func:`cimnet.load`.
        bag: a ROS 1 ``.bag``, a rosbag2 folder (SQLite or MCAP), or one ``.mcap`` or ``.db3`` file.
        rgb_topic, thermal_topic: topics of ``sensor_msgs`` Image or CompressedImage.
        out: what to write: ``.bag`` for ROS 1, ``.mcap`` for one file that Foxglove opens, otherwise a rosbag2 folder.
            It appears once it is complete; of a bag that is cut short it holds what could be read.
        slop: the header stamps of a pair differ by less than this, seconds.
        offset: thermal stamp − RGB stamp of the same moment, seconds: positive if the thermal clock is ahead.
        queue_size: messages of each topic that wait for a partner.
        overlay: form of the overlay in the bag: "jpeg", "raw" or "none".
        calibration: file that says where thermal pixels lie, as for `cimnet video`. None: frames are resized.
        alarms: whether to evaluate the checkpoint's alarms, with two more passes of the model.
        overwrite: whether to replace ``out``.
        note: called with each sentence that a user should know.
        progress: called with the number of image messages read and the total.

    Raises:
        DataError: there is no such bag or topic (the message lists the topics), images cannot be used, or there is no
            pair.
        ConfigError: a setting is out of range, or the extra ``robots`` is missing.
        CimnetError: ``out`` exists or cannot be written.
    """
    bag, out = Path(bag), Path(out)
    pairs = ApproximateTime[_Logged](slop, queue_size)
    if not isfinite(offset):
        raise ConfigError(f"offset {offset}: give a number of seconds")
    if rgb_topic == thermal_topic:
        raise ConfigError(f"rgb_topic and thermal_topic are both {rgb_topic}; give two topics")
    segment = PairSegmenter(predictor, rgb_topic, thermal_topic, calibration, alarms, note=note)
    result, odd = BagResult(), OddFrames(thermal_topic, note)
    with _opened(bag) as reader, _output(out, bag, overwrite) as place:
        connections = [c for topic in (rgb_topic, thermal_topic) for c in _connections(reader, topic, bag)]
        total, read, unstamped = sum(c.msgcount for c in connections), 0, 0
        with BagWriter(place, predictor.classes, overlay, alarms) as writer:
            for connection, logged, raw in _messages(reader, connections, result, bag):
                read += 1
                if progress is not None:
                    progress(read, max(total, read))
                message = _unpack(reader, connection, raw, result)
                if message is None:
                    continue
                unstamped += stamp_of(message) == 0
                side = 0 if connection.topic == rgb_topic else 1
                stamp = (stamp_of(message) or logged) - side * round(offset * 1e9)
                pair = pairs.add(side, stamp, _Logged(message, logged))
                found = None if pair is None else _segmented(segment, *pair, result, odd)
                if pair is not None and found is not None:
                    writer.add(found, pair[0].message, pair[0].time)
                    result.pairs += 1
        result.unpaired = (
            pairs.unpaired[0] + len(pairs.queues[0]),
            pairs.unpaired[1] + len(pairs.queues[1]),
        )
        odd.end()
        result.out_of_range = odd.count
        if not result.pairs and result.damaged:
            raise DataError(f"{bag}: all {pluralize(result.damaged, 'pair')} are damaged; {result.damage}")
        if not result.pairs and result.unreadable == read > 0:
            raise DataError(f"{bag}: all {pluralize(read, 'message')} are damaged; the first: {result.damage}")
        if not result.pairs:
            raise DataError(_why_none(bag, pairs, connections, result, slop))
    for topic, jumps in zip((rgb_topic, thermal_topic), pairs.jumps, strict=True):
        if jumps:
            note(f"{bag}: the stamps of {topic} jump back {pluralize(jumps, 'time')}; pairing restarts there")
    if lost := result.left_out():
        note(f"{bag}: {lost}")
    if unstamped:
        note(f"{bag}: {pluralize(unstamped, 'message')} without a stamp; paired by the time of recording")
    if result.problem:
        note(f"{bag}: {result.problem}; what came before is kept")
    return result


def _segmented(
    segment: PairSegmenter, rgb: _Logged, thermal: _Logged, result: BagResult, odd: OddFrames
) -> Segmented | None:
    """None: one of both images is damaged, which `result` counts, or the thermal one is odd; a long recording is not
    given up for it."""
    seconds = (stamp_of(thermal.message) or thermal.time) / 1e9
    try:
        return odd(lambda: segment(rgb.message, thermal.message), seconds)
    except DamagedImageError as error:
        result.damaged += 1
        result.damage = result.damage or one_line(error)
        return None


@contextmanager
def _opened(bag: Path) -> Iterator[Any]:
    highlevel = rosbags("highlevel")
    if not bag.exists():
        raise DataError(f"{bag}: no such file or folder")
    try:
        reader = highlevel.AnyReader([bag], default_typestore=typestore(1 if bag.suffix == ".bag" else 2))
        reader.open()
    except Exception as error:  # rosbags' errors have no common class
        raise DataError(
            f"{bag}: cannot be opened as a bag ({one_line(error).rstrip('.')}); give a .bag, a rosbag2 folder or an "
            ".mcap file. One that was cut short is repaired by `rosbag reindex`, `ros2 bag reindex` or `mcap recover`"
        ) from error
    try:
        yield reader
    finally:
        reader.close()


def _connections(reader: Any, topic: str, bag: Path) -> list[Any]:
    """Return all connections of a topic: each publisher, and each start of one, has its own."""
    found = [c for c in reader.connections if c.topic == topic]
    if not found:
        listed = sorted({f"{c.topic} ({c.msgtype.replace('/msg/', '/')})" for c in reader.connections})
        raise DataError(f"{bag}: no topic {topic}; there are {', '.join(listed) or 'none'}")
    for connection in found:
        if connection.msgtype not in _IMAGES:
            raise DataError(f"{bag}: {topic} is of {connection.msgtype}; give a topic of Image or CompressedImage")
    return found


def _messages(reader: Any, connections: list[Any], result: BagResult, bag: Path) -> Iterator[tuple[Any, int, bytes]]:
    """Yield all messages of the two topics; if the bag breaks off, `result` says so."""
    messages = reader.messages(connections=connections)
    while True:
        try:
            connection, logged, raw = next(messages)
        except StopIteration:
            return
        except Exception as error:  # a damaged chunk raises whatever the format's reader meets
            result.problem = f"cannot be read further after {pluralize(result.pairs, 'pair')} ({one_line(error)})"
            return
        yield connection, logged, raw


def _unpack(reader: Any, connection: Any, raw: bytes, result: BagResult) -> Any:
    """None: the message is damaged, which `result` counts."""
    try:
        return reader.deserialize(raw, connection.msgtype)
    except Exception as error:  # rosbags raises whatever the bytes lead to
        result.unreadable += 1
        result.damage = result.damage or f"a message of {connection.topic} cannot be deserialised ({one_line(error)})"
        return None


@contextmanager
def _output(out: Path, bag: Path, overwrite: bool) -> Iterator[Path]:
    """A place to write to, which becomes `out` when all went well."""
    if out.suffix not in ("", ".mcap", ".bag"):
        raise ConfigError(
            f"{out}: no bag ends in {out.suffix}; give NAME.mcap, NAME.bag (ROS 1), or a folder whose name has no dot "
            "(rosbag2)"
        )
    if out.exists() and not overwrite:
        raise CimnetError(f"{out}: exists; choose another name, or --overwrite to replace it")
    if out.is_dir() and not (out / "metadata.yaml").is_file() and any(out.iterdir()):
        raise CimnetError(f"{out}: a folder that is no bag; choose another name")
    refuse_inputs_as_outputs([out], [bag, *bag.absolute().parents])
    require_writable_file(out)
    with hidden_folder(out) as work:
        place = work / (out.name if out.suffix == ".bag" else (out.stem or "bag"))
        yield place
        if out.is_dir():
            shutil.rmtree(out)
        (place / f"{place.name}.mcap" if out.suffix == ".mcap" else place).replace(out)


def _why_none(
    bag: Path, pairs: ApproximateTime[_Logged], connections: list[Any], result: BagResult, slop: float
) -> str:
    gap = pairs.gap()
    near = "" if gap is None else f", the nearest at the end are {gap:+.3f} s apart"
    topics = dict.fromkeys(c.topic for c in connections)
    messages = {topic: sum(c.msgcount for c in connections if c.topic == topic) for topic in topics}
    counts = ", ".join(f"{topic} has {pluralize(count, 'message')}" for topic, count in messages.items())
    cut = f"; the bag {result.problem}" if result.problem else ""
    cut += f"; {lost}" if (lost := result.left_out()) else ""
    remedy = "give a larger --slop or an --offset" if all(messages.values()) else "give a topic that was recorded"
    return f"{bag}: no pair closer than {slop:g} s ({counts}{near}{cut}); {remedy}"
