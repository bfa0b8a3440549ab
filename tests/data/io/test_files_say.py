"""Files of each kind, made at random and read: the numbers are those of an independent reader (tifffile, GDAL, OpenCV),
changed as the file says, or the file is refused by the name of the property."""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cimnet.data import ThermalScaling, read_label, read_rgb, read_rgbt, read_thermal_counts
from cimnet.data.io.bands import Bands
from cimnet.data.io.facts import read_facts
from cimnet.data.io.pixels import turned
from cimnet.data.io.readers import read_label_file
from cimnet.data.io.reading_table import replace_table
from cimnet.data.io.rule import USES
from cimnet.data.io.rules import RULES
from cimnet.data.io.thermal_files import Wanted, thermal_unit
from cimnet.data.io.units import UNITS, name_unit
from cimnet.errors import DataError, DataWarning
from tests.fakes import flir

tifffile = pytest.importorskip("tifffile")
rasterio = pytest.importorskip("rasterio")

MADE: Counter[str] = Counter()
"""Files made by property."""
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore::cimnet.errors.DataWarning"),
]
sizes = st.tuples(st.integers(2, 40), st.integers(2, 40))
seeds = st.integers(0, 10_000)


def integers(seed: int, size: tuple[int, int], dtype: str, channels: int = 1) -> Any:
    """Random values of a type, (H, W) or (H, W, channels)."""
    info = np.iinfo(dtype)
    shape = size if channels == 1 else (*size, channels)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def celsius(seed: int, size: tuple[int, int]) -> Any:
    """Random temperatures, float32."""
    return np.random.default_rng(seed).uniform(-30, 60, size).astype(np.float32)


def gdal(path: Path, values: Any, tags: dict[str, Any] | None = None, **profile: Any) -> Path:
    """A file by GDAL, a TIFF by default, with attributes of the opened file set."""
    bands = np.moveaxis(np.atleast_3d(values), -1, 0)
    size = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    with rasterio.open(path, "w", **{"driver": "GTiff", **size, **profile}) as file:
        file.write(bands)
        for name, value in (tags or {}).items():
            setattr(file, name, value)
    return path


def test_every_property_has_an_action_for_every_use() -> None:
    for rule in RULES:
        assert set(rule.actions) == set(USES), rule.name
        for action in rule.actions.values():
            assert action.words
            assert action.apply is None or action.refuse is None


def test_the_page_shows_the_rules() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "files.md"
    text = page.read_text(encoding="utf-8")
    assert replace_table(text) == text, "run: python -m cimnet.data.io.reading_table docs/reference/files.md"


@quick
@given(seeds, sizes, st.sampled_from(["uint8", "uint16"]), st.sampled_from([None, "zlib"]), st.sampled_from("<>"))
def test_white_is_zero(tmp_path: Path, seed: int, size: Any, dtype: str, compression: str | None, order: str) -> None:
    MADE["white is zero"] += 1
    path, values = tmp_path / "w.tif", integers(seed, size, dtype)
    tifffile.imwrite(path, values, photometric="miniswhite", compression=compression, byteorder=order)
    assert read_facts(path).white_is_zero
    stored = tifffile.imread(path)
    np.testing.assert_array_equal(stored, values)
    np.testing.assert_array_equal(read_thermal_counts(path), np.iinfo(dtype).max - stored)
    np.testing.assert_array_equal(read_label(path), stored)
    if dtype == "uint8":
        np.testing.assert_array_equal(read_rgb(path), np.dstack([255 - stored] * 3))


