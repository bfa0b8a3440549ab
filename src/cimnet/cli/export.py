"""The command ``cimnet export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cimnet.cli.shared import Checkpoint, Trust, say


def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="File to write: .onnx, .xml (a .bin goes beside it) or .pt2.")],
    format: Annotated[
        Literal["onnx", "openvino", "pt2"] | None, typer.Option(help="Default: by the ending of --out.")
    ] = None,
    argmax: Annotated[bool, typer.Option("--argmax/--logits", help="Give class ids, or a score per class.")] = False,
    normalization: Annotated[
        bool,
        typer.Option("--normalization/--no-normalization", help="Take images in 0..1, or normalised ones."),
    ] = True,
    bf16: Annotated[bool, typer.Option("--bf16", help="Ask OpenVINO for bfloat16.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise weights and features (ONNX, OpenVINO).")] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="Folder of a data set whose training pairs set the ranges for --int8.")
    ] = None,
    deformable: Annotated[
        Literal["operator", "grid-sample"],
        typer.Option(help="Deformable convolutions in ONNX: as DeformConv, or by GridSample for TensorRT."),
    ] = "operator",
    trust: Trust = False,
) -> None:
    """Write a trained model for ONNX Runtime, OpenVINO or torch.export: any batch, any size, checked before it is
    kept."""
    from cimnet.deploy.export.write import SUFFIXES
    from cimnet.deploy.export.write import export as run
    from cimnet.errors import ConfigError

    if bf16 and int8:
        raise ConfigError("--bf16 and --int8 exclude each other; leave one out")
    chosen = format or next((name for name, suffix in SUFFIXES.items() if suffix == out.suffix), None)
    if chosen is None:
        raise ConfigError(f"{out}: the name of an export ends in {', '.join(SUFFIXES.values())}")
    parity = run(
        checkpoint,
        out,
        chosen,
        argmax=argmax,
        normalization=normalization,
        precision="int8" if int8 else "bfloat16" if bf16 else "float32",
        calibration=calibration,
        deformable=deformable,
        trust=trust,
    )
    size = sum(path.stat().st_size for path in {out, out.with_suffix(".bin")} if path.is_file()) / 1e6
    error = "" if parity.error is None else f", logits differ by {parity.error:.2g} at most"
    say(f"{out} ({size:.1f} MB): {100 * parity.equal:.3f} % of the pixels of a random pair as in the model{error}")
