"""How two live streams are predicted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cimnet.errors import check_fields


@dataclass(frozen=True)
class LiveSettings:
    """How two live streams are predicted.

    Attributes:
        tolerance: largest distance in time of an RGB frame and its thermal frame, seconds.
        offset: thermal clock − RGB clock at the same moment, seconds: positive where the thermal stream comes later.
        lost_after: seconds without a frame after which a stream counts as lost, and the other one is predicted alone.
        wait: seconds to wait for the first frame of any stream before giving up.
        duration: seconds after which the run ends. None: when it is stopped, or both files have ended.
        calibration: file that says where thermal pixels lie, as for `cimnet video`.
        rgb_crop, thermal_crop: the sensor's part of each frame, as for `cimnet video`.
        alarms: evaluate the checkpoint's alarms for each pair, with two more passes of the model.
        opacity: of the classes' colours, 0 to 1.

    Raises:
        ConfigError: naming a field that is out of range.
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
            ("offset", abs(self.offset) <= 3600, "-3600 to 3600 seconds"),
            ("lost_after", 0.1 <= self.lost_after <= 600, "0.1 to 600 seconds"),
            ("wait", 1 <= self.wait <= 3600, "1 to 3600 seconds"),
            ("duration", self.duration is None or self.duration > 0, "above 0 seconds"),
            ("opacity", 0 <= self.opacity <= 1, "0 to 1"),
        )
