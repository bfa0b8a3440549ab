"""Training on folds: every image is tested once by a model that did not see it, and nothing is done twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from PIL import Image

from cimnet.analysis import cross_validation
from cimnet.analysis.cross_validation import cross_validate
from cimnet.analysis.cross_validation.fold_lists import read_fold_lists
from cimnet.analysis.cross_validation.held_out import read_held_out
from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.curation.split.folds import divide_into_folds
from cimnet.data import open_dataset
from cimnet.errors import CimnetError, ConfigError, DataError, Stopped
from cimnet.evaluation import confusion_matrix, scores
from cimnet.inference import load
from cimnet.models import create_model
from cimnet.training.data_record import READ_FIELDS
from cimnet.training.recipe import Recipe, load_recipe
from cimnet.training.recipe_sections import SecondConfig
from cimnet.training.runs_table import find_runs, read_crossed, table
from cimnet.utils.locks import OutputLock
from tests.conftest import Result, pixel_recipe, write_recipe
from tests.fakes.layouts import CLASSES, make_folder

from .conftest import NAMES


def test_the_scores_are_those_of_each_model_on_what_it_did_not_see(recipe: Recipe, root: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "cross", []
    result = cross_validate(recipe, out, seeds=[0, 7], note=said.append)
    images = read_held_out(out / "images.npz", "")
    assert sorted(images.ids) == sorted(NAMES)
    assert images.matrices.shape == (2, 12, 3, 3)
    for number, seed in enumerate((0, 7)):
        for fold in range(3):
            folder = out / f"seed{seed}" / f"fold{fold}"
            used = json.loads((folder / "data.json").read_text())
            tested = open_dataset(root, f"folds/{fold}/test").ids
            assert not {*tested} & ({*used["train"]} | {*used["val"]})
            predictor = load(folder)
            for sample in predictor.open_dataset(root, f"folds/{fold}/test"):
                found = predictor.predict(sample.rgb, sample.thermal)
                assert sample.label is not None
                own = confusion_matrix(sample.label.numpy(), found.astype(np.int64), 3)
                np.testing.assert_array_equal(own, images.matrices[number, images.ids.index(sample.id)])
    content = json.loads((out / "cross_validation.json").read_text())
    pooled = [scores(images.matrices[number].sum(0)) for number in range(2)]
    assert [content["by_seed"][seed]["miou"] for seed in ("0", "7")] == pytest.approx([s.miou for s in pooled])
    assert content["by_seed"]["7"]["confusion"] == images.matrices[1].sum(0).tolist()
    assert content["miou"]["mean"] == pytest.approx(mean(s.miou for s in pooled))
    assert content["miou"]["standard_deviation"] == pytest.approx(stdev(s.miou for s in pooled))
    folds = [mean(content["by_fold"][fold]["miou"].values()) for fold in range(3)]
    assert content["miou_over_folds"]["standard_deviation"] == pytest.approx(stdev(folds))
    assert content["iou"]["car"]["mean"] == pytest.approx(mean(s.iou[2] for s in pooled))
    assert (content["done"], content["planned"], content["images"], content["groups"]) == (6, 6, 12, 6)
    assert content["group_of"]["drive1_0"] == "drive1"
    assert len([line for line in said if line.endswith("…")]) == 6
    text = result.to_markdown()
    assert f"**{100 * content['miou']['mean']:.1f} ± " in text
    assert "12 images in 6 groups, each image tested once a seed; 2 seeds" in text


def stop_in_second_training(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """SIGTERM in the second training; returns the folders of the trainings that begin, as they do."""
    real, begun = cross_validation.train, []

    def train(recipe: Recipe, folder: Path, **options: object) -> Path:
        begun.append(folder.name)
        if len(begun) == 2:
            raise Stopped("stopped by SIGTERM after step 1 of 4; run the same command with --resume to resume", 15)
        return real(recipe, folder, **options)  # type: ignore[arg-type]  # passed on as given

    monkeypatch.setattr(cross_validation, "train", train)
    return begun


def test_it_goes_on_where_it_was_stopped(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cross_validate(recipe, tmp_path / "whole").to_dict()
    out, begun = tmp_path / "cross", stop_in_second_training(monkeypatch)
    with pytest.raises(Stopped, match=r"stopped in seed 0, fold 1; everything is saved in .*cross; repeat the command"):
        cross_validate(recipe, out)
    content = json.loads((out / "cross_validation.json").read_text())
    assert (content["done"], content["planned"], content["by_seed"]) == (1, 3, {})
    assert not (out / "images.npz").exists()
    again = cross_validate(recipe, out)
    assert begun == ["fold0", "fold1", "fold1", "fold2"]
    assert again.to_dict() == whole
    cross_validate(recipe, out)
    assert len(begun) == 4
    (out / "images.npz").unlink()
    cross_validate(recipe, out)
    assert read_held_out(out / "images.npz", "").matrices.shape[0] == 1
    assert len(begun) == 4
    more = cross_validate(recipe, out, seeds=[5])
    assert more.complete == (0, 5)
    assert more.by_seed()[0].miou == again.by_seed()[0].miou
    assert read_held_out(out / "images.npz", "").matrices.shape[0] == 2


def test_a_fold_that_was_trained_is_scored_only(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed between training and scoring, or while it wrote the scores."""
    out = tmp_path / "cross"
    first = cross_validate(recipe, out).to_dict()
    scored = out / "seed0" / "fold1" / "images.npz"
    scored.write_bytes(scored.read_bytes()[:200])
    with pytest.raises(DataError, match=r"fold1/images\.npz: cannot be read .*; delete it, and the fold will"):
        cross_validate(recipe, out)
    scored.unlink()
    monkeypatch.setattr(cross_validation, "train", None)
    assert cross_validate(recipe, out).to_dict() == first


