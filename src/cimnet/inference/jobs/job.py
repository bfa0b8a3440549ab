"""One large prediction from its parts to its tables, by either engine."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cimnet.errors import ConfigError
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.jobs.folders import Outcome, Predicted, refuse_if_all_failed, write_tables
from cimnet.inference.jobs.record import Record, digest_of, fingerprint
from cimnet.inference.jobs.shards import Files, Shard, predict_shard
from cimnet.inference.predictor import Predictor, load

_LEAST, _MOST = 16, 4096  # pairs in a part for a worker; parts
_Run = Callable[[Sequence[Shard]], Generator[Outcome, None, None]]


@dataclass(frozen=True)
class Job:
    """What is asked for.

    Attributes:
        checkpoint: as for :func:`cimnet.load`.
        parts: what `read_list` gives, or :class:`Files` of what :func:`cimnet.inference.jobs.match_pairs` gives.
        out: folder for masks/, overlays/, tables and prediction.json.
        origin: by option, where the pairs come from: a run that goes on must have the same.
        settings: fields of :class:`cimnet.inference.settings.Settings`.
        device: as for :func:`cimnet.load`; with Ray cpu or cuda.
        engine: this process, or a Ray cluster. Both write the same.
        workers, address: of Ray, see :mod:`cimnet.inference.jobs.ray_engine`.
        resume: leave out pairs whose outputs are there; where there are none, begin.
        overwrite: remove outputs of these pairs first.
    """

    checkpoint: str | Path
    parts: Sequence[Shard]
    out: Path
    origin: Mapping[str, Path | None] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None
    address: str | None = None
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            raise ConfigError("--resume keeps what is there and --overwrite drops it; give one of them")
        if self.engine == "local" and (self.workers, self.address) != (None, None):
            raise ConfigError("--workers and --address belong to --engine ray; add it or leave them out")
        if self.engine == "ray" and self.device not in (None, "cpu", "cuda"):
            raise ConfigError(f"--device {self.device}: Ray gives each worker its device; give cpu, cuda or nothing")


def predict_job(
    job: Job,
    progress: Callable[[], None] | None = None,
    on_alarm: Callable[[str, Alarm], None] | None = None,
) -> Predicted:
    """Write masks, overlays and tables as :func:`cimnet.inference.jobs.predict_pairs` does, and ``prediction.json``,
    which says how they were made.

    Args:
        progress: called for each pair, also for those left out.
        on_alarm: as in `predict_pairs`, for pairs of this run.

    Returns:
        What became of the pairs of this run.

    Raises:
        ConfigError: a device or setting that cannot be used, or a missing extra.
        DataError: no pair can be read.
        CheckpointError: the checkpoint cannot be used.
        CimnetError: outputs are there, were made otherwise, or cannot be written; Ray fails.
    """
    predictor = load(job.checkpoint, "cpu" if job.engine == "ray" else job.device, **job.settings)
    digest = digest_of(job.checkpoint)
    names = [name for part in job.parts for name in part.names]
    record = Record(job.out, fingerprint(digest, predictor.settings, job.origin), names, predictor.has_alarm)
    result = Predicted()
    with _local(job, predictor) if job.engine == "local" else _ray(job, digest, record.tries) as run:
        record.begin(job.resume, job.overwrite)
        for _ in record.done:
            _tell(progress)
        left = [part for part in (part.without(record.done) for part in job.parts) if part.names]
        with closing(run(left)) as outcomes:
            for outcome in outcomes:
                record.note(outcome)
                result.add(outcome, on_alarm)
                _tell(progress)
    if len(result.failed) == len(names):
        record.drop()
    refuse_if_all_failed(result.failed, len(names))
    record.end(result.failed)
    write_tables(job.out, result.failed, record.alarms())
    return result


@contextmanager
def _local(job: Job, predictor: Predictor) -> Iterator[_Run]:
    def run(parts: Sequence[Shard]) -> Generator[Outcome, None, None]:
        for part in parts:
            yield from predict_shard(predictor, part, job.out)

    yield run


@contextmanager
def _ray(job: Job, digest: str, tries: Path) -> Iterator[_Run]:
    from cimnet.inference.hub import EXPORTED, locate
    from cimnet.inference.jobs.ray_engine import choose_pool, cluster, predict_on_ray
    from cimnet.inference.jobs.ray_worker import Task

    path = Path(job.checkpoint)
    checkpoint = str(path.absolute() if path.exists() else path)  # else a name on the Hub
    exported = locate(job.checkpoint).suffix in EXPORTED
    with cluster(job.address) as nodes:
        pool = choose_pool(nodes, "cpu" if exported and job.device is None else job.device, job.workers)
        task = Task(checkpoint, digest, job.settings, pool.device, job.out.absolute(), tries.absolute())
        yield lambda parts: predict_on_ray(_cut(parts), task, pool)


def _cut(parts: Sequence[Shard]) -> list[Shard]:
    """Pieces that are small enough to be shared out and repeated, and not too many."""
    count = max(_LEAST, -(-sum(len(part.names) for part in parts) // _MOST))
    return [piece for part in parts for piece in (part.cut(count) if isinstance(part, Files) else [part])]


def _tell(progress: Callable[[], None] | None) -> None:
    if progress is not None:
        progress()
