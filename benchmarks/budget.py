"""Parameters, MACs, latency and peak memory of CIMNet with each encoder; a process of its own for each model.

OMP_NUM_THREADS=2 python benchmarks/budget.py

Latency is given as a multiple of the first model's, measured in the same run.
"""

from __future__ import annotations

import json
import subprocess
import sys

MODELS = ("cimnet_resnet101", "cimnet_resnet50", *(f"cimnet_mit_b{n}" for n in range(6)), "cimnet_efficientnet_lite0")


def main() -> None:
    print("| model | M parameters | GMAC at 480×640 | GMAC at 512×640 | latency, relative | peak memory, MiB |")
    print("|---|---:|---:|---:|---:|---:|")
    first = 0.0
    for name in MODELS:
        small, large = info(name, "480x640", "--measure"), info(name, "512x640")
        first = first or small["latency_ms"]
        print(
            f"| {name} | {small['parameters'] / 1e6:.2f} | {small['macs'] / 1e9:.1f} | {large['macs'] / 1e9:.1f} | "
            f"{small['latency_ms'] / first:.2f} | {small['peak_memory_mib']:.0f} |",
            flush=True,
        )
    print(f"\n{MODELS[0]}: {first:.0f} ms")


def info(name: str, size: str, *more: str) -> dict[str, float]:
    """What ``cimnet info`` says."""
    command = [sys.executable, "-m", "cimnet.cli", "info", name, "--size", size, "--json", *more]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
