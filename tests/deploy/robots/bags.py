"""Small bags with known pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2

from cimnet.deploy.robots.ros_types import header, make, typestore

from ..video.films import look, world

RGB, THERMAL = "/camera/color", "/lwir/image_raw"
GROUND = world()
SECOND = 10**9


def image(
    store: Any, array: npt.NDArray[Any], encoding: str, stamp: int, pad: int = 0, big: bool = False, frame: str = "cam"
) -> Any:
    """An Image message of an array (H, W) or (H, W, C), its rows `pad` bytes longer than they need be."""
    data = array.astype(array.dtype.newbyteorder(">" if big else "<"))
    rows = np.frombuffer(data.tobytes(), np.uint8).reshape(array.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, pad)), constant_values=99)
    return make(
        store,
        "sensor_msgs/msg/Image",
        header=header(store, stamp, frame, 0),
        height=array.shape[0],
        width=array.shape[1],
        encoding=encoding,
        is_bigendian=int(big),
        step=rows.shape[1],
        data=rows.reshape(-1),
    )


def compressed(store: Any, array: npt.NDArray[Any], form: str, stamp: int, text: str | None = None) -> Any:
    """A CompressedImage message: ``png`` or ``jpeg``."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form.upper(), **({"quality": 95} if form == "jpeg" else {}))
    return make(
        store,
        "sensor_msgs/msg/CompressedImage",
        header=header(store, stamp, "cam", 0),
        format=text or form,
        data=np.frombuffer(buffer.getvalue(), np.uint8),
    )


def write_bag(
    path: Path,
    messages: Sequence[tuple[str, int, Any]],
    storage: StoragePlugin = StoragePlugin.MCAP,
) -> Path:
    """Write (topic, time of recording, message) to a ``.bag`` or a rosbag2 folder."""
    ros = 1 if path.suffix == ".bag" else 2
    store = typestore(ros)
    writer: Any = Writer1(path) if ros == 1 else Writer2(path, version=9, storage_plugin=storage)
    pack: Callable[..., Any] = store.serialize_ros1 if ros == 1 else store.serialize_cdr
    with writer:
        topics: dict[str, Any] = {}
        for topic, time, message in messages:
            kind = message.__msgtype__
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(topics[topic], time, pack(message, kind))
    return path


def drive(ros: int, seconds: float = 1.0, late: float = 0.0, fps: tuple[int, int] = (10, 5)) -> list[Any]:
    """Messages of an RGB and a thermal camera whose stamps differ by `late` seconds at the same moment, in the order in
    which they were recorded."""
    store = typestore(ros)
    found = []
    for number in range(round(seconds * fps[0])):
        stamp = 1_700_000_000 * SECOND + round(number / fps[0] * SECOND)
        found.append((RGB, stamp, image(store, look(number / fps[0], GROUND, False), "rgb8", stamp)))
    for number in range(round(seconds * fps[1])):
        stamp = 1_700_000_000 * SECOND + round((number / fps[1] + late) * SECOND)
        found.append((THERMAL, stamp, image(store, look(number / fps[1], GROUND, True), "mono8", stamp)))
    return sorted(found, key=lambda entry: entry[1])


def read(bag: Path, topic: str) -> list[Any]:
    """All messages of a topic, by rosbags."""
    with AnyReader([bag], default_typestore=typestore(1 if bag.suffix == ".bag" else 2)) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        return [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages(connections=connections)]
