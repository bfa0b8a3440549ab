"""Scores that can be worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cimnet.analysis.robustness import Condition, Facts, RobustnessReport, measure_robustness, preset
from cimnet.analysis.robustness.outcome import Outcome
from cimnet.data import RGBTSample, open_dataset
from cimnet.data.corruptions import CORRUPTIONS, Corruption
from tests.fakes.layouts import save_array, write_list

from .conftest import HEIGHT, WIDTH, make_columns, resize

CAR = "car"


def right(sample: RGBTSample, level: float, _: object) -> RGBTSample:
    """The thermal image moves to the right by `level` pixels."""
    return replace(sample, thermal=torch.roll(sample.thermal, int(level), -1))


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corruption ``right`` whose scores are easily worked out."""
    monkeypatch.setitem(CORRUPTIONS, "right", Corruption("right", "geometry", (1, 2, 3, 4, 8), "px", right))


def test_a_model_that_looks_at_rgb_alone_loses_nothing_with_the_thermal_image(columns, sees, tmp_path) -> None:
    conditions = [Condition(name, 3) for name in ("translation", "thermal_noise", "thermal_blur", "thermal_dropped")]
    report = measure_robustness(sees("rgb"), columns, tmp_path / "out", conditions=conditions)
    assert report.clean.miou == 1
    assert {curve.drop for curve in report.curves.values()} == {0.0}
    assert report.retained == report.mean_corruption_score == 1
    assert report.groups == {"geometry": 1.0, "thermal": 1.0}


@pytest.mark.usefixtures("shift")
def test_iou_of_shifted_things(columns, sees, tmp_path) -> None:
    """Car and tree are 8 wide: shifted by s they share 8 - s columns of 8 + s, whatever the pair."""
    shown = [Condition("right", 2), Condition("right", level=4)]
    report = measure_robustness(sees("thermal"), columns, tmp_path / "out", conditions=shown)
    curve = report.curves["right"]
    for point, s in zip(curve.points, (2, 4), strict=True):
        things = 8 * 8 + 16 * 8
        wrong = 2 * s * (8 + 16)  # of ground: as many covered as laid bare
        ground = HEIGHT * WIDTH - things
        shared = ground - wrong / 2
        assert point.moving == point.iou[CAR] == pytest.approx((8 - s) / (8 + s))
        assert point.iou["tree"] == pytest.approx((8 - s) / (8 + s))
        assert point.iou["ground"] == pytest.approx(shared / (ground + wrong / 2))
        assert point.static == pytest.approx((point.iou["ground"] + point.iou["tree"]) / 2)
        assert point.miou == pytest.approx(sum(point.iou.values()) / 3)
    assert curve.mean == pytest.approx((curve.points[0].miou + curve.points[1].miou) / 2)
    assert curve.drop == pytest.approx(1 - curve.mean)
    assert curve.worst is curve.points[1]
    assert report.facts.moving == (CAR,)


def test_moving_classes_by_name(columns, sees, tmp_path) -> None:
    report = measure_robustness(sees("rgb"), columns, tmp_path / "out", conditions=[], moving=["tree", "ground"])
    assert report.facts.moving == ("ground", "tree")


def facts(**changes) -> Facts:
    return Facts("m", "d", "test", 2, 0, ("a", "b", "c"), ("b",), "ignore", 0, "1", **changes)


def test_one_matrix_over_the_set_and_not_means_over_images() -> None:
    outcome = Outcome.empty(3)
    outcome.add("0", "day", np.array([[90, 10, 0], [0, 0, 0], [0, 0, 0]]))
    outcome.add("1", "night", np.array([[0, 0, 0], [0, 10, 0], [0, 0, 0]]))
    report = RobustnessReport(facts(), {Condition("clean"): outcome})
    assert report.clean.iou["a"] == 0.9
    assert report.clean.iou["b"] == 0.5  # 10 right, 10 wrongly called so
    assert math.isnan(report.clean.iou["c"])
    assert report.clean.miou == pytest.approx(0.7)
    assert report.clean.scenes == {"day": pytest.approx(0.45), "night": 1.0}
    assert outcome.images == {"0": pytest.approx(0.45), "1": 1.0}
    assert math.isnan(report.mean_corruption_score)
    zero = RobustnessReport(replace(facts(), absent="zero"), {Condition("clean"): outcome})
    assert zero.clean.miou == pytest.approx(1.4 / 3)


