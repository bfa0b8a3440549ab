"""GDAL in a process of `cimnet`: no network, and no driver outside of the list, whoever opens what."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")

import rasterio

from cimnet.data.io.bands import read_bands
from cimnet.data.io.local_rasters import raster_files
from cimnet.errors import DataError
from cimnet.utils.gdal import DRIVERS
from tests.deploy.geo.conftest import arrays, write
from tests.faults.attacks.outside import Outside, outside, watch_native
from tests.faults.attacks.test_rasters import THERMAL, _wms, vrt

_LIMITED = """
import sys
from cimnet.utils.gdal import limit_process, offline
if {limited}:
    limit_process()
import rasterio
with offline():
    pass
with rasterio.Env() as environment:
    print(*sorted(environment.drivers()), sep="\\n")
for path in sys.argv[1:]:
    try:
        with rasterio.open(path) as raster:
            raster.read(1)
        print("opened", path)
    except rasterio.errors.RasterioError as error:
        print("refused", error)
"""


def run(code: str, *arguments: object, env: dict[str, str] | None = None) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_drivers_outside_of_the_list_are_gone(tmp_path: Path) -> None:
    """Also for code that knows nothing of this: `rasterio.open` without a word about drivers."""
    grid = tmp_path / "a.asc"
    grid.write_text("ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n3 4\n")
    tiff = write(tmp_path / "a.tif", arrays()[1])
    said = run(_LIMITED.format(limited=True), grid, tiff).splitlines()
    assert {"GTiff", "VRT", "MEM"} <= set(said[: said.index(next(line for line in said if "a.asc" in line))]) <= DRIVERS
    assert [line.split()[0] for line in said[-2:]] == ["refused", "opened"]
    assert f"opened {grid}" in run(_LIMITED.format(limited=False), grid), "the attack itself does not work"


def test_the_command_line_limits_its_process_and_those_that_it_starts(tmp_path: Path) -> None:
    code = """
import subprocess, sys
sys.argv = ["cimnet", "list-models"]
from cimnet.cli.main import main
try:
    main()
except SystemExit:
    pass
import rasterio
from cimnet.utils.gdal import offline
with offline():
    pass
with rasterio.Env() as environment:
    print("here", *environment.drivers(), sep=",")
