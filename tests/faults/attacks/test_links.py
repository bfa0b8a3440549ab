"""Links that lead in a circle: each command reads a folder with them as it reads one without."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cimnet.data.io.patterns import folders_below
from cimnet.inference.jobs import match_pairs
from tests.conftest import Result, Trained
from tests.fakes.layouts import make_folder, write_list

Command = Callable[[Path, Path, Path], list[object]]
COMMANDS: dict[str, Command] = {
    "data check": lambda model, data, out: ["data", "check", data, "--json", out / "check.json"],
    "data stats": lambda model, data, out: ["data", "stats", data, "--out", out / "stats"],
    "data convert": lambda model, data, out: ["data", "convert", data, out / "converted", "--to", "colors"],
    "data split": lambda model, data, out: ["data", "split", data, "--out", out / "lists"],
    "data align": lambda model, data, out: ["data", "align", data, out / "aligned", "--points", data / "points.csv"],
    "predict": lambda model, data, out: [
        "predict", model, "--rgb", data / "rgb", "--thermal", data / "thermal", "--out", out / "masks",
    ],
    "predict one folder": lambda model, data, out: [
        "predict", model, "--rgb", data / "pairs", "--thermal", data / "pairs", "--out", out / "masks",
    ],
    "eval": lambda model, data, out: ["eval", model, data, "--split", "all", "--json", out / "scores.json"],
    "robustness": lambda model, data, out: [
        "robustness", model, data, "--split", "all", "--corruption", "fog=1", "--out", out / "robustness",
    ],
    "calibrate": lambda model, data, out: [
        "calibrate", model, data, "--split", "fit", "--test-split", "score", "--out", out / "new.safetensors",
    ],
    "video": lambda model, data, out: [
        "video", model, "--rgb", data / "rgb", "--thermal", data / "thermal", "--fps", 2, "--thermal-fps", 2,
        "--view", "none", "--out", out / "video",
    ],
    "runs": lambda model, data, out: ["runs", data / "runs", "--json", out / "runs.json"],
}  # fmt: skip


def _data(folder: Path, trained: Trained) -> Path:
    root = make_folder(folder, 10, seed=1)  # not the pairs of the training
    write_list(root / "fit.txt", [f"{k:03d}" for k in range(8)])
    write_list(root / "score.txt", ["008", "009"])
    (root / "points.csv").write_text("0,0,1,1\n9,0,10,1\n0,9,1,10\n9,9,10,10\n")
    (root / "runs").mkdir()
    shutil.copytree(trained.folder, root / "runs" / "mine")
    (root / "pairs").mkdir()
    for path in (root / "rgb").glob("*.png"):
        shutil.copy(path, root / "pairs" / f"{path.stem}_V.png")
        shutil.copy(root / "thermal" / path.name, root / "pairs" / f"{path.stem}_T.png")
    return root


def _loop(folder: Path) -> None:
    """A link to the folder itself, one above it, two that lead to each other, one that leads to itself."""
    (folder / "itself").symlink_to(".")
    (folder / "above").symlink_to("..")
    (folder / "there").symlink_to("back")
    (folder / "back").symlink_to("there")
    (folder / "own").symlink_to("own")


def _written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


SLOW = ("calibrate", "data stats")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in COMMANDS])
def test_links_in_a_circle_change_nothing(
    name: str, tmp_path: Path, cli: Callable[..., Result], trained: Trained
) -> None:
    said = []
    for kind in ("plain", "loops"):
        base = tmp_path / kind
        root, out = _data(base / "data", trained), base / "out"
        out.mkdir()
        if kind == "loops":
            for folder in [root, *filter(Path.is_dir, sorted(root.iterdir()))]:
                _loop(folder)
        result = cli(*COMMANDS[name](trained.folder, root, out))
        text = re.sub(r"\d+([.,]\d+)? (s|ms)\b", "", result.out + result.err)
        text = re.sub(r"\s+", "", text).replace(str(base), "BASE")  # long paths are broken over lines
        said.append((result.code, text, _written(out)))
    assert said[0] == said[1]
    assert said[0][0] == 0, said[0]
    assert said[0][2] or name == "data check"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("data check", "predict", "runs")])
def test_an_image_that_is_a_link_to_itself_is_named(
    name: str, tmp_path: Path, cli: Callable[..., Result], trained: Trained
) -> None:
    root = _data(tmp_path / "data", trained)
    place = root / ("pairs" if "one folder" in name else "rgb")
    (tmp_path / "out").mkdir()
    for image in place.glob("*.png"):
        image.unlink()
        image.symlink_to(image.name)
    result = cli(*COMMANDS[name](trained.folder, root, tmp_path / "out"))
    assert result.code in (1, 2)
    assert "Traceback" not in result.out + result.err
    if result.err:
        assert re.fullmatch(r"cimnet: .*\.png.*(Too many levels|no such|cannot be read).*\n", result.err), result.err


def test_a_folder_is_entered_once_and_links_to_other_disks_are_followed(tmp_path: Path) -> None:
    """Before, what lay in a linked folder was read, what lay in folders inside that one was not."""
    for folder in ("rgb", "thermal"):
        other = tmp_path / "disk" / folder / "day" / "first"
        make_folder(tmp_path / f"made_{folder}", 2)
        shutil.copytree(tmp_path / f"made_{folder}" / folder, other)
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "day").symlink_to(other.parent)
        (tmp_path / folder / "again").symlink_to(other.parent)
        (tmp_path / folder / ".hidden").symlink_to(other.parent)
        _loop(tmp_path / folder)
        _loop(other)
    found = match_pairs(tmp_path / "rgb", tmp_path / "thermal").pairs
    assert [pair[0] for pair in found] == ["again/first/000", "again/first/001"]
    assert [str(path.relative_to(tmp_path / "rgb")) for path in folders_below(tmp_path / "rgb")] == [
        ".",
        "again",
        "again/first",
    ]
    assert os.path.realpath(found[0][1] or "").startswith(str(tmp_path / "disk"))
