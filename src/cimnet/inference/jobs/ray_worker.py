"""A worker process of Ray: it loads a predictor once, and predicts the parts that it gets."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cimnet.errors import CheckpointError, CimnetError
from cimnet.inference.jobs.outcomes import Outcome
from cimnet.inference.jobs.predict_part import predict_part
from cimnet.inference.jobs.shards import Shard
from cimnet.inference.open_model import load
from cimnet.utils.extras import require
from cimnet.weights.locate import identity_of

MOST_TRIES = 3
"""Times a part is begun: one that kills its worker must not do so for ever."""


@dataclass(frozen=True)
class Task:
    """The task that all workers get.

    Attributes:
        checkpoint, digest: what to load, and what its file must be.
        settings: those of :class:`cimnet.inference.jobs.job.Job`.
        device: cpu or cuda.
        out: absolute.
        tries: folder where attempts are counted.
    """

    checkpoint: str
    digest: str
    settings: Mapping[str, Any]
    device: str
    out: Path
    tries: Path


class Worker:
    """An actor of Ray Data. Its answers are tables of one column ``outcome``: for each part the pickled list of
    :class:`Outcome`, or the :class:`CimnetError` that ends the job."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.error: CimnetError | None = None
        try:
            if identity_of(task.checkpoint) != task.digest:
                raise CheckpointError(
                    f"checkpoint {task.checkpoint}: another file on a worker than where the command runs; put it "
                    "into a folder that all nodes share"
                )
            self.predictor = load(task.checkpoint, task.device, **task.settings)
        except CimnetError as error:
            self.error = error

    def __call__(self, table: Any) -> Any:
        rows = zip(*(table.column(name).to_pylist() for name in ("key", "part")), strict=True)
        return require("pyarrow", "cluster", "--engine ray").table(
            {"outcome": [pickle.dumps(self._predict(key, pickle.loads(part))) for key, part in rows]}
        )

    def _predict(self, key: str, part: Shard) -> list[Outcome] | CimnetError:
        if self.error is not None:
            return self.error
        tries = self.task.tries / key
        try:
            with tries.open("ab") as file:
                file.write(b".")
                count = file.tell()
        except OSError as error:
            return CimnetError(f"{tries}: cannot be written on a worker ({error.strerror}); all nodes must share --out")
        if count > MOST_TRIES:
            reason = (
                f"{MOST_TRIES} workers died while they had this pair or one of {len(part.names)} around it (out of "
                "memory?); use fewer --workers or a smaller --window, or try --engine local --resume"
            )
            return [Outcome(name, reason) for name in part.names]
        try:
            outcomes = list(predict_part(self.predictor, part, self.task.out))
        except CimnetError as error:
            return error
        tries.unlink(missing_ok=True)
        return outcomes
