"""Image files to arrays: RGB, class-id labels and 4-channel RGB-thermal files; thermal files: `thermal_files`.

Colours are always in the order red, green, blue. What a file says of itself is obeyed or refused by the table in
`cimnet.data.io.rules`. All failures are one-line `DataError`s naming the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cimnet.data.io.bands import Bands, read_rgb_bands
from cimnet.data.io.facts import FileFacts, facts_of, orders_colours
from cimnet.data.io.flir_visible import read_visible
from cimnet.data.io.notices import notice
from cimnet.data.io.open_image import opened, upright
from cimnet.data.io.pixels import Pixels, colours_missing, order_colours
from cimnet.data.io.radiometric import UNREAD_MAKERS
from cimnet.data.io.rules import apply_rules, refuse_by_rules
from cimnet.data.io.thermal_scaling import Counts
from cimnet.errors import DataError

Ids = npt.NDArray[np.uint8] | npt.NDArray[np.int32]


@dataclass(frozen=True)
class Label:
    """A label as stored: values (H, W), its palette where it has one, the value that it declares as nodata."""

    ids: Ids
    palette: npt.NDArray[np.uint8] | None = None
    nodata: float | None = None


def read_rgb(path: Path, bands: Bands | None = None, *, of_pair: bool = False) -> npt.NDArray[np.uint8]:
    """Read a colour image. Grey images are copied to three channels; opacity is dropped.

    Args:
        path: the file.
        bands: which bands are red, green and blue, and the range of values of more than 8 bits. None: what the file
            says.
        of_pair: whether the image is the RGB image of a pair. If so, the picture of a radiometric file is refused,
            because it shows temperatures; otherwise it is read with a ``DataWarning``.

    Returns:
        (H, W, 3) uint8, red first.

    Raises:
        DataError: the file cannot be decoded, holds 16-bit or float values, or says something that cannot be obeyed.
    """
    if bands is not None and bands.embedded:
        return read_visible(path)
    if bands is not None and bands.colours:
        return read_rgb_bands(path, bands)
    with opened(path) as image:
        facts = facts_of(image, path)
        if facts.maker in ("FLIR", *UNREAD_MAKERS) and not of_pair:
            notice(f"{path}: the picture in a radiometric JPEG: it shows temperatures, not colours")
            facts = replace(facts, maker="")
        refuse_by_rules(replace(facts, sign="unsigned") if facts.bands == 1 else facts, "rgb")
        if image.mode.startswith(("I", "F")):
            raise DataError(
                f"{path}: a one-channel image of mode {image.mode!r} where an 8-bit RGB image is expected "
                "(are the RGB and thermal folders swapped?)"
            )
        values = np.array(upright(image).convert("RGB"))
    return apply_rules(Pixels(_stored(values, facts)), facts, "rgb").values


def _stored(values: npt.NDArray[np.uint8], facts: FileFacts) -> npt.NDArray[np.uint8]:
    """The values as the file has them: Pillow inverts those of 8 bits and fewer where white is zero."""
    return np.uint8(255) - values if facts.white_is_zero and facts.bits <= 8 else values


def read_label(path: Path, grey: bool = False) -> Ids:
    """Read the values of a label image. A palette image gives its indices.

    Args:
        path: the file.
        grey: whether an image of three equal colour channels counts as one channel, if it is opaque throughout.

    Returns:
        (H, W), uint8; int32 for files of 16 bits.

    Raises:
        DataError: the file cannot be decoded, is lossy (JPEG), a colour image or a 1-bit image.
    """
    return read_label_file(path, grey).ids


def read_label_file(path: Path, grey: bool = False) -> Label:
    """A label with what its file says of its values. Arguments and errors as in `read_label`."""
    with opened(path) as image:
        facts = facts_of(image, path)
        refuse_by_rules(facts, "label")
        if image.mode == "1":
            raise DataError(f"{path}: a 1-bit label; save class ids as an 8-bit grey or palette PNG")
        if image.mode in ("P", "L"):
            ids = np.array(upright(image))
            if image.mode == "L":
                ids = _stored(ids, facts)
            if facts.sign == "signed":
                return Label(ids.view(np.int8).astype(np.int32), nodata=facts.nodata)
            if image.mode == "L" and facts.bits in (2, 4):  # Pillow stretches 2- and 4-bit grey to 0..255
                ids //= np.uint8(255 // (2**facts.bits - 1))
            raw = image.getpalette("RGB") if image.mode == "P" else None
            colors = None if raw is None else np.array(raw, np.uint8).reshape(-1, 3)
            return Label(ids, colors, facts.nodata)
        if image.mode.startswith("I"):
            return Label(np.array(upright(image)).astype(np.int32), nodata=facts.nodata)
        if grey and image.mode in ("RGB", "RGBA", "LA"):
            values = np.array(upright(image))
            colours = values[..., : 1 if image.mode == "LA" else 3]
            opaque = image.mode == "RGB" or values[..., -1].min() == 255
            if opaque and (colours == colours[..., :1]).all():
                return Label(np.ascontiguousarray(values[..., 0]), nodata=facts.nodata)
        raise DataError(
            f"{path}: a label of mode {image.mode} (colours); labels hold one class id a pixel: "
            "say label_format: colors in classes.yaml, or save class ids as an 8-bit grey or palette PNG"
        )


def read_label_colours(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
    """A label in colours, (H, W, 3) uint8, and the pixels (H, W) that the file declares as nodata; None: it has no
    such value.

    Raises:
        DataError: the file cannot be decoded or is lossy.
    """
    with opened(path) as image:
        facts = facts_of(image, path)
        refuse_by_rules(facts, "label")
        stored = upright(image)
        values = np.array(stored.convert("RGB"))
        missing = None
        if facts.nodata is not None:  # of a palette, it is an index
            missing = np.array(stored) == facts.nodata if facts.palette else colours_missing(values, facts)
    return order_colours(Pixels(values), facts).values if orders_colours(facts) else values, missing


def read_rgbt(path: Path, bands: Bands | None = None) -> tuple[npt.NDArray[np.uint8], Counts]:
    """Read a 4-channel file as in MFNet: RGB, then thermal.

    Args:
        path: the file.
        bands: which bands are red, green, blue and thermal, and their range. None: the four channels in this order.

    Returns:
        RGB (H, W, 3) uint8 and thermal (H, W) uint8.

    Raises:
        DataError: the file cannot be decoded or has no fourth channel.
    """
    with opened(path) as image:
        facts = facts_of(image, path)
        refuse_by_rules(facts, "rgbt")
        if image.mode != "RGBA":
            raise DataError(
                f"{path}: mode {image.mode}, expected RGBA with the thermal image in the fourth channel; "
                "with separate thermal files use the layout rgb/ thermal/ labels/"
                + (", or choose bands (--rgb-bands, --thermal-band)" if facts.bands > 3 else "")
            )
        pixels = apply_rules(Pixels(np.array(upright(image))), facts, "rgbt")
    values = pixels.values
    if values[..., 3].min() == 255:
        raise DataError(f"{path}: the fourth channel is 255 everywhere: opacity, not a thermal image")
    thermal = np.ascontiguousarray(values[..., 3])
    if pixels.missing is not None and pixels.missing.any():
        thermal = np.ma.MaskedArray(thermal, pixels.missing)
    if bands is not None and bands.colours:
        return read_rgb_bands(path, bands), thermal
    return np.ascontiguousarray(values[..., :3]), thermal


def is_rgbt(rgb: Path, thermal: Path, bands: Bands | None) -> bool:
    """Whether the images of a pair are one 4-channel file: one file that holds both, of which no part is chosen."""
    chosen = bands is not None and (bands.thermal is not None or bands.embedded)
    return not chosen and same_file(rgb, thermal)


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file (by device and inode, so through links, too): an RGB and a thermal image of
    one pair that are one file are a 4-channel file. Where there is no such file, whether the resolved paths are
    equal."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)  # Path.resolve raises on links that lead to themselves
