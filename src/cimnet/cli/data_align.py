"""`cimnet data align`: the offset of one pair, or a data set whose thermal images are moved onto the RGB images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cimnet.cli.shared import Layout, ThermalBandOption, counter, parse_numbers, say
from cimnet.errors import ConfigError
from cimnet.utils.numbers import pluralize


def align(
    root: Annotated[Path | None, typer.Argument(help="Data set to register.")] = None,
    out: Annotated[Path | None, typer.Argument(help="New folder for the registered copy.")] = None,
    rgb: Annotated[Path | None, typer.Option(help="RGB image of one pair.")] = None,
    thermal: Annotated[Path | None, typer.Option(help="Thermal image of one pair.")] = None,
    thermal_band: ThermalBandOption = None,
    label: Annotated[
        Path | None, typer.Option(help="Label of the pair; also measures the offsets of single objects.")
    ] = None,
    movable: Annotated[str | None, typer.Option(help="Class ids in the label that may move, with commas.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    figure: Annotated[Path | None, typer.Option(help="Draw the pair before and after, .png or .jpg.")] = None,
    click: Annotated[Path | None, typer.Option(help="Click matching points of the pair into this CSV file.")] = None,
    points: Annotated[
        Path | None, typer.Option(help="CSV file of matched points: rgb_x,rgb_y,thermal_x,thermal_y.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="Matrix or stereo calibration, YAML or JSON.")] = None,
    layout: Layout = "auto",
    per_pair: Annotated[
        bool, typer.Option("--per-pair", help="Estimate one matrix per pair where a reliable alignment is found.")
    ] = False,
    crop: Annotated[bool, typer.Option("--crop", help="Cut to the area that all thermal images cover.")] = False,
) -> None:
    """Measure how far RGB and thermal are displaced (--rgb, --thermal), or register a whole data set (DIR OUT)."""
    for_pair = {
        "--rgb": rgb,
        "--thermal": thermal,
        "--thermal-band": thermal_band,
        "--label": label,
        "--movable": movable,
        "--json": json_,
    }
    for_pair |= {"--figure": figure, "--click": click}
    for_set = {"DIR": root, "OUT": out, "--calibration": calibration, "--per-pair": per_pair, "--crop": crop}
    for_set |= {"--layout": layout != "auto"}
    extra = [name for name, given in (for_set if rgb or thermal else for_pair).items() if given]
    if extra:
        kind = "a data set (DIR OUT)" if rgb or thermal else "one pair (--rgb, --thermal)"
        raise ConfigError(f"{extra[0]} is for {kind}")
    if (click or calibration) and points:
        raise ConfigError("give one of --points, --click and --calibration")
    if movable and label is None:
        raise ConfigError("--movable names classes of a --label")
    if rgb is not None and thermal is not None:
        _one_pair(rgb, thermal, thermal_band, label, movable, json_, figure, click, points)
    elif root is not None and out is not None:
        _data_set(root, out, layout, points, calibration, per_pair, crop)
    else:
        raise ConfigError("give --rgb and --thermal for one pair, or DIR and OUT for a data set")


def _one_pair(
    rgb_path: Path,
    thermal_path: Path,
    thermal_band: str | None,
    label_path: Path | None,
    movable: str | None,
    json_: bool,
    figure: Path | None,
    click: Path | None,
    points: Path | None,
) -> None:
    from dataclasses import asdict

    from cimnet.data.io.bands import parse_bands
    from cimnet.data.io.thermal_files import Wanted, read_pair
    from cimnet.data.labels import read_stored_ids
    from cimnet.registration import align_pair
    from cimnet.registration.before_after import plot_pair
    from cimnet.registration.camera_calibration import fit_points, pick_points, read_points
    from cimnet.registration.matrices import Matrix
    from cimnet.registration.objects import object_offsets
    from cimnet.registration.prepare import centre_offset
    from cimnet.utils.figures import check_figure_path, save_figure
    from cimnet.utils.files import refuse_inputs_as_outputs, require_writable_file

    if figure is not None:
        check_figure_path(figure)
    outputs = [path for path in (figure, click) if path is not None]
    for path in outputs:
        require_writable_file(path)
    inputs = [path for path in (rgb_path, thermal_path, label_path, points) if path is not None]
    refuse_inputs_as_outputs(outputs, inputs)
    if click is not None and click.exists():
        raise ConfigError(f"--click {click}: exists already; use its points with --points, or choose another name")
    rgb, thermal = read_pair(rgb_path, thermal_path, Wanted(bands=parse_bands(None, thermal_band, None)))
    if click is not None:
        pick_points(rgb, thermal, click)
        points = click
    size, thermal_size = (rgb.shape[0], rgb.shape[1]), (thermal.shape[0], thermal.shape[1])
    content: dict[str, Any]
    if points is not None:
        fit = fit_points(read_points(points), str(points))
        matrix: Matrix | None = fit.matrix
        dx, dy = centre_offset(fit.matrix, size, thermal_size)
        content = {"status": "ok", "matrix": fit.matrix.tolist(), "dx": dx, "dy": dy}
        content |= {"confidence": None, "residual": fit.residual, "left_out": fit.left_out}
    else:
        found = align_pair(rgb, thermal)
        content, matrix = found.to_dict(), found.matrix
    content |= {"rgb_size": list(size), "thermal_size": list(thermal_size)}
    if label_path is not None:
        content["objects"] = []
    if label_path is not None and matrix is not None:
        label = read_stored_ids(label_path)
        ids = parse_numbers(movable, "--movable", "3,4,5") if movable else sorted({*label.ravel().tolist()} - {0, 255})
        content["objects"] = [asdict(thing) for thing in object_offsets(rgb, thermal, label, ids, matrix)]
    if json_:
        print(json.dumps(content, allow_nan=False))
    elif content["status"] == "unknown":
        say(f"unknown (confidence {content['confidence']:.2f}): no reliable alignment found", "yellow")
    else:
        say("\n".join(f"{key}: {value}" for key, value in content.items() if value is not None))
    if size != thermal_size and not json_:
        say(
            f"dx, dy: pixels of the RGB image ({size[1]}x{size[0]}); the thermal image has "
            f"{thermal_size[1]}x{thermal_size[0]}, so register the pairs also without an offset (DIR OUT)",
            "yellow",
        )
    if figure is not None:
        save_figure(plot_pair(rgb, thermal, matrix), figure)


def _data_set(
    root: Path,
    out: Path,
    layout: str,
    points: Path | None,
    calibration: Path | None,
    per_pair: bool,
    crop: bool,
) -> None:
    from cimnet.curation.register import register_dataset, sizes_differ
    from cimnet.data import find_layout
    from cimnet.data.io.open_image import image_size
    from cimnet.errors import DataError
    from cimnet.registration.bands import NOTABLE
    from cimnet.registration.camera_calibration import fit_points, read_calibration, read_points
    from cimnet.registration.mapping import Mapping

    mapping = None
    index = find_layout(root, layout).index(root)
    if points is not None:
        matched = read_points(points)
        if len(matched) < 3 and any(sizes_differ(root, index)):
            raise DataError(
                f"{points}: {pluralize(len(matched), 'point')}, but the images differ in size: give three or more"
            )
        fit = fit_points(matched, str(points))
        others = "" if fit.left_out is None else f"; each predicted from the others: {fit.left_out:.2f} px"
        say(f"{points}: root mean square residual {fit.residual:.2f} px{others}")
        mapping = Mapping(fit.matrix, source=str(points))
    elif calibration is not None:
        files = index.rgb.files
        if not files:
            raise DataError(f"{root}: no RGB images")
        rig = read_calibration(calibration)
        mapping = rig.mapping(image_size(next(iter(files.values()))))
        if None in (rig.rgb_size, rig.thermal_size):
            said = "does not say the sizes of both images (rgb_size, thermal_size): taken as made for these"
            say(f"{calibration}: {said}", "yellow")
    with counter("align") as progress:
        done = register_dataset(
            root, out, layout=layout, mapping=mapping, per_pair=per_pair, crop=crop, progress=progress
        )
    if done.rig is not None:
        say(f"cameras: dx {done.rig.dx:.2f}, dy {done.rig.dy:.2f} px, confidence {done.rig.confidence:.2f}")
    if per_pair:
        own, median = pluralize(len(done.pairs) - len(done.fallback), "pair"), done.median()
        about = "" if median is None else f" (median dx {median[0]:.2f}, dy {median[1]:.2f} px)"
        say(f"{own} with their own matrix{about}, {len(done.fallback)} with that of the cameras")
    known = [band for band in done.left_over if band.dx is not None and band.dy is not None]
    worst = max((max(abs(band.dx or 0), abs(band.dy or 0)) for band in known), default=0.0)
    if worst > NOTABLE:
        parts = [f"rows {band.top} to {band.bottom} dx {band.dx:.1f}, dy {band.dy:.1f}" for band in known]
        say(f"offsets left after registration, px: {'; '.join(parts)}", "yellow")
        say("objects at other distances lie elsewhere; --rgb, --thermal and --label tell where single ones do")
    say(f"registered: {out}; matrices in {out / 'alignment.json'}")
