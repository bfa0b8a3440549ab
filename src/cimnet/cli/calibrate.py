"""`cimnet calibrate`: honest probabilities, and alarms for broken sensors and misaligned pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markdown import Markdown

from cimnet.cli.shared import Checkpoint, Device, Layout, Trust, console, counter, say
from cimnet.errors import CheckpointError, DataError
from cimnet.utils.numbers import pluralize

if TYPE_CHECKING:
    from cimnet.data import RGBTDataset


def calibrate(
    checkpoint: Checkpoint,
    dataset: Annotated[Path, typer.Argument(help="Folder of a data set with labels.")],
    split: Annotated[str, typer.Option(help="Split to fit on; not the one that the model was trained on.")] = "val",
    test_split: Annotated[str, typer.Option(help="Split to score on; with other pairs.")] = "test",
    out: Annotated[Path | None, typer.Option(help="Checkpoint to write. Default: CHECKPOINT itself.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for calibration.json, reliability.png and roc.png.")
    ] = None,
    defects: Annotated[
        str | None,
        typer.Option(
            help="Corruptions to fit on, with commas, e.g. fog,thermal_blur,affine. Default: all except "
            "rgb_dropped and thermal_dropped."
        ),
    ] = None,
    layout: Layout = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of pixels and defects.")] = 0,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Fit a temperature, three alarms (RGB broken, thermal broken, misaligned) and the gate of a cimnetx model. Store
    them in the checkpoint."""
    from cimnet.analysis.calibration.defects import defects_named
    from cimnet.analysis.calibration.fit import REPORT, store, write_report
    from cimnet.analysis.calibration.fit import calibrate as run
    from cimnet.checkpoint import checkpoint_file, weight_files
    from cimnet.data.class_pixels import check_scorable
    from cimnet.inference import load
    from cimnet.utils.files import refuse_inputs_as_outputs, require_writable, require_writable_file
    from cimnet.weights.locate import locate

    chosen = defects_named(defects)
    source = locate(checkpoint)
    if out is None and (source != checkpoint or not source.exists()):
        raise CheckpointError(
            f"checkpoint {checkpoint}: no such file or folder here; of starter or a model on the Hub give --out"
        )
    target = out or checkpoint_file(source)
    require_writable_file(target)
    if report is not None:
        require_writable(report)
    predictor = load(source, device, trust=trust)
    predictor.info.second.require_one_channel("cimnet calibrate", "use the checkpoint without alarms and temperature")
    fit = predictor.open_dataset(dataset, split, layout=layout)
    test = predictor.open_dataset(dataset, test_split, layout=layout)
    for data in (fit, test):
        check_scorable(data)
    files = [*fit.files, *test.files]
    refuse_inputs_as_outputs([target], files)  # the checkpoint itself may be the target
    if report is not None:
        refuse_inputs_as_outputs([report / name for name in REPORT], [*weight_files(source), target, *files])
    _require_new_pairs(checkpoint_file(source).parent, fit, test)
    with counter("calibrate") as progress:
        result = run(
            predictor.network, fit, test, device=predictor.device, seed=seed, defects=chosen, progress=progress
        )
    console.print(Markdown(result.to_markdown()))
    for doubt in result.doubts():
        say(f"warning: {doubt}", "yellow")
    store(target, predictor.network, predictor.info, result)
    say(f"temperature{', gate' if result.gate else ''} and alarms: {target}")
    if report is not None:
        write_report(report, result)
        say(f"report: {report}")


def _require_new_pairs(folder: Path, fit: RGBTDataset, test: RGBTDataset) -> None:
    """Refuse pairs that the model of a run folder was trained on, and pairs that are to be fitted and scored on."""
    from cimnet.data.io.split_lists import name_some
    from cimnet.training.data_record import describe_trained

    for option, data in (("--split", fit), ("--test-split", test)):
        if known := describe_trained(folder, data):
            raise DataError(f"{option} {known}")
    if shared := sorted({*fit.ids} & {*test.ids}):
        raise DataError(
            f"--split {fit.split} and --test-split {test.split} share {pluralize(len(shared), 'pair')} "
            f"({name_some(shared)}), so the scores would be those of the fit; give splits of different pairs"
        )
