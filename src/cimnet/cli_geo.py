"""The command ``cimnet geo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cimnet.cli_shared import Checkpoint, Device, counter, say


def geo(
    checkpoint: Checkpoint,
    rgb: Annotated[Path, typer.Option(help="GeoTIFF: red, green, blue, 8 bit.")],
    thermal: Annotated[Path, typer.Option(help="GeoTIFF of one band; the same path as --rgb for one of four bands.")],
    out: Annotated[Path, typer.Option(help="GeoTIFF of class ids to write, on the grid of --rgb.")],
    polygons: Annotated[Path | None, typer.Option(help="GeoPackage of polygons to write.")] = None,
    areas: Annotated[Path | None, typer.Option(help="CSV to write: pixels, share and area of each class.")] = None,
    min_area: Annotated[float, typer.Option(min=0, help="Leave out smaller polygons, m².")] = 0.0,
    require_both: Annotated[
        bool, typer.Option("--require-both", help="No class where only one sensor has data.")
    ] = False,
    window: Annotated[
        int | None, typer.Option(help="Side of the windows, px. Default: 640; up to 1.3 megapixels at once.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Of neighbouring windows, share of their side.")] = 0.5,
    batch_size: Annotated[int, typer.Option(help="Windows in one pass.")] = 1,
    precision: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="Of the model.")] = "float32",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs; drop an interrupted run with other settings.")
    ] = False,
    device: Device = None,
) -> None:
    """Segment an orthomosaic of any size. Interrupted, the same command goes on."""
    from cimnet.geo import predict_geotiff
    from cimnet.inference import load

    settings = {"window": window, "overlap": overlap, "batch_size": batch_size, "precision": precision}
    predictor = load(checkpoint, device, **settings)
    try:
        with counter("classify") as progress:
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
        say("stopped; the same command goes on from here", "yellow")
        raise typer.Exit(130) from None
    for area in sorted(result.areas, key=lambda area: -area.pixels):
        size = "" if area.square_metres is None else f"  {area.square_metres / 10_000:12.4f} ha"
        if area.pixels:
            say(f"{area.name:24} {100 * area.share:6.2f} %{size}")
    say(f"classes: {out}")
    if result.polygons is not None:
        say(f"{result.polygons} polygons: {polygons}")
    if not sum(area.pixels for area in result.areas):
        say("no pixel got a class: nowhere is there data", "yellow")
