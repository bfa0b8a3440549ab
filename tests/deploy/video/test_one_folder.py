"""A folder of images of both sensors as a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.data.io.second_modality import SecondModality
from cimnet.data.io.thermal_files import Wanted
from cimnet.deploy.video.one_file import images_of_both
from cimnet.deploy.video.predict_video import open_sources
from cimnet.deploy.video.sources import open_source
from cimnet.deploy.video.video_settings import VideoSettings
from cimnet.errors import DataError
from tests.fakes.layouts import make_arrays, make_one_folder


def test_frames_of_one_folder_stay_together(tmp_path: Path) -> None:
    """In the order of their numbers; a thermal image that is missing moves no other frame."""
    folder = make_one_folder(tmp_path / "d", *((f"f{k}_V", f"f{k}_T") for k in (2, 10, 9)))
    (folder / "f9_T.png").unlink()
    said: list[str] = []
    rgb, thermal = images_of_both(folder, folder, said.append)
    sources = [open_source(folder, "rgb", 10, files=rgb), open_source(folder, "thermal", 10, files=thermal)]
    frames = [list(source.frames()) for source in sources]
    assert [[frame.name for frame in some] for some in frames] == [["f2_V", "f10_V"], ["f2_T", "f10_T"]]
    np.testing.assert_array_equal(frames[1][1].image, make_arrays(1)[1])
    assert "2 pairs by name" in said[0]
    assert said[1] == f"{folder}: 1 file without a partner: f9_V.png"


def test_a_shot_has_one_time(tmp_path: Path) -> None:
    day = "DJI_202401311200"
    folder = make_one_folder(
        tmp_path / "d", *((f"{day}0{2 * k}_{k:04d}_V", f"{day}0{2 * k + 1}_{k:04d}_T") for k in range(3))
    )
    rgb, thermal = images_of_both(folder, folder, str)
    sources = open_source(folder, "rgb", files=rgb), open_source(folder, "thermal", files=thermal)
    assert [[frame.time for frame in source.frames()] for source in sources] == [[0.0, 2.0, 4.0]] * 2


def test_the_yaml_of_the_folder_is_obeyed(tmp_path: Path) -> None:
    """Patterns, unit and bands are applied, the border is said, another kind of second images is refused."""
    folder, said = make_one_folder(tmp_path / "d", ("cam1 01", "cam2 01"), ("cam1 02", "cam2 02")), []
    for path in folder.glob("cam2*"):
        Image.fromarray(np.full((32, 40), 250, np.uint16)).save(path)  # 25 degrees
    yaml = folder / "classes.yaml"
    yaml.write_text(
        "thermal_range: {kind: kelvin, low: 270, high: 330, unit: decicelsius}\nborder: 3\n"
        "files: {rgb: 'cam1 {name}', thermal: 'cam2 {name}'}\n"
    )
    needs = Wanted("centicelsius", "uint16")
    _, sources = open_sources(folder, folder, VideoSettings(fps=5), said.append, needs)
    frames = [list(source.frames()) for source in sources]
    assert [[frame.name for frame in some] for some in frames] == [["cam1 01", "cam1 02"], ["cam2 01", "cam2 02"]]
    assert (frames[1][0].image == 2500).all()
    assert frames[1][0].image.shape == (32, 40)
    assert any("the border [3, 3, 3, 3] is not cut off" in text for text in said)
    yaml.write_text("second: {name: thermal}\n")
    with pytest.raises(DataError, match=r"classes\.yaml: its second images are thermal .*, where nir .* is asked for"):
        open_sources(folder, folder, VideoSettings(fps=5), str, Wanted(second=SecondModality("nir")))
    yaml.write_text("files: {rgb: 'cam3 {name}', thermal: 'cam2 {name}'}\n")
    with pytest.raises(DataError, match=r"no two images fit the patterns of its YAML, cam3 \{name\} and cam2 \{name\}"):
        open_sources(folder, folder, VideoSettings(fps=5), str, needs)


def test_bands_in_the_yaml_of_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    folder = make_one_folder(tmp_path / "d", ("a_V", "a_T"))
    (folder / "classes.yaml").write_text("bands: {rgb: [3, 2, 1]}\n")
    _, sources = open_sources(folder, folder, VideoSettings(fps=5), str, Wanted())
    np.testing.assert_array_equal(next(iter(sources[0].frames())).image, make_arrays(0)[0][..., ::-1])


def test_pairs_in_several_folders_are_no_video(tmp_path: Path) -> None:
    """Two flights have images of equal names."""
    for flight in ("one", "two"):
        make_one_folder(tmp_path / "d" / flight, ("a_V", "a_T"))
    (tmp_path / "d" / "classes.yaml").write_text("files: {rgb: '{name}_V', thermal: '{name}_T'}\n")
    with pytest.raises(DataError, match="one/a: pairs in several folders are no one video"):
        images_of_both(tmp_path / "d", tmp_path / "d", str)


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    folder = make_one_folder(tmp_path / "d", ("a", "b"))
    with pytest.raises(DataError, match="no two names are a pair, such as 0001_V and 0001_T"):
        images_of_both(folder, folder, str)
    assert images_of_both(folder, tmp_path, str) == (None, None)


@pytest.mark.parametrize("name", ["img①", "٣", "²x"])
def test_digits_that_int_refuses(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for one in (name, "img10", "img9"):
        Image.fromarray(make_arrays(0)[0]).save(folder / f"{one}.png")
    names = [frame.name for frame in open_source(folder, "rgb", 10).frames()]
    assert set(names) == {name, "img10", "img9"}
    assert names.index("img9") < names.index("img10")
