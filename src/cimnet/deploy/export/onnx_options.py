"""The options of an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cimnet.errors import ConfigError

Deformable = Literal["operator", "grid-sample"]
Target = Literal["any", "tensorrt"]
OPSETS = range(16, 21)
"""16 is the first with GridSample; 20 is the newest that torch writes by tracing."""
OPSET = 20
TENSORRT_OPSET = 17
"""The newest that TensorRT 8.6 reads, and the first where layer normalisation is one operator: in float16, TensorRT can
keep its sums in float32."""


@dataclass(frozen=True)
class OnnxOptions:
    """The options for writing a graph; its fixed size and batch, if any, are in ``Details``.

    Attributes:
        opset: version of ONNX's operators.
        deformable: deformable convolutions as one ``DeformConv`` (from opset 19 on), or by ``GridSample``.
        tensorrt: only operators of ``tensorrt_operators.txt``.
    """

    opset: int = OPSET
    deformable: Deformable = "operator"
    tensorrt: bool = False

    @classmethod
    def of(cls, target: Target, deformable: Deformable | None, opset: int | None) -> OnnxOptions:
        """Return the options asked for; the others are those that the target runs best.

        Raises:
            ConfigError: naming an option that is out of range, or two that contradict each other.
        """
        tensorrt = target == "tensorrt"
        if target not in get_args(Target):
            raise ConfigError(f"target is '{target}', choose {' or '.join(get_args(Target))}")
        if deformable is not None and deformable not in get_args(Deformable):
            raise ConfigError(f"deformable is '{deformable}', choose {' or '.join(get_args(Deformable))}")
        if opset is not None and opset not in OPSETS:
            raise ConfigError(f"opset is {opset}, choose one of {OPSETS.start} to {OPSETS.stop - 1}")
        if tensorrt and deformable == "operator":
            raise ConfigError("--for tensorrt writes deformable convolutions by GridSample; leave --deformable out")
        deformable = deformable or ("grid-sample" if tensorrt else "operator")
        opset = opset or (TENSORRT_OPSET if tensorrt else OPSET)
        if deformable == "operator" and opset < 19:
            raise ConfigError(f"opset {opset} has no DeformConv, it came with 19; add --deformable grid-sample")
        return cls(opset, deformable, tensorrt)
