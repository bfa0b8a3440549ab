"""A stand-in for rclpy and the message packages that the ROS 2 node imports: topics are dictionaries."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest


class _Message:
    defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, **fields: Any) -> None:
        for name, value in self.defaults.items():
            setattr(self, name, value() if callable(value) else value)
        for name, value in fields.items():
            if name not in self.defaults:
                raise AttributeError(f"{type(self).__name__} has no field {name}")  # as rosidl's messages do
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.defaults:
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        object.__setattr__(self, name, value)


def message(kind: str, /, **defaults: Any) -> type[_Message]:
    """A message type with these fields."""
    return type(kind, (_Message,), {"defaults": defaults})


Time = message("Time", sec=0, nanosec=0)
Header = message("Header", stamp=Time, frame_id="")
Image = message("Image", header=Header, height=0, width=0, encoding="", is_bigendian=0, step=0, data=bytes)
VisionClass = message("VisionClass", class_id=0, class_name="")
LabelInfo = message("LabelInfo", header=Header, class_map=list, threshold=0.0)
KeyValue = message("KeyValue", key="", value="")
DiagnosticStatus = message("DiagnosticStatus", level=b"\0", name="", message="", hardware_id="", values=list)
DiagnosticStatus.OK, DiagnosticStatus.WARN = b"\0", b"\1"  # type: ignore[attr-defined]
DiagnosticArray = message("DiagnosticArray", header=Header, status=list)


class Bus:
    """What nodes publish and subscribe to.

    Attributes:
        published: messages by topic. qos: of publishers and subscribers, by topic. log: (level, text).
        overridable: topics whose QoS parameters may change.
        parameters: given to the node. now: its clock, seconds.
    """

    def __init__(self) -> None:
        self.published: dict[str, list[Any]] = {}
        self.qos: dict[str, Any] = {}
        self.overridable: set[str] = set()
        self.callbacks: dict[str, Callable[[Any], object]] = {}
        self.log: list[tuple[str, str]] = []
        self.parameters: dict[str, Any] = {}
        self.now = 0.0

    def send(self, topic: str, sent: Any) -> None:
        """Deliver a message to the subscriber."""
        self.callbacks[topic](sent)


def _node_class(bus: Bus) -> type:
    class Node:
        def __init__(self, name: str) -> None:
            self.name = name

        def declare_parameter(self, name: str, default: Any) -> Any:
            return SimpleNamespace(value=bus.parameters.get(name, default))

        def get_logger(self) -> Any:
            def say(level: str) -> Callable[[str], None]:
                return lambda text: bus.log.append((level, text))

            return SimpleNamespace(info=say("info"), warning=say("warning"), error=say("error"))

        def get_clock(self) -> Any:
            return SimpleNamespace(
                now=lambda: SimpleNamespace(to_msg=lambda: Time(sec=7), nanoseconds=round(bus.now * 1e9))
            )

        def create_publisher(self, kind: type, topic: str, qos: Any, *, qos_overriding_options: Any = None) -> Any:
            bus.qos[topic] = qos
            bus.overridable |= {topic} if qos_overriding_options else set()

            def publish(sent: Any) -> None:
                assert isinstance(sent, kind)
                bus.published.setdefault(topic, []).append(sent)

            return SimpleNamespace(publish=publish)

        def create_subscription(
            self,
            kind: type,
            topic: str,
            callback: Callable[[Any], object],
            qos: Any,
            *,
            qos_overriding_options: Any = None,
        ) -> None:
            bus.qos[topic] = qos
            bus.overridable |= {topic} if qos_overriding_options else set()
            bus.callbacks[topic] = callback

        def destroy_node(self) -> None:
            bus.callbacks.clear()

    return Node


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch) -> Bus:
    """The stand-in, installed as modules."""
    bus = Bus()
    modules: dict[str, dict[str, Any]] = {
        "rclpy": {"init": lambda: None, "try_shutdown": lambda: None},
        "rclpy.executors": {"ExternalShutdownException": type("ExternalShutdownException", (Exception,), {})},
        "rclpy.node": {"Node": _node_class(bus)},
        "rclpy.qos": {
            "QoSProfile": SimpleNamespace,
            "qos_profile_sensor_data": "sensor data",
            "DurabilityPolicy": SimpleNamespace(TRANSIENT_LOCAL="transient local"),
            "ReliabilityPolicy": SimpleNamespace(RELIABLE="reliable"),
        },
        "rclpy.qos_overriding_options": {
            "QoSOverridingOptions": SimpleNamespace(with_default_policies=lambda: "history, depth, reliability")
        },
        "sensor_msgs": {},
        "sensor_msgs.msg": {"Image": Image},
        "vision_msgs": {},
        "vision_msgs.msg": {"LabelInfo": LabelInfo, "VisionClass": VisionClass},
        "diagnostic_msgs": {},
        "diagnostic_msgs.msg": {
            "DiagnosticArray": DiagnosticArray,
            "DiagnosticStatus": DiagnosticStatus,
            "KeyValue": KeyValue,
        },
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return bus
