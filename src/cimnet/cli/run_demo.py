"""The demonstration behind ``cimnet demo``: scenes, training, evaluation, prediction, report."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from cimnet.analysis.run_report import write_report
from cimnet.data.synthetic import synthesize
from cimnet.errors import Stopped
from cimnet.evaluation import evaluate
from cimnet.inference import load
from cimnet.inference.jobs import Files, Job, predict_job
from cimnet.training import train
from cimnet.training.loop import Report
from cimnet.training.recipe import load_recipe
from cimnet.utils.files import require_new_folder, require_writable, write_text
from cimnet.utils.pool import cores
from cimnet.version import __version__

SCENES: dict[str, Any] = {"train": 180, "val": 16, "test": 60}
SIZE = (256, 320)


def run_demo(
    out: Path, *, seed: int = 0, report: Report | None = None, say: Callable[[str], object] = lambda _: None
) -> Path:
    """Draw a small set of scenes, train, evaluate on unseen scenes, predict, and write ``out/report.html``.

    ``out`` holds ``data/``, ``run/``, ``predictions/``, ``metrics.json`` (the scores of ``cimnet eval --json`` and the
    times in seconds) and the report. An earlier demo in ``out`` is replaced.

    Raises:
        CimnetError: if ``out`` holds something that is not a demo, or cannot be written.
    """
    started = time.monotonic()
    seconds: dict[str, float] = {}

    def lap(name: str) -> None:
        seconds[name] = round(time.monotonic() - started - sum(seconds.values()), 1)

    recipe = load_recipe("demo", [f"data.root={json.dumps(str(out / 'data'))}", f"training.seed={seed}"])
    clear(out)
    say(f"1/5 drawing {sum(SCENES.values())} scenes")
    synthesize(out / "data", **SCENES, seed=seed, size=SIZE, workers=min(2, cores()))
    lap("scenes")
    say("2/5 training")
    try:
        best = train(recipe, out / "run", report=report)
    except Stopped as stopped:
        raise Stopped(f"{out}: stopped while training; the next demo starts over", stopped.signal) from stopped
    lap("training")
    say("3/5 evaluating on unseen scenes")
    predictor = load(best)
    test_set = predictor.open_dataset(out / "data", "test")
    result = evaluate(predictor.segment, test_set, device=predictor.device)
    lap("evaluation")
    say("4/5 predicting")
    pairs = tuple((pair.id, pair.rgb, pair.thermal or pair.rgb) for pair in test_set.pairs[:6])
    predict_job(Job(best, [Files(pairs)], out / "predictions"))
    lap("prediction")
    say("5/5 writing the report")
    history = [json.loads(line) for line in (out / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    page = out / "report.html"
    write_report(
        page,
        predictor=predictor,
        dataset=test_set,
        evaluation=result,
        history=history,
        facts=facts(seconds, seed),
        command="make demo" if seed == 0 else f"cimnet demo --seed {seed}",
    )
    lap("report")
    write_text(
        out / "metrics.json", json.dumps({**result.to_dict(), "seconds": seconds, "seed": seed}, indent=2) + "\n"
    )
    return page


def clear(out: Path) -> None:
    """Make room for a new demo: ``out`` is new, empty, or holds an earlier demo, whose files are deleted.

    Raises:
        CimnetError: if ``out`` holds something else, or cannot be written.
    """
    marker = out / ".cimnet-demo"
    if marker.is_file():
        require_writable(out)
    else:
        require_new_folder(out, "no demo made it; choose another --out")
    for name in ("data", "run", "predictions", "metrics.json", "report.html"):
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_text(marker, "This folder belongs to `cimnet demo`, which replaces what it wrote here.\n")


def facts(seconds: dict[str, float], seed: int) -> dict[str, str]:
    """Facts that a reader needs to judge the report's numbers."""
    return {
        "training time": f"{seconds['training']:.0f} s",
        "other times": ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items() if name != "training"),
        "data": f"{SCENES['train']} training, {SCENES['val']} validation, {SCENES['test']} test scenes of "
        f"{SIZE[1]}×{SIZE[0]} pixels at Kust4K's ground resolution",
        "seed": str(seed),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "versions": f"cimnet {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "date": date.today().isoformat(),
    }
