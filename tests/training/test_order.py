"""Order and augmentation: another one in each epoch, and all of it follows from seed, epoch and place."""

from __future__ import annotations

from pathlib import Path

import torch

from cimnet.data import open_dataset, train_transform
from cimnet.training.order import SeededDataset, Shuffle
from tests.fakes.layouts import make_folder


def _epoch(shuffle: Shuffle, epoch: int) -> list[tuple[int, int]]:
    shuffle.epoch = epoch
    return list(shuffle)


def test_each_epoch_has_every_sample_once_in_another_order() -> None:
    shuffle = Shuffle(40, seed=3)
    orders = [[index for index, _ in _epoch(shuffle, epoch)] for epoch in range(4)]
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] != list(range(40))


def test_a_sample_is_augmented_in_another_way_in_each_epoch() -> None:
    """By the seed that goes with its place: no sample has it twice, no two samples share it."""
    shuffle = Shuffle(40, seed=3)
    chances = [dict(_epoch(shuffle, epoch)) for epoch in range(3)]
    assert len({chances[epoch][index] for epoch in range(3) for index in range(40)}) == 120


def test_seed_and_epoch_decide_alone() -> None:
    shuffle = Shuffle(40, seed=3)
    first = _epoch(shuffle, 2)
    _epoch(shuffle, 0)
    assert _epoch(shuffle, 2) == first == _epoch(Shuffle(40, seed=3), 2)
    assert _epoch(Shuffle(40, seed=4), 2) != first


def test_the_chance_of_a_place_is_what_its_sample_is_made_with(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    data = SeededDataset(open_dataset(root, "train", transform=train_transform((16, 16))))
    same, other = data[0, 5], data[0, 6]
    torch.rand(7)  # what was drawn before does not matter
    assert torch.equal(data[0, 5].rgb, same.rgb)
    assert torch.equal(data[0, 5].thermal, same.thermal)
    assert not torch.equal(other.rgb, same.rgb)
