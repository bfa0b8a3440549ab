"""The ROS 2 node against a stand-in of rclpy, and the layout of its package as colcon wants it."""

from __future__ import annotations

import ast
import importlib
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cimnet.deploy.robots import NewestPair
from cimnet.errors import CimnetError, DataError
from cimnet.inference import load
from tests.conftest import Trained
from tests.fakes.rclpy import Bus, Header, Image, Time, ros

from ..video.films import look, world

__all__ = ["ros"]
PACKAGE = Path(__file__).parents[3] / "robots" / "ros2" / "cimnet_ros"
GROUND = world()


@pytest.fixture
def node_module(ros: Bus, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(PACKAGE))
    yield importlib.import_module("cimnet_ros.node")
    for name in ("cimnet_ros.node", "cimnet_ros"):
        sys.modules.pop(name, None)


def picture(time_: float, thermal: bool, frame: str = "cam") -> Any:
    array = look(time_, GROUND, thermal)
    header = Header(stamp=Time(sec=5, nanosec=round(time_ * 1e9)), frame_id=frame)
    height, width = array.shape[:2]
    encoding = "mono8" if thermal else "rgb8"
    return Image(
        header=header, height=height, width=width, encoding=encoding, step=array[0].nbytes, data=array.tobytes()
    )


def wait_for(ready: Any) -> None:
    ends = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_pairs_become_masks_with_the_rgb_header(ros: Bus, node_module: Any, trained: Trained) -> None:
    ros.parameters = {"checkpoint": str(trained.best), "rgb_topic": "/rgb", "thermal_topic": "/heat"}
    node = node_module.SegmentNode()
    predictor = load(trained.best, "cpu")
    assert ros.qos["/rgb"] == ros.qos["/heat"] == "sensor data"
    [labels] = ros.published["~/label_info"]
    assert ros.qos["~/label_info"].durability == "transient local"
    for topic in ("~/mask", "~/overlay"):  # a best-effort publisher would send nothing to a reliable viewer
        assert (ros.qos[topic].depth, ros.qos[topic].reliability) == (1, "reliable")
    assert ros.overridable == {"/rgb", "/heat", "~/mask", "~/overlay"}
    assert [entry.class_name for entry in labels.class_map] == list(predictor.classes)
    for number in range(3):
        ros.send("/rgb", picture(number / 10, False, "left"))
        ros.send("/heat", picture(number / 10, True))
        wait_for(lambda count=number + 1: len(ros.published.get("~/overlay", [])) == count)
    for number, mask in enumerate(ros.published["~/mask"]):
        assert mask.header.frame_id == "left"
        assert mask.header.stamp.nanosec == round(number / 10 * 1e9)
        expected = predictor.predict(look(number / 10, GROUND, False), look(number / 10, GROUND, True))
        np.testing.assert_array_equal(np.frombuffer(mask.data, np.uint8).reshape(expected.shape), expected)
    assert "/diagnostics" not in ros.published
    node.destroy_node()
    assert not ros.callbacks


def test_a_picture_that_cannot_be_used_is_said_once(ros: Bus, node_module: Any, trained: Trained) -> None:
    ros.parameters = {"checkpoint": str(trained.best), "rgb_topic": "/rgb", "thermal_topic": "/heat", "overlay": False}
    node = node_module.SegmentNode()
    for number in range(3):
        wrong = picture(number / 10, False)
        wrong.encoding = "yuv422"
        ros.send("/rgb", wrong)
        ros.send("/heat", picture(number / 10, True))
        time.sleep(0.05)
    ros.send("/rgb", picture(0.9, False))
    ros.send("/heat", picture(0.9, True))
    wait_for(lambda: "~/mask" in ros.published)
    node.destroy_node()
    assert [text for level, text in ros.log if level == "error"] == [
        text for level, text in ros.log if level == "error" and "yuv422" in text
    ][:1]
    assert "~/overlay" not in ros.published


def test_a_checkpoint_must_be_given(ros: Bus, node_module: Any) -> None:
    with pytest.raises(CimnetError, match="checkpoint: is empty"):
        node_module.SegmentNode()
    with pytest.raises(SystemExit, match="cimnet_ros: parameter checkpoint"):
        node_module.main()


