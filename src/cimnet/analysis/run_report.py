"""One HTML file that shows what a trained model does on a test split; it needs nothing from outside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cimnet.analysis import report_figures as pictures
from cimnet.analysis.offset_agreement import Compared, compare_offsets, offset_agreement
from cimnet.analysis.report_page import Card, Panel, render_report
from cimnet.data import RGBTDataset, RGBTSample
from cimnet.data.flags import BROKEN_FLAGS
from cimnet.errors import DataError
from cimnet.evaluation.confusion_figure import plot_confusion
from cimnet.evaluation.evaluate import Evaluation
from cimnet.evaluation.metrics import confusion_matrix, scores
from cimnet.inference import Predictor
from cimnet.inference.overlay import to_grey, to_rgb
from cimnet.utils.colors import Color
from cimnet.utils.files import write_text
from cimnet.utils.numbers import format_number, format_percent, pluralize

History = list[dict[str, float]]

_POINTS = 2_000_000  # about how many pixels of all images together the offset table is computed from
_DRAWN = 3  # pairs whose offsets are drawn
_CURVES = {
    "loss": "training loss",
    "miou": "validation mIoU",
    "mutual_information": "mutual information L_mi (nats)",
    "lambda": "weight λ of L_mi",
}


def write_report(
    path: Path,
    *,
    predictor: Predictor,
    dataset: RGBTDataset,
    evaluation: Evaluation,
    history: History,
    facts: Mapping[str, str],
    command: str,
    max_samples: int = 6,
) -> None:
    """Write ``report.html``: scores, samples, training curves, tables and, where the truth is known, offsets.

    Args:
        path: of the HTML file, written atomically.
        predictor: the model that ``evaluation`` judges.
        dataset: the test split, with labels. Offsets are shown for pairs that carry a truth (see
            :meth:`cimnet.data.layouts.kust4k.Kust4K.truth`) if the model gives offsets.
        evaluation: of all images of ``dataset``.
        history: one row an epoch, as in a run's ``log.jsonl``; may be empty.
        facts: name and value of what else to state at the top, in this order (date, machine, versions …); the entry
            ``training time`` is shown beside the scores.
        command: the command that repeats the run.
        max_samples: number of test images to show.

    Raises:
        DataError: if an image to be shown has no label, or a truth cannot be read or does not fit its image.
        CimnetError: if the file cannot be written.
    """
    synthetic = (dataset.root / "synth.json").is_file()
    total = evaluation.scores
    facts = {"model": predictor.info.name, **facts}
    time = facts.pop("training time", "")
    parameters = sum(p.numel() for p in predictor.network.parameters())
    tiles = [
        (f"{format_percent(total.miou)} %", f"mIoU over all {pluralize(len(evaluation.classes), 'class', 'classes')}"),
        (f"{format_percent(total.pixel_accuracy)} %", "pixel accuracy"),
        (str(evaluation.images), "unseen test scenes" if synthetic else "test images"),
        (f"{parameters / 1e6:.1f} M", "parameters"),
        *([(time, "training time")] if time else []),
    ]
    indices = choose_samples(dataset.scenes, dataset.flags, max_samples)
    curves = _curves(history)
    document = render_report(
        "run_report.html",
        tiles=tiles,
        facts=list(facts.items()),
        command=command,
        synthetic=synthetic,
        absent=evaluation.absent,
        miou=total.miou,
        simplest=_largest_class_everywhere(evaluation),
        classes=list(zip(evaluation.classes, predictor.colors, strict=True)),
        samples=[_sample(predictor, dataset.read(index), evaluation) for index in indices],
        curves=list(curves.values()),
        epochs=len(history),
        best_epoch="miou" in curves,
        class_rows=_classes(evaluation, predictor.colors),
        groups=_groups(evaluation),
        confusion=pictures.themed(partial(plot_confusion, evaluation), "confusion matrix in per cent of true pixels"),
        offsets=_offsets(predictor, dataset),
        correct=pictures.CORRECT,
        static_arrow=pictures.STATIC_ARROW,
        moving_arrow=pictures.MOVING_ARROW,
    )
    write_text(path, document)


def choose_samples(scenes: list[str], flags: list[frozenset[str]], count: int) -> list[int]:
    """Indices of images to show: the first of each scene (without flags where there is one), the first of each flag,
    then images spread over the rest. Scores play no part."""
    everything = range(len(scenes))
    chosen: list[int] = []
    for scene in ("day", "night", "dark_night"):
        candidates = [i for i in everything if scenes[i] == scene]
        chosen += sorted(candidates, key=lambda i: (len(flags[i] & BROKEN_FLAGS), len(flags[i]), i))[:1]
    for flag in ("rgb_broken", "thermal_broken", "weakly_aligned"):
        candidates = [i for i in everything if flag in flags[i] and i not in chosen]
        chosen += sorted(candidates, key=lambda i: (len(flags[i]), i))[:1]
    rest = [i for i in everything if i not in chosen]
    missing = min(max(0, count - len(chosen)), len(rest))
    chosen += [rest[k * len(rest) // missing] for k in range(missing)]
    return chosen[:count]


def _largest_class_everywhere(evaluation: Evaluation) -> dict[str, Any]:
    """A baseline for the mIoU: name and scores of the answer that is the largest class everywhere."""
    largest = int(evaluation.matrix.sum(1).argmax())
    matrix = np.zeros_like(evaluation.matrix)
    matrix[:, largest] = evaluation.matrix.sum(1)
    score = scores(matrix, evaluation.absent)
    return {"name": evaluation.classes[largest], "miou": score.miou, "accuracy": score.pixel_accuracy}


def _sample(predictor: Predictor, sample: RGBTSample, evaluation: Evaluation) -> Card:
    if sample.label is None:
        raise DataError(f"{sample.id}: has no label to show beside the prediction; open the split with labels")
    label, colors = sample.label.numpy(), predictor.colors
    prediction = predictor.predict(sample.rgb, sample.thermal)
    score = scores(confusion_matrix(label, prediction, len(evaluation.classes)), evaluation.absent)
    errors = pictures.paint_errors(label, prediction, colors)
    panels = [
        Panel("RGB", pictures.photo(to_rgb(sample.rgb), f"RGB image {sample.id}")),
        Panel("thermal", pictures.photo(to_grey(sample.thermal), f"thermal image {sample.id}")),
        Panel("true label", pictures.drawing(pictures.paint_label(label, colors), f"true label of {sample.id}")),
        Panel("prediction", pictures.drawing(pictures.paint_label(prediction, colors), f"prediction for {sample.id}")),
        Panel("error map", pictures.drawing(errors, f"errors in {sample.id}")),
    ]
    return Card(sample.id, [sample.scene, *sorted(sample.flags)], f"mIoU {format_percent(score.miou)} %", panels)


def _curves(history: History) -> dict[str, Panel]:
    """Draw one panel per column of the history; L_mi and its weight only if they were part of the loss."""
    used = [key for key in _CURVES if any(key in row for row in history)]
    if not any(row.get("mutual_information") for row in history):
        used = [key for key in used if key not in ("mutual_information", "lambda")]
    return {
        key: Panel(
            _CURVES[key], pictures.themed(partial(pictures.draw_curve, history, key), f"{_CURVES[key]} by epoch")
        )
        for key in used
    }


def _classes(evaluation: Evaluation, colors: tuple[Color, ...]) -> list[dict[str, Any]]:
    total, pixels = evaluation.scores, evaluation.matrix.sum(1)
    return [
        {
            "name": name,
            "color": colors[k],
            "iou": total.iou[k],
            "accuracy": total.accuracy[k],
            "f1": total.f1[k],
            "share": pixels[k] / max(1, pixels.sum()),
        }
        for k, name in enumerate(evaluation.classes)
    ]


def _groups(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Scenes first, then flags."""
    first = ["day", "night", "dark_night", "unflagged"]
    names = sorted(evaluation.groups, key=lambda n: (first.index(n) if n in first else len(first), n))
    rows = []
    for name in names:
        matrix, images = evaluation.groups[name]
        score = scores(matrix, evaluation.absent)
        rows.append({"name": name, "images": images, "miou": score.miou, "accuracy": score.pixel_accuracy})
    return rows


