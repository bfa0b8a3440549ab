"""Rasters and videos that send requests: nothing goes out, each file is refused by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")

from cimnet.deploy.geo import predict_geotiff
from cimnet.errors import CimnetError, ConfigError, DataError
from tests.deploy.geo.conftest import PLACE, UTM, arrays, content, make_predictor, write
from tests.faults.attacks.bounds import bounded
from tests.faults.attacks.outside import Outside, outside, watch_native

RGB, THERMAL = arrays()
CLOUD = {"AWS_NO_SIGN_REQUEST": "YES", "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    with outside(tmp_path) as server:
        for name, value in {**CLOUD, "AWS_S3_ENDPOINT": server.address}.items():
            monkeypatch.setenv(name, value)
        yield server


def vrt(source: str, relative: int = 0, bands: int = 1, more: str = "") -> str:
    """A VRT of bands of one file."""
    return (
        f'<VRTDataset rasterXSize="120" rasterYSize="80"><SRS>{UTM}</SRS>'
        f"<GeoTransform>{PLACE.c}, {PLACE.a}, 0, {PLACE.f}, 0, {PLACE.e}</GeoTransform>{more}"
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename relativeToVRT="{relative}">'
            f"{source}</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
            for band in range(1, bands + 1)
        )
        + "</VRTDataset>"
    )


def _wms(server: Outside) -> str:
    return (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>http://{server.address}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>'
        "<DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>64</UpperLeftY><LowerRightX>64</LowerRightX>"
        "<LowerRightY>0</LowerRightY><SizeX>64</SizeX><SizeY>64</SizeY><TileLevel>0</TileLevel></DataWindow>"
        f"<Projection>{UTM}</Projection><BlockSizeX>64</BlockSizeX><BlockSizeY>64</BlockSizeY>"
        "<BandsCount>1</BandsCount></GDAL_WMS>"
    )


def _wcs(server: Outside) -> str:
    return f"<WCS_GDAL><ServiceURL>http://{server.address}/wcs?</ServiceURL><CoverageName>a</CoverageName></WCS_GDAL>"


TEXTS = {
    "vrt of vsicurl": lambda s: vrt(f"/vsicurl/http://{s.address}/a.tif"),
    "vrt of vsicurl_streaming": lambda s: vrt(f"/vsicurl_streaming/http://{s.address}/a.tif"),
    "vrt of http": lambda s: vrt(f"http://{s.address}/a.tif"),
    "vrt of https": lambda s: vrt(f"https://{s.address}/a.tif"),
    "vrt of a zip behind vsicurl": lambda s: vrt(f"/vsizip//vsicurl/http://{s.address}/a.zip/a.tif"),
    "vrt of vsis3": lambda s: vrt("/vsis3/bucket/a.tif"),
    "vrt of a connection string": lambda s: vrt(f"vrt:///vsicurl/http://{s.address}/a.tif"),
    "vrt of a service": lambda s: vrt(f"WCS:http://{s.address}/wcs?coverage=a"),
    "vrt in a vrt": lambda s: vrt(vrt(f"/vsicurl/http://{s.address}/a.tif").replace("<", "&lt;")),
    "vrt in small letters": lambda s: vrt(f"/vsicurl/http://{s.address}/a.tif").replace("SourceF", "sourcef"),
    "WMS": _wms,
    "WCS": _wcs,
}


@pytest.mark.parametrize("ending", ["tif", "vrt"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_raster_that_names_an_address(name: str, ending: str, server: Outside, tmp_path: Path) -> None:
    evil = tmp_path / f"thermal.{ending}"
    evil.write_text(TEXTS[name](server))
    good = write(tmp_path / "rgb.tif", RGB)
    with bounded(5), pytest.raises(DataError, match=rf"thermal\.{ending}") as caught:
        predict_geotiff(make_predictor(), good, evil, tmp_path / "out.tif")
    assert "\n" not in str(caught.value)
    assert server.connections == 0
    assert not (tmp_path / "out.tif").exists()


def test_the_server_counts(server: Outside, tmp_path: Path) -> None:
    """Without the defence the same files do reach it."""
    evil = tmp_path / "thermal.vrt"
    evil.write_text(TEXTS["vrt of http"](server))
    code = f"import rasterio; rasterio.open({str(evil)!r}).read(1)"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert server.connections > 0


@pytest.mark.parametrize("suffix", [".ovr", ".msk"])
def test_a_file_beside_a_raster_that_names_an_address(suffix: str, server: Outside, tmp_path: Path) -> None:
    good, thermal = write(tmp_path / "rgb.tif", RGB), write(tmp_path / "thermal.tif", THERMAL)
    thermal.with_name(f"thermal.tif{suffix}").write_text(_wms(server))
    with pytest.raises(DataError, match=r"lies beside thermal\.tif and is not a GeoTIFF"):
        predict_geotiff(make_predictor(), good, thermal, tmp_path / "out.tif")
    assert server.connections == 0


def test_overviews_behind_an_address_are_not_fetched(server: Outside, tmp_path: Path) -> None:
    good, thermal = write(tmp_path / "rgb.tif", RGB), write(tmp_path / "thermal.tif", THERMAL)
    thermal.with_name("thermal.tif.aux.xml").write_text(
        f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/http://{server.address}/o.tif</MDI>'
        "</Metadata></PAMDataset>"
    )
    predict_geotiff(make_predictor(), good, thermal, tmp_path / "out.tif")
    assert server.connections == 0


def test_what_the_check_overlooks_has_no_network(
    server: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cimnet.deploy.geo.rasters.raster_files", lambda path: [path])
    monkeypatch.setattr("cimnet.deploy.geo.outputs.raster_files", lambda path: [path])
    good = write(tmp_path / "rgb.tif", RGB)
    for name, text in TEXTS.items():
        evil = tmp_path / f"{len(name)}{name[-2:]}.vrt"
        evil.write_text(text(server))
        with pytest.raises(CimnetError):
            predict_geotiff(make_predictor(), good, evil, tmp_path / "out.tif")
    assert server.connections == 0


def test_nobody_is_asked_for_a_name(tmp_path: Path) -> None:
    """Neither by Python nor by C: the process has a resolver and a `connect` that write down what they are asked."""
    environment, log = watch_native(tmp_path)
    good = write(tmp_path / "rgb.tif", RGB)
    for k, source in enumerate(("/vsicurl/http://cimnet.invalid/a.tif", "https://cimnet.invalid/b.tif")):
        (tmp_path / f"evil{k}.vrt").write_text(vrt(source))
    code = """
