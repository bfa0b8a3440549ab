"""Train CIMNet and the reference models by one recipe with several seeds; score each clean, misaligned and with a
failing sensor; print a table.

    python benchmarks/compare_robustness.py robust_scenes --data data/scenes --strong data/strong --out runs/robust

Runs and conditions that are finished are kept, so the command can be repeated after an interruption, and gains seeds
and rows; --table prints what is there and trains nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cimnet.analysis.calibration.defects import DEFECTS, alarm_of
from cimnet.analysis.calibration.gate import fit_gate
from cimnet.analysis.reproduce.runs import Plan, Variant, score
from cimnet.analysis.robustness import Condition, measure_robustness, parse_corruption
from cimnet.checkpoint import save_checkpoint
from cimnet.evaluation.spread import spread
from cimnet.inference import load
from cimnet.models.cimnetx import CIMNetX
from cimnet.training.recipe import load_recipe
from cimnet.utils.files import write_text
from cimnet.utils.tables import markdown_table
from evidence import circumstances

ENCODER = "efficientnet_lite0"
WHOLE = "augmentation.modality_dropout=0"  # a model of one sensor learns nothing from pairs that lack it …
# … and thermal images alone do not tell by how much they were displaced
ALONE = ("model.decode_alone=true", "model.exchange_dropout=1", WHOLE)  # each pair also shows either image alone
MODELS = {
    "CIMNet + alignment, alone too": ("cimnet", "model.explicit_alignment=true", *ALONE),
    "CIMNet + alignment": ("cimnet", "model.explicit_alignment=true"),
    "CIMNet": ("cimnet",),
    "parallel rectification": ("parallel_rectification",),
    "addition": ("addition",),
    "early fusion": ("early_fusion",),
    "RGB only": ("rgb_only", WHOLE),
    "thermal only": ("thermal_only", WHOLE, "augmentation.misalignment=0"),
}
X = ("cimnetx", WHOLE)
VARIANTS = MODELS | {
    "CIMNetX": X,
    "CIMNetX without gate": X,  # the run of CIMNetX, scored without its gate
    "CIMNetX without alignment": (*X, "model.explicit_alignment=false"),
    "CIMNetX without defects": (*X, "augmentation.corruption_prob=0"),
    "parallel rectification + alignment": ("parallel_rectification", "model.explicit_alignment=true"),
    "addition + alignment": ("addition", "model.explicit_alignment=true"),
    "early fusion + alignment": ("early_fusion", "model.explicit_alignment=true"),
    "CIMNet + alignment, exchange dropped": ("cimnet", "model.explicit_alignment=true", "model.exchange_dropout=0.6"),
    "the same without rectification": (  # as the first model
        "cimnet",
        "model.explicit_alignment=true",
        *ALONE,
        *(f"model.{switch}=false" for switch in ("msm", "swr", "cwr")),
        "model.mutual_information=off",
    ),
}
GATELESS = "CIMNetX without gate"
Scores = dict[str, dict]  # "clean", "translation 5" … "strong offsets" to what robustness.json says of it
DEFAULT = ("translation=5,10,20", "affine=20", "time_lag=15", "blackout=100", "thermal_blur=4")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--test", type=Path, help="score on the test split of this set, not on that of --data")
    parser.add_argument("--strong", type=Path, help="a second set, scored as it is (its split test)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(VARIANTS), metavar="MODEL")
    parser.add_argument("--corruption", nargs="+", default=DEFAULT, help="NAME=LEVELS")
    parser.add_argument("--set", nargs="+", default=[], help="settings of all runs, section.field=value")
    parser.add_argument("--table", action="store_true", help="print the tables of finished runs, run nothing")
    parser.add_argument("--json", type=Path, help="also write mIoU by model, seed and condition to this file")
    options = parser.parse_args(arguments)
    if not options.table:
        run(options)
    by_seed = {name: {seed: read(options.out, name, seed) for seed in options.seeds} for name in options.models}
    found = {name: kept for name, runs in by_seed.items() if (kept := [scores for scores in runs.values() if scores])}
    if options.json:
        write_text(options.json, json.dumps({"measured": circumstances(), "miou": miou(by_seed)}, indent=1) + "\n")
    for key in ("miou", "moving"):
        print(f"\n{key}\n" + table(found, key), flush=True)
    print("\nthe test set as it is, by its own lists, mIoU\n" + groups(options), flush=True)


def run(options: argparse.Namespace) -> None:
    """Train and score what is not there yet, seed by seed."""
    conditions = [condition for text in options.corruption for condition in parse_corruption(text)]
    for seed in options.seeds:
        for name in options.models:
            family, *settings = VARIANTS[name]
            variant = Variant(trained_as(name), (f"model.name={family}_{ENCODER}", *settings))
            Plan(options.recipe, options.data, options.out, [seed], options.set, say=print).run([variant])
            folder = run_of(options.out, name, seed)
            model = without_gate(folder) if name == GATELESS else with_gate(folder, options.data)
            measure(model, folder / scores_of("robustness", name), options.test or options.data, conditions)
            if options.strong is not None:
                measure(model, folder / scores_of("strong", name), options.strong, [])


def trained_as(name: str) -> str:
    """The name, in folders, of the training that a row scores."""
    return "CIMNetX" if name == GATELESS else name.replace(" ", "_")


def run_of(out: Path, name: str, seed: int) -> Path:
    """Folder of the run that a row scores."""
    return out / f"{trained_as(name)}_seed{seed}"


def scores_of(kind: str, name: str) -> str:
    """Folder of a row's scores in its run."""
    return f"{kind}_without_gate" if name == GATELESS else kind


