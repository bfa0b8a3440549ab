"""Errors that a user can cause and mend. The command line prints them as one line and exits with code 2."""

from __future__ import annotations


class CimnetError(Exception):
    """Base of all errors raised on purpose: the message says what is wrong, where, and what to do."""


class DataError(CimnetError):
    """A data set, image, label or list that cannot be used as it is."""


class RangeError(DataError):
    """Thermal values of which half or more lie outside the range of training."""


class DataWarning(UserWarning):
    """Something odd about a file that is read all the same: the message names the file and what was done."""


class ConfigError(CimnetError):
    """A recipe, option or model name that is not valid."""


class Stopped(CimnetError):
    """A signal asked the program to end, and it ended in good order.

    Args:
        message: what ended and how to continue.
        signal: number of the signal. None: it reached another process.
    """

    def __init__(self, message: str, signal: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal


def check_fields(owner: object, *checks: tuple[str, object, str]) -> None:
    """Refuse the first field that is out of range.

    Args:
        owner: object whose fields are checked.
        checks: for each check, the name of a field, whether its value is allowed, and in words what is expected.

    Raises:
        ConfigError: a check failed; the message has the field, its value and what is expected.
    """
    for field, right, expected in checks:
        if not right:
            raise ConfigError(f"{field} is {getattr(owner, field)}, expected {expected}")


class CheckpointError(CimnetError):
    """A checkpoint that cannot be read or does not fit the request."""


def one_line(error: object, most: int | None = 200) -> str:
    """Shorten an error of another library to one line for a message.

    Args:
        error: an exception, or a text. Of an OSError only the reason is taken, without number and file; of an exception
            without a text, its class.
        most: largest number of characters. None: all of them.
    """
    text = str(getattr(error, "strerror", None) or error)
    return " ".join(text.split())[:most] or type(error).__name__
