"""The table of mutants fits the source as it is. Whether the tests see them: ``python -m tests.mutants``."""

from __future__ import annotations

from tests import ROOT

from .table import MUTANTS, misfit


def test_each_snippet_is_in_its_file_once() -> None:
    reasons = {mutant.name: misfit(mutant, ROOT) for mutant in MUTANTS}
    assert {name: reason for name, reason in reasons.items() if reason} == {}


def test_the_files_of_tests_are_there() -> None:
    assert [test for mutant in MUTANTS for test in mutant.tests if not (ROOT / test).is_file()] == []
