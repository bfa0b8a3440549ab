"""Jobs in this process: lists and Parquet give what folders give; interrupted ones go on."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cimnet
from cimnet.errors import CimnetError, ConfigError
from cimnet.inference.jobs import Files, Job, predict_job, read_list
from cimnet.inference.jobs.ray_worker import MOST_TRIES, Task, Worker
from cimnet.utils.locks import is_locked
from tests.conftest import Result, Trained
from tests.fakes.layouts import make_folder, make_mfnet
from tests.inference.jobs.conftest import content, write_parquet

Cli = Callable[..., Result]


def _rows(root: Path, count: int) -> list[tuple[str, Path, Path]]:
    return [(f"{k:03d}", root / "rgb" / f"{k:03d}.png", root / "thermal" / f"{k:03d}.png") for k in range(count)]


def _job(checkpoint: Path, root: Path, out: Path, **options: Any) -> Job:
    """Folders; in batches of two."""
    options.setdefault("settings", {"batch_size": 2})
    return Job.of(checkpoint, out, rgb=root / "rgb", thermal=root / "thermal", device="cpu", **options)


class Stop(Exception):
    """As a killed process, in this one."""


def _interrupted(job: Job, after: int) -> None:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if done == after:
            raise Stop

    with pytest.raises(Stop):
        predict_job(job, count)


def test_folders_lists_and_parquet_give_the_same_bytes(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", 6)
    (root / "rgb" / "002.png").write_bytes((root / "rgb" / "002.png").read_bytes()[:300])
    with Image.open(root / "thermal" / "004.png") as image:
        image.resize((20, 16)).save(root / "thermal" / "004.png")
    predict_job(_job(trained.folder, root, tmp_path / "python"))
    (root / "list.csv").write_text(
        "rgb,thermal\n" + "".join(f"rgb/{k:03d}.png,thermal/{k:03d}.png\n" for k in range(6))
    )
    write_parquet(root / "list.parquet", _rows(root, 6))
    folders = ["--rgb", root / "rgb", "--thermal", root / "thermal"]
    sources = {"f": folders, "c": ["--pairs", root / "list.csv"], "p": ["--pairs", root / "list.parquet"]}
    for out, source in sources.items():
        result = cli("predict", trained.folder, *source, "--out", tmp_path / out, "--device", "cpu")
        assert (result.code, result.err) == (1, "")
        assert "2 pairs failed" in result.out
    expected = content(tmp_path / "python")
    assert sorted(expected) == [
        "failed.csv",
        *(f"{k}/{n}.png" for k in ("masks", "overlays") for n in ("000", "001", "003", "005")),
    ]
    assert content(tmp_path / "f") == content(tmp_path / "c") == expected
    found = content(tmp_path / "p")
    reasons = {row["name"]: row["reason"] for row in csv.DictReader(found.pop("failed.csv").decode().splitlines())}
    assert set(reasons) == {"002", "004"}
    assert reasons["002"].startswith(f"{root}/list.parquet: 002: rgb: ")
    assert f"{root}/list.parquet: 004: thermal is 20x16 but {root}/list.parquet: 004: rgb is 40x32" in reasons["004"]
    expected.pop("failed.csv")
    assert found == expected


def test_parquet_with_missing_sensors_arrays_and_four_channels(trained: Trained, tmp_path: Path) -> None:
    root, four = make_folder(tmp_path / "data", 1), make_mfnet(tmp_path / "four", 1) / "images" / "00000D.png"
    rgb, thermal = root / "rgb" / "000.png", root / "thermal" / "000.png"
    np.save(tmp_path / "t.npy", np.array(Image.open(thermal)))
    cases = {
        "a": (rgb, None),
        "b": (None, thermal),
        "c": (rgb, tmp_path / "t.npy"),
        "d": (four, four),
        "e/f": (rgb, thermal),
    }
    path = write_parquet(
        tmp_path / "x.parquet", [(name, *pair) for name, pair in [*cases.items(), ("none", (None, None))]]
    )
    result = predict_job(Job(trained.folder, read_list(path), tmp_path / "out", device="cpu"))
    assert result.failed == {"none": "rgb and thermal are both missing; give at least one image"}
    predictor = cimnet.load(trained.folder, "cpu")
    for name, pair in cases.items():
        mask = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{name}.png"))
        np.testing.assert_array_equal(mask, predictor.predict(*pair))


def test_parquet_that_is_damaged_in_the_middle(trained: Trained, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    root = make_folder(tmp_path / "data", 8)
    path = write_parquet(tmp_path / "x.parquet", _rows(root, 8))
    parts = read_list(path)
    place = parquet.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    data = path.read_bytes()
    path.write_bytes(data[:place] + bytes(200) + data[place + 200 :])
    result = predict_job(Job(trained.folder, parts, tmp_path / "out", device="cpu"))
    assert list(result.failed) == ["004", "005", "006", "007"]
    assert "x.parquet: row group 1: cannot be read" in result.failed["004"]
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 4
    write_parquet(path, _rows(root, 3))
    result = predict_job(Job(trained.folder, parts[:1], tmp_path / "out2", device="cpu"))
    assert list(result.failed) == ["003"]
    assert "the row is not there any more" in result.failed["003"]


@pytest.mark.parametrize("kind", ["plain", "alarms"])
def test_an_interrupted_job_goes_on_with_the_rest(
    trained: Trained, alarming: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = trained.folder if kind == "plain" else alarming
    root = make_folder(tmp_path / "data", 9)
    (root / "rgb" / "008.png").write_bytes(b"")
    alarms: list[str] = []
    predict_job(_job(checkpoint, root, tmp_path / "whole"), on_alarm=lambda name, _: alarms.append(name))
    out = tmp_path / "out"
    _interrupted(_job(checkpoint, root, out, resume=True), 5)
    (out / "masks" / ".000.17.part.png").write_bytes(b"half")
    (out / "masks" / "001.png").write_bytes(b"")  # a disk that lost power
    if kind == "alarms":
        with (out / ".alarms.part").open("a") as file:
            file.write("007,0.1,0.2,0.3,rgb_bro")
    before = {path: path.stat().st_mtime_ns for path in (out / "masks").glob("[!.]*") if path.stat().st_size}
    assert 2 <= len(before) < 8
    steps: list[None] = []
    result = predict_job(_job(checkpoint, root, out, resume=True), lambda: steps.append(None))
    assert len(steps) == 9
    assert list(result.failed) == ["008"]
    kept = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert len(kept) >= 2
    assert content(out) == content(tmp_path / "whole")
    if kind == "alarms":
        assert set(alarms) == {f"{k:03d}" for k in range(8)}
        assert (out / "alarms.csv").read_text().count("\n") == 9
    predict_job(_job(checkpoint, root, out, resume=True))
    assert content(out) == content(tmp_path / "whole")


def test_outputs_made_otherwise_are_not_gone_on_with(trained: Trained, alarming: Path, tmp_path: Path) -> None:
    root, out = make_folder(tmp_path / "data", 3), tmp_path / "out"
    predict_job(_job(trained.folder, root, out))
    before = content(out)
    with pytest.raises(
        CimnetError,
        match=r"prediction\.json: made with other settings: checkpoint \(.*\); resume with the same, or choose another",
    ):
        predict_job(_job(alarming, root, out, resume=True))
    other = _job(trained.folder, make_folder(tmp_path / "other", 3), out, resume=True)
    with pytest.raises(CimnetError, match=r"made with other settings: rgb.*, thermal.*; resume"):
        predict_job(other)
    with pytest.raises(CimnetError, match=r"with other settings: flip \(False then, True now\); "):
        predict_job(_job(trained.folder, root, out, settings={"flip": True}, resume=True))
    assert content(out) == before
    with pytest.raises(CimnetError, match=r"000\.png: exists; choose another --out, .*--resume"):
        predict_job(_job(trained.folder, root, out))
    predict_job(_job(alarming, root, out, overwrite=True))
    predict_job(_job(alarming, root, out, resume=True))
    assert "alarms.csv" in content(out)


def test_what_version_0_1_left_is_resumed(trained: Trained, tmp_path: Path) -> None:
    """Its prediction.json, field by field as it wrote it."""
    root, out = make_folder(tmp_path / "data", 3), tmp_path / "out"
    predict_job(_job(trained.folder, root, out))
    before = {
        "checkpoint": hashlib.sha256(trained.best.read_bytes()).hexdigest(),
        "window": None,
        "overlap": 0.5,
        "flip": False,
        "scales": [1.0],
        "precision": "float32",
        "leave_out_broken": False,
        "rgb": str(root / "rgb"),
        "thermal": str(root / "thermal"),
        "pairs": None,
    }
    now = json.loads((out / "prediction.json").read_text())
    assert {name: now[name] for name in now if name != "files"} == before
    (out / "prediction.json").write_text(json.dumps(before, indent=1) + "\n")
    (out / "masks" / "001.png").unlink()
    kept = (out / "masks" / "000.png").stat().st_mtime_ns
    predict_job(_job(trained.folder, root, out, resume=True))
    assert (out / "masks" / "001.png").is_file()
    assert (out / "masks" / "000.png").stat().st_mtime_ns == kept
    known = json.loads((out / "prediction.json").read_text())["files"]
    assert known == {"001": now["files"]["001"]}  # nobody knows of what the others were made


def _list(root: Path, thermal: dict[str, str]) -> Path:
    """A list of pairs, by name the thermal file."""
    rows = "".join(f"rgb/{name}.png,thermal/{file}.png,{name}\n" for name, file in thermal.items())
    (root / "pairs.csv").write_text(f"rgb,thermal,name\n{rows}")
    return root / "pairs.csv"


def test_a_pair_whose_files_in_the_list_were_corrected_is_not_done(trained: Trained, tmp_path: Path) -> None:
    root, out = make_folder(tmp_path / "data", 4), tmp_path / "out"
    names = ("000", "001", "002")
    options: dict[str, Any] = {"device": "cpu", "resume": True}
    _list(root, dict(zip(names, ("000", "003", "002"), strict=True)))
    predict_job(Job.of(trained.folder, out, pairs=root / "pairs.csv", **options))
    _list(root, dict(zip(names, names, strict=True)))
    job = Job.of(trained.folder, out, pairs=root / "pairs.csv", **options)
    before = content(out)
    with pytest.raises(ConfigError, match=r"masks: made from other files than are given now: 001; remove these masks"):
        predict_job(job)
    assert content(out) == before
    (out / "masks" / "001.png").unlink()
    kept = (out / "masks" / "000.png").stat().st_mtime_ns
    with pytest.raises(Stop):  # killed before its first pair: what is left of the old pair does not come back
        _stopped(job)
    assert not (out / "overlays" / "001.png").exists()
    predict_job(job)
    assert (out / "masks" / "000.png").stat().st_mtime_ns == kept
    predict_job(Job.of(trained.folder, tmp_path / "new", pairs=root / "pairs.csv", device="cpu"))
    assert content(out) == content(tmp_path / "new")
    predict_job(job)


def _stopped(job: Job) -> None:
    def stop() -> None:
        if not list(job.out.glob("masks/001.png")):
            raise Stop

    predict_job(job, stop)


def test_a_pair_that_was_not_reached_may_have_other_files(trained: Trained, tmp_path: Path) -> None:
    root, out = make_folder(tmp_path / "data", 4), tmp_path / "out"
    pairs = _list(root, {"000": "000", "001": "001", "002": "003"})
    _interrupted(Job.of(trained.folder, out, pairs=pairs, device="cpu"), 1)
    _list(root, {"000": "000", "001": "001", "002": "002", "003": "003"})  # corrected, and longer
    predict_job(Job.of(trained.folder, out, pairs=pairs, device="cpu", resume=True))
    predict_job(Job.of(trained.folder, tmp_path / "new", pairs=pairs, device="cpu"))
    assert content(out) == content(tmp_path / "new")
    _list(root, {"000": "000"})
    predict_job(Job.of(trained.folder, out, pairs=pairs, device="cpu", resume=True))  # shorter: the rest stays known
    _list(root, {"000": "000", "003": "002"})
    with pytest.raises(ConfigError, match="other files than are given now: 003;"):
        predict_job(Job.of(trained.folder, out, pairs=pairs, device="cpu", resume=True))
    predict_job(Job.of(trained.folder, out, pairs=pairs, device="cpu", overwrite=True))


def test_files_by_another_working_folder_or_link_are_the_same(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = make_folder(tmp_path / "data", 3), tmp_path / "out"
    predict_job(_job(trained.folder, root, out))
    (tmp_path / "link").symlink_to(root)
    before = (out / "prediction.json").read_bytes()
    monkeypatch.chdir(root)
    for same in (Path(), tmp_path / "link"):
        predict_job(_job(trained.folder, same, out, resume=True))
    assert (out / "prediction.json").read_bytes() == before


HOLDING = """
import sys, time
from pathlib import Path
from cimnet.cli.main import main
from cimnet.inference.jobs import record
go = Path(sys.argv.pop(1))
begin = record.Record.begin
def slowly(self):
    while not go.exists():
        time.sleep(0.01)
    begin(self)
