"""A network camera for the tests: a small RTSP server that sends H.264 inside its TCP connection, as cameras do when
asked for `rtsp_transport=tcp`. Run it as a process of its own:
``python -m tests.deploy.video.live.rtsp_camera PORT rgb|thermal FPS``. It serves one client after the other."""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
from fractions import Fraction

import av

from ..films import HEIGHT, WIDTH, look, world

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n"
)


def film_packets(out: socket.socket, kind: str, fps: int, stop: threading.Event) -> None:
    """Encode what the camera sees, and put its RTP packets into the client's connection."""
    ground = world()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inner:
        inner.bind(("127.0.0.1", 0))
        inner.settimeout(0.02)
        with av.open(f"rtp://127.0.0.1:{inner.getsockname()[1]}", "w", format="rtp") as container:
            quality = {"preset": "ultrafast", "tune": "zerolatency", "g": "5", "x264-params": "repeat-headers=1"}
            stream = container.add_stream("libx264", rate=fps, options=quality)
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
            began, number = time.monotonic(), 0
            while not stop.is_set():
                time.sleep(max(0.0, began + number / fps - time.monotonic()))
                form = "rgb24" if kind == "rgb" else "gray"
                frame = av.VideoFrame.from_ndarray(look(number / fps, ground, kind == "thermal"), format=form)
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, fps)
                container.mux(stream.encode(frame))
                number += 1
                try:
                    while True:
                        packet = inner.recv(65536)
                        out.sendall(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
                except TimeoutError:
                    continue


def answer(client: socket.socket, kind: str, fps: int) -> None:
    """One session, until the client goes."""
    stop = threading.Event()
    reader = client.makefile("rb")
    try:
        while line := reader.readline():
            if line[:1] == b"$":  # a report of the client's
                continue
            method = line.split(b" ")[0].decode()
            headers = b""
            while (field := reader.readline()).strip():
                headers += field
            sequence = re.search(rb"CSeq: *(\d+)", headers, re.IGNORECASE)
            reply = f"RTSP/1.0 200 OK\r\nCSeq: {sequence[1].decode() if sequence else 0}\r\n"
            if method == "OPTIONS":
                reply += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n"
            elif method == "DESCRIBE":
                reply += f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}"
            elif method == "SETUP":
                reply += "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
            else:
                reply += "Session: 1\r\n\r\n"
            client.sendall(reply.encode())
            if method == "PLAY":
                threading.Thread(target=film_packets, args=(client, kind, fps, stop), daemon=True).start()
            if method == "TEARDOWN":
                return
    except OSError:
        return
    finally:
        stop.set()
        client.close()


def serve(port: int, kind: str, fps: int) -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            answer(server.accept()[0], kind, fps)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
