"""A model over a data set: groups, sizes, what is written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from cimnet.data import open_dataset
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.evaluation import Evaluation, confusion_matrix, evaluate
from cimnet.evaluation.confusion_figure import plot_confusion
from cimnet.utils.figures import save_figure
from tests.conftest import Result, Trained
from tests.fakes.layouts import make_folder, make_kust4k


def by_heat(rgb: Tensor, thermal: Tensor) -> Tensor:
    """Warm pixels are class 1, all others 0."""
    return (thermal[:, 0] > 0.4).long()


def by_colour(rgb: Tensor, thermal: Tensor) -> Tensor:
    """Exactly right for the synthetic class 2, whose green channel is 200, and class 1, where it is 225."""
    green = (255 * rgb[:, 1]).round()
    return (green == 225).long() + 2 * (green == 200).long()


def test_the_matrix_is_the_sum_over_images(tmp_path: Path) -> None:
    data = open_dataset(make_folder(tmp_path), "all")
    result = evaluate(by_heat, data)
    expected = np.zeros((3, 3), dtype=np.int64)
    for sample in map(data.__getitem__, range(6)):
        assert sample.label is not None
        warm = (sample.thermal[0] > 0.4).long().numpy()
        expected += confusion_matrix(sample.label.numpy(), warm, 3)
    np.testing.assert_array_equal(result.matrix, expected)
    assert result.images == 6
    assert result.groups == {}


def test_a_perfect_model_scores_one(tmp_path: Path) -> None:
    result = evaluate(by_colour, open_dataset(make_folder(tmp_path), "test"))
    assert result.scores.miou == 1
    assert result.scores.pixel_accuracy == 1


def test_groups_by_scene_and_flag_add_up(tmp_path: Path) -> None:
    data = open_dataset(make_kust4k(tmp_path), "all")
    result = evaluate(by_heat, data)
    counts = {name: count for name, (_, count) in result.groups.items()}
    assert counts == {
        "day": 4,
        "night": 3,
        "dark_night": 1,
        "rgb_broken": 1,
        "thermal_broken": 2,
        "weakly_aligned": 1,
        "unflagged": 4,
    }
    for names in (("day", "night", "dark_night"), tuple(counts.keys() - {"day", "night", "dark_night"})):
        np.testing.assert_array_equal(sum(result.groups[name][0] for name in names), result.matrix)
    first = data[data.ids.index("00000D")]
    assert first.label is not None
    own = confusion_matrix(first.label.numpy(), (first.thermal[0] > 0.4).long().numpy(), 9)
    np.testing.assert_array_equal(result.groups["rgb_broken"][0], own)


def test_images_of_different_sizes(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for folder in ("rgb", "thermal", "labels"):
        with Image.open(tmp_path / folder / "001.png") as image:
            image.crop((0, 0, 21, 17)).save(tmp_path / folder / "001.png")
    result = evaluate(by_colour, open_dataset(tmp_path, "train"))
    assert result.matrix.sum() == 2 * 32 * 40 + 17 * 21
    assert result.scores.miou == 1


def test_indices_share_the_work_between_processes(tmp_path: Path) -> None:
    data = open_dataset(make_kust4k(tmp_path), "all")
    parts = [evaluate(by_heat, data, indices=list(range(start, 8, 2))) for start in (0, 1)]
    np.testing.assert_array_equal(parts[0].matrix + parts[1].matrix, evaluate(by_heat, data).matrix)
    assert [part.images for part in parts] == [4, 4]


def test_dataloader_workers_change_nothing(tmp_path: Path) -> None:
    data = open_dataset(make_folder(tmp_path), "train")
    done: list[int] = []
    result = evaluate(by_heat, data, workers=1, progress=done.append)
    np.testing.assert_array_equal(result.matrix, evaluate(by_heat, data).matrix)
    assert done == [1, 2, 3]


def test_pairs_without_labels_are_refused(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for path in (tmp_path / "labels").iterdir():
        path.unlink()
    data = open_dataset(tmp_path, "test", require_labels=False)
    with pytest.raises(DataError, match=r"^004: has no label"):
        evaluate(by_heat, data)


def _small() -> Evaluation:
    evaluation = Evaluation(("ground", "person", "car"))
    evaluation.add(np.array([[6, 2, 0], [1, 1, 0], [0, 0, 0]]), ["day", "unflagged"])
    evaluation.add(np.array([[4, 0, 0], [0, 2, 0], [0, 0, 0]]), ["night", "weakly_aligned"])
    return evaluation


def test_json_has_the_promised_form() -> None:
    content = json.loads(_small().to_json())
    assert content["iou"] == {"ground": pytest.approx(10 / 13), "person": pytest.approx(3 / 6), "car": None}
    assert content["miou"] == pytest.approx((10 / 13 + 1 / 2) / 2)
    assert content["images"] == 2
    assert content["absent"] == "ignore"
    assert content["pixel_accuracy"] == pytest.approx(13 / 16)
    assert content["f1"]["person"] == pytest.approx(6 / 9)
    assert content["accuracy"]["person"] == pytest.approx(3 / 4)
    assert set(content["groups"]) == {"day", "night", "weakly_aligned", "unflagged"}
    assert content["groups"]["night"] == {"miou": 1, "iou": {"ground": 1, "person": 1, "car": None}, "images": 1}
    assert content["confusion"] == [[10, 2, 0], [1, 3, 0], [0, 0, 0]]


def test_the_convention_is_stated_and_reaches_the_groups() -> None:
    zero = _small()
    zero.absent = "zero"
    content = zero.to_dict()
    assert content["absent"] == "zero"
    assert json.loads(zero.to_json())["groups"]["night"]["miou"] == pytest.approx(2 / 3)
    assert "counted as 0" in zero.to_markdown()
    assert "left out of the mean" in _small().to_markdown()


def test_markdown_in_per_cent() -> None:
    lines = _small().to_markdown().splitlines()
    assert "| ground | 76.9 | 83.3 | 87.0 |" in lines
    assert "| car | – | – | – |" in lines
    assert "| **mean IoU** | **63.5** | pixels 81.2 |  |" in lines
    assert "| night | 1 | 100.0 |" in lines
    assert "2 images" in _small().to_markdown()


def test_the_confusion_picture_shows_shares_of_true_pixels(tmp_path: Path) -> None:
    figure = plot_confusion(_small())
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["83", "17", "0", "25", "75", "0", "0", "0", "0"]
    assert figure.axes[0].get_ylabel() == "true"
    save_figure(figure, tmp_path / "new" / "confusion.png")
    with Image.open(tmp_path / "new" / "confusion.png") as image:
        assert image.format == "PNG"


def test_a_picture_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    for name in ("confusion", "confusion.xlsx"):
        with pytest.raises(ConfigError, match=r"confusion.*must end in one of \.png"):
            save_figure(plot_confusion(_small()), tmp_path / name)
    (tmp_path / "file").touch()
    with pytest.raises(CimnetError, match="cannot be written"):
        save_figure(plot_confusion(_small()), tmp_path / "file" / "confusion.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def count(truths: list[np.ndarray], predictions: list[np.ndarray], classes: int) -> tuple[list[float | None], float]:
    """IoU of each class and their mean, counted pixel by pixel in whole numbers."""
    both: Counter[tuple[int, int]] = Counter()
    for truth, prediction in zip(truths, predictions, strict=True):
        both.update(pair for pair in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True))
    ious: list[float | None] = []
    for k in range(classes):
        hit = sum(n for (t, p), n in both.items() if t == p == k)
        either = sum(n for (t, p), n in both.items() if k in (t, p) and t != 255)
        ious.append(float(Fraction(hit, either)) if either else None)
    known = [value for value in ious if value is not None]
    return ious, float(np.mean(known))


@pytest.mark.parametrize("what", ["all classes", "one class", "one class and ignored pixels"])
def test_the_scores_are_those_of_an_independent_count(
    what: str, tmp_path: Path, trained: Trained, cli: Callable[..., Result]
) -> None:
    """Of the masks that `predict` writes, to the last digit."""
    data = make_folder(tmp_path / "data", 6)
    for number, path in enumerate(sorted((data / "labels").glob("*.png"))):
        label = np.asarray(Image.open(path)).copy()
        if what != "all classes":
            label[:] = 1
        if what == "one class and ignored pixels":
            label[number:, ::2] = 255
        Image.fromarray(label).save(path)
    assert cli("eval", trained.folder, data, "--split", "all", "--json", tmp_path / "s.json").code == 0
    files = ["--rgb", data / "rgb", "--thermal", data / "thermal"]
    assert cli("predict", trained.folder, *files, "--out", tmp_path / "out").code == 0
    names = sorted(path.name for path in (data / "labels").glob("*.png"))
    truths, masks = (
        [np.asarray(Image.open(folder / name)) for name in names]
        for folder in (data / "labels", tmp_path / "out" / "masks")
    )
    scores = json.loads((tmp_path / "s.json").read_text())
    ious, mean = count(truths, masks, len(scores["iou"]))
    assert list(scores["iou"].values()) == ious
    assert scores["miou"] == mean


@pytest.mark.parametrize("size", [(20, 16), (80, 64), (39, 32)])
def test_resized_labels_are_refused(
    tmp_path: Path, trained: Trained, cli: Callable[..., Result], size: tuple[int, int]
) -> None:
    data = make_folder(tmp_path / "data", 6)
    path = data / "labels" / "003.png"
    Image.open(path).resize(size, Image.Resampling.NEAREST).save(path)
    result = cli("eval", trained.folder, data, "--split", "all")
    assert result.code == 2
    assert f"003.png is {size[0]}x{size[1]} but" in result.err


@pytest.mark.parametrize(
    ("predict", "words"),
    [
        (lambda rgb, thermal: by_heat(rgb, thermal)[:, ::2, ::2], "a prediction of .* one size"),
        (lambda rgb, thermal: by_heat(rgb, thermal) + 2, "ids from 2 to 3, expected 0 to 2"),
        (lambda rgb, thermal: by_heat(rgb, thermal) - 1, "ids from -1 to 0, expected 0 to 2"),
    ],
)
def test_predictions_that_would_count_as_others_are_refused(
    tmp_path: Path, predict: Callable[[Tensor, Tensor], Tensor], words: str
) -> None:
    dataset = open_dataset(make_folder(tmp_path, 6), "train")
    with pytest.raises(DataError, match=f"^{dataset.ids[0]}: .*{words}"):
        evaluate(predict, dataset)
