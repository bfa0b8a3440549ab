"""Every fault of the table: the right error or the right result, and nothing half-written."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("tifffile", reason="needs the extra dev")

from tests.conftest import one_thread
from tests.faults.bench import Fault, Skipped, try_fault
from tests.faults.table import FAULTS


@pytest.mark.parametrize(
    "fault", [pytest.param(f, id=f"{f.group}: {f.name}", marks=[pytest.mark.slow] * f.slow) for f in FAULTS]
)
def test_fault(fault: Fault) -> None:
    try:
        with one_thread():
            outcome = try_fault(fault)
    except Skipped as reason:
        pytest.skip(str(reason))
    if fault.error is None:
        assert outcome.error is None, outcome.error
    else:
        assert isinstance(outcome.error, fault.error), outcome
    assert re.search(fault.says, outcome.text), outcome.text
    assert "\n" not in outcome.text
    assert outcome.left == []


def test_names_are_unique() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names))
