"""ONNX: the traced graph with padding, cropping and argmax around it."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch

from cimnet.deploy.export import onnx_scan, tensorrt
from cimnet.deploy.export.onnx_frame import after, before
from cimnet.deploy.export.onnx_operators import added_operators
from cimnet.deploy.export.onnx_options import OnnxOptions
from cimnet.errors import ConfigError, one_line
from cimnet.inference.backends.details import Details
from cimnet.inference.backends.trace import TiledModel, example, free_axes
from cimnet.models import RGBTModel
from cimnet.ops.deformable import Implementation, use_implementation
from cimnet.utils.extras import require


def to_onnx(model: RGBTModel, details: Details, metadata: dict[str, str], options: OnnxOptions | None = None) -> Any:
    """A model ``(rgb, thermal) -> logits`` or ``-> mask`` for images (B, 3, H, W) and (B, C, H, W), of any batch and
    size where ``details`` fix none.

    Returns:
        ``onnx.ModelProto``.

    Raises:
        ConfigError: without the extra ``export``, or if an operator has no form in ONNX or in this opset, or, asked
            for TensorRT, is not on its list.
    """
    require("onnx", "export", "ONNX")
    import onnx
    from onnx import compose

    options = options or OnnxOptions()
    head, tail = before(details, options), after(details, options)
    core = _core(TiledModel(model, details), details, options)
    core.ir_version = head.ir_version
    for part, prefix in ((head, "before/"), (tail, "after/")):
        compose.add_prefix(part, prefix, rename_inputs=False, rename_outputs=False, inplace=True)
    joined = compose.merge_models(head, core, [("tiles", "tiles")], outputs=["scores", "size", "inner"])
    joined = compose.merge_models(joined, tail, [(name, name) for name in ("scores", "size", "inner")])
    del joined.opset_import[1:]  # merging repeats the one set of operators
    joined.producer_name, joined.doc_string = "cimnet", ""
    onnx.helper.set_model_props(joined, metadata)
    onnx.checker.check_model(joined)
    return joined


def _core(network: TiledModel, details: Details, options: OnnxOptions) -> Any:
    """The network alone. By tracing (``dynamo=False``), which keeps the names of modules;
    :mod:`cimnet.deploy.export.quantize` goes by them."""
    import onnx

    free = free_axes(details)
    implementation: Implementation = "grid_sample" if options.deformable == "grid-sample" else "torchvision"
    buffer = io.BytesIO()
    try:
        with (
            warnings.catch_warnings(),
            use_implementation(implementation),
            added_operators(options),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (example(details),),
                buffer,  # type: ignore[arg-type]  # a file object is right for this way of exporting
                dynamo=False,
                opset_version=options.opset,
                input_names=["tiles"],
                output_names=["scores"],
                dynamic_axes={"tiles": free} if free else None,
            )
    except (RuntimeError, ValueError, TypeError, AssertionError, torch.onnx.OnnxExporterError) as error:
        raise ConfigError(f"this model has no form in ONNX, opset {options.opset}: {one_line(error)}") from error
    core = onnx.load_from_string(buffer.getvalue())
    if options.tensorrt:
        tensorrt.check_operators(core)  # before a selective scan becomes what it stands for
    return onnx_scan.write_scans(core, options.opset)
