"""A copy of a data set whose thermal images lie on the RGB images: by one matrix for the cameras, or pair by pair."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from cimnet.alignment.estimate import Alignment, align_pair, align_rig
from cimnet.alignment.matrices import Matrix, warp
from cimnet.data import find_layout
from cimnet.data.forms import Index
from cimnet.data.readers import image_size
from cimnet.data.thermal import Counts
from cimnet.data.thermal_files import read_pair, thermal_size
from cimnet.errors import DataError
from cimnet.files import require_new_folder

Box = tuple[int, int, int, int]
SAMPLE = 24
"""Pairs, evenly spaced, that a rig's matrix is estimated from."""


@dataclass(frozen=True)
class Mapping:
    """Where in the thermal image each RGB pixel is seen: a 2×3 matrix, or positions (H, W, 2) as (x, y)."""

    matrix: Matrix | None = None
    positions: npt.NDArray[np.float64] | None = None

    def apply(self, thermal: Counts, size: tuple[int, int]) -> tuple[Counts, npt.NDArray[np.bool_]]:
        """The thermal image in the frame of an RGB image (height, width), of the same type, 0 where it has nothing;
        and where it has something."""
        values = torch.from_numpy(thermal.astype(np.float32))[None, None]
        if self.matrix is not None:
            moved, inside = warp(values, self.matrix, size)
        else:
            assert self.positions is not None
            moved, inside = _sample(values, self.positions)
        array = moved[0, 0].numpy()
        return array if thermal.dtype == np.float32 else np.rint(array).astype(thermal.dtype), inside.numpy()


@dataclass
class Registration:
    """What was done: the rig's alignment where one was estimated, and by name the alignment used for each pair."""

    rig: Alignment | None
    pairs: dict[str, Alignment] = field(default_factory=dict)
    fallback: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """Matrices and confidences; `fallback` lists pairs that took the rig's matrix for want of their own."""
        rig = None if self.rig is None else self.rig.to_dict()
        pairs = {name: found.to_dict() for name, found in self.pairs.items()}
        return json.dumps({"rig": rig, "pairs": pairs, "fallback": self.fallback}, indent=2) + "\n"


def estimate_rig(index: Index, *, sample: int = SAMPLE) -> Alignment:
    """One matrix for all pairs of a folder, from some of them; see `align_rig`.

    Raises:
        DataError: no pairs, or images of several sizes.
    """
    names = _names(index)
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(sample, len(names))).round().astype(int)]
    return align_rig([_read(index, name) for name in chosen])


def register_dataset(
    root: Path,
    out: Path,
    *,
    layout: str = "auto",
    mapping: Mapping | None = None,
    per_pair: bool = False,
    crop: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Registration:
    """Copy a data set, its thermal images brought into the frame of the RGB images.

    Args:
        root: folder in any layout; RGB and thermal images may differ in size.
        out: new folder in the same layout; everything but thermal images is copied as it is (`truth/` is left out: it
            holds the old offsets). It also gets `alignment.json`.
        mapping: from a calibration or points; None: one matrix is estimated from the images.
        per_pair: estimate each pair's own matrix; where that is unknown, the common one is used.
        crop: cut all images to the largest rectangle, common to all pairs, where the thermal images have values.

    Raises:
        DataError: nothing to register, images that cannot be read, or a matrix that cannot be estimated.
        CimnetError: `out` exists or cannot be written.
    """
    require_new_folder(out, "give a new one")
    if root.resolve() in (out.resolve(), *out.resolve().parents):
        raise DataError(f"{out}: lies inside {root}; give a folder elsewhere")
    index = find_layout(root, layout).index(root)
    rig = estimate_rig(index) if mapping is None else None
    if mapping is None:
        if rig is None or rig.matrix is None:
            raise DataError(
                f"{root}: the images do not tell how the cameras lie to each other; give matched points (--points) or "
                "a calibration (--calibration)"
            )
        mapping = Mapping(rig.matrix)
    done = Registration(rig)
    names = _names(index)
    mappings = dict.fromkeys(names, mapping)
    if per_pair:
        for number, name in enumerate(names, start=1):
            done.pairs[name] = align_pair(*_read(index, name))
            matrix = done.pairs[name].matrix
            if matrix is None:
                done.fallback.append(name)
            else:
                mappings[name] = Mapping(matrix)
            if progress is not None:
                progress(number, len(names))
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        shutil.copytree(root, part, ignore=shutil.ignore_patterns("truth"))
        for path in (part, *part.rglob("*")):  # the source may be read-only
            path.chmod(path.stat().st_mode | (0o700 if path.is_dir() else 0o600))
        box = _common_box(index, mappings) if crop else None
        for number, (name, mapping) in enumerate(mappings.items(), start=1):
            _replace(part, root, index, name, mapping, box)
            if progress is not None:
                progress(number, len(names))
        (part / "alignment.json").write_text(done.to_json(), encoding="utf-8")
        if out.exists():
            out.rmdir()
        part.replace(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error}); choose another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return done


