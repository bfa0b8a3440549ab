"""Folders from Python: pairs by name, masks and overlays on disk."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cimnet
from cimnet.errors import CimnetError, DataError
from cimnet.inference import Predictor
from cimnet.inference.jobs import Files, Job, Predicted, match_pairs, predict_job
from tests.conftest import Trained
from tests.fakes.layouts import make_folder, make_mfnet


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return cimnet.load(trained.folder, "cpu")


def _predict(trained: Trained, root: Path, out: Path, **options: Any) -> Predicted:
    """The folders rgb/ and thermal/ below a root."""
    return predict_job(Job.of(trained.folder, out, rgb=root / "rgb", thermal=root / "thermal", device="cpu", **options))


def test_pairs_by_name_whatever_the_extension(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for name in ("000", "001"):
        with Image.open(root / "thermal" / f"{name}.png") as image:
            image.save(root / "thermal" / f"{name}.TIFF")
        (root / "thermal" / f"{name}.png").unlink()
    (root / "rgb" / "002.png").unlink()
    (root / "thermal" / "005.png").unlink()
    (root / "rgb" / "notes.txt").touch()
    matched = match_pairs(root / "rgb", root / "thermal")
    assert [name for name, _, _ in matched.pairs] == ["000", "001", "003", "004"]
    assert matched.pairs[0][1:] == (root / "rgb" / "000.png", root / "thermal" / "000.TIFF")
    assert [path.parent.name + "/" + path.name for path in matched.unmatched] == ["rgb/005.png", "thermal/002.png"]


def test_two_files_are_a_pair_whatever_their_names(tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.jpg"
    for path in (first, second):
        path.touch()
    assert match_pairs(first, second).pairs == [("a", first, second)]


def test_what_is_no_pair(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    file, folder = root / "rgb" / "000.png", root / "thermal"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"--thermal .*gone: no such file or folder"):
        match_pairs(file, tmp_path / "gone")
    for rgb, thermal in ((file, folder), (folder, file)):
        with pytest.raises(DataError, match="give two files or two folders"):
            match_pairs(rgb, thermal)
    with pytest.raises(DataError, match=r"--thermal .*empty: no images in it"):
        match_pairs(root / "rgb", tmp_path / "empty")
    with pytest.raises(DataError, match="neither --rgb nor --thermal"):
        match_pairs(None, None)


def test_folders_inside_are_read_and_keep_their_names(trained: Trained, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", 3)
    for kind in ("rgb", "thermal"):
        (root / kind / "flight 2" / "b").mkdir(parents=True)
        (root / kind / "001.png").rename(root / kind / "flight 2" / "b" / "001.png")
        (root / kind / ".thumbnails").mkdir()
        (root / kind / "002.png").rename(root / kind / ".thumbnails" / "002.png")
    job = Job.of(trained.folder, tmp_path / "out", rgb=str(root / "rgb"), thermal=str(root / "thermal"), device="cpu")
    assert job.names == ["000", "flight 2/b/001"]
    predict_job(job)
    assert (tmp_path / "out" / "overlays" / "flight 2" / "b" / "001.png").is_file()


@pytest.mark.parametrize("missing", ["rgb", "thermal"])
def test_one_sensor_alone(trained: Trained, predictor: Predictor, tmp_path: Path, missing: str) -> None:
    root = make_folder(tmp_path / "data", 2)
    folders = {"rgb": root / "rgb", "thermal": root / "thermal", missing: None}
    predict_job(Job.of(trained.folder, tmp_path / "out", **folders, device="cpu"))
    expected = predictor.predict(*(folder and folder / "001.png" for folder in folders.values()))
    with Image.open(tmp_path / "out" / "masks" / "001.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), expected)
    with Image.open(tmp_path / "out" / "overlays" / "001.png") as overlay:
        assert np.asarray(overlay)[:32].std() > 5  # drawn on the image that is there


def test_masks_and_overlays(trained: Trained, predictor: Predictor, tmp_path: Path) -> None:
    pairs = match_pairs(trained.root / "rgb", trained.root / "thermal").pairs[:2]
    steps: list[None] = []
    predict_job(Job(trained.folder, [Files(tuple(pairs))], tmp_path / "out"), lambda: steps.append(None))
    assert len(steps) == 2
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")) == [
        "masks/000.png",
        "masks/001.png",
        "overlays/000.png",
        "overlays/001.png",
        "prediction.json",
    ]
    with Image.open(tmp_path / "out" / "masks" / "001.png") as mask:
        assert mask.mode == "L"
        assert mask.size == (40, 32)
        np.testing.assert_array_equal(np.asarray(mask), predictor.predict(*pairs[1][1:]))
    with Image.open(tmp_path / "out" / "overlays" / "001.png") as overlay:
        assert overlay.mode == "RGB"


def test_four_channel_files(
    trained: Trained, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path twice, also where it is spelt in two ways."""
    root = make_mfnet(tmp_path / "data", 2)
    monkeypatch.chdir(root)
    predict_job(Job.of(trained.folder, tmp_path / "out", rgb=root / "images", thermal="images", device="cpu"))
    values = np.asarray(Image.open(root / "images" / "00000D.png"))
    expected = predictor.predict(np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3]))
    for thermal in (Path("images"), root / "images"):
        found = predictor.predict(root / "images" / "00000D.png", thermal / "00000D.png")
        np.testing.assert_array_equal(found, expected)
    with Image.open(tmp_path / "out" / "masks" / "00000D.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), expected)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_what_cannot_be_read_is_listed_and_the_rest_done(
    trained: Trained, predictor: Predictor, tmp_path: Path, batch_size: int
) -> None:
    root = make_folder(tmp_path / "data", 5)
    with Image.open(root / "thermal" / "004.png") as image:
        image.resize((20, 16)).save(root / "thermal" / "004.png")
    whole = (root / "rgb" / "001.png").read_bytes()
    (root / "rgb" / "001.png").write_bytes(whole[: len(whole) // 2])  # its header is whole
    pairs = match_pairs(root / "rgb", root / "thermal").pairs
    result = _predict(trained, root, tmp_path / "out", settings={"batch_size": batch_size})
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["000.png", "002.png", "003.png"]
    with (tmp_path / "out" / "failed.csv").open() as file:
        rows = {row["name"]: row["reason"] for row in csv.DictReader(file)}
    assert rows == result.failed
    assert set(rows) == {"001", "004"}
    assert "rgb/001.png" in rows["001"]
    assert re.search(r"thermal/004\.png is 20x16 but .*rgb/004\.png is 40x32", rows["004"])
    with Image.open(tmp_path / "out" / "masks" / "003.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), predictor.predict(*pairs[3][1:]))


def test_nothing_of_an_earlier_prediction_stays_where_it_is_wrong(trained: Trained, tmp_path: Path) -> None:
    root, out = make_folder(tmp_path / "data", 3), tmp_path / "out"
    whole = (root / "rgb" / "001.png").read_bytes()
    _predict(trained, root, out)
    (root / "rgb" / "001.png").write_bytes(whole[: len(whole) // 2])
    _predict(trained, root, out, overwrite=True)
    assert (out / "failed.csv").is_file()
    for folder in ("masks", "overlays"):
        assert sorted(path.stem for path in (out / folder).iterdir()) == ["000", "002"]
    (root / "rgb" / "001.png").write_bytes(whole)
    _predict(trained, root, out, overwrite=True)
    assert not (out / "failed.csv").exists()


def test_a_link_to_nothing_is_listed(trained: Trained, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", 2)
    (root / "thermal" / "001.png").unlink()
    (root / "thermal" / "001.png").symlink_to("gone.png")
    result = _predict(trained, root, tmp_path / "out")
    assert "a link to a file that is not there" in result.failed["001"]


def test_what_was_written_is_no_input(trained: Trained, tmp_path: Path) -> None:
    images = make_folder(tmp_path / "data", 2) / "rgb"
    for _ in range(2):
        job = Job.of(trained.folder, images / "predicted", rgb=images, device="cpu", overwrite=True)
        assert job.names == ["000", "001"]
        predict_job(job)


def test_if_no_pair_can_be_read_nothing_is_written(trained: Trained, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", 2)
    for path in (root / "thermal").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 2 pairs can be read; the first: .*thermal/000\.png"):
        _predict(trained, root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CimnetError, match=r"file/out/masks: cannot be written"):
        _predict(trained, trained.root, tmp_path / "file" / "out")
