"""`cimnet live` when cameras fall silent, folders vanish or somebody presses Ctrl-C."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

from cimnet.deploy.video.live import LiveSettings, run_live
from cimnet.deploy.video.live.address import Address, parse_address
from cimnet.deploy.video.live.feed import Feed
from cimnet.deploy.video.live.page import LivePage
from cimnet.errors import ConfigError, DataError
from cimnet.inference import Predictor, load
from tests.conftest import Trained

from ..films import film, look, world
from .waiting import wait_for

pytest.importorskip("av")


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return load(trained.best, "cpu")


def _folders(tmp_path: Path) -> tuple[Path, Path]:
    places = tmp_path / "rgb", tmp_path / "thermal"
    for place in places:
        place.mkdir()
    return places


def _put(place: Path, name: str) -> None:
    """An image that appears whole."""
    hidden = place / f".{name}.png"
    Image.fromarray(look(0, world(), place.name == "thermal")).save(hidden)
    hidden.rename(place / f"{name}.png")


def test_a_camera_that_never_sends_is_said(predictor: Predictor, tmp_path: Path) -> None:
    """One sensor alone is never used without a word; one that falls silent without hanging up counts as lost."""
    rgb, thermal = _folders(tmp_path)
    notes: list[str] = []
    alone, silent = threading.Event(), threading.Event()

    def note(text: str) -> None:
        notes.append(text)
        if "no frame yet; going on with rgb alone" in text:
            alone.set()
        elif alone.is_set() and text.startswith("rgb,") and text.endswith("waiting for a frame"):
            silent.set()

    def write() -> None:
        for number in range(1000):
            _put(rgb, str(number))
            if alone.wait(0.1):
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        asked = LiveSettings(duration=60, lost_after=1)
        status = run_live(predictor, str(rgb), str(thermal), asked, note=note, stopped=silent.is_set)
    finally:
        alone.set()
        writer.join()
    assert [text for text in notes if text.startswith("thermal,") and "no frame yet; going on with rgb alone" in text]
    assert notes[-1].startswith("rgb,")
    assert notes[-1].endswith("no frame for 1 s; waiting for a frame")
    assert (status["from"]["both"], status["from"]["thermal"]) == (0, 0)
    assert 1 <= status["from"]["rgb"] <= status["rgb"]["received"]
    assert status["rgb"]["state"] == "lost"
    assert status["thermal"]["state"] == "connecting"


def test_a_folder_that_vanishes_leaves_the_other_sensor(predictor: Predictor, tmp_path: Path) -> None:
    rgb, thermal = _folders(tmp_path)
    notes: list[str] = []
    ended = threading.Event()

    def write() -> None:
        for number in range(200):
            if ended.wait(0.1):
                return
            _put(rgb, str(number))
            if number == 2:
                _put(thermal, "0")
            if number == 8:
                shutil.rmtree(thermal)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        asked = LiveSettings(duration=3.5, lost_after=0.5, tolerance=0.3)
        status = run_live(predictor, str(rgb), str(thermal), asked, note=notes.append)
    finally:
        ended.set()
        writer.join()
    assert status["thermal"]["received"] == 1
    assert status["thermal"]["state"] == "failed"
    assert "is it still there?" in status["thermal"]["problem"]
    assert status["from"]["rgb"] >= 3
    assert any("going on with rgb alone" in note for note in notes)


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="no such device here")
def test_a_device_that_is_no_camera_ends_the_run_at_once(predictor: Predictor, tmp_path: Path) -> None:
    rgb, _ = _folders(tmp_path)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"^thermal, /dev/null: .*; give a camera's capture device that you may read"):
        run_live(predictor, str(rgb), "/dev/null", LiveSettings(wait=60, lost_after=60), masks=tmp_path / "masks")
    assert time.monotonic() - began < 30
    assert not (tmp_path / "masks").exists()


def test_a_camera_that_another_program_uses_is_waited_for(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once frames have come, even a camera that is unplugged (no such device) may come back."""
    movie, _ = film(tmp_path, seconds=1.0)
    camera = Address("/dev/video0", "device", str(movie))
    faults = [errno.EBUSY, 0, errno.ENODEV, 0, errno.ENOTTY]
    open_now = Address.open

    def opened(self: Address) -> object:
        fault = faults.pop(0) if faults else errno.EBUSY
        if fault:
            raise OSError(fault, os.strerror(fault))
        return open_now(self)

    monkeypatch.setattr(Address, "open", opened)
    monkeypatch.setattr("cimnet.deploy.video.live.feed._PAUSES", (0.01,))
    feed = Feed(camera, "rgb", threading.Condition(), time.monotonic())
    feed.start()
    try:
        wait_for(lambda: not faults and feed.state == "lost", 60)
    finally:
        feed.stop()
        feed.join(5)
    assert feed.received > 0
    assert feed.reconnects >= 4


