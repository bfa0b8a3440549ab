"""The part of a data set that calibration needs."""

from __future__ import annotations

from typing import Protocol

from cimnet.data.sample import RGBTSample


class Pairs(Protocol):
    """A data set of this package, or anything like it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by class id."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> RGBTSample: ...
