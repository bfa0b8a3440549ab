"""Run ``cimnet eval --boxes``: it scores objects in place of label pixels."""

from __future__ import annotations

from pathlib import Path

from rich.markdown import Markdown

from cimnet.cli.shared import bar, console, say, warn_of_trained_pairs
from cimnet.data.dataset import Broken
from cimnet.inference import Predictor
from cimnet.utils.numbers import pluralize


def score_boxes(
    predictor: Predictor,
    root: Path,
    split: str,
    boxes: Path,
    class_map: dict[str, str],
    *,
    layout: str,
    broken: Broken,
    outputs: dict[str, Path | None],
    source: Path,
) -> None:
    """Judge a model's masks by boxes, and print and write the report.

    Args:
        outputs: where "json" and "markdown" go, if anywhere.
        source: local file or run folder of the model.
    """
    from cimnet.checkpoint import checkpoint_file
    from cimnet.data.boxes import boxes_of_pairs, read_boxes
    from cimnet.evaluation import evaluate_boxes
    from cimnet.utils.files import refuse_inputs_as_outputs, write_text

    file = read_boxes(boxes)
    data = predictor.open_dataset(root, split, layout=layout, broken=broken, require_labels=False)
    written = [path for path in outputs.values() if path is not None]
    refuse_inputs_as_outputs(written, [boxes, checkpoint_file(source), *data.files])
    warn_of_trained_pairs(source, data)
    found = boxes_of_pairs(file, data, class_map)
    if found.elsewhere:
        count = pluralize(found.elsewhere, "box", "boxes")
        say(f"{boxes}: {count} of pairs outside the split {split!r}, left out", "yellow")
    with bar("evaluate", len(data)) as advance:
        result = evaluate_boxes(predictor.segment, data, found, device=predictor.device, progress=advance)
    tables = result.to_markdown()
    console.print(Markdown(tables))
    if (path := outputs["json"]) is not None:
        write_text(path, result.to_json())
    if (path := outputs["markdown"]) is not None:
        write_text(path, tables)