def _replace(part: Path, root: Path, index: Index, name: str, mapping: Mapping, box: Box | None) -> None:
    """Put the warped thermal image of a pair in place of the copied one, and crop all of the pair's images."""
    rgb, counts = _read(index, name)
    thermal, _ = mapping.apply(counts, (rgb.shape[0], rgb.shape[1]))
    area = slice(None), slice(None)
    if box is not None:
        area = slice(box[0], box[1]), slice(box[2], box[3])
        for files in (index.rgb.files, index.labels.files):
            if name in files:
                _crop(part / files[name].relative_to(root), box)
    if index.thermal is None:
        path = part / index.rgb.files[name].relative_to(root)
        Image.fromarray(np.dstack([rgb, thermal])[area]).save(path)
        return
    path = part / index.thermal.files[name].relative_to(root)
    path.unlink()
    if path.suffix.lower() == ".npy":
        np.save(path, thermal[area])
    else:  # JPEG cannot hold the values as they are
        Image.fromarray(thermal[area]).save(path.with_suffix(".tiff" if thermal.dtype == np.float32 else ".png"))


def _crop(path: Path, box: Box) -> None:
    """Cut a copied image to a box, losslessly, its mode and palette kept."""
    with Image.open(path) as image:
        cut = ImageOps.exif_transpose(image).crop((box[2], box[0], box[3], box[1]))
    path.unlink()
    cut.save(path.with_suffix(".png") if path.suffix.lower() in (".jpg", ".jpeg") else path)


def _common_box(index: Index, mappings: dict[str, Mapping]) -> Box:
    """top, bottom, left, right of the rectangle in which every warped thermal image has values."""
    inside: npt.NDArray[np.bool_] | None = None
    for name, mapping in mappings.items():
        height, width = image_size(index.rgb.files[name])
        thermal = index.thermal.files[name] if index.thermal else index.rgb.files[name]
        _, here = mapping.apply(np.ones(thermal_size(thermal), np.uint8), (height, width))
        if inside is not None and inside.shape != here.shape:
            raise DataError(f"{index.rgb.files[name]}: --crop needs images of one size")
        inside = here if inside is None else inside & here
    assert inside is not None
    top, bottom, left, right = 0, inside.shape[0], 0, inside.shape[1]
    while top < bottom and left < right and not (area := inside[top:bottom, left:right]).all():
        sides = {"top": area[0], "bottom": area[-1], "left": area[:, 0], "right": area[:, -1]}
        worst = max(sides, key=lambda side: 1 - float(sides[side].mean()))  # give up the emptiest side
        top, left = top + (worst == "top"), left + (worst == "left")
        bottom, right = bottom - (worst == "bottom"), right - (worst == "right")
    if top >= bottom or left >= right:
        raise DataError("--crop: the thermal images have no area in common in the frame of the RGB images")
    return top, bottom, left, right


def _names(index: Index) -> list[str]:
    thermal = index.thermal or index.rgb
    names = sorted(index.rgb.files.keys() & thermal.files.keys())
    if not names:
        raise DataError(f"{index.rgb.folder} and {thermal.folder}: no two images share a name")
    return names


def _read(index: Index, name: str) -> tuple[npt.NDArray[np.uint8], Counts]:
    rgb = index.rgb.files[name]
    return read_pair(rgb, index.thermal.files[name] if index.thermal else rgb)


def _sample(values: torch.Tensor, positions: npt.NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = values.shape[-2:]
    u, v = (torch.from_numpy(positions[..., axis].astype(np.float32)) for axis in (0, 1))
    inside = (u >= -0.5) & (u <= width - 0.5) & (v >= -0.5) & (v <= height - 0.5)
    grid = torch.stack(((2 * u + 1) / width - 1, (2 * v + 1) / height - 1), dim=-1)[None]
    return F.grid_sample(values, grid, padding_mode="border", align_corners=False) * inside, inside