child = "from cimnet.utils.gdal import offline; import rasterio\\nwith offline(): print('there',"
child += " *rasterio.Env().drivers(), sep=',')"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout)
"""
    lines = [line.split(",") for line in run(code).splitlines()]
    for place in ("here", "there"):
        drivers = next(line[1:] for line in lines if line[0] == place)
        assert "GTiff" in drivers
        assert set(drivers) <= DRIVERS


def test_the_command_writes_rasters_and_polygons_without_the_other_drivers(trained, tmp_path: Path) -> None:
    pytest.importorskip("pyogrio")
    rgb, thermal = arrays()
    write(tmp_path / "rgb.tif", rgb, compress="jpeg", tiled=True, blockxsize=64, blockysize=64)
    write(tmp_path / "thermal.tif", thermal, crs="EPSG:32634")  # another grid: warped
    code = "import sys; from cimnet.cli.main import main; main()"
    options = ["--window", 64, "--device", "cpu", "--polygons", tmp_path / "p.gpkg", "--areas", tmp_path / "a.csv"]
    files = ["--rgb", tmp_path / "rgb.tif", "--thermal", tmp_path / "rgb.tif", "--thermal-band", 2]
    said = run(code, "geo", trained.folder, *files, "--out", tmp_path / "out.tif", *options)
    assert "polygons: " in said
    with rasterio.open(tmp_path / "out.tif") as out:
        assert out.shape == (80, 120)


@pytest.fixture
def server(tmp_path: Path):
    with outside(tmp_path) as server:
        yield server


@pytest.mark.parametrize("form", ["tif", "png", "jpg"])
@pytest.mark.parametrize("suffix", [".msk", ".ovr"])
def test_a_file_beside_an_image_of_which_bands_are_chosen(
    server: Outside, tmp_path: Path, form: str, suffix: str
) -> None:
    image = tmp_path / f"a.{form}"
    driver = {"tif": "GTiff", "png": "PNG", "jpg": "JPEG"}[form]
    with rasterio.open(image, "w", driver=driver, width=64, height=64, count=3, dtype="uint8") as file:
        file.write(np.zeros((3, 64, 64), np.uint8))
    read_bands(image, (1, 2))
    image.with_name(f"a.{form}{suffix}").write_text(_wms(server))
    with pytest.raises(DataError, match=rf"lies beside a\.{form} and is not a GeoTIFF"):
        read_bands(image, (1, 2))
    assert server.connections == 0


def test_what_the_check_of_bands_overlooks_has_no_network(
    server: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cimnet.data.io.bands.gdal_side_files", lambda path: [])
    image = write(tmp_path / "a.tif", THERMAL)
    image.with_name("a.tif.ovr").write_text(vrt(f"/vsicurl/http://{server.address}/a.tif"))
    code = f"import rasterio; rasterio.open({str(image)!r}).overviews(1)"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    counted = server.connections
    assert counted > 0, "the attack itself does not work"
    true = rasterio.open

    def look(*arguments: object, **options: object) -> object:
        raster = true(*arguments, **options)
        raster.overviews(1)
        return raster

    monkeypatch.setattr(rasterio, "open", look)
    np.testing.assert_array_equal(read_bands(image, (1,)).values[0], THERMAL)
    assert server.connections == counted


def test_bands_of_a_file_whose_name_is_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.tif", THERMAL).rename(tmp_path / "http:a.tif")
    np.testing.assert_array_equal(read_bands(Path("http:a.tif"), (1,)).values[0], THERMAL)


NAMED = {
    "longitudes": '<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">{}</MDI></Metadata>',
    "overviews": '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{}</MDI></Metadata>',
    "heights": "<GDALWarpOptions><Transformer><RPCTransformer><DEMPath>{}</DEMPath></RPCTransformer></Transformer>"
    "</GDALWarpOptions>",
}


@pytest.mark.parametrize("what", NAMED)
def test_whatever_a_vrt_names_is_followed(what: str, tmp_path: Path) -> None:
    """It must be a GeoTIFF of this machine, and is one of the files that an output may not replace."""
    source = write(tmp_path / "a.tif", THERMAL)
    other = write(tmp_path / "b.tif", THERMAL)
    (tmp_path / "c.vrt").write_text(vrt(str(source), more=NAMED[what].format(other)))
    assert {source, other} <= set(raster_files(tmp_path / "c.vrt"))
    (tmp_path / "d.vrt").write_text(vrt(str(source), more=NAMED[what].format("/vsicurl/http://cimnet.invalid/a.tif")))
    with pytest.raises(DataError, match="only files of this machine"):
        raster_files(tmp_path / "d.vrt")


def test_a_vrt_that_computes_is_refused(tmp_path: Path) -> None:
    """Its steps name files in arguments."""
    text = vrt("a.tif").replace("<VRTDataset", '<VRTDataset subClass="VRTProcessedDataset"')
    (tmp_path / "a.vrt").write_text(text)
    with pytest.raises(DataError, match="a VRT of the kind VRTProcessedDataset"):
        raster_files(tmp_path / "a.vrt")


def test_nobody_is_asked_for_a_name_in_a_limited_process(tmp_path: Path) -> None:
    """`rasterio.open` itself, of everything that names an address: the watch over the C library sees nothing."""
    environment, log = watch_native(tmp_path)
    address = "http://cimnet.invalid/a.tif"
    paths = [f"/vsicurl/{address}", f"/vsicurl_streaming/{address}", address, f"WCS:{address}", f"WMS:{address}"]
    paths += ["/vsis3/bucket/a.tif", "/vsigs/bucket/a.tif", "/vsiaz/bucket/a.tif", f"/vsizip//vsicurl/{address}/a.tif"]
    evil = tmp_path / "evil.vrt"
    evil.write_text(vrt(f"/vsicurl/{address}"))
    said = run(_LIMITED.format(limited=True), *paths, evil, env=environment)
    assert said.count("refused") == len(paths) + 1
    assert not log.exists(), log.read_text()
    run(_LIMITED.format(limited=False), evil, env=environment)
    assert "cimnet.invalid" in log.read_text(), "the watch itself does not work"
