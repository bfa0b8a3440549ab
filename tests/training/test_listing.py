"""`cimnet runs` and `cimnet train --seeds`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pytest
from PIL import Image

from cimnet.errors import ConfigError, DataError
from cimnet.evaluation.spread import spread
from cimnet.training import train
from cimnet.training.data_record import FILE, READ_FIELDS
from cimnet.training.run_folder import RunFolder
from cimnet.training.runs_table import by_seed, differences, find_runs, read_run, table
from cimnet.training.seeds import train_seeds
from cimnet.utils.files import write_text
from tests.conftest import Result, pixel_recipe, write_recipe
from tests.fakes.layouts import make_folder


def test_seeds_are_trained_and_summed_up(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe = pixel_recipe(root, training={"epochs": 1, "learning_rate": 0.1})
    runs = train_seeds(recipe, tmp_path / "runs", [3, 0])
    scores = [run.miou for run in runs]
    assert [run.recipe.training.seed for run in runs] == [3, 0]
    assert all(score is not None for score in scores)
    summary = json.loads((tmp_path / "runs" / "seeds.json").read_text())
    assert summary["miou"] == {"3": scores[0], "0": scores[1]}
    assert summary["mean"] == mean(scores)  # type: ignore[type-var]
    assert summary["standard_deviation"] == stdev(scores)  # type: ignore[type-var]

    before = (tmp_path / "runs" / "seed3" / "best.safetensors").stat().st_mtime_ns
    again = train_seeds(recipe, tmp_path / "runs", [3, 0, 1], resume=True)
    assert (tmp_path / "runs" / "seed3" / "best.safetensors").stat().st_mtime_ns == before
    assert [run.status for run in again] == ["finished"] * 3
    for seeds in ([], [1, 1]):
        with pytest.raises(ConfigError, match="different numbers"):
            train_seeds(recipe, tmp_path / "more", seeds)


@pytest.fixture
def half(root: Path, tmp_path: Path, pixel: None) -> Path:
    """Seed 0 of two, finished; one pair of the data set has another label since then."""
    recipe = pixel_recipe(root, training={"epochs": 1})
    train_seeds(recipe, tmp_path / "runs", [0])
    label = sorted((root / "labels").iterdir())[0]
    with Image.open(label) as image:
        turned = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    turned.save(label)
    return tmp_path / "runs"


def test_a_finished_seed_of_other_data_is_refused(root: Path, half: Path) -> None:
    recipe = pixel_recipe(root, training={"epochs": 1})
    before = {path: path.read_bytes() for path in half.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"the data of the run in .*seed0 have changed: split train: 1 .*--changed"):
        train_seeds(recipe, half, [1, 0], resume=True)
    assert before == {path: path.read_bytes() for path in half.rglob("*") if path.is_file()}


def test_a_finished_seed_of_other_data_stays_where_the_user_says_so(root: Path, half: Path) -> None:
    recipe = pixel_recipe(root, training={"epochs": 1})
    said: list[str] = []
    before = {path: path.read_bytes() for path in (half / "seed0").iterdir() if path.is_file()}
    runs = train_seeds(recipe, half, [0, 1], resume=True, changed_data=True, note=said.append)
    assert [run.status for run in runs] == ["finished"] * 2
    assert before == {path: path.read_bytes() for path in (half / "seed0").iterdir() if path.is_file()}
    assert any("seed0 stays as it is: it was trained on other data (split train: 1" in text for text in said)


def test_a_finished_seed_of_the_same_data_elsewhere_stays(root: Path, tmp_path: Path, pixel: None) -> None:
    train_seeds(pixel_recipe(root, training={"epochs": 1}), tmp_path / "runs", [0])
    root.rename(tmp_path / "moved")
    runs = train_seeds(pixel_recipe(tmp_path / "moved", training={"epochs": 1}), tmp_path / "runs", [0, 1], resume=True)
    assert [run.starts for run in runs] == [1, 1]


def test_finished_seeds_are_compared_without_a_cache(root: Path, tmp_path: Path, pixel: None) -> None:
    train_seeds(pixel_recipe(root, training={"epochs": 1}), tmp_path / "runs", [0])
    cache = tmp_path / "cache"
    data = {"cache": "disk", "cache_folder": str(cache)}
    runs = train_seeds(pixel_recipe(root, data=data, training={"epochs": 1}), tmp_path / "runs", [0], resume=True)
    assert [run.starts for run in runs] == [1]
    assert not cache.exists()


def test_finished_seeds_without_a_record_need_no_data(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe = pixel_recipe(root, training={"epochs": 1})
    train_seeds(recipe, tmp_path / "runs", [0])
    (tmp_path / "runs" / "seed0" / FILE).unlink()  # as an early version left it
    root.rename(tmp_path / "moved")
    assert [run.starts for run in train_seeds(recipe, tmp_path / "runs", [0], resume=True)] == [1]


def test_runs_are_listed_with_state_and_differences(root: Path, tmp_path: Path, pixel: None) -> None:
    out = tmp_path / "runs"
    for name, rate, seed in (("a", 0.1, 0), ("b", 0.1, 1), ("c", 0.01, 0)):
        train(pixel_recipe(root, training={"epochs": 2, "learning_rate": rate, "seed": seed}), out / name)
    write_text(out / "a" / "test.json", json.dumps({"miou": 0.5}))
    found = find_runs([out])
    assert [run.folder.name for run in found] == ["a", "b", "c"]
    assert differences(found) == ["training.learning_rate"]
    rows = [json.loads(line) for line in (out / "a" / "log.jsonl").read_text().splitlines()]
    first = found[0]
    assert first.miou == max(row["miou"] for row in rows)
    assert (first.status, first.epochs, first.starts, first.test) == ("finished", 2, 1, 0.5)
    assert [[run.folder.name for run in group] for group in by_seed(found)] == [["a", "b"], ["c"]]

    header, cells = table(found)
    assert header[-1] == "training.learning_rate"
    assert [row[-1] for row in cells] == ["0.1", "0.1", "0.01"]
    assert cells[0][header.index("mIoU on test")] == "50.0"
    header, cells = table(found, group=True)
    assert [row[header.index("seeds")] for row in cells] == ["0, 1", "0"]
    assert cells[0][header.index("mIoU on val")] == spread([found[0].miou, found[1].miou])
    assert "±" in cells[0][header.index("mIoU on val")]


def grouped(*folders: Path) -> list[dict[str, str]]:
    """The rows of the table, grouped, by heading."""
    header, rows = table(find_runs(folders), group=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_runs_on_other_data_are_no_seeds(root: Path, tmp_path: Path, pixel: None) -> None:
    out, other = tmp_path / "runs", make_folder(tmp_path / "other", 12, seed=3)
    for seed, where in enumerate((root, other, root)):
        train(pixel_recipe(where, training={"epochs": 1, "seed": seed}), out / str(seed))
    rows = grouped(out)
    assert [row["seeds"] for row in rows] == ["0, 2", "1"]
    assert [row["data.root"] for row in rows] == [str(root), str(other)]
    assert differences(find_runs([out])) == ["data.root"]
    for seed in range(3):  # as an early version left them
        (out / str(seed) / FILE).unlink()
    assert grouped(out) == rows


def test_the_same_data_at_another_place_are_one_group(root: Path, tmp_path: Path, pixel: None) -> None:
    train(pixel_recipe(root, training={"epochs": 1}), tmp_path / "runs" / "a")
    root.rename(tmp_path / "moved")
    train(pixel_recipe(tmp_path / "moved", training={"epochs": 1, "seed": 1}), tmp_path / "runs" / "b")
    (row,) = grouped(tmp_path / "runs")
    assert row["seeds"] == "0, 1"
    assert "data.root" not in row


def test_other_data_at_one_place_are_told_apart(root: Path, half: Path) -> None:
    train_seeds(pixel_recipe(root, training={"epochs": 1}), half, [0, 1], resume=True, changed_data=True)
    rows = grouped(half)
    assert [row["seeds"] for row in rows] == ["0", "1"]
    digests = [run.data_digest for run in find_runs([half])]
    assert [row["data.root"] for row in rows] == [f"{root} ({digest})" for digest in digests]
    assert len(set(digests)) == 2


def record_less(folder: Path) -> None:
    """Leave of a record what an earlier version wrote."""
    record = json.loads((folder / FILE).read_text())
    write_text(folder / FILE, json.dumps({key: record[key] for key in record if key not in READ_FIELDS[2:]}))


def relabel(folder: Path) -> None:
    """The record of a run that took the label values for other classes."""
    record = json.loads((folder / FILE).read_text())
    write_text(folder / FILE, json.dumps({**record, "labels": "other"}))


def test_records_of_an_earlier_version_and_none_join_the_same_data(root: Path, tmp_path: Path, pixel: None) -> None:
    out = tmp_path / "runs"
    train_seeds(pixel_recipe(root, training={"epochs": 1}), out, [0, 1, 2])
    record_less(out / "seed0")
    (out / "seed1" / FILE).unlink()
    (row,) = grouped(out)
    assert row["seeds"] == "0, 1, 2"
    assert "data.root" not in row


def test_a_record_of_an_earlier_version_stays_alone_between_two_that_differ(
    root: Path, tmp_path: Path, pixel: None
) -> None:
    out = tmp_path / "runs"
    train_seeds(pixel_recipe(root, training={"epochs": 1}), out, [0, 1, 2])
    record_less(out / "seed0")
    relabel(out / "seed1")
    assert [row["seeds"] for row in grouped(out)] == ["0", "1", "2"]


def test_states_of_a_run(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe = pixel_recipe(root, training={"epochs": 1})
    folder = RunFolder(tmp_path / "run")
    folder.lock()
    folder.describe(recipe, 0, 1)
    assert read_run(tmp_path / "run").status == "running"
    folder.unlock()
    assert read_run(tmp_path / "run").status == "begun"
    train(recipe, tmp_path / "run", resume=True)
    run = read_run(tmp_path / "run")
    assert (run.status, run.starts) == ("finished", 2)
    folder.describe(pixel_recipe(root, training={"epochs": 5}), 3, 1)
    assert read_run(tmp_path / "run").status == "stopped"


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_runs([tmp_path / "gone"])
    with pytest.raises(DataError, match="it contains no runs"):
        find_runs([tmp_path])


def test_the_commands(root: Path, tmp_path: Path, pixel: None, cli: Callable[..., Result]) -> None:
    model = {"name": "pixel_mi", "widths": None, "decoder_channels": None}
    recipe = write_recipe(tmp_path / "r.yaml", root, model=model, training={"epochs": 1})
    done = cli("train", recipe, "--out", tmp_path / "runs", "--seeds", "0,1")
    assert done.code == 0, done.err
    assert "±" in done.out
    listed = cli("runs", tmp_path / "runs", "--sort", "miou", "--json", tmp_path / "runs.json")
    assert listed.code == 0
    content = json.loads((tmp_path / "runs.json").read_text())
    assert {run["seed"] for run in content} == {0, 1}
    assert content[0]["miou"] >= content[1]["miou"]
    assert cli("train", recipe, "--seeds", "0,x").code == 2
