"""What can be chosen about an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cimnet.data.io.open_image import MAX_PIXELS
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
    """How a graph is written.

    Attributes:
        opset: version of ONNX's operators.
        deformable: deformable convolutions as one ``DeformConv`` (from opset 19 on), or by ``GridSample``.
        tensorrt: only operators of ``tensorrt_operators.txt``.
        size: the one (height, width) that the file takes; None: any.
        batch: the one number of pairs that it takes; None: any.
    """

    opset: int = OPSET
    deformable: Deformable = "operator"
    tensorrt: bool = False
    size: tuple[int, int] | None = None
    batch: int | None = None

    @classmethod
    def of(
        cls,
        target: Target,
        deformable: Deformable | None,
        opset: int | None,
        size: tuple[int, int] | None,
        batch: int | None,
    ) -> OnnxOptions:
        """Those asked for, and for what was left to us what the target runs best.

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
        if size is not None and min(size) < 1:
            raise ConfigError(f"size is {size[0]}x{size[1]}, both must be at least 1")
        if batch is not None and batch < 1:
            raise ConfigError(f"batch is {batch}, it must be at least 1")
        height, width = size or (1, 1)
        if height * width * (batch or 1) > MAX_PIXELS:
            raise ConfigError(
                f"size {height}x{width}, batch {batch or 'of any number'}: more than {MAX_PIXELS:,} pixels in a pass; "
                "choose less, larger images are run in windows"
            )
        if tensorrt and deformable == "operator":
            raise ConfigError("--for tensorrt writes deformable convolutions by GridSample; leave --deformable out")
        deformable = deformable or ("grid-sample" if tensorrt else "operator")
        opset = opset or (TENSORRT_OPSET if tensorrt else OPSET)
        if deformable == "operator" and opset < 19:
            raise ConfigError(f"opset {opset} has no DeformConv, it came with 19; add --deformable grid-sample")
        return cls(opset, deformable, tensorrt, size, batch)