def test_what_may_heal() -> None:
    import av

    device = Address("/dev/video0", "device", "/dev/video0")
    healing = [device.may_heal(OSError(code, "")) for code in (errno.EBUSY, errno.EIO, errno.EAGAIN)]
    final = [device.may_heal(OSError(code, "")) for code in (errno.ENOTTY, errno.EACCES, errno.ENODEV, errno.EINVAL)]
    stream = parse_address("rtsp://10.0.0.20/1", "--rgb")
    healing += [
        stream.may_heal(error)
        for error in (ConnectionRefusedError(), TimeoutError(), av.error.HTTPNotFoundError(1, ""), OSError(5, ""))
    ]
    final += [stream.may_heal(av.error.HTTPUnauthorizedError(1, "")), Address("-", "pipe", "-").may_heal(OSError())]
    assert all(healing)
    assert not any(final)


def test_a_name_that_comes_again_is_read_again(tmp_path: Path) -> None:
    """Cameras that keep the newest few images delete and reuse names."""
    feed = Feed(parse_address(str(tmp_path), "--rgb"), "rgb", threading.Condition(), time.monotonic())
    feed.start()
    try:
        for count in (1, 2):
            wait_for(lambda: not (tmp_path / "0.png").exists(), 10)
            time.sleep(0.3)
            _put(tmp_path, "0")
            wait_for(lambda count=count: feed.received == count, 10)
            (tmp_path / "0.png").unlink()
    finally:
        feed.stop()
        feed.join(5)


def test_ctrl_c_while_a_pipe_is_silent(trained: Trained, tmp_path: Path) -> None:
    """The recording is whole, the counts are written, and the process ends as it should: not by an abort."""
    _, thermal = film(tmp_path, seconds=30.0, fps=(10, 10))
    words = ["live", str(trained.best), "--rgb", "-", "--thermal", str(thermal), "--no-page", "--lost-after", "0.5"]
    words += ["--record", str(tmp_path / "out.mp4"), "--json", str(tmp_path / "live.json")]
    running = subprocess.Popen(
        [sys.executable, "-m", "cimnet.cli", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert any("frames/s" in line for line in running.stdout)  # it has recorded for some seconds
    running.send_signal(signal.SIGINT)
    running.stdout.read()
    assert running.wait(30) == 0
    assert running.stdin is not None
    running.stdin.close()
    status = json.loads((tmp_path / "live.json").read_text())
    assert status["from"]["thermal"] == status["predicted"] > 5
    import av

    with av.open(str(tmp_path / "out.mp4")) as written:
        assert len(list(written.decode(video=0))) == status["predicted"]
    assert not list(tmp_path.glob(".*part*"))


def test_inputs_are_no_outputs(predictor: Predictor, tmp_path: Path) -> None:
    """Masks in the folder that is watched would come back as images, and a recording would replace a film."""
    rgb, thermal = film(tmp_path)
    before = rgb.read_bytes()
    with pytest.raises(ConfigError, match="is also an input"):
        run_live(predictor, str(rgb), str(thermal), LiveSettings(), record=rgb, overwrite=True)
    assert rgb.read_bytes() == before
    images, others = _folders(tmp_path)
    with pytest.raises(ConfigError, match="is also an input"):
        run_live(predictor, str(images), str(others), LiveSettings(duration=1), masks=images, overwrite=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST", "::1"])
def test_the_page_answers_to_its_own_names_alone(host: str) -> None:
    """However its host is written: a page elsewhere must not read it through a name that leads here."""
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        page = LivePage(["a"], [(1, 2, 3)], dict, host, 0)
    except ConfigError as error:
        pytest.skip(str(error))
    with page:
        assert wait_for(lambda: httpx.get(f"{page.address}/status.json"), 20).status_code == 200
        assert httpx.get(page.address, headers={"Host": "evil.example"}).status_code == 421


def test_a_page_for_others_answers_to_the_names_that_are_allowed() -> None:
    with LivePage(["a"], [(1, 2, 3)], dict, "0.0.0.0", 0, ["rig.example"]) as page:
        address = page.address.replace("0.0.0.0", "127.0.0.1")
        assert wait_for(lambda: httpx.get(f"{address}/status.json"), 20).status_code == 200
        names = ("evil.example", "rig.example", "10.0.0.7")
        answers = [httpx.get(address, headers={"Host": name}) for name in names]
        assert [answer.status_code for answer in answers] == [421, 200, 200]
        assert "--allow-host evil.example" in answers[0].json()["remedy"]
