"""The command ``cimnet eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markdown import Markdown

from cimnet.cli.shared import (
    Checkpoint,
    ClassMap,
    Device,
    Flip,
    ForceRange,
    Layout,
    Precision,
    Scales,
    Trust,
    bar,
    console,
    parse_pairs,
    parse_scales,
    say,
    warn_of_trained_pairs,
)
from cimnet.errors import ConfigError


def evaluate(
    checkpoint: Checkpoint,
    dataset: Annotated[Path, typer.Argument(help="Folder of a data set.")],
    split: Annotated[str, typer.Option(help="Name of the split's list.")] = "test",
    absent: Annotated[
        Literal["ignore", "zero"],
        typer.Option(help="Classes absent from truth and prediction: leave them out, or count them as 0."),
    ] = "ignore",
    broken: Annotated[
        Literal["keep", "drop", "only", "rgb", "thermal"],
        typer.Option(
            help="Pairs that the lists call broken: keep them, drop them, score only them, or only those of one sensor."
        ),
    ] = "keep",
    boxes: Annotated[
        Path | None, typer.Option(help="Score objects by boxes, .csv or COCO .json; labels are not needed.")
    ] = None,
    map_: ClassMap = None,
    layout: Layout = "auto",
    json_: Annotated[Path | None, typer.Option("--json", help="Write the scores as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the confusion matrix as a picture.")] = None,
    force_range: ForceRange = False,
    flip: Flip = False,
    scales: Scales = "1",
    precision: Precision = "float32",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Score a checkpoint on a labelled split, per class, scene and flag, or by boxes around objects."""
    from cimnet.checkpoint import checkpoint_file
    from cimnet.cli.evaluate_boxes import score_boxes
    from cimnet.data.class_pixels import check_scorable
    from cimnet.evaluation import evaluate as run
    from cimnet.evaluation.confusion_figure import plot_confusion
    from cimnet.inference import load
    from cimnet.utils.figures import check_figure_path, save_figure
    from cimnet.utils.files import refuse_inputs_as_outputs, require_writable_file, write_text
    from cimnet.weights.locate import locate

    if map_ and boxes is None:
        raise ConfigError("--map is for the classes of --boxes")
    if boxes is not None and (figure is not None or absent != "ignore"):
        raise ConfigError("--figure and --absent are for labels; leave them out with --boxes")
    if figure is not None:
        check_figure_path(figure)
    for path in (json_, markdown, figure):
        if path is not None:
            require_writable_file(path)
    views = {"flip": flip, "scales": parse_scales(scales), "precision": precision}
    source = locate(checkpoint)
    predictor = load(source, device, trust=trust, force_range=force_range, **views)
    if boxes is not None:
        score_boxes(
            predictor,
            dataset,
            split,
            boxes,
            parse_pairs(map_ or [], "--map"),
            layout=layout,
            broken=broken,
            outputs={"json": json_, "markdown": markdown},
            source=source,
        )
        return
    data = predictor.open_dataset(dataset, split, layout=layout, broken=broken)
    refuse_inputs_as_outputs(
        [path for path in (json_, markdown, figure) if path is not None], [checkpoint_file(source), *data.files]
    )
    if said := check_scorable(data):
        say(said, "yellow")
    warn_of_trained_pairs(source, data)
    with bar("evaluate", len(data)) as advance:
        result = run(predictor.segment, data, absent=absent, device=predictor.device, progress=advance)
    console.print(Markdown(result.to_markdown()))
    if json_ is not None:
        write_text(json_, result.to_json())
    if markdown is not None:
        write_text(markdown, result.to_markdown())
    if figure is not None:
        save_figure(plot_confusion(result), figure)
