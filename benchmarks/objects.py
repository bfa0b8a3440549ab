"""Which objects does each model find, by the sensor that sees them? Trained on pseudo-labels, scored by people's boxes.

    OMP_NUM_THREADS=1 nice python benchmarks/objects.py --data data/msrs-real \
        --boxes data/msrs-real/sensor-boxes/objects.csv --out runs/objects

Every model is trained on the split train, once by its labels as they are and once with the boxes of the same pairs
painted on them (`cimnet data label boxes --outside keep`). All pairs outside train are scored; no box of theirs is
trained on. Runs that are finished are kept and interrupted ones go on, so the command can be repeated after an
interruption. After each run the scores join those in the JSON file, and its tables go into the Markdown file beside it:
for each model the share of the objects that it finds, and for each two models the difference on the same images, with a
paired bootstrap. Scores of a run that lack the images (of earlier versions) are made again from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cimnet.analysis.reproduce.runs import Plan, Variant
from cimnet.curation.convert import convert
from cimnet.curation.label import label_from_boxes
from cimnet.data import open_dataset
from cimnet.data.boxes import boxes_of_pairs, read_boxes
from cimnet.data.io.split_lists import list_text
from cimnet.errors import ConfigError
from cimnet.evaluation import evaluate_boxes
from cimnet.evaluation.spread import spread
from cimnet.inference import load
from cimnet.utils.files import write_text
from cimnet.utils.locks import OutputLock
from cimnet.utils.tables import markdown_table
from cross_validation import ROBUST
from evidence import EVIDENCE_FOLDER, circumstances, read, say
from object_differences import Found, Runs, Scores, by_image, compare, difference_table, join, join_runs

MODELS = {  # family and settings
    "CIMNet": ("cimnet",),
    "CIMNetX": ("cimnetx", *ROBUST),
    "CIMNetX, trained as CIMNet": ("cimnetx",),
    "CIMNet, trained as CIMNetX": ("cimnet", *ROBUST),
    "parallel rectification": ("parallel_rectification",),
    "addition": ("addition",),
    "RGB only": ("rgb_only",),
    "thermal only": ("thermal_only",),
}
"""CIMNetX keeps the weights that its gate has before it is fitted: all labelled pairs train it or are scored. The two
rows below it separate what its network and what its augmentation does."""
LABELS = ("pseudo-labels", "with boxes")
EVIDENCE = EVIDENCE_FOLDER / "objects.json"
SCORED = "scored"
"""Name of the list of the pairs that are scored: all that are not in train."""
COLUMNS = (
    ("people seen by one camera alone", "person", "all", "one"),
    ("by thermal, day", "person", "day", "thermal"),
    ("by thermal, night", "person", "night", "thermal"),
    ("by RGB", "person", "all", "rgb"),
    ("people seen by both", "person", "all", "both"),
    ("cars seen by RGB alone", "car", "all", "rgb"),
    ("cars seen by both", "car", "all", "both"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--boxes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of the two copies of the data")
    parser.add_argument("--recipe", default="msrs_real")
    parser.add_argument("--classes", default="mfnet")
    parser.add_argument("--map", nargs="+", default=["bicycle=bike"], help="class in the box file=class of the data")
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--labels", nargs="+", default=list(LABELS), choices=LABELS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="+", default=[], help="settings of all runs, section.field=value")
    parser.add_argument("--json", type=Path, default=EVIDENCE)
    options = parser.parse_args(arguments)
    options.map = dict(text.split("=", 1) for text in options.map)
    known = read(options.json)
    if known and (known["settings"] != options.set or known["setup"] != setup(options)):
        raise ConfigError(
            f"{options.json}: its runs have another recipe, encoder, classes or --set; choose another --json"
        )
    with OutputLock(options.out, doing="works in it"):
        for labels in options.labels:
            prepare(options, labels)
        for seed in options.seeds:
            for labels in options.labels:
                for model in options.models:
                    run(options, labels, model, seed)
                    say(write(options))


def setup(options: argparse.Namespace) -> dict[str, Any]:
    """What all runs of a file have in common, besides --set."""
    return {
        "recipe": Path(options.recipe).stem,
        "encoder": options.encoder,
        "classes": options.classes,
        "map": options.map,
    }


def prepare(options: argparse.Namespace, labels: str) -> None:
    """A copy of the data with these labels and a list of the pairs that are scored."""
    root = data_of(options, labels)
    if (root / f"{SCORED}.txt").is_file():
        return
    if not root.is_dir():
        convert(options.data, root, "folder", classes=options.classes)
    if labels == "with boxes":
        done = label_from_boxes(
            root, options.boxes, split="train", outside="keep", overwrite=True, class_map=options.map
        )
        say(f"{root}: {done.objects} boxes painted on {done.written + done.same} labels, {done.whole} as a whole")
    train = set(open_dataset(root, "train").ids)
    names = open_dataset(root, "all", require_labels=False).ids
    write_text(root / f"{SCORED}.txt", list_text([name for name in names if name not in train]))


def run(options: argparse.Namespace, labels: str, model: str, seed: int) -> None:
    """Train one model and score it, unless that is done."""
    family, *settings = MODELS[model]
    variant = Variant(model.replace(" ", "_"), (f"model.name={family}_{options.encoder}", *settings))
    root, out = data_of(options, labels), options.out / labels.replace(" ", "_")
    Plan(options.recipe, root, out, [seed], options.set, say=say).run([variant])
    scored = boxes_json(options, labels, model, seed)
    if not scored.is_file() or "by_image" not in json.loads(scored.read_text(encoding="utf-8")):
        predictor = load(scored.parent / "best.safetensors")
        data = predictor.open_dataset(root, SCORED, require_labels=False)
        boxes = boxes_of_pairs(read_boxes(options.boxes), data, options.map)
        write_text(scored, evaluate_boxes(predictor.segment, data, boxes, device=predictor.device).to_json())


def write(options: argparse.Namespace) -> str:
    """Put what is finished into the files. Returns the tables as Markdown."""
    found: Found = {
        labels: {
            model: {
                str(seed): json.loads(path.read_text(encoding="utf-8"))
                for seed in options.seeds
                if (path := boxes_json(options, labels, model, seed)).is_file()
            }
            for model in options.models
        }
        for labels in options.labels
    }
    known = read(options.json)
    runs = join_runs(known.get("labels", {}), compact(found), LABELS, list(MODELS))
    columns = join(known.get("by_image", []), by_image(found), LABELS, list(MODELS))
    differences = list(compare(columns))
    content = {
        "measured": circumstances(),
        "settings": options.set,
        "setup": setup(options),
        "labels": runs,
        "differences": compact(differences),
        "by_image": columns,
    }
    text = f"{tables(runs)}\n{difference_table(differences)}" if differences else tables(runs)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.json, json.dumps(content, separators=(",", ":")) + "\n")
    write_text(options.json.with_suffix(".md"), text)
    return text


def tables(found: Runs) -> str:
    """Markdown: for each share of a box a table of recall, and one of precision."""
    runs = [
        (labels, model, list(seeds.values()))
        for labels, models in found.items()
        for model, seeds in models.items()
        if seeds
    ]
    first = runs[0][2][0]
    parts = [
        "# Objects found, by the sensor that sees them\n\nPer cent: mean ± standard deviation over the seeds, and in "
        "brackets the ends of the 95% intervals over images, each the mean of the seeds' own. In brackets in the "
        "head: objects.\n"
    ]
    for share in first["shares"]:
        totals = [recall(first, share, *column) for _, *column in COLUMNS]
        head = ["labels", "model", "seeds"]
        head += [f"{title} ({row['total'] if row else 0})" for (title, *_), row in zip(COLUMNS, totals, strict=True)]
        rows = [
            [labels, model, len(scores), *(cell([recall(s, share, *column) for s in scores]) for _, *column in COLUMNS)]
            for labels, model, scores in runs
        ]
        parts.append(f"A box is found where at least {100 * share:g}% of it is predicted as its class:\n")
        parts.append(markdown_table(head, rows, "llr"))
    columns = [(row["class_name"], row["scene"]) for row in first["precision"]]
    rows = [
        [labels, model, *(cell([precision(scores, *column) for scores in seeds]) for column in columns)]
        for labels, model, seeds in runs
    ]
    head = ["labels", "model", *(name if scene == "all" else f"{name}, {scene}" for name, scene in columns)]
    parts.append("Predicted pixels that lie inside a box of their class:\n")
    parts.append(markdown_table(head, rows, "llr"))
    return "\n".join(parts)


def cell(ratios: Sequence[Scores | None]) -> str:
    """Ratios of the seeds."""
    known = [ratio for ratio in ratios if ratio is not None]
    text = spread([ratio["hits"] / ratio["total"] if ratio["total"] else None for ratio in known])
    ends = [ratio["interval"] for ratio in known if ratio["interval"] is not None]
    if not ends:
        return text
    low, high = (100 * sum(pair[k] for pair in ends) / len(ends) for k in (0, 1))
    return f"{text} [{low:.0f}, {high:.0f}]"


def recall(scores: Scores, share: float, class_name: str, scene: str, seen_in: str) -> Scores | None:
    """Of one group; None where it has no object."""
    wanted = (class_name, scene, seen_in)
    rows = (row for row in scores["recall"] if (row["class_name"], row["scene"], row["seen_in"]) == wanted)
    row = next(rows, None)
    return None if row is None else row[f"{share:g}"]


def precision(scores: Scores, class_name: str, scene: str) -> Scores | None:
    """Of one class in one scene."""
    return next((row for row in scores["precision"] if (row["class_name"], row["scene"]) == (class_name, scene)), None)


LEFT_OUT = ("wilson", "value", "classes", "by_image")


def compact(value: Any) -> Any:
    """Scores with intervals of three digits, and without what follows from the rest or stands elsewhere."""
    if isinstance(value, dict):
        return {key: compact(inner) for key, inner in value.items() if key not in LEFT_OUT}
    if isinstance(value, list | tuple):
        return [compact(inner) for inner in value]
    return round(value, 3) if isinstance(value, float) else value


def data_of(options: argparse.Namespace, labels: str) -> Path:
    """The copy of the data with these labels."""
    return options.out / "data" / labels.replace(" ", "_")


def boxes_json(options: argparse.Namespace, labels: str, model: str, seed: int) -> Path:
    """Scores of one run."""
    return options.out / labels.replace(" ", "_") / f"{model.replace(' ', '_')}_seed{seed}" / "boxes.json"


if __name__ == "__main__":
    main()
