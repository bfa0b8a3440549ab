"""The QGIS plugin: its runner without QGIS, and (marked `qgis`) the whole in QGIS itself."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rasterio")
import rasterio
from scipy import ndimage

from cimnet.inference import load
from cimnet.version import __version__
from tests import ROOT
from tests.conftest import Trained

from .conftest import PLACE, UTM

PLUGIN = ROOT / "desktop" / "qgis" / "cimnet"
QGIS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The plugin's module that starts cimnet; it imports nothing of QGIS."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.delitem(sys.modules, "run", raising=False)
    import run as module

    yield module
    sys.modules.pop("run", None)


def no(*_: object) -> bool:
    return False


def python_that_says(folder: Path, script: str) -> str:
    """A "Python" that runs this shell script."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def python_with_cimnet(folder: Path) -> str:
    """This Python with the cimnet that is tested: the plugin takes PYTHONPATH, which is QGIS's, out."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return python_that_says(folder, f'PYTHONPATH="{paths}" exec "{sys.executable}" "$@"')


def test_progress_and_lines(run: Any, tmp_path: Path) -> None:
    done: list[float] = []
    said: list[str] = []
    threads: set[int] = set()

    def progress(percent: float) -> None:
        threads.add(threading.get_ident())
        done.append(percent)

    python = python_that_says(tmp_path, 'echo "progress 1 4"; echo "classes: a.tif"; echo "progress 4 4"')
    assert run.run_cimnet(python, ["geo"], progress, said.append, no)
    assert done == [25, 100]
    assert threads == {threading.get_ident()}, "QGIS would not show it"
    assert said == ["classes: a.tif"]


def test_names_of_every_language_come_through(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QGIS may run where text is ASCII; a sign that cannot be read must not stop the reading of what follows."""
    said: list[str] = []
    monkeypatch.setenv("LC_ALL", "C")
    python = python_that_says(tmp_path, f"exec {sys.executable} -c 'print(\"größe 熱\")'")
    assert run.run_cimnet(python, [], no, said.append, no)
    python = python_that_says(tmp_path, r"printf 'gr\337e\n'; echo end")
    assert run.run_cimnet(python, [], no, said.append, no)
    assert said == ["größe 熱", "gr\ufffde", "end"]


def test_what_goes_wrong_is_one_line(run: Any, tmp_path: Path) -> None:
    def reason(python: str, words: list[str]) -> str:
        with pytest.raises(run.CimnetError) as caught:
            run.run_cimnet(python, words, no, no, no)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "choose the Python that has cimnet" in reason(str(tmp_path / "nothing"), [])
    without = python_that_says(tmp_path, f'exec {sys.executable} -S -c "import cimnet"')
    assert 'pip install "cimnet[geo]"' in reason(without, [])
    words = ["geo-check", "--rgb", "no.tif", "--thermal", "no.tif"]
    assert reason(python_with_cimnet(tmp_path), words) == "no.tif: no such file"


def test_cancel_stops_the_run(run: Any, tmp_path: Path) -> None:
    began = time.monotonic()
    python = python_that_says(tmp_path, "exec sleep 60")
    assert run.run_cimnet(python, [], no, no, lambda: time.monotonic() - began > 0.3) is False
    assert time.monotonic() - began < 30


