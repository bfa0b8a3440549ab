"""Deformable convolution: two implementations, one result, and a plain convolution at zero."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

from cimnet.ops.deformable import DeformConv2d, Implementation, deform_conv2d

IMPLEMENTATIONS: tuple[Implementation, ...] = ("grid_sample", "torchvision")


def _inputs(kernel: int, size: tuple[int, int], reach: float, out: int = 4) -> dict[str, Tensor]:
    taps = kernel**2
    shapes = {
        "x": (2, 3, *size),
        "offset": (2, 2 * taps, *size),
        "weight": (out, 3, kernel, kernel),
        "bias": (out,),
        "mask": (2, taps, *size),
    }
    tensors = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    tensors["offset"] = tensors["offset"] * reach
    tensors["mask"] = tensors["mask"].sigmoid()
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


def _value_and_gradients(output: Tensor, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    gradients = torch.autograd.grad(output, list(inputs.values()), upstream)
    return {"value": output, **dict(zip(inputs, gradients, strict=True))}


_SIZES, _KERNELS = ((7, 7), (5, 11), (12, 4), (1, 3)), (1, 3, 5)
PAIRWISE = [
    pytest.param(kernel, size, (0.4, 8.0)[(i + j) % 2], (i // 2 + j) % 2 == 1, 2 + (i + j) % 3, id=f"{kernel}-{size}")
    for i, size in enumerate(_SIZES)
    for j, kernel in enumerate(_KERNELS)
]
"""Every two values of kernel, size, reach (inside, far outside), mask and channels (fewer, as many, more) together."""


@pytest.mark.parametrize(("kernel", "size", "reach", "with_mask", "out"), PAIRWISE)
def test_grid_sample_form_equals_torchvision(
    kernel: int, size: tuple[int, int], reach: float, with_mask: bool, out: int
) -> None:
    inputs = _inputs(kernel, size, reach, out)
    if not with_mask:
        del inputs["mask"]
    ours = _value_and_gradients(deform_conv2d(**inputs, implementation="grid_sample"), inputs)
    theirs = torchvision_deform_conv2d(
        inputs["x"],
        inputs["offset"],
        inputs["weight"],
        inputs["bias"],
        padding=kernel // 2,
        mask=inputs.get("mask"),
    )
    for name, expected in _value_and_gradients(theirs, inputs).items():
        torch.testing.assert_close(ours[name], expected, rtol=0, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(("size", "out"), [((8, 8), 2), ((5, 7), 4), ((12, 9), 2), ((15, 20), 4)])
def test_gradients_agree_at_zero_offsets_where_training_starts(size: tuple[int, int], out: int) -> None:
    """At whole pixels the derivative has two sides: rounding must not choose between them."""
    inputs = _inputs(3, size, 0.0, out)
    results = [_value_and_gradients(deform_conv2d(**inputs, implementation=form), inputs) for form in IMPLEMENTATIONS]
    for name, expected in results[1].items():
        torch.testing.assert_close(results[0][name], expected, rtol=0, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


def test_the_torchvision_form_is_torchvisions() -> None:
    inputs = _inputs(3, (6, 9), 2.0)
    ours = deform_conv2d(**inputs, implementation="torchvision")
    arguments = {key: inputs[key] for key in ("weight", "bias", "mask")}
    theirs = torchvision_deform_conv2d(inputs["x"], inputs["offset"], **arguments, padding=1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("kernel", "out"), [(1, 4), (3, 2), (5, 4)])
def test_zero_offsets_are_a_plain_convolution(implementation: Implementation, kernel: int, out: int) -> None:
    inputs = _inputs(kernel, (6, 9), 0.0, out)
    del inputs["mask"]
    ours = deform_conv2d(**inputs, implementation=implementation)
    plain = F.conv2d(inputs["x"], inputs["weight"], inputs["bias"], padding=kernel // 2)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-10)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("entry", "axis"), [(0, 2), (1, 3)], ids=["dy", "dx"])
def test_offsets_are_dy_then_dx_in_pixels(implementation: Implementation, entry: int, axis: int) -> None:
    x = torch.rand(1, 1, 5, 7, dtype=torch.float64)
    offset = torch.zeros(1, 2, 5, 7, dtype=torch.float64)
    offset[:, entry] = 1.0
    weight = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    ours = deform_conv2d(x, offset, weight, implementation=implementation)
    shifted = x.roll(-1, dims=axis)
    shifted.narrow(axis, x.shape[axis] - 1, 1).zero_()  # one past the border counts as zero
    torch.testing.assert_close(ours, shifted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_each_tap_has_its_own_offset(implementation: Implementation) -> None:
    """Tap 5 is (0, +1) of a 3×3 kernel: moved by (2, -1) it reads two rows below the centre."""
    x = torch.rand(1, 1, 6, 6, dtype=torch.float64)
    offset = torch.zeros(1, 18, 6, 6, dtype=torch.float64)
    offset[:, 10], offset[:, 11] = 2.0, -1.0
    weight = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    weight[0, 0, 1, 2] = 1.0
    ours = deform_conv2d(x, offset, weight, implementation=implementation)
    torch.testing.assert_close(ours[:, :, :4], x[:, :, 2:], rtol=0, atol=1e-10)


@pytest.mark.parametrize("out", [2, 4])
def test_mask_multiplies_each_tap(out: int) -> None:
    inputs = _inputs(3, (5, 6), 1.0, out)
    whole = deform_conv2d(inputs["x"], inputs["offset"], inputs["weight"])
    ones = torch.ones_like(inputs["mask"])
    torch.testing.assert_close(deform_conv2d(inputs["x"], inputs["offset"], inputs["weight"], None, ones), whole)
    half = deform_conv2d(inputs["x"], inputs["offset"], inputs["weight"], None, 0.5 * ones)
    torch.testing.assert_close(half, 0.5 * whole)
    ones[:, 4] = 0.0
    no_centre = inputs["weight"].detach().clone()
    no_centre[:, :, 1, 1] = 0.0
    torch.testing.assert_close(
        deform_conv2d(inputs["x"], inputs["offset"], inputs["weight"], None, ones),
        deform_conv2d(inputs["x"], inputs["offset"], no_centre),
    )


@pytest.mark.parametrize("out", [1, 2])
def test_gradcheck(out: int) -> None:
    size = (2, 3)
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    # Kept away from whole pixels, where bilinear interpolation has no derivative.
    offset = torch.rand(1, 18, *size, dtype=torch.float64) * 0.8 + 0.1 + torch.randint(-2, 2, (1, 18, *size))
    weight = torch.randn(out, 2, 3, 3, dtype=torch.float64)
    bias = torch.randn(out, dtype=torch.float64)
    mask = torch.rand(1, 9, *size, dtype=torch.float64)
    inputs = tuple(tensor.requires_grad_() for tensor in (x, offset, weight, bias, mask))
    assert torch.autograd.gradcheck(lambda *tensors: deform_conv2d(*tensors, implementation="grid_sample"), inputs)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("autocast", [False, True], ids=["bf16-tensors", "autocast"])
@pytest.mark.parametrize("channels", [1, 2])
def test_half_precision_keeps_coordinates_exact(implementation: Implementation, autocast: bool, channels: int) -> None:
    """bfloat16 knows no 300.25: a ramp read a quarter pixel on must still rise by a quarter."""
    ramp = torch.linspace(0, 1, 512).expand(1, channels, 2, 512).bfloat16()
    offset = torch.zeros(1, 2, 2, 512)
    offset[:, 1] = 200.25
    weight = torch.full((1, channels, 1, 1), 1 / channels)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours = deform_conv2d(ramp, offset, weight, implementation=implementation)
    expected = deform_conv2d(ramp.double(), offset.double(), weight.double())
    tolerance = 5e-3 if autocast else 1e-3  # autocast rounds the product, not the position
    torch.testing.assert_close(ours.double(), expected, rtol=0, atol=tolerance)
    delta = torch.zeros(1, channels, 2, 512).bfloat16()
    delta[..., 301] = 1.0  # read a quarter pixel before and after: weights 0.25 and 0.75
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours = deform_conv2d(delta, offset, weight, implementation=implementation)
    torch.testing.assert_close(ours[0, 0, 0, 100:102].float(), torch.tensor([0.25, 0.75]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_weights_in_half_precision(implementation: Implementation) -> None:
    x, offset = torch.randn(1, 2, 4, 5), torch.randn(1, 18, 4, 5)
    weight, bias = torch.randn(3, 2, 3, 3), torch.randn(3)
    halves = (tensor.bfloat16() for tensor in (x, offset, weight, bias))
    ours = deform_conv2d(*halves, implementation=implementation)
    torch.testing.assert_close(ours.float(), deform_conv2d(x, offset, weight, bias), rtol=0.1, atol=0.3)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_wrong_shapes_are_named(implementation: Implementation) -> None:
    x, weight = torch.rand(1, 2, 4, 5), torch.rand(3, 2, 3, 3)
    for shape in ((1, 9, 4, 5), (1, 18, 5, 4), (2, 18, 4, 5)):
        with pytest.raises(ValueError, match=rf"offset has shape \({shape[0]}, {shape[1]}, .*\(1, 18, 4, 5\)"):
            deform_conv2d(x, torch.rand(shape), weight, implementation=implementation)
    offset = torch.rand(1, 18, 4, 5)
    with pytest.raises(ValueError, match=r"mask has shape \(1, 18, 4, 5\), expected \(1, 9, 4, 5\)"):
        deform_conv2d(x, offset, weight, mask=offset, implementation=implementation)


def test_channels_last_gives_the_same() -> None:
    inputs = _inputs(3, (6, 7), 1.0)
    plain = deform_conv2d(**inputs)
    tensors = {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in inputs.items()
    }
    torch.testing.assert_close(deform_conv2d(**tensors), plain, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (4, 1)])
def test_smallest_maps(size: tuple[int, int]) -> None:
    layer = DeformConv2d(2, 3)
    out = layer(torch.rand(1, 2, *size), torch.zeros(1, 18, *size))
    assert out.shape == (1, 3, *size)
    assert out.isfinite().all()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_cuda_equals_cpu(dtype: torch.dtype) -> None:
    inputs = {name: tensor.detach().to(dtype) for name, tensor in _inputs(3, (9, 13), 3.0).items()}
    on_cpu = deform_conv2d(**inputs)
    on_gpu = deform_conv2d(**{name: tensor.cuda() for name, tensor in inputs.items()}).cpu()
    torch.testing.assert_close(on_gpu, on_cpu, rtol=0, atol=1e-10 if dtype == torch.float64 else 1e-4)
