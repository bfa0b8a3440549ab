"""A folder of images of both sensors as a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.deploy.video.one_file import images_of_both
from cimnet.deploy.video.sources import open_source
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


def test_a_shot_has_one_time(tmp_path: Path) -> None:
    day = "DJI_202401311200"
    folder = make_one_folder(
        tmp_path / "d", *((f"{day}0{2 * k}_{k:04d}_V", f"{day}0{2 * k + 1}_{k:04d}_T") for k in range(3))
    )
    rgb, thermal = images_of_both(folder, folder, str)
    sources = open_source(folder, "rgb", files=rgb), open_source(folder, "thermal", files=thermal)
    assert [[frame.time for frame in source.frames()] for source in sources] == [[0.0, 2.0, 4.0]] * 2


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
