"""The HTML report: what it holds, that nothing in it comes from outside, and the offset numbers."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from cimnet import create_model
from cimnet.analysis.offset_agreement import compare_offsets, found_offsets, offset_agreement
from cimnet.analysis.report_figures import CORRECT, OUTLINE, paint_errors, paint_label
from cimnet.analysis.run_report import choose_samples, write_report
from cimnet.checkpoint import ModelInfo
from cimnet.data import KUST4K_CLASSES, RGBTDataset, open_dataset
from cimnet.errors import DataError
from cimnet.evaluation import Evaluation, evaluate
from cimnet.inference import Predictor
from cimnet.models import CIMNet
from cimnet.utils.numbers import format_percent
from tests.fakes.layouts import HEIGHT, WIDTH, make_folder, make_kust4k, write_list

NASTY = '<script>alert("x")</script>&$\\frac{'
HISTORY = [
    {"epoch": 1, "loss": 2.0, "miou": 0.1, "mutual_information": 0.4, "lambda": 0.1},
    {"epoch": 2, "loss": 1.5, "mutual_information": 0.3, "lambda": 0.2},
    {"epoch": 3, "loss": 1.2, "miou": float("nan"), "mutual_information": 0.2, "lambda": 0.3},
]
COLORS = tuple((20 * k, 255 - 20 * k, 7 * k) for k in range(9))


class Page(HTMLParser):
    """What a test asks of a page: tags that were opened, addresses, texts of table rows, all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "source", "br"):
            self._open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        self.addresses += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "action", "data")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "h2":
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.texts.append(data)
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data
        if "h2" in self._open:
            self.headings[-1] += data

    def row(self, name: str) -> list[str]:
        (found,) = [row for row in self.rows if row[0] == name]
        return found


class Shared(NamedTuple):
    page: Page
    evaluation: Evaluation
    dataset: RGBTDataset
    path: Path


def make_predictor(classes: tuple[str, ...] | None = None) -> Predictor:
    torch.manual_seed(0)
    name = "cimnet_efficientnet_lite0"
    model = create_model(name, 9, widths=(16, 16, 20, 32), decoder_channels=16)
    for module in model.scsfr:  # an untrained model's offsets are zero
        torch.nn.init.normal_(module.spatial.offset_conv.weight, std=0.2)
    info = ModelInfo(name, {}, classes or KUST4K_CLASSES.names, COLORS)
    return Predictor(model, info, torch.device("cpu"))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return make_predictor()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "data")


