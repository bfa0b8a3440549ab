"""What a request costs a server beside the model itself, by kind of file and of answer.

    python benchmarks/serving.py --pairs data/scenes [--model cimnet_efficientnet_lite0] [--clients 32]
        [--batch-size 16] [--requests 4] [--repeats 3] [--threads 1]

Server and clients share the machine, so requests a second say little. The robust figure is the share: CPU seconds of
the bare model for a pair, in passes of the same size, over the server's CPU seconds for a request, both of the same
minute. Latency is given in times of a pass: with C clients that ask at once and B pairs a pass, no server can be faster
than C / B passes. Writes the key `serving` of docs/evidence/speed.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

import cimnet
from cimnet.data import open_dataset
from cimnet.deploy.export.write import export
from cimnet.utils.tables import markdown_table
from evidence import record
from load_test import Load, serving, value
from speed import untrained
from startup import used

FIGURES = ("share", "requests_per_s", "bare_pairs_per_s", "p50_passes", "p95_passes", "pairs_in_a_pass", "client_share")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="data set with a split test, of the size to send")
    parser.add_argument("--model", default="cimnet_efficientnet_lite0")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=4, help="of each client, one after the other")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of the model, here and in the server")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        models = prepare(options.model, Path(name))
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in models}
        for _ in range(options.repeats):
            for kind, model in models.items():
                found[kind].append(measure(model, options))
    medians = {
        kind: {name: round(statistics.median(run[name] for run in runs), 3) for name in FIGURES}
        for kind, runs in found.items()
    }
    print(markdown_table(["", *FIGURES], [[kind, *row.values()] for kind, row in medians.items()]))
    record("serving", {"clients": options.clients, "batch_size": options.batch_size, **medians})


def prepare(name: str, folder: Path) -> dict[str, Path]:
    """Files of one model with random weights, by kind."""
    checkpoint = untrained(name, folder)
    models = {"checkpoint": checkpoint}
    for kind, file, more in (
        ("ONNX", "a.onnx", {"format": "onnx"}),
        ("OpenVINO float32", "a.xml", {"format": "openvino"}),
        ("OpenVINO bfloat16", "b.xml", {"format": "openvino", "precision": "bfloat16"}),
    ):
        models[kind] = folder / file
        export(checkpoint, models[kind], **more)
    return models


def measure(model: Path, options: argparse.Namespace) -> dict[str, float]:
    """One server of this file under load, and the bare model right after it."""
    predictor = cimnet.load(model, batch_size=options.batch_size)
    data = open_dataset(options.pairs, "test", require_labels=False)
    files = [
        {"rgb": Path(pair.rgb).read_bytes(), "thermal": Path(pair.thermal).read_bytes()} for pair in data.pairs[:8]
    ]
    expected = [predictor.predict(pair.rgb, pair.thermal) for pair in data.pairs[:8]]
    with serving(model, ["--batch-size", str(options.batch_size)]) as (address, process):
        Load(address, files, expected, options.clients, 1, process.pid).run()  # warms up
        load = Load(address, files, expected, options.clients, options.requests, process.pid)
        passes, clients, server = _passes(address), time.process_time(), used(process.pid)
        load.run()
        server, clients = used(process.pid) - server, time.process_time() - clients
        sums, counts = (after - before for after, before in zip(_passes(address), passes, strict=True))
    if set(load.outcomes) != {"200"}:
        raise SystemExit(f"{model}: {dict(load.outcomes)}")
    answered, size = options.clients * options.requests, round(sums / counts)
    cpu, wall = bare(predictor, data, size)
    p50, p95 = np.percentile(load.seconds, (50, 95)) / (wall * size)
    return {
        "share": cpu * answered / server,
        "requests_per_s": answered / load.total,
        "bare_pairs_per_s": 1 / wall,
        "p50_passes": float(p50),
        "p95_passes": float(p95),
        "pairs_in_a_pass": sums / counts,
        "client_share": clients / server,
    }


def _passes(address: str) -> tuple[float, float]:
    metrics = httpx.get(f"{address}/metrics").text
    return value(metrics, "batch_size_sum"), value(metrics, "batch_size_count")


@torch.inference_mode()
def bare(predictor: Any, data: Any, size: int, repeats: int = 5) -> tuple[float, float]:
    """CPU seconds and seconds of the model for one pair, in passes of so many; the medians."""
    pairs = [data[k % len(data)] for k in range(size)]
    rgb, thermal = (torch.stack([getattr(pair, name) for pair in pairs]) for name in ("rgb", "thermal"))
    found = []
    for _ in range(repeats + 1):
        cpu, wall = time.process_time(), time.perf_counter()
        predictor.model.predict(rgb, thermal)
        found.append(((time.process_time() - cpu) / size, (time.perf_counter() - wall) / size))
    return statistics.median(cpu for cpu, _ in found[1:]), statistics.median(wall for _, wall in found[1:])


if __name__ == "__main__":
    main()
