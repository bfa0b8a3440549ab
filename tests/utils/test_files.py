"""What is read is not written, under whichever name it goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cimnet.data.contents import files_of
from cimnet.errors import ConfigError
from cimnet.utils.files import refuse_inputs_as_outputs
from tests import ROOT
from tests.conftest import Result, Trained
from tests.fakes.layouts import make_folder


@pytest.mark.parametrize("link", [None, os.link, os.symlink])
def test_an_input_under_another_name(link: Callable[..., None] | None, tmp_path: Path) -> None:
    source, out = tmp_path / "a.tif", tmp_path / "b.tif"
    source.write_text("a")
    if link is None:
        out = tmp_path / "x" / ".." / "a.tif"
        (tmp_path / "x").mkdir()
    else:
        link(source, out)
    with pytest.raises(ConfigError, match="is also an input"):
        refuse_inputs_as_outputs([tmp_path / "new.tif", out], [tmp_path / "none", source])


def test_other_files(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("same")
    refuse_inputs_as_outputs([tmp_path / "a", tmp_path / "new"], [tmp_path / "b", tmp_path / "gone", Path("x" * 5000)])


def test_two_outputs_of_one_name_are_refused_before_either_is_there(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(ConfigError, match=r"a\.json: is asked for as two outputs; give each a name of its own"):
        refuse_inputs_as_outputs([tmp_path / "a.json", tmp_path / "b", tmp_path / "x" / ".." / "a.json"], [])


@pytest.mark.parametrize(
    "options", [("--json", "--markdown"), ("--json", "--figure"), ("--boxes", "--json", "--markdown")]
)
def test_eval_writes_no_report_onto_another(
    cli: Callable[..., Result], trained: Trained, tmp_path: Path, options: tuple[str, ...]
) -> None:
    same, boxes = tmp_path / "same.png", tmp_path / "boxes.csv"
    boxes.write_text("image,class,x0,y0,x1,y1\nrgb/010.png,a,1,1,9,9\n")
    words = [word for name in options for word in (name, boxes if name == "--boxes" else same)]
    result = cli("eval", trained.folder, trained.root, "--split", "all", *words, "--device", "cpu")
    assert result.code == 2
    assert "is asked for as two outputs" in result.err
    assert not same.exists()


def test_eval_keeps_its_data_and_checkpoint(cli: Callable[..., Result], trained: Trained, tmp_path: Path) -> None:
    for path in (trained.best, trained.root / "rgb" / "010.png", trained.root / "classes.yaml"):
        before = path.read_bytes()
        out = tmp_path / f"{path.stem}.json"
        os.link(path, out)
        result = cli("eval", trained.folder, trained.root, "--split", "all", "--json", out, "--device", "cpu")
        assert result.code == 2
        assert "is also an input" in result.err
        assert path.read_bytes() == before


def test_predict_keeps_its_images(cli: Callable[..., Result], trained: Trained, tmp_path: Path) -> None:
    image = tmp_path / "out" / "masks" / "010.png"
    image.parent.mkdir(parents=True)
    image.write_bytes((trained.root / "rgb" / "010.png").read_bytes())
    before = image.read_bytes()
    thermal = trained.root / "thermal" / "010.png"
    options = ("--out", tmp_path / "out", "--overwrite", "--device", "cpu")
    result = cli("predict", trained.folder, "--rgb", image, "--thermal", thermal, *options)
    assert result.code == 2
    assert "is also an input" in result.err
    assert image.read_bytes() == before


def test_video_keeps_its_frames(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from cimnet.deploy.video.output import Outputs

    frames = tmp_path / "rgb"
    frames.mkdir()
    (tmp_path / "same").symlink_to(frames)
    for out, masks in ((tmp_path / "film.mp4", frames), (tmp_path / "film.mp4", tmp_path / "same")):
        with pytest.raises(ConfigError, match="is also an input"):
            Outputs(out, masks, True, 10.0, True, (), [frames])
    (tmp_path / "rgb.mp4").write_bytes(b"film")
    with pytest.raises(ConfigError, match="is also an input"):
        Outputs(tmp_path / "rgb.mp4", None, True, 10.0, True, (), [tmp_path / "rgb.mp4"])


_REPORTS = {  # command with OUT, the file of the output, and the input that it would overwrite
    "calibrate --out": (("calibrate", "RUN", "DATA", "--out", "OUT/x.safetensors"), "x.safetensors", "rgb/010.png"),
    "calibrate --report": (("calibrate", "RUN", "DATA", "--out", "OUT/new", "--report", "OUT"), "roc.png", "labels"),
    "calibrate, its own checkpoint": (
        ("calibrate", "RUN", "DATA", "--out", "OUT/new", "--report", "OUT"), "reliability.png", "RUN",
    ),
    "robustness, an image": (("robustness", "RUN", "DATA", "--out", "OUT"), "robustness.json", "rgb/010.png"),
    "robustness, the checkpoint": (("robustness", "RUN", "DATA", "--out", "OUT"), "robustness.html", "RUN"),
    "export": (("export", "RUN", "--out", "OUT/m.pt2"), "m.pt2", "RUN"),
    "export to two files": (("export", "RUN", "--out", "OUT/m.xml"), "m.bin", "RUN"),
    "data check --json": (("data", "check", "DATA", "--json", "OUT/a.json"), "a.json", "classes.yaml"),
    "data check --sheet": (("data", "check", "DATA", "--sheet", "OUT/a.png"), "a.png", "thermal/010.png"),
    "data stats": (("data", "stats", "DATA", "--out", "OUT"), "classes.png", "rgb/010.png"),
    "data align --figure": (
        ("data", "align", "--rgb", "DATA/rgb/010.png", "--thermal", "DATA/thermal/010.png", "--figure", "OUT/f.png"),
        "f.png", "thermal/010.png",
    ),
    "data align --click": (
        ("data", "align", "--rgb", "DATA/rgb/010.png", "--thermal", "DATA/thermal/010.png", "--click", "OUT/c.csv"),
        "c.csv", "rgb/010.png",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _REPORTS)
def test_no_report_is_written_onto_an_input(
    name: str, cli: Callable[..., Result], trained: Trained, tmp_path: Path
) -> None:
    words, output, source = _REPORTS[name]
    source = "labels/010.png" if source == "labels" else source
    path = trained.best if source == "RUN" else trained.root / source
    if not path.exists():
        path = next(path.parent.parent.glob(f"{path.parent.name[:5]}*/010.png"))
    before = path.read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    os.link(path, out / output)
    named = {"RUN": str(trained.folder), "DATA": str(trained.root), "OUT": str(out)}
    arguments = ["/".join(named.get(part, part) for part in word.split("/")) for word in words]
    quick = ["--split", "all"] if words[0] in ("calibrate", "robustness") else []
    quick += ["--test-split", "all"] if words[0] == "calibrate" else []
    result = cli(*arguments, *quick)
    assert result.code == 2, result
    assert "is also an input" in result.err
    assert path.read_bytes() == before


def test_an_earlier_report_may_be_written_again(tmp_path: Path) -> None:
    """What a command wrote is none of its inputs: the second run of `data check --json` is not refused."""

    root = make_folder(tmp_path / "data", 2)
    (root / "check.json").write_text("{}")
    refuse_inputs_as_outputs([root / "check.json"], files_of(root))
    assert {path.suffix for path in files_of(root)} >= {".png", ".yaml"}


def test_links_are_followed_in_one_way() -> None:
    """`Path.resolve` has a RuntimeError for links in a circle (before Python 3.13), which no command expects."""
    asked = [path for path in (ROOT / "src").rglob("*.py") if ".resolve()" in path.read_text(encoding="utf-8")]
    assert [path.name for path in asked] == ["server.py"]  # of a temporary folder of its own
