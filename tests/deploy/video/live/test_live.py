"""`cimnet live`: files, folders, pipes and real streams over loopback, lost and found again."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.video.frames import Frame, Kind
from cimnet.deploy.video.live import LiveSettings, run_live
from cimnet.deploy.video.live.address import parse_address
from cimnet.deploy.video.live.feed import Feed
from cimnet.deploy.video.live.session import LiveResult, LiveSession
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.inference import Predictor, load
from tests.conftest import Trained

from ..films import film, look, world, write_video
from .waiting import wait_for

pytest.importorskip("av")
ROOT = Path(__file__).parents[4]
KINDS: list[tuple[int, Kind]] = [(1, "rgb"), (2, "thermal")]


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return load(trained.best, "cpu")


class Senders:
    """Cameras in processes of their own; killed at the end."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[bytes]] = []

    def __call__(self, address: str, kind: str, fps: int) -> subprocess.Popen[bytes]:
        """One that sends to a ``udp://`` address, or serves at an ``rtsp://`` one."""
        words = ["sender", address, kind, "300", str(fps)]
        if address.startswith("rtsp"):
            words = ["rtsp_camera", address.rpartition(":")[2], kind, str(fps)]
        words[0] = f"tests.deploy.video.live.{words[0]}"
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT)
        self.running.append(process)
        return process


@pytest.fixture
def senders() -> Iterator[Senders]:
    found = Senders()
    yield found
    for process in found.running:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_files_play_at_their_own_pace_and_end(predictor: Predictor, tmp_path: Path) -> None:
    rgb, thermal = film(tmp_path, seconds=1.0, fps=(10, 10))
    notes: list[str] = []
    began = time.monotonic()
    status = run_live(
        predictor,
        str(rgb),
        str(thermal),
        LiveSettings(tolerance=0.06),
        record=tmp_path / "out.mp4",
        masks=tmp_path / "masks",
        note=notes.append,
    )
    assert time.monotonic() - began >= 0.85  # ten frames, a tenth of a second apart
    assert status["rgb"]["state"] == status["thermal"]["state"] == "ended"
    assert status["from"]["both"] >= 2
    masks = sorted((tmp_path / "masks").glob("*.png"))
    assert len(masks) == status["predicted"]
    assert Image.open(masks[0]).size == (96, 64)
    assert (tmp_path / "out.mp4").stat().st_size > 500
    assert status["latency_ms"] > 0
    assert not list(tmp_path.glob(".*part*"))


def test_a_thermal_frame_out_of_range_is_left_out(predictor: Predictor) -> None:
    """The shutter of a 16-bit camera closes once; if all frames are out of range, the unit is another one."""
    info = replace(predictor.info, scaling=ThermalScaling("range", 7000, 9000), thermal_dtype="uint16")
    deep, notes, rgb = Predictor(predictor.model, info, predictor.device), [], look(0, world(), False)
    heat = look(0, world(), True).astype(np.uint16) * 5 + 7500
    shut = np.full_like(heat, 30000)

    def session(pictures: list[np.ndarray]) -> tuple[LiveSession, list[LiveResult]]:
        """One that gets a pair before each turn."""
        news, began, waiting = threading.Condition(), time.monotonic(), list(pictures)
        feeds = [Feed(parse_address(f"udp://127.0.0.1:{port}", ""), kind, news, began) for port, kind in KINDS]
        made = LiveSession(deep, *feeds, news, LiveSettings(lost_after=60), notes.append)

        def stopped() -> bool:
            if waiting:
                number, picture = len(pictures) - len(waiting), waiting.pop(0)
                for feed, image in zip(feeds, (rgb, picture), strict=True):
                    feed._add(Frame(number, "", began + number, lambda image=image: image))
                return False
            return True

        return made, list(made.results(stopped))

    made, found = session([heat, shut, shut, heat])
    assert [result.time for result in found] == pytest.approx([0, 3], abs=0.1)
    assert made.status()["out_of_range"] == 2
    assert notes[0].startswith("thermal, udp://127.0.0.1:2: the frame at 1.00 s is left out: ")
    assert notes[1].startswith("thermal, udp://127.0.0.1:2: 2 frames left out, ")
    with pytest.raises(DataError, match=r"udp://127.0.0.1:2: 100% of the thermal values .*is the unit another one"):
        session([shut, shut])


