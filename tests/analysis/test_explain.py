"""What `cimnet explain` draws comes from the tensors it names."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cimnet
from cimnet.analysis.explain import _features, _read_truth, _weights, heat, record, write_explanation
from cimnet.analysis.offset_agreement import found_offsets
from cimnet.data import open_dataset
from cimnet.errors import CimnetError
from cimnet.inference import Predictor
from cimnet.inference.images import shrink
from cimnet.models import CIMNet, create_model
from cimnet.models.cipa import CIPAOutput
from cimnet.models.scsfr import SCSFROutput
from tests.conftest import Trained


@pytest.fixture
def pair(trained: Trained) -> dict[str, Path]:
    return {name: trained.root / name / "000.png" for name in ("rgb", "thermal", "labels")}


def test_the_command_writes_figure_and_page(
    trained: Trained, pair: dict[str, Path], tmp_path: Path, cli: Callable[..., Any]
) -> None:
    """Of a file whose name would be markup."""
    rgb, out = tmp_path / "<script>alert(1)&.png", tmp_path / "out"
    shutil.copy(pair["rgb"], rgb)
    given = ("explain", trained.best, "--rgb", rgb, "--thermal", pair["thermal"])
    assert cli(*given, "--out", out, "--label", pair["labels"]).code == 0
    assert {path.name for path in out.iterdir()} == {"explain.png", "explain.html"}
    text = (out / "explain.html").read_text(encoding="utf-8")
    sections = ["The pair", "Stage 1 through CIPA", "Stage 1 after SCSFR", "Fused features", "Spatial weights of RGB"]
    sections += ["Spatial weights of thermal", "Channel weights", "Offsets"]
    assert [text.index(f"<h2>{name}</h2>") for name in sections] == sorted(
        text.index(f"<h2>{n}</h2>") for n in sections
    )
    assert text.count("<figure>") == 4 + 4 + 2 + 4 + 4 + 4 + 4 + 4
    assert "http" not in re.sub(r"data:[^\"]*", "", text).replace("http-equiv", "")
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&amp;.png") == 2  # subtitle, command
    with Image.open(out / "explain.png") as figure:
        assert figure.width > 1000
    refused = cli(*given, "--out", rgb)
    assert refused.code == 2
    assert "is a file" in refused.err


def test_recorded_tensors_are_those_of_the_forward_pass(trained: Trained) -> None:
    model = cimnet.load(trained.best).model
    assert isinstance(model, CIMNet)
    rgb, thermal = torch.rand(1, 3, 64, 96), torch.rand(1, 1, 64, 96)
    with record(model) as seen, torch.no_grad():
        output = model(rgb, thermal)
    for n, offset in enumerate(output.offsets, start=1):
        torch.testing.assert_close(seen[f"scsfr{n}"][1].offset, offset, rtol=0, atol=0)
        assert seen[f"spatial{n}"][1].shape[1] == 2
    fused = [seen[f"ffm{n}"][1] for n in (1, 2, 3, 4)]
    logits = model.restore(model.decoder(fused), (64, 96), (64, 96))
    torch.testing.assert_close(logits, output.logits)
    assert all(not module._forward_hooks for module in model.modules())


def test_panels_show_the_stream_and_stage_of_their_title(trained: Trained) -> None:
    """Each recorded tensor is planted with a bright corner of its own; its panel must be bright there."""
    model = cimnet.load(trained.best).model
    assert isinstance(model, CIMNet)
    corners = {name: (row, column) for name, row, column in (("RGB", 0, 0), ("thermal", 1, 1))}

    def planted(name: str, channels: int, stage: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        x = torch.full((1, channels, 64 // 2 ** (stage - 1), 96 // 2 ** (stage - 1)), low)
        height, width = x.shape[-2] // 2, x.shape[-1] // 2
        row, column = corners[name]
        x[:, :, row * height : (row + 1) * height, column * width : (column + 1) * width] = high
        return x

    rgb, thermal = (planted(name, 16, 1) for name in corners)
    seen: dict[str, Any] = {"cipa": ((rgb, thermal), CIPAOutput(rgb, thermal, rgb, None))}
    seen["scsfr1"] = ((), SCSFROutput(rgb, thermal, rgb))
    for n in (1, 2, 3, 4):
        seen[f"ffm{n}"] = ((), planted("RGB" if n % 2 else "thermal", 8, n))
        seen[f"spatial{n}"] = ((), torch.cat([planted(name, 1, n, -5, 5) for name in corners], dim=1))
        seen[f"channel{n}"] = ((), torch.randn(1, 32))
    size = (256, 384)
    panels = [p for s in (*_features(model, seen, size), *_weights(model, seen, size)) for p in s.panels]
    checked = 0
    for title, image in panels:
        if title.startswith("channel"):
            continue
        name = "thermal" if "thermal" in title or title in ("fused, stage 2", "fused, stage 4") else "RGB"
        row, column = corners[name]
        bright = image.astype(int).sum(2)[64 + 128 * row, 96 + 192 * column]
        assert bright == image.astype(int).sum(2).max(), title
        assert image.astype(int).sum(2)[64 + 128 * (1 - row), 96 + 192 * (1 - column)] < bright, title
        checked += 1
    assert checked == 6 + 4 + 8


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_heat_is_bright_where_the_features_are(scale: float) -> None:
    model = create_model(
        "cimnet_efficientnet_lite0", 3, widths=(16, 16, 20, 32), decoder_channels=16, input_scale=scale
    )
    assert isinstance(model.eval(), CIMNet)
    x = torch.zeros(1, 5, round(16 * scale), round(24 * scale))
    x[:, :, : round(8 * scale), : round(12 * scale)] = -3.0  # a quarter of the image
    painted = heat(model, x, 1, (64, 96)).astype(int).sum(2)
    assert painted.shape == (64, 96)
    assert painted[4:28, 4:44].min() > painted[36:, 52:].max()


def test_a_model_without_rectification_has_fewer_panels(
    trained: Trained, pair: dict[str, Path], tmp_path: Path
) -> None:
    source = cimnet.load(trained.best)
    model = create_model(
        "cimnet_efficientnet_lite0", 3, widths=(16, 16, 20, 32), decoder_channels=16, swr=False, explicit_alignment=True
    )
    page = write_explanation(
        Predictor(model, source.info, torch.device("cpu")), pair["rgb"], pair["thermal"], tmp_path
    ).read_text(encoding="utf-8")
    assert "Spatial weights" not in page
    assert "Channel weights" in page
    assert "alignment: mean" in page
    assert "errors" not in page.split("<h2>Stage 1")[0].split("<figure>", 1)[1]


@pytest.mark.parametrize("settings", [{}, {"window": 32}, {"scales": (0.5, 1.0), "flip": True}], ids=str)
def test_a_large_pair_is_seen_in_one_pass_and_said_to_be_reduced(
    trained: Trained, pair: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    arguments = (pair["rgb"], pair["thermal"], tmp_path / "out", pair["labels"])
    page = write_explanation(cimnet.load(trained.best, **settings), *arguments).read_text(encoding="utf-8")
    assert "Reduced" not in page
    assert "errors" in page
    monkeypatch.setattr("cimnet.analysis.explain.WHOLE", 32 * 40 // 4)
    page = write_explanation(cimnet.load(trained.best, **settings), *arguments).read_text(encoding="utf-8")
    assert "Reduced from 40x32 to 20x16 pixels" in page


def test_offsets_of_a_reduced_pair_are_pixels_of_the_given_one(
    pair: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = cimnet.load("starter", "cpu")
    rgb, thermal = shrink(*source.tensors(pair["rgb"], pair["thermal"]), 16 * 20)
    fields = found_offsets(source.network, rgb, thermal)
    monkeypatch.setattr("cimnet.analysis.explain.WHOLE", 16 * 20)
    page = write_explanation(source, pair["rgb"], pair["thermal"], tmp_path).read_text(encoding="utf-8")
    for name, field in fields.items():
        assert f"{name}: mean {2 * np.hypot(*field).mean():.1f} px" in page
    assert max(float(np.hypot(*field).mean()) for field in fields.values()) > 0.5


def test_another_family_and_wrong_labels_are_named(trained: Trained, pair: dict[str, Path], tmp_path: Path) -> None:
    source = cimnet.load(trained.best)
    single = create_model("rgb_only_efficientnet_lite0", 3, widths=(16, 16, 20, 32), decoder_channels=16)
    with pytest.raises(CimnetError, match="inside of CIMNet"):
        write_explanation(Predictor(single, source.info, source.device), pair["rgb"], pair["thermal"], tmp_path)
    small = tmp_path / "small.png"
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(small)
    with pytest.raises(CimnetError, match="9x8"):
        write_explanation(source, pair["rgb"], pair["thermal"], tmp_path, small)
    Image.fromarray(np.full((32, 40), 7, np.uint8)).save(small)
    with pytest.raises(CimnetError, match=r"small\.png: id 7 \(1,280 pixels\) outside the 3 classes"):
        write_explanation(source, pair["rgb"], pair["thermal"], tmp_path, small)


@pytest.mark.parametrize(
    "changed", ["order of the palette", "nodata of no class", "nodata of a class", "three channels"]
)
def test_labels_are_read_as_by_the_data_set(trained: Trained, tmp_path: Path, changed: str) -> None:
    """By the colours of a palette, by nodata, from three equal channels; what the data set refuses is refused."""
    source, root = cimnet.load(trained.best), tmp_path / "data"
    shutil.copytree(trained.root, root)
    ids = np.random.default_rng(0).integers(0, 3, (32, 40), np.uint8)
    path = root / "labels" / "000.tif"
    path.with_suffix(".png").unlink()
    image = Image.fromarray(ids)
    if changed == "order of the palette":
        path = path.with_suffix(".png")
        image.putpalette(np.array([source.colors[k] for k in (2, 0, 1)], np.uint8).tobytes())
        image.save(path)
        ids = np.array([2, 0, 1])[ids]
    elif changed == "three channels":
        Image.fromarray(np.dstack([ids, ids, ids])).save(path)
    else:
        nodata = 2 if changed == "nodata of a class" else 9
        ids[3:7, 5:9] = nodata
        Image.fromarray(ids).save(path, tiffinfo={42113: str(nodata)})
        ids[ids == 9] = 255
    dataset = open_dataset(root, "all", classes=source.classes)
    if changed == "nodata of a class":
        for read in (lambda: dataset.arrays(0), lambda: _read_truth(source, path, (32, 40))):
            with pytest.raises(CimnetError, match="declares 2 as nodata, which is also the value of class 2"):
                read()
        return
    np.testing.assert_array_equal(dataset.arrays(0).label, ids)
    np.testing.assert_array_equal(_read_truth(source, path, (32, 40)), ids)
