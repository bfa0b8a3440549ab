"""The command line: what each verb does, prints and leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cimnet
from cimnet.cli.main import message_of
from cimnet.data.io.split_lists import read_names
from cimnet.errors import DataError
from cimnet.evaluation import evaluate
from tests.conftest import Result, Trained, write_recipe
from tests.fakes.layouts import CLASSES, make_folder, make_kust4k, make_mfnet

Cli = Callable[..., Result]
SCRIPT = Path(sys.executable).with_name("cimnet")
COMMAND = [str(SCRIPT)] if SCRIPT.is_file() else [sys.executable, "-m", "cimnet.cli"]


def _process(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def test_the_installed_command() -> None:
    done = _process("--version")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"cimnet {cimnet.__version__}", "")


def test_a_pair_through_the_installed_command(trained: Trained, tmp_path: Path) -> None:
    """Nothing but the result on stdout, nothing at all on stderr, and a path is never broken over lines."""
    rgb, thermal = trained.root / "rgb" / "010.png", trained.root / "thermal" / "010.png"
    out = tmp_path / ("a-long-name-" * 8)
    done = _process("predict", trained.folder, "--rgb", rgb, "--thermal", thermal, "--out", out, "--device", "cpu")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"1 mask in {out / 'masks'}, overlays in {out / 'overlays'}" in done.stdout
    with Image.open(out / "masks" / "010.png") as mask:
        expected = cimnet.load(trained.folder, "cpu").predict(rgb, thermal)
        np.testing.assert_array_equal(np.asarray(mask), expected)


def test_an_error_is_one_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("train", "none.yaml")
    assert done.code == 2
    assert done.err == (
        "cimnet: recipe none.yaml: cannot be read (FileNotFoundError); give the path of a YAML file or one of the "
        "names demo, kust4k_resnet101, mfnet_mit_b4, mm5, msrs_real, own, robust_mm5, robust_scenes, scenes, "
        "small_mm5, small_scenes, starter, unseen_defects\n"
    )
    assert list(tmp_path.iterdir()) == []


VERBS = [
    "",
    "train",
    "eval",
    "predict",
    "demo",
    "models",
    "import",
    "data",
    "data synth",
    "data split",
    "cross-validate",
    "info",
    "reproduce",
    "explain",
]


@pytest.mark.parametrize("verb", VERBS)
def test_help(cli: Cli, verb: str) -> None:
    result = cli(*verb.split(), "--help")
    assert (result.code, result.err) == (0, "")
    assert f"cimnet {verb}".strip() in " ".join(result.out.split())


def test_help_names_the_options_and_starts_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['cimnet', 'eval', '--help']; from cimnet.cli.main import main\ntry: main()\nfinally: "
    )
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip().endswith("False")
    for option in ("--split", "--absent", "--json", "--markdown", "--figure", "--layout"):
        assert option in done.stdout


def test_a_command_line_that_makes_no_sense(cli: Cli) -> None:
    assert cli("trian").code == 2
    assert cli("eval").code == 2
    assert cli("predict", "x.safetensors", "--rgb", "a").code == 2


def test_list_models(cli: Cli) -> None:
    names = cli("list-models").out.split()
    assert {"cimnet_resnet101", "cimnet_mit_b4", "cimnet_resnet18", "cimnet_efficientnet_lite0"} <= set(names)
    chosen = cli("list-models", "*_only_mit_b0").out.split()
    assert chosen == ["rgb_only_mit_b0", "thermal_only_mit_b0"]


def test_models(cli: Cli) -> None:
    shown = cli("models")
    assert "cmx_mit_b4" in shown.out
    assert "FAMILY_ENCODER" in shown.out
    found = json.loads(cli("models", "cmx_*", "--json").out)
    assert [entry["name"] for entry in found] == ["cmx_mit_b2", "cmx_mit_b4", "cmx_mit_b5"]
    assert found[0]["scores"]["mfnet"]["miou"] == 58.2
    refused = cli("models", "nothing*")
    assert refused.code == 2
    assert "no model matches 'nothing*'" in refused.err


def test_train_with_overrides(cli: Cli, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = make_folder(tmp_path / "data", 12)
    recipe = write_recipe(
        tmp_path / "mine.yaml", root, model={"name": "pixel_mi", "widths": None, "decoder_channels": None}
    )
    result = cli("train", recipe, "--set", "training.epochs=2", "--set", "training.seed=7")
    assert (result.code, result.err) == (0, "")
    folder = tmp_path / "runs" / "mine"  # named after the recipe
    assert f"best model: {Path('runs') / 'mine' / 'best.safetensors'}" in result.out
    assert result.out.count("val mIoU") == 2
    assert "L_mi" in result.out
    assert "λ" in result.out
    assert len((folder / "log.jsonl").read_text().splitlines()) == 2
    assert json.loads((folder / "environment.json").read_text())["seed"] == 7

    assert cli("train", recipe, "--out", folder, "--resume").code == 2  # another seed
    more = cli("train", folder / "recipe.yaml", "--set", "training.epochs=3", "--out", folder, "--resume")
    assert (more.code, more.err) == (0, "")
    assert more.out.count("val mIoU") == 1
    assert len((folder / "log.jsonl").read_text().splitlines()) == 3


def test_eval_writes_what_it_shows(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    files = {name: tmp_path / "new" / f"scores.{name}" for name in ("json", "md", "png")}
    result = cli(
        "eval", trained.best, trained.root, "--device", "cpu",
        "--json", files["json"], "--markdown", files["md"], "--figure", files["png"],
    )  # fmt: skip
    assert (result.code, result.err) == (0, "")
    content = json.loads(files["json"].read_text())
    predictor = cimnet.load(trained.folder, "cpu")
    expected = evaluate(predictor.model.predict, predictor.open_dataset(trained.root, "test"))
    assert content == expected.to_dict()
    assert list(content["iou"]) == list(CLASSES)
    assert content["images"] == 3
    assert content["absent"] == "ignore"
    assert content["groups"] == {}
    assert 0 <= content["miou"] <= 1
    assert files["md"].read_text() == expected.to_markdown()
    assert f"{100 * content['miou']:.1f}" in result.out
    assert all(name in result.out for name in CLASSES)
    with Image.open(files["png"]) as picture:
        assert picture.format == "PNG"


def test_eval_of_another_split_in_the_other_convention(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "s.json"
    result = cli("eval", trained.folder, trained.root, "--split", "train", "--absent", "zero", "--json", out)
    assert result.code == 0
    content = json.loads(out.read_text())
    assert content["images"] == 6
    assert content["absent"] == "zero"
    assert None not in content["iou"].values()


@pytest.mark.parametrize("command", ["eval", "boxes", "robustness"])
def test_scores_of_pairs_of_the_training_are_called_that(
    cli: Cli, trained: Trained, tmp_path: Path, command: str
) -> None:
    """A model is better on them than on new ones: of a fold's model, that is nearly every pair of the data set."""
    known, new = (read_names(trained.root / f"{split}.txt") for split in ("train", "test"))
    given: tuple[object, ...] = ()
    if command == "boxes":
        given = ("--boxes", tmp_path / "boxes.csv")
        (tmp_path / "boxes.csv").write_text(f"image,class,x0,y0,x1,y1\n{new[0]},{CLASSES[1]},2,2,10,10\n")
    if command == "robustness":
        given = ("--out", tmp_path / "out", "--corruption", "fog")
    name = "robustness" if command == "robustness" else "eval"
    mixed = tmp_path / "mixed.txt"
    mixed.write_text("\n".join([known[0], *new]))
    for split, said in ((mixed.with_suffix(""), f"1 of its {1 + len(new)} pairs ({known[0]};"), ("test", None)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        result = cli(name, trained.best, trained.root, "--split", split, *given, "--device", "cpu")
        assert result.code == 0, result.err
        assert ("trained on" in result.out) == (said is not None)
        assert said is None or f"warning: --split {split}: the model was trained on {said}" in result.out


def test_eval_by_scene_and_flag(cli: Cli, tmp_path: Path, pixel: None) -> None:
    root = make_kust4k(tmp_path / "kust4k")
    recipe = write_recipe(
        tmp_path / "r.yaml", root, model={"name": "pixel_mi", "widths": None, "decoder_channels": None}
    )
    assert cli("train", recipe, "--out", tmp_path / "run", "--set", "training.epochs=1").code == 0
    result = cli("eval", tmp_path / "run", root, "--split", "train", "--json", tmp_path / "s.json")
    assert result.code == 0
    groups = json.loads((tmp_path / "s.json").read_text())["groups"]
    assert {name: group["images"] for name, group in groups.items()} == {
        "day": 2,
        "night": 1,
        "dark_night": 1,
        "rgb_broken": 1,
        "thermal_broken": 2,
        "weakly_aligned": 1,
    }
    assert "dark_night" in result.out


def test_predict_two_folders_and_report_the_unmatched(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", 4, ext="jpg")
    for name in ("000", "001"):
        with Image.open(root / "thermal" / f"{name}.jpg") as image:
            image.save(root / "thermal" / f"{name}.tiff")
        (root / "thermal" / f"{name}.jpg").unlink()
    (root / "rgb" / "002.jpg").rename(root / "rgb" / "[red]two.jpg")
    out = tmp_path / "out"
    result = cli("predict", trained.best, "--rgb", root / "rgb", "--thermal", root / "thermal", "--out", out)
    assert (result.code, result.err) == (0, "")
    for kind in ("masks", "overlays"):
        assert sorted(path.name for path in (out / kind).iterdir()) == ["000.png", "001.png", "003.png"]
    assert "3 masks in" in result.out
    assert "2 files without a partner: [red]two.jpg, 002.jpg" in result.out
    with Image.open(out / "masks" / "001.png") as mask:
        expected = cimnet.load(trained.best).predict(root / "rgb" / "001.jpg", root / "thermal" / "001.tiff")
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.asarray(mask), expected)


def test_files_without_a_partner_are_named_before_the_run(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    """Also if no pair can be read: the names may tell why."""
    root = make_folder(tmp_path / "data", 3)
    (root / "thermal" / "002.png").unlink()
    for name in ("000", "001"):
        (root / "thermal" / f"{name}.png").write_bytes(b"")
    result = cli(
        "predict", trained.best, "--rgb", root / "rgb", "--thermal", root / "thermal", "--out", tmp_path / "out"
    )
    assert result.code == 2
    assert "none of 2 pairs can be read" in result.err
    assert "1 file without a partner: 002.png" in result.out


def test_predict_four_channel_files_by_the_same_path_twice(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    images = make_mfnet(tmp_path / "mfnet", 3) / "images"
    result = cli("predict", trained.best, "--rgb", images, "--thermal", images, "--out", tmp_path / "folders")
    assert result.code == 0
    assert len(list((tmp_path / "folders" / "masks").iterdir())) == 3
    one = images / "00001N.png"
    assert cli("predict", trained.best, "--rgb", one, "--thermal", one, "--out", tmp_path / "file").code == 0
    first, second = (np.asarray(Image.open(tmp_path / kind / "masks" / "00001N.png")) for kind in ("folders", "file"))
    np.testing.assert_array_equal(first, second)


def test_data_synth(cli: Cli, tmp_path: Path) -> None:
    counts = ["--train", 2, "--val", 1, "--test", 1, "--height", 64, "--width", 96, "--scale", 0.3, "--seed", 5]
    first, second = cli("data", "synth", tmp_path / "a", *counts), cli("data", "synth", tmp_path / "b", *counts)
    assert (first.code, first.err) == (0, "")
    assert f"4 pairs in {tmp_path / 'a'}" in first.out
    assert second.code == 0
    sizes = {split: len(cimnet.open_dataset(tmp_path / "a", split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 2, "val": 1, "test": 1}
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert len(names) == 12
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_one_line_of_an_error_from_a_dataloader_worker() -> None:
    text = (
        "Caught DataError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "x.py", line 1, in f\ncimnet.errors.DataError: a: b.png: broken: restore it\n'
    )
    assert message_of(DataError(text)) == "a: b.png: broken: restore it"
    assert message_of(DataError("two\n lines")) == "two lines"


def test_info_says_how_many_parameters_are_trained(cli: Cli) -> None:
    arguments = ("info", "thermal_only_test_vit", "--size", "32x32", "--json")
    whole, frozen = (json.loads(cli(*arguments, *more).out) for more in ((), ("--freeze", "--adapter", "lora")))
    assert whole["trained_parameters"] == whole["parameters"]
    assert 0 < frozen["trained_parameters"] < frozen["parameters"]
    assert "training changes" in cli("info", "thermal_only_test_vit", "--size", "32x32").out
    refused = cli("info", "thermal_only_test_vit", "--adapter", "lora")
    assert refused.code == 2
    assert "--freeze" in refused.err
