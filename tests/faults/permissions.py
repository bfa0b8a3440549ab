"""Files that may not be read, folders that may not be written."""

from __future__ import annotations

from cimnet.errors import CheckpointError, CimnetError, ConfigError, DataError
from tests.faults.bench import Bench, Fault
from tests.faults.privilege import as_a_user, read_only


def _unreadable_image(bench: Bench) -> str:
    (bench.data / "rgb" / "000.png").chmod(0)
    with as_a_user():
        return bench.predict()


def _unreadable_set(bench: Bench) -> str:
    (bench.data / "thermal").chmod(0)
    with as_a_user():
        try:
            return bench.read()
        finally:
            (bench.data / "thermal").chmod(0o755)


def _unreadable_list(bench: Bench) -> str:
    (bench.data / "train.txt").chmod(0)
    with as_a_user():
        return bench.read()


def _unreadable_classes(bench: Bench) -> str:
    (bench.data / "classes.yaml").chmod(0)
    with as_a_user():
        return bench.read()


def _unreadable_recipe(bench: Bench) -> str:
    bench.recipe.chmod(0)
    with as_a_user():
        return bench.train()


def _unreadable_checkpoint(bench: Bench) -> str:
    bench.checkpoint.chmod(0)
    with as_a_user():
        return bench.predict()


def _closed_out(bench: Bench) -> str:
    bench.out.mkdir(mode=0o555)
    assert bench.data
    with as_a_user():
        return bench.predict()


def _read_only_out(bench: Bench) -> str:
    bench.out.mkdir()
    read_only(bench, bench.out)
    return bench.predict()


def _read_only_run(bench: Bench) -> str:
    bench.out.mkdir()
    read_only(bench, bench.out)
    return bench.train()


def _read_only_data(bench: Bench) -> str:
    read_only(bench, bench.data)
    return bench.read() + "; " + bench.predict()


FAULTS: list[Fault] = [Fault(name, "permissions", run, error, says) for name, run, error, says in (
    ("image without the right to read it", _unreadable_image, None,
     "^7 masks; failed.csv: 000,.*Permission denied.*restore"),
    ("folder without the right to read it", _unreadable_set, DataError,
     "data/thermal: the folder cannot be read .*allow it"),
    ("list without the right to read it", _unreadable_list, DataError,
     "train.txt: cannot be read .*Permission denied.*restore the list or allow it"),
    ("classes.yaml without the right to read it", _unreadable_classes, DataError,
     "classes.yaml: cannot be read .*Permission denied.*allow it"),
    ("recipe without the right to read it", _unreadable_recipe, ConfigError,
     "recipe recipe.yaml: cannot be read .*Perm"),
    ("checkpoint without the right to read it", _unreadable_checkpoint, CheckpointError,
     "model.safetensors: .*[Pp]ermission"),
    ("--out without the right to write", _closed_out, CimnetError,
     "out/masks: cannot be written .*choose another folder"),
    ("--out on a read-only disk", _read_only_out, CimnetError,
     "out/masks: cannot be written .*Read-only.*another folder"),
    ("run folder on a read-only disk", _read_only_run, CimnetError,
     "out: cannot be written .*Read-only.*choose another"),
    ("data set on a read-only disk", _read_only_data, None, "^4 pairs read: .*; 8 masks$"),
)]  # fmt: skip
