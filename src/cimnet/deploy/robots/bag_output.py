"""Write the output bag: masks, overlays, the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from cimnet.deploy.robots.images import image_fields, jpeg_fields
from cimnet.deploy.robots.pair_segmenter import Segmented
from cimnet.deploy.robots.ros_types import header, label_info, make, rosbags, stamp_of, typestore
from cimnet.errors import CimnetError, one_line
from cimnet.inference.alarms.alarm import Alarm

Overlay = Literal["jpeg", "raw", "none"]
MASK, OVERLAY, LABELS, ALARMS = "/cimnet/mask", "/cimnet/overlay", "/cimnet/label_info", "/cimnet/diagnostics"


class BagWriter:
    """Use it in a `with`.

    Args:
        path: a new place. ``.bag``: a ROS 1 bag; else a rosbag2 folder with an MCAP file.
        classes: names by class id.
        overlay: how overlays are stored, or that they are not.
        alarms: whether there will be diagnostics.
    """

    def __init__(self, path: Path, classes: Sequence[str], overlay: Overlay, alarms: bool) -> None:
        self.path, self.classes, self.overlay, self.alarms = path, classes, overlay, alarms
        self.ros = 1 if path.suffix == ".bag" else 2
        self.store = typestore(self.ros)
        self.written = 0
        self._writer: Any = None
        self._topics: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        if self.ros == 1:
            self._writer = rosbags("rosbag1").Writer(self.path)
        else:
            bags = rosbags("rosbag2")
            self._writer = bags.Writer(self.path, version=9, storage_plugin=bags.StoragePlugin.MCAP)
        self._writer.open()
        self._add(MASK, "sensor_msgs/msg/Image")
        if self.overlay != "none":
            name = "CompressedImage" if self.overlay == "jpeg" else "Image"
            self._add(self._overlay_topic(), f"sensor_msgs/msg/{name}")
        self._add(LABELS, "vision_msgs/msg/LabelInfo", latched=True)
        if self.alarms:
            self._add(ALARMS, "diagnostic_msgs/msg/DiagnosticArray")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
        except Exception as failure:  # rosbags' errors and the system's
            if kind is None:
                raise CimnetError(f"{self.path}: cannot be written ({one_line(failure)}); free space") from failure

    def add(self, found: Segmented, rgb: Any, logged: int) -> None:
        """Write what was found for an RGB message that was recorded at `logged` nanoseconds; the mask has its header.

        Raises:
            CimnetError: the bag cannot be written.
        """
        heading = header(self.store, stamp_of(rgb), str(rgb.header.frame_id), self.written)
        try:
            if not self.written:
                self._write(LABELS, label_info(self.store, heading, self.classes), logged)
            image = make(self.store, "sensor_msgs/msg/Image", header=heading, **image_fields(found.mask))
            self._write(MASK, image, logged)
            if self.overlay != "none":
                fields = jpeg_fields(found.overlay) if self.overlay == "jpeg" else image_fields(found.overlay)
                name = "CompressedImage" if self.overlay == "jpeg" else "Image"
                picture = make(self.store, f"sensor_msgs/msg/{name}", header=heading, **fields)
                self._write(self._overlay_topic(), picture, logged)
            if found.alarm is not None:
                self._write(ALARMS, self._diagnostics(heading, found.alarm), logged)
        except OSError as error:
            raise CimnetError(f"{self.path}: cannot be written ({error.strerror}); free space") from error
        self.written += 1

    def _overlay_topic(self) -> str:
        return f"{OVERLAY}/compressed" if self.overlay == "jpeg" else OVERLAY

    def _add(self, topic: str, kind: str, latched: bool = False) -> None:
        if self.ros == 1:
            self._topics[topic] = self._writer.add_connection(
                topic, kind, typestore=self.store, latching=1 if latched else None
            )
            return
        profiles = [_latched_profile()] if latched else []
        self._topics[topic] = self._writer.add_connection(
            topic, kind, typestore=self.store, offered_qos_profiles=profiles
        )

    def _write(self, topic: str, message: Any, logged: int) -> None:
        connection = self._topics[topic]
        pack = self.store.serialize_ros1 if self.ros == 1 else self.store.serialize_cdr
        self._writer.write(connection, logged, pack(message, connection.msgtype))

    def _diagnostics(self, heading: Any, alarm: Alarm) -> Any:
        """One status a sensor alarm; level 1 (warning) where it is raised."""
        statuses = []
        for name, chance in alarm.probabilities.items():
            value = make(self.store, "diagnostic_msgs/msg/KeyValue", key="probability", value=f"{chance:.4f}")
            raised = name in alarm.raised
            statuses.append(
                make(
                    self.store,
                    "diagnostic_msgs/msg/DiagnosticStatus",
                    level=int(raised),
                    name=f"cimnet: {name}",
                    message=alarm.texts.get(name, "raised") if raised else "",
                    hardware_id="",
                    values=[value],
                )
            )
        return make(self.store, "diagnostic_msgs/msg/DiagnosticArray", header=heading, status=statuses)


def _latched_profile() -> Any:
    """Transient local: whoever listens later still gets the message."""
    kinds = rosbags("interfaces")
    endless = kinds.QosTime(9223372036, 854775807)
    return kinds.Qos(
        history=kinds.QosHistory.KEEP_LAST,
        depth=1,
        reliability=kinds.QosReliability.RELIABLE,
        durability=kinds.QosDurability.TRANSIENT_LOCAL,
        deadline=endless,
        lifespan=endless,
        liveliness=kinds.QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=endless,
        avoid_ros_namespace_conventions=False,
    )
