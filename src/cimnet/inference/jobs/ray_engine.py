"""Parts of a prediction on Ray Data: a pool of actors, each with a predictor."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cimnet.errors import CimnetError, ConfigError
from cimnet.inference.jobs.outcomes import Outcome
from cimnet.inference.jobs.ray_worker import Task, Worker
from cimnet.inference.jobs.shards import Shard
from cimnet.utils.extras import require

_CPUS_A_WORKER = 4


@dataclass(frozen=True)
class Pool:
    """Workers: how many, on which device (cpu or cuda), and what each takes of the cluster."""

    size: int
    device: str
    resources: Mapping[str, float]


def choose_pool(nodes: Sequence[Mapping[str, float]], device: str | None, workers: int | None) -> Pool:
    """The pool for nodes that have these resources (``CPU``, ``GPU``). Without a device, GPUs if there are any;
    without a number, a worker for each GPU, or for every four CPUs, which the workers divide among themselves.

    Raises:
        ConfigError: no such device in the cluster, or more workers than it has room for.
    """
    by_node = [int(node.get("CPU", 0)) for node in nodes]
    cpus, gpus = sum(by_node), sum(int(node.get("GPU", 0)) for node in nodes)
    device = device or ("cuda" if gpus else "cpu")
    kind, room = ("GPU", gpus) if device == "cuda" else ("CPU", cpus)
    if room == 0:
        raise ConfigError(f"--engine ray: the cluster has no {kind}; choose another --device, or add nodes")
    if workers is not None and not 1 <= workers <= room:
        raise ConfigError(f"--workers {workers}: each takes one {kind} and the cluster has {room}; give 1 to {room}")
    if kind == "GPU":
        size = workers or gpus
        return Pool(size, device, {"num_gpus": 1, "num_cpus": 1 if cpus >= size else 0})
    size = workers or max(1, cpus // _CPUS_A_WORKER)
    share = min(cpus // size, max(by_node))  # a worker is on one node …
    while sum(count // share for count in by_node) < size:  # … and there must be a place for each
        share -= 1
    return Pool(size, device, {"num_cpus": share})


def predict_on_ray(parts: Sequence[Shard], task: Task, pool: Pool) -> Generator[Outcome, None, None]:
    """Predict parts inside `cluster`; one outcome of each pair, in any order.

    Raises:
        CimnetError: what ends the job: an output that cannot be written, a checkpoint that a worker cannot read,
            or Ray itself.
    """
    if not parts:
        return
    data = require("ray.data", "cluster", "--engine ray")
    rows = [{"key": str(k), "part": pickle.dumps(part.absolute())} for k, part in enumerate(parts)]
    task.tries.mkdir(parents=True, exist_ok=True)
    try:
        dataset = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Worker,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_args=(task,),
            compute=data.ActorPoolStrategy(size=min(pool.size, len(rows))),
            **pool.resources,
        )
        for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            for answer in map(pickle.loads, table.column("outcome").to_pylist()):
                if isinstance(answer, CimnetError):
                    raise answer
                yield from answer
    except CimnetError:
        raise
    except Exception as error:  # Ray has dozens, and wraps those of workers
        raise CimnetError(f"Ray: {_reason(error)}; what is done is kept: fix this and add --resume") from error


@contextmanager
def cluster(address: str | None) -> Iterator[list[Mapping[str, float]]]:
    """Connect to the cluster at ``address`` ("auto": the one that this machine belongs to), or start one of this
    machine that ends with the context. Where this process is connected already, that is used and left. Gives its
    nodes' resources.

    Raises:
        ConfigError: Ray is not installed.
        CimnetError: no connection.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray starts
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray = require("ray", "cluster", "--engine ray")
    data = require("ray.data", "cluster", "--engine ray")
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    if ray.is_initialized():
        yield _nodes(ray)
        return
    if address is not None:
        _require_reachable(address)
    local: dict[str, Any] = {"include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **local)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError, by what is wrong
        where = "on this machine cannot be started" if address is None else f"at {address} cannot be reached"
        raise CimnetError(
            f"the Ray cluster {where} ({_reason(error)}); see `ray status`; `ray start --head` starts one"
        ) from error
    try:
        yield _nodes(ray)
    finally:
        ray.shutdown()


def _nodes(ray: Any) -> list[Mapping[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _require_reachable(address: str) -> None:
    """Try HOST:PORT: Ray itself takes minutes to give up."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isascii() and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise CimnetError(f"the Ray cluster at {address} cannot be reached ({error}); see `ray status`") from error


def _reason(error: Exception) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"[:300]
