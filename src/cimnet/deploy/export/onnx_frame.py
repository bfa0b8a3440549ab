"""The frame of the network in an ONNX file: padding and scaling before it, cropping and argmax after it."""

from __future__ import annotations

from typing import Any

from cimnet.deploy.export.onnx_options import OnnxOptions
from cimnet.errors import ConfigError
from cimnet.inference.backends.details import Details

BEFORE = """
<ir_version: 9, opset_import: ["" : {opset}]>
before (float[{batch}, 3, {height}, {width}] rgb, float[{batch}, {thermal_channels}, {height}, {width}] thermal)
    => (float[{tiles}] tiles, int64[2] size, int64[2] inner)
{{
    pair = Concat <axis = 1> (rgb, thermal)
    {sizes}
    {scaling}
    padded = Pad <mode = "edge"> (scaled, pads)
    tiles = Reshape (padded, shape)
}}
"""

FREE_SIZES = """
    size = Shape <start = 2> (pair)
    batch_size = Shape <end = 1> (pair)
    {inner}
    tile = Constant <value_ints = [{tile}]> ()
    most_missing = Constant <value_ints = [{most_missing}]> ()
    {held}
    enough = Add (held, most_missing)
    number = Div (enough, tile)
    whole = Mul (number, tile)
    missing = Sub (whole, inner)
    none = Constant <value_ints = [0, 0, 0, 0, 0, 0]> ()
    pads = Concat <axis = 0> (none, missing)
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    rows_of = Gather <axis = 0> (number, first)
    columns_of = Gather <axis = 0> (number, second)
    channels = Constant <value_ints = [{channels}]> ()
    shape = Concat <axis = 0> (batch_size, channels, rows_of, tile, columns_of, tile)
"""

FIXED_SIZES = """
    size = Constant <value_ints = [{height}, {width}]> ()
    inner = Constant <value_ints = [{inner[0]}, {inner[1]}]> ()
    pads = Constant <value_ints = [0, 0, 0, 0, 0, 0, {missing[0]}, {missing[1]}]> ()
    shape = Constant <value_ints = [{batch}, {channels}, {number[0]}, {tile[0]}, {number[1]}, {tile[1]}]> ()
"""

HELD = "held = Identity (inner)"
LEAST = """
    smallest = Constant <value_ints = [{least}]> ()
    held = Max (inner, smallest)
"""

INNER_UNSCALED = "inner = Identity (size)"
INNER_SCALED = """
    factor = Constant <value = double[1] {{{scale!r}}}> ()
    exact = Cast <to = 11> (size)
    product = Mul (exact, factor)
    rounded = Round (product)
    integer = Cast <to = 7> (rounded)
    least = Constant <value_ints = [1]> ()
    inner = Max (integer, least)
"""

# A resized constant image is constant only up to rounding, so its first pixel is taken off before and added behind.
SCALED = """
    from = Constant <value_ints = [0, 0]> ()
    to = Constant <value_ints = [1, 1]> ()
    axes = Constant <value_ints = [2, 3]> ()
    first_pixel = Slice (pair, from, to, axes)
    shifted = Sub (pair, first_pixel)
    kept_sizes = Shape <end = 2> (pair)
    scaled_sizes = Concat <axis = 0> (kept_sizes, inner)
    resized = Resize <antialias = 1, exclude_outside = 1, mode = "linear"> (shifted, , , scaled_sizes)
    scaled = Add (resized, first_pixel)
"""

AFTER = """
<ir_version: 9, opset_import: ["" : {opset}]>
after (float[{batch}, classes, padded_height, padded_width] scores, int64[2] size, int64[2] inner)
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


def before(details: Details, options: OnnxOptions) -> Any:
    """``onnx.ModelProto``: images to tiles, see :mod:`cimnet.inference.backends.trace`.

    Raises:
        ConfigError: the model scales images, which opsets below 18 and TensorRT cannot do as it does.
    """
    from onnx import parser

    scaled = details.input_scale != 1
    if scaled and (options.tensorrt or options.opset < 18):
        lacking = "TensorRT" if options.tensorrt else f"opset {options.opset}"
        raise ConfigError(
            f"this model scales images by {details.input_scale:g} with antialiasing, which {lacking} lacks; "
            f"{'leave --for tensorrt out' if options.tensorrt else 'choose --opset 18 or more'}, or train with "
            "input_scale 1"
        )
    batch = details.batch or "batch"
    height, width = details.size or ("height", "width")
    tiles = ("rows", "columns") if details.size is None else details.tiles_along(details.inner_size(*details.size))
    text = BEFORE.format(
        opset=options.opset,
        batch=batch,
        height=height,
        width=width,
        thermal_channels=details.thermal_channels,
        tiles=f"{batch}, {_channels(details)}, {tiles[0]}, {details.tile[0]}, {tiles[1]}, {details.tile[1]}",
        sizes=_sizes(details),
        scaling=SCALED if scaled else "scaled = Identity (pair)",
    )
    return parser.parse_model(text)


def _sizes(details: Details) -> str:
    """Return the lines that give the graph its sizes: computed, or constants in a file of one size."""
    if details.size is None:
        scaled = details.input_scale != 1
        inner = INNER_SCALED.format(scale=details.input_scale) if scaled else INNER_UNSCALED
        return FREE_SIZES.format(
            tile=details.tile[0],
            most_missing=details.tile[0] - 1,
            inner=inner,
            held=LEAST.format(least=details.least) if details.least > 1 else HELD,
            channels=_channels(details),
        )
    height, width = details.size
    small = details.inner_size(height, width)
    number = details.tiles_along(small)
    missing = [n * tile - length for n, tile, length in zip(number, details.tile, small, strict=True)]
    return FIXED_SIZES.format(
        height=height,
        width=width,
        batch=details.batch or -1,
        channels=_channels(details),
        inner=small,
        missing=missing,
        number=number,
        tile=details.tile,
    )


def _channels(details: Details) -> int:
    """Return the number of channels of a pair in one tensor."""
    return 3 + details.thermal_channels


def after(details: Details, options: OnnxOptions) -> Any:
    """``onnx.ModelProto``: the network's scores to what comes out of the file."""
    from onnx import parser

    batch = details.batch or "batch"
    height, width = details.size or ("height", "width")
    outside = f"{batch}, {height}, {width}" if details.argmax else f"{batch}, classes, {height}, {width}"
    text = AFTER.format(
        opset=options.opset,
        batch=batch,
        result=f"{'int64' if details.argmax else 'float'}[{outside}]",
        name=output_name(details.argmax),
        scaling=RESTORED if details.input_scale != 1 else "whole = Identity (cropped)",
        last="mask = ArgMax <axis = 1, keepdims = 0> (whole)" if details.argmax else "logits = Identity (whole)",
    )
    return parser.parse_model(text)


def output_name(argmax: bool) -> str:
    """Return the name of the file's only output."""
    return "mask" if argmax else "logits"
