"""What bad input gets: exit code 2, one line on stderr that names file and field, nothing half-written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cimnet.cli.run_demo import clear
from cimnet.data import RGBTDataset
from cimnet.errors import CimnetError
from cimnet.training import loop
from cimnet.training.recipe import Recipe
from tests.conftest import Result, Trained, write_recipe
from tests.fakes.layouts import make_folder, make_kust4k, make_mfnet
from tests.faults.bench import Bench, try_fault
from tests.faults.table import FAULTS

Refuse = Callable[..., str]
PIXEL = {"name": "pixel_mi", "widths": None, "decoder_channels": None}


def _listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with size and time of the last change."""
    found = {}
    for path in folder.rglob("*"):
        state = path.stat()
        found[str(path)] = (state.st_size if path.is_file() else 0, state.st_mtime_ns)
    return found


@pytest.fixture
def refuse(cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Run a command that must be refused in one line and leave the folder as it was; returns the line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, naming: tuple[object, ...]) -> str:
        before = _listing(tmp_path)
        result = cli(*arguments)
        assert result.code == 2, result
        assert _listing(tmp_path) == before
        assert result.err.startswith("cimnet: ")
        assert result.err.count("\n") == 1
        assert "Traceback" not in result.err
        assert "━" not in result.out
        for word in naming:
            assert str(word) in result.err
        return result.err

    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", 8)


@pytest.fixture
def recipe(tmp_path: Path, root: Path, pixel: None) -> Path:
    """A sound recipe, so that only what a test breaks is at fault."""
    return write_recipe(tmp_path / "recipe.yaml", root, model=PIXEL, training={"epochs": 1})


def _missing_partner(root: Path) -> tuple[str, ...]:
    (root / "thermal" / "002.png").unlink()
    return "thermal", "no image for 002"


def _different_sizes(root: Path) -> tuple[str, ...]:
    Image.fromarray(np.zeros((30, 40), dtype=np.uint8)).save(root / "thermal" / "003.png")
    return "thermal/003.png is 40x30", "rgb/003.png is 40x32"


def _id_outside_the_classes(root: Path) -> tuple[str, ...]:
    label = np.zeros((32, 40), dtype=np.uint8)
    label[:2, :5] = 7
    Image.fromarray(label).save(root / "labels" / "001.png")
    return "labels/001.png", "id 7 (10 pixels)", "3 classes"


def _truncated_rgb(root: Path) -> tuple[str, ...]:
    return _truncate(root / "rgb" / "000.png")


def _another_depth_in_val(root: Path) -> tuple[str, ...]:
    Image.fromarray(np.full((32, 40), 20000, dtype=np.uint16)).save(root / "thermal" / "005.png")
    return "thermal/005.png", "uint16 where uint8 is expected"


def _truncate(path: Path) -> tuple[str, ...]:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "/".join(path.parts[-2:]), "cannot be read"


def _no_split(root: Path) -> tuple[str, ...]:
    (root / "train.txt").unlink()
    return str(root), "no list train.txt"


@pytest.mark.parametrize(
    "damage",
    [_missing_partner, _different_sizes, _id_outside_the_classes, _truncated_rgb, _another_depth_in_val, _no_split],
)
def test_data_that_cannot_be_trained_on(
    refuse: Refuse, recipe: Path, root: Path, damage: Callable[[Path], tuple[str, ...]]
) -> None:
    naming = damage(root)
    refuse("train", recipe, "--out", "run", naming=naming)


@pytest.mark.parametrize(
    ("override", "naming"),
    [
        ("model.name=cimnet_resnet1O1", ("'resnet1O1' is unknown", "did you mean resnet101")),
        ("training.batch_size=5", ("training.batch_size is 5", "'train'", "only 4 pairs")),
        ("data.classes=[a, b]", ("data", "background, person, car", "(a, b)")),
        ("augmentation.rare_classes=[cat]", ("recipe.yaml", "rare_classes has no effect without rare_class_prob")),
        ("augmentation.thermal_jitter=[0, -1, 0]", ("recipe.yaml", "'augmentation.thermal_jitter.1'")),
        ("data.broken=drop", ("broken='drop'", "broke_RGB.txt")),
    ],
)
def test_settings_that_cannot_be(refuse: Refuse, recipe: Path, override: str, naming: tuple[str, ...]) -> None:
    refuse("train", recipe, "--out", "run", "--set", override, naming=naming)


