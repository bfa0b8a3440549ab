"""Masks judged by boxes, against answers worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from cimnet.data import open_dataset
from cimnet.data.boxes import PairBox, PairBoxes, Rect, boxes_of_pairs, read_boxes
from cimnet.errors import DataError
from cimnet.evaluation import BoxEvaluation, evaluate_boxes
from cimnet.evaluation.box_scores import ImageBootstrap, JudgedImage, JudgedObject, judge_image, wilson_interval
from cimnet.evaluation.evaluate_boxes import Group
from tests.conftest import Result, Trained
from tests.fakes.layouts import make_folder

PERSON, CAR = 1, 2


def mask_of(*blocks: tuple[int, slice, slice]) -> np.ndarray:
    """(10, 20) of class 0 with blocks of other classes: id, rows, columns."""
    mask = np.zeros((10, 20), dtype=np.int64)
    for class_id, rows, columns in blocks:
        mask[rows, columns] = class_id
    return mask


def test_shares_and_pixels_by_hand() -> None:
    """A person of 4x5 pixels of which 6 are found; 3 pixels of persons elsewhere; a car that is not found at all."""
    mask = mask_of((PERSON, slice(0, 2), slice(0, 3)), (PERSON, slice(9, 10), slice(0, 3)))
    boxes = [PairBox(PERSON, Rect(0, 0, 5, 4), "thermal"), PairBox(CAR, Rect(10, 0, 20, 10), "rgb")]
    judged = judge_image(mask, boxes, 3, id="a", scene="night")
    assert judged.objects == (JudgedObject(PERSON, "thermal", 0.3), JudgedObject(CAR, "rgb", 0.0))
    assert judged.predicted.tolist() == [191, 9, 0]
    assert judged.inside.tolist() == [0, 6, 0]


def test_a_pixel_in_two_boxes_of_a_class_counts_in_both_and_once_for_precision() -> None:
    mask = mask_of((PERSON, slice(0, 10), slice(4, 6)))
    boxes = [PairBox(PERSON, Rect(0, 0, 6, 10)), PairBox(PERSON, Rect(4, 0, 10, 10)), PairBox(CAR, Rect(0, 0, 20, 10))]
    judged = judge_image(mask, boxes, 3)
    assert [found.share for found in judged.objects] == pytest.approx([1 / 3, 1 / 3, 0])
    assert (judged.predicted[PERSON], judged.inside[PERSON]) == (20, 20)


def test_what_lies_in_a_region_that_is_not_scored_is_neither_right_nor_wrong() -> None:
    """Ten pixels of persons and ten of cars in the region; three of the persons also in a box of theirs."""
    mask = mask_of((PERSON, slice(0, 1), slice(0, 10)), (CAR, slice(1, 2), slice(0, 10)))
    person = PairBox(PERSON, Rect(0, 0, 3, 4))
    judged = judge_image(mask, [person, PairBox(PERSON, Rect(0, 0, 20, 10), ignore=True)], 3)
    assert judged.predicted.tolist() == [180, 3, 10]
    assert judged.inside[PERSON] == 3
    judged = judge_image(mask, [person, PairBox(None, Rect(0, 0, 20, 10), ignore=True)], 3)
    assert judged.predicted.tolist() == [0, 3, 0]  # a region of no class hides them all
    assert len(judged.objects) == 1


def test_an_image_without_boxes_counts_for_precision() -> None:
    judged = judge_image(mask_of((CAR, slice(0, 2), slice(0, 2))), [], 3)
    assert (judged.objects, judged.predicted[CAR], judged.inside[CAR]) == ((), 4, 0)


def test_ids_outside_the_classes_are_refused() -> None:
    with pytest.raises(DataError, match="ids from 0 to 2, expected 0 to 1"):
        judge_image(mask_of((CAR, slice(0, 2), slice(0, 2))), [], 2)


def image(
    name: str, scene: str, objects: list[tuple[int, str, float]], predicted: int = 0, inside: int = 0
) -> JudgedImage:
    counts = [np.array([0, value, 0]) for value in (predicted, inside)]
    return JudgedImage(name, scene, tuple(JudgedObject(*values) for values in objects), *counts)


@pytest.fixture
def three() -> BoxEvaluation:
    """Five people and a car in three images, one of them empty."""
    images = [
        image("a", "day", [(1, "both", 0.5), (1, "thermal", 0.1), (2, "rgb", 0.05)], 100, 80),
        image("b", "night", [(1, "thermal", 0.29), (1, "thermal", 0.3), (1, "both", 0)], 50, 50),
        image("c", "night", [], 50, 0),
    ]
    return BoxEvaluation(("background", "person", "car"), images)


def test_recall_by_hand(three: BoxEvaluation) -> None:
    found = {
        (Group("person"), 0.1): (4, 5),
        (Group("person"), 0.3): (2, 5),
        (Group("person"), 0.5): (1, 5),
        (Group("person", seen_in="thermal"), 0.1): (3, 3),
        (Group("person", "night", "thermal"), 0.3): (1, 2),
        (Group("person", "day"), 0.5): (1, 2),
        (Group("person", seen_in="one"), 0.3): (1, 3),
        (Group("car"), 0.1): (0, 1),
    }
    for (group, share), counts in found.items():
        ratio = three.recall(group, share)
        assert (ratio.hits, ratio.total) == counts
    assert math.isnan(three.recall(Group("car", "night"), 0.1).value)
    assert three.boxed == ["person", "car"]


def test_precision_by_hand(three: BoxEvaluation) -> None:
    assert three.precision("person").value == 130 / 200
    assert three.precision("person", "night").value == 50 / 100  # with the empty image
    assert math.isnan(three.precision("car").value)
    assert three.precision("car").interval is None


def test_the_report_holds_groups_with_objects_only(three: BoxEvaluation) -> None:
    content = json.loads(three.to_json())
    assert (content["images"], content["images_without_boxes"]) == (3, 1)
    groups = [(row["class_name"], row["scene"], row["seen_in"]) for row in content["recall"]]
    assert ("person", "night", "thermal") in groups
    assert ("person", "day", "rgb") not in groups
    assert ("car", "night", "all") not in groups
    row = content["recall"][groups.index(("person", "all", "all"))]
    assert (row["0.3"]["hits"], row["0.3"]["total"], row["0.3"]["value"]) == (2, 5, 0.4)
    assert content["precision"][0]["value"] == 0.65
    text = three.to_markdown()
    assert "| person | all | all | 5 | 80.0 [" in text
    assert "3 images, 1 of them without a box" in text


def test_wilson_interval_of_a_textbook_value() -> None:
    """8 of 10: Agresti and Coull give 0.490 to 0.943."""
    low, high = wilson_interval(8, 10) or (0, 0)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson_interval(0, 0) is None
    assert (wilson_interval(0, 5) or (1,))[0] == 0


def test_the_bootstrap_draws_whole_images() -> None:
    """Objects of an image are alike: with 20 images of 10 objects, all found or none, the interval is that of 20 draws,
    three times as wide as that of 200 objects."""
    hits, total = np.array([10, 0] * 10), np.full(20, 10)
    ratio = ImageBootstrap(20).ratio(hits, total, independent=True)
    assert ratio.interval is not None
    assert ratio.wilson is not None
    width, wilson = ratio.interval[1] - ratio.interval[0], ratio.wilson[1] - ratio.wilson[0]
    assert width == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 20), rel=0.15)
    assert width > 2.5 * wilson
    assert ImageBootstrap(20).ratio(hits, total, independent=True) == ratio  # the same draws every time


@pytest.mark.parametrize("images", [5, 8])
def test_intervals_over_few_images_hold_the_true_share(images: int) -> None:
    """Images that differ in how hard they are, 0.5 of the objects on average; images without objects tell nothing."""
    random, held = np.random.default_rng(1), 0
    for seed in range(300):
        total = np.array([10] * images + [0] * 20)
        hits = random.binomial(total, np.clip(random.normal(0.5, 0.2, len(total)), 0, 1))
        interval = ImageBootstrap(len(total), draws=500, seed=seed).ratio(hits, total, independent=True).interval
        assert interval is not None
        held += interval[0] <= 0.5 <= interval[1]
    assert held / 300 > 0.91


def test_an_interval_without_width_is_replaced() -> None:
    everything = ImageBootstrap(4).ratio(np.full(4, 3), np.full(4, 3), independent=True)
    assert everything.interval == everything.wilson == wilson_interval(12, 12)
    lone = ImageBootstrap(4).ratio(np.array([1, 0, 0, 0]), np.array([3, 0, 0, 0]), independent=True)
    assert lone.interval == wilson_interval(1, 3)
    assert ImageBootstrap(4).ratio(np.array([1, 0, 0, 0]), np.array([3, 0, 0, 0]), independent=False).interval is None


def test_a_difference_is_of_the_same_draws() -> None:
    total, second = np.full(30, 5), np.arange(30) % 5
    bootstrap = ImageBootstrap(30)
    assert bootstrap.difference(second, second + 1, total) == pytest.approx((0.2, 0.2))
    low, high = bootstrap.difference(second, second[::-1], total) or (0, 0)
    assert low < 0 < high
    assert bootstrap.difference(second, second, np.where(np.arange(30) == 3, 5, 0)) is None  # one image holds them all


def test_what_is_written_can_be_read_and_compared() -> None:
    result = BoxEvaluation(
        ("ground", "person", "car"),
        [image("a", "day", [(PERSON, "thermal", 0.1), (CAR, "rgb", 0.7)], 9, 4), image("b", "night", [])],
        left_out=2,
    )
    content = json.loads(result.to_json())
    assert content["by_image"][0]["objects"][1] == {"class_name": "car", "seen_in": "rgb", "share": 0.7}
    assert content["by_image"][0]["pixels"] == {"person": {"predicted": 9, "inside": 4}}
    again = BoxEvaluation.from_dict(content)
    assert json.loads(again.to_json()) == content
    found, total = again.hits(Group("person", "all", "one"), 0.1)
    assert (found.tolist(), total.tolist()) == ([1, 0], [1, 0])


# ---- over a data set


def by_heat(rgb: Tensor, thermal: Tensor) -> Tensor:
    """Warm pixels are class 1, all others 0."""
    return (thermal[:, 0] > 0.4).long()


def test_a_data_set_without_labels(tmp_path: Path) -> None:
    """The warm squares of each image are its persons and cars: boxes around the persons find all of them."""
    root = make_folder(tmp_path / "data")
    lines, predicted, inside = ["image,class,x0,y0,x1,y1,scene"], 0, 0
    for name in ("000", "001", "002"):
        data = open_dataset(root, "all")
        sample = data[data.ids.index(name)]
        assert sample.label is not None
        rows, columns = np.nonzero(sample.label.numpy() == 1)
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        lines.append(",".join(map(str, (name, "person", *box, "fog"))))
        warm = by_heat(sample.rgb[None], sample.thermal[None])[0].numpy()
        predicted, inside = predicted + warm.sum(), inside + warm[box[1] : box[3], box[0] : box[2]].sum()
    for path in (root / "labels").iterdir():
        path.unlink()
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    data = open_dataset(root, "train", require_labels=False)
    result = evaluate_boxes(by_heat, data, boxes_of_pairs(read_boxes(tmp_path / "boxes.csv"), data))
    assert len(result.images) == 3
    recall, precision = result.recall(Group("person", "fog"), 0.5), result.precision("person")
    assert (recall.hits, recall.total) == (3, 3)
    assert (precision.hits, precision.total) == (inside, predicted)
    assert 0 < precision.value < 1  # the cars are warm, too


def test_pairs_that_were_not_annotated_are_left_out(tmp_path: Path) -> None:
    data = open_dataset(make_folder(tmp_path / "data"), "all")
    boxes = PairBoxes({"000": (PairBox(1, Rect(0, 0, 5, 5)),)}, {}, ("000", "001"), 0)
    result = evaluate_boxes(by_heat, data, boxes)
    assert [judged.id for judged in result.images] == ["000", "001"]
    assert result.left_out == 4
    assert "4 pairs not listed in the box file" in result.to_markdown()


def test_nothing_to_score_and_masks_of_another_size(tmp_path: Path) -> None:
    data = open_dataset(make_folder(tmp_path / "data"), "all")
    crowd = PairBoxes({"000": (PairBox(None, Rect(0, 0, 5, 5), ignore=True),)}, {}, ("000",), 0)
    with pytest.raises(DataError, match="none of its pairs has a box that is scored"):
        evaluate_boxes(by_heat, data, crowd)
    boxes = PairBoxes({"000": (PairBox(1, Rect(0, 0, 5, 5)),)}, {}, ("000",), 0)
    with pytest.raises(DataError, match="000: a prediction of"):
        evaluate_boxes(lambda rgb, thermal: by_heat(rgb, thermal)[:, ::2], data, boxes)


# ---- the command


def test_the_command(cli: Callable[..., Result], trained: Trained, tmp_path: Path) -> None:
    data = open_dataset(trained.root, "test")
    name, elsewhere = data.ids[0], open_dataset(trained.root, "train").ids[0]
    (tmp_path / "b.csv").write_text(f"image,class,x0,y0,x1,y1\n{name},human,0,0,9,9\n{elsewhere},car,0,0,9,9\n")
    outputs = ("--json", tmp_path / "s.json", "--markdown", tmp_path / "s.md")
    ran = cli("eval", trained.best, trained.root, "--boxes", tmp_path / "b.csv", "--map", "human=person", *outputs)
    assert ran.code == 0, ran
    assert "1 box of pairs outside the split 'test'" in " ".join(ran.out.split())
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["images"] == len(data)
    assert [row["class_name"] for row in content["recall"]] == ["person"]
    assert content["recall"][0]["0.1"]["total"] == 1
    assert (tmp_path / "s.md").read_text().startswith("| class |")


def test_options_that_do_not_go_together(cli: Callable[..., Result], trained: Trained, tmp_path: Path) -> None:
    boxes = tmp_path / "b.csv"
    boxes.write_text("image,class,x0,y0,x1,y1\nnone,person,0,0,9,9\n")
    for words, *options in (
        ("--map is for", "--map", "a=b"),
        ("--figure and --absent", "--boxes", boxes, "--figure", tmp_path / "f.png"),
        ("--map human: write", "--boxes", boxes, "--map", "human"),
        ("b.csv: row 2: image 'none'", "--boxes", boxes),
        ("input", "--boxes", boxes, "--markdown", boxes),
    ):
        ran = cli("eval", trained.best, trained.root, *options)
        assert ran.code == 2
        assert ran.err.count("\n") == 1
        assert words in ran.err
    assert boxes.read_text().startswith("image,")
