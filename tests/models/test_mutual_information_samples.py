"""What the estimate of mutual information is taken over: all cells of all images of all processes, 16 categories."""

from __future__ import annotations

import math

import pytest
import torch

from cimnet.models import mutual_information as module
from cimnet.models.mutual_information import MutualInformationHead, joint_distribution


def test_images_are_one_sample_set() -> None:
    """Each image shows one category throughout: alone it tells nothing, both together tell log 2 nats."""
    head = MutualInformationHead(2, categories=2, cells=4)
    with torch.no_grad():
        for latent in (head.rgb, head.thermal):
            for parameter in latent.parameters():
                parameter.zero_()
            latent[0].weight[:, :, 1, 1] = torch.eye(2)
            latent[3].weight[:, :, 0, 0] = torch.eye(2)
            latent[5].weight[:, :, 0, 0] = 100 * torch.eye(2)
    images = torch.eye(2)[:, :, None, None].expand(2, 2, 8, 8)
    assert head(images, images).item() == pytest.approx(math.log(2), abs=1e-5)
    assert head(images[:1], images[:1]).item() == pytest.approx(0, abs=1e-5)


def test_the_table_holds_the_rows_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes with unlike shares of the rows; the sums over processes are made up here."""
    torch.manual_seed(0)
    p, q = (torch.softmax(2 * torch.randn(30, 5, dtype=torch.float64), dim=1) for _ in range(2))
    whole = joint_distribution(p, q)
    others = {2: p[10:].T @ q[10:], 0: torch.tensor(20.0, dtype=torch.float64)}  # by the number of dimensions
    monkeypatch.setattr(module, "sum_over_processes", lambda x: x + others[x.ndim])
    torch.testing.assert_close(joint_distribution(p[:10], q[:10]), whole, rtol=0, atol=1e-12)


def test_rows_are_rgb_and_columns_thermal() -> None:
    p, q = torch.eye(3)[[0, 0, 1, 2]], torch.eye(3)[[2, 2, 0, 0]]
    table = joint_distribution(p, q)
    assert table.tolist() == [[0, 0, 0.5], [0.25, 0, 0], [0.25, 0, 0]]


def test_sixteen_categories_and_64_cells_by_default() -> None:
    """As the docstring and the ledger say; the estimate is at most log 16."""
    x = torch.randn(3, 8, 24, 32)
    p, q = MutualInformationHead(8).assign(x, x)
    assert p.shape == q.shape == (3 * 64, 16)
