"""Jobs on a local Ray cluster of two workers: the bytes of the local engine, whatever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cimnet.errors import CimnetError
from cimnet.inference.jobs import Files, Job, match_pairs, predict_job, read_list
from tests.conftest import Trained
from tests.fakes.layouts import make_folder
from tests.inference.jobs.conftest import content, write_parquet

pytestmark = pytest.mark.cluster
COUNT, FEW = 64, 20
SLOW = {"flip": True, "scales": (1.0,) * 4}  # the pairs are tiny


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two CPUs, in this process, so that not each job starts its own."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def _make(root: Path, count: int) -> Path:
    """Pairs in folders, a list and Parquet; of one the RGB image is cut off, of one the thermal file is empty."""
    make_folder(root, count)
    names = [f"{k:03d}" for k in range(count)]
    (root / "rgb" / "018.png").write_bytes((root / "rgb" / "018.png").read_bytes()[:300])
    (root / "thermal" / "007.png").write_bytes(b"")
    (root / "list.csv").write_text("rgb,thermal\n" + "".join(f"rgb/{n}.png,thermal/{n}.png\n" for n in names))
    rows = [(n, root / "rgb" / f"{n}.png", root / "thermal" / f"{n}.png") for n in names]
    write_parquet(root / "list.parquet", rows, group=10)
    return root


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two parts for workers."""
    return _make(tmp_path_factory.mktemp("few") / "data", FEW)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four parts for workers."""
    return _make(tmp_path_factory.mktemp("many") / "data", COUNT)


def _job(checkpoint: Path, root: Path, out: Path, source: str = "folders", **options: Any) -> Job:
    if source == "folders":
        return Job(checkpoint, [Files(tuple(match_pairs(root / "rgb", root / "thermal").pairs))], out, **options)
    return Job(checkpoint, read_list(root / source), out, {"pairs": root / source}, **options)


@pytest.mark.parametrize("source", ["folders", "list.csv", "list.parquet"])
def test_the_same_bytes_as_the_local_engine(
    cluster: Any, alarming: Path, few: Path, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks, overlays, alarms and reasons of failures, with paths relative to a folder that is not the workers'."""
    monkeypatch.chdir(few.parent)
    results = {}
    for engine in ("local", "ray"):
        steps: list[None] = []
        alarms: list[str] = []
        options: dict[str, Any] = {"engine": engine, "workers": 2 if engine == "ray" else None, "device": "cpu"}
        job = _job(alarming, Path(few.name), tmp_path / engine, source, **options)
        result = predict_job(job, lambda: steps.append(None), lambda name, _: alarms.append(name))  # noqa: B023
        assert len(steps) == FEW
        results[engine] = (sorted(alarms), result.failed, content(tmp_path / engine))
    assert results["ray"] == results["local"]
    alarms, failed, files = results["ray"]
    assert len(alarms) == FEW - 2
    assert set(failed) == {"007", "018"}
    assert len(files) == 2 * (FEW - 2) + 2
    assert (tmp_path / "ray" / "prediction.json").read_bytes() == (tmp_path / "local" / "prediction.json").read_bytes()


def test_what_ends_a_job_is_one_error(cluster: Any, trained: Trained, few: Path, tmp_path: Path) -> None:
    from cimnet.inference.jobs.ray_engine import Pool, predict_on_ray
    from cimnet.inference.jobs.ray_worker import Task

    parts = [Files(tuple(match_pairs(few / "rgb", few / "thermal").pairs[:2]))]
    pool = Pool(1, "cpu", {"num_cpus": 1})
    task = Task(str(trained.folder), "0" * 64, {}, "cpu", tmp_path / "out", tmp_path / "tries")
    with pytest.raises(CimnetError, match="another file on a worker"):
        list(predict_on_ray(parts, task, pool))
    broken = Task(5, "0" * 64, {}, "cpu", tmp_path / "out", tmp_path / "tries")  # type: ignore[arg-type]
    with pytest.raises(CimnetError, match=r"Ray: .*; what is done is kept: fix this and add --resume"):
        list(predict_on_ray(parts, broken, pool))
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def expected(trained: Trained, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local engine writes with the slow settings."""
    out = tmp_path_factory.mktemp("local") / "out"
    predict_job(_job(trained.folder, data, out, settings=SLOW, device="cpu"))
    return content(out)


def _masks(out: Path) -> list[Path]:
    return list((out / "masks").glob("[!.]*.png"))


def _workers(pid: int) -> list[Any]:
    psutil = pytest.importorskip("psutil")
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "MapBatches(Worker)" in "".join(child.cmdline())]


def test_a_worker_that_is_killed(
    cluster: Any, trained: Trained, data: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    """After the first part, in the middle of another one."""
    out, killed = tmp_path / "out", []

    def kill() -> None:
        if not killed:
            killed.extend(_workers(os.getpid()))
            assert len(killed) == 2
            assert len(list((out / ".tries").iterdir())) > 0  # parts that are begun
            assert len(_masks(out)) < COUNT - 16
            killed[0].kill()

    options = {"settings": SLOW, "device": "cpu", "engine": "ray", "workers": 2}
    result = predict_job(_job(trained.folder, data, out, **options), kill)
    assert set(result.failed) == {"007", "018"}
    assert content(out) == expected
    assert expected["failed.csv"].decode().count("\n") == 3


def _start(checkpoint: Path, data: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    arguments = ["predict", checkpoint, "--rgb", data / "rgb", "--thermal", data / "thermal", "--out", out]
    views = ["--device", "cpu", "--flip", "--scales", ",".join("1" for _ in SLOW["scales"])]
    command = [sys.executable, "-m", "cimnet.cli", *map(str, arguments), *views, "--engine", "ray", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_driver_that_is_killed(
    cluster: Any, trained: Trained, data: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    """Its workers end with it; the same command with --resume does the rest, here on a cluster that runs."""
    psutil = pytest.importorskip("psutil")
    out = tmp_path / "out"
    process = _start(trained.folder, data, out, "--workers", "2")
    end = time.monotonic() + 120
    while len(_masks(out)) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    workers = _workers(process.pid)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
    before = {path: path.stat().st_mtime_ns for path in _masks(out) if (out / "overlays" / path.name).exists()}
    assert 3 <= len(before) < COUNT - 16
    process = _start(trained.folder, data, out, "--address", "auto", "--resume")
    said, errors = process.communicate(timeout=150)
    assert process.returncode == 1, errors  # two pairs fail
    assert f"{COUNT - 2} masks in" in said
    assert "Traceback" not in errors
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert content(out) == expected
