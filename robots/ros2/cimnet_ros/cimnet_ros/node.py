"""The node: topics, parameters and publishers. What is done with a pair stands in cimnet.deploy.robots."""

from __future__ import annotations

from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo, VisionClass

from cimnet import CimnetError, load
from cimnet.deploy.robots import ApproximateTime, NewestPair, PairSegmenter, Segmented
from cimnet.deploy.robots.images import image_fields
from cimnet.deploy.robots.ros_types import stamp_of

PARAMETERS = {
    "checkpoint": "",
    "rgb_topic": "/camera/image_raw",
    "thermal_topic": "/thermal/image_raw",
    "slop": 0.05,
    "offset": 0.0,
    "queue_size": 10,
    "calibration": "",
    "device": "",
    "precision": "float32",
    "alarms": False,
    "overlay": True,
}


class SegmentNode(Node):
    """Subscribes to two image topics and publishes ``~/mask``, ``~/overlay``, ``~/label_info`` and ``/diagnostics``.

    The newest pair wins: while the model works, newer pairs replace the one that waits.

    Images are read with the sensor-data QoS and published as reliable, so that readers of either kind receive them.
    The parameters ``qos_overrides.TOPIC.publisher.…`` and ``….subscription.…`` change history, depth and reliability.
    """

    def __init__(self) -> None:
        super().__init__("cimnet")
        given = {name: self.declare_parameter(name, default).value for name, default in PARAMETERS.items()}
        if not given["checkpoint"]:
            raise CimnetError("parameter checkpoint: is empty; give a run folder, a .safetensors or an exported file")
        predictor = load(given["checkpoint"], given["device"] or None, precision=given["precision"])
        log = self.get_logger()
        calibration = Path(given["calibration"]) if given["calibration"] else None
        topics = given["rgb_topic"], given["thermal_topic"]
        segment = PairSegmenter(predictor, *topics, calibration, given["alarms"], note=log.warning)
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        change = {"qos_overriding_options": QoSOverridingOptions.with_default_policies()}
        self.masks = self.create_publisher(Image, "~/mask", newest, **change)
        self.overlays = self.create_publisher(Image, "~/overlay", newest, **change) if given["overlay"] else None
        self.labels = self.create_publisher(LabelInfo, "~/label_info", latched)
        self.diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10) if given["alarms"] else None
        self.labels.publish(self._label_info(predictor.classes))
        self.offset = round(given["offset"] * 1e9)
        self.pairs = ApproximateTime(given["slop"], given["queue_size"])
        self.worker = NewestPair(segment, self.publish, log.error)
        for side, topic in enumerate(topics):
            self.create_subscription(
                Image, topic, lambda message, side=side: self.take(side, message), qos_profile_sensor_data, **change
            )
        log.info(f"{given['checkpoint']}: {topics[0]} and {topics[1]} to ~/mask")

    def take(self, side: int, message: Image) -> None:
        """An image has come: 0 RGB, 1 thermal."""
        stamp = stamp_of(message) or self.get_clock().now().nanoseconds
        pair = self.pairs.add(side, stamp - side * self.offset, message)
        if pair is not None:
            self.worker.offer(*pair)

    def publish(self, found: Segmented, rgb: Image) -> None:
        """Publish what was found, with the header of the RGB image."""
        self.masks.publish(_filled(Image(header=rgb.header), image_fields(found.mask)))
        if self.overlays is not None:
            self.overlays.publish(_filled(Image(header=rgb.header), image_fields(found.overlay)))
        if self.diagnostics is not None and found.alarm is not None:
            self.diagnostics.publish(DiagnosticArray(header=rgb.header, status=_statuses(found)))

    def destroy_node(self) -> None:
        """Stop the worker first."""
        self.worker.stop()
        super().destroy_node()

    def _label_info(self, classes: tuple[str, ...]) -> LabelInfo:
        message = LabelInfo(
            class_map=[VisionClass(class_id=number, class_name=name) for number, name in enumerate(classes)],
            threshold=0.0,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        return message


def _filled(message: Image, fields: dict[str, object]) -> Image:
    for name, value in fields.items():
        setattr(message, name, value.tobytes() if name == "data" else value)  # bytes: the fast way into rclpy's array
    return message


def _statuses(found: Segmented) -> list[DiagnosticStatus]:
    """One status an alarm: a warning where it is raised."""
    return [
        DiagnosticStatus(
            level=DiagnosticStatus.WARN if name in found.alarm.raised else DiagnosticStatus.OK,
            name=f"cimnet: {name}",
            message=found.alarm.texts.get(name, ""),
            values=[KeyValue(key="probability", value=f"{chance:.4f}")],
        )
        for name, chance in found.alarm.probabilities.items()
    ]


def main() -> None:
    """Entry point of ``ros2 run cimnet_ros segment``."""
    rclpy.init()
    try:
        node = SegmentNode()
    except CimnetError as error:
        raise SystemExit(f"cimnet_ros: {error}") from None
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):  # Ctrl-C, or ros2 launch ends
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
