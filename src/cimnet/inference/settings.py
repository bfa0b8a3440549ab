"""Settings for running a model: windows, batches, averaged views, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from cimnet.data.io.bands import Bands
from cimnet.data.io.units import UNITS
from cimnet.errors import ConfigError, check_fields
from cimnet.inference.windows import Windows

WHOLE = 1280 * 1024
"""Pixels up to which an image is seen at once, if nothing else is said."""
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Settings:
    """The settings for running a model.

    Attributes:
        window: side of the square windows into which large images are cut, pixels, at least 32, see
            :mod:`cimnet.inference.windows`. None: images of up to 1280 × 1024 pixels in one pass, larger ones in
            windows of 640.
        overlap: overlap of neighbouring windows as a share of their side, 0 to 0.75.
        batch_size: images or windows in one pass.
        flip: whether to predict each image mirrored, too, and average the probabilities.
        scales: factors on the size, each 0.1 to 4: predict each image at these sizes and average the probabilities.
        precision: ``float32``, or ``bfloat16`` or ``float16`` for autocast.
        leave_out_broken: whether to predict without a sensor that the checkpoint's alarm calls broken, if it does not
            call the other one broken. For pairs with both images: `Predictor.predict`, `predict_batch`,
            `predict_proba`, and videos.
        force_range: whether to accept thermal images with half of their values or more outside the range of training.
        bands: which bands of image files are red, green, blue and thermal. None: as the files say.
        thermal_unit: unit of thermal image files that do not say one, a name in ``cimnet.data.io.units.UNITS``; their
            values are converted to the checkpoint's unit if that is known. Not of arrays and videos. None: as the files
            say.

    Raises:
        ConfigError: a field is out of range; the message names it.
    """

    window: int | None = None
    overlap: float = 0.5
    batch_size: int = 1
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    precision: Precision = "float32"
    leave_out_broken: bool = False
    force_range: bool = False
    bands: Bands | None = None
    thermal_unit: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.scales))
        check_fields(
            self,
            ("window", self.window is None or self.window >= 32, "at least 32 pixels"),
            ("overlap", 0 <= self.overlap <= 0.75, "0 to 0.75"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("scales", self.scales and all(0.1 <= scale <= 4 for scale in self.scales), "one or more of 0.1 to 4"),
            ("precision", self.precision in get_args(Precision), " or ".join(get_args(Precision))),
            ("thermal_unit", self.thermal_unit is None or self.thermal_unit in UNITS, f"one of {', '.join(UNITS)}"),
        )

    @property
    def averages(self) -> bool:
        """Whether a mask is made of several views of an image."""
        return self.flip or self.scales != (1.0,)

    def one_pass(self, height: int, width: int) -> bool:
        """Whether the mask of an image of this size comes from one plain float32 pass over the whole image, as the
        alarm's passes are."""
        return not self.averages and self.precision == "float32" and self.windows(height, width) is None

    def windows(self, height: int, width: int) -> Windows | None:
        """The grid of windows for an image of this size; None: the image runs as a whole."""
        if self.window is None and height * width <= WHOLE:
            return None
        return Windows(height, width, self.window or 640, self.overlap)


def choose_device(name: str | torch.device | None) -> torch.device:
    """A device by name; None: CUDA if available, otherwise the CPU.

    Raises:
        ConfigError: if there is no such device here.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch raises either, by how it was built
        raise ConfigError(f"device '{name}': not usable here ({str(error).splitlines()[0]}); try cpu") from error
