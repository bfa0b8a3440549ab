"""One prediction of many pairs, from its files to its tables.

    match  ->  ledger  ->  read  ->  prepare  ->  predict  ->  write
    Job.of     Record      '------------ predict_part ------------'

`Job.of` pairs the files and `predict_job` asks the ledger what is done already; `predict_part` takes the rest through
the other four steps, in this process or in the workers of a Ray cluster. Each pair is decoded once, and judged once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cimnet.data.io.notices import notice
from cimnet.errors import ConfigError
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.jobs.matching import (
    NameRules,
    check_described,
    described_folder,
    match_pairs,
    with_described,
)
from cimnet.inference.jobs.outcomes import Outcome, Predicted, write_tables
from cimnet.inference.jobs.pair_lists import read_list
from cimnet.inference.jobs.predict_part import predict_part
from cimnet.inference.jobs.record import KINDS, Record, files_of, fingerprint
from cimnet.inference.jobs.shards import Files, Shard
from cimnet.inference.open_model import load
from cimnet.inference.predictor import Predictor
from cimnet.inference.settings import Settings
from cimnet.utils.files import refuse_inputs_as_outputs
from cimnet.weights.locate import identity_of

_LEAST, _MOST = 16, 4096  # pairs in a part for a worker; parts
_Run = Callable[[Sequence[Shard]], Generator[Outcome, None, None]]


@dataclass(frozen=True)
class Job:
    """A prediction of many pairs. :meth:`Job.of` finds the pairs of folders and lists.

    Attributes:
        checkpoint: as for :func:`cimnet.load`.
        parts: the pairs, from :func:`read_list`, or :class:`Files`.
        out: folder for masks, overlays, tables and ``prediction.json``.
        origin: by option, where the pairs come from; a run that resumes must have the same. It compares the files of
            each pair, too.
        settings: keyword arguments for :func:`cimnet.load`, such as ``batch_size`` and ``trust``.
        device: as for :func:`cimnet.load`; with Ray "cpu" or "cuda".
        engine: "local" for this process, or "ray" for a cluster. Both write the same.
        workers, address: number of Ray's workers and address of its cluster, see ``cimnet.inference.jobs.ray_engine``.
        resume: whether to leave out pairs whose outputs exist. Without outputs, the job starts.
        overwrite: whether to remove existing outputs of these pairs first.
        unmatched: files without a partner, which are left out.
        taken: in words, how partners were found; "" for equal names and lists.
    """

    checkpoint: str | Path
    parts: Sequence[Shard]
    out: Path
    origin: Mapping[str, Path | str | None] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None
    address: str | None = None
    resume: bool = False
    overwrite: bool = False
    unmatched: Sequence[Path] = ()
    taken: str = ""

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            raise ConfigError("--resume keeps existing outputs and --overwrite drops them; give one of them")
        if self.engine == "local" and (self.workers, self.address) != (None, None):
            raise ConfigError("--workers and --address belong to --engine ray; add it or leave them out")
        if self.engine == "ray" and self.device not in (None, "cpu", "cuda"):
            raise ConfigError(f"--device {self.device}: Ray gives each worker its device; give cpu, cuda or nothing")

    @classmethod
    def of(
        cls,
        checkpoint: str | Path,
        out: str | Path,
        *,
        rgb: str | Path | None = None,
        thermal: str | Path | None = None,
        pairs: str | Path | None = None,
        names: NameRules | None = None,
        **options: Any,
    ) -> Job:
        """A job for two files or folders, or for a list of pairs.

        Args:
            checkpoint: as for :func:`cimnet.load`.
            out: folder for the outputs.
            rgb, thermal: files or folders, see :func:`match_pairs`. None: that sensor is missing.
            pairs: a list, see :func:`read_list`, instead of both.
            names: how the file names of a pair are alike. None: found out.
            options: other attributes of the job.

        Raises:
            ConfigError: options do not go together.
            DataError: a path, folder or list cannot be used.
        """
        if pairs is not None and (rgb, thermal) != (None, None):
            raise ConfigError("--pairs names both images; leave out --rgb and --thermal")
        given = {"rgb": rgb, "thermal": thermal, "pairs": pairs}
        paths = {option: None if path is None else Path(path) for option, path in given.items()}
        if paths["pairs"] is not None:
            if names is not None:
                raise ConfigError("--pairs names both images; leave out --rgb-pattern, --thermal-pattern and --max-gap")
            return cls(checkpoint, read_list(paths["pairs"]), Path(out), paths, **options)
        rules = names or NameRules()
        matched = match_pairs(paths["rgb"], paths["thermal"], Path(out), rules)
        options |= {"unmatched": matched.unmatched, "taken": matched.taken}
        return cls(checkpoint, [Files(tuple(matched.pairs))], Path(out), {**paths, **rules.given()}, **options)

    @property
    def names(self) -> list[str]:
        """The names of all pairs."""
        return [name for part in self.parts for name in part.names]


def predict_job(
    job: Job,
    progress: Callable[[], None] | None = None,
    on_alarm: Callable[[str, Alarm], None] | None = None,
) -> Predicted:
    """Write ``masks/NAME.png`` (class ids) and ``overlays/NAME.png`` of each pair into the job's folder, ``alarms.csv``
    if the checkpoint has alarms, ``failed.csv`` if a pair cannot be read, and ``prediction.json``, which says how
    the outputs were made.

    Files are read and written in threads beside the model. Meanwhile, other predictions into the folder are refused.
    The YAML in one folder that is given for both sensors says bands, unit and kind of the images, unless the job's
    settings do. Images keep the border that it declares, and a warning says so.

    Args:
        job: what to predict.
        progress: called for each pair, also for those that were done before.
        on_alarm: called with the name of each pair of this run that raises an alarm, and that alarm.

    Returns:
        What became of the pairs of this run.

    Raises:
        ConfigError: a device or setting cannot be used, an extra is missing, or existing outputs were made in another
            way.
        DataError: no pair can be read, or the folder's YAML says that its second images are of another kind.
        CheckpointError: the checkpoint cannot be used.
        CimnetError: outputs exist, another prediction is writing there, or outputs cannot be written (what is complete
            stays); or Ray fails.
    """
    step = progress or _nothing
    described = described_folder(job.origin.get("rgb"), job.origin.get("thermal"))
    job = replace(job, settings=with_described(job.settings, described))
    predictor = load(job.checkpoint, "cpu" if job.engine == "ray" else job.device, **job.settings)
    if described is not None:
        check_described(described, predictor.info.second, notice)
    digest, names = identity_of(job.checkpoint), job.names
    if job.overwrite:
        refuse_inputs_as_outputs(
            [job.out / kind / f"{name}.png" for name in names for kind in KINDS],
            [path for part in job.parts if isinstance(part, Files) for pair in part.pairs for path in pair[1:] if path],
        )
    made_with, files = fingerprint(digest, _recorded(predictor), job.origin), files_of(job.parts)
    record = Record(job.out, made_with, names, predictor.has_alarm, job.resume, job.overwrite, files)
    result = Predicted()
    with _local(job, predictor) if job.engine == "local" else _ray(job, digest, record.tries) as run, record:
        record.begin()
        for _ in record.done:
            step()
        left = [part for part in (part.without(record.done) for part in job.parts) if part.names]
        with closing(run(left)) as outcomes:
            for outcome in outcomes:
                record.note(outcome)
                result.add(outcome, on_alarm)
                step()
        if len(result.failed) == len(names):
            record.drop()
        result.refuse_if_all_failed(len(names))
        record.end(result.failed)
        write_tables(job.out, result.failed, record.alarms())
    return result


def _recorded(predictor: Predictor) -> Settings:
    """The settings for the record: without a unit that converts nothing, which older records do not have."""
    settings, unit = predictor.settings, predictor.info.scaling.known_unit
    return replace(settings, thermal_unit=None) if unit in (None, settings.thermal_unit) else settings


def _nothing() -> None:
    """No progress is shown."""


@contextmanager
def _local(job: Job, predictor: Predictor) -> Iterator[_Run]:
    def run(parts: Sequence[Shard]) -> Generator[Outcome, None, None]:
        for part in parts:
            yield from predict_part(predictor, part, job.out)

    yield run


@contextmanager
def _ray(job: Job, digest: str, tries: Path) -> Iterator[_Run]:
    from cimnet.inference.jobs.ray_engine import choose_pool, cluster, predict_on_ray
    from cimnet.inference.jobs.ray_worker import Task
    from cimnet.weights.locate import EXPORTED, locate

    path = locate(job.checkpoint)
    is_path = path == Path(job.checkpoint)  # else a name, which each machine looks up
    checkpoint = str(path.absolute() if is_path else job.checkpoint)
    exported = path.suffix in EXPORTED
    with cluster(job.address) as nodes:
        pool = choose_pool(nodes, "cpu" if exported and job.device is None else job.device, job.workers)
        task = Task(checkpoint, digest, job.settings, pool.device, job.out.absolute(), tries.absolute())
        yield lambda parts: predict_on_ray(_cut(parts), task, pool)


def _cut(parts: Sequence[Shard]) -> list[Shard]:
    """Pieces that are small enough to be distributed and repeated, and not too many."""
    count = max(_LEAST, -(-sum(len(part.names) for part in parts) // _MOST))
    return [piece for part in parts for piece in (part.cut(count) if isinstance(part, Files) else [part])]
