"""How much memory this process has used."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_memory() -> float:
    """The most memory that this process has held so far, MiB, weights and libraries included; NaN on Windows.

    On Linux, the kernel's mark of this program alone. Elsewhere what ``getrusage`` says, which begins with the peak of
    the process that started it.
    """
    try:
        mark = re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:  # not Linux
        mark = None
    if mark is not None:
        return int(mark[1]) / 2**10
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