def test_run_folders_of_complete_seeds_may_be_removed(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cross"
    cross_validate(recipe, out, seeds=[0, 7])
    both = cross_validate(recipe, out, seeds=[3]).to_dict()
    for seed in (0, 7):
        shutil.rmtree(out / f"seed{seed}")
    shutil.rmtree(out / "seed3" / "fold1")
    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "train", None)
        assert cross_validate(recipe, out).to_dict() == both
    more = cross_validate(recipe, out, seeds=[5])
    assert more.complete == (0, 7, 3, 5)
    assert json.loads((out / "cross_validation.json").read_text())["by_fold"] == more.to_dict()["by_fold"]
    content = json.loads((out / "cross_validation.json").read_text())
    content["by_seed"]["7"]["confusion"][0][0] += 1
    (out / "cross_validation.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"images\.npz: holds no result of seed 7, which lacks run folders; restore it"):
        cross_validate(recipe, out)
    (out / "images.npz").unlink()
    with pytest.raises(DataError, match=r"images\.npz: cannot be read .*; restore it or the run folders, or choose"):
        cross_validate(recipe, out)


def test_all_folds_begin_with_the_same_weights(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that holds other weights by the next call would mix two beginnings in one score."""

    def stop(*_: object, **__: object) -> Path:
        raise Stopped("stopped by SIGTERM", 15)

    monkeypatch.setattr(cross_validation, "train", stop)
    weights, out = tmp_path / "begin.safetensors", tmp_path / "cross"
    begun = recipe.with_fields("model", weights=str(weights))
    for _ in range(2):
        weights.write_bytes(b"one")
        with pytest.raises(Stopped):
            cross_validate(begun, out)
    weights.write_bytes(b"two")
    with pytest.raises(ConfigError, match=r"made with other settings: weights \("):
        cross_validate(begun, out)


def test_what_the_runs_say_is_passed_on_once(root: Path, tmp_path: Path) -> None:
    """Which weights were loaded is said, and not again by each fold."""
    name, options = "cimnet_test_resnet", {"widths": [16, 16, 20, 32], "decoder_channels": 16}
    weights, said = tmp_path / "begin.safetensors", []
    info = ModelInfo(name, options, tuple(CLASSES), ((0, 0, 0),) * len(CLASSES), thermal_dtype="uint8")
    save_checkpoint(weights, create_model(name, len(CLASSES), **options), info)
    recipe = load_recipe(write_recipe(tmp_path / "r.yaml", root, training={"epochs": 1}))
    cross_validate(recipe.with_fields("model", weights=str(weights)), tmp_path / "cross", note=said.append)
    assert len([line for line in said if line.startswith(f"weights {weights}: loaded ")]) == 1
    assert len([line for line in said if "training changes" in line]) == 1


def test_other_settings_lists_or_files_are_refused(recipe: Recipe, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "cross"
    cross_validate(recipe, out)
    with pytest.raises(ConfigError, match=r"made with other settings: training\.epochs \(1 then, 2 now\)"):
        cross_validate(recipe.with_fields("training", epochs=2), out)
    cross_validate(recipe.with_fields("training", save_every=7), out)
    before = (out / "cross_validation.json").read_bytes()
    label = root / "labels" / "drive0_0.png"
    content = label.read_bytes()
    Image.fromarray(np.full((32, 40), 2, np.uint8)).save(label)
    with pytest.raises(ConfigError, match=r"made with other settings: data \("):
        cross_validate(recipe, out)
    label.write_bytes(content)
    divide_into_folds(root, 3, seed=1, overwrite=True).write()
    with pytest.raises(ConfigError, match=r"made with other settings: folds \("):
        cross_validate(recipe, out)
    assert (out / "cross_validation.json").read_bytes() == before


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("label_table: {0: 0, 1: 2, 2: 1}", r"labels \("),
        ("ignore_index: 2", r"labels \("),
        ("border: 4", r"border \("),
        ("thermal_range: [10, 200]", r"scaling \("),
        ("classes: [car, road, person]", r"classes \("),
    ],
)
def test_folds_that_are_read_in_another_way_are_not_pooled(
    root: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, named: str
) -> None:
    begun = stop_in_second_training(monkeypatch)
    with pytest.raises(Stopped):
        cross_validate(recipe, tmp_path / "cross")
    path = root / "classes.yaml"
    path.write_text(f"{lines}\n" if lines.startswith("classes") else f"{path.read_text()}{lines}\n")
    with pytest.raises(ConfigError, match=f"made with other settings: {named}"):
        cross_validate(recipe.with_fields("data", allow_absent=True), tmp_path / "cross")
    assert begun == ["fold0", "fold1"]


def test_a_cross_validation_of_an_earlier_version_goes_on(recipe: Recipe, tmp_path: Path) -> None:
    """It says nothing of how its files were read, as those in docs/evidence do not."""
    out = tmp_path / "cross"
    first = cross_validate(recipe, out).to_dict()
    path = out / "cross_validation.json"
    digest = read_crossed(out).data_digest
    content = json.loads(path.read_text())
    for name in READ_FIELDS:
        del content["made_with"][name]
    path.write_text(json.dumps(content))
    earlier = read_crossed(out).data_digest
    assert digest is not None
    assert earlier is not None
    assert digest.startswith(earlier)
    assert cross_validate(recipe, out).to_dict() == first
    assert json.loads(path.read_text())["made_with"]["border"] == [0, 0, 0, 0]


def test_the_second_images_are_those_of_the_recipe(
    recipe: Recipe, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record tells the files that are trained on, not those of the thermal folder beside them."""

    def stop(*_: object, **__: object) -> Path:
        raise Stopped("stopped by SIGTERM", 15)

    monkeypatch.setattr(cross_validation, "train", stop)
    shutil.copytree(root / "thermal", root / "nir")
    second, out = recipe.with_fields("data", second=SecondConfig(name="nir")), tmp_path / "cross"
    with pytest.raises(Stopped):
        cross_validate(second, out)
    (root / "nir" / "drive0_0.png").write_bytes((root / "nir" / "drive1_0.png").read_bytes())
    with pytest.raises(ConfigError, match=r"made with other settings: data \("):
        cross_validate(second, out)


def test_folders_that_hold_something_else(recipe: Recipe, root: Path, tmp_path: Path) -> None:
    with pytest.raises(CimnetError, match=r"exists and is not empty; choose another --out"):
        cross_validate(recipe, root)
    with OutputLock(tmp_path / "cross"), pytest.raises(CimnetError, match="another process works in it"):
        cross_validate(recipe, tmp_path / "cross")
    assert not (tmp_path / "cross" / "cross_validation.json").exists()
    with pytest.raises(ConfigError, match="different numbers"):
        cross_validate(recipe, tmp_path / "cross", seeds=[1, 1])


def test_a_fold_smaller_than_a_batch_is_found_before_the_first_step(root: Path, tmp_path: Path, pixel: None) -> None:
    """Once a fold is trained, a lower batch size is another setting: the finished fold would be lost."""
    path = root / "folds" / "1" / "train.txt"
    first, *others = path.read_text().split()
    path.write_text(f"{first}\n")
    val = path.with_name("val.txt")
    val.write_text("\n".join([*val.read_text().split(), *others]) + "\n")
    out = tmp_path / "cross"
    with pytest.raises(
        ConfigError, match=r"batch_size is 2, but split 'folds/1/train' of .* has only 1 pair; lower it"
    ):
        cross_validate(pixel_recipe(root, training={"epochs": 1}), out)
    assert not out.exists()


def test_lists_outside_of_the_data_set(root: Path, tmp_path: Path, pixel: None) -> None:
    inside = cross_validate(pixel_recipe(root, training={"epochs": 1}), tmp_path / "a").to_dict()
    (root / "folds").rename(tmp_path / "lists")
    recipe = pixel_recipe(root, training={"epochs": 1})
    with pytest.raises(DataError, match=r"data/folds: no folds .* `cimnet data split .*data --folds 5` writes them"):
        cross_validate(recipe, tmp_path / "b")
    outside = cross_validate(recipe, tmp_path / "b", folds=tmp_path / "lists").to_dict()
    assert outside["by_seed"] == inside["by_seed"]


def paint(root: Path, name: str, value: int, instead: int) -> None:
    path = root / "labels" / f"{name}.png"
    with Image.open(path) as image:
        label = np.array(image)
    label[label == value] = instead
    Image.fromarray(label).save(path)


def test_a_class_that_a_fold_cannot_learn_is_said_and_counted(root: Path, tmp_path: Path, pixel: None) -> None:
    """Cars stand in drive 0 alone; a label that is ignored as a whole does no harm."""
    for name in NAMES:
        paint(root, name, 2, 2 if name.startswith("drive0") else 255)
    for value in range(3):
        paint(root, "drive3_1", value, 255)
    lists = read_fold_lists(root)
    lacking = [n for n, parts in enumerate(lists.names) if not any(i.startswith("drive0") for i in parts["train"])]
    recipe, said = pixel_recipe(root, training={"epochs": 1, "learning_rate": 0.1}), []
    result = cross_validate(recipe, tmp_path / "cross", note=said.append)
    assert [fold for fold in range(3) if result.untrained[fold]] == lacking != []
    assert f"fold {lacking[0]}: no label of its training part has a pixel of car: it learns none of it" in said
    content = json.loads((tmp_path / "cross" / "cross_validation.json").read_text())
    assert content["by_fold"][lacking[0]]["untrained_classes"] == ["car"]
    assert content["iou"]["car"]["mean"] is not None  # its pixels are tested all the same
    tested = next(fold for fold, parts in enumerate(lists.names) if "drive0_0" in parts["test"])
    others = json.loads((tmp_path / "cross" / "seed0" / f"fold{(tested + 1) % 3}" / "test.json").read_text())
    assert np.array(others["confusion"])[2].sum() == 0


def test_a_class_that_no_label_has_is_refused_or_left_out(tmp_path: Path, pixel: None) -> None:
    root = make_folder(tmp_path / "data", names=NAMES)
    (root / "classes.yaml").write_text("classes: [background, person, car, bus]\n")
    divide_into_folds(root, 3).write()
    recipe = pixel_recipe(root, training={"epochs": 1})
    with pytest.raises(DataError, match=r"no label has a pixel of bus; .*--allow-absent"):
        cross_validate(recipe, tmp_path / "cross")
    said: list[str] = []
    allowed = cross_validate(recipe.with_fields("data", allow_absent=True), tmp_path / "cross", note=said.append)
    assert not [line for line in said if "bus" in line and "no label has a pixel of bus" not in line]
    assert allowed.untrained == (("bus",),) * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0/val.txt", "drive0_0", "drive0_0"), r"folds/0: drive0_0 in two parts; keep each pair in one"),
        (("1/test.txt", "", "OTHER"), r"in the test part of two folds; test each pair once"),
        (("2/test.txt", "", "drive9_0"), r"in the test part of no fold; test each pair once"),
    ],
)
def test_lists_that_do_not_fit_together(root: Path, change: tuple[str, str, str], message: str) -> None:
    lists = read_fold_lists(root)
    path = root / "folds" / change[0]
    if change[2] == "OTHER":
        text = path.read_text() + lists.names[0]["test"][0] + "\n"
        for part in ("train", "val"):
            other = root / "folds" / "1" / f"{part}.txt"
            other.write_text(other.read_text().replace(lists.names[0]["test"][0] + "\n", ""))
    else:
        text = change[2] + "\n"
    path.write_text(text)
    if change[0] == "0/val.txt":
        (root / "folds/0/train.txt").write_text("drive0_0\n")
    with pytest.raises(DataError, match=message):
        read_fold_lists(root)


