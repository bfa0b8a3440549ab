"""How time and memory grow: with the pairs of a data set, and with pixels, batch and classes of a model.

    python benchmarks/growth.py names [--most 1000000]     # listing, checking, dividing, resuming; simulated names
    python benchmarks/growth.py model [--sides 320,640,1280,2560] [--model cimnet_efficientnet_lite0]
    python benchmarks/growth.py geo [--sides 1000,2000,4000,8000] [--checkpoint FILE]   # peak memory of cimnet geo
    python benchmarks/growth.py plot docs/notebook/growth.png

Times are CPU seconds of one thread. The slope is that of a straight line through the larger half of the points in
log-log: 1 is linear. Each kind writes its key (`growth_names`, `growth_model`, `growth_geo` …) of
docs/evidence/speed.json; `plot` draws what stands there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

from cimnet.curation.check.check_files import pairing, read_index
from cimnet.curation.check.splits import read_splits
from cimnet.curation.split.stratify import stratify
from cimnet.data import Kust4K
from cimnet.data.dataset_file import DatasetFile
from cimnet.data.io.sensor_names import pair_one_folder, pair_two_folders
from cimnet.data.pairs import Pair
from cimnet.inference.jobs.record import Record
from cimnet.models import create_model
from cimnet.training import data_record
from cimnet.utils.ledger import Ledger
from cimnet.utils.memory import peak_memory
from evidence import EVIDENCE, record

Points = dict[int, float]


def main() -> None:
    verbs = {verb.__name__: verb for verb in (names, model, geo, plot)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=verbs)
    parser.add_argument("picture", nargs="?", type=Path, help="for plot")
    parser.add_argument("--most", type=int, default=1_000_000, help="names")
    parser.add_argument("--sides", default="", help="pixels, with commas between")
    parser.add_argument("--model", default="cimnet_efficientnet_lite0")
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    verbs[options.what](options)


def slope(points: Points) -> float:
    """Of a line through the larger half of the points, in log-log."""
    chosen = sorted(points.items())[-max(2, (len(points) + 1) // 2) :]
    x, y = np.log([n for n, _ in chosen]), np.log([max(value, 1e-6) for _, value in chosen])
    return float(np.polyfit(x, y, 1)[0])


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def tell(key: str, found: dict[str, Points]) -> None:
    slopes = {what: round(slope(points), 2) for what, points in found.items() if len(points) > 1}
    for what, points in found.items():
        shown = ", ".join(f"{n:,}: {value:.3g}" for n, value in points.items())
        print(f"{what}: slope {slopes.get(what, '–')}  ({shown})", flush=True)
    rounded = {what: {str(n): float(f"{v:.4g}") for n, v in points.items()} for what, points in found.items()}
    record(key, {"slopes": slopes, "points": rounded})


# Names ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """What os.scandir tells of a file."""

    name: str
    path: str

    def is_dir(self) -> bool:
        return False


@contextmanager
def simulated(root: Path, names: list[str]) -> Iterator[None]:
    """A data set of Kust4K's layout whose three folders are said to hold these files."""
    scandir = os.scandir
    folders = {str(root / folder) for folder in ("RGB", "TIR", "Seg_annos")}
    for folder in folders:
        Path(folder).mkdir(parents=True, exist_ok=True)

    def pretended(path: Any = ".") -> Any:
        if str(path) in folders:
            return [Entry(f"{name}.png", f"{path}/{name}.png") for name in names]
        return scandir(path)

    with mock.patch("os.scandir", pretended):
        yield


def names(options: argparse.Namespace) -> None:
    found: dict[str, Points] = {}
    count = 100
    while count <= options.most:
        for what, value in measure_names(count).items():
            found.setdefault(what, {})[count] = value
            print(f"{count:,} {what}: {value:.3g} s", flush=True)
        count *= 10
    tell("growth_names", found)


def measure_names(count: int) -> dict[str, float]:
    """CPU seconds of everything that sees all names."""
    listed = [f"{n:07}{'DN'[n % 2]}" for n in range(count)]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "data"
        root.mkdir()
        cut = int(0.8 * count)
        (root / "train.txt").write_text("".join(f"{line}\n" for line in listed[:cut]))
        (root / "test.txt").write_text("".join(f"{line}\n" for line in listed[cut:]))
        with simulated(root, listed):
            found = {"listing the folders": seconds(lambda: Kust4K.index(root)), "data check, names": check(root)}
        found["predict, pairing two folders"] = seconds(lambda: two_folders(listed))
        found["predict, pairing one folder"] = seconds(lambda: one_folder(listed))
        found["predict --resume, finding what is done"] = resume(Path(name), listed)
        found["train --resume, comparing the data"] = compare(Path(name), listed)
        if count <= 100_000:  # it opens three files a pair
            found["train, checksums of the data"] = checksums(Path(name), listed)
        if count <= 100_000:
            found["data split, placing groups"] = seconds(lambda: place(count))
    return found


def check(root: Path) -> float:
    def work() -> None:
        index, _ = read_index(root, Kust4K, DatasetFile(root))
        splits, _ = read_splits(root, Kust4K, index)
        pairing(index, splits.listed(), splits.wanted)

    return seconds(work)


def two_folders(listed: list[str]) -> None:
    files = {name: Path(f"{name}.png") for name in listed}
    pair_two_folders(files, dict(files))


def one_folder(listed: list[str]) -> None:
    pair_one_folder({f"{name}_{word}": Path(f"{name}_{word}.png") for name in listed for word in "VT"})


def resume(folder: Path, listed: list[str]) -> float:
    record = Record(folder / "out", {"checkpoint": "0"}, listed, False, resume=True)
    with record:
        return seconds(record.begin)


