"""Run a model over the pairs under one condition and count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from cimnet.analysis.robustness.conditions import CLEAN, Condition
from cimnet.analysis.robustness.model_under_test import ModelUnderTest
from cimnet.analysis.robustness.outcome import Outcome
from cimnet.data import RGBTDataset, RGBTSample
from cimnet.data.corruptions import CorruptedDataset
from cimnet.data.flags import BROKEN_FLAGS, FLAG_LISTS
from cimnet.errors import DataError
from cimnet.evaluation.metrics import confusion_matrix


@dataclass(frozen=True)
class Pairs:
    """The pairs of a data set as a condition shows them.

    Attributes:
        moving: ids of the classes that move.
        keep_broken: score the pairs with a broken sensor, too.
    """

    dataset: RGBTDataset
    seed: int
    moving: frozenset[int]
    keep_broken: bool = False

    def chosen(self, condition: Condition) -> list[int]:
        """Indices of the pairs that a condition scores.

        Raises:
            DataError: there is none, or one without a label.
        """
        everything, flags = range(len(self.dataset)), self.dataset.flags
        if condition.flag:
            found = [i for i in everything if condition.flag in flags[i]]
            listed = FLAG_LISTS.get(condition.flag)
            remedy = f"name such pairs in {self.dataset.root / f'{listed}.txt'}" if listed else "leave it out"
            problem = f"no pair of split '{self.dataset.split}' has the flag '{condition.flag}'; {remedy}"
        else:
            found = [i for i in everything if self.keep_broken or not flags[i] & BROKEN_FLAGS]
            problem = f"no pair of split '{self.dataset.split}' has two sound sensors; keep the broken pairs"
        if not found:
            raise DataError(f"{self.dataset.root}: {problem}")
        for i in found:
            if self.dataset.pairs[i].label is None:
                raise DataError(
                    f"{self.dataset.root}: {self.dataset.ids[i]} has no label, so nothing can be scored; choose a "
                    "split with labels"
                )
        return found

    def seen(self, condition: Condition, indices: Iterable[int]) -> Iterator[RGBTSample]:
        """Read these pairs under a condition."""
        if condition.name == CLEAN:
            return (self.dataset.read(i) for i in indices)
        corrupted = CorruptedDataset(
            self.dataset, condition.name, level=condition.amount, seed=self.seed, moving=self.moving
        )
        return (corrupted[i] for i in indices)


def count(model: ModelUnderTest, pairs: Pairs, condition: Condition, batch_size: int) -> Outcome:
    """Confusion matrices of a condition.

    Raises:
        DataError: a pair has no label.
    """
    outcome = Outcome.empty(len(model.classes))
    for batch in _batches(pairs.seen(condition, pairs.chosen(condition)), batch_size):
        ids = model(torch.stack([s.rgb for s in batch]), torch.stack([s.thermal for s in batch]))
        for sample, predicted in zip(batch, ids, strict=True):
            if sample.label is None:
                raise DataError(f"{sample.id}: has no label, so it cannot be scored")
            matrix = confusion_matrix(sample.label.numpy(), predicted, len(model.classes))
            outcome.add(sample.id, sample.scene, matrix)
    return outcome


def _batches(samples: Iterable[RGBTSample], size: int) -> Iterator[Sequence[RGBTSample]]:
    """Up to `size` samples after one another that have one size in pixels."""
    batch: list[RGBTSample] = []
    for sample in samples:
        if batch and (len(batch) == size or batch[0].rgb.shape != sample.rgb.shape):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch
