"""Every command that the pages show is one that the command line takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ROOT
from tests.docs.pages import PAGES, Block, fenced, indented, spans
from tests.docs.shell import commands_of, fault_of

SHELLS = ("", "bash", "console", "sh", "shell")


def _blocks(page: Path) -> list[Block]:
    return [block for block in (*fenced(page), *indented(page)) if block.language in SHELLS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_taken(page: Path) -> None:
    whole = [(block, words) for block in _blocks(page) for words in commands_of(block.text)]
    parts = [(span, words) for span in spans(page) for words in commands_of(span.text)]
    faults = [f"{block}: {fault_of(words)}" for block, words in whole if fault_of(words)]
    faults += [f"{span}: {fault_of(words, whole=False)}" for span, words in parts if fault_of(words, whole=False)]
    assert faults == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_scripts_and_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "\n".join(block.text for block in (*_blocks(page), *spans(page)))
    scripts = re.findall(r"\bpython ((?:benchmarks|examples|tests)/[\w/]+\.py)", text)
    made = re.findall(r"^make ([\w-]+)", text, re.MULTILINE)
    assert [name for name in scripts if not (ROOT / name).is_file()] + [
        name for name in made if name not in targets
    ] == []


def test_there_are_many_commands() -> None:
    """So that a change of the reading of pages does not empty the tests above."""
    assert sum(1 for page in PAGES for block in _blocks(page) for _ in commands_of(block.text)) > 100


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("cimnet predict runs/x --rgb a --thermal b --out c", None),
        ("OMP_NUM_THREADS=1 .venv/bin/cimnet data check here --strict > report.txt && echo done", None),
        ("torchrun --nproc_per_node 4 -m cimnet.cli train RECIPE --out runs/x", None),
        ("cimnet predict model.onnx …", None),
        ("cimnet train scenes --set training.epochs=3 --out runs/x", None),
        ("cimnet predict runs/x --rgb a --out c --colour red", "No such option: --colour"),
        ("cimnet predict runs/x --rgb a", "without ['out']"),
        ("cimnet data chekc here", "no command 'chekc'"),
        ("cimnet data check here there", "unexpected ['there']"),
        ("cimnet predict runs/x --rgb a --out c --precision float8", "'float8' is no value of precision"),
        ("cimnet predict runs/x --rgb a --out c --batch-size many", "'many' is no value of batch_size"),
        ("cimnet train scenes --set training.epoch=3 --out runs/x", "no field 'training.epoch'"),
    ],
)
def test_faults_are_found(line: str, fault: str | None) -> None:
    [words] = commands_of(line)
    found = fault_of(words)
    assert found is None if fault is None else fault in (found or "")