import sys
from pathlib import Path
from cimnet.errors import CimnetError
import cimnet.deploy.geo.outputs as module
from cimnet.deploy.geo import predict_geotiff
from tests.deploy.geo.conftest import make_predictor
import cimnet.deploy.geo.rasters as rasters
folder = Path(sys.argv[1])
for check in (module.raster_files, lambda path: [path]):
    module.raster_files = rasters.raster_files = check
    for evil in sorted(folder.glob("evil*.vrt")):
        try:
            predict_geotiff(make_predictor(), folder / "rgb.tif", evil, folder / "out.tif")
        except CimnetError as error:
            print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("evil") >= 4
    assert not log.exists(), log.read_text()
    ask = f"import rasterio; rasterio.open({str(tmp_path / 'evil1.vrt')!r}).read(1)"
    subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, check=False)
    assert "cimnet.invalid" in log.read_text(), "the watch itself does not work"
    assert good.exists()


def test_a_file_whose_name_is_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Outside) -> None:
    monkeypatch.chdir(tmp_path)
    name = Path(f"http:{server.address.replace(':', '_')}.tif")
    write(tmp_path / "rgb.tif", RGB)
    shutil.copy(write(tmp_path / "thermal.tif", THERMAL), name)
    predict_geotiff(make_predictor(), Path("rgb.tif"), name, Path("out.tif"))
    assert server.connections == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (vrt("gone.tif", relative=1), "gone.tif, which .*thermal.vrt names, cannot be read"),
        (vrt("/dev/zero"), "is not a file"),
        (vrt("thermal.txt", relative=1), "not a GeoTIFF, nor a VRT"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + vrt("a.tif"), "not a GeoTIFF|entities"),
        (vrt("a.tif").replace("</VRTDataset>", ""), "damaged VRT"),
        (vrt("a.tif").replace("<VRTRasterBand", '<VRTRasterBand subClass="VRTRawRasterBand"'), "VRTRawRasterBand"),
        (vrt("a.tif", more="<PixelFunctionLanguage>Python</PixelFunctionLanguage>"), "Python code"),
        ("<VRTDataset>" + "<a>" * 200_000, "thermal.vrt"),
    ],
)
def test_a_vrt_that_is_refused(text: str, says: str, tmp_path: Path) -> None:
    good = write(tmp_path / "rgb.tif", RGB)
    (tmp_path / "thermal.txt").write_text("secret")
    (tmp_path / "thermal.vrt").write_text(text)
    with bounded(5), pytest.raises(DataError, match=says):
        predict_geotiff(make_predictor(), good, tmp_path / "thermal.vrt", tmp_path / "out.tif")


def test_a_vrt_of_itself_and_of_too_many_levels(tmp_path: Path) -> None:
    good = write(tmp_path / "rgb.tif", RGB)
    (tmp_path / "loop.vrt").write_text(vrt("loop.vrt", relative=1))
    with pytest.raises(DataError):
        predict_geotiff(make_predictor(), good, tmp_path / "loop.vrt", tmp_path / "out.tif")
    for level in range(10):
        (tmp_path / f"{level}.vrt").write_text(vrt(f"{level + 1}.vrt", relative=1))
    with pytest.raises(DataError, match="8 levels"):
        predict_geotiff(make_predictor(), good, tmp_path / "0.vrt", tmp_path / "out.tif")