def compare(folder: Path, listed: list[str]) -> float:
    sums = {name: f"{n:016x}" for n, name in enumerate(listed)}
    cut = int(0.8 * len(listed))
    now = {"classes": [], "train": dict(list(sums.items())[:cut]), "val": dict(list(sums.items())[cut:])}
    Ledger(folder / data_record.FILE, now, "").write()
    return seconds(lambda: data_record.check_record(folder, now, False))


def checksums(folder: Path, listed: list[str]) -> float:
    file = folder / "one.png"
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(file)
    pairs = [Pair(name, file, file, file) for name in listed]
    return seconds(lambda: data_record.checksums(pairs))


def place(count: int) -> None:
    amounts = np.random.default_rng(0).random((count // 10, 10))
    stratify(amounts, [0.8, 0.1, 0.1], 0)


# Model ----------------------------------------------------------------------------------------------------------------


def model(options: argparse.Namespace) -> None:
    sides = [int(side) for side in (options.sides or "320,640,1280").split(",")]
    found: dict[str, Points] = {"pixels, seconds": {}, "pixels, MiB": {}}
    for side in sides:
        time_, memory = in_a_process(options.model, side, 1, 9)
        found["pixels, seconds"][side * side], found["pixels, MiB"][side * side] = time_, memory
    for what, values in (("batch", (1, 2, 4, 8)), ("classes", (2, 5, 15, 50, 150))):
        found[f"{what}, seconds"], found[f"{what}, MiB"] = {}, {}
        for value in values:
            batch, classes = (value, 9) if what == "batch" else (1, value)
            time_, memory = in_a_process(options.model, 320, batch, classes)
            found[f"{what}, seconds"][value], found[f"{what}, MiB"][value] = time_, memory
    tell("growth_model", found)


def in_a_process(name: str, side: int, batch: int, classes: int) -> tuple[float, float]:
    """CPU seconds of a pass (the faster of two) and what it adds to the peak memory, MiB."""
    code = f"import sys; sys.path[0] = {str(Path(__file__).parent)!r}; import growth; "
    code += f"growth.one_pass({name!r}, {side}, {batch}, {classes})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.split()[-2:]
    return float(first), float(second)


@torch.inference_mode()
def one_pass(name: str, side: int, batch: int, classes: int) -> None:
    torch.set_num_threads(1)
    network = create_model(name, classes).eval()
    rgb, thermal = torch.rand(batch, 3, side, side), torch.rand(batch, 1, side, side)
    network(rgb[:1, :, :64, :64], thermal[:1, :, :64, :64])
    before = peak_memory()
    times = [seconds(lambda: network.predict(rgb, thermal)) for _ in range(2)]
    print(min(times), max(1 / 1024, peak_memory() - before))


# Geo ------------------------------------------------------------------------------------------------------------------


def geo(options: argparse.Namespace) -> None:
    sides = [int(side) for side in (options.sides or "1000,2000,4000,8000").split(",")]
    found: dict[str, Points] = {"cimnet geo, MiB": {}, "cimnet geo, CPU seconds": {}}
    script = str(Path(__file__).with_name("large_geotiff.py"))
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            pair = [sys.executable, script, "pair", folder, "--side", str(side)]
            subprocess.run(pair, check=True, capture_output=True)
            more = [] if options.checkpoint is None else ["--checkpoint", str(options.checkpoint)]
            process = subprocess.Popen(
                [sys.executable, script, "run", folder, *more], stdout=subprocess.PIPE, text=True
            )
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{side}: exit code {process.returncode}")
        print(side, re.sub(r"\s+", " ", said), flush=True)
        peak = re.search(r"peak (\d+) MiB, ", said)  # ru_maxrss begins with the peak of this process
        assert peak is not None
        found["cimnet geo, MiB"][side * side] = int(peak[1])
        found["cimnet geo, CPU seconds"][side * side] = usage.ru_utime + usage.ru_stime
    tell("growth_geo" if options.checkpoint is None else "growth_geo_model", found)


# Picture --------------------------------------------------------------------------------------------------------------


COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Okabe and Ito's: colour-blind readers can distinguish them."""


def plot(options: argparse.Namespace) -> None:
    from matplotlib.figure import Figure

    known = json.loads(EVIDENCE.read_text(encoding="utf-8"))
    groups = [
        ("pairs in a data set", "CPU seconds", known["growth_names"], ""),
        ("Lite0: pixels, batch, classes", "CPU seconds", known["growth_model"], "seconds"),
        ("Lite0: pixels, batch, classes", "MiB above the start", known["growth_model"], "MiB"),
        ("cimnet geo: pixels", "MiB", known["growth_geo"], "MiB"),
    ]
    figure = Figure(figsize=(10, 8.5), layout="constrained")
    for axes, (title, unit, content, part) in zip(figure.subplots(2, 2).ravel(), groups, strict=True):
        axes.set_prop_cycle(color=COLORS, marker=tuple("osD^vP*X"))
        for what, points in content["points"].items():
            if part in what:
                label = f"{what.removesuffix(f', {part}').removesuffix(', MiB')}: slope {content['slopes'][what]:.2f}"
                axes.loglog([int(n) for n in points], list(points.values()), label=label, markersize=5)
        axes.set(title=title, ylabel=unit)
        axes.grid(alpha=0.3)
        if len(axes.lines) > 4:
            axes.set_ylim(top=axes.get_ylim()[1] * 3000)  # room for the legend
        axes.legend(fontsize=8, loc="upper left")
    assert options.picture is not None, "plot needs a file to write"
    figure.savefig(options.picture, dpi=90)


if __name__ == "__main__":
    main()
