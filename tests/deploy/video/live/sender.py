"""A camera for the tests: encodes what `films.look` sees, in real time, and sends it to an address. Run as a script by
a process of its own: ``python -m tests.deploy.video.live.sender URL rgb|thermal SECONDS FPS [HEIGHT WIDTH]``."""

from __future__ import annotations

import sys
import time
from fractions import Fraction

import av
import numpy as np

from ..films import look, world


def send(url: str, kind: str, seconds: float, fps: int, size: tuple[int, int] = (64, 96)) -> None:
    """Send so many seconds, then end."""
    ground = world()
    with av.open(url, "w", format="mpegts") as container:
        quality = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
        stream = container.add_stream("libx264", rate=fps, options=quality)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        began = time.monotonic()
        for number in range(round(seconds * fps)):
            time.sleep(max(0.0, began + number / fps - time.monotonic()))
            image = np.resize(look(number / fps, ground, kind == "thermal"), (*size, 3)[: 2 + (kind == "rgb")])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24" if kind == "rgb" else "gray")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))


if __name__ == "__main__":
    url, kind, seconds, fps, *size = sys.argv[1:]
    send(url, kind, float(seconds), int(fps), (int(size[0]), int(size[1])) if size else (64, 96))