def test_the_newest_pair_replaces_the_one_that_waits() -> None:
    begun, go_on = threading.Event(), threading.Event()
    found: list[Any] = []

    def segment(rgb: Any, thermal: Any) -> Any:
        begun.set()
        go_on.wait(30)
        if rgb == "bad":
            raise DataError("bad")
        return rgb

    said: list[str] = []
    worker = NewestPair(segment, lambda result, rgb: found.append(result), said.append)  # type: ignore[arg-type]
    worker.offer(0, None)
    begun.wait(30)
    for number in range(1, 6):
        worker.offer(number, None)
    go_on.set()
    wait_for(lambda: found == [0, 5])
    assert worker.dropped == 4
    worker.offer("bad", None)
    wait_for(lambda: said == ["bad"])
    worker.stop()


def test_the_worker_survives_any_failure() -> None:
    """A publisher or the device may fail with whatever they like: the next pair has its turn."""
    found: list[Any] = []
    said: list[str] = []

    def publish(result: Any, rgb: Any) -> None:
        if rgb == 0:
            raise RuntimeError("out of memory")
        found.append(rgb)

    worker = NewestPair(lambda rgb, thermal: rgb, publish, said.append)  # type: ignore[arg-type,return-value]
    worker.offer(0, None)
    wait_for(lambda: said == ["RuntimeError: out of memory"])
    worker.offer(1, None)
    wait_for(lambda: found == [1])
    worker.stop()


def test_images_without_a_stamp_pair_by_when_they_come(ros: Bus, node_module: Any, trained: Trained) -> None:
    ros.parameters = {"checkpoint": str(trained.best), "rgb_topic": "/rgb", "thermal_topic": "/heat", "offset": 0.5}
    node = node_module.SegmentNode()
    rgb, heat = picture(0.0, False), picture(0.0, True)
    rgb.header.stamp = heat.header.stamp = Time()
    ros.now = 100.0
    ros.send("/rgb", rgb)
    ros.now = 103.0
    ros.send("/heat", heat)
    assert not node.worker._waiting
    assert node.pairs.gap() == pytest.approx(2.5)  # less the offset
    node.destroy_node()


def test_the_node_ends_quietly_when_ros_shuts_down(
    ros: Bus, node_module: Any, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spin(_: Any) -> None:
        raise node_module.ExternalShutdownException

    ros.parameters = {"checkpoint": str(trained.best)}
    monkeypatch.setattr(node_module.rclpy, "spin", spin, raising=False)
    node_module.main()
    assert not ros.callbacks


def test_the_package_is_laid_out_for_colcon() -> None:
    """`colcon build` was run on it with colcon's own packages; this holds what it reads."""
    manifest = ET.parse(PACKAGE / "package.xml").getroot()
    assert manifest.findtext("name") == "cimnet_ros"
    assert manifest.findtext("export/build_type") == "ament_python"
    setup = (PACKAGE / "setup.py").read_text()
    for _, paths in ast.literal_eval(
        setup[setup.index("data_files=") + 11 : setup.index("install_requires")]
        .strip()
        .rstrip(",")
        .replace('f"', '"')
        .replace("{NAME}", "cimnet_ros")
    ):
        for path in paths:
            assert (PACKAGE / path).is_file()
    imported = {
        line.split()[1].split(".")[0]
        for line in (PACKAGE / "cimnet_ros" / "node.py").read_text().splitlines()
        if line.startswith(("from ", "import "))
    }
    declared = {element.text for element in manifest.findall("exec_depend")}
    assert imported - declared == {"__future__", "pathlib", "cimnet"}
    settings = yaml.safe_load((PACKAGE / "config" / "segment.yaml").read_text())["cimnet"]["ros__parameters"]
    node = (PACKAGE / "cimnet_ros" / "node.py").read_text()
    declared_parameters = ast.literal_eval(node[node.index("PARAMETERS = ") + 13 : node.index("\n}\n") + 2])
    assert settings == declared_parameters
