"""What is written: asked about before the work, all of it or none, and known again after a kill."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")
pytest.importorskip("pyogrio")
from cimnet.deploy.geo import predict_geotiff, predict_raster, scratch
from cimnet.deploy.geo.outputs import Outputs
from cimnet.errors import CimnetError

from .conftest import Stub, arrays, content, make_predictor, write

Options = dict[str, Path]


class Killed(BaseException):
    """Ends a call where SIGKILL would: nothing that it would clean up is cleaned up."""


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    rgb, thermal = arrays(200, 90)
    return write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", thermal)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    out = tmp_path / "out"
    out.mkdir()
    return {"out": out / "a.tif", "polygons": out / "b.gpkg", "areas": out / "c.csv"}


RENAMES = ("a.qml", "b.qml", "a.tif.aux.xml", "b.gpkg", "c.csv", "a.tif")


def kill_at_rename(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the output of that number gets its name; clean-up is switched off, as SIGKILL does."""
    rename, done = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        if self.name.startswith(".") and target.name in RENAMES:
            if len(done) == number:
                raise Killed
            done.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr("cimnet.deploy.geo.outputs._leftovers", lambda path: [])
    monkeypatch.setattr(scratch.Scratch, "close", lambda self: self._file.close())


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", range(len(RENAMES)))
@pytest.mark.parametrize("old", [False, True])
def test_killed_between_two_names_the_same_command_resumes(
    tmp_path: Path, pair: tuple[Path, Path], options: Options, number: int, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `old`, the killed call replaced outputs of another; the same call without overwrite finishes it."""
    if old:
        for path in options.values():
            path.write_text("of another run")
    with monkeypatch.context() as patched:
        kill_at_rename(number, patched)
        with pytest.raises(Killed):
            predict_geotiff(make_predictor(), *pair, **options, overwrite=old)
    assert [name for name in files_in(tmp_path / "out") if ".part" in name]
    predictor = make_predictor()
    predict_geotiff(predictor, *pair, **options)
    assert isinstance(predictor.model, Stub)
    assert predictor.model.seen == []
    assert files_in(tmp_path / "out") == sorted(RENAMES)
    predict_geotiff(make_predictor(), *pair, tmp_path / "whole.tif", areas=tmp_path / "whole.csv")
    assert options["out"].read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert options["areas"].read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_an_output_that_somebody_changed_since_the_kill_stays(
    pair: tuple[Path, Path], options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_at_rename(5, patched)
        with pytest.raises(Killed):
            predict_geotiff(make_predictor(), *pair, **options)
    options["areas"].write_text("mine")
    with pytest.raises(CimnetError, match=r"c\.csv: exists already"):
        predict_geotiff(make_predictor(), *pair, **options)
    assert options["areas"].read_text() == "mine"


def test_overwrite_drops_what_the_same_task_left(pair: tuple[Path, Path], options: Options) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_geotiff(make_predictor(), *pair, **options, progress=stop)
    begun: list[int] = []
    predict_geotiff(make_predictor(), *pair, **options, overwrite=True, progress=lambda done, _: begun.append(done))
    assert begun[0] == 0


@pytest.mark.parametrize("beside", [".ovr", ".msk", ".msk.ovr"])
def test_overviews_of_another_raster_go(pair: tuple[Path, Path], options: Options, beside: str) -> None:
    """QGIS would show them instead of the new classes."""
    stale = options["out"].with_name(f"a.tif{beside}")
    stale.write_text("of another raster")
    with pytest.raises(CimnetError, match=r"a\.tif\.\w+.*: would be shown in place of a\.tif; remove it"):
        predict_geotiff(make_predictor(), *pair, **options)
    assert stale.exists()
    predict_geotiff(make_predictor(), *pair, **options, overwrite=True)
    assert files_in(options["out"].parent) == sorted(RENAMES)


def test_a_run_killed_before_its_first_block_stands_in_nobodys_way(pair: tuple[Path, Path], options: Options) -> None:
    outputs = Outputs(options["out"], None, None)
    left = scratch.Scratch(outputs, (200, 90), {"window": 32}, False)
    left._file.close()
    predict_geotiff(make_predictor(window=48), *pair, options["out"])
    assert files_in(options["out"].parent) == ["a.qml", "a.tif", "a.tif.aux.xml"]


def test_leftovers_of_dead_processes_go_at_the_next_start(pair: tuple[Path, Path], options: Options) -> None:
    folder = options["out"].parent
    for name in (".a.77.part.tif", ".a.77.part.tif.ovr", ".b.77.part.gpkg", ".b.77.part.gpkg-journal",
                 ".c.77.part.csv", ".a.tif.aux.77.part.xml", ".a.77.part.qml"):  # fmt: skip
        (folder / name).write_text("x")
    others = [".ab.77.part.tif", ".b.77.part.tif", "a.77.part.tif"]  # of other outputs
    for name in others:
        (folder / name).write_text("x")
    predict_geotiff(make_predictor(), *pair, **options)
    assert files_in(folder) == sorted([*RENAMES, *others])


BAD_NAMES = {
    "a line break": ("polygons", "x\ny.gpkg", "no path with line breaks"),
    "a tab": ("polygons", "x\ty.gpkg", "no path with line breaks"),
    "an exclamation mark": ("polygons", "x!y.gpkg", "no path with line breaks"),
    "a folder with a line break": ("polygons", "x\ny/z.gpkg", "no path with line breaks"),
    "bytes that are no UTF-8": ("polygons", "x\udcff.gpkg", "not UTF-8"),
    "a raster of such bytes": ("out", "x\udcff.tif", "not UTF-8"),
    "a name too long for what lies beside it": ("out", "x" * 246 + ".tif", "cannot be written"),
    "a folder": ("areas", ".", "is a folder|names of their own"),
    "a file as the folder": ("polygons", "file/z.gpkg", "cannot be written"),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_names_that_cannot_be_written_are_refused_before_the_work(
    tmp_path: Path, pair: tuple[Path, Path], options: Options, case: str
) -> None:
    what, name, message = BAD_NAMES[case]
    (tmp_path / "file").write_text("")
    predictor = make_predictor()
    with pytest.raises(CimnetError, match=message) as caught:
        predict_geotiff(predictor, *pair, **{**options, what: tmp_path / name})
    assert "\n" not in str(caught.value).replace(repr(name), "")
    assert isinstance(predictor.model, Stub)
    assert predictor.model.seen == []
    assert files_in(tmp_path) == ["file", "out", "rgb.tif", "thermal.tif"]
    assert files_in(tmp_path / "out") == []


def test_the_names_file_is_an_output_too(pair: tuple[Path, Path], options: Options) -> None:
    options["out"].with_name("a.tif.aux.xml").mkdir()
    predictor = make_predictor()
    with pytest.raises(CimnetError, match=r"aux\.xml: is a folder"):
        predict_geotiff(predictor, *pair, **options)
    assert isinstance(predictor.model, Stub)
    assert predictor.model.seen == []


def test_a_geopackage_that_sqlite_cannot_write_is_found_before_the_work(
    pair: tuple[Path, Path], options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("sqlite3_open() failed: database is locked")

    monkeypatch.setattr("pyogrio.raw.write", fail)
    predictor = make_predictor()
    with pytest.raises(CimnetError, match=r"b\.gpkg: cannot be written \(sqlite3_open"):
        predict_geotiff(predictor, *pair, **options)
    assert isinstance(predictor.model, Stub)
    assert predictor.model.seen == []
    assert files_in(options["out"].parent) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("disks can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


def fill(disk: Path, but: int) -> Path:
    filler = disk / "filler"
    state = os.statvfs(disk)
    filler.write_bytes(b"x" * max(0, state.f_bavail * state.f_frsize - but))
    return filler


@pytest.mark.parametrize("blocks", [0, 3])
def test_a_disk_that_fills_up_is_one_line_and_nothing_is_lost(disk: Path, pair: tuple[Path, Path], blocks: int) -> None:
    filler: list[Path] = []

    def progress(done: int, total: int) -> None:
        if done == blocks:
            filler.append(fill(disk, 0))

    with pytest.raises(CimnetError, match=r"cannot be written \(No space left on device\).*free space") as caught:
        predict_geotiff(make_predictor(), *pair, disk / "a.tif", progress=progress)
    assert caught.value.__context__ is caught.value.__cause__
    assert "\n" not in str(caught.value)
    filler[0].unlink()
    begun: list[int] = []
    predict_geotiff(make_predictor(), *pair, disk / "a.tif", progress=lambda done, _: begun.append(done))
    assert begun[0] == blocks
    predict_geotiff(make_predictor(), *pair, pair[0].parent / "whole.tif")
    assert (content(disk / "a.tif") == content(pair[0].parent / "whole.tif")).all()


@pytest.mark.parametrize("left", [0, 4096, 12288])
def test_a_disk_that_is_full_from_the_start_is_one_line_before_the_work(
    disk: Path, pair: tuple[Path, Path], left: int
) -> None:
    filler = fill(disk, left)
    predictor = make_predictor()
    with pytest.raises(CimnetError, match=r"cannot be written \(.*(No space|MB are free)") as caught:
        predict_geotiff(predictor, *pair, disk / "a.tif")
    assert "\n" not in str(caught.value)
    assert isinstance(predictor.model, Stub)
    assert predictor.model.seen == []
    filler.unlink()
    assert files_in(disk) == []


@pytest.mark.parametrize("write_", ["write_classes", "write_polygons"])
def test_a_disk_that_is_full_at_the_end_keeps_the_blocks(
    disk: Path, pair: tuple[Path, Path], write_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, filler = getattr(predict_raster, write_), []

    def full(*arguments: object) -> object:
        filler.append(fill(disk, 0))
        return true(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(predict_raster, write_, full)
        with pytest.raises(CimnetError, match=r"cannot be written \(.*what is done is kept") as caught:
            predict_geotiff(make_predictor(), *pair, disk / "a.tif", polygons=disk / "b.gpkg")
    assert "\n" not in str(caught.value)
    filler[0].unlink()
    assert files_in(disk) == [".a.tif.part"]
    predictor = make_predictor()
    predict_geotiff(predictor, *pair, disk / "a.tif")
    assert isinstance(predictor.model, Stub)
    assert predictor.model.seen == []


def test_outputs_on_several_disks(disk: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The raster lies on another disk than polygons and areas, and through a linked folder."""
    (tmp_path / "linked").symlink_to(disk)
    predict_geotiff(
        make_predictor(),
        *pair,
        tmp_path / "linked" / "a.tif",
        polygons=tmp_path / "x" / "b.gpkg",
        areas=tmp_path / "y" / "c.csv",
    )
    assert files_in(disk) == ["a.qml", "a.tif", "a.tif.aux.xml"]
    assert files_in(tmp_path / "x") == ["b.gpkg", "b.qml"]
    assert files_in(tmp_path / "y") == ["c.csv"]


def test_a_short_write_of_the_system_is_finished(tmp_path: Path) -> None:
    """A raw file may take less than it was given."""
    kept = scratch.Scratch(Outputs(tmp_path / "a.tif", None, None), (4, 8), {}, False)
    file = kept._file

    class Short:
        def __getattr__(self, name: str) -> object:
            return getattr(file, name)

        def write(self, data: memoryview) -> int:
            return file.write(data[:3])

        def readinto(self, buffer: memoryview) -> int:
            return file.readinto(buffer[:5])

    kept._file = Short()  # type: ignore[assignment]
    ids = np.arange(32, dtype=np.uint8).reshape(4, 8)
    kept.write(0, 0, ids)
    assert (kept.rows(0, 4) == ids).all()
    kept.delete()
