"""The command ``cimnet predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cimnet.cli.shared import (
    BatchSize,
    Checkpoint,
    Device,
    Flip,
    ForceRange,
    Overlap,
    Precision,
    RGBBands,
    RGBRange,
    Scales,
    ThermalBandOption,
    Trust,
    Window,
    bar,
    parse_scales,
    say,
)
from cimnet.utils.numbers import pluralize

if TYPE_CHECKING:
    from cimnet.inference.alarms.alarm import Alarm


def predict(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Folder for masks/ and overlays/.")],
    rgb: Annotated[Path | None, typer.Option(help="RGB image or folder. Leave it out if there is none.")] = None,
    thermal: Annotated[
        Path | None,
        typer.Option(
            help="Thermal image or folder; or the same path as --rgb, for 4-channel files or a folder of pairs (_V, "
            "_T). Leave it out if there is none."
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="Instead of both: a CSV file with rgb,thermal[,name], or Parquet files with image bytes."),
    ] = None,
    rgb_pattern: Annotated[
        str | None,
        typer.Option(help="Names of RGB images, such as 'DJI_{*}_{name}_V'; {*} is any text, {time} a time."),
    ] = None,
    thermal_pattern: Annotated[
        str | None, typer.Option(help="Names of thermal images, such as 'DJI_{*}_{name}_T'.")
    ] = None,
    max_gap: Annotated[
        float | None, typer.Option(min=0, help="Largest difference between the times in the names of a pair, seconds.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier prediction.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted prediction.")] = False,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Predict in this process, or on a Ray cluster (extra cluster).")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of --engine ray. Default: one per GPU, or one per four CPUs.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address of a running Ray cluster, e.g. auto. Default: start one on this machine."),
    ] = None,
    rgb_bands: RGBBands = None,
    thermal_band: ThermalBandOption = None,
    rgb_range: RGBRange = None,
    force_range: ForceRange = False,
    window: Window = None,
    overlap: Overlap = 0.5,
    batch_size: BatchSize = 1,
    flip: Flip = False,
    scales: Scales = "1",
    precision: Precision = "float32",
    leave_out_broken: Annotated[
        bool,
        typer.Option("--leave-out-broken", help="Predict without a sensor that the checkpoint's alarm calls broken."),
    ] = False,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Segment one pair, one or two folders (with subfolders) whose images are paired by name, or a list of pairs.

    Pairs that cannot be read are listed in failed.csv, and the exit code is 1.
    """
    from cimnet.data.io.bands import parse_bands
    from cimnet.data.io.sensor_names import say_unmatched
    from cimnet.inference.jobs import Job, NameRules, predict_job

    settings = {
        "trust": trust,
        "window": window,
        "overlap": overlap,
        "batch_size": batch_size,
        "flip": flip,
        "scales": parse_scales(scales),
        "precision": precision,
        "leave_out_broken": leave_out_broken,
        "force_range": force_range,
        "bands": parse_bands(rgb_bands, thermal_band, rgb_range),
    }
    said = (rgb_pattern, thermal_pattern, max_gap)
    job = Job.of(
        checkpoint,
        out,
        rgb=rgb,
        thermal=thermal,
        pairs=pairs,
        names=None if said == (None,) * 3 else NameRules(*said),
        settings=settings,
        device=device,
        engine=engine,
        workers=workers,
        address=address,
        resume=resume,
        overwrite=overwrite,
    )
    if job.taken:
        say(job.taken, "yellow")
    if job.unmatched:  # before the run, which may stop at what these files explain
        say(say_unmatched(job.unmatched), "yellow")
    total = len(job.names)
    with bar("predict", total) as advance:
        result = predict_job(job, lambda: advance(None), _say_alarm)
    done = total - len(result.failed)
    say(f"{pluralize(done, 'mask')} in {out / 'masks'}, overlays in {out / 'overlays'}")
    if result.failed:
        say(f"{pluralize(len(result.failed), 'pair')} failed, listed in {out / 'failed.csv'}", "red")
        raise typer.Exit(1)


def _say_alarm(name: str, alarm: Alarm) -> None:
    say(f"{name}: {'; '.join(alarm.texts.values())}", "yellow")
