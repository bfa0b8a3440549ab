"""The system runs out of memory and kills a worker process while it is at one pair."""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

from cimnet.data import RGBTDataset
from cimnet.data.pairs import Arrays, Pair


def kill_worker() -> None:
    """SIGKILL to this process, if it is a worker."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)


class _Deadly(RGBTDataset):
    deadly: str

    def decode(self, pair: Pair) -> Arrays:
        if pair.id == self.deadly:
            kill_worker()
        return super().decode(pair)


def deadly(dataset: RGBTDataset, name: str) -> Any:
    """The data set; a worker process that decodes the pair of this name is killed."""
    dataset.__dict__["info"] = type(dataset).info  # of the layout
    dataset.__class__ = _Deadly
    dataset.__dict__["deadly"] = name
    return dataset
