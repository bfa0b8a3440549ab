"""The frames of a folder of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from cimnet.data.io.bands import Bands
from cimnet.data.io.name_order import by_number
from cimnet.data.io.name_times import times_of
from cimnet.data.io.readers import read_rgb
from cimnet.data.io.split_lists import IMAGE_EXTENSIONS, THERMAL_EXTENSIONS, index_images
from cimnet.data.io.thermal_files import Wanted, read_thermal_counts
from cimnet.deploy.video.counters import Counter, counter_of
from cimnet.deploy.video.crop import Crop
from cimnet.deploy.video.frames import Frame, Image, Kind
from cimnet.errors import ConfigError, DataError
from cimnet.utils.numbers import pluralize


class ImageSource:
    """The images of a folder: at the times that their names hold (see `times_of`), else `fps` a second, by the numbers
    in their names (see `Counter`).

    Attributes:
        counter: the numbers in the names; None: the names hold times, or differ in more than a number.
    """

    def __init__(
        self,
        path: Path,
        kind: Kind,
        fps: float | None = None,
        crop: Crop | None = None,
        wanted: Wanted | None = None,
        files: Mapping[str, Path] | None = None,
        bands: Bands | None = None,
    ) -> None:
        self.path, self.kind, self.crop, self.wanted, self.bands = path, kind, crop, wanted, bands
        found = files or index_images(path, IMAGE_EXTENSIONS if kind == "rgb" else THERMAL_EXTENSIONS)
        if not found:
            raise DataError(f"{path}: no images in it; folders inside are not read, give the right one")
        names = sorted(found, key=by_number)
        self.problems: list[str] = []
        clock = times_of(names)
        self.start: float | None = None
        self.counter: Counter | None = None
        if clock is None:
            self._count(names, fps)
        else:
            names, clock = self._by_clock(names, clock)
            self.start = clock[0]
            self.times = [time - clock[0] for time in clock]
            self.interval = float(np.median(np.diff(clock))) if len(clock) > 1 else 0.04
            self._note_gaps()
        self.files = [found[name] for name in names]
        self.total: int | None = len(names)
        self.duration: float | None = self.times[-1] + self.interval

    def frames(self) -> Iterator[Frame]:
        """Yield all images."""
        for index, (file, time) in enumerate(zip(self.files, self.times, strict=True)):
            read = partial(read_frame, file, self.kind, self.crop, self.wanted, self.bands)
            yield Frame(index, file.stem, time, read)

    def count_from(self, moment: float) -> None:
        """Count the times from this moment, seconds since 1970, if the names hold times."""
        if self.start is not None:
            self.times = [time + (self.start - moment) for time in self.times]

    def _count(self, names: list[str], fps: float | None) -> None:
        if fps is None or not 0 < fps <= 10_000:
            option = "fps" if self.kind == "rgb" else "thermal_fps"
            raise ConfigError(
                f"{self.path}: the names of these images hold no times; give {option}, images a second (now {fps})"
            )
        self.interval = 1 / fps
        self.counter = counter_of(names, self.kind, fps)
        self.times = [n / fps for n in range(len(names))] if self.counter is None else self.counter.times()
        if self.counter is not None and self.counter.missing:
            left_out = pluralize(self.counter.missing, "number")
            self.problems.append(f"{self.path}: {left_out} left out; times follow the numbers")

    def _by_clock(self, names: list[str], clock: list[float]) -> tuple[list[str], list[float]]:
        """Names and times in the order of time; of images of the same moment the first is kept."""
        chosen: dict[float, str] = {}
        for time, name in sorted(zip(clock, names, strict=True)):
            chosen.setdefault(time, name)
        if len(chosen) < len(names):
            self.problems.append(
                f"{self.path}: {pluralize(len(names) - len(chosen), 'image')} left out, with the time of another"
            )
        return list(chosen.values()), list(chosen)

    def _note_gaps(self) -> None:
        steps = np.diff(self.times)
        wide = steps[steps > 1.5 * self.interval]
        if len(wide):
            lost = int(np.round(wide / self.interval - 1).sum())
            longest = f"the longest of {wide.max():.2f} s"
            self.problems.append(
                f"{self.path}: by the times in the names, about {pluralize(lost, 'image')} missing, {longest}"
            )


def read_frame(file: Path, kind: Kind, crop: Crop | None, wanted: Wanted | None, bands: Bands | None = None) -> Image:
    """An image file as a frame: RGB (H, W, 3) uint8 or raw thermal values (H, W), cropped.

    Raises:
        DataError: it cannot be read, or the crop does not lie in it.
    """
    image: Image = read_rgb(file, bands, of_pair=True) if kind == "rgb" else read_thermal_counts(file, wanted)
    return image if crop is None else crop.cut(image, file)
