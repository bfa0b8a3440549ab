"""Defects of RGB-thermal pairs, each in five severities, seeded: ``corrupt(sample, "translation", severity=3)``.

The same seed, pair and corruption give the same pixels in any process and order, and a higher severity is more of the
same defect.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection

import numpy as np
from torch.utils.data import Dataset

from cimnet.data.classes import moving_ids
from cimnet.data.corruptions import geometry, rgb, thermal
from cimnet.data.corruptions.corruption import Context, Corruption, Group, earlier_index
from cimnet.data.dataset import RGBTDataset
from cimnet.data.sample import RGBTSample
from cimnet.errors import ConfigError, DataError

CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("translation", "geometry", (2, 5, 10, 15, 20), "px", geometry.translation),
        Corruption("rotation", "geometry", (0.5, 1, 2, 4, 6), "°", geometry.rotation, (0, 180)),
        Corruption("scale", "geometry", (1, 2, 4, 7, 10), "%", geometry.scale),
        Corruption("affine", "geometry", (4, 8, 12, 16, 20), "px", geometry.affine),
        Corruption("warp", "geometry", (2, 5, 10, 15, 20), "px", geometry.warp),
        Corruption("parallax", "geometry", (2, 5, 10, 15, 20), "px", geometry.parallax),
        Corruption("time_lag", "geometry", (2, 5, 10, 15, 20), "px", geometry.time_lag),
        Corruption("rolling_shutter", "geometry", (2, 5, 10, 20, 40), "px", geometry.rolling_shutter),
        *rgb.CORRUPTIONS,
        *thermal.CORRUPTIONS,
    )
}
"""All corruptions by name, in the order of reports."""

DROPPED = ("rgb_dropped", "thermal_dropped")
"""Corruptions that need an earlier pair; in the pair alone nothing shows which camera is at fault."""


def corrupt(
    sample: RGBTSample,
    name: str,
    severity: int | None = None,
    *,
    level: float | None = None,
    seed: int = 0,
    moving: Collection[int] = (),
    other: Callable[[int], RGBTSample] | None = None,
) -> RGBTSample:
    """Corrupt a copy of a pair. The same seed and pair give the same defect at every severity.

    Args:
        sample: the pair; it stays as it is.
        name: a corruption, see ``docs/reference/corruptions.md``.
        severity: 1 (weak) to 5 (strong). Give this or ``level``.
        level: strength in the corruption's own unit, for example pixels.
        seed: seed of the random numbers, which also depend on the pair's id.
        moving: ids of the classes whose objects move; ``time_lag`` needs them.
        other: called with a number n, returns the pair n places earlier; dropped frames need it.

    Returns:
        A new sample. Geometric corruptions put the displacement that they added into ``offset``.

    Raises:
        ConfigError: the name is unknown, both or neither of ``severity`` and ``level`` are given, or the level is
            outside of the corruption's limits.
        DataError: the pair lacks what the corruption needs (a label, an earlier pair), or its second image has several
            channels.
    """
    corruption = find_corruption(name)
    amount = corruption.amount(severity, level)
    if len(sample.thermal) != 1:
        raise DataError(
            f"{sample.id}: {name} is for second images of one channel, and this one has {len(sample.thermal)}"
        )
    key = zlib.crc32(name.encode())
    context = Context(
        rng=np.random.default_rng([seed, key, zlib.crc32(sample.id.encode())]),
        fixed=np.random.default_rng([seed, key]),
        moving=frozenset(moving),
        other=other,
    )
    return corruption.apply(sample, amount, context)


def find_corruption(name: str) -> Corruption:
    """The corruption of a name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in CORRUPTIONS:
        raise ConfigError(f"corruption '{name}' is unknown; choose from {', '.join(CORRUPTIONS)}")
    return CORRUPTIONS[name]


class CorruptedDataset(Dataset[RGBTSample]):
    """A data set seen through one corruption. Its transform is not applied.

    Args:
        dataset: the pairs.
        name, severity, level, seed: as in :func:`corrupt`.
        moving: ids of the classes whose objects move. None: by the classes' names.

    For corruptions that use an earlier pair (dropped frames), the pairs before the first one are the last ones of the
    set. In a set of few pairs, counting goes round as often as needed, past the pair itself.
    """

    def __init__(
        self,
        dataset: RGBTDataset,
        name: str,
        severity: int | None = None,
        *,
        level: float | None = None,
        seed: int = 0,
        moving: Collection[int] | None = None,
    ) -> None:
        self.dataset, self.name, self.severity, self.level, self.seed = dataset, name, severity, level, seed
        self.moving = moving_ids(dataset.classes) if moving is None else frozenset(moving)
        find_corruption(name).amount(severity, level)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> RGBTSample:
        def other(places: int) -> RGBTSample:
            return self.dataset.read(earlier_index(index, places, len(self.dataset)))

        sample = self.dataset.read(index)
        return corrupt(
            sample,
            self.name,
            self.severity,
            level=self.level,
            seed=self.seed,
            moving=self.moving,
            other=other,
        )


__all__ = [
    "CORRUPTIONS",
    "DROPPED",
    "Context",
    "CorruptedDataset",
    "Corruption",
    "Group",
    "corrupt",
    "earlier_index",
    "find_corruption",
]
