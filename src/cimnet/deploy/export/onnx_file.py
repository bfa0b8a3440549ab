"""ONNX: the traced graph with padding, cropping and argmax around it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.onnx import symbolic_helper

from cimnet.deploy.export import onnx_scan
from cimnet.errors import ConfigError, one_line
from cimnet.inference.backends.details import Details
from cimnet.inference.backends.trace import TILE, TiledModel, example
from cimnet.models import RGBTModel
from cimnet.ops.deformable import Implementation, use_implementation
from cimnet.utils.extras import require

OPSET = 20
"""DeformConv came with 19; 20 is the one whose Resize, GridSample and DeformConv are tested together here."""

BEFORE = """
<ir_version: 9, opset_import: ["" : {opset}]>
before (float[batch, 3, height, width] rgb, float[batch, 1, height, width] thermal)
    => (float[batch, 4, rows, {tile}, columns, {tile}] tiles, int64[2] size, int64[2] inner)
{{
    pair = Concat <axis = 1> (rgb, thermal)
    size = Shape <start = 2> (pair)
    batch_size = Shape <end = 1> (pair)
    {scaling}
    tile = Constant <value_ints = [{tile}]> ()
    negative = Neg (inner)
    missing = Mod (negative, tile)
    none = Constant <value_ints = [0, 0, 0, 0, 0, 0]> ()
    pads = Concat <axis = 0> (none, missing)
    padded = Pad <mode = "edge"> (scaled, pads)
    whole = Add (inner, missing)
    number = Div (whole, tile)
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    rows_of = Gather <axis = 0> (number, first)
    columns_of = Gather <axis = 0> (number, second)
    channels = Constant <value_ints = [4]> ()
    shape = Concat <axis = 0> (batch_size, channels, rows_of, tile, columns_of, tile)
    tiles = Reshape (padded, shape)
}}
"""

UNSCALED = """
    inner = Identity (size)
    scaled = Identity (pair)
"""

# A resized constant image is constant only up to rounding, so it is filled with one of its values.
SCALED = """
    factor = Constant <value = double[1] {{{scale!r}}}> ()
    exact = Cast <to = 11> (size)
    product = Mul (exact, factor)
    rounded = Round (product)
    integer = Cast <to = 7> (rounded)
    least = Constant <value_ints = [1]> ()
    inner = Max (integer, least)
    four = Constant <value_ints = [4]> ()
    to = Concat <axis = 0> (batch_size, four, inner)
    resized = Resize <antialias = 1, exclude_outside = 1, mode = "linear"> (pair, , , to)
    axes = Constant <value_ints = [1, 2, 3]> ()
    rgb_low = ReduceMin (rgb, axes)
    rgb_high = ReduceMax (rgb, axes)
    thermal_low = ReduceMin (thermal, axes)
    thermal_high = ReduceMax (thermal, axes)
    rgb_same = Equal (rgb_low, rgb_high)
    thermal_same = Equal (thermal_low, thermal_high)
    same = Concat <axis = 1> (rgb_same, rgb_same, rgb_same, thermal_same)
    low = Concat <axis = 1> (rgb_low, rgb_low, rgb_low, thermal_low)
    scaled = Where (same, low, resized)
"""

AFTER = """
<ir_version: 9, opset_import: ["" : {opset}]>
after (float[batch, classes, padded_height, padded_width] scores, int64[2] size, int64[2] inner)
    => ({result} {name})
{{
    start = Constant <value_ints = [0, 0]> ()
    axes = Constant <value_ints = [2, 3]> ()
    cropped = Slice (scores, start, inner, axes)
    {scaling}
    {last}
}}
"""

RESTORED = """
    kept = Shape <end = 2> (cropped)
    to = Concat <axis = 0> (kept, size)
    whole = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (cropped, , , to)
