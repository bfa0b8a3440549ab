"""The order of the samples and all randomness: derived from seed, epoch and position, never from what came before.

So resuming is exact, and neither the number of processes nor the number of dataloader workers changes a sample.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, get_worker_info

from cimnet.data import RGBTDataset, RGBTSample

SeededIndex = tuple[int, int]
"""Index into the data set, and the seed of whatever the transform draws for this sample."""


class Shuffle(Sampler[SeededIndex]):
    """All samples in a random order, a new one in each epoch: set ``epoch`` before iterating."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[SeededIndex]:
        random = np.random.default_rng((self.seed, self.epoch))
        order, seeds = random.permutation(self.size), random.integers(2**63, size=self.size)
        return zip(order.tolist(), seeds.tolist(), strict=True)


class SeededDataset(Dataset[RGBTSample]):
    """Samples by :data:`SeededIndex`; whatever the transform draws from torch's generator comes from the seed.

    Args:
        dataset: with its transform.
        workers: dataloader workers. What each is reading is noted, so that a dead one's file can be named.
    """

    def __init__(self, dataset: RGBTDataset, workers: int = 0) -> None:
        self.dataset = dataset
        reading = torch.full((max(workers, 1), 2), -1)  # process and index of each
        self._reading = reading.share_memory_()  # type: ignore[no-untyped-call]  # untyped in torch

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: SeededIndex) -> RGBTSample:
        index, seed = item
        worker = get_worker_info()
        if worker is not None:
            self._reading[worker.id] = torch.tensor([os.getpid(), index])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sample = self.dataset[index]
        if worker is not None:
            self._reading[worker.id, 1] = -1
        return sample

    def read_by(self, process: int) -> int | None:
        """Index of the sample that a dataloader worker was reading when it ended; None if it was reading none."""
        found = [index for pid, index in self._reading.tolist() if pid == process and index >= 0]
        return found[0] if found else None


def seed_step(seed: int, epoch: int, number: int, process: int) -> None:
    """Seed torch for one batch, of which dropout and the like draw; another seed in each process."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch, number, process)).generate_state(1, np.uint64)[0]) >> 1)
