"""The command ``cimnet bag``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cimnet.cli.shared import Calibration, Checkpoint, Device, ForceRange, Precision, Trust, counter, say
from cimnet.utils.numbers import pluralize


def bag(
    checkpoint: Checkpoint,
    recording: Annotated[Path, typer.Argument(help="ROS 1 .bag, rosbag2 folder, or .mcap or .db3 file.")],
    rgb_topic: Annotated[str, typer.Option(help="Topic of the RGB images (Image or CompressedImage).")],
    thermal_topic: Annotated[str, typer.Option(help="Topic of the thermal images (mono8, mono16, 16UC1, 32FC1 …).")],
    out: Annotated[Path, typer.Option(help="NAME.mcap, NAME.bag (ROS 1), or a folder (rosbag2).")],
    slop: Annotated[float, typer.Option(min=1e-9, help="Stamps of a pair differ by less than this, seconds.")] = 0.05,
    offset: Annotated[float, typer.Option(help="Thermal stamp − RGB stamp of the same moment, seconds.")] = 0.0,
    queue_size: Annotated[int, typer.Option(min=1, help="Messages of a topic that wait for a partner.")] = 10,
    overlay: Annotated[
        Literal["jpeg", "raw", "none"], typer.Option(help="Write overlays as CompressedImage, as Image, or not at all.")
    ] = "jpeg",
    calibration: Calibration = None,
    alarms: Annotated[
        bool,
        typer.Option(
            "--alarms", help="Write the checkpoint's alarms as diagnostics; this takes two more passes of the model."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    force_range: ForceRange = False,
    device: Device = None,
    precision: Precision = "float32",
    trust: Trust = False,
) -> None:
    """Segment the RGB-thermal pairs of a ROS bag and write a bag with masks, overlays and class names."""
    from cimnet.deploy.robots import predict_bag
    from cimnet.inference import load

    predictor = load(checkpoint, device, trust=trust, precision=precision, force_range=force_range)
    with counter("bag") as report:
        result = predict_bag(
            predictor,
            recording,
            rgb_topic,
            thermal_topic,
            out,
            slop=slop,
            offset=offset,
            queue_size=queue_size,
            overlay=overlay,
            calibration=calibration,
            alarms=alarms,
            overwrite=overwrite,
            note=lambda text: say(text, "yellow"),
            progress=report,
        )
    lone = ""
    if any(result.unpaired):
        lone = f"; without a partner: {result.unpaired[0]} RGB and {result.unpaired[1]} thermal messages"
    say(f"{pluralize(result.pairs, 'pair')}: {out}{lone}")
