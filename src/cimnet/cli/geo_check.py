"""The command ``cimnet geo-check``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cimnet.cli.shared import ProgressLines, RGBBands, RGBRange, ThermalBandOption, counter, say
from cimnet.utils.numbers import pluralize


def geo_check(
    rgb: Annotated[Path, typer.Option(help="GeoTIFF with red, green and blue.")],
    thermal: Annotated[Path, typer.Option(help="GeoTIFF with one band.")],
    out: Annotated[Path | None, typer.Option(help="GeoTIFF to write: the thermal raster, moved by the offset.")] = None,
    rgb_bands: RGBBands = None,
    thermal_band: ThermalBandOption = None,
    rgb_range: RGBRange = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    progress_lines: ProgressLines = False,
) -> None:
    """Measure from the image content how far two rasters are displaced.

    --out writes the thermal raster, moved onto the RGB raster.
    """
    from cimnet.data.io.bands import parse_bands
    from cimnet.deploy.geo import check_rasters

    bands = parse_bands(rgb_bands, thermal_band, rgb_range)
    with counter("check", progress_lines) as progress:
        found = check_rasters(
            rgb,
            thermal,
            out=out,
            bands=bands,
            overwrite=overwrite,
            warn=lambda text: say(text, "yellow"),
            progress=progress,
        )
    if json_:
        print(json.dumps(found.to_dict()))
        return
    if found.status != "ok":
        say(f"unknown (confidence {found.confidence:.2f}): no reliable alignment found", "yellow")
        return
    ground = "" if found.metres is None else f" ({found.metres:.3f} m on the ground)"
    say(f"offset: {found.dx:+.2f} px right, {found.dy:+.2f} px down{ground}")
    windows = pluralize(found.windows, "window")
    say(f"confidence {found.confidence:.2f} from {windows}; a move leaves up to {found.stretch:.1f} px")
    if out is not None:
        say(f"written: {out}")
