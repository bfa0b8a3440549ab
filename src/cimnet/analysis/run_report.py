"""One HTML file that shows what a trained model does on a test split; it needs nothing from outside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from cimnet.analysis import report_figures as pictures
from cimnet.analysis import report_page as html
from cimnet.analysis.offset_agreement import Compared, compare_offsets, offset_agreement
from cimnet.data import RGBTDataset, RGBTSample
from cimnet.data.flags import BROKEN_FLAGS
from cimnet.errors import DataError
from cimnet.evaluation.confusion_figure import plot_confusion
from cimnet.evaluation.evaluate import Evaluation
from cimnet.evaluation.metrics import confusion_matrix, scores
from cimnet.inference import Predictor
from cimnet.inference.overlay import to_grey, to_rgb
from cimnet.utils.files import write_text
from cimnet.utils.numbers import percent, pluralize

History = list[dict[str, float]]

_POINTS = 2_000_000  # about how many pixels of all images together the offset table is computed from
_DRAWN = 3  # pairs whose offsets are drawn
_CURVES = {
    "loss": "training loss",
    "miou": "validation mIoU",
    "mutual_information": "mutual information L_mi (nats)",
    "lambda": "weight λ of L_mi",
}
_SUBTITLE = (
    "RGB-thermal semantic segmentation: a class for every pixel of what a colour camera and a thermal camera, which do "
    "not quite line up, see from above."
)
_MADE_UP = (
    "These scenes are made up: drawn by a program, with the light, the temperatures, the broken sensors and the "
    "misalignment of a drone's RGB-thermal pair, but simpler than any photograph. The model is small and was trained "
    "briefly. So the numbers show that the whole path works, and how the model behaves by condition; they say nothing "
    "about real images and cannot be compared with published results."
)
_REAL = (
    "The numbers hold for this test split alone. The best epoch was chosen on the validation split; the test images "
    "took part in neither training nor that choice."
)
_SAMPLES = (
    "The first image of each kind in the list, then others spread over it; none was picked by its score. The error map "
    "shows wrong pixels in the colour of the class that was predicted."
)
_OFFSETS = (
    "The model shifts where it samples its features, by offsets that it learned from the segmentation loss alone: "
    "nobody showed it the true ones. They need not equal the true displacement between the cameras, neither in "
    "direction nor in length, since the same offsets are applied to features in which RGB and thermal are already "
    "mixed. The table says how far they agree. Offsets are averaged over the nine taps of the kernel and given in "
    "pixels of the image; r is Pearson's correlation over all pixels (1: the same up to scale, 0: unrelated). An "
    "end-point error above the true length is worse than leaving everything in place."
)


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
        command: what to type to repeat the run.
        max_samples: number of test images to show.

    Raises:
        DataError: if an image to be shown has no label, or a truth cannot be read or does not fit its image.
        CimnetError: if the file cannot be written.
    """
    made_up = (dataset.root / "synth.json").is_file()
    total, guess = evaluation.scores, _largest_class_everywhere(evaluation)
    facts = {"model": predictor.info.name, **facts}
    time = facts.pop("training time", "")
    parameters = sum(p.numel() for p in predictor.network.parameters())
    tiles = [
        (f"{percent(total.miou)} %", f"mIoU over all {pluralize(len(evaluation.classes), 'class', 'classes')}"),
        (f"{percent(total.pixel_accuracy)} %", "pixel accuracy"),
        (str(evaluation.images), "unseen test scenes" if made_up else "test images"),
        (f"{parameters / 1e6:.1f} M", "parameters"),
        *([(time, "training time")] if time else []),
    ]
    sections = [
        _samples(predictor, dataset, evaluation, max_samples),
        _curves(history),
        _classes(evaluation, predictor.colors),
        _groups(evaluation),
        _confusion(evaluation),
        _offsets(predictor, dataset),
    ]
    document = html.page(
        title="CIMNet: what the model sees",
        subtitle=_SUBTITLE,
        tiles=tiles,
        note=f"{_MADE_UP if made_up else _REAL} {guess}",
        facts=list(facts.items()),
        command=command,
        content="".join(sections),
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


def _largest_class_everywhere(evaluation: Evaluation) -> str:
    """What the mIoU means: the score of the simplest answer of all."""
    largest = int(evaluation.matrix.sum(1).argmax())
    matrix = np.zeros_like(evaluation.matrix)
    matrix[:, largest] = evaluation.matrix.sum(1)
    score = scores(matrix, evaluation.absent)
    return (
        f"For comparison: answering “{evaluation.classes[largest]}” everywhere scores {percent(score.miou)} % mIoU and "
        f"{percent(score.pixel_accuracy)} % pixel accuracy."
    )


def _samples(predictor: Predictor, dataset: RGBTDataset, evaluation: Evaluation, count: int) -> str:
    indices = choose_samples(dataset.scenes, dataset.flags, count)
    if not indices:
        return ""
    cards = [_sample(predictor, dataset.read(index), evaluation) for index in indices]
    marks = [
        *((html.swatch(color), name) for name, color in zip(evaluation.classes, predictor.colors, strict=True)),
        (html.swatch(pictures.CORRECT), "correct (error map)"),
        ('<i class="hatch"></i>', "not judged"),
    ]
    return html.section("Samples", _SAMPLES, html.legend(marks) + "".join(cards))


def _sample(predictor: Predictor, sample: RGBTSample, evaluation: Evaluation) -> str:
    if sample.label is None:
        raise DataError(f"{sample.id}: has no label to show beside the prediction; open the split with labels")
    label, colors = sample.label.numpy(), predictor.colors
    prediction = predictor.predict(sample.rgb, sample.thermal)
    score = scores(confusion_matrix(label, prediction, len(evaluation.classes)), evaluation.absent)
    errors = pictures.paint_errors(label, prediction, colors)
    shown = [
        ("RGB", pictures.photo(to_rgb(sample.rgb), f"RGB image {sample.id}")),
        ("thermal", pictures.photo(to_grey(sample.thermal), f"thermal image {sample.id}")),
        ("true label", pictures.drawing(pictures.paint_label(label, colors), f"true label of {sample.id}")),
        ("prediction", pictures.drawing(pictures.paint_label(prediction, colors), f"prediction for {sample.id}")),
        ("error map", pictures.drawing(errors, f"errors in {sample.id}")),
    ]
    return html.card(sample.id, [sample.scene, *sorted(sample.flags)], f"mIoU {percent(score.miou)} %", "five", shown)


def _curves(history: History) -> str:
    used = [key for key in _CURVES if any(key in row for row in history)]
    if not any(row.get("mutual_information") for row in history):
        used = [key for key in used if key not in ("mutual_information", "lambda")]
    if not used:
        return ""
    drawn = ""
    for key in used:
        image = pictures.themed(partial(pictures.draw_curve, history, key), f"{_CURVES[key]} by epoch")
        drawn += f"<figure>{image}<figcaption>{_CURVES[key]}</figcaption></figure>"
    note = f"{pluralize(len(history), 'epoch')}."
    if "miou" in used:
        note += " The epoch with the best validation mIoU (ringed) gave the model that is judged here."
    return html.section("Training", note, f'<div class="row curves">{drawn}</div>')


def _classes(evaluation: Evaluation, colors: tuple[tuple[int, int, int], ...]) -> str:
    total, pixels = evaluation.scores, evaluation.matrix.sum(1)
    rows = ""
    for k, name in enumerate(evaluation.classes):
        bars = html.bar(total.iou[k]) + html.bar(total.accuracy[k]) + html.bar(total.f1[k])
        share = html.cell(f"{100 * pixels[k] / max(1, pixels.sum()):.2f}")
        rows += html.row(name, bars + share, html.swatch(colors[k]))
    rows += html.row("mean", html.bar(total.miou) + html.cell("") * 3, css="total")
    convention = "left out of the mean" if evaluation.absent == "ignore" else "counted as 0"
    note = (
        "In per cent, from one confusion matrix over all test images. Accuracy is the share of a class's true pixels "
        f"that were found. A class that is neither in the labels nor predicted is {convention}."
    )
    return html.section("Classes", note, html.table(["class", "IoU", "accuracy", "F1", "share of pixels"], rows))


def _groups(evaluation: Evaluation) -> str:
    if not evaluation.groups:
        return ""
    first = ["day", "night", "dark_night", "unflagged"]
    names = sorted(evaluation.groups, key=lambda n: (first.index(n) if n in first else len(first), n))
    rows = ""
    for name in names:
        matrix, images = evaluation.groups[name]
        score = scores(matrix, evaluation.absent)
        cells = html.cell(str(images)) + html.bar(score.miou) + html.bar(score.pixel_accuracy)
        rows += html.row(html.words(name), cells)
    note = "In per cent. An image counts in its scene and under each of its flags; unflagged are those without any."
    if evaluation.absent == "ignore":
        note += " A class that a group lacks is left out of that group's mean, so compare small groups with care."
    return html.section("Conditions", note, html.table(["group", "images", "mIoU", "pixel accuracy"], rows))


def _confusion(evaluation: Evaluation) -> str:
    drawn = pictures.themed(partial(plot_confusion, evaluation), "confusion matrix in per cent of true pixels", "wide")
    return html.section("Confusion", "Where the pixels of each true class went.", f'<div class="scroll">{drawn}</div>')


def _offsets(predictor: Predictor, dataset: RGBTDataset) -> str:
    found: dict[str, list[np.ndarray]] = {}
    true, moving = [], []
    cards: list[str] = []
    for pair in compare_offsets(predictor, dataset):
        step = math.ceil(math.sqrt(len(dataset) * pair.moving.size / _POINTS))
        for name, field in pair.found.items():
            found.setdefault(name, []).append(field[:, ::step, ::step].reshape(2, -1))
        true.append(pair.true[:, ::step, ::step].reshape(2, -1))
        moving.append(pair.moving[::step, ::step].ravel())
        if len(cards) < _DRAWN and "weakly_aligned" in pair.sample.flags and not pair.sample.flags & BROKEN_FLAGS:
            cards.append(_arrows(pair))
    if not found:
        return ""
    joined = {name: np.concatenate(fields, axis=1) for name, fields in found.items()}
    truth, moves = np.concatenate(true, axis=1), np.concatenate(moving)
    rows = ""
    for place, mask in (("static", ~moves), ("moving", moves)):
        for name, field in joined.items():
            got = offset_agreement(field, truth, mask)
            lengths = (got.true_magnitude, got.found_magnitude, got.endpoint_error)
            cells = "".join(html.cell(html.number(value)) for value in lengths)
            cells += "".join(html.cell(html.number(r, "+.2f")) for r in (got.correlation_dx, got.correlation_dy))
            rows += html.row(f"{place}, {name}", cells)
    head = ["pixels", "true length", "found length", "end-point error", "r of dx", "r of dy"]
    marks = [
        (f'<i class="arrow" style="color:{pictures.STATIC_ARROW}"></i>', "static"),
        (
            f'<i class="arrow" style="color:{pictures.MOVING_ARROW}"></i>',
            "on a moving thing; each picture has its own scale, stated below it",
        ),
    ]
    note = (
        f"{_OFFSETS} {pluralize(len(true), 'image')}; {100 * moves.mean():.1f} % of the pixels lie on things that move."
    )
    drawn = html.legend(marks) + "".join(cards) if cards else ""
    return html.section("Offsets", note, html.table(head, rows) + drawn)


def _arrows(pair: Compared) -> str:
    """Offsets of one pair, drawn over its thermal image; each picture states its own length scale."""
    name = pair.sample.id
    shown = [("RGB", pictures.photo(to_rgb(pair.sample.rgb), f"RGB image {name}"))]
    grey = to_grey(pair.sample.thermal)
    fields = {"true": pair.true, **{f"found, {which}": field for which, field in pair.found.items()}}
    for which, field in fields.items():
        image, factor = pictures.draw_arrows(grey, field, pair.moving, f"{which} offsets of {name}")
        mean = html.number(float(np.hypot(*field).mean()))
        shown.append((f"{which}: mean length {mean} px, arrows × {factor:g}", image))
    return html.card(name, [pair.sample.scene], "", "three", shown)