@pytest.mark.parametrize("dtype", ["int16", "float32", "uint32"])
def test_white_is_zero_of_values_without_a_largest(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "w.tif"
    tifffile.imwrite(path, np.arange(12).reshape(3, 4).astype(dtype), photometric="miniswhite")
    with pytest.raises(DataError, match=r"w\.tif: (white is zero|a TIFF of a kind that is not read .*white is zero)"):
        read_thermal_counts(path)


@quick
@given(seeds, sizes, st.sampled_from(["int8", "int16", "int32"]), st.sampled_from([None, "zlib"]))
def test_signed(tmp_path: Path, seed: int, size: Any, dtype: str, compression: str | None) -> None:
    MADE["signed integers"] += 1
    path = tmp_path / "s.tif"
    values = integers(seed, size, "int8" if dtype == "int8" else "int16").astype(dtype)
    tifffile.imwrite(path, values, compression=compression, photometric="minisblack")
    found = read_thermal_counts(path)
    np.testing.assert_array_equal(found, tifffile.imread(path))
    np.testing.assert_array_equal(read_label(path), values)
    if (values < 0).any():
        assert found.dtype == np.int16
        with pytest.raises(DataError, match="below zero need a thermal_range"):
            ThermalScaling()(found, path)
        np.testing.assert_allclose(
            ThermalScaling("range", -200, 200)(found), ((values + 200.0) / 400).clip(0, 1), atol=1e-5
        )


@quick
@given(seeds, sizes, st.sampled_from(["uint8", "uint16", "int16", "float32"]), st.booleans())
def test_nodata(tmp_path: Path, seed: int, size: Any, dtype: str, whole: bool) -> None:
    MADE["nodata"] += 1
    nodata = {"uint8": 0, "uint16": 65535, "int16": -9999, "float32": -10000.0}[dtype]
    values = celsius(seed, size) if dtype == "float32" else integers(seed, size, dtype)
    hole = np.random.default_rng(seed + 1).random(size) < (1.1 if whole else 0.3)
    values[hole] = nodata
    path = gdal(tmp_path / "n.tif", values, nodata=nodata)
    with rasterio.open(path) as file:
        missing = file.read_masks(1) == 0
    found = read_thermal_counts(path)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), missing)
    np.testing.assert_array_equal(np.ma.getdata(found)[~missing], values[~missing])
    if missing.any() and not missing.all():  # nothing that reads on without the mask meets the value
        assert np.isin(np.ma.getdata(found)[missing], values[~missing]).all()
    if not missing.all():
        low, high = np.percentile(values[~missing].astype(np.float64), (1, 99))
        scaled = ThermalScaling("gain_control", 1, 99)(found)
        assert (scaled[missing] == 0).all()
        expected = ((values[~missing].astype(np.float64) - low) / max(high - low, 1e-6)).clip(0, 1)
        np.testing.assert_allclose(scaled[~missing], expected, atol=1e-3)


@quick
@given(seeds, sizes, st.sampled_from(["uint8", "uint16"]), st.sampled_from([1, 3]), st.sampled_from([0, 7, 255]))
def test_nodata_of_a_png(tmp_path: Path, seed: int, size: Any, dtype: str, channels: int, nodata: int) -> None:
    """GDAL writes it as the transparent value (tRNS)."""
    if channels == 3 and dtype == "uint16":
        return
    values = integers(seed, size, dtype)
    values[np.random.default_rng(seed + 1).random(size) < 0.3] = nodata
    path = gdal(tmp_path / "n.png", np.dstack([values] * channels), driver="PNG", nodata=nodata)
    assert [file.name for file in tmp_path.iterdir()] == ["n.png"]
    assert read_facts(path).nodata == nodata
    found = read_thermal_counts(path)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), values == nodata)
    np.testing.assert_array_equal(np.ma.getdata(found)[values != nodata], values[values != nodata])
    if dtype == "uint8":
        seen = np.where(values == nodata, 0, values)
        np.testing.assert_array_equal(read_rgb(path), np.dstack([seen] * 3))
        assert read_label_file(path, grey=True).nodata == nodata


