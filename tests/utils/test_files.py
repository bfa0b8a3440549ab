"""What is read is not written, under whichever name it goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cimnet.errors import ConfigError
from cimnet.utils.files import refuse_inputs_as_outputs
from tests.conftest import Result, Trained


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
