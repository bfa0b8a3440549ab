"""Messages of ROS for bags, made and written by rosbags."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from cimnet.utils.extras import require

VISION_CLASS = "uint16 class_id\nstring class_name\n"
LABEL_INFO = "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n"


def rosbags(module: str) -> Any:
    """A module of rosbags, for example ``highlevel``.

    Raises:
        MissingExtra: it is not installed.
    """
    return require(f"rosbags.{module}", "robots", "ROS bags")


@cache
def typestore(ros: int) -> Any:
    """The message types of ROS 1 (noetic) or 2 (jazzy), with vision_msgs' LabelInfo."""
    types = rosbags("typesys")
    store = types.get_typestore(types.Stores.ROS1_NOETIC if ros == 1 else types.Stores.ROS2_JAZZY)
    store.register(types.get_types_from_msg(VISION_CLASS, "vision_msgs/msg/VisionClass"))
    store.register(types.get_types_from_msg(LABEL_INFO, "vision_msgs/msg/LabelInfo"))
    return store


def make(store: Any, kind: str, /, **fields: Any) -> Any:
    """A message by the name of its type, for example ``sensor_msgs/msg/Image``."""
    return store.types[kind](**fields)


def header(store: Any, stamp: int, frame_id: str, number: int) -> Any:
    """A header of either ROS; `stamp` in nanoseconds, `number` for ROS 1."""
    time = make(store, "builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
    kind = store.types["std_msgs/msg/Header"]
    counted = {"seq": number} if "seq" in kind.__dataclass_fields__ else {}
    return kind(stamp=time, frame_id=frame_id, **counted)


def label_info(store: Any, heading: Any, classes: Sequence[str]) -> Any:
    """Names of all class ids as ``vision_msgs/LabelInfo``."""
    entries = [
        make(store, "vision_msgs/msg/VisionClass", class_id=number, class_name=name)
        for number, name in enumerate(classes)
    ]
    return make(store, "vision_msgs/msg/LabelInfo", header=heading, class_map=entries, threshold=0.0)


def stamp_of(message: Any) -> int:
    """A message's stamp in nanoseconds; 0: it has none."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)
