"""The command ``cimnet video``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cimnet.cli.shared import Calibration, Checkpoint, Device, ForceRange, RGBCrop, ThermalCrop, Trust, counter, say
from cimnet.errors import ConfigError
from cimnet.utils.numbers import pluralize


def video(
    checkpoint: Checkpoint,
    rgb: Annotated[Path, typer.Option(help="RGB video, or folder of images.")],
    thermal: Annotated[
        Path,
        typer.Option(help="Thermal video in grey, or folder of images; or the same path as --rgb if it holds both."),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for overlay.mp4, masks/ and frames.csv; or only a video, NAME.mp4.")
    ],
    masks: Annotated[Path | None, typer.Option(help="Folder for masks and frames.csv beside a NAME.mp4.")] = None,
    fps: Annotated[
        float | None, typer.Option(help="Images per second of an RGB folder without times in the file names.")
    ] = None,
    thermal_fps: Annotated[
        float | None, typer.Option(help="Images per second of a thermal folder without times in the file names.")
    ] = None,
    rgb_stream: Annotated[
        int | None, typer.Option(min=0, help="Video stream of the RGB file, counted from 0. Default: the first.")
    ] = None,
    thermal_stream: Annotated[
        int | None, typer.Option(min=0, help="Video stream of the thermal file, counted from 0. Default: the first.")
    ] = None,
    rgb_crop: RGBCrop = None,
    thermal_crop: ThermalCrop = None,
    rgb_embedded: Annotated[
        bool,
        typer.Option("--rgb-embedded", help="RGB is the visible picture inside FLIR JPEGs; --thermal may be the same."),
    ] = False,
    time_offset: Annotated[
        str,
        typer.Option(
            help="Thermal time − RGB time of the same moment, seconds (positive: thermal started earlier), or estimate."
        ),
    ] = "0",
    every: Annotated[int, typer.Option(min=1, help="Predict only every n-th RGB frame.")] = 1,
    start: Annotated[float, typer.Option(min=0, help="Start at this second of the RGB video.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="End before this second of the RGB video.")] = None,
    max_gap: Annotated[
        float | None,
        typer.Option(help="Largest time between the frames of a pair, seconds. Default: one thermal interval."),
    ] = None,
    missing: Annotated[
        Literal["skip", "rgb-only"],
        typer.Option(help="RGB frames without a thermal frame: skip them, or predict from RGB alone."),
    ] = "skip",
    thermal_fit: Annotated[
        Literal["resize", "error"], typer.Option(help="Thermal frames of another size than RGB: resize or refuse them.")
    ] = "resize",
    calibration: Calibration = None,
    smooth: Annotated[float, typer.Option(help="Average probabilities over frames: 0 (off) to 0.98.")] = 0.0,
    view: Annotated[
        Literal["overlay", "side", "none"],
        typer.Option(help="Video to write: overlay on RGB; RGB, thermal and overlay side by side; or none."),
    ] = "overlay",
    legend: Annotated[bool, typer.Option("--legend/--no-legend", help="Draw a legend below the video.")] = True,
    alarms: Annotated[bool, typer.Option("--alarms", help="Write the checkpoint's alarms to frames.csv.")] = False,
    force_range: ForceRange = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Frames in one pass of the model.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier run.")] = False,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Segment an RGB and a thermal video, paired by time, and write an overlay video and masks, without sound.

    If one file holds both sensors, as two streams or side by side, give it twice."""
    from cimnet.deploy.video import predict_video
    from cimnet.inference import load

    try:
        offset = time_offset if time_offset == "estimate" else float(time_offset)
    except ValueError as error:
        raise ConfigError(f"--time-offset {time_offset}: write seconds, for example -0.35, or estimate") from error
    done = 0
    predictor = load(checkpoint, device, trust=trust, batch_size=batch_size, force_range=force_range)
    with counter("video") as report:

        def progress(count: int, total: int) -> None:
            nonlocal done
            done = count
            report(count, max(total, count))

        try:
            result = predict_video(
                predictor,
                rgb,
                thermal,
                out,
                masks,
                progress,
                lambda text: say(text, "yellow"),
                fps=fps,
                thermal_fps=thermal_fps,
                rgb_stream=rgb_stream,
                thermal_stream=thermal_stream,
                rgb_crop=rgb_crop,
                thermal_crop=thermal_crop,
                rgb_embedded=rgb_embedded,
                time_offset=offset,
                every=every,
                start=start,
                end=end,
                max_gap=max_gap,
                missing=missing,
                thermal_fit=thermal_fit,
                calibration=calibration,
                smooth=smooth,
                view=view,
                legend=legend,
                alarms=alarms,
                overwrite=overwrite,
            )
        except KeyboardInterrupt:
            say(f"interrupted after {pluralize(done, 'frame')}; what is done is kept in {out}", "yellow")
            raise typer.Exit(130) from None
    places = ", ".join(str(place) for place in (result.overlay, result.masks, result.table) if place is not None)
    say(f"{pluralize(result.frames, 'frame')}: {places}")