def test_means_are_first_over_severities_then_over_corruptions() -> None:
    def scoring(share: int) -> Outcome:
        outcome = Outcome.empty(3)
        outcome.add("0", "", np.array([[share, 0, 100 - share], [0, 0, 0], [0, 0, 0]]))
        return outcome  # IoU of a: share %; of c: 0

    outcomes = {
        Condition("clean"): scoring(100),
        Condition("fog", 1): scoring(60),
        Condition("fog", 3): scoring(40),
        Condition("fog", 5): scoring(20),
        Condition("translation", 5): scoring(80),
    }
    report = RobustnessReport(facts(), outcomes)
    assert list(report.curves) == ["translation", "fog"]
    assert report.curves["fog"].mean == pytest.approx(0.2)  # (0.3 + 0.2 + 0.1) / 3
    assert report.groups == {"geometry": pytest.approx(0.4), "rgb": pytest.approx(0.2)}
    assert report.mean_corruption_score == pytest.approx(0.3)
    assert report.retained == pytest.approx(0.6)  # of a alone, which is all that the labels hold: (0.4 + 0.8) / 2
    assert report.curves["fog"].drop == pytest.approx(0.6)


def test_a_pixel_of_a_class_without_labels_is_no_loss() -> None:
    """It makes mIoU fall by a third, and no class that is judged changes."""
    matrix = np.array([[800, 200, 0], [200, 800, 0], [0, 0, 0]]) * 1000
    outcomes = {}
    for condition, strays in ((Condition("clean"), 0), (Condition("fog", 1), 1)):
        outcomes[condition] = Outcome.empty(3)
        outcomes[condition].add("0", "", matrix + np.array([[-strays, 0, strays], [0, 0, 0], [0, 0, 0]]))
    report = RobustnessReport(facts(), outcomes)
    assert report.curves["fog"].mean == pytest.approx(report.clean.miou * 2 / 3, abs=1e-5)
    assert report.curves["fog"].drop == pytest.approx(0, abs=1e-5)
    assert report.retained == pytest.approx(1, abs=1e-5)
    assert "| 0.0 |" in report.to_markdown()
    assert report.to_dict()["corruptions"]["fog"]["drop"] == pytest.approx(0, abs=1e-5)


def test_classes_without_labels_are_named_everywhere(columns, sees, tmp_path) -> None:
    for path in (columns.root / "labels").iterdir():
        label = np.array(Image.open(path))
        label[label == 2] = 255
        save_array(path, label)
    report = measure_robustness(sees("rgb"), columns, tmp_path / "out", conditions=[Condition("fog", 1)])
    (note,) = report.facts.notes
    assert "split 'test': no label has a pixel of tree, and" in note
    assert "label pixels are 255 (ignored)." in note
    assert note in report.to_markdown(brief=True)
    assert json.loads((tmp_path / "out" / "robustness.json").read_text())["notes"] == [note]
    assert "no label has a pixel of tree" in (tmp_path / "out" / "robustness.html").read_text()


def test_scenes(columns, sees, tmp_path) -> None:
    report = measure_robustness(sees("rgb"), columns, tmp_path / "out", conditions=[Condition("blackout", level=100)])
    dark = report.curves["blackout"].points[0]
    share = 1 - (64 + 128) / (HEIGHT * WIDTH)  # all ground
    assert dark.iou == {"ground": pytest.approx(share), "car": 0, "tree": 0}
    assert report.clean.scenes == {"day": 1.0, "night": 1.0}
    assert dark.scenes == {"day": pytest.approx(share / 3), "night": pytest.approx(share / 3)}


