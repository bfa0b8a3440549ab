"""A 4-channel file is given as the RGB and the thermal image, under one path or two that lead to the same file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from cimnet.analysis.explain import write_explanation
from cimnet.curation.check import check_dataset
from cimnet.curation.check.decode_pair import Job, Settings, read_files
from cimnet.data import open_dataset
from cimnet.data.io.readers import same_file
from cimnet.data.io.thermal_files import read_pair
from cimnet.data.pairs import Pair, size_problem
from cimnet.deploy.geo import predict_geotiff
from cimnet.inference import Predictor
from cimnet.inference.jobs import Files, match_pairs
from cimnet.inference.jobs.predict_part import predict_part
from tests.deploy.geo.conftest import PLACE, UTM, make_predictor

VALUES = np.random.default_rng(0).integers(0, 250, (32, 40, 4), np.uint8)
Two = tuple[Path, Path]


def _same(path: Path) -> Two:
    return path, path


def _dotted(path: Path) -> Two:
    return path, Path(f"{path.parent}/../{path.parent.name}/{path.name}")


def _relative(path: Path) -> Two:
    return path, Path(os.path.relpath(path))


def _linked(path: Path) -> Two:
    link = path.with_name("link.png")
    link.symlink_to(path)
    return path, link


def _hard(path: Path) -> Two:
    link = path.with_name("hard.png")
    link.hardlink_to(path)
    return path, link


@pytest.fixture(params=[_same, _dotted, _relative, _linked, _hard])
def paths(tmp_path: Path, request: pytest.FixtureRequest) -> Two:
    path = tmp_path / "images" / "a.png"
    path.parent.mkdir()
    Image.fromarray(VALUES, "RGBA").save(path)
    spell: Callable[[Path], Two] = request.param
    return spell(path)


def test_one_file(paths: Two, tmp_path: Path) -> None:
    assert same_file(*paths)
    other = tmp_path / "b.png"
    other.write_bytes(paths[0].read_bytes())
    assert not same_file(paths[0], other)
    assert same_file(tmp_path / "gone.png", tmp_path / "images" / ".." / "gone.png")
    assert not same_file(tmp_path / "gone.png", other)
    (loop := tmp_path / "loop.png").symlink_to(loop)
    assert not same_file(loop, other)


def test_reading(paths: Two) -> None:
    rgb, thermal = read_pair(*paths)
    np.testing.assert_array_equal(rgb, VALUES[..., :3])
    np.testing.assert_array_equal(thermal, VALUES[..., 3])
    assert size_problem(Pair("a", paths[0], paths[1], None)) is None


def test_predictor(paths: Two) -> None:
    rgb, thermal = make_predictor().tensors(*map(str, paths))
    np.testing.assert_allclose(rgb.numpy(), VALUES[..., :3].transpose(2, 0, 1) / np.float32(255))
    np.testing.assert_allclose(thermal[0].numpy(), VALUES[..., 3] / np.float32(255))


def test_predict(paths: Two, tmp_path: Path) -> None:
    part = Files(tuple(match_pairs(*paths, tmp_path / "out").pairs))
    assert len(part.names) == 1
    assert [outcome.error for outcome in predict_part(make_predictor(), part, tmp_path / "out")] == [None]


def test_check(paths: Two) -> None:
    files = read_files(Job("a", *paths, None), Settings())
    assert files.problems == []
    assert files.thermal is not None
    np.testing.assert_array_equal(files.thermal, VALUES[..., 3])


def test_geo(paths: Two, tmp_path: Path) -> None:
    four = tmp_path / "four.tif"
    with rasterio.open(
        tmp_path / "four.tif",
        "w",
        driver="GTiff",
        width=40,
        height=32,
        count=4,
        dtype="uint8",
        crs=UTM,
        transform=PLACE,
    ) as file:
        file.write(VALUES.transpose(2, 0, 1))
    paths[0].write_bytes(four.read_bytes())
    predict_geotiff(make_predictor(), *paths, tmp_path / "out.tif")
    assert (tmp_path / "out.tif").is_file()


def test_explain(paths: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the predictor for both images."""
    asked: list[tuple[object, ...]] = []

    def tensors(self: Predictor, *given: object) -> None:
        asked.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "tensors", tensors)
    monkeypatch.setattr(Predictor, "network", "any")
    monkeypatch.setattr("cimnet.analysis.explain.CIMNet", str)
    with pytest.raises(KeyboardInterrupt):
        write_explanation(make_predictor(), *paths, tmp_path / "out")
    assert asked == [paths]


@pytest.mark.parametrize("thermal", ["images/{name}", "./images/{name}", "linked/{name}"])
def test_data_sets(tmp_path: Path, thermal: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "linked").symlink_to("images")
    Image.fromarray(VALUES, "RGBA").save(tmp_path / "images" / "a.png")
    (tmp_path / "classes.yaml").write_text(
        f"classes: [x, y]\nfiles: {{rgb: 'images/{{name}}', thermal: '{thermal}'}}\n", encoding="utf-8"
    )
    arrays = open_dataset(tmp_path, "all", require_labels=False).arrays(0)
    np.testing.assert_array_equal(arrays.thermal, VALUES[..., 3])
    assert "unreadable" not in {finding.code for finding in check_dataset(tmp_path, workers=1).findings}
