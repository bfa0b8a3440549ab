"""Training step of the 3×3 deformable convolution, grid sampling against torchvision's kernel, as a ratio in one run:

OMP_NUM_THREADS=2 python benchmarks/deformable_speed.py
"""

import time
from collections.abc import Callable

import torch

from cimnet.ops.deformable import deform_conv2d


def main() -> None:
    torch.manual_seed(0)
    for outputs in (64, 18):
        x = torch.randn(1, 64, 128, 160, requires_grad=True)
        offset = torch.randn(1, 18, 128, 160, requires_grad=True)
        weight = torch.randn(outputs, 64, 3, 3, requires_grad=True)

        def step(kind: str, x=x, offset=offset, weight=weight) -> None:
            deform_conv2d(x, offset, weight, implementation=kind).sum().backward()

        grid, kernel = (best(lambda kind=kind: step(kind)) for kind in ("grid_sample", "torchvision"))
        print(
            f"64 -> {outputs} channels, 128x160, forward + backward: {kernel / grid:.1f} times faster by grid sampling"
        )


def best(function: Callable[[], None], repeats: int = 5) -> float:
    """Shortest of some runs, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    main()