@pytest.fixture(scope="module")
def shared(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """A report that several tests look at; nothing else lies in its folder."""
    folder = tmp_path_factory.mktemp("shared")
    dataset = open_dataset(make_root(folder / "data"), "test")
    page, evaluation = report(predictor, dataset, folder / "new" / "report.html")
    return Shared(page, evaluation, dataset, folder / "new" / "report.html")


def make_root(root: Path) -> Path:
    """Six test pairs: id 00001N has a broken thermal image, 00003N is weakly aligned and dark; two carry a truth."""
    make_kust4k(root)
    names = [path.stem for path in sorted((root / "RGB").iterdir())]
    write_list(root / "test.txt", names[:6])
    label = np.array(Image.open(root / "Seg_annos" / f"{names[2]}.png"))
    label[:4] = 255
    Image.fromarray(label).save(root / "Seg_annos" / f"{names[2]}.png")
    write_truth(root, names[3])
    return root


def write_truth(root: Path, name: str, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    moving = np.zeros(shape, dtype=bool)
    moving[10:20, 10:20] = True
    offset = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float16)
    np.savez_compressed(root / "truth" / f"{name}.npz", offset=offset, moving=moving)


def report(predictor: Predictor, dataset: RGBTDataset, out: Path, **changes: object) -> tuple[Page, Evaluation]:
    evaluation = evaluate(predictor.model.predict, dataset)
    arguments: dict[str, object] = {
        "history": HISTORY,
        "facts": {"training time": "12 s", "date": "2026-01-02", "machine": "<b>old</b>"},
        "command": "cimnet demo --out 'a <b>'",
    }
    write_report(out, predictor=predictor, dataset=dataset, evaluation=evaluation, **arguments | changes)  # type: ignore[arg-type]  # arguments of mixed types
    return Page(out), evaluation


def test_is_one_small_file_that_loads_nothing(shared: Shared) -> None:
    page = shared.page
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert all(image["alt"] for image in page.images)
    assert shared.path.stat().st_size < 6e6
    assert list(shared.path.parent.iterdir()) == [shared.path]


def test_every_image_decodes(shared: Shared) -> None:
    for address in shared.page.addresses:
        kind, content = re.fullmatch(r"data:image/([a-z+]+);base64,(.*)", address).groups()
        raw = base64.b64decode(content, validate=True)
        if kind == "svg+xml":
            assert b"<svg" in raw
        else:
            with Image.open(io.BytesIO(raw)) as image:
                image.load()
                assert image.format == kind.upper()
                assert image.height * WIDTH == pytest.approx(image.width * HEIGHT, rel=0.02)


def test_sections_and_facts(shared: Shared) -> None:
    page, evaluation = shared.page, shared.evaluation
    assert page.headings == ["Samples", "Training", "Classes", "Conditions", "Confusion", "Offsets"]
    for text in (
        f"{format_percent(evaluation.scores.miou)} %",
        "mIoU over all 9 classes",
        "12 s",
        "2026-01-02",
        "<b>old</b>",
    ):
        assert text in page.texts
    assert "cimnet demo --out 'a <b>'" in page.texts
    assert "cimnet_efficientnet_lite0" in page.texts
    assert page.source.count('<article class="sample">') == 6 + 1  # six samples, one weakly aligned pair with arrows


def test_tables_hold_the_numbers_of_the_evaluation(shared: Shared) -> None:
    page, evaluation = shared.page, shared.evaluation
    total, pixels = evaluation.scores, evaluation.matrix.sum(1)
    for k, name in enumerate(evaluation.classes):
        values = [format_percent(v[k]) for v in (total.iou, total.accuracy, total.f1)]
        assert page.row(name) == [name, *values, f"{100 * pixels[k] / pixels.sum():.2f}"]
    assert page.row("mean")[1] == format_percent(total.miou)
    assert page.row("dark night")[1] == "1"
    assert page.row("RGB broken")[1] == "1"
    assert set(evaluation.groups) == {
        "day",
        "night",
        "dark_night",
        "unflagged",
        "rgb_broken",
        "thermal_broken",
        "weakly_aligned",
    }


def test_says_what_the_largest_class_alone_would_score(shared: Shared) -> None:
    page, evaluation = shared.page, shared.evaluation
    pixels = evaluation.matrix.sum(1)
    k, present = int(pixels.argmax()), int((pixels > 0).sum())
    share = pixels[k] / pixels.sum()
    expected = f"answering “{evaluation.classes[k]}” everywhere scores {format_percent(share / present)} % mIoU"
    assert expected in "".join(page.texts)


def test_synthetic_scenes_are_called_so(predictor: Predictor, shared: Shared, root: Path, tmp_path: Path) -> None:
    assert "synthetic" not in "".join(shared.page.texts)
    (root / "synth.json").write_text("{}", encoding="utf-8")
    page, _ = report(predictor, open_dataset(root, "test"), tmp_path / "b.html", max_samples=1, history=[])
    assert "These scenes are synthetic" in "".join(page.texts)
    assert "cannot be compared with published" in "".join(page.texts)


def test_nothing_from_the_data_becomes_markup(root: Path, tmp_path: Path) -> None:
    classes = (NASTY, *KUST4K_CLASSES.names[1:])
    dataset = open_dataset(root, "test")
    dataset.classes = classes
    dataset.ids[0] = NASTY
    dataset.pairs[0] = dataclasses.replace(dataset.pairs[0], id=NASTY, scene=NASTY)
    page, _ = report(
        make_predictor(classes=classes), dataset, tmp_path / "report.html", facts={NASTY: NASTY}, max_samples=4
    )
    assert "script" not in page.tags
    assert "<script" not in page.source
    assert sum(row[0] == NASTY for row in page.rows) == 2  # as a class and as a scene
    assert page.texts.count(NASTY) >= 5  # legend, class table, title of the sample, name and value of the fact
    assert any(NASTY in (image["alt"] or "") for image in page.images)


def test_data_without_truth_scenes_or_flags(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", n=8)
    predictor = make_predictor()
    dataset = open_dataset(root, "all")
    dataset.classes = predictor.classes
    page, _ = report(predictor, dataset, tmp_path / "report.html", history=[])
    assert page.headings == ["Samples", "Classes", "Confusion"]
    assert page.source.count('<article class="sample">') == 6


def test_truth_missing_in_kust4k(predictor: Predictor, root: Path, tmp_path: Path) -> None:
    for path in (root / "truth").iterdir():
        path.unlink()
    page, _ = report(predictor, open_dataset(root, "test"), tmp_path / "report.html", history=[])
    assert "Offsets" not in page.headings


def test_model_without_offsets_or_mutual_information(root: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    name = "thermal_only_efficientnet_lite0"
    info = ModelInfo(name, {}, KUST4K_CLASSES.names, COLORS)
    single = Predictor(create_model(name, 9), info, torch.device("cpu"))
    history = [{**row, "mutual_information": 0.0} for row in HISTORY]
    page, _ = report(single, open_dataset(root, "test"), tmp_path / "report.html", history=history)
    assert page.headings == ["Samples", "Training", "Classes", "Conditions", "Confusion"]
    assert "validation mIoU" in page.texts
    assert not any("L_mi" in text for text in page.texts)


def test_offset_table_holds_the_agreement(predictor: Predictor, shared: Shared) -> None:
    pairs = list(compare_offsets(predictor, shared.dataset))
    assert [pair.sample.id for pair in pairs] == ["00000D", "00003N"]
    true = np.concatenate([pair.true.reshape(2, -1) for pair in pairs], axis=1)
    moving = np.concatenate([pair.moving.ravel() for pair in pairs])
    for stage in range(4):
        found = np.concatenate([pair.found[f"stage {stage + 1}"].reshape(2, -1) for pair in pairs], axis=1)
        got = offset_agreement(found, true, moving)
        assert np.isfinite(got.correlation_dx)
        row = shared.page.row(f"moving, stage {stage + 1}")
        assert row[1:4] == [f"{v:.2f}" for v in (got.true_magnitude, got.found_magnitude, got.endpoint_error)]
        assert row[4:] == [f"{v:+.2f}".replace("-", "−") for v in (got.correlation_dx, got.correlation_dy)]


def test_truth_of_another_size_is_named(predictor: Predictor, root: Path, tmp_path: Path) -> None:
    write_truth(root, "00003N", (HEIGHT, WIDTH + 1))
    with pytest.raises(DataError, match=r"00003N\.npz.*\(2, 32, 41\)"):
        report(predictor, open_dataset(root, "test"), tmp_path / "report.html", history=[])
    assert not (tmp_path / "report.html").exists()


def test_images_are_chosen_by_kind() -> None:
    none: frozenset[str] = frozenset()
    weak, dark, hot = frozenset({"weakly_aligned"}), frozenset({"rgb_broken"}), frozenset({"thermal_broken"})
    scenes = ["night", "day", "day", "dark_night", "night", "day", "day", "dark_night"]
    flags = [dark, weak, none, dark, none, hot, none, weak]
    assert choose_samples(scenes, flags, 6) == [2, 4, 7, 0, 5, 1]
    assert choose_samples(scenes, flags, 2) == [2, 4]
    assert sorted(choose_samples(scenes, flags, 20)) == list(range(8))
    assert choose_samples([""] * 10, [none] * 10, 3) == [0, 3, 6]
    assert choose_samples([], [], 6) == []


def test_error_map_shows_wrong_pixels_in_the_predicted_colour() -> None:
    label = np.zeros((12, 12), dtype=np.int64)
    label[:, 6:] = 1
    label[0] = 255
    prediction = label.copy()
    prediction[0] = 2  # ignored, so not an error
    prediction[5, 2] = 2
    image = paint_errors(label, prediction, COLORS)
    assert tuple(image[5, 2]) == COLORS[2]
    assert tuple(image[5, 3]) == CORRECT
    assert tuple(image[5, 6]) == OUTLINE
    assert not {tuple(pixel) for pixel in image[0]} & {COLORS[2], CORRECT, OUTLINE}
    assert np.array_equal(image[0], paint_label(label, COLORS)[0])


def test_agreement_of_known_fields() -> None:
    true = np.random.default_rng(1).normal(size=(2, 20, 30))
    same = offset_agreement(true, true)
    assert (same.pixels, same.endpoint_error) == (600, 0)
    assert same.correlation_dy == pytest.approx(1)
    assert same.correlation_dx == pytest.approx(1)
    flipped = offset_agreement(-3 * true, true)
    assert flipped.correlation_dy == pytest.approx(-1)
    assert flipped.correlation_dx == pytest.approx(-1)
    assert flipped.found_magnitude == pytest.approx(3 * flipped.true_magnitude)
    assert flipped.endpoint_error == pytest.approx(4 * flipped.true_magnitude)


def test_agreement_keeps_rows_and_columns_apart_and_obeys_the_mask() -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(size=(2, 20, 30))
    found = np.stack([true[0], -true[1]])
    mask = np.zeros((20, 30), dtype=bool)
    mask[:5] = True
    found[:, 5:] = 100
    got = offset_agreement(found, true, mask)
    assert got.pixels == 150
    assert got.correlation_dy == pytest.approx(1)
    assert got.correlation_dx == pytest.approx(-1)
    assert got.endpoint_error == pytest.approx(np.abs(2 * true[1, :5]).mean())


def test_agreement_without_variation_or_pixels_is_nan() -> None:
    true = np.random.default_rng(3).normal(size=(2, 4, 4))
    constant = offset_agreement(np.zeros_like(true), true)
    assert np.isnan([constant.correlation_dx, constant.correlation_dy]).all()
    assert constant.endpoint_error == pytest.approx(constant.true_magnitude)
    nothing = offset_agreement(true, true, np.zeros((4, 4), dtype=bool))
    assert nothing.pixels == 0
    assert np.isnan(nothing.endpoint_error)
    with pytest.raises(ValueError, match="shapes"):
        offset_agreement(true, true[:, :3])


@pytest.mark.parametrize("input_scale", [1.0, 0.5])
def test_found_offsets_are_in_pixels_of_the_image(input_scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tap of every stage shifted by the same number of its own pixels, plus a spread that cancels out."""
    torch.manual_seed(0)
    model = create_model(
        "cimnet_efficientnet_lite0", 9, widths=(16, 16, 20, 32), decoder_channels=16, input_scale=input_scale
    ).eval()
    original = CIMNet.forward

    def forward(self: CIMNet, rgb: torch.Tensor, thermal: torch.Tensor) -> object:
        output = original(self, rgb, thermal)
        spread = torch.arange(9.0).sub(4).view(1, 9, 1, 1)
        fixed = [
            torch.stack((0.5 + spread.expand(1, 9, *o.shape[-2:]), -0.25 + spread.expand(1, 9, *o.shape[-2:])), 2)
            for o in output.offsets
        ]
        return output._replace(offsets=tuple(f.flatten(1, 2) for f in fixed))

    monkeypatch.setattr(CIMNet, "forward", forward)
    fields = found_offsets(model, torch.rand(3, 50, 70), torch.rand(1, 50, 70))
    assert list(fields) == [f"stage {n}" for n in (1, 2, 3, 4)]
    for field, stride in zip(fields.values(), (4, 8, 16, 32), strict=True):
        assert field.shape == (2, 50, 70)
        np.testing.assert_allclose(field[0], 0.5 * stride / input_scale, rtol=1e-5)
        np.testing.assert_allclose(field[1], -0.25 * stride / input_scale, rtol=1e-5)
