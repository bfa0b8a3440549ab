"""Settings of a video prediction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cimnet.deploy.video.picture import View
from cimnet.errors import check_fields
from cimnet.inference.fitting import Fit

Missing = Literal["skip", "rgb-only"]


@dataclass(frozen=True)
class VideoSettings:
    """Settings of a video prediction.

    Attributes:
        fps, thermal_fps: images per second of a folder whose names hold no times. None: the names hold them.
        rgb_stream, thermal_stream: which video stream of a file, from 0. None: the first; of one file given for both
            sensors, the coloured one for RGB and the grey one for thermal.
        rgb_crop, thermal_crop: the sensor's part of each frame: ``left``, ``right``, ``top``, ``bottom`` or
            ``X,Y,WIDTH,HEIGHT`` in pixels. None: all of it; of one file given for both, the coloured half and the grey
            half.
        rgb_embedded: whether the RGB images are the visible pictures inside radiometric FLIR JPEGs. One folder of these
            may be given for both sensors.
        time_offset: thermal time − RGB time of the same moment, seconds, each clock being 0 at its video's first frame:
            what RGB shows at t, thermal shows at t + offset. Positive if thermal began to record earlier. Two streams
            of one file share its clock, and two folders whose names hold times, or count together, that of the names.
            "estimate": found from the pictures, see :func:`cimnet.deploy.video.estimate_offset`.
        every: predict every n-th RGB frame.
        start, end: part of the RGB video, seconds, without ``end`` itself. None: to its end.
        max_gap: largest difference in time between an RGB frame and its thermal frame, seconds. None: one thermal
            interval.
        missing: what happens to RGB frames without a thermal frame. "skip": they are left out, and the run ends with
            the thermal video. "rgb-only": they are predicted from RGB alone.
        thermal_fit: what happens to thermal frames of another size than the RGB frames. "resize": they are resized.
            "error": they are refused. With a calibration, the sizes that it was made for count instead.
        calibration: file that says where thermal pixels lie, for
            ``cimnet.registration.camera_calibration.read_calibration``. None: no registration.
        smooth: share of the average of earlier frames' probabilities in a frame's, 0 to 0.98; 0: each frame by itself.
        view: what the video shows. "overlay": RGB with the classes laid over it. "side": RGB, thermal and overlay.
            "none": no video.
        legend: whether to name the classes below.
        opacity: opacity of the classes' colours, 0 to 1.
        alarms: whether to write the checkpoint's alarms to frames.csv, with two more passes of the model.
        overwrite: whether to replace files of an earlier run.

    Raises:
        ConfigError: a field is out of range; the message names it.
    """

    fps: float | None = None
    thermal_fps: float | None = None
    rgb_stream: int | None = None
    thermal_stream: int | None = None
    rgb_crop: str | None = None
    thermal_crop: str | None = None
    rgb_embedded: bool = False
    time_offset: float | Literal["estimate"] = 0.0
    every: int = 1
    start: float = 0.0
    end: float | None = None
    max_gap: float | None = None
    missing: Missing = "skip"
    thermal_fit: Fit = "resize"
    calibration: Path | None = None
    smooth: float = 0.0
    view: View = "overlay"
    legend: bool = True
    opacity: float = 0.5
    alarms: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        offset = self.time_offset
        check_fields(
            self,
            ("time_offset", offset == "estimate" or _number(offset, -86400, 86400), "seconds, or estimate"),
            ("rgb_stream", self.rgb_stream is None or self.rgb_stream >= 0, "0 or more"),
            ("thermal_stream", self.thermal_stream is None or self.thermal_stream >= 0, "0 or more"),
            ("every", self.every >= 1, "at least 1"),
            ("start", self.start >= 0, "at least 0 seconds"),
            ("end", self.end is None or self.end > self.start, f"more than start, {self.start:g} seconds"),
            ("max_gap", self.max_gap is None or self.max_gap >= 0, "at least 0 seconds"),
            ("missing", self.missing in get_args(Missing), " or ".join(get_args(Missing))),
            ("thermal_fit", self.thermal_fit in get_args(Fit), " or ".join(get_args(Fit))),
            ("smooth", 0 <= self.smooth <= 0.98, "0 (off) to 0.98"),
            ("view", self.view in get_args(View), " or ".join(get_args(View))),
            ("opacity", 0 <= self.opacity <= 1, "0 to 1"),
        )


def _number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