def test_pairs_with_a_broken_sensor_are_left_out_unless_kept(columns, sees, tmp_path) -> None:
    write_list(columns.root / "broke_RGB.txt", ["0D"])
    dataset = open_dataset(columns.root, "test")
    report = measure_robustness(sees("rgb"), dataset, tmp_path / "a", conditions=[])
    assert (report.facts.pairs, report.facts.left_out, report.clean.pairs) == (3, 1, 3)
    assert "1 with a broken sensor left out" in (tmp_path / "a" / "robustness.md").read_text(encoding="utf-8")
    kept = measure_robustness(sees("rgb"), dataset, tmp_path / "b", conditions=[], broken="keep")
    assert (kept.facts.pairs, kept.facts.left_out) == (4, 0)


def test_sizes_that_differ_are_not_batched(sees, tmp_path) -> None:
    root = make_columns(tmp_path / "columns")
    for folder in ("rgb", "thermal", "labels"):
        resize(root / folder / "2N.png", 40, 40)
    model = sees("rgb")
    report = measure_robustness(model, open_dataset(root, "test"), tmp_path / "out", conditions=[], batch_size=2)
    assert model.batches == [2, 1, 1]
    assert report.clean.miou == 1
    assert report.clean.pairs == 4


def test_batches_change_nothing(columns, sees, tmp_path) -> None:
    texts = []
    for size in (1, 3):
        measure_robustness(
            sees("thermal"), columns, tmp_path / f"{size}", conditions=preset("failure"), batch_size=size
        )
        texts.append((tmp_path / f"{size}" / "robustness.json").read_text(encoding="utf-8"))
    assert texts[0] == texts[1]


def test_table4_and_table5_by_the_lists(columns, sees, tmp_path) -> None:
    write_list(columns.root / "broke_RGB.txt", ["0D"])
    write_list(columns.root / "broke_TIR.txt", ["1D", "2N"])
    write_list(columns.root / "weakly_aligned.txt", ["0D", "3N"])
    dataset = open_dataset(columns.root, "test")
    conditions = (*preset("table4"), *preset("table5", dataset))
    report = measure_robustness(sees("rgb"), dataset, tmp_path / "out", conditions=conditions)
    assert report.clean.pairs == 1
    assert {flag: report.subset(flag).pairs for flag in ("weakly_aligned", "rgb_broken", "thermal_broken")} == {
        "weakly_aligned": 2,
        "rgb_broken": 1,
        "thermal_broken": 2,
    }
    text = (tmp_path / "out" / "robustness.md").read_text(encoding="utf-8")
    assert "| car | 100.0 | 89.5 | 84.3 | 81.9 |" in text
    assert "| road | – | 95.4 |" in text
    assert "| RGB failure | pairs flagged rgb_broken | 100.0 | 69.1 | 66.8 | 64.1 | 1 (151) |" in text
    assert "CIMNet, paper" in text
    assert report.curves == {}


def test_table5_without_lists_is_imitated_and_says_so(columns, sees, tmp_path) -> None:
    report = measure_robustness(sees("rgb"), columns, tmp_path / "out", conditions=preset("table5", columns))
    dark, blurred = report.subset("rgb_broken"), report.subset("thermal_broken")
    assert (dark.condition.name, dark.condition.amount) == ("blackout", 100)
    assert (blurred.condition.name, blurred.condition.severity) == ("thermal_blur", 4)
    assert dark.miou < 0.4
    assert blurred.miou == 1
    content = json.loads((tmp_path / "out" / "robustness.json").read_text(encoding="utf-8"))
    assert content["subsets"]["rgb_broken"]["imitated"]
    for name in ("robustness.md", "robustness.html"):
        assert "stand in for them, which the paper did not do" in Path(tmp_path / "out" / name).read_text("utf-8")