def _offsets(predictor: Predictor, dataset: RGBTDataset) -> dict[str, Any] | None:
    """Compare the model's offsets with the true ones and draw some; None if there are none to compare."""
    found: dict[str, list[np.ndarray]] = {}
    true, moving = [], []
    cards: list[Card] = []
    for pair in compare_offsets(predictor, dataset):
        step = math.ceil(math.sqrt(len(dataset) * pair.moving.size / _POINTS))
        for name, field in pair.found.items():
            found.setdefault(name, []).append(field[:, ::step, ::step].reshape(2, -1))
        true.append(pair.true[:, ::step, ::step].reshape(2, -1))
        moving.append(pair.moving[::step, ::step].ravel())
        if len(cards) < _DRAWN and "weakly_aligned" in pair.sample.flags and not pair.sample.flags & BROKEN_FLAGS:
            cards.append(_arrows(pair))
    if not found:
        return None
    joined = {name: np.concatenate(fields, axis=1) for name, fields in found.items()}
    truth, moves = np.concatenate(true, axis=1), np.concatenate(moving)
    rows = [
        (f"{place}, {name}", offset_agreement(field, truth, mask))
        for place, mask in (("static", ~moves), ("moving", moves))
        for name, field in joined.items()
    ]
    return {"rows": rows, "images": len(true), "moving": float(moves.mean()), "cards": cards}


def _arrows(pair: Compared) -> Card:
    """Offsets of one pair, drawn over its thermal image; each picture states its own length scale."""
    name = pair.sample.id
    panels = [Panel("RGB", pictures.photo(to_rgb(pair.sample.rgb), f"RGB image {name}"))]
    grey = to_grey(pair.sample.thermal)
    fields = {"true": pair.true, **{f"found, {which}": field for which, field in pair.found.items()}}
    for which, field in fields.items():
        image, factor = pictures.draw_arrows(grey, field, pair.moving, f"{which} offsets of {name}")
        mean = format_number(float(np.hypot(*field).mean()))
        panels.append(Panel(f"{which}: mean length {mean} px, arrows × {factor:g}", image))
    return Card(name, [pair.sample.scene], "", panels)
