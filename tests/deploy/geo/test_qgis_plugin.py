"""The QGIS plugin: its runner without QGIS, and (marked `qgis`) the whole in QGIS itself."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rasterio")
import rasterio

from tests.conftest import Trained

from .conftest import PLACE, UTM

PLUGIN = Path(__file__).parents[3] / "desktop" / "qgis" / "cimnet"
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
    python = python_that_says(tmp_path, 'echo "progress 1 4"; echo "classes: a.tif"; echo "progress 4 4"')
    assert run.run_cimnet(python, ["geo"], done.append, said.append, no)
    assert done == [25, 100]
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


def test_metadata() -> None:
    """What QGIS asks of a plugin."""
    content = configparser.ConfigParser()
    content.read(PLUGIN / "metadata.txt")
    general = content["general"]
    for key in ("name", "qgisMinimumVersion", "description", "about", "version", "author", "email", "icon"):
        assert general[key]
    assert general["hasProcessingProvider"] == "yes"
    assert (PLUGIN / general["icon"]).is_file()


@pytest.mark.qgis
@pytest.mark.skipif(QGIS is None, reason="QGIS is not installed")
def test_in_qgis(trained: Trained, tmp_path: Path) -> None:
    """Both algorithms by `qgis_process`, with a raster that QGIS then opens in the classes' colours."""
    assert QGIS is not None
    rng = np.random.default_rng(0)
    for name, count in (("rgb", 3), ("thermal", 1)):
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", count=count, height=96, width=128, dtype="uint8", crs=UTM,
            transform=PLACE,
        ) as raster:  # fmt: skip
            raster.write(rng.integers(0, 255, (count, 96, 128), np.uint8))
    python = python_with_cimnet(tmp_path)
    (tmp_path / "home").mkdir(mode=0o700)
    environment = {
        **{key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")},
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "home"),
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_PLUGINPATH": str(PLUGIN.parent),
    }

    def qgis(*words: str) -> str:
        ran = subprocess.run([QGIS, *words], env=environment, capture_output=True, text=True, timeout=600)
        return ran.stdout + ran.stderr

    qgis("plugins", "enable", "cimnet")
    assert "cimnet:predict" in qgis("list")
    pair = [f"RGB={tmp_path / 'rgb.tif'}", f"THERMAL={tmp_path / 'thermal.tif'}", f"PYTHON={python}"]
    out = tmp_path / "classes.tif"
    said = qgis("run", "cimnet:predict", "--", *pair, f"CHECKPOINT={trained.best}", f"OUTPUT={out}", "WINDOW=64")
    assert out.is_file(), said
    assert out.with_suffix(".qml").is_file()
    said = qgis("run", "cimnet:check", "--", *pair)
    assert "STATUS:\tunknown" in said or "STATUS:\tok" in said
    said = qgis("run", "cimnet:check", "--", *pair[:2], "PYTHON=/nothing")
    assert "choose the Python that has cimnet" in said
