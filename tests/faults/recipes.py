"""Recipes: not one at all, malicious, absurd values."""

from __future__ import annotations

from collections.abc import Callable

from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.training import train
from cimnet.training.recipe import load_recipe
from tests.faults import seeds
from tests.faults.bench import Bench, Fault
from tests.faults.yamls import CODE, LAUGHS


def _recipe(text: str | bytes) -> Callable[[Bench], str]:
    """Train by this file; `{marker}` becomes a file that must not come into being."""

    def run(bench: Bench) -> str:
        marker = bench.folder / "executed"
        content = text.replace("{marker}", str(marker)) if isinstance(text, str) else text
        assert bench.data
        bench.recipe = bench.write("recipe.yaml", content)
        try:
            return bench.train()
        finally:
            assert not marker.exists()

    return run


def _set(*overrides: str) -> Callable[[Bench], str]:
    def run(bench: Bench) -> str:
        marker = bench.folder / "executed"
        try:
            return bench.train(*(override.replace("{marker}", str(marker)) for override in overrides))
        finally:
            assert not marker.exists()

    return run


def _begin(bench: Bench) -> str:
    """Far too many epochs are nobody's mistake to judge: the run begins, and is stopped at its first step."""

    def report(row: dict[str, float]) -> None:
        raise CimnetError(f"stopped at step {row['step']} of {row['steps']}")

    train(load_recipe(bench.recipe, ["training.epochs=1000000000000"]), bench.out, report=report)
    return "ended"


def _file(name: str, text: str | bytes, says: str) -> Fault:
    return Fault(f"recipe {name}", "recipes", _recipe(text), ConfigError, rf"^recipe recipe.yaml: .*{says}")


def _value(override: str, says: str, error: type[CimnetError] = ConfigError) -> Fault:
    name = override if len(override) < 60 else f"{override[:50]}…"
    return Fault(f"--set {name}", "recipes", _set(override), error, says)


