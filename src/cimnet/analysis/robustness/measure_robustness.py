"""Measure a model: every condition once, then the report."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import torch

from cimnet.analysis.robustness.conditions import CLEAN, Condition, preset
from cimnet.analysis.robustness.count import Pairs
from cimnet.analysis.robustness.measure_conditions import Work, measure_all
from cimnet.analysis.robustness.model_under_test import Model, label_and_identity, open_model, require_sizes
from cimnet.analysis.robustness.robustness_page import robustness_page
from cimnet.analysis.robustness.robustness_report import RobustnessReport
from cimnet.analysis.robustness.robustness_scores import Facts
from cimnet.analysis.robustness.suite import Suite
from cimnet.analysis.robustness.worst_pairs import make_examples
from cimnet.checkpoint import weight_files
from cimnet.data import RGBTDataset
from cimnet.data.class_pixels import check_scorable
from cimnet.data.classes import moving_ids
from cimnet.errors import ConfigError
from cimnet.evaluation.metrics import Absent
from cimnet.inference import Predictor
from cimnet.training.data_record import checksum_of_all, how_read
from cimnet.utils.files import refuse_inputs_as_outputs, write_text
from cimnet.utils.pool import Progress
from cimnet.version import __version__
from cimnet.weights.locate import locate


def measure_robustness(
    model: Model,
    dataset: RGBTDataset,
    out: str | Path,
    *,
    conditions: Sequence[Condition] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    workers: int = 1,
    batch_size: int = 8,
    moving: Collection[str] | None = None,
    absent: Absent = "ignore",
    broken: Literal["drop", "keep"] = "drop",
    name: str = "",
    trust: bool = False,
    progress: Progress | None = None,
    opened: Predictor | None = None,
) -> RobustnessReport:
    """Score a model on pairs that are corrupted on purpose; write ``robustness.json``, ``.md`` and ``.html``.

    Every finished condition is a file in ``out``: after an interruption, the same call resumes.

    Args:
        model: path of a checkpoint or run folder; or a callable that takes rgb (B, 3, H, W) and thermal (B, 1, H, W),
            float32 in 0..1, and returns logits (B, K, H, W) or an object with ``.logits``.
        dataset: pairs with labels, its classes in the order of the logits. The transform is not applied.
        out: folder, new or of an earlier call with the same model, pairs (by name, content and how they are read) and
            seed.
        conditions: what to measure after ``clean``, which always comes first. None: ``preset("quick")``.
        seed: seed of the corruptions.
        device: where the images are put. None: CUDA if available for a checkpoint, the device of its parameters for a
            module, otherwise the CPU.
        workers: processes that share the conditions; more than 1 only for a checkpoint.
        batch_size: largest number of pairs in one pass; they have one size.
        moving: names of the classes whose objects move. None: ``cimnet.data.classes.MOVING_CLASSES``.
        absent: what a class counts that has neither true nor predicted pixels: "ignore" leaves it out of means, "zero"
            counts it as 0.
        broken: "drop" leaves out pairs that are flagged as broken, except where a condition asks for them; "keep"
            scores them.
        name: name of the model in the report. A callable resumes earlier results only under the same name, so give
            other weights another name.
        trust: whether to open a ``.pt2`` file, see :func:`cimnet.load`.
        progress: called with the number of conditions done and the number of all.
        opened: what ``load(model, device)`` returned, if you have it already; the checkpoint is then not loaded again.

    Raises:
        ConfigError: arguments do not go together, ``out`` holds results of something else, or a report would overwrite
            an input.
        DataError: pairs have no labels, labels cannot be used, or no condition has a pair to score.
        CheckpointError: the checkpoint cannot be used, or is an exported file for images of another size.
    """
    if workers > 1 and not isinstance(model, str | Path):
        raise ConfigError(f"workers={workers}: a callable cannot be given to other processes; use 1, or a checkpoint")
    if workers < 1 or batch_size < 1:
        raise ConfigError(f"workers={workers}, batch_size={batch_size}: both must be at least 1")
    dataset.second.require_one_channel("cimnet robustness", "score the pairs as they are with `cimnet eval`")
    pairs = Pairs(dataset, seed, _moving(moving, dataset.classes), broken == "keep")
    wanted = _in_order(preset("quick") if conditions is None else conditions)
    notes = _notes(wanted, pairs)
    wanted = [condition for condition in wanted if pairs.moving or condition.name != "time_lag"]
    chosen = {condition: pairs.chosen(condition) for condition in wanted}
    judged = open_model(model, dataset, device, opened, trust)
    require_sizes(judged, dataset, {i for found in chosen.values() for i in found})
    said = check_scorable(dataset)
    notes += [f"{said}."] if said else []
    label, known_by = label_and_identity(model, name)
    suite = Suite(Path(out), _made_with(pairs, known_by, broken))
    reports = [suite.out / f"robustness.{ending}" for ending in ("json", "md", "html")]
    weights = weight_files(locate(model)) if isinstance(model, str | Path) else []
    refuse_inputs_as_outputs(reports, [*weights, *dataset.files])
    with suite.open():
        work = Work(suite, model, pairs, batch_size, device, trust)

        num_classes, done = len(dataset.classes), 0
        missing = suite.missing(wanted, num_classes)

        def report(more: int = 1) -> None:
            nonlocal done
            done += more
            if progress is not None:
                progress(done, len(wanted))

        report(len(wanted) - len(missing))
        measure_all(work, judged, missing, workers, report)
        outcomes = {condition: outcome for condition in wanted if (outcome := suite.read(condition, num_classes))}
        left_out = len(dataset) - len(chosen[wanted[0]])
        facts = Facts(
            model=label,
            dataset=str(dataset.root),
            split=dataset.split,
            pairs=len(chosen[wanted[0]]),
            left_out=left_out,
            classes=tuple(dataset.classes),
            moving=tuple(dataset.classes[k] for k in sorted(pairs.moving)),
            absent=absent,
            seed=seed,
            version=__version__,
            notes=tuple(notes),
        )
        result = RobustnessReport(facts, outcomes)
        write_text(suite.out / "robustness.json", result.to_json())
        write_text(suite.out / "robustness.md", result.to_markdown())
        page = robustness_page(result, make_examples(result, judged, pairs), dataset.colors)
        write_text(suite.out / "robustness.html", page)
        return result


def _in_order(conditions: Sequence[Condition]) -> list[Condition]:
    """Clean first, nothing twice."""
    found: dict[str, Condition] = {}
    for condition in (Condition(CLEAN), *conditions):
        before = found.setdefault(condition.key, condition)
        if condition.stands_for and not before.stands_for:
            found[condition.key] = condition
    return list(found.values())


def _moving(names: Collection[str] | None, classes: Sequence[str]) -> frozenset[int]:
    if names is None:
        return moving_ids(classes)
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise ConfigError(f"moving: no class '{unknown[0]}'; there are {', '.join(classes)}")
    return frozenset(k for k, name in enumerate(classes) if name in names)


def _made_with(pairs: Pairs, model: str, broken: str) -> dict[str, object]:
    dataset = pairs.dataset
    listed = "\n".join(f"{name} {sorted(flags)}" for name, flags in zip(dataset.ids, dataset.flags, strict=True))
    return {
        "model": model,
        "pairs": f"{len(dataset)}, sha256 {hashlib.sha256(listed.encode()).hexdigest()}",
        "broken pairs": broken,
        "seed": pairs.seed,
        **checksum_of_all(dataset.pairs),
        **how_read(dataset),
        "moving classes": [dataset.classes[k] for k in sorted(pairs.moving)],
        "version": __version__,
    }


def _notes(conditions: Sequence[Condition], pairs: Pairs) -> list[str]:
    notes = []
    if not pairs.moving and any(condition.name == "time_lag" for condition in conditions):
        notes.append("time_lag was left out: no class of this set is known to move; name those that do as moving.")
    for condition in conditions:
        if condition.stands_for:
            notes.append(
                f"The set has no list of pairs flagged {condition.stands_for}: all sound pairs with {condition.title} "
                "stand in for them, which the paper did not do."
            )
    return notes
