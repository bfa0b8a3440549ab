"""The command ``cimnet export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cimnet.cli.shared import Checkpoint, Trust, parse_size, say

if TYPE_CHECKING:
    from cimnet.deploy.export import Parity


def export(
    checkpoint: Checkpoint,
    out: Annotated[
        Path | None, typer.Option(help="File to write: .onnx, .xml (a .bin goes beside it) or .pt2.")
    ] = None,
    triton: Annotated[
        Path | None,
        typer.Option(help="Instead of --out: folder for a model repository of NVIDIA's Triton server."),
    ] = None,
    format: Annotated[
        Literal["onnx", "openvino", "pt2"] | None,
        typer.Option(help="Format. Default: by the ending of --out; onnx for --triton."),
    ] = None,
    argmax: Annotated[
        bool, typer.Option("--argmax/--logits", help="Output: class ids, or one score per class.")
    ] = False,
    normalization: Annotated[
        bool,
        typer.Option("--normalization/--no-normalization", help="Input: images in 0..1, or normalised images."),
    ] = True,
    size: Annotated[str | None, typer.Option(help="Fix the image size, HEIGHTxWIDTH. Default: any size.")] = None,
    batch: Annotated[int | None, typer.Option(help="Fix the number of pairs in a pass. Default: any number.")] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Write weights and features in float16 (ONNX).")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="Run in bfloat16 after the first stages (OpenVINO).")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise weights and features to 8 bits (ONNX, OpenVINO).")
    ] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="Folder of a data set whose training pairs set the ranges for --int8.")
    ] = None,
    target: Annotated[
        Literal["any", "tensorrt"],
        typer.Option(
            "--for", help="tensorrt: use only operators that TensorRT has; refuse a model that needs others (ONNX)."
        ),
    ] = "any",
    opset: Annotated[
        int | None, typer.Option(help="Version of the ONNX operators, 16 to 20. Default: 20; for TensorRT: 17.")
    ] = None,
    deformable: Annotated[
        Literal["operator", "grid-sample"] | None,
        typer.Option(
            help="Write deformable convolutions in ONNX as DeformConv (default), or as GridSample (default for "
            "TensorRT and Triton)."
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Export a trained model for ONNX Runtime, OpenVINO, TensorRT, Triton or torch.export.

    The file takes any batch and size unless you fix them, and is compared with the model.
    """
    from cimnet.deploy.export.triton import export_triton
    from cimnet.deploy.export.write import SUFFIXES
    from cimnet.deploy.export.write import export as run
    from cimnet.errors import ConfigError

    if (out is None) == (triton is None):
        raise ConfigError("give either --out, the file to write, or --triton, the folder of a model repository")
    chosen_precision = [name for name, given in (("--fp16", fp16), ("--bf16", bf16), ("--int8", int8)) if given]
    if len(chosen_precision) > 1:
        raise ConfigError(f"{' and '.join(chosen_precision)} exclude each other; give one of them")
    options: dict[str, Any] = {
        "argmax": argmax,
        "normalization": normalization,
        "precision": "float16" if fp16 else "int8" if int8 else "bfloat16" if bf16 else "float32",
        "calibration": calibration,
        "target": target,
        "deformable": deformable,
        "opset": opset,
        "size": None if size is None else parse_size(size),
        "batch": batch,
        "trust": trust,
    }
    if triton is not None:
        chosen_format: Any = format or "onnx"  # pt2, for which Triton has no backend, is refused there
        folder, parity = export_triton(checkpoint, triton, chosen_format, **options)
        _report(folder, sum(path.stat().st_size for path in (folder / "1").iterdir()), parity)
        return
    assert out is not None
    chosen = format or next((name for name, suffix in SUFFIXES.items() if suffix == out.suffix), None)
    if chosen is None:
        raise ConfigError(f"{out}: the name of an export ends in {', '.join(SUFFIXES.values())}")
    parity = run(checkpoint, out, chosen, **options)
    _report(out, sum(path.stat().st_size for path in {out, out.with_suffix(".bin")} if path.is_file()), parity)


def _report(out: Path, size: int, parity: Parity) -> None:
    from cimnet.deploy.export.parity import LEAST

    error = "" if parity.error is None else f", logits differ by {parity.error:.2g} at most"
    equal = f"{100 * parity.equal:.3f} % of the pixels of a random pair agree with the model"
    say(f"{out} ({size / 1e6:.1f} MB): {equal}{error}")
    if parity.equal < LEAST:
        say(f"less than {100 * LEAST:g} %: score it with `cimnet eval FILE DATASET` before you use it", "yellow")
