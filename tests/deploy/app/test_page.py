"""Texts, pictures, the model at work, and the actions of the page, without a browser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cimnet.checkpoint import ModelInfo
from cimnet.deploy.app import draw, html
from cimnet.deploy.app.example_pairs import example
from cimnet.deploy.app.run_app import Result, judge, offsets, segment
from cimnet.deploy.app.uploaded_pair import Knobs, Pair
from cimnet.deploy.app.uploads import Limits
from cimnet.errors import DataError
from cimnet.inference import Predictor, load
from cimnet.inference.alarms.alarm import Alarm
from cimnet.models import create_model
from tests.conftest import Trained

CLASSES, COLORS = ("ground", "a<b>", "car"), ((0, 0, 0), (230, 60, 60), (60, 180, 75))


@pytest.fixture
def predictor(trained: Trained) -> Predictor:
    return load(trained.best, "cpu")


def _small() -> Pair:
    """A corner of the example by day, 96×128 pixels."""
    pair = example("Day")
    assert pair.rgb is not None
    assert pair.thermal is not None
    return replace(pair, rgb=pair.rgb[:96, :128], thermal=pair.thermal[:96, :128])


def _result(missing: str | None = None) -> Result:
    mask = np.zeros((40, 50), np.uint8)
    mask[:10] = 1
    mask[0, 0] = 2
    return Result(np.full((40, 50, 3), 100, np.uint8), np.zeros((40, 50), np.float32), mask, missing, 0.0123)


def test_the_legend_has_the_classes_of_the_mask_by_area_and_escapes_their_names() -> None:
    text = html.legend(_result().mask, CLASSES, COLORS)
    assert text.index("ground") < text.index("a&lt;b&gt;") < text.index("car")
    assert "<b>" not in text.replace("<b style", "")
    assert "75.0 %" in text
    assert "24.9 %" in text or "25.0 %" in text
    assert "&lt; 0.1 %" in text or "< 0.1 %" in text
    assert "rgb(230,60,60)" in text
    assert "car" not in html.legend(np.zeros((4, 4), np.uint8), CLASSES, COLORS)


def test_notes_escape_what_a_visitor_named() -> None:
    assert "<img" not in html.note("<img src=x onerror=alert(1)>.png: broken", "error")
    assert 'role="alert"' in html.note("x", "error")
    assert html.note("") == ""
    assert "<script" not in html.heading("<script>", "<script>", 3)
    assert html.heading("a.onnx", "m", 1).endswith("m · 1 class</p></div>")
    assert "<script" not in html.title("<script>")


def test_the_status_names_a_missing_image() -> None:
    assert "50×40 pixels · model 12 ms" in html.status(_result())
    assert "no thermal image" in html.status(_result("thermal"))


def test_alarms_are_said_or_how_to_get_them() -> None:
    assert "cimnet calibrate" in html.alarms(None, calibrated=False)
    quiet = {"rgb_broken": 0.1, "thermal_broken": 0.2, "misaligned": 0.3}
    assert "No alarm" in html.alarms(Alarm(quiet, (), {}), calibrated=True)
    loud = html.alarms(Alarm({**quiet, "misaligned": 0.93}, ("misaligned",), {"misaligned": "they do not lie"}), True)
    assert "They do not lie." in loud
    assert "93 %" in loud
    assert loud.count("cim-raised") == 1


def test_arrows_point_from_rgb_to_thermal_and_are_lengthened_where_short() -> None:
    thermal = np.zeros((64, 64), np.float32)
    field = np.zeros((2, 64, 64), np.float32)
    field[1] = 1.0  # one pixel to the right
    picture, factor = draw.arrows(thermal, field)
    assert factor == 4  # as long as the arrows are apart
    assert picture.size == (960, 960)
    drawn = np.asarray(picture).any(axis=2)
    dot = 30 - 1  # the first dot is drawn at 2 pixels of 64, 15 times enlarged
    assert drawn[30, 30:88].all()  # four times one pixel of 15, to the right
    assert not drawn[dot + 30, 30:88].any()
    assert "1.0 px right, 0.0 px down" in html.moved(("alignment", field), factor)
    assert "explicit alignment" in html.moved(("alignment", field), factor)
    assert "nothing to move" in html.moved(("alignment", np.zeros_like(field)), 8)


def test_large_pictures_are_shrunk_for_the_page_only() -> None:
    assert draw.view(np.zeros((1000, 2560, 3), np.uint8)).size == (1280, 500)
    assert draw.view(np.zeros((40, 50), np.uint8)).size == (50, 40)


def test_the_mask_is_the_predictors(predictor: Predictor) -> None:
    pair = _small()
    result = segment(predictor, pair, Knobs())
    np.testing.assert_array_equal(result.mask, predictor.predict(pair.rgb, pair.thermal))
    np.testing.assert_array_equal(result.rgb, pair.rgb)
    np.testing.assert_array_equal(result.thermal, pair.thermal)
    corrupted = segment(predictor, pair, Knobs(right=20, blur=6, darken=4))
    np.testing.assert_array_equal(corrupted.mask, predictor.predict(corrupted.rgb, corrupted.thermal))
    assert (corrupted.mask != result.mask).any()


def _untrained(**options: object) -> Predictor:
    torch.manual_seed(0)
    small = {"pretrained": False, "widths": [16, 16, 20, 32], "decoder_channels": 16, **options}
    model = create_model("cimnet_efficientnet_lite0", 3, **small)
    if options:
        with torch.no_grad():
            for parameter in model.alignment.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
    return Predictor(model, ModelInfo("cimnet_efficientnet_lite0", small, CLASSES, COLORS), torch.device("cpu"))


def test_offsets_of_alignment_in_pixels_of_the_image() -> None:
    predictor = _untrained(explicit_alignment=True)
    result = segment(predictor, _small(), Knobs())
    found = offsets(predictor, result)
    assert found is not None
    assert found[0] == "alignment"
    rgb, thermal = predictor.tensors(result.rgb, result.thermal)
    with torch.inference_mode():
        flow = predictor.network(rgb[None], thermal[None]).flow[0].numpy()
    assert found[1].shape == (2, 96, 128)
    inside = found[1][:, 2:-2, 2:-2].mean(axis=(1, 2))
    np.testing.assert_allclose(inside, 4 * flow.mean(axis=(1, 2)), atol=0.05 * abs(4 * flow).max() + 1e-4)


def test_offsets_of_stage_1_without_alignment_and_none_for_a_missing_image(predictor: Predictor) -> None:
    found = offsets(predictor, segment(predictor, _small(), Knobs()))
    assert found is not None
    assert found[0] == "stage 1"
    alone = segment(predictor, Pair(rgb=_small().rgb), Knobs())
    assert alone.missing == "thermal"
    assert offsets(predictor, alone) is None


def test_no_alarm_without_calibration(predictor: Predictor) -> None:
    assert judge(predictor, _result()) is None


def test_actions_keep_what_they_had_where_an_upload_is_bad(predictor: Predictor, tmp_path: object) -> None:
    pytest.importorskip("gradio")
    from pathlib import Path

    from PIL import Image

    from cimnet.deploy.app.actions import Page

    folder = Path(str(tmp_path))
    page = Page(predictor, Limits())
    pair, said, *_ = page.choose("Day")
    assert "megapixels" in said
    Image.new("RGB", (64, 48), (9, 9, 9)).save(folder / "rgb.png")
    (folder / "bad.png").write_text("no picture")
    first, _, _, chosen = page.uploader("rgb")(str(folder / "rgb.png"), pair)
    assert chosen is None  # no example any more
    assert first.rgb.shape == (48, 64, 3)
    assert first.thermal is None  # the example's does not belong to it
    kept, said, file, _ = page.uploader("thermal")(str(folder / "bad.png"), first)
    assert not isinstance(kept, Pair)  # gradio's sign for: leave it
    assert "bad.png" in said
    assert str(folder) not in said
    assert file is None
    assert page.remover("rgb")(first)[0].empty
    assert page.segment(replace(first, rgb=None), 0.5, False, 0, 0, 0, 0, 0)[0] is None
    wrong = page.segment(first, 0.5, False, float("nan"), 0, 0, 0, 0)
    assert wrong[0] is None
    assert "right is nan" in wrong[2]


def test_downloads_are_whole(predictor: Predictor) -> None:
    pytest.importorskip("gradio")
    from cimnet.deploy.app.actions import Page
    from cimnet.inference.overlay import overlay_mask
    from cimnet.utils.colors import colorize

    page, result = Page(predictor, Limits()), _result()
    name, ids = page.download("ids", result, 0.3)
    assert name == "mask_ids.png"
    np.testing.assert_array_equal(ids, result.mask)
    np.testing.assert_array_equal(page.download("colors", result, 0.3)[1], colorize(result.mask, predictor.colors))
    expected = overlay_mask(result.rgb, result.mask, predictor.colors, 0.3)
    np.testing.assert_array_equal(page.download("overlay", result, 0.3)[1], expected)
    with pytest.raises(DataError, match="no mask to save"):
        page.download("ids", None, 0.3)