def test_groups_that_are_divided(root: Path) -> None:
    names = read_fold_lists(root).names[0]
    moved = names["test"][0]
    (root / "folds/0/test.txt").write_text("".join(f"{name}\n" for name in names["test"][1:]))
    (root / "folds/0/train.txt").write_text("".join(f"{name}\n" for name in [*names["train"], moved]))
    other = root / "folds/1/test.txt"
    other.write_text(other.read_text() + moved + "\n")
    for part in ("train", "val"):
        path = root / "folds/1" / f"{part}.txt"
        path.write_text(path.read_text().replace(f"{moved}\n", ""))
    with pytest.raises(DataError, match=rf"folds/0: {moved} of group {moved[:-2]} is in train or val, and others"):
        read_fold_lists(root)
    (root / "folds/split.json").unlink()
    lists = read_fold_lists(root)  # nothing says what belongs together
    assert lists.groups[moved] == moved
    (root / "folds/split.json").write_text("{")
    with pytest.raises(DataError, match=r"split\.json: cannot be read; restore it, or remove it"):
        read_fold_lists(root)


def test_one_row_in_the_list_of_runs(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    result = cross_validate(recipe, out / "cross", seeds=[0, 1])
    cross_validation.train(recipe, out / "single")
    found = find_runs([out])
    assert [run.folder.name for run in found] == ["cross", "single"]
    assert found[0].status == "finished"
    assert found[0].test == pytest.approx(mean(score.miou for score in result.by_seed().values()))
    header, rows = table(found)
    row = dict(zip(header, rows[0], strict=True))
    assert (row["seed"], row["epochs"], row["mIoU on val"]) == ("0, 1", "6/6 folds", "")
    assert "±" in row["mIoU on test"]
    folds = result.to_dict()["miou_over_folds"]
    assert row["mean of folds"] == f"{100 * folds['mean']:.1f} ± {100 * folds['standard_deviation']:.1f}"
    assert dict(zip(header, rows[1], strict=True))["mean of folds"] == ""
    assert len(table(found, group=True)[1]) == 2
    content = found[0].to_dict()
    assert (content["folds_done"], content["folds_planned"], content["epochs_planned"]) == (6, 6, 6)
    assert content["test_over_folds"] == folds
    assert content["test_over_seeds"]["mean"] == pytest.approx(content["test"])
    assert len(find_runs([out / "cross" / "seed0"])) == 3  # looked into, its runs are runs
    (out / "cross" / "cross_validation.json").write_text("{}")
    with pytest.raises(CimnetError, match=r"cross_validation\.json: cannot be read"):
        find_runs([out])


def test_the_command(root: Path, tmp_path: Path, pixel: None, cli: Callable[..., Result]) -> None:
    model = {"name": "pixel_mi", "widths": None, "decoder_channels": None}
    recipe = write_recipe(tmp_path / "r.yaml", root, model=model, training={"epochs": 1}, data={"root": "elsewhere"})
    arguments = ("cross-validate", recipe, "--data", root, "--set", "training.ema_decay=0")
    done = cli(*arguments, "--out", tmp_path / "a", "--seeds", "0,1")
    assert done.code == 0, done.err
    assert "12 images in 6 groups" in done.out
    assert str(tmp_path / "a" / "cross_validation.json") in done.out.replace("\n", "")
    assert cli(*arguments, "--out", tmp_path / "b", "--set", "training.learning_rate=0.3").code == 0
    compared = cli("runs", tmp_path / "a", tmp_path / "b", "--compare", "--json", tmp_path / "c.json")
    assert compared.code == 0, compared.err
    assert "of 6 (worse:" in compared.out
    content = json.loads((tmp_path / "c.json").read_text())
    assert content[0]["low"] <= content[0]["difference"] <= content[0]["high"]
    assert cli("cross-validate", recipe, "--data", root, "--seeds", "x").code == 2


def test_cross_validations_on_other_data_are_no_seeds(recipe: Recipe, root: Path, tmp_path: Path) -> None:
    cross_validate(recipe, tmp_path / "runs" / "0", seeds=[0])
    cross_validation.train(recipe, tmp_path / "runs" / "single")
    found = find_runs([tmp_path / "runs"])
    assert "data.root" not in table(found)[0]  # one is recorded otherwise than the other
    overwritten = next((root / "labels").iterdir())
    with Image.open(overwritten) as image:
        turned = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    for seed in (1, 2):
        turned.save(overwritten)
        cross_validate(recipe, tmp_path / "runs" / str(seed), seeds=[seed])
    header, rows = table(find_runs([tmp_path / "runs"]), group=True)
    assert [row[header.index("seeds")] for row in rows] == ["0", "1, 2", "0"]
    assert len({row[header.index("data.root")] for row in rows}) == 3
