"""The estimate of mutual information: known tables, and whose gradient is reversed."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from cimnet.models.mutual_information import (
    MIMode,
    MutualInformationHead,
    joint_distribution,
    mutual_information,
    reverse_gradient,
)


def _soft(count: int, categories: int = 6) -> Tensor:
    return torch.softmax(2 * torch.randn(count, categories, dtype=torch.float64), dim=1)


def test_independent_streams_share_nothing() -> None:
    p, q = torch.rand(5, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    table = torch.outer(p / p.sum(), q / q.sum())
    assert mutual_information(table).item() == pytest.approx(0.0, abs=1e-12)
    constant = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64).expand(40, 3)
    assert mutual_information(joint_distribution(constant, _soft(40, 3))).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("categories", [2, 5, 16])
def test_identical_one_hot_streams_share_log_d(categories: int) -> None:
    p = torch.eye(categories).repeat(7, 1)
    assert mutual_information(joint_distribution(p, p)).item() == pytest.approx(math.log(categories), abs=1e-6)


def test_a_permutation_of_categories_loses_nothing() -> None:
    p = torch.eye(8).repeat(3, 1)
    q = p[:, torch.randperm(8)]
    assert mutual_information(joint_distribution(p, q)).item() == pytest.approx(math.log(8), abs=1e-6)


def test_known_joint_table() -> None:
    """A binary symmetric channel that errs one time in ten: I = log 2 − H(0.1)."""
    table = torch.tensor([[0.45, 0.05], [0.05, 0.45]])
    expected = math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)
    assert mutual_information(table).item() == pytest.approx(expected, abs=1e-6)


def test_equals_the_entropies_and_the_papers_form() -> None:
    """Eq. (1), H(r) + H(t) − H(r, t), and eq. (4), cross entropies less the joint one and divergences."""
    table = torch.rand(4, 4, dtype=torch.float64) + 0.01
    table = table / table.sum()
    r, t = table.sum(1), table.sum(0)

    def entropy(p: Tensor) -> Tensor:
        return -(p * p.log()).sum()

    def cross(p: Tensor, q: Tensor) -> Tensor:
        return -(p * q.log()).sum()

    def divergence(p: Tensor, q: Tensor) -> Tensor:
        return (p * (p / q).log()).sum()

    first = entropy(r) + entropy(t) - entropy(table)
    fourth = cross(r, t) + cross(t, r) - entropy(table) - divergence(r, t) - divergence(t, r)
    torch.testing.assert_close(mutual_information(table), first, rtol=0, atol=1e-12)
    torch.testing.assert_close(mutual_information(table), fourth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_symmetric_bounded_and_never_negative(seed: int) -> None:
    torch.manual_seed(seed)
    p, q = _soft(50), _soft(50)
    there, back = (mutual_information(joint_distribution(*pair)) for pair in ((p, q), (q, p)))
    torch.testing.assert_close(there, back, rtol=0, atol=1e-12)
    assert 0 < there <= math.log(6)
    nearly_constant = torch.softmax(1e-4 * torch.randn(100, 16), dim=1)  # rounding could fall below zero here
    assert mutual_information(joint_distribution(nearly_constant, nearly_constant.flip(0))) >= 0


def test_finite_gradient_with_empty_cells() -> None:
    logits = torch.full((4, 3), -200.0)
    logits[:, 0] = 200.0
    logits.requires_grad_()
    p = torch.softmax(logits, dim=1)
    mutual_information(joint_distribution(p, p)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_joint_distribution_is_the_average_of_its_parts() -> None:
    p, q = _soft(48), _soft(48)
    whole = joint_distribution(p, q)
    parts = [joint_distribution(*pair) for pair in zip(p.chunk(3), q.chunk(3), strict=True)]
    torch.testing.assert_close(torch.stack(parts).mean(0), whole, rtol=0, atol=1e-12)
    assert whole.sum().item() == pytest.approx(1.0, abs=1e-12)
    torch.testing.assert_close(whole.sum(1), p.mean(0))
    torch.testing.assert_close(whole.sum(0), q.mean(0))
    by_hand = sum(torch.outer(a, b) for a, b in zip(p, q, strict=True)) / len(p)
    torch.testing.assert_close(whole, by_hand, rtol=0, atol=1e-12)


def test_joint_distribution_stays_in_float32_under_autocast() -> None:
    p, q = _soft(256, 16).float(), _soft(256, 16).float()
    expected = joint_distribution(p, q)
    with torch.autocast("cpu", torch.bfloat16):
        joint = joint_distribution(p, q)
    assert joint.dtype == torch.float32
    torch.testing.assert_close(joint, expected, rtol=0, atol=1e-7)


def test_reverse_gradient() -> None:
    x = torch.randn(3, requires_grad=True)
    y = reverse_gradient(x)
    torch.testing.assert_close(y, x, rtol=0, atol=0)
    (y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([-1.0, -2.0, -3.0]))


def _gradients(mode: MIMode) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    torch.manual_seed(3)
    head = MutualInformationHead(8, categories=4, cells=4, mode=mode).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(4)  # sharp assignments: the estimate is far from zero
    features = [torch.randn(2, 8, 6, 10, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    estimate = head(*features)
    wanted = features + list(head.parameters())
    gradients = torch.autograd.grad(estimate, wanted)
    return estimate, list(gradients[:2]), list(gradients[2:])


def test_adversarial_reverses_the_head_and_not_the_features() -> None:
    estimate, features, head = _gradients("cooperative")
    reversed_estimate, reversed_features, reversed_head = _gradients("adversarial")
    torch.testing.assert_close(reversed_estimate, estimate, rtol=0, atol=0)
    assert all(gradient.abs().max() > 0 for gradient in features + head)
    for plain, other in zip(features, reversed_features, strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-12, atol=0)
    for plain, other in zip(head, reversed_head, strict=True):
        torch.testing.assert_close(other, -plain, rtol=1e-12, atol=0)


@pytest.mark.parametrize("seed", range(6))
def test_a_fresh_head_passes_a_gradient(seed: int) -> None:
    """Identical streams have something to learn: rounding must not hide it behind the bound at zero."""
    torch.manual_seed(seed)
    head = MutualInformationHead(32)
    x = torch.randn(4, 32, 16, 20)
    head(x, x).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (20, 31)])
def test_head_takes_any_size(size: tuple[int, int]) -> None:
    head = MutualInformationHead(4)
    estimate = head(torch.randn(2, 4, *size), torch.randn(2, 4, *size))
    assert estimate.shape == ()
    assert 0 <= estimate <= math.log(16)


def test_head_sees_every_cell_of_every_image() -> None:
    """Two images alone would cap the estimate at log 2; their cells lift the cap."""
    head = MutualInformationHead(4, categories=8, cells=8)
    with torch.no_grad():
        for latent in (head.rgb, head.thermal):
            for convolution in (latent[0], latent[3], latent[5]):
                convolution.weight.zero_()
                convolution.bias.zero_()
            latent[0].weight[:, :, 1, 1] = torch.eye(4)
            latent[3].weight[:, :, 0, 0] = torch.eye(4)
            latent[5].weight[:4, :, 0, 0] = 100 * torch.eye(4)
    which = torch.randint(4, (2, 8, 8))
    x = torch.nn.functional.one_hot(which, 4).permute(0, 3, 1, 2).float()
    assert head(x, x).item() > math.log(2) + 0.5


def _on_one_process(rank: int, store: str, p: Tensor, q: Tensor, results: Tensor) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    part = slice(None, 20) if rank == 0 else slice(20, None)
    own = p[part].clone().requires_grad_()
    mutual_information(joint_distribution(own, q[part])).backward()
    assert own.grad is not None
    results[part] = own.grad
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_gradient_of_one(tmp_path: object) -> None:
    """Unequal shares. Averaging over processes halves gradients, so each holds twice its share."""
    p, q = _soft(48), _soft(48)
    results = torch.zeros_like(p).share_memory_()
    mp.spawn(_on_one_process, (f"{tmp_path}/store", p, q, results), nprocs=2)
    p.requires_grad_()
    mutual_information(joint_distribution(p, q)).backward()
    assert p.grad is not None
    torch.testing.assert_close(results / 2, p.grad, rtol=1e-9, atol=1e-12)


def test_rows_that_do_not_count_are_as_if_not_there() -> None:
    p, q = _soft(40, 4), _soft(40, 4)
    counts = torch.arange(40) % 3 > 0
    torch.testing.assert_close(joint_distribution(p, q, counts), joint_distribution(p[counts], q[counts]))
    nothing = joint_distribution(p.requires_grad_(), q, torch.zeros(40, dtype=torch.bool))
    value = mutual_information(nothing)
    value.backward()
    assert value.item() == 0
    assert p.grad is not None
    assert p.grad.abs().max() == 0
