"""Settings for the prediction of two live streams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cimnet.errors import check_fields

MOST_OFFSET = 10.0
"""Seconds: the frames of one stream are held for as long as those of the other one come later."""


@dataclass(frozen=True)
class LiveSettings:
    """The settings for the prediction of two live streams.

    Attributes:
        tolerance: largest difference in time between the frames of a pair, seconds, above 0 and at most 60.
        offset: thermal time − RGB time of the same moment, seconds, -10 to 10: positive if the thermal stream comes
            later. The frames of the other stream are held for as long, at most 1 GiB of them.
        lost_after: seconds without a frame after which a stream counts as lost and the other one is predicted alone,
            0.1 to 600.
        wait: seconds to wait for the first frame of any stream before giving up, 1 to 3600.
        duration: seconds after which the run ends. None: when it is stopped, or when both files have ended.
        calibration: file that says where thermal pixels lie, as for `cimnet video`. None: frames are resized.
        rgb_crop, thermal_crop: the sensor's part of each frame: ``left``, ``right``, ``top``, ``bottom`` or
            ``X,Y,WIDTH,HEIGHT`` in pixels. None: all of it.
        alarms: whether to evaluate the checkpoint's alarms for each pair, with two more passes of the model.
        opacity: opacity of the classes' colours in the overlay, 0 to 1.

    Raises:
        ConfigError: a field is out of range; the message names it.
    """

    tolerance: float = 0.05
    offset: float = 0.0
    lost_after: float = 1.0
    wait: float = 30.0
    duration: float | None = None
    calibration: Path | None = None
    rgb_crop: str | None = None
    thermal_crop: str | None = None
    alarms: bool = False
    opacity: float = 0.5

    def __post_init__(self) -> None:
        check_fields(
            self,
            ("tolerance", 0 < self.tolerance <= 60, "above 0 and at most 60 seconds"),
            ("offset", abs(self.offset) <= MOST_OFFSET, f"-{MOST_OFFSET:g} to {MOST_OFFSET:g} seconds"),
            ("lost_after", 0.1 <= self.lost_after <= 600, "0.1 to 600 seconds"),
            ("wait", 1 <= self.wait <= 3600, "1 to 3600 seconds"),
            ("duration", self.duration is None or self.duration > 0, "above 0 seconds"),
            ("opacity", 0 <= self.opacity <= 1, "0 to 1"),
        )