record.Record.begin = slowly
main()
"""
"""A prediction that has its folder and waits for a file before it looks into it."""


def test_two_predictions_at_one_moment_do_not_mix(trained: Trained, tmp_path: Path) -> None:
    """Plain and mirrored into one new folder, from two processes: the second is refused in one line."""
    root, out, go = make_folder(tmp_path / "data", 3), tmp_path / "out", tmp_path / "go"
    sides = ["--rgb", root / "rgb", "--thermal", root / "thermal", "--out", out, "--device", "cpu"]
    command = [sys.executable, "-c", HOLDING, *(str(x) for x in (go, "predict", trained.folder, *sides))]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not is_locked(out) and first.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    try:
        with pytest.raises(CimnetError) as refused:
            predict_job(_job(trained.folder, root, out, settings={"flip": True}))
    finally:
        go.touch()
    errors = first.communicate(timeout=120)[1]
    assert first.returncode == 0, errors
    assert str(refused.value).startswith(f"{out}: another process predicts into it; ")
    assert len(str(refused.value).splitlines()) == 1
    alone = tmp_path / "alone"
    predict_job(_job(trained.folder, root, alone))
    assert content(out) == content(alone)
    assert (out / "prediction.json").read_bytes() == (alone / "prediction.json").read_bytes()


def test_a_folder_is_free_after_an_error_and_after_the_end(trained: Trained, tmp_path: Path) -> None:
    root, out = make_folder(tmp_path / "data", 3), tmp_path / "out"
    _interrupted(_job(trained.folder, root, out), 1)
    assert not (out / ".lock").exists()
    predict_job(_job(trained.folder, root, out, resume=True))
    with pytest.raises(CimnetError, match="exists"):
        predict_job(_job(trained.folder, root, out))
    assert not (out / ".lock").exists()


def test_an_overwriting_job_leaves_nothing_old_to_go_on_with(trained: Trained, tmp_path: Path) -> None:
    """Images changed: what the interrupted job had not reached is predicted, not kept."""
    root, out = make_folder(tmp_path / "data", 6), tmp_path / "out"
    predict_job(_job(trained.folder, root, out))
    make_folder(root, 6, seed=5)
    predict_job(_job(trained.folder, root, tmp_path / "new"))
    assert content(out) != content(tmp_path / "new")
    _interrupted(_job(trained.folder, root, out, overwrite=True), 2)
    predict_job(_job(trained.folder, root, out, resume=True))
    assert content(out) == content(tmp_path / "new")


def test_a_folder_of_several_predictions_cannot_be_gone_on_with(trained: Trained, tmp_path: Path) -> None:
    out, first, second = tmp_path / "out", tmp_path / "first", tmp_path / "second"
    predict_job(_job(trained.folder, make_folder(first, names=["a", "b", "c"]), out))
    job = _job(trained.folder, make_folder(second, names=["d", "e", "f"]), out)
    predict_job(job)
    for several in (None, {"predictions": "several"}):  # the second as version 0.1 wrote it
        if several:
            (out / "prediction.json").write_text(json.dumps(several))
        with pytest.raises(CimnetError, match="does not say how the results here were made"):
            predict_job(_job(trained.folder, second, out, resume=True))
    (out / "prediction.json").unlink()
    with pytest.raises(CimnetError, match="does not say how the results here were made"):
        predict_job(_job(trained.folder, second, out, resume=True))


def test_a_list_that_grew(trained: Trained, tmp_path: Path) -> None:
    root, out = make_folder(tmp_path / "data", 3), tmp_path / "out"
    predict_job(_job(trained.folder, root, out))
    make_folder(root, 5)
    predict_job(_job(trained.folder, root, out, resume=True))
    assert len(list((out / "masks").iterdir())) == 5


def test_a_job_of_which_nothing_can_be_read_leaves_nothing(trained: Trained, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", 2)
    for path in (root / "rgb").iterdir():
        path.write_bytes(b"")
    with pytest.raises(CimnetError, match="none of 2 pairs can be read"):
        predict_job(_job(trained.folder, root, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_stays_empty_if_nothing_can_be_read(trained: Trained, tmp_path: Path) -> None:
    root, out = make_folder(tmp_path / "data", 2), tmp_path / "out"
    for path in (root / "rgb").iterdir():
        path.write_bytes(b"")
    out.mkdir()
    with pytest.raises(CimnetError, match="none of 2 pairs can be read"):
        predict_job(_job(trained.folder, root, out))
    assert list(out.iterdir()) == []


def test_options_that_do_not_go_together(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    rgb = ["--rgb", trained.root / "rgb"]
    for options, message in (
        ([*rgb, "--resume", "--overwrite"], "give one of them"),
        ([*rgb, "--workers", 2], "belong to --engine ray"),
        ([*rgb, "--pairs", tmp_path], "--pairs names both images"),
        ([*rgb, "--engine", "ray", "--device", "cuda:1"], "Ray gives each worker its device"),
    ):
        result = cli("predict", trained.folder, *options, "--out", tmp_path / "out")
        assert result.code == 2
        assert message in result.err
    assert not (tmp_path / "out").exists()


def test_without_ray(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r'--engine ray: .*; pip install "cimnet\[cluster\]"'):
        predict_job(_job(trained.folder, trained.root, tmp_path / "out", engine="ray"))
    assert not (tmp_path / "out").exists()


def test_the_pool() -> None:
    from cimnet.inference.jobs.ray_engine import choose_pool

    for have, device, workers, expected in (
        ([{"CPU": 2.0}], None, None, (1, "cpu", {"num_cpus": 2})),
        ([{"CPU": 2.0}], None, 2, (2, "cpu", {"num_cpus": 1})),
        ([{"CPU": 64.0}], None, None, (16, "cpu", {"num_cpus": 4})),
        ([{"CPU": 64.0, "GPU": 4.0}], None, None, (4, "cuda", {"num_gpus": 1, "num_cpus": 1})),
        ([{"CPU": 64.0, "GPU": 4.0}], "cpu", 8, (8, "cpu", {"num_cpus": 8})),
        ([{"CPU": 1.0, "GPU": 2.0}], "cuda", None, (2, "cuda", {"num_gpus": 1, "num_cpus": 0})),
        ([{"CPU": 3.0}] * 2, None, None, (1, "cpu", {"num_cpus": 3})),  # a worker is on one node
        ([{"CPU": 3.0}] * 5, None, None, (3, "cpu", {"num_cpus": 3})),
        ([{"CPU": 4.0}] * 2, None, 1, (1, "cpu", {"num_cpus": 4})),
        ([{"CPU": 3.0}, {"CPU": 5.0}], None, 2, (2, "cpu", {"num_cpus": 3})),
    ):
        pool = choose_pool(have, device, workers)
        assert (pool.size, pool.device, pool.resources) == expected
    with pytest.raises(ConfigError, match="--workers 3: each takes one CPU and the cluster has 2; give 1 to 2"):
        choose_pool([{"CPU": 2.0}], None, 3)
    with pytest.raises(ConfigError, match="the cluster has no GPU"):
        choose_pool([{"CPU": 2.0}], "cuda", None)


def test_a_worker_gives_up_a_part_that_kills_workers(trained: Trained, tmp_path: Path) -> None:
    from cimnet.weights.locate import identity_of

    root = make_folder(tmp_path / "data", 2)
    (part,) = _job(trained.folder, root, tmp_path / "out").parts
    task = Task(str(trained.folder), identity_of(trained.folder), {}, "cpu", tmp_path / "out", tmp_path / "tries")
    task.tries.mkdir()
    worker = Worker(task)
    for before in (0, MOST_TRIES - 1):
        (task.tries / "0").write_bytes(b"." * before)
        outcomes = worker._predict("0", part)
        assert isinstance(outcomes, list)
        assert [outcome.error for outcome in outcomes] == [None, None]
        assert not (task.tries / "0").exists()
    (task.tries / "0").write_bytes(b"." * MOST_TRIES)
    outcomes = worker._predict("0", part)
    assert isinstance(outcomes, list)
    assert all("3 workers died" in str(outcome.error) for outcome in outcomes)


def test_a_worker_that_finds_another_checkpoint_ends_the_job(trained: Trained, tmp_path: Path) -> None:
    worker = Worker(Task(str(trained.folder), "0" * 64, {}, "cpu", tmp_path, tmp_path))
    error = worker._predict("0", Files(()))
    assert isinstance(error, CimnetError)
    assert "another file on a worker than where the command runs" in str(error)


def test_a_cluster_that_cannot_be_reached(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(CimnetError, match=r"the Ray cluster at 127\.0\.0\.1:1 cannot be reached \(.*refused"):
        predict_job(_job(trained.folder, trained.root, tmp_path / "out", engine="ray", address="127.0.0.1:1"))
    assert not (tmp_path / "out").exists()