_GOOD = seeds.recipe().decode()
FAULTS: list[Fault] = [
    _file("that runs a command", f"data: {CODE}\n", "not valid YAML: could not determine a constructor"),
    _file("of a billion laughs", LAUGHS + _GOOD, "anchors stand for more than 100,000 values"),
    _file("whose error would print a billion laughs", "data: {root: data}\n" + LAUGHS, "anchors stand for more than"),
    _file("with a section twice", _GOOD + "training: {epochs: 7}\n", "the key 'training' is given twice"),
    _file("nested 100,000 deep", "[" * 100_000, "(nested too deep|not valid YAML)"),
    _file("of 10 MB", _GOOD + "#" * 10_000_000, "more than 1,000,000 characters; such files are small"),
    _file("that is empty", "", "must hold sections such as 'data:'"),
    _file("that is a list", "- data\n- training\n", "must hold sections such as 'data:'"),
    _file("that is a number", "3\n", "must hold sections such as 'data:'"),
    _file("that is a sentence", "just words\n", "must hold sections such as 'data:'"),
    _file("of comments", "# nothing\n", "must hold sections such as 'data:'"),
    _file("without data", "training: {epochs: 1}\n", "field 'data' is missing"),
    _file("with a section that is a list", _GOOD.replace("data:\n  root: data\n  workers: 0", "data: [1, 2]"),
          "field 'data': "),
    _file("with an unknown section", _GOOD + "trainning: {epochs: 7}\n",
          "field 'trainning' does not exist, did you mean"),
    _file("with an unknown field", _GOOD + "loss: {lovasz: 1}\n", "field 'loss.lovasz' does not exist; allowed: "),
    _file("with a number as a section", _GOOD + "7: {a: 1}\n", "(field|keys)"),
    _file("with a date that is none", _GOOD + "loss: {dice: 2020-99-99}\n", "not valid YAML: month must be in"),
    Fault("recipe of binary", "recipes", _recipe(bytes(range(256))), ConfigError,
          "recipe recipe.yaml: cannot be read .*give"),
    Fault("recipe in UTF-16", "recipes", _recipe(_GOOD.encode("utf-16")), ConfigError,
          "cannot be read .*give the path"),
    Fault("recipe that is a checkpoint", "recipes", _recipe(seeds.checkpoint()), ConfigError, "recipe recipe.yaml: "),
    Fault("recipe with a byte order mark and CRLF", "recipes",
          _recipe(b"\xef\xbb\xbf" + _GOOD.replace("\n", "\r\n").encode()), None, "^trained", slow=True),
    _value("training.batch_size=1000000000",
           "training.batch_size is 1000000000, but split 'train' of data has only 4 pairs"),
    _value("training.batch_size=0", "'training.batch_size': Input should be greater than 0, got 0"),
    _value("training.batch_size=-4", "'training.batch_size': .*got -4"),
    _value("training.batch_size=2.5", "'training.batch_size': .*got 2.5"),
    _value("training.batch_size=many", "'training.batch_size': .*integer.*got 'many'"),
    _value("training.epochs=.nan", "'training.epochs': .*got nan"),
    _value("training.epochs=.inf", "'training.epochs': .*got inf"),
    Fault("--set training.epochs=1000000000000", "recipes", _begin, CimnetError,
          "^stopped at step 1 of 2000000000000$", keeps=True, slow=True),
    _value("training.epochs=[1]", r"'training.epochs': .*got \[1\]"),
    _value("training.learning_rate=-1", "'training.learning_rate': .*greater than 0, got -1"),
    _value("training.learning_rate=.nan", "'training.learning_rate': .*finite.*got nan"),
    _value("training.learning_rate=.inf", "'training.learning_rate': .*finite.*got inf"),
    _value("training.learning_rate=" + "9" * 400, "'training.learning_rate': "),
    Fault("--set training.learning_rate=1.0e+308", "recipes",
          _set("training.learning_rate=1.0e+308", "training.epochs=3"), CimnetError,
          "(finite|NaN).*learning_rate", keeps=True, slow=True),
    _value("training.seed=-1", "'training.seed': .*got -1"),
    _value("training.seed=4294967296", "'training.seed': .*less than 4294967296"),
    _value("training.milestones=[3, 2]", "'training.milestones': .*numbers must ascend"),
    _value("training.gamma=2", "'training.gamma': .*less than or equal to 1"),
    _value("augmentation.crop=[0, 0]", r"'augmentation.crop"),
    _value("augmentation.crop=[-32, 32]", r"'augmentation.crop"),
    _value("augmentation.scale=[0, 1]", "'augmentation.scale': .*0 < low"),
    _value("augmentation.hflip=1.5", "'augmentation.hflip': .*less than or equal to 1"),
    _value("data.workers=-1", "'data.workers': .*got -1"),
    _value("data.root=", "'data.root'"),
    _value("data.root=nowhere", "nowhere: no such folder", DataError),
    _value("data.layout=voc", "layout: no layout 'voc'; there are", DataError),
    _value("data.thermal_range=[.nan, 1]", "'data.thermal_range"),
    _value("data.thermal_range=abc", "'data.thermal_range"),
    _value("model.name=", "(model|'model.name')"),
    _value("model.name=resnet", "model 'resnet' is unknown: "),
    _value("model.name=cimnet_../../etc/passwd", "encoder '../../etc/passwd' is unknown"),
    Fault("--set model.widths=[1000000000, …]", "recipes",
          _set("model.name=cimnet_efficientnet_lite0", "model.widths=[1000000000, 1000000000, 1000000000, 1000000000]"),
          ConfigError, "model 'cimnet_efficientnet_lite0' cannot be built with .*1000000000"),
    _value("loss.initial_weight=0", "'loss.initial_weight': .*greater than 0"),
    _value("data.root={a: &a [*a]}", "--set .*not valid YAML"),
    _value(f"data.root={CODE}", "--set .*not valid YAML"),
    _value("training.epochs=" + "[" * 5000, "--set .*not valid YAML"),
    _value("training", "write it as section.field=value"),
    _value("=3", "write it as section.field=value"),
    _value("..=3", "'.*' does not exist"),
    Fault("--set augmentation.crop=[1, 1] for batches of one", "recipes",
          _set("augmentation.crop=[1, 1]", "training.batch_size=1"), ConfigError,
              "augmentation.crop 1x1 .*raise either"),
    Fault("--set augmentation.crop=[1, 1] for batches of two", "recipes", _set("augmentation.crop=[1, 1]"), None,
          "^trained",
          slow=True),
]  # fmt: skip
