"""The conditions that a model is measured under: a corruption at one level, or a subset of the pairs as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cimnet.data import RGBTDataset
from cimnet.data.corruptions import CORRUPTIONS, find_corruption
from cimnet.errors import ConfigError

CLEAN = "clean"
SEVERITIES = (1, 2, 3, 4, 5)
_QUICK = (
    "translation", "parallax", "time_lag", "low_light", "fog", "rgb_noise", "thermal_blur", "thermal_noise",
)  # fmt: skip
_FAILURES = (
    ("blackout", 5), ("low_light", 5), ("rgb_dropped", 5), ("thermal_blur", 3), ("thermal_blur", 5),
    ("thermal_dropped", 5),
)  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """One corruption at one level, or ``clean``.

    Attributes:
        name: name of the corruption, or ``clean``.
        severity: 1 to 5; or give ``level``. Neither for ``clean``.
        level: strength in the corruption's unit.
        flag: score only pairs with this flag, broken ones included, for example ``weakly_aligned``. "": all pairs.
        stands_for: flag of pairs that the set lacks and that this condition imitates.

    Raises:
        ConfigError: the corruption is unknown, not exactly one of ``severity`` and ``level`` is given, or the level is
            outside of the corruption's limits.
    """

    name: str
    severity: int | None = None
    level: float | None = None
    flag: str = ""
    stands_for: str = ""

    def __post_init__(self) -> None:
        if self.name == CLEAN:
            if self.severity is not None or self.level is not None:
                raise ConfigError("clean has neither a severity nor a level")
            return
        find_corruption(self.name).amount(self.severity, self.level)

    @property
    def amount(self) -> float:
        """The level in the corruption's unit, 0 for ``clean``."""
        return 0.0 if self.name == CLEAN else float(CORRUPTIONS[self.name].amount(self.severity, self.level))

    @property
    def key(self) -> str:
        """The name of its file: the same for a severity and for its level."""
        parts = [self.name] if self.name == CLEAN else [self.name, f"{self.amount:g}"]
        return "-".join([*parts, *([self.flag] if self.flag else [])])

    @property
    def title(self) -> str:
        """The condition in words, for example ``translation, 10 px``."""
        text = self.name.replace("_", " ")
        if self.name != CLEAN:
            text += f", {amount_in_words(self.name, self.amount)}"
        return text + (f", pairs {self.flag}" if self.flag else "")


def amount_in_words(name: str, amount: float) -> str:
    """A level with its unit."""
    unit = CORRUPTIONS[name].unit
    return f"{amount:g}{'' if unit == '°' else ' '}{unit}".strip()


def preset(name: str, dataset: RGBTDataset | None = None) -> tuple[Condition, ...]:
    """The conditions of a preset.

    Args:
        name: "quick", "full", "misalignment", "failure", "table4" or "table5" (the last two as in the paper).
        dataset: data set of table5. If none of its pairs is flagged with a failure, the failure is imitated on sound
            pairs.

    Raises:
        ConfigError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset '{name}' is unknown; choose from {', '.join(PRESETS)}")
    return PRESETS[name](dataset)


def parse_corruption(text: str) -> tuple[Condition, ...]:
    """Conditions of a command line argument: ``fog`` means its five severities, ``translation=0,5,10`` levels in the
    corruption's unit.

    Raises:
        ConfigError: the corruption is unknown, or a level is no number within its limits.
    """
    name, given, levels = text.partition("=")
    if name == CLEAN:
        raise ConfigError("--corruption clean: clean is always measured; leave it out")
    if not given:
        return _graded((name,))
    try:
        return tuple(Condition(name, level=float(part)) for part in levels.split(","))
    except ValueError as error:
        unit = find_corruption(name).unit
        raise ConfigError(f"--corruption {text}: write levels in {unit} with commas, for example {name}=1,2") from error


def _graded(names: tuple[str, ...], severities: tuple[int, ...] = SEVERITIES) -> tuple[Condition, ...]:
    return tuple(Condition(name, severity) for name in names for severity in severities)


def _misalignment(_: RGBTDataset | None) -> tuple[Condition, ...]:
    return _graded(tuple(name for name, corruption in CORRUPTIONS.items() if corruption.group == "geometry"))


def _table5(dataset: RGBTDataset | None) -> tuple[Condition, ...]:
    stand_ins = (
        Condition("blackout", level=100, stands_for="rgb_broken"),
        Condition("thermal_blur", severity=4, stands_for="thermal_broken"),
    )
    return tuple(
        Condition(CLEAN, flag=flag) if dataset is None or any(flag in flags for flags in dataset.flags) else stand_in
        for flag, stand_in in zip(("rgb_broken", "thermal_broken"), stand_ins, strict=True)
    )


PRESETS: dict[str, Callable[[RGBTDataset | None], tuple[Condition, ...]]] = {
    "full": lambda _: _graded(tuple(CORRUPTIONS)),
    "quick": lambda _: _graded(_QUICK, (1, 3, 5)),
    "misalignment": _misalignment,
    "failure": lambda _: tuple(Condition(name, severity) for name, severity in _FAILURES),
    "table4": lambda _: (Condition(CLEAN, flag="weakly_aligned"),),
    "table5": _table5,
}
"""By name; each makes its conditions for a data set."""
