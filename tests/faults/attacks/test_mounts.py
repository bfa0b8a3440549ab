"""New folders in places of their own: a disk that is mounted there, a link to an empty folder, a link to a disk."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cimnet.checkpoint import load_checkpoint
from cimnet.curation.convert import convert
from cimnet.curation.download import Source, fetch_source
from cimnet.curation.download.transfer import Remote
from cimnet.curation.register import register_dataset
from cimnet.data.synthetic import synthesize
from cimnet.errors import CimnetError
from cimnet.inference.hub import save_folder
from cimnet.registration.mapping import Mapping
from cimnet.utils import files
from tests.conftest import Trained
from tests.curation.download.test_download import RGB, TIR
from tests.fakes.layouts import make_folder
from tests.fakes.server import Server, running, stall

Writer = Callable[[Path], object]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as book:
        yield book


@pytest.fixture(params=["convert", "align", "synth", "download", "publish"])
def writer(request: pytest.FixtureRequest, server: Server, tmp_path: Path, trained: Trained) -> Writer:
    """Something that writes a new folder, by its name."""
    shift = Mapping(np.array([[1.0, 0, 3], [0, 1, 2]]))
    remote = [Remote(f"{n}.zip", server.put(f"{n}.zip", body), folder=n, unpack=True) for n, body in ARCHIVES.items()]
    source = Source("made", "Made up", "http://home", "none", "nobody", tuple(remote))
    data = make_folder(tmp_path / "data", 6) if request.param in ("convert", "align") else tmp_path
    writers: dict[str, Writer] = {
        "convert": lambda out: convert(data, out, "folder"),
        "align": lambda out: register_dataset(data, out, mapping=shift),
        "synth": lambda out: synthesize(out, train=1, val=1, test=0, size=(64, 96), scale=0.25),
        "download": lambda out: fetch_source(source, out, pause=lambda seconds: None),
        "publish": lambda out: save_folder(out, *load_checkpoint(trained.best)),
    }
    return writers[request.param]


ARCHIVES = {"RGB": RGB, "TIR": TIR}


def below(folder: Path) -> dict[str, bytes | None]:
    """Each entry and what it holds; whatever tells the time in a file does not count."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if "lost+found" not in path.parts
    }


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """The folder to be named, made ready by the kind of place."""
    mounted: list[Path] = []

    def mount(folder: Path) -> Path:
        folder.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True).returncode:
            pytest.skip("disks can be mounted by root only")
        mounted.append(folder)
        return folder

    def make(kind: str) -> Path:
        parent = tmp_path / "parent"
        parent.mkdir()
        place = parent / "out"
        if kind == "mount":
            mount(place)
        elif kind == "mount with lost+found":
            (mount(place) / "lost+found").mkdir(mode=0o700)
        elif kind == "link":
            (tmp_path / "elsewhere").mkdir()
            place.symlink_to(tmp_path / "elsewhere")
        elif kind == "link to mount":
            place.symlink_to(mount(tmp_path / "disk"))
        elif kind == "link to link":
            (tmp_path / "elsewhere").mkdir()
            (tmp_path / "between").symlink_to("elsewhere")
            place.symlink_to(tmp_path / "between")
        elif kind == "link to nothing yet":
            place.symlink_to(tmp_path / "elsewhere")
        return place

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


