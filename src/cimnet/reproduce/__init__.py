"""The paper's tables, run again: ``cimnet reproduce table3 --data …``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cimnet.errors import ConfigError
from cimnet.files import write_text
from cimnet.inference import load
from cimnet.models.budget import measure_budget
from cimnet.reproduce.paper import TABLE3
from cimnet.reproduce.runs import Say, Scores, Variant, run_variants, score
from cimnet.reproduce.tables import table2, table3, table4, table5, table6
from cimnet.training.loop import Report

PAPER_RECIPES = {"table6": "mfnet_mit_b4"}  # the others: kust4k_resnet101
ROWS = tuple(row.number for row in TABLE3)


def reproduce(
    table: str,
    data: Path,
    out: Path,
    *,
    budget: str = "paper",
    seeds: Sequence[int] = (0, 1, 2),
    rows: Sequence[int] = ROWS,
    checkpoints: Sequence[Path] = (),
    overrides: Sequence[str] = (),
    split: str = "test",
    report: Report | None = None,
    say: Say = lambda _: None,
) -> str:
    """Run a table of the paper on a data set and write ``out/TABLE.md`` and ``out/TABLE.json``.

    Args:
        table: ``table2`` to ``table6``.
        budget: recipe to train by, a path or a name; ``paper``: the paper's own for this table.
        rows: of Table III, to run only some.
        checkpoints: score these trained models in place of training (not for Table III).
        overrides: settings for all runs, ``section.field=value``.

    Returns:
        The table as Markdown. After each run the files hold what is known so far; called again, it goes on.

    Raises:
        CimnetError: bad data, recipe or folder; a table asked for what it does not have.
    """
    run = partial(
        run_variants,
        recipe=PAPER_RECIPES.get(table, "kust4k_resnet101") if budget == "paper" else budget,
        data=data,
        out=out,
        seeds=seeds,
        overrides=overrides,
        split=split,
        report=report,
        say=say,
    )
    if table == "table3":
        return _ablation(run, out, rows, checkpoints)
    if table not in ("table2", "table4", "table5", "table6"):
        raise ConfigError(f"'{table}' is no table that can be run; choose table2, table3, table4, table5 or table6")
    scores = [score(path, data, split) for path in checkpoints] or run([Variant("cimnet")])["cimnet"]
    if table in ("table4", "table5"):
        text = table4(scores) if table == "table4" else table5(scores)
    else:
        model = load(checkpoints[0] if checkpoints else out / f"cimnet_seed{seeds[0]}", "cpu").model
        cost = measure_budget(model, (480, 640))
        text = (table2 if table == "table2" else table6)(scores, (cost.parameters / 1e6, cost.macs / 1e9))
    return _write(out, table, text, {"here": scores})


def _ablation(
    run: Callable[..., dict[str, list[Scores]]], out: Path, rows: Sequence[int], checkpoints: Sequence[Path]
) -> str:
    unknown = sorted(set(rows) - set(ROWS))
    if unknown or not rows or checkpoints:
        wrong = f"has no row {unknown[0]}" if unknown else "takes no checkpoints" if checkpoints else "has no rows"
        raise ConfigError(f"table3 {wrong}; choose rows from 1 to {len(ROWS)}")

    def write(scores: dict[str, list[Scores]]) -> str:
        return _write(out, "table3", table3({int(name[3:]): found for name, found in scores.items()}), scores)

    return write(
        run([Variant(f"row{row.number}", row.overrides()) for row in TABLE3 if row.number in rows], after=write)
    )


def _write(out: Path, table: str, text: str, scores: dict[str, list[Scores]]) -> str:
    write_text(out / f"{table}.json", json.dumps(scores, indent=2) + "\n")
    write_text(out / f"{table}.md", text)
    return text
