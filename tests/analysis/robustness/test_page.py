"""The page and its examples."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
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


class Cells(HTMLParser):
    """The tables of a page: rows of texts below their heading, and the large figures above."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.heading, self.inside = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        if tag == "tr":
            self.tables.setdefault(self.heading, []).append([])
        if tag in ("td", "th"):
            self.tables[self.heading][-1].append("")
        self.inside = tag if tag in ("td", "th", "h2") else self.inside
        self.heading = "" if tag == "h2" else self.heading

    def handle_endtag(self, tag) -> None:
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data) -> None:
        if self.inside == "h2":
            self.heading += data
        elif self.inside:
            self.tables[self.heading][-1][-1] += data.strip()


def test_every_figure_on_the_page_is_that_of_the_json(columns, sees, tmp_path) -> None:
    conditions = [Condition(name, s) for name in ("translation", "fog", "thermal_blur") for s in (1, 5)]
    measure_robustness(sees("thermal"), columns, tmp_path, conditions=conditions)
    content = json.loads((tmp_path / "robustness.json").read_text(encoding="utf-8"))
    page = (tmp_path / "robustness.html").read_text(encoding="utf-8")
    tables = Cells(page).tables

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.1f}"

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.mean(known) if known else None

    def loss(value: float) -> str:
        text = f"{-100 * value:+.1f}".replace("-", "−")
        return "0.0" if text in ("+0.0", "−0.0") else text

    clean, curves = content["clean"], content["corruptions"]
    rows = [["clean", percent(clean["miou"]), "", percent(clean["moving"]), percent(clean["static"]), ""]]
    worst = [clean]
    for curve in curves.values():
        points = curve["points"]
        assert abs(curve["mean"] - mean([point["miou"] for point in points])) < 1e-12
        assert abs(curve["drop"] - (1 - curve["mean"] / clean["miou"])) < 1e-12
        parts = [percent(mean([point[key] for point in points])) for key in ("moving", "static")]
        low = min(points, key=lambda point: point["miou"])
        worst.append(low)
        rows.append([percent(curve["mean"]), loss(curve["drop"]), *parts, percent(low["miou"])])
    found = tables["Corruptions"][1:]
    assert [found[0], *(row[1:] for row in found[1:])] == rows
    names = content["classes"]
    expected = [[*(percent(point["iou"][name]) for name in names), percent(point["miou"])] for point in worst]
    assert [row[1:] for row in tables["Classes"][1:]] == expected
    scenes = list(clean["scenes"])
    expected = [[percent(clean["scenes"][name]) for name in scenes]]
    for curve in curves.values():
        expected.append([percent(mean([point["scenes"][name] for point in curve["points"]])) for name in scenes])
    assert [row[1:] for row in tables["Scenes"][1:]] == expected
    for name, value in content["groups"].items():
        means = [curve["mean"] for curve in curves.values() if curve["group"] == name]
        assert abs(value - mean(means)) < 1e-12
        assert any(percent(value) in heading for heading in re.findall(r"<h2>(\w+: .*?)</h2>", page))
    assert abs(content["mean_corruption_score"] - mean([curve["mean"] for curve in curves.values()])) < 1e-12
    assert abs(content["retained"] - content["mean_corruption_score"] / clean["miou"]) < 1e-12
    for value in (clean["miou"], content["mean_corruption_score"], content["retained"], *content["groups"].values()):
        assert f"{percent(value)} %" in page
