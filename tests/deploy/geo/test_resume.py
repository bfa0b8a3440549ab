"""An interrupted run goes on and ends byte for byte like an undisturbed one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

pytest.importorskip("rasterio")
from cimnet.deploy.geo import predict_geotiff
from cimnet.errors import CimnetError
from cimnet.inference.backends.runtime import ExportedModel
from cimnet.models import Output
from tests import ROOT

from .conftest import Stub, arrays, make_predictor, moved, write


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    rgb, thermal = arrays(200, 90)
    return write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", thermal)


def stop_after(blocks: int):  # type: ignore[no-untyped-def]
    """Progress that interrupts like Ctrl-C."""

    def progress(done: int, total: int) -> None:
        if done == blocks:
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_run_goes_on(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    undisturbed = make_predictor(blur=9)
    predict_geotiff(undisturbed, *pair, tmp_path / "a.tif")
    assert isinstance(undisturbed.model, Stub)
    out = tmp_path / "b.tif"
    for blocks in (3, 7):
        with pytest.raises(KeyboardInterrupt):
            predict_geotiff(make_predictor(blur=9), *pair, out, progress=stop_after(blocks))
        assert not out.exists()
        assert json.loads((tmp_path / ".b.tif.part" / "progress.json").read_text())["done"] == blocks
    last = make_predictor(blur=9)
    begun: list[int] = []
    predict_geotiff(last, *pair, out, progress=lambda done, total: begun.append(done))
    assert begun[0] == 7
    assert isinstance(last.model, Stub)
    assert 0 < len(last.model.seen) < len(undisturbed.model.seen) / 2 + 5
    assert out.read_bytes() == (tmp_path / "a.tif").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_run_that_ends_before_its_first_block_leaves_nothing(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    with pytest.raises(KeyboardInterrupt):
        predict_geotiff(make_predictor(), *pair, tmp_path / "out.tif", progress=stop_after(0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rgb.tif", "thermal.tif"]


@pytest.mark.parametrize("what", ["window", "RGB file", "checkpoint", "require-both"])
def test_other_inputs_or_settings_do_not_go_on(tmp_path: Path, pair: tuple[Path, Path], what: str) -> None:
    out = tmp_path / "out.tif"
    with pytest.raises(KeyboardInterrupt):
        predict_geotiff(make_predictor(), *pair, out, progress=stop_after(2))
    predictor = make_predictor(window=48 if what == "window" else 32, temperature=2.0 if what == "checkpoint" else None)
    if what == "RGB file":
        write(pair[0], arrays(200, 90, seed=1)[0])
    both = what == "require-both"
    with pytest.raises(CimnetError, match=rf"settings: {what}( \(.* now\))?; .*--overwrite"):
        predict_geotiff(predictor, *pair, out, require_both=both)
    predict_geotiff(predictor, *pair, out, require_both=both, overwrite=True)
    predict_geotiff(predictor, *pair, tmp_path / "new.tif", require_both=both)
    assert out.read_bytes() == (tmp_path / "new.tif").read_bytes()


class Exported(ExportedModel):
    """An exported model whose file says nothing that is true."""

    def __init__(self, path: Path) -> None:
        self.path, self.stub = path, Stub()

    def __call__(self, rgb: Tensor, thermal: Tensor, /) -> Output:
        return self.stub(rgb, thermal)


def test_another_export_of_the_same_model_does_not_go_on(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    """What a float32 and an int8 export know of themselves is the same; their weights are not."""
    predictors = []
    for name in ("float32", "int8"):
        (tmp_path / f"{name}.xml").write_text("<net/>")
        (tmp_path / f"{name}.bin").write_text(name)
        predictors.append(make_predictor())
        predictors[-1].model = Exported(tmp_path / f"{name}.xml")
    with pytest.raises(KeyboardInterrupt):
        predict_geotiff(predictors[0], *pair, tmp_path / "out.tif", progress=stop_after(2))
    with pytest.raises(CimnetError, match=r"settings: checkpoint.*resume with the same, or give --overwrite"):
        predict_geotiff(predictors[1], *pair, tmp_path / "out.tif")
    predict_geotiff(predictors[0], *pair, tmp_path / "out.tif")


class Function:
    """A model that has neither a file nor weights."""

    def __init__(self) -> None:
        self.stub = Stub()

    def __call__(self, rgb: Tensor, thermal: Tensor, /) -> Output:
        return self.stub(rgb, thermal)

    def predict(self, rgb: Tensor, thermal: Tensor, /) -> Tensor:
        return self.stub.predict(rgb, thermal)


def test_a_model_that_cannot_be_compared_does_not_go_on(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    predictor = make_predictor()
    predictor.model = Function()
    out = tmp_path / "out.tif"
    with pytest.raises(KeyboardInterrupt):
        predict_geotiff(predictor, *pair, out, progress=stop_after(2))
    with pytest.raises(CimnetError, match=r"settings: checkpoint \(a model without file and weights.*give --overwrite"):
        predict_geotiff(predictor, *pair, out)
    begun: list[int] = []
    predict_geotiff(predictor, *pair, out, overwrite=True, progress=lambda done, total: begun.append(done))
    assert begun[0] == 0


def test_a_damaged_note_of_an_interrupted_run_is_refused(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    out = tmp_path / "out.tif"
    with pytest.raises(KeyboardInterrupt):
        predict_geotiff(make_predictor(), *pair, out, progress=stop_after(2))
    (tmp_path / ".out.tif.part" / "progress.json").write_text("{")
    with pytest.raises(CimnetError, match=r"progress\.json: does not say.*--overwrite"):
        predict_geotiff(make_predictor(), *pair, out)
    predict_geotiff(make_predictor(), *pair, out, overwrite=True)


def test_outputs_that_exist_stay_unless_overwrite_is_said(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    for name in ("classes.tif", "areas.csv", "classes.gpkg"):
        path = tmp_path / name
        path.write_text("precious")
        options = {"areas": tmp_path / "areas.csv", "polygons": tmp_path / "classes.gpkg"}
        with pytest.raises(CimnetError, match=rf"{name}: exists already"):
            predict_geotiff(make_predictor(), *pair, tmp_path / "classes.tif", **options)
        assert path.read_text() == "precious"
        path.unlink()
    (tmp_path / "classes.tif").write_text("old")
    predict_geotiff(make_predictor(), *pair, tmp_path / "classes.tif", overwrite=True)
    assert (tmp_path / "classes.tif").stat().st_size > 100


def test_two_processes_do_not_write_the_same_file(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    def progress(done: int, total: int) -> None:
        with pytest.raises(CimnetError, match="another process"):
            predict_geotiff(make_predictor(), *pair, tmp_path / "out.tif")
        with pytest.raises(CimnetError, match=r"areas\.csv: another process"):
            predict_geotiff(make_predictor(), *pair, tmp_path / "other.tif", areas=tmp_path / "areas.csv")

    predict_geotiff(make_predictor(), *pair, tmp_path / "out.tif", areas=tmp_path / "areas.csv", progress=progress)
    assert not list(tmp_path.glob(".*"))


def test_a_failure_at_the_end_keeps_the_blocks(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cimnet.deploy.geo.predict_raster.write_polygons", fail)
    out, polygons = tmp_path / "out.tif", tmp_path / "out.gpkg"
    with pytest.raises(CimnetError, match=r"out.gpkg: cannot be written \(No space left"):
        predict_geotiff(make_predictor(), *pair, out, polygons=polygons)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.tif.part", "rgb.tif", "thermal.tif"]
    monkeypatch.undo()
    predictor = make_predictor()
    predict_geotiff(predictor, *pair, out, polygons=polygons)
    assert isinstance(predictor.model, Stub)
    assert predictor.model.seen == []
    assert polygons.exists()


RUN = """
import sys, time
from pathlib import Path
from cimnet.deploy.geo import predict_geotiff
from tests.deploy.geo.conftest import make_predictor
folder = Path(sys.argv[1])
predictor = make_predictor(blur=9, overlap=float(sys.argv[2]))
predict_geotiff(predictor, folder / "rgb.tif", folder / sys.argv[3], folder / "b.tif",
                progress=lambda done, total: time.sleep(120 * (done == int(sys.argv[4]))))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("overlap", [0, 0.5])
