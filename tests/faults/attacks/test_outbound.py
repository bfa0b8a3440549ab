"""Videos and models that name addresses: no name is asked for, nothing connects, in Python or in C."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.errors import DataError
from tests.faults.attacks.outside import watch_native
from tests.faults.attacks.test_exported_models import _onnx

SCRIPTS = {
    "playlist.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://cimnet.invalid/a.ts\n#EXT-X-ENDLIST\n",
    "playlist.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://cimnet.invalid/a.ts\n#EXT-X-ENDLIST\n",
    "concat.mp4": "ffconcat version 1.0\nfile 'http://cimnet.invalid/a.mp4'\n",
    "concat.txt": "ffconcat version 1.0\nfile 'http://cimnet.invalid/a.mp4'\n",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "dash.mpd": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"><Period>'
    "<BaseURL>http://cimnet.invalid/</BaseURL><AdaptationSet mimeType='video/mp4'><Representation id='1' bandwidth='1'>"
    "<BaseURL>a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
}
_OPEN = """
import sys
from pathlib import Path
from cimnet.errors import CimnetError
if sys.argv[2] == "video":
    from cimnet.deploy.video.sources import open_source as open_it
    kind = ("rgb",)
else:
    from cimnet import load as open_it
    kind = ("cpu",)
for path in map(Path, sys.argv[3:]):
    try:
        open_it(path, *kind)
        print("opened", path)
    except CimnetError as error:
        print("refused", error)
"""


def _open(folder: Path, what: str, *names: str) -> str:
    """What a process that is watched says of files; the name of none is asked for."""
    environment, log = watch_native(folder)
    command = [sys.executable, "-c", _OPEN, str(folder), what, *names]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not log.exists(), log.read_text()
    return done.stdout


def test_videos(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    local = tmp_path / "http:local.mp4"
    with av.open(f"file:{local}", "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for level in (0, 100, 200, None):
            picture = None if level is None else np.full((64, 64, 3), level, np.uint8)
            frame = None if picture is None else av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
    said = _open(tmp_path, "video", *SCRIPTS, local.name)
    assert said.count("refused") == len(SCRIPTS)
    assert "opened http:local.mp4" in said


def test_a_concat_script_does_not_read_other_files(tmp_path: Path) -> None:
    """A local name is none either: what a video shows lies in it."""
    av = pytest.importorskip("av")
    from cimnet.deploy.video.sources import open_source

    with av.open(str(tmp_path / "secret.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    (tmp_path / "film.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.format.name == "concat", "the attack itself does not work"
    with pytest.raises(DataError, match=r"film\.mp4: cannot be read as a video"):
        open_source(tmp_path / "film.mp4", "rgb")


def test_models(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    _onnx(tmp_path / "a.onnx", "http://cimnet.invalid/w.bin")
    _onnx(tmp_path / "b.onnx", "file://cimnet.invalid/w.bin")
    for name, entity in (("c", "http://cimnet.invalid/x"), ("d", "file://cimnet.invalid/x")):
        (tmp_path / f"{name}.xml").write_text(
            f'<?xml version="1.0"?><!DOCTYPE net SYSTEM "{entity}.dtd" [<!ENTITY x SYSTEM "{entity}">]>'
            '<net name="&x;" version="11"/>'
        )
        (tmp_path / f"{name}.bin").write_bytes(b"")
    assert _open(tmp_path, "model", "a.onnx", "b.onnx", "c.xml", "d.xml").count("refused") == 4


def test_images_are_not_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cimnet.data.io.readers import read_rgb
    from tests.faults.attacks.outside import no_network

    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "http:a.png")
    with no_network(monkeypatch) as asked:
        assert read_rgb(Path("http:a.png")).shape == (8, 8, 3)
        with pytest.raises(DataError, match="no such file"):
            read_rgb(Path("http://cimnet.invalid/a.png"))
    assert asked == []
