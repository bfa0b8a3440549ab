"""The command ``cimnet live``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cimnet.cli.shared import (
    AllowHost,
    Calibration,
    Checkpoint,
    Device,
    ForceRange,
    Precision,
    RGBCrop,
    ThermalCrop,
    Trust,
)
from cimnet.utils.hosts import is_loopback
from cimnet.utils.numbers import pluralize
from cimnet.utils.signals import StopRequest

_SOURCE = (
    "rtsp://…, udp://…, tcp://…, a device (/dev/video0), a video file, a folder into which images are written, or -"
)


def live(
    checkpoint: Checkpoint,
    rgb: Annotated[str, typer.Option(help=f"RGB stream: {_SOURCE}.")],
    thermal: Annotated[str, typer.Option(help="Thermal stream in grey, of the same kinds.")],
    tolerance: Annotated[float, typer.Option(help="Largest time between the frames of a pair, seconds.")] = 0.05,
    offset: Annotated[
        float,
        typer.Option(
            help="Thermal time − RGB time of the same moment, seconds, -10 to 10 (positive: thermal comes later)."
        ),
    ] = 0.0,
    calibration: Calibration = None,
    rgb_crop: RGBCrop = None,
    thermal_crop: ThermalCrop = None,
    lost_after: Annotated[
        float, typer.Option(help="Seconds without a frame after which the other sensor is predicted alone.")
    ] = 1.0,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the first frame.")] = 30.0,
    duration: Annotated[float | None, typer.Option(help="Seconds to run. Default: until Ctrl-C.")] = None,
    alarms: Annotated[
        bool, typer.Option("--alarms", help="Show the checkpoint's alarms; this takes two more passes of the model.")
    ] = False,
    record: Annotated[Path | None, typer.Option(help="Record the overlay as NAME.mp4.")] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder for masks (PNG), or - for their raw bytes on standard output.")
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Show the run on a page in the browser.")] = True,
    host: Annotated[str, typer.Option(help="Address of the page. There is no password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 8008,
    allow_host: AllowHost = None,
    json_: Annotated[
        Path | None, typer.Option("--json", help="Write counts and latency to this file at the end.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier run.")] = False,
    force_range: ForceRange = False,
    device: Device = None,
    precision: Precision = "float32",
    trust: Trust = False,
) -> None:
    """Segment two live streams. The model gets the newest pair of frames; the others are dropped.

    While one stream is lost, the other one is predicted alone."""
    from cimnet.deploy.video.live import LiveSettings, run_live
    from cimnet.inference import load
    from cimnet.utils.files import refuse_inputs_as_outputs, require_writable_file, write_text

    console = Console(stderr=str(masks) == "-")

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    told = ""

    def tell(status: dict[str, Any]) -> None:
        """Print the counts, unless they are those of the line before."""
        nonlocal told
        if (line := _line(status)) != told:
            say(line)
        told = line

    asked = LiveSettings(
        tolerance=tolerance,
        offset=offset,
        lost_after=lost_after,
        wait=wait,
        duration=duration,
        calibration=calibration,
        rgb_crop=rgb_crop,
        thermal_crop=thermal_crop,
        alarms=alarms,
    )
    if page and not is_loopback(host):
        say(f"--host {host}: reachable from other machines, without a password or encryption", "yellow")
    if json_ is not None:
        written = [json_] if record is None else [json_, record]
        refuse_inputs_as_outputs(written, [Path(rgb), Path(thermal), *([calibration] if calibration else [])])
        require_writable_file(json_)
    predictor = load(checkpoint, device, trust=trust, precision=precision, force_range=force_range)
    with StopRequest() as stop:
        try:
            status = run_live(
                predictor,
                rgb,
                thermal,
                asked,
                record=record,
                masks=masks,
                page=(host, port) if page else None,
                allow_hosts=allow_host or (),
                overwrite=overwrite,
                note=lambda text: say(text, "yellow"),
                report=tell,
                stopped=lambda: stop.signal is not None,
            )
        except BrokenPipeError:  # whoever read the masks has ended
            raise typer.Exit(0) from None
    tell(status)
    if json_ is not None:
        write_text(json_, json.dumps(status, indent=2) + "\n")


def _line(status: dict[str, Any]) -> str:
    """The counts of a run in one line."""
    feeds = ", ".join(
        f"{name} {status[name]['state']} ({status[name]['dropped']} of {status[name]['received']} dropped)"
        for name in ("rgb", "thermal")
    )
    if not status["predicted"]:
        return f"no frame yet; {feeds}"
    rate, latency = status["frames_per_second"], status["latency_ms"]
    frames = pluralize(status["predicted"], "frame") + ("" if rate is None else f", {rate} frames/s")
    return f"{frames}, latency {latency} ms (95 %: {status['latency_p95_ms']} ms); {feeds}"
