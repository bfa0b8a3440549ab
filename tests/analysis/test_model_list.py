"""The list of models: complete, counted right, and the same in the docs."""

from __future__ import annotations

import json

import pytest
from benchmarks.model_table import CLASSES, PAGE, SIZE, page_with_table

from cimnet.analysis.model_list import COSTS, DATA_SETS, entries, published_names, to_json, to_markdown
from cimnet.analysis.paper_values import TABLE2, TABLE6
from cimnet.models import create_model, list_models
from cimnet.models.complexity import TRAINING_ONLY, measure_budget
from cimnet.models.outline import Outline, outline_model
from cimnet.models.registry import list_networks
from cimnet.models.zoo import PUBLICATIONS


def test_every_published_network_is_there_and_counted() -> None:
    assert {entry.name for entry in entries()} == {*PUBLICATIONS, "cimnet_resnet101", "cimnet_mit_b4"}
    assert list(json.loads(COSTS.read_text())) == published_names()
    assert all(entry.parameters and entry.macs for entry in entries())


def test_every_registered_network_is_published_or_called_small() -> None:
    """So that nobody takes a network that was narrowed for comparisons for a published one."""
    assert {name for name in list_networks() if not name.startswith("small_")} == set(PUBLICATIONS)


def test_patterns() -> None:
    assert [entry.name for entry in entries("cmx_*")] == ["cmx_mit_b2", "cmx_mit_b4", "cmx_mit_b5"]
    assert {entry.name for entry in entries("*")} == set(list_models())
    [entry] = entries("rgb_only_resnet18")
    assert (entry.publication, entry.parameters, entry.scores) == (None, None, {})
    assert entries("nothing*") == []


def test_scores_name_their_source() -> None:
    scores = {entry.name: entry.scores for entry in entries()}
    for row in TABLE2:
        assert scores[row.model]["kust4k"].miou == row.miou
    assert all("mfnet" in scores[row.model] for row in TABLE6)
    assert scores["cmx_mit_b4"]["mfnet"].chosen_on_test
    assert all(score.source and set(found) <= set(DATA_SETS) for found in scores.values() for score in found.values())


def test_the_printed_tables_name_models_that_exist() -> None:
    assert {row.model for row in (*TABLE2, *TABLE6)} <= set(published_names())


def test_markdown_and_json() -> None:
    text = to_markdown(entries("cmx_mit_b4"))
    assert "| cmx_mit_b4 | 2023 | 139.86 | 157.6 | 59.7 a |  | 72.9 b |" in text
    assert "- a: README of the code, epoch chosen on the test set\n" in text
    assert "| cmx_mit_b4 | Zhang et al., IEEE T-ITS 2023, https://arxiv.org/abs/2203.04838 | MIT | rgb | none" in text
    [content] = json.loads(to_json(entries("cmx_mit_b4")))
    assert content["publication"]["link"] == "https://arxiv.org/abs/2203.04838"
    assert content["parameters"] == 139_858_321


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_table(page), "run python benchmarks/model_table.py --no-count"


@pytest.mark.slow
@pytest.mark.parametrize("name", published_names())
def test_parameters(name: str) -> None:
    with Outline(10**9, 10**5):
        model = outline_model(name, CLASSES)
    left_out = sum(p.numel() for key, p in model.named_parameters() if TRAINING_ONLY.search(key))
    [entry] = entries(name)
    assert sum(p.numel() for p in model.parameters()) - left_out == entry.parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rtfnet_resnet18", "cmnext_mit_b2", "cainet_mobilenet_v2"])
def test_macs(name: str) -> None:
    [entry] = entries(name)
    assert measure_budget(create_model(name, CLASSES), SIZE).macs == entry.macs
