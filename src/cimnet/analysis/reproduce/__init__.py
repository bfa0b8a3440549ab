"""The paper's tables, run again: ``cimnet reproduce table3 --data …``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cimnet.analysis.paper_values import KUST4K, MFNET, NOTES, TABLE3, TABLE4_CLASSES, TABLE5_GROUPS, Ablation
from cimnet.analysis.reproduce.given_models import CLASSES, open_given
from cimnet.analysis.reproduce.paper_tables import Measured, Scores, table2, table3, table4, table5, table6
from cimnet.analysis.reproduce.runs import Plan, Say, Variant, score
from cimnet.data import RGBTDataset, open_dataset
from cimnet.data.flags import FLAG_LISTS
from cimnet.errors import ConfigError, DataError
from cimnet.inference import load
from cimnet.models import RGBTModel
from cimnet.models.complexity import CONVENTION, measure_budget
from cimnet.models.outline import Outline, outline_model
from cimnet.models.registry import list_networks
from cimnet.training.loop import Report
from cimnet.training.recipe_sections import PUBLISHED_OPTIONS, ModelConfig
from cimnet.utils.files import require_writable, write_text
from cimnet.utils.locks import OutputLock

PAPER_RECIPES = {"table6": "mfnet_mit_b4"}  # the others: kust4k_resnet101
ROWS = tuple(row.number for row in TABLE3)
_CLASSES = {"table2": KUST4K, "table4": TABLE4_CLASSES, "table6": MFNET}
_FLAGS = {"table4": ("weakly_aligned",), "table5": TABLE5_GROUPS}


def reproduce(
    table: str,
    data: Path,
    out: Path,
    *,
    budget: str | None = None,
    seeds: Sequence[int] | None = None,
    rows: Sequence[int] | None = None,
    checkpoints: Sequence[str | Path] = (),
    models: Sequence[str] = (),
    trust: bool = False,
    overrides: Sequence[str] = (),
    split: str = "test",
    report: Report | None = None,
    say: Say = lambda _: None,
) -> str:
    """Run a table of the paper on a data set and write ``out/TABLE.md`` and ``out/TABLE.json``.

    Runs that are finished in ``out`` are not repeated: an interrupted table resumes, Table III gains rows and seeds
    (its files are written after each run), and Tables II, IV and V share their runs where they share ``out``.

    Args:
        table: ``table2`` to ``table6``.
        budget: recipe to train by, a path or a name; None: the paper's own for this table.
        seeds: of the runs. None: 0, 1, 2.
        rows: of Table III, to run only some. None: all.
        checkpoints: score these trained models in place of training (not for Table III): paths, all of one kind, or
            ``NAME=FILE``, see :func:`cimnet.analysis.reproduce.given_models.open_given`.
        models: of Tables II and VI: names of models to train by the same recipe, a column each. None: the recipe's.
        trust: of these models, see :func:`cimnet.load`.
        overrides: settings for all runs, ``section.field=value``.
        split: to score; others than ``test`` are part of the files' names.

    Returns:
        The table as Markdown.

    Raises:
        CimnetError: bad data, recipe or folder; an option that the table does not have; or another process works in
            ``out``.
    """
    if table not in NOTES:
        raise ConfigError(f"'{table}' is not a table that can be run; choose {', '.join(NOTES)}")
    of_training = {"--budget": budget, "--seeds": seeds, "--model": models or None, "--set": overrides or None}
    _check_options(table, rows, checkpoints, of_training)
    recipe = PAPER_RECIPES.get(table, "kust4k_resnet101") if budget is None else budget
    plan = Plan(recipe, data, out, (0, 1, 2) if seeds is None else seeds, overrides, split, report, say)
    require_writable(out)
    with OutputLock(out, doing="works in it"):
        return _run(plan, table, ROWS if rows is None else rows, checkpoints, models, trust)


def _check_options(
    table: str, rows: Sequence[int] | None, checkpoints: Sequence[str | Path], of_training: Mapping[str, object]
) -> None:
    """Refuse options that would do nothing for this table.

    Raises:
        ConfigError: naming the option and the table.
    """
    if of_training["--budget"] == "paper":  # a name of earlier versions
        raise ConfigError(f"{table}: --budget paper: leave --budget out: the paper's own recipe is the default")
    if rows is not None and table != "table3":
        raise ConfigError(f"{table}: --rows chooses rows of table3, {table} has none to choose; leave it out")
    if of_training["--model"] is not None and table not in CLASSES:
        raise ConfigError(f"{table}: --model chooses models of {' and '.join(CLASSES)}; leave it out")
    if checkpoints and table == "table3":
        raise ConfigError("table3: trains all its rows, so --checkpoint has nothing to score; leave it out")
    given = [option for option, value in of_training.items() if value is not None]
    if checkpoints and given:
        raise ConfigError(
            f"{table}: {', '.join(given)} says how to train, but --checkpoint gives trained models; leave one out"
        )


def _run(
    plan: Plan,
    table: str,
    rows: Sequence[int],
    checkpoints: Sequence[str | Path],
    models: Sequence[str],
    trust: bool,
) -> str:
    """Train or load, score, and write the table."""
    recipe, data, split = plan.recipe, plan.data, plan.split
    networks: dict[str, RGBTModel] = {}
    if checkpoints:
        opened = open_given(table, checkpoints, trust)
        networks = {name: predictors[0].network for name, predictors in opened.items() if table in CLASSES}
        _check(table, next(iter(opened.values()))[0].open_dataset(data, split))
        scores = {name: [score(one, data, split) for one in predictors] for name, predictors in opened.items()}
        source = f"{', '.join(opened)}, trained before"
    else:
        settings = plan.settings(Variant("cimnet"), 0)
        given = settings.data
        _check(
            table,
            open_dataset(data, split, layout=given.layout, classes=given.classes, thermal_range=given.thermal()),
        )
        variants = _variants(settings.model, models)
        source = f"{', '.join(variants)}, recipe {recipe}{''.join(f', {setting}' for setting in plan.overrides)}"
        if table == "table3":
            return _ablation(plan, rows, source)
        _require_buildable(plan, variants)
        plan.run(list(variants.values()))
        scores = {}
        for name, variant in variants.items():
            found = plan.found(variant)
            scores[name] = [found[seed] for seed in plan.seeds]
            networks[name] = load(plan.out / f"{variant.name}_seed{plan.seeds[0]}", "cpu").network
    every = [one for found_scores in scores.values() for one in found_scores]
    if table in ("table4", "table5"):
        return _write(plan, table, table4(every) if table == "table4" else table5(every), every, source)
    measured = [_measure(name, scores[name], network) for name, network in networks.items()]
    text = (table2 if table == "table2" else table6)(measured)
    source += f". GMACs at 480×640: {CONVENTION}"
    return _write(plan, table, text, every, source, scores if len(scores) > 1 else None)


def _measure(name: str, scores: Sequence[Scores], network: RGBTModel) -> Measured:
    """Scores of a model, with its cost."""
    cost = measure_budget(network, (480, 640))
    return Measured(name, scores, cost.parameters / 1e6, cost.macs / 1e9)


def _require_buildable(plan: Plan, variants: Mapping[str, Variant]) -> None:
    """Refuse names and options of models before the first one is trained for hours.

    Raises:
        ConfigError: naming model and option.
    """
    for variant in variants.values():
        model = plan.settings(variant, 0).model
        options = {key: value for key, value in model.options().items() if key != "pretrained"}
        with Outline(10**9, 10**5):
            outline_model(model.name, len(KUST4K) + 1, **options)


def _variants(model: ModelConfig, names: Sequence[str]) -> dict[str, Variant]:
    """The variants to train, by the model's name: the recipe's own as ``cimnet``, others by the same recipe. Published
    networks have their own model options: those of the recipe do not apply to them, nor theirs to this package's
    models."""
    variants = {}
    options = set(model.options())
    for name in names or [model.name]:
        published = name in list_networks()
        foreign = options - {"pretrained", "input_scale", "channel_order"} if published else options & PUBLISHED_OPTIONS
        cleared = [f"model.{option}=null" for option in sorted(foreign)]
        own = name == model.name
        variants[name] = Variant("cimnet") if own else Variant(name, (f"model.name={name}", *cleared))
    return variants


def _ablation(plan: Plan, rows: Sequence[int], source: str) -> str:
    unknown = sorted(set(rows) - set(ROWS))
    if unknown or not rows:
        wrong = f"has no row {unknown[0]}" if unknown else "has no rows"
        raise ConfigError(f"table3 {wrong}; choose rows from 1 to {len(ROWS)}")
    variants = {row.number: Variant(f"row{row.number}", row.overrides()) for row in TABLE3}
    _check_switches(plan, TABLE3[-1], variants[TABLE3[-1].number])

    def write() -> str:
        found = {number: plan.found(variant) for number, variant in variants.items()}
        every = [scores for row in found.values() for scores in row.values()]
        return _write(plan, "table3", table3(found), every, source, {f"row{n}": row for n, row in found.items()})

    plan.run([variants[number] for number in variants if number in rows], write)
    return write()


def _check_switches(plan: Plan, full: Ablation, variant: Variant) -> None:
    """Refuse settings that would contradict the marks of a row."""
    model = plan.settings(variant, 0).model
    if not model.name.startswith("cimnet_"):
        raise ConfigError(f"table3: model.name is '{model.name}', but the ablation needs a cimnet model")
    taken = [text for text in plan.overrides if text.split("=")[0].strip() in ("model.msm", "model.swr", "model.cwr")]
    if taken or model.mutual_information == "off":
        what = taken[0] if taken else "model.mutual_information=off"
        raise ConfigError(f"table3: {what} is set for all rows, but the rows of the table set it; leave it out")


def _check(table: str, test_set: RGBTDataset) -> None:
    """Refuse a data set that lacks classes or subsets of the table, before anything is trained.

    Raises:
        DataError: naming the class, or the list that would hold the pairs of a subset.
    """
    for name in _CLASSES.get(table, ()):
        if name not in test_set.classes:
            raise DataError(
                f"{table}: {test_set.root} has no class '{name}'; its classes must include "
                f"{', '.join(_CLASSES[table])}; for other classes use `cimnet cross-validate` or `cimnet train`"
            )
    for flag in _FLAGS.get(table, ()):
        if not any(flag in flags for flags in test_set.flags):
            raise DataError(
                f"{table}: no pair of split '{test_set.split}' has the flag '{flag}'; name such pairs in "
                f"{test_set.root / FLAG_LISTS[flag]}.txt"
            )


def _write(
    plan: Plan, table: str, text: str, scores: Sequence[Scores], source: str, content: object | None = None
) -> str:
    convention = "left out of means" if all(s["absent"] == "ignore" for s in scores) else "counted as 0"
    notes = (
        f"Here: {source}.",
        f"Per cent, split {plan.split}; classes absent from truth and prediction are {convention}.",
        "Columns marked paper hold the paper's figures, not measured here.",
        *NOTES[table],
    )
    text += "\n" + "".join(f"- {note}\n" for note in notes)
    name = table if plan.split == "test" else f"{table}_{plan.split}"
    write_text(plan.out / f"{name}.json", json.dumps({"here": scores} if content is None else content, indent=2) + "\n")
    write_text(plan.out / f"{name}.md", text)
    return text