@pytest.mark.parametrize("grid", ["same grid", "other grid"])
def test_a_killed_run_goes_on(tmp_path: Path, pair: tuple[Path, Path], overlap: float, grid: str) -> None:
    """Killed twice by SIGKILL, at the third and at the fifth block: the same bytes as of a run that was not."""
    rgb, thermal = pair
    if grid == "other grid":
        thermal = write(tmp_path / "other.tif", arrays(220, 110, seed=1)[1], transform=moved(-9.3, -7.6))
    progress = tmp_path / ".b.tif.part" / "progress.json"
    for block in (3, 5):
        command = [sys.executable, "-c", RUN, tmp_path, str(overlap), thermal.name, str(block)]
        process = subprocess.Popen(command, cwd=ROOT)
        while process.poll() is None and not (progress.exists() and f'"done": {block}' in progress.read_text()):
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    begun: list[int] = []
    predictor = make_predictor(blur=9, overlap=overlap)
    predict_geotiff(predictor, rgb, thermal, tmp_path / "b.tif", progress=lambda done, total: begun.append(done))
    assert begun[0] == 5
    predict_geotiff(make_predictor(blur=9, overlap=overlap), rgb, thermal, tmp_path / "a.tif")
    assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "a.tif").read_bytes()
    assert np.unique(np.frombuffer((tmp_path / "a.tif").read_bytes(), dtype=np.uint8)).size > 10