def test_the_zip(tmp_path: Path) -> None:
    """What plugins.qgis.org asks of a plugin: these files in one folder, these fields, and no leftovers of Python."""
    shutil.copytree(ROOT / "desktop", tmp_path / "desktop")
    (tmp_path / "src" / "cimnet").mkdir(parents=True)
    for name in ("LICENSE", "src/cimnet/version.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    plugin = tmp_path / "desktop" / "qgis" / "cimnet"
    (plugin / "__pycache__").mkdir(exist_ok=True)
    for name in ("__pycache__/run.cpython-311.pyc", "run.py~", ".run.py.swp"):
        (plugin / name).write_text("")
    out, script = tmp_path / "dist" / "plugin.zip", tmp_path / "desktop" / "qgis" / "make_zip.py"
    for repository in ("", "https://example.org/lab/cimnet/"):
        environment = {**os.environ, "CIMNET_REPOSITORY": repository}
        ran = subprocess.run([sys.executable, script, out], env=environment, capture_output=True, text=True, check=True)
        assert ("set CIMNET_REPOSITORY" in ran.stdout) == (not repository)
        with zipfile.ZipFile(out) as archive:
            names = set(archive.namelist())
            content = configparser.ConfigParser()
            content.read_string(archive.read("cimnet/metadata.txt").decode())
        sources = {f"cimnet/{path.name}" for path in PLUGIN.glob("*.py")}
        assert names == sources | {"cimnet/metadata.txt", "cimnet/LICENSE", "cimnet/icon.svg"}
        general = content["general"]
        wanted = ["name", "qgisMinimumVersion", "description", "about", "version", "author", "email"]
        wanted += ["repository", "tracker", "homepage"] if repository else []
        assert all(general[key] for key in wanted)
        assert general["version"] == __version__
        assert general["hasProcessingProvider"] == "yes"
        assert f"cimnet/{general['icon']}" in names
    assert general["tracker"] == "https://example.org/lab/cimnet/issues"


def write_pair(folder: Path, height: int = 96, width: int = 128) -> list[str]:
    """Blobs that both sensors see, thermal 3 pixels further to the right; as parameters of the algorithms."""
    rng = np.random.default_rng(0)
    ground = ndimage.gaussian_filter(rng.random((height, width + 3)), 2.5)
    ground = (255 * (ground - ground.min()) / np.ptp(ground)).astype(np.uint8)
    for name, bands in (("rgb", np.stack([ground[:, 3:]] * 3)), ("thermal", ground[None, :, :-3])):
        facts = {"count": len(bands), "height": height, "width": width, "dtype": "uint8", "crs": UTM}
        with rasterio.open(folder / f"{name}.tif", "w", driver="GTiff", transform=PLACE, **facts) as raster:
            raster.write(bands)
    return [f"RGB={folder / 'rgb.tif'}", f"THERMAL={folder / 'thermal.tif'}"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """For processes of QGIS: an empty home, no screen, and the plugin."""
    if QGIS is None:
        pytest.skip("QGIS is not installed")
    (tmp_path / "home").mkdir(mode=0o700)
    return {
        **{key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")},
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "home"),
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_PLUGINPATH": str(PLUGIN.parent),
    }


@pytest.fixture
def qgis(environment: dict[str, str]) -> Callable[..., str]:
    """`qgis_process` with these words; returns what it says."""

    def call(*words: str) -> str:
        assert QGIS is not None
        ran = subprocess.run([QGIS, *words], env=environment, capture_output=True, text=True, timeout=600)
        return ran.stdout + ran.stderr

    call("plugins", "enable", "cimnet")
    return call


def qgis_python(environment: dict[str, str], script: Path, *words: str) -> str:
    """Run a script in the Python that QGIS brings; returns what it prints."""
    python = "/usr/bin/python3"
    if not Path(python).exists() or subprocess.run([python, "-c", "import qgis.core"], capture_output=True).returncode:
        pytest.skip("no Python that has QGIS")
    ran = subprocess.run([python, str(script), *words], env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.qgis
def test_in_qgis(trained: Trained, tmp_path: Path, environment: dict[str, str], qgis: Callable[..., str]) -> None:
    """Both algorithms by `qgis_process`; QGIS then opens raster and polygons in the classes' colours."""
    assert "cimnet:predict" in qgis("list")
    pair = [*write_pair(tmp_path), f"PYTHON={python_with_cimnet(tmp_path)}"]
    out, polygons = tmp_path / "classes.tif", tmp_path / "classes.gpkg"
    words = [*pair, f"CHECKPOINT={trained.folder}", f"OUTPUT={out}", f"POLYGONS={polygons}", "WINDOW=64"]
    said = qgis("run", "cimnet:predict", "--", *words, "RGB_BANDS=3,2,1")
    assert out.is_file(), said
    assert "100 - done" in said
    seen = qgis_python(environment, ROOT / "benchmarks" / "open_in_qgis.py", str(out), str(polygons)).splitlines()
    raster, shapes = (line.strip() for line in seen if line.startswith("   "))
    predictor = load(trained.best, "cpu")
    colors = ["#{:02x}{:02x}{:02x}".format(*color) for color in predictor.colors]
    assert raster == f"paletted {list(zip(predictor.classes, colors, strict=True))}"
    assert shapes == f"categorizedSymbol {list(predictor.classes)}"
    said = qgis("run", "cimnet:check", "--", *pair[:2], "PYTHON=/nothing")
    assert "choose the Python that has cimnet" in said


@pytest.mark.qgis
def test_outputs_that_exist_are_kept_in_qgis(trained: Trained, tmp_path: Path, qgis: Callable[..., str]) -> None:
    """By both algorithms, until the box is ticked."""
    pair = [*write_pair(tmp_path, 320, 320), f"PYTHON={python_with_cimnet(tmp_path)}"]
    for name, more in (("predict", [f"CHECKPOINT={trained.best}", "WINDOW=320"]), ("check", [])):
        out = tmp_path / f"{name}.tif"
        out.write_bytes(b"mine")
        said = qgis("run", f"cimnet:{name}", "--", *pair, *more, f"OUTPUT={out}")
        assert f"{out}: exists" in said
        assert '"Replace outputs that exist"' in said
        assert out.read_bytes() == b"mine"
        said = qgis("run", f"cimnet:{name}", "--", *pair, *more, f"OUTPUT={out}", "OVERWRITE=1")
        with rasterio.open(out) as raster:
            assert raster.shape == (320, 320), said
    assert "STATUS:\tok" in said
    assert float(re.findall(r"DX:\t(\S+)", said)[0]) == pytest.approx(3, abs=0.3)


@pytest.mark.qgis
def test_the_starter_is_the_default_in_qgis(tmp_path: Path, qgis: Callable[..., str]) -> None:
    """Names are no files: `starter`, or a model on the Hub."""
    pair = [*write_pair(tmp_path, 64, 64), f"PYTHON={python_with_cimnet(tmp_path)}"]
    for words in ([], ["CHECKPOINT=starter", "OVERWRITE=1"]):
        said = qgis("run", "cimnet:predict", "--", *pair, *words, f"OUTPUT={tmp_path / 'out.tif'}")
        assert (tmp_path / "out.tif").is_file(), said
        assert "geo starter" in said


@pytest.mark.qgis
def test_cancel_in_qgis(trained: Trained, tmp_path: Path, environment: dict[str, str]) -> None:
    """A run that is cancelled leaves no output. The same again resumes it, although QGIS has written statistics beside
    the rasters."""
    asked = dict(word.split("=", 1) for word in write_pair(tmp_path, 512, 512))
    asked |= {"CHECKPOINT": str(trained.best), "WINDOW": "32", "PYTHON": python_with_cimnet(tmp_path)}
    asked["OUTPUT"] = str(tmp_path / "out.tif")
    script = Path(__file__).with_name("cancel_in_qgis.py")
    said = qgis_python(environment, script, json.dumps(asked))
    first, second = json.loads(said.splitlines()[-1])
    assert (first["result"], first["there"]) == ({}, False)
    assert 0 < first["progress"][-1] < 100
    assert not second["errors"]
    assert second["there"]
    assert second["result"]["OUTPUT"] == asked["OUTPUT"]
    assert second["progress"][-1] == 100
    assert second["progress"][0] > 20, "it began anew"
