"""Where the benchmark scripts put their figures: JSON files in docs/evidence, docs/evidence/speed.json for most.

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
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from filelock import FileLock

from cimnet.utils.files import write_text

EVIDENCE_FOLDER = Path(__file__).resolve().parent.parent / "docs" / "evidence"
EVIDENCE = EVIDENCE_FOLDER / "speed.json"


def record(key: str, figures: dict[str, Any], file: Path = EVIDENCE) -> None:
    """Replace what one script wrote before, and leave the keys of the others alone.

    Args:
        key: the script's own top-level key.
        figures: ratios and figures, as JSON takes them. The command, the date, the machine and its load are added.
        file: the JSON file; it is made if it is not there.
    """
    known = read(file)
    known[key] = {"measured": circumstances(), **figures}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(dict(sorted(known.items())), indent=2, ensure_ascii=False) + "\n")


def merge(
    file: Path, name: str, content: dict[str, Any], table: Callable[[str, dict[str, Any]], str], rows: str = ""
) -> str:
    """Put the scores of one data set or recipe beside those of the others, and all tables into the Markdown file.

    Runs of other data sets may write into the same file at the same time.

    Args:
        file: the JSON file; it is made if it is not there.
        name: of the data set or recipe.
        content: its settings and scores. What stood under this name is replaced.
        table: a name and its content as Markdown.
        rows: a key of the content whose entries join those that are there if everything else is equal.

    Returns:
        All tables.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(Path(gettempdir()) / f"{file.name}.lock"):
        found = read(file)
        before = found.get(name, {})
        if rows and all(before.get(key) == value for key, value in content.items() if key != rows):
            content = {**content, rows: {**before[rows], **content[rows]}}
        found[name] = content
        text = "\n".join(table(*item) for item in found.items())
        write_text(file, json.dumps(found, indent=2) + "\n")
        write_text(file.with_suffix(".md"), text)
    return text


def read(file: Path) -> dict[str, Any]:
    """What is in a JSON file, nothing if it is not there."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def say(line: str) -> None:
    """Print at once, also into a file."""
    print(line, flush=True)


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