def with_gate(run: Path, data: Path) -> Path:
    """The checkpoint to score: the run's own, or, where the model has a gate, one whose gate was fitted on the pairs of
    val, with the defects that the recipe trains on and all of geometry. Its scores replace those of the run."""
    best, fitted = run / "best.safetensors", run / "fitted.safetensors"
    predictor = load(best, "cpu")
    network = predictor.network
    if not isinstance(network, CIMNetX) or network.reliability is None:
        return best
    if not fitted.is_file():
        trained = load_recipe(run / "recipe.yaml").augmentation
        sensors = (trained.corruptions or DEFECTS) if trained.corruption_prob > 0 else ()
        defects = [name for name in DEFECTS if name in sensors or alarm_of(name) == "misaligned"]
        gate = fit_gate(network, predictor.open_dataset(data, "val"), device=predictor.device, defects=defects)
        network.reliability = gate
        save_checkpoint(fitted, network, predictor.info)
        write_text(run / "test.json", json.dumps(score(load(fitted), data, "test"), indent=2) + "\n")
    return fitted


def without_gate(run: Path) -> Path:
    """The same network, whose prediction of the pair stands."""
    file = run / "gateless.safetensors"
    if not file.is_file():
        predictor = load(run / "best.safetensors", "cpu")
        predictor.network.reliability = None
        options = {**predictor.info.options, "reliability": False}
        save_checkpoint(file, predictor.network, replace(predictor.info, options=options))
    return file


def measure(model: Path, out: Path, data: Path, conditions: list[Condition]) -> None:
    """Score a trained model under all conditions; what is measured already is not done again."""
    measured = sum(1 for _ in out.glob("conditions/*.json"))
    if not (out / "robustness.json").is_file() or measured < 1 + len(conditions):
        dataset = load(model).open_dataset(data, "test")
        measure_robustness(model, dataset, out, conditions=conditions, batch_size=8)


def read(out: Path, name: str, seed: int) -> Scores:
    """Scores of one run by condition; nothing if it was not measured."""
    file, strong = (
        run_of(out, name, seed) / scores_of(kind, name) / "robustness.json" for kind in ("robustness", "strong")
    )
    scores: Scores = {}
    if file.is_file():
        report = json.loads(file.read_text())
        scores["clean"] = report["clean"]
        for corruption, curve in report["corruptions"].items():
            scores |= {f"{corruption} {point['level']:g}": point for point in curve["points"]}
    if scores and strong.is_file():
        scores["strong offsets"] = json.loads(strong.read_text())["clean"]
    return scores


def miou(found: dict[str, dict[int, Scores]]) -> dict[str, dict[str, dict[str, float]]]:
    """mIoU, 0..1, by model, seed and condition; of finished runs."""
    return {
        name: {
            str(seed): {title: round(one["miou"], 4) for title, one in scores.items()}
            for seed, scores in runs.items()
            if scores
        }
        for name, runs in found.items()
    }


def table(found: dict[str, list[Scores]], key: str) -> str:
    """Markdown: a row per model, mean ± standard deviation over the seeds."""
    titles = list(next(iter(found.values()))[0])
    if next(iter(found.values()))[0]["clean"][key] is None:
        return "no such classes"
    rows = [
        [name, len(runs), *(spread([scores[title][key] for scores in runs]) for title in titles)]
        for name, runs in found.items()
    ]
    return markdown_table(["model", "seeds", *titles], rows)


def groups(options: argparse.Namespace) -> str:
    """Markdown: mIoU of all test pairs, broken ones included, and of those that the set's lists name."""
    named: list[str] = []
    rows: list[list[str]] = []
    for name in options.models:
        folders = [options.out / f"{name.replace(' ', '_')}_seed{seed}" / "test.json" for seed in options.seeds]
        runs = [json.loads(path.read_text()) for path in folders if path.is_file()]
        if not runs:
            continue
        named = named or list(runs[0]["groups"])
        cells = [spread([run["miou"] for run in runs])]
        cells += [spread([run["groups"][group]["miou"] for run in runs]) for group in named]
        rows.append([name, *cells])
    return markdown_table(["model", "all", *named], rows) if rows else ""


if __name__ == "__main__":
    main()
