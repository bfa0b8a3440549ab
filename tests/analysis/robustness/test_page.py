"""The page and its examples."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

from cimnet.analysis.robustness import Condition, measure_robustness
from cimnet.analysis.robustness.worst_pairs import choose_worst


class Tags(HTMLParser):
    """Fails on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        if tag not in ("meta", "img", "source"):
            self.open.append(tag)
        if tag in ("img", "source"):
            assert dict(attrs).get("src", dict(attrs).get("srcset")).startswith("data:image/")

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def test_the_page_says_it_all_in_one_file(columns, sees, tmp_path) -> None:
    conditions = [Condition(name, s) for name in ("translation", "fog", "thermal_blur") for s in (1, 5)]
    report = measure_robustness(sees("thermal"), columns, tmp_path, conditions=conditions, name="<b>&")
    page = (tmp_path / "robustness.html").read_text(encoding="utf-8")
    assert Tags(page).open == []
    assert "Robustness of &lt;b&gt;&amp;" in page
    for heading in ("Corruptions", "Geometry: ", "RGB: 100.0 %", "Thermal: ", "Classes", "Scenes", "Worst examples"):
        assert f"<h2>{heading}" in page
    assert "4 of split test" in page
    assert "left out of means" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count('class="sample"') == len(choose_worst(report)) > 0
    markdown = (tmp_path / "robustness.md").read_text(encoding="utf-8")
    assert "| fog | rgb | 80, 10 % transmission | 100.0, 100.0 | 100.0 | 100.0 | 100.0 | 0.0 |" in markdown


def test_nothing_from_the_data_becomes_markup(columns, sees, tmp_path) -> None:
    nasty = "<script>alert('x')</script>"
    columns.classes = (columns.classes[0], nasty, columns.classes[2])
    columns.ids[0] = nasty
    columns.pairs[0] = dataclasses.replace(columns.pairs[0], id=nasty, scene=nasty)
    conditions = [Condition("thermal_blur", 5)]
    measure_robustness(sees("thermal"), columns, tmp_path, conditions=conditions, name=nasty)
    page = (tmp_path / "robustness.html").read_text(encoding="utf-8")
    assert Tags(page).open == []
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") >= 6  # title twice, fact, class, scene, pair


def test_examples_are_the_pairs_that_lost_most_and_no_pair_twice(columns, sees, tmp_path) -> None:
    conditions = [Condition(name, s) for name in ("translation", "fog", "thermal_blur") for s in (1, 5)]
    report = measure_robustness(sees("thermal"), columns, tmp_path, conditions=conditions)
    chosen = choose_worst(report)
    assert {condition.name for condition, _ in chosen} == {"translation", "thermal_blur"}  # fog costs nothing
    assert len({name for _, name in chosen}) == 2
    condition, name = chosen[0]
    images = report.outcomes[condition].images
    assert condition.severity == 5
    assert images[name] == min(images.values())


def test_the_same_page_again(columns, sees, tmp_path) -> None:
    pages = []
    for name in ("a", "b"):
        measure_robustness(sees("thermal"), columns, tmp_path / name, conditions=[Condition("warp", 5)])
        pages.append((tmp_path / name / "robustness.html").read_bytes())
    assert pages[0] == pages[1]
