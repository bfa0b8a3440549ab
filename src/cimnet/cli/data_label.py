"""The commands ``cimnet data label export``, ``import`` and ``boxes``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cimnet.cli.shared import Classes, ClassMap, Device, Layout, Trust, counter, parse_classes, parse_pairs, say
from cimnet.utils.numbers import pluralize

if TYPE_CHECKING:
    from cimnet.curation.label.label_files import Written

label_app = typer.Typer(
    no_args_is_help=True, help="Export pairs to a labelling tool, import masks, or make labels from boxes."
)


@label_app.command("export")
def export_command(
    root: Annotated[Path, typer.Argument(help="Folder of a data set.")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    to: Annotated[Literal["cvat", "label-studio"], typer.Option(help="Labelling tool.")],
    model: Annotated[
        str | None,
        typer.Option(help="Checkpoint that predicts masks to start from; the least certain pairs come first."),
    ] = None,
    labelled: Annotated[bool, typer.Option("--labelled", help="Export pairs that have labels, too.")] = False,
    most: Annotated[
        int | None, typer.Option(min=1, help="Export at most this many pairs; without --model, spread over the names.")
    ] = None,
    layout: Layout = "auto",
    classes: Classes = None,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Export the pairs without labels for CVAT or Label Studio, with thermal beside RGB."""
    from cimnet.curation.label import export_for_labelling
    from cimnet.data.classes import ClassList, choose_classes

    prelabel: Any = None
    chosen = parse_classes(classes)
    if model is not None:
        from cimnet.inference import load
        from cimnet.inference.uncertainty import predict_with_uncertainty

        predictor = load(model, device, trust=trust)
        own = ClassList(tuple(predictor.classes), tuple(predictor.colors))
        chosen = list((choose_classes(chosen, own, Path(model)) or own).names)

        def prelabel(arrays: Any, pair: Any) -> Any:
            thermal = predictor.info.scaling(arrays.thermal, pair.thermal or pair.rgb)
            return predict_with_uncertainty(predictor, arrays.rgb, thermal)

    with counter("label export") as report:
        done = export_for_labelling(
            root,
            out,
            to,
            prelabel=prelabel,
            labelled=labelled,
            most=most,
            layout=layout,
            classes=chosen,
            progress=report,
        )
    say(f"{pluralize(done.pairs, 'pair')}: {', '.join(map(str, done.files))}")


@label_app.command("import")
def import_command(
    root: Annotated[Path, typer.Argument(help="Folder of a data set of the layout folder.")],
    result: Annotated[
        Path, typer.Argument(help="CVAT's \"Segmentation mask 1.1\" (.zip or folder), or Label Studio's JSON.")
    ],
    names: Annotated[Path, typer.Option(help="names.csv of the export, or the export's folder.")],
    empty: Annotated[
        bool, typer.Option("--empty", help="Label images on which nothing is painted as background.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing labels that differ.")] = False,
    classes: Classes = None,
) -> None:
    """Write the masks that a tool exported into a data set as labels. Either all are written, or none."""
    from cimnet.curation.label import import_masks

    done = import_masks(root, result, names, empty=empty, overwrite=overwrite, classes=parse_classes(classes))
    hint = "" if empty else " (--empty labels images without paint as background)"
    rest = f"{pluralize(done.waiting, 'pair')} of the export came back without a mask{hint}" if done.waiting else ""
    _report(done, f"{pluralize(done.written, 'label')} written", rest)


@label_app.command("boxes")
def boxes_command(
    root: Annotated[Path, typer.Argument(help="Folder of a data set of the layout folder.")],
    boxes: Annotated[Path, typer.Argument(help="Boxes around objects, .csv or COCO .json.")],
    split: Annotated[str, typer.Option(help="Split to label; all is every pair.")] = "all",
    fill: Annotated[
        Literal["otsu", "box"], typer.Option(help="otsu: by the contrast inside a box; box: all of its pixels.")
    ] = "otsu",
    outside: Annotated[
        str, typer.Option(help="Pixels outside the boxes: ignore, the name of a class, or keep (the pair's label).")
    ] = "ignore",
    map_: ClassMap = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing labels that differ.")] = False,
    classes: Classes = None,
) -> None:
    """Write labels made from boxes into a data set. Either all are written, or none."""
    from cimnet.curation.label import label_from_boxes

    with counter("label boxes") as progress:
        done = label_from_boxes(
            root,
            boxes,
            split=split,
            fill=fill,
            outside=outside,
            overwrite=overwrite,
            classes=parse_classes(classes),
            class_map=parse_pairs(map_ or [], "--map"),
            progress=progress,
        )
    rest = f"{pluralize(done.whole, 'box', 'boxes')} without contrast filled as a whole" if done.whole else ""
    written = f"{pluralize(done.written, 'label')} written from {pluralize(done.objects, 'box', 'boxes')}"
    _report(done, written, rest)


def _report(done: Written, first: str, rest: str) -> None:
    """Say what became of the label files, between what was written and the rest."""
    replaced = f"{done.replaced} of them replaced others" if done.replaced else ""
    same = f"{done.same} were the same" if done.same else ""
    say("; ".join(part for part in (first, replaced, same, rest) if part))
