"""The command ``cimnet geo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cimnet.cli.shared import (
    BatchSize,
    Checkpoint,
    Device,
    Flip,
    ForceRange,
    Overlap,
    Precision,
    ProgressLines,
    RGBBands,
    RGBRange,
    Scales,
    ThermalBandOption,
    Trust,
    Window,
    counter,
    parse_scales,
    say,
)
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize


def geo(
    checkpoint: Checkpoint,
    rgb: Annotated[
        Path, typer.Option(help="GeoTIFF with red, green and blue, 8 bit; or a folder that holds one pair.")
    ],
    thermal: Annotated[
        Path,
        typer.Option(
            help="GeoTIFF with one band, or as many as the channels of the model's second image; the same path as "
            "--rgb for one GeoTIFF."
        ),
    ],
    out: Annotated[Path, typer.Option(help="GeoTIFF of class ids to write, on the grid of --rgb.")],
    polygons: Annotated[Path | None, typer.Option(help="GeoPackage of polygons to write.")] = None,
    areas: Annotated[
        Path | None, typer.Option(help="CSV file to write, with pixels, share and area of each class.")
    ] = None,
    min_area: Annotated[float, typer.Option(min=0, help="Leave out polygons smaller than this, m².")] = 0.0,
    require_both: Annotated[
        bool, typer.Option("--require-both", help="Write no class where only one sensor has data.")
    ] = False,
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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs and QGIS styles, and discard an interrupted run.")
    ] = False,
    progress_lines: ProgressLines = False,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Segment an orthomosaic of any size. If interrupted, run the same command without --overwrite to resume."""
    from cimnet.data.io.bands import parse_bands
    from cimnet.deploy.geo import predict_geotiff
    from cimnet.inference import load
    from cimnet.inference.jobs.matching import check_described, described_folder, with_described

    described = described_folder(rgb, thermal)
    if rgb.is_dir() and thermal.is_dir():
        rgb, thermal = _only_pair(rgb, thermal)
    bands = parse_bands(rgb_bands, thermal_band, rgb_range)
    settings: dict[str, Any] = {"bands": bands, "force_range": force_range}
    settings |= {"window": window, "overlap": overlap, "batch_size": batch_size, "flip": flip, "precision": precision}
    settings = with_described(settings, described)
    predictor = load(checkpoint, device, trust=trust, scales=parse_scales(scales), **settings)
    if described is not None:
        check_described(described, predictor.info.second, lambda text: say(text, "yellow"))
    try:
        with counter("classify", progress_lines) as progress:
            result = predict_geotiff(
                predictor,
                rgb,
                thermal,
                out,
                polygons=polygons,
                areas=areas,
                min_area=min_area,
                require_both=require_both,
                overwrite=overwrite,
                progress=progress,
                warn=lambda text: say(text, "yellow"),
            )
    except KeyboardInterrupt:
        how = "the same command without --overwrite" if overwrite else "the same command"
        say(f"stopped; {how} resumes from here", "yellow")
        raise typer.Exit(130) from None
    for area in sorted(result.areas, key=lambda area: -area.pixels):
        size = "" if area.square_metres is None else f"  {area.square_metres / 10_000:12.4f} ha"
        if area.pixels:
            say(f"{area.name:24} {100 * area.share:6.2f} %{size}")
    say(f"classes: {out}")
    if result.polygons is not None:
        say(f"{pluralize(result.polygons, 'polygon')}: {polygons}")
    if not sum(area.pixels for area in result.areas):
        say("no pixel has a class, because no pixel has data", "yellow")


def _only_pair(rgb: Path, thermal: Path) -> tuple[Path, Path]:
    """The pair of rasters in two folders or in one; says which it is."""
    from cimnet.inference.jobs import match_pairs

    pairs = match_pairs(rgb, thermal).pairs
    first, second = pairs[0][1:]
    if len(pairs) > 1 or first is None or second is None:
        raise DataError(
            f"--rgb {rgb} and --thermal {thermal}: {pluralize(len(pairs), 'pair')} by their names; give two files"
        )
    say(f"RGB {first}, thermal {second}", "yellow")
    return first, second
