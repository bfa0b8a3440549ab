"""Latency, dropped frames and memory of `cimnet live` over minutes, with two encoders on the same machine.

python benchmarks/live.py CHECKPOINT --minutes 5
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evidence import record

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--fps", type=int, nargs=2, default=(25, 9), help="of the RGB and the thermal camera")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 320), help="height and width")
    asked = parser.parse_args()
    addresses = [f"udp://127.0.0.1:{_free_port()}" for _ in range(2)]
    seconds = 60 * asked.minutes
    senders = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.deploy.video.live.sender", address, kind, str(seconds + 60), str(fps)]
            + [str(side) for side in asked.size],
            cwd=ROOT,
        )
        for address, kind, fps in zip(addresses, ("rgb", "thermal"), asked.fps, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "live.json"
        words = ["live", asked.checkpoint, "--rgb", addresses[0], "--thermal", addresses[1], "--tolerance", "0.06"]
        words += ["--port", "0", "--duration", str(seconds), "--json", str(out)]
        run = subprocess.Popen([sys.executable, "-m", "cimnet.cli", *words], cwd=ROOT)
        memory = []
        while run.poll() is None:
            memory.append((time.monotonic(), _resident(run.pid)))
            time.sleep(1)
        status: dict[str, Any] = json.loads(out.read_text())
    for sender in senders:
        sender.kill()
    settled = [mib for _, mib in memory[len(memory) // 10 :] if mib]
    status |= {
        "height": asked.size[0],
        "width": asked.size[1],
        "memory_mib_first_tenth": settled[0],
        "memory_mib_end": settled[-2],
        "memory_mib_most": max(settled),
    }
    print(json.dumps(status, indent=2))
    record("live", {key: value for key, value in status.items() if key not in ("rgb", "thermal")} | _streams(status))


def _streams(status: dict[str, Any]) -> dict[str, Any]:
    kept = ("received", "dropped", "reconnects", "clock_jumps")
    return {kind: {key: status[kind][key] for key in kept} for kind in ("rgb", "thermal")}


def _resident(process: int) -> float:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return round(pages * 4096 / 2**20, 1)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    main()
