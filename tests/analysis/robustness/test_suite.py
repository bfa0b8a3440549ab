"""Going on where a measurement was left, and several processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cimnet.analysis.robustness import Condition, measure_robustness
from cimnet.data import open_dataset
from cimnet.errors import CimnetError, ConfigError
from cimnet.inference import load
from tests.fakes.killer import deadly
from tests.fakes.layouts import save_array

from .conftest import HEIGHT, WIDTH

CONDITIONS = [Condition(name, severity) for name in ("translation", "thermal_noise") for severity in (1, 5)]
FILES = ["clean.json", "thermal_noise-1.json", "thermal_noise-20.json", "translation-2.json", "translation-20.json"]


def written(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "conditions").iterdir())


def run(model, dataset, out: Path, **options):
    return measure_robustness(model, dataset, out, **{"conditions": CONDITIONS, "name": "m", **options})


def counts(model) -> int:
    """Batches, without those of the examples (one pair each)."""
    return sum(size == 4 for size in model.batches)


def test_only_what_is_missing_is_measured_again(columns, sees, tmp_path) -> None:
    first, second, third = (sees("thermal") for _ in range(3))
    before = run(first, columns, tmp_path / "out").to_json()
    assert counts(first) == 5
    assert written(tmp_path / "out") == FILES
    for name in FILES[:2]:
        (tmp_path / "out" / "conditions" / name).unlink()
    steps: list[tuple[int, int]] = []
    after = run(second, columns, tmp_path / "out", progress=lambda *step: steps.append(step)).to_json()
    assert counts(second) == 2
    assert steps == [(3, 5), (4, 5), (5, 5)]
    assert after == before
    more = [*CONDITIONS, Condition("fog", 1)]
    assert len(run(third, columns, tmp_path / "out", conditions=more).points) == 6
    assert counts(third) == 1


def test_interrupted_it_leaves_whole_files_only(columns, sees, tmp_path) -> None:
    class Tired(type(sees("rgb"))):
        def __call__(self, rgb, thermal):
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().__call__(rgb, thermal)

    with pytest.raises(KeyboardInterrupt):
        run(Tired("thermal"), columns, tmp_path / "out")
    assert len(written(tmp_path / "out")) == 2
    for path in (tmp_path / "out" / "conditions").iterdir():
        json.loads(path.read_text(encoding="utf-8"))
    model = sees("thermal")
    resumed = run(model, columns, tmp_path / "out").to_json()
    assert counts(model) == 3
    assert resumed == run(sees("thermal"), columns, tmp_path / "new").to_json()


@pytest.mark.parametrize("damage", ["half", "other suite", "wrong shape", "no file"])
def test_a_damaged_file_is_made_again_with_a_warning(columns, sees, tmp_path, damage: str) -> None:
    before = run(sees("thermal"), columns, tmp_path / "out").to_json()
    path = tmp_path / "out" / "conditions" / FILES[1]
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    if damage == "half":
        path.write_text(text[: len(text) // 2], encoding="utf-8")
    elif damage == "no file":
        path.write_bytes(b"\xff\xfe")
    else:
        content |= {"suite": "x"} if damage == "other suite" else {"matrix": [[1]]}
        path.write_text(json.dumps(content), encoding="utf-8")
    model = sees("thermal")
    with pytest.warns(UserWarning, match=r"thermal_noise-1\.json: damaged .*measured again"):
        after = run(model, columns, tmp_path / "out").to_json()
    assert counts(model) == 1
    assert after == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, r"settings: seed \(0 then, 1 now\)"),
        ({"name": "other"}, r"settings: model \(m then, other now\)"),
        ({"broken": "keep"}, r"settings: broken pairs \(drop then, keep now\)"),
        ({"moving": ["tree"]}, r"settings: moving classes \(car then, tree now\)"),
        ({"name": ""}, "give it a name"),
    ],
)
def test_results_of_something_else_are_refused(columns, sees, tmp_path, options, message: str) -> None:
    run(sees("rgb"), columns, tmp_path / "out", conditions=[])
    with pytest.raises(ConfigError, match=message):
        run(sees("rgb"), columns, tmp_path / "out", conditions=[], **options)


def test_other_pairs_and_a_damaged_suite_are_refused(columns, sees, tmp_path) -> None:
    out = tmp_path / "out"
    run(sees("rgb"), columns, out, conditions=[])
    (columns.root / "test.txt").write_text("0D\n1D\n", encoding="utf-8")
    with pytest.raises(
        ConfigError,
        match=r"settings: data .*, pairs \(4, sha256 .* then, 2, sha256 .*another --out, or delete this folder",
    ):
        run(sees("rgb"), open_dataset(columns.root, "test"), out, conditions=[])
    (out / "suite.json").write_text("[1", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"suite\.json: does not say"):
        run(sees("rgb"), columns, out, conditions=[])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("labels", r"settings: data \("),
        ("thermal", r"settings: data \("),
        ("thermal_range: [0, 200]", r"settings: scaling \("),
        ("label_table: {0: 0, 1: 2, 2: 1}", r"settings: labels \("),
        ("border: 4", r"settings: border \(0, 0, 0, 0 then, 4, 4, 4, 4 now\)"),
    ],
)
def test_another_data_set_of_the_same_names_is_refused(columns, sees, tmp_path, change: str, message: str) -> None:
    """Its scores would be those of the first one."""
    out, other = tmp_path / "out", tmp_path / "other"
    before = run(sees("rgb"), columns, out, conditions=[]).to_json()
    shutil.copytree(columns.root, other)
    assert json.loads(run(sees("rgb"), open_dataset(other, "test"), out, conditions=[]).to_json()) == {
        **json.loads(before),
        "dataset": str(other),
    }
    if ":" in change:
        with (other / "classes.yaml").open("a", encoding="utf-8") as file:
            file.write(f"{change}\n")
    else:
        save_array(other / change / "0D.png", np.ones((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(ConfigError, match=message):
        run(sees("rgb"), open_dataset(other, "test"), out, conditions=[])


def test_a_file_in_place_of_the_folder(columns, sees, tmp_path) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(CimnetError, match="is a file"):
        run(sees("rgb"), columns, tmp_path / "out", conditions=[])


@pytest.mark.slow  # imports torch twice more; tests/curation/check/test_processes.py tries processes, too
def test_processes_give_the_same_as_one(trained, tmp_path) -> None:
    dataset = load(trained.best, "cpu").open_dataset(trained.root, "test")
    dataset.transform = lambda sample: sample  # cannot be given to another process, and need not be
    shown = [Condition("translation", 3), Condition("fog", 5)]
    texts = []
    for workers in (1, 2):
        out = tmp_path / f"{workers}"
        measure_robustness(trained.best, dataset, out, conditions=shown, device="cpu", workers=workers, name="m")
        texts.append([path.read_bytes() for path in sorted(out.rglob("*.*"))])
    assert texts[0] == texts[1]
    assert len(texts[0]) == 3 + 3 + 1


@pytest.mark.slow
def test_a_killed_process_is_one_line_and_leaves_no_half_written_file(trained, tmp_path) -> None:
    dataset = load(trained.best, "cpu").open_dataset(trained.root, "test")
    shown = [Condition("translation", severity) for severity in (1, 5)]
    with pytest.raises(
        CimnetError, match=r"was killed .* at (clean|translation).*what was finished is kept; use fewer"
    ):
        measure_robustness(
            trained.best, deadly(dataset, dataset.ids[-1]), tmp_path, conditions=shown, device="cpu", workers=2
        )
    assert [path.name for path in tmp_path.rglob("*.*")] == ["suite.json"]


@pytest.mark.slow
def test_an_error_in_a_process_comes_through(trained, tmp_path) -> None:
    dataset = load(trained.best, "cpu").open_dataset(trained.root, "test")
    damaged = tmp_path / "x.png"
    damaged.write_bytes(b"no image")
    dataset.pairs[0] = type(dataset.pairs[0])("x", damaged, None, dataset.pairs[0].label)
    with pytest.raises(CimnetError, match=r"x\.png"):
        measure_robustness(trained.best, dataset, tmp_path / "out", conditions=[Condition("fog", 1)], workers=2)
    assert list((tmp_path / "out").rglob("*.part*")) == []


def test_one_process_in_a_folder(columns, sees, tmp_path) -> None:
    def second(done: int, total: int) -> None:
        with pytest.raises(CimnetError, match=r"out: another process measures into it; wait for it, or choose another"):
            run(sees("rgb"), columns, tmp_path / "out", conditions=[])

    run(sees("rgb"), columns, tmp_path / "out", conditions=[], progress=second)
    assert not list((tmp_path / "out").glob(".*"))
