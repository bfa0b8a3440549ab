"""Labels whose files say more than their values: palettes in another order, nodata, white is zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cimnet.data import open_dataset, palette
from cimnet.data.labels import label_lookup, read_class_ids, read_color_label
from cimnet.errors import DataError
from tests.fakes.layouts import make_folder

COLORS = ((10, 20, 30), (200, 0, 0), (0, 200, 0), (0, 0, 200))
LOOKUP = label_lookup(None, 4)


def save(path: Path, ids: Any, colors: Any) -> Path:
    image = Image.fromarray(ids.astype(np.uint8))
    image.putpalette(np.array(colors, np.uint8).tobytes())
    image.save(path)
    return path


def read(path: Path, colors: Any = COLORS) -> Any:
    return read_class_ids(path, LOOKUP, colors, by_colour=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.permutations(range(4)), st.integers(1, 4))
def test_palettes_in_any_order(tmp_path: Path, seed: int, order: list[int], used: int) -> None:
    """Whichever classes occur and however the file numbers them, the colours that Pillow shows are the classes'."""
    indices = np.random.default_rng(seed).integers(0, used, (6, 7))
    path = save(tmp_path / "p.png", indices, [COLORS[class_id] for class_id in order])
    with Image.open(path) as image:
        shown = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(np.array(COLORS)[read(path)], shown)


def test_255_stays_ignored(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 255]])
    path = save(tmp_path / "p.png", ids, [COLORS[1], COLORS[0], *[(1, 1, k) for k in range(254)]])
    assert read(path).tolist() == [[1, 0, 255]]


def test_palettes_that_say_nothing_of_the_classes(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 2, 3]])
    grey = [(k, k, k) for k in range(256)]
    black = [(10, 20, 30)] * 4
    voc = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    for colors in (grey, black, voc):
        assert read(save(tmp_path / "p.png", ids, colors)).tolist() == ids.tolist()
    # colours that nobody chose: one of them at another index is chance
    assert read(save(tmp_path / "p.png", ids, [*voc[:3], palette(4)[1]]), palette(4)).tolist() == ids.tolist()
    swapped = [palette(4)[k] for k in (0, 2, 1, 3)]
    assert read(save(tmp_path / "p.png", ids, swapped), palette(4)).tolist() == [[0, 2, 1, 3]]


def test_a_palette_that_contradicts_the_classes_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "p.png", np.array([[0, 1, 2]]), [COLORS[0], COLORS[2], (9, 9, 9)])
    with pytest.raises(DataError, match=r"p\.png: its palette contradicts .* value 1 .* class 2, value 2 has #090909"):
        read(path)


def test_a_label_table_comes_before_the_palette(tmp_path: Path) -> None:
    make_folder(tmp_path)
    colors = "[{name: a, color: [9, 9, 9]}, {name: b, color: [8, 0, 0]}]"
    for table, expected in (("", [1, 0]), ("label_table: {0: a, 1: b}\n", [0, 1])):
        (tmp_path / "classes.yaml").write_text(f"classes: {colors}\n{table}")
        with Image.open(tmp_path / "labels" / "000.png") as image:
            size = image.size
        ids = np.zeros(size[::-1])
        ids[:, 1:] = 1
        save(tmp_path / "labels" / "000.png", ids, [(8, 0, 0), (9, 9, 9)])
        label = open_dataset(tmp_path, "train").arrays(0).label
        assert label is not None
        assert label[0, :2].tolist() == expected


@pytest.mark.parametrize(("nodata", "expected"), [(200, [0, 1, 255]), (255, [0, 1, 200])])
def test_nodata_of_a_label(tmp_path: Path, nodata: int, expected: list[int]) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "l.tif"
    values = np.array([[0, 1, 200]], np.uint8)
    tifffile.imwrite(path, values, extratags=[(42113, 2, None, str(nodata), True)])
    if 200 in expected:
        with pytest.raises(DataError, match="id 200"):
            read(path)
    else:
        assert read(path).tolist() == [expected]


def test_nodata_that_is_a_class_is_refused(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "l.tif"
    tifffile.imwrite(path, np.array([[0, 1]], np.uint8), extratags=[(42113, 2, None, "0", True)])
    with pytest.raises(DataError, match=r"l\.tif: declares 0 as nodata, .* class 0; say `ignore_index: 0`.*gdal_edit"):
        read(path)
    assert read_class_ids(path, label_lookup(None, 4, ignore_id=0), COLORS).tolist() == [[255, 1]]


@pytest.mark.parametrize("kind", ["8", "16", "colours"])
def test_the_remedy_for_a_transparent_class_in_a_png(tmp_path: Path, kind: str) -> None:
    """What the message says makes the file readable; GDAL cannot edit a PNG."""
    path = tmp_path / "l.png"
    values = np.array([[0, 1]], np.uint16 if kind == "16" else np.uint8)
    if kind == "colours":
        Image.fromarray(np.dstack([values] * 3)).save(path, transparency=(0, 0, 0))
    else:
        Image.fromarray(values).save(path, transparency=0)
    colors = ((0, 0, 0), (1, 1, 1))
    with pytest.raises(DataError, match=r"l\.png: declares .* class 0; .* save it again without its transparent value"):
        read_color_label(path, colors) if kind == "colours" else read(path)
    image = Image.open(path)
    del image.info["transparency"]
    image.save(path)
    assert (read_color_label(path, colors) if kind == "colours" else read(path)).tolist() == [[0, 1]]


def test_the_remedy_for_nodata_beside_a_png(tmp_path: Path) -> None:
    path = tmp_path / "l.png"
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(path)
    (tmp_path / "l.png.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>0</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    with pytest.raises(DataError, match=r"or delete <NoDataValue> in l\.png\.aux\.xml$"):
        read(path)


def test_nodata_of_a_label_in_colours(tmp_path: Path) -> None:
    """As of class ids: ignored, or refused if a class has that colour."""
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "l.tif"
    values = np.array([[COLORS[0], COLORS[1], (7, 7, 7), (0, 0, 0)]], np.uint8)
    for nodata, expected in ((7, [0, 1, 255, 4]), (99, None)):
        tifffile.imwrite(path, values, photometric="rgb", extratags=[(42113, 2, None, str(nodata), True)])
        if expected is None:
            with pytest.raises(DataError, match=r"#070707 \(1 pixel\) is the colour of no class"):
                read_color_label(path, [*COLORS, (0, 0, 0)])
        else:
            assert read_color_label(path, [*COLORS, (0, 0, 0)]).tolist() == [expected]
    tifffile.imwrite(path, values[:, [0, 3]], photometric="rgb", extratags=[(42113, 2, None, "0", True)])
    with pytest.raises(DataError, match=r"l\.tif: declares #000000 as nodata, .* class 4; .*#e0e0e0"):
        read_color_label(path, [*COLORS, (0, 0, 0)])
    assert read_color_label(path, COLORS).tolist() == [[0, 255]]


def test_nodata_as_an_index_of_a_label_in_colours(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "l.tif"
    table = np.zeros((3, 256), np.uint16)
    table[:, :3] = np.array([COLORS[0], COLORS[1], (9, 9, 9)]).T * 257
    options = {"photometric": "palette", "colormap": table, "extratags": [(42113, 2, None, "2", True)]}
    tifffile.imwrite(path, np.array([[1, 0, 2]], np.uint8), **options)
    assert read_color_label(path, COLORS).tolist() == [[1, 0, 255]]