def test_a_run_folder_that_cannot_be_used(refuse: Refuse, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refuse("train", recipe, "--out", "file", naming=("file", "is a file, not a folder"))
    refuse("train", recipe, "--out", "file/below/run", naming=("file/below/run", "cannot be written"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    refuse("train", recipe, "--out", "full", naming=("full", "exists and is not empty"))
    refuse("train", recipe, "--out", "full", "--resume", naming=("full", "nothing to resume"))


def test_a_bad_image_in_a_dataloader_worker(
    cli: Callable[..., Result], recipe: Path, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that goes bad after all were read: torch passes the error on with a traceback in front, the command line
    prints the message alone."""
    build = loop.build_model

    def damage(recipe: Recipe, train_set: RGBTDataset, **options: Any) -> Any:
        built = build(recipe, train_set, **options)
        for pair in train_set.pairs:
            _truncate(pair.rgb)
        return built

    monkeypatch.setattr(loop, "build_model", damage)
    result = cli("train", recipe, "--out", tmp_path / "run", "--set", "data.workers=1")
    assert result.code == 2
    assert result.err.startswith(f"cimnet: {root}/rgb/00")
    assert "cannot be read" in result.err
    assert result.err.count("\n") == 1
    assert "worker process" not in result.err


def test_a_loss_that_is_not_finite(
    cli: Callable[..., Result], recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build = loop.build_loss

    def broken(recipe: Recipe, counts: Any) -> Any:
        loss = build(recipe, counts)
        loss.class_weights = torch.full((3,), float("nan"))
        return loss

    monkeypatch.setattr(loop, "build_loss", broken)
    result = cli("train", recipe, "--out", tmp_path / "run")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "no longer finite at step 0 (pairs 00" in result.err
    assert not (tmp_path / "run" / "best.safetensors").exists()


FAULTS_AT_THE_COMMAND_LINE = (
    "folder in the place of a recipe",
    "recipe that is a list",
    "--set training.epochs=.nan",
    "checkpoint: file of another program",
    "no two images share a name",
    "out with a name of 300 letters",
)


@pytest.mark.parametrize("name", FAULTS_AT_THE_COMMAND_LINE)
def test_faults_of_the_table(cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One of each group of tests/faults through the real entry point: the error that is raised there is one line on
    stderr and exit code 2 here."""
    fault = next(fault for fault in FAULTS if fault.name == name)
    seen: list[Result] = []

    def command(bench: Bench, *arguments: object) -> str:
        seen.append(cli(*arguments))
        raise CimnetError(seen[-1].err.removeprefix("cimnet: ").removesuffix("\n"))

    monkeypatch.setattr(Bench, "command", command)
    outcome = try_fault(fault)
    (result,) = seen
    assert result.code == 2
    assert result.err.startswith("cimnet: ")
    assert result.err.count("\n") == 1
    assert re.search(fault.says, outcome.text), outcome.text
    assert outcome.left == []


# ---- evaluation


def test_a_checkpoint_of_other_classes(refuse: Refuse, trained: Trained, tmp_path: Path) -> None:
    for folder, words in ((make_kust4k(tmp_path / "kust4k"), "motorcycle"), (make_mfnet(tmp_path / "mfnet"), "bike")):
        refuse("eval", trained.best, folder, naming=(folder, words, "not those asked for", "background, person, car"))
    renamed = make_folder(tmp_path / "renamed")
    (renamed / "classes.yaml").write_text("classes: [background, car, person]\n")
    refuse("eval", trained.best, renamed, "--json", "s.json", naming=(renamed, "background, car, person"))


def test_a_nine_class_checkpoint_on_three_classes(
    refuse: Refuse, cli: Callable[..., Result], pixel: None, tmp_path: Path
) -> None:
    nine = write_recipe(tmp_path / "nine.yaml", make_kust4k(tmp_path / "kust4k"), model=PIXEL, training={"epochs": 1})
    assert cli("train", nine, "--out", tmp_path / "run").code == 0
    three = make_folder(tmp_path / "three")
    refuse("eval", tmp_path / "run", three, naming=(three, "(background, person, car)", "unlabelled, road"))


@pytest.mark.parametrize(
    ("damage", "naming"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), ("damaged",)),
        (lambda path: path.unlink(), ("no such file",)),
    ],
    ids=["cut", "gone"],
)
def test_checkpoints_that_cannot_be_read(
    refuse: Refuse,
    trained: Trained,
    tmp_path: Path,
    damage: Callable[[Path], object],
    naming: tuple[str, ...],
) -> None:
    path = tmp_path / "model.safetensors"
    shutil.copy(trained.best, path)
    damage(path)
    refuse("eval", path, trained.root, naming=(path, *naming))
    rgb = trained.root / "rgb" / "000.png"
    refuse("predict", path, "--rgb", rgb, "--thermal", rgb, "--out", "out", naming=(path, *naming))


def test_evaluation_that_cannot_be(refuse: Refuse, trained: Trained, root: Path, tmp_path: Path) -> None:
    best = trained.best
    refuse("eval", best, "nowhere", naming=("nowhere", "no such folder"))
    refuse("eval", best, root, "--split", "tset", naming=(root, "no list tset.txt", "test"))
    refuse("eval", best, root, "--layout", "voc", naming=("voc", "folder, mfnet, kust4k"))
    refuse("eval", best, root, "--device", "banana", naming=("device 'banana'",))
    refuse("eval", best, root, "--figure", "matrix.docx", naming=("matrix.docx", ".png"))
    (tmp_path / "file").touch()
    refuse("eval", best, root, "--json", "file/scores.json", naming=("file: cannot be written",))
    refuse("eval", best, root, "--json", "s.json", "--markdown", tmp_path, naming=(tmp_path, "is a folder"))
    refuse("eval", best, root, "--json", "s.json", "--figure", "file/m.png", naming=("file", "cannot be written"))
    (root / "labels" / "006.png").unlink()
    refuse("eval", best, root, naming=("labels", "no image for 006"))


def test_thermal_images_of_another_depth(refuse: Refuse, trained: Trained, tmp_path: Path) -> None:
    """Trained on 8 bit; 16-bit counts have another unit and would all look alike to the model."""
    deep = make_folder(tmp_path / "deep", 8, bit_depth=16)
    naming = ("thermal/00", "uint16 where uint8 is expected")
    refuse("eval", trained.best, deep, naming=naming)
    refuse(*_predict(deep, trained.best), naming=naming)


# ---- prediction


def _predict(root: Path, best: Path, out: object = "out") -> tuple[object, ...]:
    return "predict", best, "--rgb", root / "rgb", "--thermal", root / "thermal", "--out", out


def test_prediction_that_cannot_be(refuse: Refuse, trained: Trained, root: Path, tmp_path: Path) -> None:
    best = trained.best
    (tmp_path / "file").touch()
    refuse(*_predict(root, best, "file/out"), naming=("file/out", "cannot be written"))
    refuse(*_predict(tmp_path / "gone", best), naming=("--rgb", "gone", "no such file or folder"))
    (tmp_path / "rgb").mkdir()
    shutil.copytree(root / "thermal", tmp_path / "thermal")
    refuse(*_predict(tmp_path, best), naming=("--rgb", "no images in it"))
    one = root / "rgb" / "000.png"
    refuse(
        "predict",
        best,
        "--rgb",
        one,
        "--thermal",
        root / "thermal",
        "--out",
        "out",
        naming=("two files or two folders",),
    )
    refuse("predict", best, "--rgb", one, "--thermal", one, "--out", "out", naming=("rgb/000.png", "fourth channel"))
    refuse(
        "predict", best, "--rgb", one, "--thermal", root / "rgb" / "001.png", "--out", "out", naming=("rgb/001.png",)
    )


@pytest.mark.parametrize("damage", [_different_sizes, _truncated_rgb])
def test_images_that_cannot_be_predicted_are_listed(
    cli: Callable[..., Result],
    trained: Trained,
    root: Path,
    tmp_path: Path,
    damage: Callable[[Path], tuple[str, ...]],
) -> None:
    naming = damage(root)
    result = cli(*_predict(root, trained.best, tmp_path / "out"))
    assert result.code == 1
    assert f"1 pair failed, listed in {tmp_path / 'out' / 'failed.csv'}" in result.out
    listed = (tmp_path / "out" / "failed.csv").read_text()
    assert all(word in listed for word in naming)
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 7


def test_files_that_are_there_are_not_replaced_unasked(
    refuse: Refuse, cli: Callable[..., Result], trained: Trained, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "labels", tmp_path / "out" / "masks")
    refuse(*_predict(root, trained.best), naming=("out/masks/000.png: exists", "--overwrite"))
    assert cli(*_predict(root, trained.best), "--overwrite").code == 0
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 8


# ---- the demo


def test_a_demo_replaces_only_a_demo(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "project" / "data").mkdir(parents=True)
    mine = tmp_path / "project" / "data" / "mine.txt"
    mine.write_text("years of work")
    refuse("demo", "--out", "project", naming=("project", "exists and is not empty", "no demo made it"))
    refuse("demo", "--out", "project/data/mine.txt/x", naming=("mine.txt/x", "cannot be written"))
    assert mine.read_text() == "years of work"
    clear(tmp_path / "demo")
    (tmp_path / "demo" / "run").mkdir()
    (tmp_path / "demo" / "notes.txt").touch()
    clear(tmp_path / "demo")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [".cimnet-demo", "notes.txt"]


# ---- synthetic data


def test_scenes_that_cannot_be_written(refuse: Refuse, root: Path, tmp_path: Path) -> None:
    small = ("--train", 1, "--val", 0, "--test", 0, "--height", 64, "--width", 64)
    refuse("data", "synth", root, *small, naming=(root, "exists and is not empty"))
    (tmp_path / "file").touch()
    refuse("data", "synth", "file/out", *small, naming=("file/out", "cannot be written"))
    refuse("data", "synth", "out", "--train", 0, "--val", 0, "--test", 0, naming=("at least one pair",))
