"""Give random and damaged input to everything that reads a stranger's file, and see that only `CimnetError`s come out.

    python benchmarks/fuzz.py --cases 100000 --seed 1                  # divided among all targets
    python benchmarks/fuzz.py --cases 5000 --seed 7 --target archives

A case must return or raise a `CimnetError` of one line, within 10 seconds and 4 GB of further memory, and print no
warning. Anything else is printed with its number and kept as a file in --keep. Case N of a seed is the same every time.
A crash of the interpreter leaves its case in that folder as `current`.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from tests.faults import seeds
from tests.faults.mutate import mutate
from tests.faults.targets import FILES, VALUES

from cimnet.errors import CimnetError

TOLERATED = re.compile(
    "EXIF|exceeds limit|additional header pars|invalid escape|Truncated File Read|Metadata Warning|pickle protocol|"
    "Invalid APP|Image appears to be a malformed"
)
"""Warnings of Pillow, numpy and torch about damaged parts of a file; Python prints each once."""
SECONDS = 10
MEMORY = 4 << 30


class TooSlow(BaseException):
    """Not an Exception, so that no reader takes it for a damaged file."""


class Findings:
    """What must not happen, each kind once, with the input."""

    def __init__(self, keep: Path) -> None:
        self.keep = keep
        self.kinds: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0

    def check(self, target: str, case: object, step: Callable[[], object], content: bytes) -> None:
        """Run one step of a case."""
        begun = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                step()
            outcome = "read"
        except CimnetError as error:
            outcome = "refused"
            if "\n" in str(error) and target in FILES:  # settings are quoted as they were given
                self.add(target, case, "message of several lines", content)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            outcome = "other"
            where = traceback.extract_tb(error.__traceback__)
            ours = next(
                (f"{frame.name}:{frame.lineno}" for frame in reversed(where) if "/cimnet/" in frame.filename), ""
            )
            self.add(target, case, f"{type(error).__name__} in {ours}: {str(error)[:100]}", content)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for warning in warned:
            if not TOLERATED.search(str(warning.message)):
                self.add(target, case, f"{warning.category.__name__}: {str(warning.message)[:60]}", content)
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, time.monotonic() - begun)

    def add(self, target: str, case: object, what: str, content: bytes) -> None:
        kind = f"{target}: {what}"
        self.kinds[kind] += 1
        if self.kinds[kind] == 1:
            self.keep.mkdir(parents=True, exist_ok=True)
            path = self.keep / f"{target.replace(' ', '-')}-{case}-{len(self.kinds)}"
            path.write_bytes(content)
            print(f"FOUND {kind} ({path})", flush=True)


def fuzz_files(name: str, cases: int, seed: int, findings: Findings, folder: Path) -> None:
    """Mutated files."""
    target = FILES[name]
    files = target.files()
    if target.setup is not None:
        target.setup(folder)
    contents = [content for _, content in files]
    for number in range(cases):
        rng = random.Random(f"{seed}:{name}:{number}")
        file_name = files[rng.randrange(len(files))][0]
        content = mutate(rng, [content for other, content in files if other == file_name] + contents[: number % 2])
        path = folder / file_name
        path.write_bytes(content)
        for step in target.steps:
            findings.check(name, f"{seed}-{number}", partial(step, path), content)
        path.unlink(missing_ok=True)


def fuzz_values(name: str, cases: int, seed: int, findings: Findings, folder: Path) -> None:
    """Values of the target's strategy."""
    target = VALUES[name]
    numbers = iter(range(10**9))

    @seeded(seed)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.values())
    def run(value: Any) -> None:
        content = repr(value).encode(errors="surrogatepass")
        findings.check(name, f"{seed}-{next(numbers)}", lambda: target.step(value, folder), content)

    run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=[*FILES, *VALUES])
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"))
    options = parser.parse_args()
    faulthandler.enable()
    signal.signal(signal.SIGALRM, _too_slow)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    names = options.target or [*FILES, *VALUES]
    print("| target | cases | read | refused | other | slowest, s | time, s |\n|---|---:|---:|---:|---:|---:|---:|")
    found: Counter[str] = Counter()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    with seeds.pixel_models():
        for name in names:
            findings, begun = Findings(options.keep), time.monotonic()
            cases = options.cases // len(names)
            (fuzz_files if name in FILES else fuzz_values)(name, cases, options.seed, findings, folder)
            found += findings.kinds
            outcomes = " | ".join(f"{findings.outcomes[kind]:,}" for kind in ("read", "refused", "other"))
            seconds = time.monotonic() - begun
            print(f"| {name} | {cases:,} | {outcomes} | {findings.slowest:.2f} | {seconds:.0f} |", flush=True)
    shutil.rmtree(folder)
    print(f"\n{len(found)} kinds of findings")
    for kind, count in found.most_common():
        print(f"- {count} × {kind}")
    sys.exit(bool(found))


def _too_slow(*_: object) -> None:
    raise TooSlow(f"more than {SECONDS} s")


if __name__ == "__main__":
    main()
