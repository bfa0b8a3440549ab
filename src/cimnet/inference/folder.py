"""Predict one pair or two folders of images and write masks and overlays."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from cimnet.confidence.alarm import Alarm
from cimnet.confidence.defects import ALARMS
from cimnet.data.files import THERMAL_EXTENSIONS, index_images
from cimnet.data.readers import image_size, read_rgb, read_rgbt
from cimnet.errors import CimnetError, DataError
from cimnet.files import require_writable, write_atomically, write_text
from cimnet.inference.overlay import blend, with_legend
from cimnet.inference.predictor import Predictor


@dataclass(frozen=True)
class Matched:
    """Pairs to predict, (name, rgb, thermal), and the files without a partner."""

    pairs: list[tuple[str, Path, Path]]
    unmatched: list[Path]


def match_pairs(rgb: Path, thermal: Path) -> Matched:
    """Pair two files, or the images of two folders by name; extensions may differ.

    One file or folder given twice means 4-channel images (RGB and thermal in one file).

    Raises:
        DataError: if a path does not exist, one is a file and the other a folder, or no name matches.
    """
    for path, option in ((rgb, "--rgb"), (thermal, "--thermal")):
        if not path.exists():
            raise DataError(f"{option} {path}: no such file or folder")
    if rgb.is_file() and thermal.is_file():
        return Matched([(rgb.stem, rgb, thermal)], [])
    if rgb.is_file() or thermal.is_file():
        raise DataError(f"--rgb {rgb} and --thermal {thermal}: give two files or two folders")
    left, right = index_images(rgb), index_images(thermal, THERMAL_EXTENSIONS)
    pairs = [(name, left[name], right[name]) for name in sorted(left.keys() & right.keys())]
    for option, path, found in (("--rgb", rgb, left), ("--thermal", thermal, right)):
        if not found:
            raise DataError(f"{option} {path}: no images in it; folders inside are not read, give the right one")
    if not pairs:
        raise DataError(
            f"--rgb {rgb} ({len(left)} images) and --thermal {thermal} ({len(right)}): no two files share a name; "
            "name both files of a pair alike"
        )
    unmatched = [left[n] for n in sorted(left.keys() - right.keys())] + [
        right[n] for n in sorted(right.keys() - left.keys())
    ]
    return Matched(pairs, unmatched)


def predict_pairs(
    predictor: Predictor,
    pairs: list[tuple[str, Path, Path]],
    out: Path,
    progress: Callable[[], None] | None = None,
    overwrite: bool = False,
    on_alarm: Callable[[str, Alarm], None] | None = None,
) -> None:
    """Write ``out/masks/NAME.png`` (class ids) and ``out/overlays/NAME.png`` for each (name, rgb, thermal),
    and of all of them ``out/alarms.csv`` if the checkpoint has an alarm.

    Before anything is written, sizes are compared by the headers and existing files refused unless ``overwrite``.

    Args:
        progress: called after each pair.
        on_alarm: called with the name of each pair that raises an alarm, and that alarm.

    Raises:
        DataError, CimnetError: at the first pair that cannot be read or written; what is complete stays.
    """
    targets = [out / folder / f"{name}.png" for folder in ("masks", "overlays") for name, _, _ in pairs]
    alarms: dict[str, Alarm] | None = None if predictor.info.alarm is None else {}
    if alarms is not None:
        targets.append(out / "alarms.csv")
    existing = [] if overwrite else [path for path in targets if path.exists()]
    if existing:
        raise CimnetError(f"{existing[0]}: exists; choose another --out, or --overwrite to replace such files")
    for _, rgb, thermal in pairs:
        _check_sizes(rgb, thermal)
    for folder in (out / "masks", out / "overlays"):
        require_writable(folder)
    for name, rgb, thermal in pairs:
        image, heat = read_rgbt(rgb) if rgb.samefile(thermal) else (read_rgb(rgb), thermal)
        tensors = predictor.tensors(image, heat)
        mask = predictor.predict(*tensors)
        if alarms is not None:
            alarms[name] = predictor.alarm(*tensors)
            if on_alarm is not None and alarms[name].raised:
                on_alarm(name, alarms[name])
        overlay = with_legend(blend(image, mask, predictor.colors), mask, predictor.classes, predictor.colors)
        write_atomically(out / "masks" / f"{name}.png", Image.fromarray(mask).save)
        write_atomically(out / "overlays" / f"{name}.png", overlay.save)
        if progress is not None:
            progress()
    if alarms is not None:
        write_text(out / "alarms.csv", _table(alarms))


def _table(alarms: dict[str, Alarm]) -> str:
    """A row for each pair: its name, the probability of each alarm, the raised ones with spaces between."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", *ALARMS, "raised"])
    for name, alarm in alarms.items():
        rows.writerow([name, *(f"{alarm.probabilities[kind]:.4f}" for kind in ALARMS), " ".join(alarm.raised)])
    return text.getvalue()


def _check_sizes(rgb: Path, thermal: Path) -> None:
    size, other = image_size(rgb), image_size(thermal)
    if size != other:
        raise DataError(
            f"{thermal} is {other[1]}x{other[0]} but {rgb} is {size[1]}x{size[0]}; "
            "register and resample to the size of the RGB image first"
        )