"""


def to_onnx(
    model: RGBTModel, details: Details, metadata: dict[str, str], deformable: Implementation = "torchvision"
) -> Any:
    """A model ``(rgb, thermal) -> logits`` or ``-> mask`` for images (B, 3, H, W) and (B, 1, H, W) of any size.

    Args:
        deformable: ``torchvision`` becomes ``DeformConv``, ``grid_sample`` becomes ``GridSample``.

    Returns:
        ``onnx.ModelProto``.

    Raises:
        ConfigError: without the extra ``export``, or if an operator has no form in ONNX.
    """
    require("onnx", "export", "ONNX")
    import onnx
    from onnx import compose, parser

    scaled = details.input_scale != 1
    before = parser.parse_model(
        BEFORE.format(opset=OPSET, tile=TILE, scaling=SCALED.format(scale=details.input_scale) if scaled else UNSCALED)
    )
    after = parser.parse_model(
        AFTER.format(
            opset=OPSET,
            result="int64[batch, height, width]" if details.argmax else "float[batch, classes, height, width]",
            name=output_name(details),
            scaling=RESTORED if scaled else "whole = Identity (cropped)",
            last="mask = ArgMax <axis = 1, keepdims = 0> (whole)" if details.argmax else "logits = Identity (whole)",
        )
    )
    core = _core(TiledModel(model, details.normalization), example(), deformable)
    core.ir_version = before.ir_version
    for model, prefix in ((before, "before/"), (after, "after/")):
        compose.add_prefix(model, prefix, rename_inputs=False, rename_outputs=False, inplace=True)
    joined = compose.merge_models(before, core, [("tiles", "tiles")], outputs=["scores", "size", "inner"])
    joined = compose.merge_models(joined, after, [(name, name) for name in ("scores", "size", "inner")])
    del joined.opset_import[1:]  # merging repeats the one set of operators
    joined.producer_name, joined.doc_string = "cimnet", ""
    onnx.helper.set_model_props(joined, metadata)
    onnx.checker.check_model(joined)
    return joined


def output_name(details: Details) -> str:
    """Of the file's one output."""
    return "mask" if details.argmax else "logits"


def _core(network: TiledModel, tiles: Tensor, deformable: Implementation) -> Any:
    """The network alone. By tracing (``dynamo=False``), which keeps the names of modules;
    :mod:`cimnet.deploy.export.quantize` goes by them."""
    import onnx

    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), use_implementation(deformable), _operators(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (tiles,),
                buffer,  # type: ignore[arg-type]  # a file object is right for this way of exporting
                dynamo=False,
                opset_version=OPSET,
                input_names=["tiles"],
                output_names=["scores"],
                dynamic_axes={"tiles": {0: "batch", 2: "rows", 4: "columns"}},
            )
    except (RuntimeError, ValueError, TypeError, AssertionError, torch.onnx.OnnxExporterError) as error:
        raise ConfigError(f"this model has no form in ONNX: {one_line(error)}") from error
    return onnx_scan.write_scans(onnx.load_from_string(buffer.getvalue()), OPSET)


@contextmanager
def _operators() -> Iterator[None]:
    """Three operators that torch does not know how to write."""
    added: dict[str, Callable[..., Any]] = {
        "torchvision::deform_conv2d": _deform_conv,
        "aten::median": _median,
        "cimnet::selective_scan": _selective_scan,
    }
    for name, function in added.items():
        torch.onnx.utils.register_custom_op_symbolic(name, function, OPSET)
    try:
        yield
    finally:
        for name in added:
            torch.onnx.utils.unregister_custom_op_symbolic(name, OPSET)


def _deform_conv(g: Any, x: Any, weight: Any, offset: Any, mask: Any, bias: Any, *numbers: Any) -> Any:
    """The operator of torchvision: stride, padding and dilation (vertical, horizontal), groups, offset groups, whether
    there is a mask."""
    *pairs, groups, offset_groups, has_mask = (symbolic_helper._parse_arg(value, "i") for value in numbers)
    stride, padding, dilation = pairs[0:2], pairs[2:4], pairs[4:6]
    return g.op(
        "DeformConv",
        *(x, weight, offset, bias, *([mask] if has_mask else [])),
        strides_i=stride,
        pads_i=[*padding, *padding],
        dilations_i=dilation,
        group_i=groups,
        offset_group_i=offset_groups,
    )


def _selective_scan(g: Any, *inputs: Any) -> Any:
    """The operator of :mod:`cimnet.ops.blocked_scan`, for :func:`cimnet.deploy.export.onnx_scan.write_scans`."""
    y = g.op(f"{onnx_scan.DOMAIN}::{onnx_scan.NAME}", *inputs[:7])
    y.setType(inputs[0].type().with_sizes([None] * 4))  # else the traced sizes would count as fixed
    return y, y


@symbolic_helper.parse_args("v", "i", "b")
def _median(g: Any, x: Any, dim: int, keepdim: bool) -> Any:
    """The lower one of two middle values along an axis, and where it stands."""
    axis, one, two = (g.op("Constant", value_t=torch.tensor([n])) for n in (dim, 1, 2))
    last = g.op("Div", g.op("Sub", g.op("Gather", g.op("Shape", x), axis), one), two)
    found = g.op("TopK", x, g.op("Add", last, one), axis_i=dim, largest_i=0, sorted_i=1, outputs=2)
    middle = [g.op("Gather", part, last, axis_i=dim) for part in found]
    return tuple(middle if keepdim else (g.op("Squeeze", part, axis) for part in middle))