def test_offsets_are_applied_and_a_wrong_one_is_said(predictor: Predictor, tmp_path: Path) -> None:
    ground = world()
    times = [n / 10 for n in range(30)]
    rgb = write_video(tmp_path / "rgb.mp4", [look(t, ground, False) for t in times], times)
    late = [t * 2 for t in times[:10]]  # a thermal camera of 5 frames a second
    thermal = write_video(tmp_path / "t.mp4", [look(t, ground, True) for t in late], late)
    folder = LiveSettings(tolerance=0.001, offset=0.05, duration=2.9)
    notes: list[str] = []
    status = run_live(predictor, str(rgb), str(thermal), folder, note=notes.append)
    assert status["from"]["both"] == 0
    assert any("give --offset" in note for note in notes)


def test_a_stream_that_comes_a_second_later_is_paired(predictor: Predictor, tmp_path: Path) -> None:
    """Twenty-five RGB frames lie between the frames of one moment, and no note advises another offset."""
    ground = world()
    times = [n / 25 for n in range(55)]
    rgb = write_video(tmp_path / "rgb.mp4", [look(t, ground, False) for t in times], times)
    late = [n / 10 for n in range(22)]
    thermal = write_video(tmp_path / "t.mp4", [look(t, ground, True) for t in late], late)
    notes: list[str] = []
    status = run_live(predictor, str(rgb), str(thermal), LiveSettings(offset=1.0, tolerance=0.03), note=notes.append)
    assert status["from"]["both"] >= 2
    assert not any("--offset" in note for note in notes)


