"""The speeds of the notebook's page on published networks are those of docs/evidence/zoo_speed.json."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from benchmarks.zoo_page import AGAINST, BEGIN, END, PAGE, SPEED, page_with_figures, table

from cimnet.models.zoo import PUBLICATIONS

KNOWN: dict[str, dict[str, Any]] = json.loads(SPEED.read_text(encoding="utf-8"))
OTHER: dict[str, Any] = json.loads(AGAINST.read_text(encoding="utf-8"))
TEXT = PAGE.read_text(encoding="utf-8")


def _row(known: dict[str, dict[str, Any]], name: str) -> list[str]:
    [line] = [line for line in table(known).splitlines() if re.match(rf"\| {name}( \(5 classes\))? \|", line)]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_is_current() -> None:
    assert TEXT.count(BEGIN) == TEXT.count(END) == 1
    assert page_with_figures(TEXT, KNOWN, OTHER) == TEXT, "run python benchmarks/zoo_page.py"


def test_what_stands_around_the_figures_is_kept() -> None:
    text = f"before\n{BEGIN}stale{END}after\n"
    found = page_with_figures(text, KNOWN, OTHER)
    assert found.startswith(f"before\n{BEGIN}\nMeasured ")
    assert found.endswith(f"\n{END}after\n")
    assert "stale" not in found


def test_all_published_networks_are_measured() -> None:
    assert set(KNOWN) >= set(PUBLICATIONS)
    for name, entry in KNOWN.items():
        assert _row(KNOWN, name)[1] == f"{entry['eager']['of_cimnet_resnet101']:.2f}"


def test_a_new_measurement_changes_the_table_and_every_ratio_that_it_enters() -> None:
    new = copy.deepcopy(KNOWN)
    new["cmx_mit_b4"]["eager"]["of_cimnet_resnet101"] = 2.5
    new["cimnet_mit_b4"]["eager"]["of_cimnet_resnet101"] = 2.0
    new["cimnet_resnet101"]["int8"]["of_cimnet_resnet101"] = 0.3
    found = " ".join(page_with_figures(TEXT, new, OTHER).split())
    assert "CIMNet-R101 takes 0.40 of the time of CMX-B4" in found
    assert "in its best deployed form (int8) 0.12" in found
    assert "CIMNet-MiT-B4 takes 0.80 of the time of CMX-B4 here" in found


def test_a_row_names_the_load_of_a_busy_machine() -> None:
    new = copy.deepcopy(KNOWN)
    for form, load in (("eager", 3.0), ("step", 12.25), ("openvino", 3.1)):
        new["cmx_mit_b2"][form]["measured"]["load"] = load
    assert _row(new, "cmx_mit_b2")[-1] == "OpenVINO 3.1, training step 12.25"
    new["cmx_mit_b2"]["openvino"]["measured"]["load"] = None  # some systems tell none
    assert _row(new, "cmx_mit_b2")[-1] == "training step 12.25"


def test_a_busy_machine_says_nothing_about_openvino() -> None:
    """Times of one form at rest and of the other under load give no ratio."""
    new = copy.deepcopy(KNOWN)
    for entry in new.values():
        entry["eager"]["measured"]["load"] = 9.0
    found = page_with_figures(TEXT, new, OTHER)
    assert "networks with MiT" not in found
    of_yardstick = new["cimnet_resnet101"]["openvino"]["of_cimnet_resnet101"]
    assert f"takes {of_yardstick:.2f} of the time of PyTorch for convolutional" in " ".join(found.split())