@pytest.mark.parametrize(("bits", "line"), [(1, 0b01000000), (2, 0b00011011), (4, 0x01)])
@pytest.mark.parametrize("nodata", [0, 1])
def test_nodata_of_few_bits(tmp_path: Path, bits: int, line: int, nodata: int) -> None:
    """Thermal values are stretched to 0..255, class ids are not."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    path, head = tmp_path / "n.png", struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"tRNS", struct.pack(">H", nodata)), (b"IDAT", zlib.compress(bytes([0, line]))))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in (*parts, (b"IEND", b""))))
    assert (read_facts(path).bits, read_facts(path).nodata) == (bits, nodata)
    if bits > 1:
        assert np.ma.getmaskarray(read_thermal_counts(path)).tolist() == [[nodata == 0, nodata == 1]]
        assert read_label_file(path).ids.tolist() == [[0, 1]]
    second = 255 // (2**bits - 1)
    assert read_rgb(path)[0, :, 0].tolist() == [0, second if nodata == 0 else 0]


@quick
@given(st.booleans(), seeds, sizes, st.sampled_from(["uint8", "uint16", "float32"]))
def test_masks_inside_and_beside(tmp_path: Path, inside: bool, seed: int, size: Any, dtype: str) -> None:
    MADE["masks"] += 1
    values = celsius(seed, size) if dtype == "float32" else integers(seed, size, dtype)
    hole = np.random.default_rng(seed + 1).random(size) < 0.4
    path, beside = tmp_path / "m.tif", tmp_path / "m.tif.msk"
    beside.unlink(missing_ok=True)
    height, width = size
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
        rasterio.open(path, "w", driver="GTiff", count=1, height=height, width=width, dtype=dtype) as file,
    ):
        file.write(values, 1)
        file.write_mask(~hole)
    assert beside.exists() != inside
    assert read_facts(path).mask == (1 if inside else beside)
    found = read_thermal_counts(path)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), hole)
    np.testing.assert_array_equal(np.ma.getdata(found)[~hole], values[~hole])


def test_masks_beside_colours_and_labels(tmp_path: Path) -> None:
    """As GDAL takes them: black where an RGB image is missing; a label is refused."""
    rgb = np.random.default_rng(0).integers(1, 255, (9, 7, 3), dtype=np.uint8)
    hole = np.zeros((9, 7), np.bool_)
    hole[2:5, 1:3] = True
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
        rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", count=3, height=9, width=7, dtype="uint8") as file,
    ):
        file.write(np.moveaxis(rgb, -1, 0))
        file.write_mask(~hole)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    (tmp_path / "a.png.msk").write_bytes((tmp_path / "a.tif.msk").read_bytes())
    for name in ("a.png", "a.tif"):
        with rasterio.open(tmp_path / name) as file:
            np.testing.assert_array_equal(file.read_masks(1) == 0, hole)
        np.testing.assert_array_equal(read_rgb(tmp_path / name), np.where(hole[..., None], 0, rgb))
        with pytest.raises(DataError, match=r"a\.\w+: a mask of missing pixels .*FILE\.msk.* of a label; write 255"):
            read_label(tmp_path / name)


@pytest.mark.parametrize(
    ("tags", "beside"),
    [
        ({"nodata": -9999}, "<NoDataValue>0</NoDataValue>"),
        ({"nodata": 0}, "<NoDataValue>-9999</NoDataValue>"),
        ({"scales": (0.1,)}, "<Scale>0.04</Scale>"),
        ({"scales": (0.1,), "offsets": (5,)}, "<Offset>7</Offset>"),
        ({"scales": (0.1,), "offsets": (5,)}, "<Scale>0.04</Scale>"),
        ({"units": ("K",)}, "<UnitType>degC</UnitType>"),
        ({"units": ("mK",)}, "<UnitType>K</UnitType>"),
        ({"units": ("K",)}, "<UnitType></UnitType>"),
        ({"units": ("K",), "nodata": 0, "scales": (0.1,)}, ""),
    ],
)
def test_the_file_beside_wins_as_in_gdal(tmp_path: Path, tags: dict[str, Any], beside: str) -> None:
    """Read as it is, and band by band by GDAL."""
    values = np.full((3, 4), 300, np.int16)
    values[0, :2] = 0, -9999
    path = gdal(tmp_path / "p.tif", values, tags)
    band = f'<PAMRasterBand band="2"><UnitType>degF</UnitType></PAMRasterBand><PAMRasterBand band="1">{beside}'
    (tmp_path / "p.tif.aux.xml").write_text(f"<PAMDataset>{band}</PAMRasterBand></PAMDataset>")
    with rasterio.open(path) as file:
        said = (file.nodata, file.scales[0], file.offsets[0], name_unit(file.units[0] or ""))
    facts = read_facts(path)
    assert (facts.nodata, facts.scale, facts.offset, facts.unit) == said
    one = Wanted(bands=Bands(thermal=1))
    plain, chosen = read_thermal_counts(path), read_thermal_counts(path, one)
    np.testing.assert_array_equal(np.ma.getmaskarray(plain), np.ma.getmaskarray(chosen))
    np.testing.assert_allclose(plain, chosen)
    assert thermal_unit(path) == thermal_unit(path, one) == said[3]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_text("<GDAL_WMS></GDAL_WMS>"), "not a PNG, JPEG, TIFF or BMP image"),
        (lambda p: Image.new("L", (5, 4)).save(p, "PNG"), "not a TIFF of one 8-bit mask; remove it"),
        (lambda p: Image.new("RGB", (5, 4)).save(p, "TIFF"), "not a TIFF of one 8-bit mask; remove it"),
        (lambda p: Image.new("L", (4, 5)).save(p, "TIFF"), "is 5x4 .* is 4x5; write both again"),
    ],
)
def test_what_is_no_mask_beside_a_file(tmp_path: Path, make: Any, words: str) -> None:
    path = tmp_path / "a.tif"
    Image.new("L", (5, 4)).save(path)
    make(tmp_path / "a.tif.msk")
    with pytest.raises(DataError, match=words) as caught:
        read_thermal_counts(path)
    assert str(caught.value).startswith(str(tmp_path / "a.tif.msk"))


@pytest.mark.parametrize("suffix", [".ovr", ".msk", ".msk.ovr", ".aux.xml"])
def test_bands_open_nothing_else_beside_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((5, 4, 4), np.uint8))
    assert read_rgb(path, Bands((3, 2, 1))).shape == (5, 4, 3)
    text = (
        '<PAMDataset><Metadata><MDI key="OVERVIEW_FILE">/vsicurl/http://127.0.0.1:9/o.tif</MDI></Metadata></PAMDataset>'
    )
    (tmp_path / f"a.tif{suffix}").write_text(text)
    with pytest.raises(DataError, match=r"(lies beside a\.tif and is not a GeoTIFF|names another file)"):
        read_rgb(path, Bands((3, 2, 1)))


@quick
@given(
    seeds, sizes, st.sampled_from(["uint8", "uint16", "int16"]), st.floats(0.001, 100), st.floats(-500, 500),
    st.sampled_from(["", "degC", "K", "°F", "furlongs"]),
)  # fmt: skip
def test_scale_offset_and_unit(
    tmp_path: Path, seed: int, size: Any, dtype: str, scale: float, offset: float, unit: str
) -> None:
    MADE["scale and offset"] += 1
    MADE["units"] += 1
    values = integers(seed, size, dtype)
    tags = {"scales": (scale,), "offsets": (offset,), "units": (unit,)} if unit else {}
    path = gdal(tmp_path / "s.tif", values, {"scales": (scale,), "offsets": (offset,), **tags})
    with rasterio.open(path) as file:
        meant = file.read(1).astype(np.float64) * file.scales[0] + file.offsets[0]
    found = read_thermal_counts(path)
    assert found.dtype == (np.float32 if (scale, offset) != (1, 0) else values.dtype)
    np.testing.assert_allclose(found, meant, rtol=1e-5, atol=1e-3)
    facts = read_facts(path)
    assert facts.unit == {"degC": "celsius", "K": "kelvin", "°F": "fahrenheit"}.get(unit)
    if unit == "furlongs":
        with pytest.raises(DataError, match=r"s\.tif: states the unit 'furlongs', .*where kelvin is expected"):
            read_thermal_counts(path, Wanted("kelvin"))
        return
    kelvin = read_thermal_counts(path, Wanted("kelvin"))
    expected = {"degC": meant + 273.15, "°F": (meant + 459.67) * 5 / 9}.get(unit, meant)
    np.testing.assert_allclose(kelvin, expected, rtol=1e-5, atol=1e-3)
    for read in (read_rgb, read_label):
        with pytest.raises(DataError, match=r"scale .* and offset|one-channel image"):
            read(path)


@quick
@given(seeds, sizes, st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_units_there_and_back(tmp_path: Path, seed: int, size: Any, source: str, target: str) -> None:
    """A data set declares the unit; the checkpoint wants another."""
    MADE["units"] += 1
    path, values = tmp_path / "u.npy", celsius(seed, size) + 300
    np.save(path, values)
    factor, zero = UNITS[source]
    wanted, offset = UNITS[target]
    found = read_thermal_counts(path, Wanted(target, declared=source))
    np.testing.assert_allclose(found, (values.astype(float) * factor + zero - offset) / wanted, rtol=1e-4, atol=0.01)
    rounded = read_thermal_counts(path, Wanted("centikelvin", "uint16", "celsius"))
    assert rounded.dtype == np.uint16
    np.testing.assert_allclose(rounded, (values + 273.15) * 100, atol=1)


SPELLINGS = {
    "celsius": ("°C", "deg C", "Degrees Celsius", "celsius", "℃"),
    "kelvin": ("K", "Kelvin", "°K"),
    "fahrenheit": ("degF", "°F", "℉"),
    "centikelvin": ("cK", "centi-kelvin", "K*100", "K/100", "0.01 K", "kelvin*100"),
    "decicelsius": ("degC*10",),
    "centicelsius": ("centidegrees Celsius",),
    None: ("m", "", "mK", "W/(m2 sr)", "cC"),
}


@pytest.mark.parametrize(("text", "unit"), [(text, unit) for unit, texts in SPELLINGS.items() for text in texts])
def test_spellings_of_units(text: str, unit: str | None) -> None:
    assert name_unit(text) == unit


@pytest.mark.parametrize(
    "wanted", [Wanted("celsius"), Wanted(declared="centikelvin"), Wanted("kelvin", "float32", "kelvin")]
)
@pytest.mark.parametrize("bands", [None, Bands(thermal=1)])
def test_a_unit_that_is_not_known_is_not_overridden(tmp_path: Path, wanted: Wanted, bands: Bands | None) -> None:
    values = np.full((3, 4), 29315, np.uint16)
    path = gdal(tmp_path / "u.tif", values, {"units": ("mK",)})
    with pytest.raises(DataError, match=r"u\.tif: states the unit 'mK', which is not known, where .*gdal_edit\.py"):
        read_thermal_counts(path, replace(wanted, bands=bands))
    with pytest.warns(DataWarning, match=f"{tmp_path}: a file there states the unit 'mK'"):
        np.testing.assert_array_equal(read_thermal_counts(path, Wanted(bands=bands)), values)


@pytest.mark.parametrize("unit", ["DN", "counts", "metre"])
def test_a_unit_of_counts_leaves_the_temperature_open(tmp_path: Path, unit: str) -> None:
    """ "metre" is what GDAL gives where the reference system has heights."""
    path = gdal(tmp_path / "u.tif", np.full((3, 4), 29315, np.uint16), {"units": (unit,)})
    assert read_thermal_counts(path, Wanted("celsius", None, "centikelvin"))[0, 0] == pytest.approx(20)


@quick
@given(seeds, sizes, st.sampled_from([0.04, 0.4, 0.01, 0.1, 0.0]))
def test_tlinear(tmp_path: Path, seed: int, size: Any, gain: float) -> None:
    MADE["units"] += 1
    path = tmp_path / "t.tif"
    counts = np.random.default_rng(seed).integers(700, 8000, size, dtype=np.uint16)
    xmp = f'<rdf:Description xmlns:Camera="x"><Camera:TlinearGain>{gain}</Camera:TlinearGain></rdf:Description>'
    tifffile.imwrite(path, counts, extratags=[(700, 1, None, xmp.encode(), True)])
    found = read_thermal_counts(path, Wanted("kelvin"))
    np.testing.assert_allclose(found, counts * (gain or 1.0), rtol=1e-5)


ORIENTED = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
    5: np.transpose, 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90,
}  # fmt: skip
"""How an image is to be seen, by EXIF's definition of the tag: e.g. 6, row 0 is the right side, column 0 the top."""


