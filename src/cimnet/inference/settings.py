"""How a model is run: windows, batches, averaged views, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cimnet.errors import check_fields
from cimnet.inference.windows import Windows

WHOLE = 1280 * 1024
"""Pixels up to which an image is seen at once, if nothing else is said."""
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Settings:
    """How a model is run.

    Attributes:
        window: side of the square windows in which large images are seen, pixels, see
            :mod:`cimnet.inference.windows`. None: images up to `WHOLE` pixels at once, larger ones in windows of 640.
        overlap: of neighbouring windows, share of their side.
        batch_size: images or windows in one pass.
        flip: also see each image mirrored, and average the probabilities.
        scales: see each image at these sizes, and average the probabilities.
        precision: ``float32``; ``bfloat16`` or ``float16`` for autocast.
        leave_out_broken: predict without a sensor that the checkpoint's alarm calls broken while it says nothing of the
            other one. For whole pairs: `Predictor.predict`, `predict_batch`, `predict_proba`, and videos.

    Raises:
        ConfigError: naming a field that is out of range.
    """

    window: int | None = None
    overlap: float = 0.5
    batch_size: int = 1
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    precision: Precision = "float32"
    leave_out_broken: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.scales))
        check_fields(
            self,
            ("window", self.window is None or self.window >= 32, "at least 32 pixels"),
            ("overlap", 0 <= self.overlap <= 0.75, "0 to 0.75"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("scales", self.scales and all(0.1 <= scale <= 4 for scale in self.scales), "one or more of 0.1 to 4"),
            ("precision", self.precision in get_args(Precision), " or ".join(get_args(Precision))),
        )

    def windows(self, height: int, width: int) -> Windows | None:
        """The grid for an image of this size; None: the image is seen at once."""
        if self.window is None and height * width <= WHOLE:
            return None
        return Windows(height, width, self.window or 640, self.overlap)