def _mosaic(folder: Path) -> tuple[Path, Path, Path]:
    """A VRT of VRTs of GeoTIFFs for RGB, its part, and a thermal raster."""
    part = write(folder / "mosaic_part.tif", RGB)
    (folder / "inner.vrt").write_text(vrt("mosaic_part.tif", relative=1, bands=3))
    (folder / "rgb.vrt").write_text(vrt(str(folder / "inner.vrt"), bands=3))
    return folder / "rgb.vrt", part, write(folder / "thermal.tif", THERMAL)


def test_a_sound_vrt_is_read(tmp_path: Path) -> None:
    rgb, part, thermal = _mosaic(tmp_path)
    predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif")
    predict_geotiff(make_predictor(), part, thermal, tmp_path / "plain.tif")
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), content(tmp_path / "plain.tif"))


@pytest.mark.parametrize("how", ["path", "hard link", "symbolic link", "inner"])
def test_a_source_of_a_vrt_is_not_overwritten(how: str, tmp_path: Path) -> None:
    rgb, part, thermal = _mosaic(tmp_path)
    out = part
    if how == "hard link":
        out = tmp_path / "other.tif"
        os.link(part, out)
    elif how == "symbolic link":
        out = tmp_path / "other.tif"
        out.symlink_to(part)
    elif how == "inner":
        out = tmp_path / "inner.tif"
        shutil.copy(tmp_path / "inner.vrt", out)
        (tmp_path / "rgb.vrt").write_text(vrt(str(out), bands=3))
    before = out.read_bytes()
    with pytest.raises(ConfigError, match="is also an input"):
        predict_geotiff(make_predictor(), rgb, thermal, out, overwrite=True)
    assert out.read_bytes() == before


def test_a_mask_and_a_table_of_a_raster_are_not_overwritten(tmp_path: Path) -> None:
    rgb, part, thermal = _mosaic(tmp_path)
    write(tmp_path / "mosaic_part.tif.msk", np.full((80, 120), 255, np.uint8))
    for name in ("mosaic_part.tif.msk", "rgb.vrt", "thermal.tif"):
        with pytest.raises(ConfigError, match=r"is also an input|names of their own"):
            predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif", areas=tmp_path / name, overwrite=True)
    assert part.exists()


PAM = "<PAMDataset>\n  <PAMRasterBand band='1'>{}</PAMRasterBand>\n</PAMDataset>"


@pytest.mark.parametrize("suffix", [".tif.msk", ".tif.aux.xml", ".tfw", ".vrt"])
def test_a_changed_file_beside_a_raster_is_another_task(tmp_path: Path, suffix: str) -> None:
    """Of a source of a VRT: each of them changes what is read."""
    rgb, _, thermal = _mosaic(tmp_path)
    beside = tmp_path / ("inner.vrt" if suffix == ".vrt" else f"mosaic_part{suffix}")
    if suffix == ".tif.msk":
        write(beside, np.full((80, 120), 255, np.uint8))
    elif suffix != ".vrt":
        beside.write_text({".tfw": "0.5\n0\n0\n-0.5\n0\n0\n"}.get(suffix, PAM.format("<NoDataValue>7</NoDataValue>")))

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif", progress=stop)
    content_ = beside.read_bytes()
    beside.write_bytes(content_.replace(b"7", b"8") if suffix == ".tif.aux.xml" else content_ + b"\n")
    with pytest.raises(CimnetError, match="settings: RGB sources"):
        predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif")


@pytest.mark.parametrize("more", ["", "<NoDataValue>7</NoDataValue>"])
def test_statistics_beside_a_raster_change_no_task(tmp_path: Path, more: str) -> None:
    """QGIS writes them when it shows a raster, which may be after the run began."""
    rgb, _, thermal = _mosaic(tmp_path)
    beside = tmp_path / "mosaic_part.tif.aux.xml"
    if more:
        beside.write_text(PAM.format(more))

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif", progress=stop)
    counted = "<Histograms><HistItem/></Histograms><Metadata><MDI key='STATISTICS_MEAN'>124.5</MDI>\n</Metadata>"
    beside.write_text(PAM.format(more + counted))
    begun: list[int] = []
    predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif", progress=lambda done, _: begun.append(done))
    assert begun[0] > 1


def test_a_changed_source_of_a_vrt_is_another_task(tmp_path: Path) -> None:
    rgb, part, thermal = _mosaic(tmp_path)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif", progress=stop)
    write(part, 255 - RGB)
    with pytest.raises(CimnetError, match="settings: RGB sources"):
        predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif")
    predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif", overwrite=True)
    predict_geotiff(make_predictor(), part, thermal, tmp_path / "plain.tif")
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), content(tmp_path / "plain.tif"))
