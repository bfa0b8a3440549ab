"""A server under load: start `cimnet serve` on a free port, send pairs from many clients at once, watch its memory.

    python benchmarks/load_test.py runs/scenes --rgb data/scenes/RGB --thermal data/scenes/TIR
    python benchmarks/load_test.py runs/scenes --rgb … --thermal … --clients 64 --serve-args "--batch-size 8"

Prints answers by status, how many pixels are not the predictor's, latency, requests a second, pairs in a pass of the
model, and the server's peak memory when it is ready, after half of the requests and at the end. Server and clients
share the machine.
"""

from __future__ import annotations

import argparse
import io
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

import cimnet
from cimnet.errors import CimnetError
from cimnet.inference.jobs import match_pairs

START = "import sys; from cimnet.cli.main import main; sys.exit(main())"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--rgb", type=Path, required=True, help="folder of RGB images")
    parser.add_argument("--thermal", type=Path, required=True, help="folder of thermal images with the same names")
    parser.add_argument("--pairs", type=int, default=8, help="different pairs to send")
    parser.add_argument("--clients", type=int, default=32, help="that send at the same time")
    parser.add_argument("--requests", type=int, default=10, help="of each client, one after the other")
    parser.add_argument("--serve-args", default="", help="further options of cimnet serve, in quotes")
    options = parser.parse_args()
    pairs = [(rgb, thermal) for _, rgb, thermal in match_pairs(options.rgb, options.thermal).pairs[: options.pairs]]
    predictor = cimnet.load(options.checkpoint)
    expected = [predictor.predict(*pair) for pair in pairs]
    files = [{"rgb": rgb.read_bytes(), "thermal": thermal.read_bytes()} for rgb, thermal in pairs]
    with serving(options.checkpoint, shlex.split(options.serve_args)) as (address, process):
        load = Load(address, files, expected, options.clients, options.requests, process.pid)
        load.run()
        metrics = httpx.get(f"{address}/metrics").text
    print(f"{options.clients} clients × {options.requests} requests, {len(pairs)} different pairs")
    load.report()
    print(f"pairs in a pass of the model: {value(metrics, 'batch_size_sum') / value(metrics, 'batch_size_count'):.2f}")
    print(f"exit code after SIGTERM: {process.returncode}")


@contextmanager
def serving(checkpoint: Path, arguments: list[str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address and process of a server that is ready; stopped by SIGTERM at the end."""
    command = [sys.executable, "-c", START, "serve", str(checkpoint), "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if "http://" not in line:
            raise CimnetError(f"{shlex.join(command)}: did not start; run it by itself to see why")
        address = line.split()[-1]
        wait_until_ready(address)
        yield address, process
    finally:
        process.terminate()
        process.wait(60)


def wait_until_ready(address: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{address}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise CimnetError(f"{address}: not ready after a minute")


class Load:
    """Clients that send pairs, and what came of it."""

    def __init__(
        self, address: str, files: list[dict[str, bytes]], expected: list[object], clients: int, requests: int, pid: int
    ) -> None:
        self.address, self.files, self.expected = address, files, expected
        self.clients, self.requests, self.pid = clients, requests, pid
        self.lock, self.seconds = threading.Lock(), list[float]()
        self.outcomes, self.pixels, self.different = Counter[str](), 0, 0
        self.memory, self.total = [peak(pid)], 0.0

    def run(self) -> None:
        start = time.perf_counter()
        with ThreadPoolExecutor(self.clients) as pool:
            list(pool.map(self.client, range(self.clients)))
        self.total = time.perf_counter() - start
        self.memory.append(peak(self.pid))

    def client(self, number: int) -> None:
        with httpx.Client(timeout=600) as http:
            for k in range(self.requests):
                self.ask(http, (number * self.requests + k) % len(self.files))

    def ask(self, http: httpx.Client, index: int) -> None:
        start = time.perf_counter()
        try:
            answer = http.post(f"{self.address}/predict", files=self.files[index])
            outcome = str(answer.status_code)
        except httpx.TransportError as error:
            answer, outcome = None, type(error).__name__
        seconds = time.perf_counter() - start
        pixels = different = 0
        if answer is not None and answer.status_code == 200:
            with Image.open(io.BytesIO(answer.content)) as image:
                mask = np.array(image)
            pixels, different = mask.size, int((mask != self.expected[index]).sum())
        with self.lock:
            self.outcomes[outcome] += 1
            self.seconds.append(seconds)
            self.pixels, self.different = self.pixels + pixels, self.different + different
            if len(self.seconds) == self.clients * self.requests // 2:
                self.memory.append(peak(self.pid))

    def report(self) -> None:
        errors = sum(count for outcome, count in self.outcomes.items() if outcome != "200")
        p50, p95 = np.percentile(self.seconds, (50, 95))
        print(f"errors: {errors}   answers: {dict(self.outcomes)}")
        print(f"pixels that differ from Predictor.predict: {self.different} of {self.pixels:,}")
        print(f"latency: p50 {p50:.2f} s, p95 {p95:.2f} s, longest {max(self.seconds):.2f} s")
        print(f"requests a second: {len(self.seconds) / self.total:.1f}")
        print("peak memory of the server, MB: {:.0f} ready, {:.0f} after half, {:.0f} at the end".format(*self.memory))


def peak(pid: int) -> float:
    """Peak resident memory of a process so far, MB (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def value(metrics: str, name: str) -> float:
    """Of one metric."""
    return float(next(line for line in metrics.splitlines() if line.startswith(f"cimnet_{name} ")).split()[1])


if __name__ == "__main__":
    main()