def test_frames_that_do_not_fit_into_memory_end_the_run(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cimnet.deploy.video.live.feed.MOST_HELD", 2**16)
    rgb, thermal = film(tmp_path, seconds=1.5)
    with pytest.raises(DataError, match=r"rgb\.mp4: its frames of 1 s, held for --offset, take more than .* MiB; send"):
        run_live(predictor, str(rgb), str(thermal), LiveSettings(offset=1.0))


def test_a_folder_that_grows(predictor: Predictor, tmp_path: Path) -> None:
    """Images that were there before are left alone; one that is half written is read when it is whole."""
    ground = world()
    places = [tmp_path / "rgb", tmp_path / "thermal"]
    for place in places:
        place.mkdir()
        Image.fromarray(look(0, ground, place.name == "thermal")).save(place / "old.png")
    ended = threading.Event()

    def write() -> None:
        for number in range(40):
            if ended.is_set():
                return
            for place in places:
                Image.fromarray(look(number / 10, ground, place.name == "thermal")).save(tmp_path / "next.png")
                data = (tmp_path / "next.png").read_bytes()
                (place / f"{number:03d}.png").write_bytes(data[: len(data) // 2])
                time.sleep(0.03)
                (place / f"{number:03d}.png").write_bytes(data)
            time.sleep(0.04)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        asked = LiveSettings(tolerance=0.3, duration=3.0)
        status = run_live(predictor, str(places[0]), str(places[1]), asked, masks=tmp_path / "masks")
    finally:
        ended.set()
        writer.join()
    assert status["from"]["both"] >= 2
    assert status["rgb"]["received"] <= 40
    assert status["rgb"]["problem"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["udp", "rtsp"])
def test_two_cameras_one_of_them_killed_and_started_again(
    predictor: Predictor, tmp_path: Path, senders: Senders, protocol: str
) -> None:
    """The whole way over loopback, with the page open: both sensors, RGB alone, both again."""
    rgb, thermal = (f"{protocol}://127.0.0.1:{free_port()}" for _ in range(2))
    said: list[str] = []
    states: list[dict[str, Any]] = []
    done = threading.Event()
    result: dict[str, Any] = {}

    def watch() -> None:
        result.update(
            run_live(
                predictor,
                rgb,
                thermal,
                LiveSettings(tolerance=0.15, wait=60),
                record=tmp_path / "out.mkv",
                page=("127.0.0.1", 0),
                note=said.append,
                stopped=done.is_set,
            )
        )

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        senders(rgb, "rgb", 15)
        camera = senders(thermal, "thermal", 9)
        page = wait_for(lambda: next((s.removeprefix("page: ") for s in said if s.startswith("page: ")), None))

        def status() -> Any:
            states.append(httpx.get(f"{page}/status.json").json())
            return states[-1]

        wait_for(lambda: status()["from"]["both"] >= 5)
        camera.kill()
        camera.wait()
        wait_for(lambda: any("going on with rgb alone" in s for s in said))
        alone = status()["from"]["rgb"]
        wait_for(lambda: status()["from"]["rgb"] > alone + 3)
        both = status()["from"]["both"]
        senders(thermal, "thermal", 9)
        wait_for(lambda: status()["from"]["both"] > both + 3)
        with httpx.stream("GET", f"{page}/stream.mjpg", timeout=20) as stream:
            body = b""
            for part in stream.iter_raw():
                body += part
                if body.count(b"Content-Type: image/jpeg") >= 3:
                    break
        assert body.count(b"\xff\xd8\xff") >= 2
        assert "b3261e" in httpx.get(page).text
        assert httpx.get(page, headers={"Host": "evil.example"}).status_code == 421
    finally:
        done.set()
        thread.join(30)
    assert not thread.is_alive()
    assert any("is back" in s for s in said)
    assert result["rgb"]["received"] >= result["from"]["both"] + result["from"]["rgb"]
    assert result["thermal"]["clock_jumps"] + result["thermal"]["reconnects"] >= 1
    assert (tmp_path / "out.mkv").is_file()


def test_a_stream_that_never_sends(predictor: Predictor) -> None:
    asked = LiveSettings(wait=1)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"no frame within 1 s .*--wait"):
        run_live(predictor, f"udp://127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{free_port()}", asked)
    assert time.monotonic() - began < 30


def test_a_file_that_is_no_video(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    rgb, _ = film(tmp_path)
    with pytest.raises(DataError, match=r"thermal, .*a\.mp4: "):
        run_live(predictor, str(rgb), str(tmp_path / "a.mp4"), LiveSettings(), record=tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    assert not list(tmp_path.glob(".*part*"))


def test_a_coloured_thermal_stream_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    rgb, _ = film(tmp_path, seconds=1.0)
    ground = world()
    loud = [np.roll(look(t / 10, ground, False), t, axis=1) for t in range(10)]
    for image in loud:
        image[..., 2] = 255 - image[..., 0]
    wrong = write_video(tmp_path / "wrong.mp4", loud, [t / 10 for t in range(10)])
    with pytest.raises(DataError, match="in colours"):
        run_live(predictor, str(rgb), str(wrong), LiveSettings(tolerance=0.1))


def test_raw_masks_to_a_pipe(trained: Trained, tmp_path: Path) -> None:
    """What the command writes to standard output is masks and nothing else."""
    rgb, thermal = film(tmp_path, seconds=1.5, fps=(10, 10))
    words = ["live", str(trained.best), "--rgb", str(rgb), "--thermal", str(thermal), "--tolerance", "0.06"]
    words += ["--no-page", "--masks", "-", "--json", str(tmp_path / "live.json")]
    ran = subprocess.run([sys.executable, "-m", "cimnet.cli", *words], capture_output=True, check=True)
    status = json.loads((tmp_path / "live.json").read_text())
    assert len(ran.stdout) == status["predicted"] * 64 * 96
    assert status["predicted"] > 0
    assert max(ran.stdout) < len(load(trained.best, "cpu").classes)
    assert b"frames" in ran.stderr


def test_outputs_that_exist_are_kept(predictor: Predictor, tmp_path: Path) -> None:
    rgb, thermal = film(tmp_path)
    (tmp_path / "out.mp4").write_bytes(b"mine")
    with pytest.raises(CimnetError, match="--overwrite"):
        run_live(predictor, str(rgb), str(thermal), LiveSettings(), record=tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"mine"
    with pytest.raises(ConfigError, match="--record"):
        run_live(predictor, str(rgb), str(thermal), LiveSettings(), record=tmp_path / "out.txt")
    with pytest.raises(ConfigError, match="standard input"):
        run_live(predictor, "-", "-", LiveSettings())


def test_one_source_for_both_sensors_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    path, _ = film(tmp_path)
    link = tmp_path / "link.mp4"
    link.symlink_to(path)
    left = LiveSettings(rgb_crop="left", thermal_crop="left")
    for rgb, thermal, asked in (
        (str(path), str(link), LiveSettings()),
        (str(path), str(path), left),
        (str(tmp_path), str(tmp_path), LiveSettings()),
        ("rtsp://me:secret@10.0.0.20/1", "rtsp://me:secret@10.0.0.20/1", LiveSettings()),
    ):
        with pytest.raises(ConfigError, match=r"--rgb .*: given for both sensors; .*--thermal-crop right") as caught:
            run_live(predictor, rgb, thermal, asked)
        assert "secret" not in str(caught.value)
