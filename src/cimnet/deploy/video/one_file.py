"""Both sensors in one place: two streams or two halves of one video, or a folder of images of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cimnet.data.io.sensor_names import pair_folder, say_unmatched
from cimnet.deploy.video.crop import Crop
from cimnet.deploy.video.frame_image import COLOURED, coloured_share, shown_image
from cimnet.deploy.video.frames import Image
from cimnet.deploy.video.sources import VideoSource, stream_count
from cimnet.deploy.video.video_settings import VideoSettings
from cimnet.errors import DataError
from cimnet.inference.jobs.matching import pair_by_yaml

_SPLITS = (("left", "right"), ("top", "bottom"))
_FRAMES = 3  # judged together: a single one may be black


def tell_apart(path: Path, asked: VideoSettings) -> tuple[VideoSettings, str]:
    """Find the stream or the half that shows RGB and the one that shows thermal, unless the user names them: the
    thermal picture is the grey one, the RGB picture the coloured one.

    Returns:
        The settings with streams or crops filled in, and a sentence that says what was taken for what.

    Raises:
        DataError: that cannot be told; the options to say it are named.
    """
    count = stream_count(path)
    if count > 1:
        shares = [_share(path, number, None) for number in range(count)]
        coloured = [number for number, share in enumerate(shares) if share > COLOURED]
        grey = [number for number, share in enumerate(shares) if share <= COLOURED]
        if len(coloured) != 1 or len(grey) != 1:
            raise DataError(
                f"{path}: {count} video streams, of which {len(coloured)} are in colour; say which are which, such as "
                "--rgb-stream 0 --thermal-stream 1"
            )
        settings = replace(asked, rgb_stream=coloured[0], thermal_stream=grey[0])
        return settings, f"{path}: stream {coloured[0]} taken for RGB, stream {grey[0]} (grey) for thermal"
    found = []
    for halves in _SPLITS:
        shares = [_share(path, 0, Crop(half=half)) for half in halves]
        if min(shares) <= COLOURED < max(shares):
            found.append(halves if shares[0] > shares[1] else halves[::-1])
    if len(found) != 1:
        raise DataError(
            f"{path}: given for both sensors, but it is not clear which part of the picture shows which; say it, such "
            "as --rgb-crop left --thermal-crop right, or X,Y,WIDTH,HEIGHT"
        )
    rgb, thermal = found[0]
    return replace(asked, rgb_crop=rgb, thermal_crop=thermal), (
        f"{path}: the {rgb} half taken for RGB, the {thermal} half (grey) for thermal"
    )


Images = Mapping[str, Path] | None


def images_of_both(rgb: Path, thermal: Path, told: Callable[[str], object]) -> tuple[Images, Images]:
    """Return each sensor's images by the name of their pair if one folder is given for both sensors, otherwise None.
    Pairs are told by the patterns in the folder's YAML, else by words for sensors in their names.

    Raises:
        DataError: no two names are a pair, or the pairs lie in several folders.
    """
    if not (rgb.is_dir() and thermal.is_dir() and rgb.samefile(thermal)):
        return None, None
    found = pair_by_yaml(rgb) or pair_folder(rgb)
    told(f"{rgb}: {found.taken}")
    if found.unmatched:
        told(f"{rgb}: {say_unmatched(found.unmatched)}")
    if nested := next((name for name, _, _ in found.pairs if "/" in name), None):
        raise DataError(f"{rgb}: {nested}: pairs in several folders are no one video; give the folders of one of them")
    return {name: path for name, path, _ in found.pairs}, {name: path for name, _, path in found.pairs}


class _Shown(VideoSource):
    """A video as a player shows it, whichever sensor it is of."""

    def _image(self, frame: Any) -> Image:
        return shown_image(frame, self.path, self.crop)


def _share(path: Path, number: int, crop: Crop | None) -> float:
    """Share of coloured pixels in the first frames of a stream."""
    frames = islice(_Shown(path, "rgb", number, crop).frames(), _FRAMES)
    return float(np.max([coloured_share(frame.image) for frame in frames]))
