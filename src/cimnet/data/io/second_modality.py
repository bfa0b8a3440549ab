"""The kind of the second image of a pair: thermal, near infrared, depth, radar and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cimnet.errors import ConfigError, DataError
from cimnet.utils.numbers import pluralize

_MOST_CHANNELS = 64
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_TAKEN = ("rgb", "labels", "max_gap", "rgb_range")  # they mean something else in classes.yaml


@dataclass(frozen=True)
class SecondModality:
    """The kind of the second image of each pair. Code calls it thermal in every case; messages and folders use its
    name.

    Attributes:
        name: "thermal", "nir", "depth", "sar" or another word of lower-case letters, digits and ``_``, at most 32
            characters. The layout ``folder`` keeps the images in a folder of this name.
        channels: channels of one image, 1 to 64.

    Raises:
        ConfigError: the name cannot be used, or the number of channels is out of range.
    """

    name: str = "thermal"
    channels: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            raise ConfigError(
                f"second: name is {self.name!r}, expected a word in lower case such as nir, depth or sar, other than "
                f"{', '.join(_TAKEN)}"
            )
        if type(self.channels) is not int or not 1 <= self.channels <= _MOST_CHANNELS:
            raise ConfigError(f"second: channels is {self.channels!r}, expected a number from 1 to {_MOST_CHANNELS}")

    def __str__(self) -> str:
        return f"{self.name} ({pluralize(self.channels, 'channel')})"

    def require_one_channel(self, what: str, instead: str) -> None:
        """Refuse second images of several channels where only one works.

        Args:
            what: the command or part that needs one channel, for the message.
            instead: what to do with images of several channels, for the message.

        Raises:
            ConfigError: there are more channels.
        """
        if self.channels > 1:
            raise ConfigError(f"{what} works with second images of one channel, not with {self}; {instead}")


THERMAL = SecondModality()


def parse_second(value: Any, where: str) -> SecondModality | None:
    """A second modality from what a YAML file says, `{name: nir, channels: 2}`; None where it says nothing.

    Raises:
        DataError: anything else; `where` is named.
    """
    if value is None or isinstance(value, SecondModality):
        return value
    if not isinstance(value, Mapping) or not {"name"} <= value.keys() <= {"name", "channels"}:
        raise DataError(f"{where}: second must be a mapping such as {{name: nir, channels: 1}}, not {value!r}")
    try:
        return SecondModality(**value)
    except ConfigError as error:
        raise DataError(f"{where}: {error}") from error


def agree(asked: SecondModality | None, found: SecondModality | None, where: str) -> SecondModality:
    """The one that is asked for (a recipe, a checkpoint), else the one that the data set states, else thermal.

    Raises:
        DataError: the data set states another one.
    """
    if asked is not None and found is not None and asked != found:
        raise DataError(
            f"{where}: its second images are {found}, where {asked} is asked for; take data and recipe, or data and "
            "checkpoint, of the same kind"
        )
    return asked or found or THERMAL