KINDS = [
    "mount",
    "mount with lost+found",
    "link",
    "link to mount",
    "link to link",
    "link to nothing yet",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_of_its_own_is_filled(
    kind: str, writer: Writer, places: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places(kind)
    disk = place.stat().st_dev if place.exists() else None
    linked = place.readlink() if place.is_symlink() else None
    parts: list[int] = []
    publish = files.publish_folder

    def look(part: Path, target: Path, inside: bool) -> None:
        parts.append(part.stat().st_dev)
        publish(part, target, inside)

    monkeypatch.setattr("cimnet.utils.files.publish_folder", look)
    monkeypatch.setattr("cimnet.curation.download.publish_folder", look)
    writer(place)
    assert disk is None or parts == [disk], "what is written piece by piece lies on the disk where it will stay"
    writer(tmp_path / "plain")
    assert below(place) == below(tmp_path / "plain") != {}
    assert (place.readlink() if place.is_symlink() else None) == linked
    assert [entry.name for entry in place.parent.iterdir()] == ["out"]
    with pytest.raises(CimnetError, match="is not empty"):
        writer(place)
    assert below(place) == below(tmp_path / "plain")


@pytest.mark.parametrize("kind", ["mount", "link", "link to mount"])
def test_a_failure_leaves_the_place_as_it_was(
    kind: str, writer: Writer, places: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places(kind)

    def fail(part: Path, target: Path, inside: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cimnet.utils.files.publish_folder", fail)
    monkeypatch.setattr("cimnet.curation.download.publish_folder", fail)
    with pytest.raises(CimnetError, match="cannot be written"):
        writer(place)
    assert below(place.resolve()) == {}
    assert [entry.name for entry in place.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["loop", "loop/out", "file/out"])
def test_a_place_that_cannot_be_is_named_before_the_work(name: str, writer: Writer, tmp_path: Path) -> None:
    """Links in a circle, and a file in the place of a folder."""
    (tmp_path / "loop").symlink_to(tmp_path / "pool")
    (tmp_path / "pool").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("mine")
    before = {entry.name for entry in tmp_path.iterdir()}
    with pytest.raises(CimnetError, match=name.split("/")[0]) as caught:
        writer(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert {entry.name for entry in tmp_path.iterdir()} == before


@pytest.mark.parametrize("kept", [True, False])
def test_a_link_in_the_place_of_the_hidden_folder_of_a_download(tmp_path: Path, server: Server, kept: bool) -> None:
    """It was followed, and a folder `data` behind it was removed."""
    mine = tmp_path / "mine"
    (mine / "data").mkdir(parents=True)
    (mine / "data" / "thesis").write_text("all of it")
    (tmp_path / ".out.part").symlink_to(mine)
    (tmp_path / ".out.77.part").symlink_to(mine)
    remote = Remote("RGB.zip", server.put("RGB.zip", RGB), folder="RGB", unpack=True)
    fetch_source(
        Source("made", "Made up", "http://home", "none", "nobody", (remote,)), tmp_path / "out", keep_partial=kept
    )
    assert below(mine) == {"data": None, "data/thesis": b"all of it"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine", "out"]


@pytest.mark.parametrize("where", ["folder", "file"])
def test_a_link_in_the_place_of_what_geo_keeps(tmp_path: Path, where: str) -> None:
    """It was followed, and a file `classes` behind it was overwritten."""
    pytest.importorskip("rasterio")
    from cimnet.deploy.geo import predict_geotiff
    from tests.deploy.geo.conftest import arrays, make_predictor, write

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "classes").write_text("all of it")
    hidden = tmp_path / ".out.tif.part"
    if where == "folder":
        hidden.symlink_to(mine)
    else:
        hidden.mkdir()
        (hidden / "classes").symlink_to(mine / "classes")
    rgb, thermal = arrays()
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "t.tif", thermal)
    predict_geotiff(make_predictor(), *files, tmp_path / "out.tif")
    assert below(mine) == {"classes": b"all of it"}


def test_a_download_that_was_killed_is_continued_whatever_lies_there(tmp_path: Path, server: Server) -> None:
    """SIGKILL in the middle of the second file; files of another data set lie in the same hidden folder."""
    remotes = [(name, server.put(f"{name}.zip", body)) for name, body in reversed(ARCHIVES.items())]
    server.put("RGB.zip", RGB, stall(50_000, 60))
    code = """
import json, sys
from cimnet.curation.download import Source, fetch_source
from cimnet.curation.download.transfer import Remote
files = tuple(Remote(f"{n}.zip", url, folder=n, unpack=True) for n, url in json.loads(sys.argv[2]))
fetch_source(Source("made", "Made up", "http://home", "none", "nobody", files), sys.argv[1])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "out"), json.dumps(remotes)]
    process = subprocess.Popen(command)
    part = tmp_path / ".out.part" / "files" / ".RGB.zip.part"
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    size = part.stat().st_size
    assert 0 < size <= 50_000
    (part.parent / "other.zip").write_bytes(b"of another data set")
    (part.parent.parent / "data" / "old").mkdir(parents=True)
    server.requests.clear()
    subprocess.run(command, check=True)
    assert server.ranges("RGB.zip") == [f"bytes={size}-"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out"]
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["RGB", "TIR"]