@quick
@given(seeds, sizes, st.sampled_from(sorted(ORIENTED)), st.sampled_from(["PNG", "WEBP"]))
def test_orientation(tmp_path: Path, seed: int, size: Any, tag: int, form: str) -> None:
    MADE["orientation"] += 1
    path, values = tmp_path / f"o.{form.lower()}", integers(seed, size, "uint8", 3)
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(values).save(path, exif=exif, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    seen = np.dstack([ORIENTED[tag](values[..., k]) for k in range(3)])
    np.testing.assert_array_equal(read_rgb(path), seen)
    facts = read_facts(path)
    assert (facts.orientation, facts.height, facts.width) == (tag, *seen.shape[:2])
    np.testing.assert_array_equal(turned(values[..., 0], tag), seen[..., 0])


@settings(quick, max_examples=16)
@given(seeds, st.sampled_from(sorted(ORIENTED)))
def test_orientation_of_a_flir_file(tmp_path: Path, seed: int, tag: int) -> None:
    """The temperatures are turned like the picture."""
    pytest.importorskip("flyr")
    MADE["orientation"] += 1
    kelvin = np.random.default_rng(seed).uniform(270, 330, (12, 20))
    path = flir.write_flir(tmp_path / "f.jpg", flir.to_raw(kelvin))
    exif = Image.Exif()
    exif[0x0112] = tag
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG", exif=exif)
    block = stream.getvalue()
    start = block.index(b"\xff\xe1")
    segment = block[start : start + 2 + struct.unpack(">H", block[start + 2 : start + 4])[0]]
    data = path.read_bytes()
    path.write_bytes(data[:2] + segment + data[2:])
    np.testing.assert_allclose(read_thermal_counts(path), ORIENTED[tag](kelvin), atol=0.05)


@quick
@given(seeds, sizes, st.permutations(["red", "green", "blue"]))
def test_colour_interpretation(tmp_path: Path, seed: int, size: Any, order: list[str]) -> None:
    MADE["colour interpretation"] += 1
    values = integers(seed, size, "uint8", 3)
    items = "".join(
        f'<Item name="COLORINTERP" sample="{k}" role="colorinterp">{name.capitalize()}</Item>'
        for k, name in enumerate(order)
    )
    text = f"<GDALMetadata>{items}</GDALMetadata>"
    path = tmp_path / "c.tif"
    tifffile.imwrite(path, values, photometric="rgb", extratags=[(42112, 2, None, text, True)], metadata=None)
    with rasterio.open(path) as file:
        assert [kind.name for kind in file.colorinterp] == list(order)
    expected = values[..., [order.index(name) for name in ("red", "green", "blue")]]
    np.testing.assert_array_equal(read_rgb(path), expected)


@quick
@given(seeds, sizes, st.integers(3, 7), st.sampled_from(["uint8", "uint16", "float32"]), st.randoms())
def test_bands_that_are_chosen(tmp_path: Path, seed: int, size: Any, count: int, dtype: str, random: Any) -> None:
    MADE["bands"] += 1
    values = integers(seed, size, "uint8", count).astype(dtype)
    path = gdal(tmp_path / "b.tif", values, photometric="minisblack")
    numbers = tuple(random.sample(range(1, count + 1), 3))
    ends = (0.0, 255.0) if dtype != "uint8" else None
    found = read_rgb(path, Bands(numbers, None, ends))
    np.testing.assert_array_equal(found, values[..., [n - 1 for n in numbers]].astype(np.uint8))
    heat = read_thermal_counts(path, Wanted(bands=Bands(thermal=count)))
    np.testing.assert_array_equal(heat, values[..., count - 1])
    with pytest.raises(DataError, match=rf"b\.tif: .*{count} bands.*--rgb-bands"):
        read_rgb(path)


@quick
@given(seeds, sizes, st.sampled_from([10, 12, 14, 16]), st.sampled_from(["png", "tif"]))
def test_deep_colours_are_named_by_the_bits_in_use(tmp_path: Path, seed: int, size: Any, bits: int, ext: str) -> None:
    MADE["bit depth"] += 1
    values = np.random.default_rng(seed).integers(0, 2**bits, (*size, 3), dtype=np.uint16)
    values[0, 0] = 2**bits - 1
    path = tmp_path / f"d.{ext}"
    if ext == "tif":
        tifffile.imwrite(path, values, photometric="rgb")
    else:
        cv2 = pytest.importorskip("cv2")
        cv2.imwrite(str(path), values)
    named = f"{bits} bits in 16" if bits < 16 else "16 bits"
    with pytest.raises(DataError, match=rf"RGB values of {named}, expected 8; .*rgb_range: \[0, {2**bits - 1}\]"):
        read_rgb(path)
    top = 2**bits - 1
    stored = values if ext == "tif" else values[..., ::-1]  # OpenCV writes blue first
    np.testing.assert_array_equal(
        read_rgb(path, Bands(rgb_range=(0, top))), np.rint(stored.astype(np.float32) * (255 / top)).astype(np.uint8)
    )


@quick
@given(seeds, sizes, st.integers(2, 6), st.sampled_from(["uint8", "uint16", "float32"]))
def test_pages(tmp_path: Path, seed: int, size: Any, count: int, dtype: str) -> None:
    MADE["pages"] += 1
    path = tmp_path / "p.tif"
    pages = np.stack([integers(seed + k, size, "uint8").astype(dtype) for k in range(count)])
    tifffile.imwrite(path, pages, photometric="minisblack", metadata=None)
    assert read_facts(path).pages == len(tifffile.TiffFile(path).pages) == count
    with pytest.raises(DataError, match=rf"p\.tif: {count} pages"):
        read_thermal_counts(path)


def test_overviews_are_no_pages(tmp_path: Path) -> None:
    values = integers(0, (256, 256), "uint16")
    path = gdal(tmp_path / "o.tif", values, tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    assert len(tifffile.TiffFile(path).pages) == 3
    np.testing.assert_array_equal(read_thermal_counts(path), values)


@quick
@given(seeds, sizes, st.sampled_from(["unspecified", "assocalpha", "unassalpha"]))
def test_opacity(tmp_path: Path, seed: int, size: Any, kind: str) -> None:
    MADE["opacity"] += 1
    path, values = tmp_path / "a.tif", integers(seed, size, "uint8", 4)
    values[0, 0, 3] = 7
    tifffile.imwrite(path, values, photometric="rgb", extrasamples=[kind])
    bands = Bands((1, 2, 3), 4)
    if kind == "unassalpha":
        rgb, thermal = read_rgbt(path)
        np.testing.assert_array_equal(np.dstack([rgb, thermal]), values)
    else:
        with pytest.raises(DataError, match=r"choose bands|associated opacity"):
            read_rgbt(path)
    np.testing.assert_array_equal(read_rgb(path, bands), values[..., :3])
    np.testing.assert_array_equal(read_thermal_counts(path, Wanted(bands=bands)), values[..., 3])


@quick
@given(seeds, sizes)
def test_grey_with_opacity(tmp_path: Path, seed: int, size: Any) -> None:
    MADE["opacity"] += 1
    path, values = tmp_path / "la.png", integers(seed, size, "uint8", 2)
    values[..., 1] = np.where(values[..., 1] > 100, 255, 0)
    Image.fromarray(values, "LA").save(path)
    found = read_thermal_counts(path)
    hole = values[..., 1] == 0
    np.testing.assert_array_equal(np.ma.getmaskarray(found), hole)
    np.testing.assert_array_equal(np.ma.getdata(found)[~hole], values[..., 0][~hole])


@quick
@given(seeds, sizes, st.floats(0, 0.2))
def test_values_that_are_not_finite(tmp_path: Path, seed: int, size: Any, share: float) -> None:
    MADE["not finite"] += 1
    values = celsius(seed, size)
    bad = np.random.default_rng(seed).random(size) < share
    holed = np.where(bad, np.float32(np.nan), values)
    path = tmp_path / "n.tif"
    tifffile.imwrite(path, holed)
    if bad.mean() > 0.05:
        with pytest.raises(DataError, match=rf"n\.tif: {bad.sum():,} of {bad.size:,} thermal values are not finite"):
            read_thermal_counts(path)
        declared = gdal(tmp_path / "d.tif", holed, nodata=float("nan"))
        np.testing.assert_array_equal(np.ma.getmaskarray(read_thermal_counts(declared)), bad)
        return
    found = read_thermal_counts(path)
    np.testing.assert_array_equal(found[~bad], values[~bad])
    assert np.isfinite(found).all()


@quick
@given(seeds, sizes, st.sampled_from(["webp", "jp2", "jfif", "avif"]))
def test_kinds_that_pillow_reads(tmp_path: Path, seed: int, size: Any, ext: str) -> None:
    MADE["kinds of file"] += 1
    path = tmp_path / f"k.{ext}"
    values = np.full((*size, 3), np.random.default_rng(seed).integers(20, 230, 3), np.uint8)
    options: dict[str, Any] = {"webp": {"lossless": True}, "jfif": {"format": "JPEG", "quality": 98}}.get(ext, {})
    try:
        Image.fromarray(values).save(path, **options)
    except (KeyError, OSError, ValueError) as error:
        pytest.skip(f"not written here: {error}")
    assert np.abs(read_rgb(path).astype(int) - values).max() <= (0 if ext in ("webp", "jp2") else 8)
    if ext != "webp":
        with pytest.raises(DataError, match="class ids"):
            read_label(path)


def test_images_of_other_kinds_are_named(tmp_path: Path) -> None:
    from cimnet.data.io.patterns import images_below
    from cimnet.data.io.split_lists import index_images

    for name in ("a.png", "b.heic", "c.DNG", "d.txt", ".e.gif"):
        (tmp_path / name).write_bytes(b"")
    for read in (index_images, lambda folder: list(images_below(folder, nested=True))):
        from cimnet.data.io import notices

        notices._given.clear()
        with pytest.warns(DataWarning, match=r"2 images are of a kind that is not read: b\.heic, c\.DNG; convert"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("start", "words"),
    [(b"\0\0\0\x18ftypheic", "a HEIC image"), (b"GIF89a", "a GIF image"), (b"FFF\0CAM", "a FLIR sequence")],
)
def test_files_of_other_kinds_are_refused_by_name(tmp_path: Path, start: bytes, words: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(start + bytes(50))
    with pytest.raises(DataError, match=rf"x\.png: {words}"):
        read_rgb(path)


KINDS: dict[str, tuple[Any, str]] = {
    "LERC": (lambda p: gdal(p, celsius(0, (9, 9)), compress="lerc"), "LERC compression.*COMPRESS=DEFLATE"),
    "float16": (lambda p: gdal(p, celsius(0, (9, 9)), nbits=16), "16-bit floats.*-ot Float32"),
    "opacity": (
        lambda p: gdal(p, np.dstack([celsius(0, (9, 9))] * 2), alpha="yes"), "2 bands.*--thermal-band",
    ),
    "six bands": (lambda p: gdal(p, integers(0, (9, 9), "uint16", 6)), "6 bands.*--thermal-band"),
    "float RGB": (
        lambda p: tifffile.imwrite(p, np.ones((9, 9, 3), np.float32), photometric="rgb"), "32-bit floats, 3 bands, RGB",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_tiff_is_not_called_damaged(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "k.tif"
    make, words = KINDS[kind]
    make(path)
    with pytest.raises(DataError, match=words) as caught:
        read_thermal_counts(path)
    assert "damaged" not in str(caught.value)
