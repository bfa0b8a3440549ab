"""Train CIMNet, RGB only and thermal only by one recipe with several seeds, score each once on test, print a table.

    python benchmarks/compare_sensors.py recipes/mm5.yaml --data DIR --out runs/compare_mm5 --seeds 0 1 2 --jobs 2

Runs that are finished are kept, so the command can be repeated after an interruption. Each job uses one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cimnet.evaluation.spread import spread
from cimnet.utils.tables import markdown_table

FAMILIES = ("cimnet", "rgb_only", "thermal_only")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of each run")
    options = parser.parse_args()
    runs = [(family, seed) for seed in options.seeds for family in FAMILIES]
    with ThreadPoolExecutor(options.jobs) as pool:
        done = pool.map(lambda run: train_and_score(options, *run), runs)
        failed = [run for run, ok in zip(runs, done, strict=True) if not ok]
    print(table(options))
    if failed:
        sys.exit(f"failed: {failed}; see their .log in {options.out}")


def train_and_score(options: argparse.Namespace, family: str, seed: int) -> bool:
    """One run of the table; True when its scores are there."""
    folder = options.out / f"{family}_{seed}"
    scores = folder / "test.json"
    if scores.is_file():
        return True
    settings = [f"model.name={family}_{options.encoder}", f"training.seed={seed}", f"data.root={options.data}"]
    sets = [part for setting in settings for part in ("--set", setting)]
    train = ["train", str(options.recipe), "--out", str(folder), "--resume", *sets]
    score = ["eval", str(folder), str(options.data), "--json", str(scores)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / f"{family}_{seed}.log").open("a") as log:
        for arguments in (train, score):
            command = [sys.executable, "-m", "cimnet.cli", *arguments]
            if subprocess.run(command, env=environment, stdout=log, stderr=log, check=False).returncode:
                return False
    print(f"{folder}: mIoU {100 * json.loads(scores.read_text())['miou']:.1f}", flush=True)
    return True


def table(options: argparse.Namespace) -> str:
    """Markdown: a row per family, mean ± standard deviation over the seeds, overall, by class and by [group]."""
    found: dict[str, list[dict]] = {}
    for family in FAMILIES:
        paths = [options.out / f"{family}_{seed}" / "test.json" for seed in options.seeds]
        found[family] = [json.loads(path.read_text()) for path in paths if path.is_file()]
    first = next(scores[0] for scores in found.values() if scores)
    columns = {"mIoU": lambda s: s["miou"]}
    columns |= {name: (lambda s, n=name: s["iou"][n]) for name in first["iou"]}
    columns |= {f"[{name}]": (lambda s, n=name: s["groups"][n]["miou"]) for name in first["groups"]}
    rows = [
        [family, len(scores), *(spread([column(s) for s in scores]) for column in columns.values())]
        for family, scores in found.items()
    ]
    return markdown_table(["model", "seeds", *columns], rows)


if __name__ == "__main__":
    main()
