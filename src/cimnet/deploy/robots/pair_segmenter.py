"""Prediction of a mask from two image messages, shared by the bag tool and the ROS 2 node. It does not import ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.deploy.robots.images import read_image
from cimnet.deploy.robots.ros_types import stamp_of
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.fitting import Fitter, frame_tensors, read_position
from cimnet.inference.frozen import FrozenWatch
from cimnet.inference.overlay import overlay_mask, to_rgb
from cimnet.inference.predictor import Predictor


@dataclass(frozen=True)
class Segmented:
    """The result for one pair.

    Attributes:
        mask: class ids (H, W) uint8, at the size of the RGB image.
        overlay: the RGB image with the classes laid over it, (H, W, 3) uint8.
        alarm: what the checkpoint's alarms say. None: they were not asked.
    """

    mask: npt.NDArray[np.uint8]
    overlay: npt.NDArray[np.uint8]
    alarm: Alarm | None


class PairSegmenter:
    """Segments pairs of ROS messages.

    Args:
        predictor: the model, from :func:`cimnet.load`.
        rgb_topic, thermal_topic: names of the topics, for messages to the user.
        calibration: file that says where thermal pixels lie, as for `cimnet video`. None: frames are resized.
        alarms: whether to evaluate the checkpoint's alarms, with two more passes of the model.
        opacity: opacity of the classes' colours in the overlay, 0 to 1.
        note: called with each sentence that a user should know.

    Raises:
        CheckpointError: alarms are asked for, and the checkpoint has none.
        DataError: the calibration cannot be used.
    """

    def __init__(
        self,
        predictor: Predictor,
        rgb_topic: str,
        thermal_topic: str,
        calibration: Path | None = None,
        alarms: bool = False,
        opacity: float = 0.5,
        note: Callable[[str], object] = lambda _: None,
    ) -> None:
        predictor.info.second.require_one_channel(
            "cimnet bag", "save the images as files and give the folders to `cimnet predict`"
        )
        if alarms:
            predictor.alarm_model()
        self.predictor, self.topics = predictor, (rgb_topic, thermal_topic)
        self.calibration = read_position(calibration)
        self.alarms, self.opacity, self.note = alarms, opacity, note
        self._fitter: Fitter | None = None
        self._frozen = [FrozenWatch(topic, note) for topic in self.topics]

    def __call__(self, rgb: Any, thermal: Any) -> Segmented:
        """Segment an RGB and a thermal message, see :mod:`cimnet.deploy.robots.images`.

        Raises:
            DataError: an image cannot be read, or its depth or values are not those of training.
        """
        image = read_image(rgb, "rgb", self.topics[0])
        size = (image.shape[0], image.shape[1])
        if self._fitter is None or self._fitter.size != size:
            self._fitter = Fitter(size, self.calibration, "resize", self.note)
        heat = read_image(thermal, "thermal", self.topics[1])
        for watch, picture, message in zip(self._frozen, (image, heat), (rgb, thermal), strict=True):
            watch(picture, stamp_of(message) / 1e9)
        pair = frame_tensors(image, self._fitter(heat), self.predictor, self.topics[1])
        [ready] = self.predictor.prepare([pair], [self.alarms])
        [mask] = self.predictor.predict_prepared([ready])
        overlay = overlay_mask(to_rgb(pair[0]), mask, self.predictor.colors, self.opacity)
        return Segmented(mask, overlay, ready.alarm)
