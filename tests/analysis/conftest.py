"""The scripts of ``benchmarks/``, as if they were run."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from typing import Any

import pytest

from tests import ROOT

OpenScript = Callable[[str], dict[str, Any]]


@pytest.fixture
def open_script(monkeypatch: pytest.MonkeyPatch) -> OpenScript:
    """A function that gives what a script defines; the script can import those beside it."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return lambda name: runpy.run_path(str(ROOT / "benchmarks" / name))
