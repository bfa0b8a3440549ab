"""Matplotlib figures into files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from cimnet.errors import ConfigError
from cimnet.utils.files import write_atomically

FORMATS = (".png", ".pdf", ".svg", ".jpg")


def check_figure_path(path: Path) -> None:
    """Refuse a picture's path whose suffix is none of ``FORMATS``.

    Raises:
        ConfigError: naming the path.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: a picture's name must end in one of {', '.join(FORMATS)}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure atomically; the suffix gives the format.

    Raises:
        CimnetError: an unknown suffix, or a folder that cannot be written.
    """
    check_figure_path(path)
    write_atomically(path, lambda p: figure.savefig(p, dpi=120))
