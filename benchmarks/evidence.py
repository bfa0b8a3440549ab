"""Where the benchmark scripts put their figures: docs/evidence/speed.json. Each script owns its own top-level keys.

from evidence import record
record("startup", {"help_cpu_seconds": 0.41})
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from cimnet.utils.files import write_text

EVIDENCE = Path(__file__).resolve().parent.parent / "docs" / "evidence" / "speed.json"


def record(key: str, figures: dict[str, Any], file: Path = EVIDENCE) -> None:
    """Replace what one script wrote before, and leave the keys of the others alone.

    Args:
        key: the script's own top-level key.
        figures: ratios and figures, as JSON takes them. The command, the date, the machine and its load are added.
        file: the JSON file; it is made if it is not there.
    """
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    known[key] = {"measured": circumstances(), **figures}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(dict(sorted(known.items())), indent=2, ensure_ascii=False) + "\n")


def circumstances() -> dict[str, Any]:
    """Command, date, machine and load of a measurement."""
    import torch

    return {
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def processor() -> str:
    """The processor's name, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
