"""The selective scan: all implementations give the values and gradients of the definition."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from cimnet.ops import blocked_scan
from cimnet.ops.selective_scan import selective_scan, use_implementation
from tests.models.zoo import vectors


def _inputs(
    length: int, batch: int = 2, groups: int = 3, rows: int = 5, states: int = 4, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    wide = groups * rows
    tensors = {
        "u": torch.randn(batch, wide, length),
        "delta": torch.randn(batch, wide, length),
        "A": -torch.rand(wide, states) * 3,
        "B": torch.randn(batch, groups, states, length),
        "C": torch.randn(batch, groups, states, length),
        "D": torch.randn(wide),
        "delta_bias": torch.randn(wide) - 1,
    }
    tensors["delta"][0, 0, length // 2] = 25.0  # softplus is the identity there
    return {name: tensor.to(dtype).requires_grad_() for name, tensor in tensors.items()}


def _value_and_gradients(output: Tensor, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output).cos()
    gradients = torch.autograd.grad(output, list(inputs.values()), upstream)
    return {"value": output.detach(), **dict(zip(inputs, gradients, strict=True))}


def _assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(params=["cpu", "lanes", "short blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a sequence is cut on a CPU, on CUDA, and where a block is shorter than what lies between two kept states."""
    if request.param == "lanes":
        monkeypatch.setattr(blocked_scan, "_lengths", lambda u, states: (24, 24, 8))
    if request.param == "short blocks":
        monkeypatch.setattr(blocked_scan, "CACHED", 8 * 2 * 3 * 5 * 4)
        assert blocked_scan._lengths(torch.empty(1, 2, 3, 5), 4) == (8, 64, 1)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("length", [1, 2, 7, 23, 24, 64, 65, 150])
def test_blocks_equal_the_definition(length: int) -> None:
    """In float64 to 1e-10, at lengths that blocks, segments and lanes divide and at others."""
    inputs = _inputs(length)
    expected = _value_and_gradients(selective_scan(**inputs, implementation="sequential"), inputs)
    found = _value_and_gradients(selective_scan(**inputs, implementation="blocked"), inputs)
    _assert_equal(found, expected, 1e-10)


def test_gradients_of_the_definition_are_right() -> None:
    inputs = _inputs(4, batch=1, groups=2, rows=1, states=2)
    assert torch.autograd.gradcheck(lambda *x: selective_scan(*x, implementation="blocked"), tuple(inputs.values()))


@pytest.mark.parametrize("implementation", ["sequential", "blocked"])
def test_the_originals_numbers(implementation: Any) -> None:
    with np.load(vectors.HERE / "sigma-scan-unit.npz") as arrays:
        given = {name: torch.from_numpy(arrays[name]) for name in arrays}
    expected = given.pop("y")
    found = selective_scan(A=-given.pop("A_log").exp(), **given, implementation=implementation)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert given["delta"].max() > blocked_scan.LINEAR_FROM


def test_the_operator_keeps_torchs_rules() -> None:
    """Its shapes without computing, its gradients, and its form for torch.compile."""
    u, delta, A, B, C, D, bias = (x.detach() for x in _inputs(70).values())
    split = [x.permute(2, 0, 1).reshape(70, 2, 3, 5) for x in (u, delta)]
    between = [x.permute(3, 0, 1, 2).contiguous() for x in (B, C)]
    inputs = (*split, A.view(3, 5, 4).transpose(1, 2).contiguous(), *between, D.view(3, 5), bias.view(3, 5))
    torch.library.opcheck(torch.ops.cimnet.selective_scan.default, (*inputs, False))
    learning = [x.clone().requires_grad_() for x in inputs]
    torch.library.opcheck(torch.ops.cimnet.selective_scan.default, (*learning, True))


def test_float32_keeps_its_seven_digits() -> None:
    inputs = _inputs(200)
    exact = selective_scan(**inputs)
    narrow = {name: x.detach().float() for name, x in inputs.items()}
    found = selective_scan(**narrow)
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() < 1e-5 * exact.abs().max()


@pytest.mark.parametrize("implementation", ["sequential", "blocked"])
def test_half_precision_is_computed_in_float32(implementation: Any) -> None:
    """Under autocast, too, in both passes."""
    rounded = {name: x.detach().bfloat16().requires_grad_() for name, x in _inputs(70).items()}
    wide = {name: x.detach().float().requires_grad_() for name, x in rounded.items()}
    expected = _value_and_gradients(selective_scan(**wide), wide)
    with torch.autocast("cpu", torch.bfloat16):
        output = selective_scan(**rounded, implementation=implementation)
        assert output.dtype == torch.float32
        found = _value_and_gradients(output, rounded)
    torch.testing.assert_close(found["value"], expected["value"], rtol=0, atol=1e-4)
    for name in rounded:
        assert found[name].dtype == torch.bfloat16
        torch.testing.assert_close(found[name].float(), expected[name], rtol=1e-2, atol=1e-3)


