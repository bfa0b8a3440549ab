"""Operators that torch does not know how to write in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.onnx import symbolic_helper

from cimnet.deploy.export import onnx_scan
from cimnet.deploy.export.onnx_options import OnnxOptions

WAYS, ROUNDS = 16, 10
"""A median without sorting is looked for in an interval; each round keeps a sixteenth of it, so that ten leave 2⁻⁴⁰."""


@contextmanager
def added_operators(options: OnnxOptions) -> Iterator[None]:
    """Inside, torch knows how to write three more operators."""
    added: dict[str, Callable[..., Any]] = {
        "torchvision::deform_conv2d": _deform_conv,
        "aten::median": _median_by_search(options.opset) if options.tensorrt else _median_by_sorting,
        "cimnet::selective_scan": _selective_scan,
    }
    for name, function in added.items():
        torch.onnx.utils.register_custom_op_symbolic(name, function, options.opset)
    try:
        yield
    finally:
        for name in added:
            torch.onnx.utils.unregister_custom_op_symbolic(name, options.opset)


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
def _median_by_sorting(g: Any, x: Any, dim: int, keepdim: bool) -> Any:
    """The lower one of two middle values along an axis, and where it stands."""
    axis, one, two = (g.op("Constant", value_t=torch.tensor([n])) for n in (dim, 1, 2))
    last = g.op("Div", g.op("Sub", g.op("Gather", g.op("Shape", x), axis), one), two)
    found = g.op("TopK", x, g.op("Add", last, one), axis_i=dim, largest_i=0, sorted_i=1, outputs=2)
    middle = [g.op("Gather", part, last, axis_i=dim) for part in found]
    return tuple(middle if keepdim else (g.op("Squeeze", part, axis) for part in middle))


def _median_by_search(opset: int) -> Callable[..., Any]:
    """A median that is the same value to 2⁻⁴⁰ of the range of ``x`` and to rounding, without ``TopK``, which in
    TensorRT gives fewer than 3,840 values. Where the value stands is not told.

    The interval from ``low`` on, ``step`` long, holds the median all along. A round counts the values up to each of
    `WAYS` steps in it and keeps the step at which half of the values are reached.
    """

    @symbolic_helper.parse_args("v", "i", "b")
    def write(g: Any, x: Any, dim: int, keepdim: bool) -> Any:
        def constant(value: Any) -> Any:
            return g.op("Constant", value_t=torch.as_tensor(value))

        def as_float(value: Any) -> Any:
            return g.op("Cast", value, to_i=1)

        def reduce(name: str) -> Any:  # its axes became an input
            found = g.op(name, x, axis, keepdims_i=1) if opset >= 18 else g.op(name, x, axes_i=[dim], keepdims_i=1)
            return g.op("Unsqueeze", found, last)

        rank = symbolic_helper._get_tensor_rank(x)
        assert rank is not None  # of what the package takes medians of, it is known
        dim %= rank
        axis, last = constant([dim]), constant([-1])
        number = g.op("Gather", g.op("Shape", x), axis)
        half = as_float(g.op("Div", g.op("Add", number, constant([1])), constant([2])))
        values, low = g.op("Unsqueeze", x, last), reduce("ReduceMin")
        step, steps = g.op("Sub", reduce("ReduceMax"), low), constant(torch.arange(1.0, WAYS + 1))
        for _ in range(ROUNDS):
            step = g.op("Mul", step, constant(1.0 / WAYS))
            reached = as_float(g.op("LessOrEqual", values, g.op("Add", low, g.op("Mul", step, steps))))
            counts = g.op("ReduceSum", reached, axis, keepdims_i=1)
            passed = g.op("ReduceSum", as_float(g.op("Less", counts, half)), last, keepdims_i=1)
            low = g.op("Add", low, g.op("Mul", step, passed))
        found = g.op("Squeeze", g.op("Add", low, step), last)
        found = found if keepdim else g.op("Squeeze", found, axis)
        return found, found

    return write
