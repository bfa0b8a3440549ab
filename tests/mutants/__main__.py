"""Do the tests see what they are for? Make one wrong change at a time and run the tests that must fail.

    python -m tests.mutants                       # all mutants of table.py
    python -m tests.mutants --only "loss:"        # those whose name begins so
    python -m tests.mutants --write result.md     # the result as a Markdown table, too

Every change is made in a temporary copy of the project, never in place. First the named tests run there without any
change and must pass. A mutant is *killed* if a test fails and *survives* if all pass. A snippet that is not in its file
exactly once *does not apply*: correct the table. Exit code 1 if a mutant survives or does not apply.

A mutant belongs in the table if it is a mistake that somebody could make and a user would suffer from. It names whole
test files, so that it stays valid when single tests are renamed.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from cimnet.utils.tables import markdown_table

from .table import MUTANTS, Mutant, misfit

ROOT = Path(__file__).parents[2]
COPIED = ("src", "tests", "recipes")
SKIPPED = (".*", "runs", "__pycache__")
KILLED, SURVIVED, UNUSABLE = "killed", "survived", "does not apply"
TIMEOUT = 600  # seconds; a mutant that hangs is one that the tests see
FAILED, PASSED, BROKEN = 1, 0, 3  # exit codes of pytest
LIBRARIES = ("torch", "torchvision.transforms.v2", "segmentation_models_pytorch", "timm", "scipy.ndimage", "matplotlib")


def copy_project(root: Path, folder: Path) -> Path:
    """Copy what mutants change and tests import; link the rest."""
    for path in root.iterdir():
        if path.name in COPIED:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif not any(path.match(pattern) for pattern in SKIPPED):
            (folder / path.name).symlink_to(path)
    return folder


def run_tests(project: Path, tests: Iterable[str]) -> tuple[int, str]:
    """Run test files until the first failure: pytest's exit code and what it says of that.

    In a fork of this process, which has imported the large libraries once for all, and nothing of the project.
    """
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            try:
                _become_pytest(project, output.fileno(), list(tests))
            finally:
                os._exit(BROKEN)
        code = _wait(child)
        output.seek(0)
        lines = output.read().splitlines()
    told = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return (FAILED, f"no end after {TIMEOUT} s") if code is None else (code, (told or lines or [""])[-1])


def _become_pytest(project: Path, output: int, tests: list[str]) -> None:
    os.setsid()  # so that processes that tests begin can be ended with it
    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(project)
    os.environ["PYTHONPATH"] = str(project / "src")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "cimnet")]:
        del sys.modules[name]
    sys.path[:] = [str(project), str(project / "src"), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line", *tests]
    code = int(pytest.main(arguments))
    sys.stdout.flush()
    os._exit(code)


def _wait(child: int) -> int | None:
    """Exit code of a fork; None if it had to be ended."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def judge(mutant: Mutant, project: Path) -> tuple[str, str]:
    """Apply a mutant, run its tests, undo it: outcome and what was seen."""
    if reason := misfit(mutant, project):
        return UNUSABLE, reason
    path = project / mutant.file
    sound = path.read_text(encoding="utf-8")
    changed = sound.replace(mutant.old, mutant.new)
    if path.suffix == ".py":
        ast.parse(changed)  # a syntax error would be seen by any test
    path.write_text(changed, encoding="utf-8")
    try:
        code, said = run_tests(project, mutant.tests)
    finally:
        path.write_text(sound, encoding="utf-8")
    if code not in (FAILED, PASSED):
        return UNUSABLE, f"pytest ended with {code}: {said}"
    return (KILLED if code == FAILED else SURVIVED), said


def require_sound(mutants: Sequence[Mutant], project: Path) -> None:
    """Refuse to go on where the tests fail without any mutant: all of them would count as killed."""
    code, said = run_tests(project, sorted({test for mutant in mutants for test in mutant.tests}))
    if code != PASSED:
        sys.exit(f"the tests fail without any mutant ({said}); mend them first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="beginning of the names of the mutants to try")
    parser.add_argument("--write", type=Path, help="Markdown file for the result")
    parser.add_argument("--trust", action="store_true", help="do not run the tests without a mutant first")
    options = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if mutant.name.startswith(options.only)]
    os.environ["OMP_NUM_THREADS"] = "1"
    for library in LIBRARIES:
        importlib.import_module(library)
    rows = []
    with tempfile.TemporaryDirectory(prefix="cimnet-mutants-") as folder:
        project = copy_project(ROOT, Path(folder))
        if not options.trust:
            require_sound(mutants, project)
        for mutant in mutants:
            began = time.monotonic()
            outcome, said = judge(mutant, project)
            rows.append((mutant.name, outcome, said))
            print(f"{outcome:14} {time.monotonic() - began:5.0f} s  {mutant.name}  ({said[:120]})", flush=True)
    if options.write is not None:
        options.write.write_text(markdown_table(["mutant", "outcome", "seen by"], rows, "l"), encoding="utf-8")
    bad = [name for name, outcome, _ in rows if outcome != KILLED]
    print(f"{len(rows) - len(bad)} of {len(rows)} mutants killed")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