def test_a_long_sequence_keeps_few_states() -> None:
    """For the backward pass: less than the inputs themselves."""
    inputs = _inputs(1000, batch=1, groups=1, rows=8, states=16)
    kept: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        output = selective_scan(**inputs, implementation="blocked")
    assert sum(kept.values()) < 2 * sum(x.nbytes for x in inputs.values())
    assert output.requires_grad
    with torch.no_grad():
        assert not selective_scan(**inputs).requires_grad


def test_nothing_overflows() -> None:
    """The closed form with cumulated sums would: they reach thousands here."""
    inputs = _inputs(300, dtype=torch.float32)
    with torch.no_grad():
        inputs["delta"].fill_(30.0)
        found = selective_scan(**inputs, implementation="blocked")
        torch.testing.assert_close(found, selective_scan(**inputs, implementation="sequential"), rtol=1e-4, atol=1e-3)
    assert found.isfinite().all()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The package ``mamba_ssm``, played by the definition: it takes dense tensors in its layout and no float64, and
    softplus is left to it. What it was called with."""
    calls: list[dict[str, Any]] = []

    def selective_scan_fn(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, **options: Any
    ) -> Tensor:
        assert all(x.is_contiguous() and x.dtype == torch.float32 for x in (u, delta, B, C))
        calls.append(options)
        return selective_scan(u, delta, A, B, C, D, options["delta_bias"], implementation="sequential")

    names = ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface")
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[names[-1]].selective_scan_fn = selective_scan_fn  # type: ignore[attr-defined]  # a made-up module
    return calls


def test_the_kernel_of_mamba_ssm_gets_what_it_asks_for(kernel: list[dict[str, Any]]) -> None:
    inputs = {name: x.detach().float() for name, x in _inputs(30).items()}
    inputs["u"] = inputs["u"].permute(2, 0, 1).contiguous().permute(1, 2, 0)
    with use_implementation("mamba_ssm"):
        found = selective_scan(**inputs)
    torch.testing.assert_close(found, selective_scan(**inputs, implementation="blocked"), rtol=1e-4, atol=1e-4)
    [options] = kernel
    assert options["delta_softplus"] is True


@pytest.mark.parametrize(
    ("dtype", "taken"), [(torch.float32, True), (torch.bfloat16, True), (torch.float64, False)], ids=str
)
def test_the_kernel_runs_on_cuda_in_the_types_that_it_has(
    dtype: torch.dtype,
    taken: bool,
    kernel: list[dict[str, Any]],
    fake_tensors: FakeTensorMode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tensors of CUDA without data, which need no GPU. Where the kernel cannot run, plain torch does."""
    monkeypatch.setattr("cimnet.ops.selective_scan._has_kernel", lambda: True)
    with fake_tensors:
        inputs = {name: torch.empty(x.shape, dtype=dtype, device="cuda") for name, x in _inputs(6).items()}
        found = selective_scan(**inputs)
    assert (found.device.type, found.shape) == ("cuda", inputs["u"].shape)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert bool(kernel) == taken


@pytest.mark.parametrize("name", ["delta", "A", "B", "C", "D", "delta_bias"])
def test_shapes_that_do_not_fit_are_named(name: str) -> None:
    inputs = _inputs(6)
    inputs[name] = inputs[name][..., :-1]
    with pytest.raises(ValueError, match="do not fit together") as caught:
        selective_scan(**inputs)
    assert f"{name} {tuple(inputs[name].shape)}" in str(caught.value)


def test_an_empty_sequence_is_refused() -> None:
    inputs = {name: x[..., :0] if x.ndim > 2 else x for name, x in _inputs(6).items()}
    with pytest.raises(ValueError, match="empty"):
        selective_scan(**inputs)


@pytest.mark.parametrize(("length", "rows"), [(5, 8), (1000, 8), (19200, 192), (300, 10**6)])
def test_blocks_on_an_accelerator_are_whole_lanes_of_bounded_size(length: int, rows: int) -> None:
    u, states = torch.empty(length, 2, 4, rows, device="meta"), 16
    block, segment, lanes = blocked_scan._lengths(u, states)
    assert block == segment
    assert block % lanes == 0
    assert block == lanes or block * u[0].numel() * states <= blocked_scan.ON_CUDA
    assert block < length + lanes
