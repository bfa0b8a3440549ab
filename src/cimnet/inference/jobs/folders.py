"""Predict one pair or two folders of images and write masks and overlays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from cimnet.data.io.readers import image_size, read_rgb, read_rgbt, same_file
from cimnet.data.io.split_lists import IMAGE_EXTENSIONS, THERMAL_EXTENSIONS, index_images
from cimnet.data.io.thermal_files import thermal_size
from cimnet.errors import CimnetError, DataError
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.alarms.thresholds import ALARMS
from cimnet.inference.overlay import overlay_mask, to_rgb, with_legend
from cimnet.inference.predictor import Predictor
from cimnet.utils.files import csv_text, require_writable, write_atomically, write_text
from cimnet.utils.numbers import pluralize

FilePair = tuple[str, Path | None, Path | None]
"""Name without extension, below the folders given ("flight1/0001"); RGB and thermal file, None: missing."""
AlarmRow = tuple[str, ...]
"""See `alarm_row`."""
KINDS = ("masks", "overlays")


@dataclass(frozen=True)
class Matched:
    """Pairs to predict, and the files without a partner."""

    pairs: list[FilePair]
    unmatched: list[Path]


@dataclass(frozen=True)
class Outcome:
    """What became of one pair: why it has no mask (None: it has one), its alarm; ``begun`` is False if its header was
    enough to refuse it."""

    name: str
    error: str | None = None
    alarm: Alarm | None = None
    begun: bool = True


@dataclass
class Predicted:
    """What became of the pairs: names without a mask and why, alarms by name if the checkpoint has them."""

    failed: dict[str, str] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)

    def add(self, outcome: Outcome, on_alarm: Callable[[str, Alarm], None] | None = None) -> None:
        """Keep an outcome, and tell of an alarm that is raised."""
        if outcome.error is not None:
            self.failed[outcome.name] = outcome.error
        elif outcome.alarm is not None:
            self.alarms[outcome.name] = outcome.alarm
            if on_alarm is not None and outcome.alarm.raised:
                on_alarm(outcome.name, outcome.alarm)


def match_pairs(rgb: Path | None, thermal: Path | None, out: Path | None = None) -> Matched:
    """Pair two files, or the images of two folders, and of the folders in them, by name; extensions may differ.

    One file or folder given twice means 4-channel images (RGB and thermal in one file). None: that sensor is missing.
    What lies in the folder ``out`` is no input.

    Raises:
        DataError: if a path does not exist, one is a file and the other a folder, or no name matches.
    """
    if rgb is None and thermal is None:
        raise DataError("neither --rgb nor --thermal is given; give at least one")
    for path, option in ((rgb, "--rgb"), (thermal, "--thermal")):
        if path is not None and not _exists(path):
            raise DataError(f"{option} {path}: no such file or folder")
    files = [path.is_file() for path in (rgb, thermal) if path is not None]
    if all(files):
        return Matched([((rgb or thermal or Path()).stem, rgb, thermal)], [])
    if any(files):
        raise DataError(f"--rgb {rgb} and --thermal {thermal}: give two files or two folders")
    left = None if rgb is None else _images(rgb, IMAGE_EXTENSIONS, "--rgb", out)
    right = None if thermal is None else _images(thermal, THERMAL_EXTENSIONS, "--thermal", out)
    if left is None or right is None:
        found = left or right or {}
        return Matched(
            [(name, None if left is None else path, None if right is None else path) for name, path in found.items()],
            [],
        )
    pairs: list[FilePair] = [(name, left[name], right[name]) for name in sorted(left.keys() & right.keys())]
    if not pairs:
        raise DataError(
            f"--rgb {rgb} ({pluralize(len(left), 'image')}) and --thermal {thermal} ({len(right)}): no two files share "
            "a name; name both files of a pair alike"
        )
    unmatched = [left[n] for n in sorted(left.keys() - right.keys())] + [
        right[n] for n in sorted(right.keys() - left.keys())
    ]
    return Matched(pairs, unmatched)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # the name is too long
        return False


def predict_pairs(
    predictor: Predictor,
    pairs: Sequence[FilePair],
    out: Path,
    progress: Callable[[], None] | None = None,
    overwrite: bool = False,
    on_alarm: Callable[[str, Alarm], None] | None = None,
) -> Predicted:
    """Write ``out/masks/NAME.png`` (class ids) and ``out/overlays/NAME.png`` for each pair, and of all of them
    ``out/alarms.csv`` if the checkpoint has an alarm.

    Before anything is written, sizes are compared by the headers and existing files refused unless ``overwrite``. A
    pair that cannot be read is left out and told in what is returned and in ``out/failed.csv``. Files are read and
    written in threads beside the model.

    Args:
        progress: called after each pair whose header is sound.
        on_alarm: called with the name of each pair that raises an alarm, and that alarm.

    Raises:
        DataError: no pair can be read.
        CimnetError: a file cannot be written; what is complete stays.
    """
    if not overwrite:
        refuse_existing([name for name, _, _ in pairs], out, predictor.has_alarm)
    result = Predicted()
    for outcome in predict_each(predictor, pairs, out):
        result.add(outcome, on_alarm)
        if progress is not None and outcome.begun:
            progress()
    refuse_if_all_failed(result.failed, len(pairs))
    for name in result.failed:  # what an earlier prediction left of them
        for kind in KINDS:
            (out / kind / f"{name}.png").unlink(missing_ok=True)
    write_tables(out, result.failed, [alarm_row(*item) for item in result.alarms.items()])
    return result


def predict_each(predictor: Predictor, pairs: Sequence[FilePair], out: Path) -> Iterator[Outcome]:
    """Write mask and overlay of each pair; one outcome of each, those first whose sizes differ by the headers. The
    files are all there when the iteration ends.

    Raises:
        CimnetError: a file cannot be written; what is complete stays.
    """
    readable: list[FilePair] = []
    for name, rgb, thermal in pairs:
        try:
            _check_sizes(rgb, thermal)
            readable.append((name, rgb, thermal))
        except DataError as error:
            yield Outcome(name, str(error), begun=False)
    if not readable:
        return
    for kind in KINDS:
        require_writable(out / kind)
    size = predictor.settings.batch_size
    with ThreadPoolExecutor(2) as pool:
        writing: list[Future[None]] = []
        reading = _ahead(pool, lambda pair: _read(predictor, pair), readable, size + 1)
        while batch := list(islice(reading, size)):
            good = [loaded for loaded in batch if isinstance(loaded, Loaded)]
            masks = predictor.predict_batch((loaded.rgb, loaded.thermal) for loaded in good)
            for future in writing:  # of the batch before
                future.result()
            writing = [pool.submit(_write, predictor, out, *item) for item in zip(good, masks, strict=True)]
            for item in batch:
                if isinstance(item, tuple):
                    yield Outcome(item[0], str(item[1]))
                else:
                    judged = predictor.has_alarm and item.both
                    yield Outcome(item.name, None, predictor.alarm(item.rgb, item.thermal) if judged else None)
        for future in writing:
            future.result()


def refuse_existing(names: Sequence[str], out: Path, has_alarm: bool) -> None:
    """Refuse to predict pairs whose outputs are there.

    Raises:
        CimnetError: naming the first.
    """
    targets = [out / kind / f"{name}.png" for kind in KINDS for name in names]
    for path in [*targets, out / "alarms.csv"] if has_alarm else targets:
        if path.exists():
            raise CimnetError(
                f"{path}: exists; choose another --out, or --overwrite to replace such files (or --resume to go on "
                "with an interrupted prediction)"
            )


def write_tables(out: Path, failed: Mapping[str, str], alarms: Iterable[AlarmRow]) -> None:
    """``failed.csv`` and ``alarms.csv``, by name; one without rows is removed."""
    for file, header, rows in (
        ("failed.csv", ("name", "reason"), sorted(failed.items())),
        ("alarms.csv", ("name", *ALARMS, "raised"), sorted(alarms)),
    ):
        if rows:
            write_text(out / file, csv_text(header, rows))
        else:
            (out / file).unlink(missing_ok=True)


def alarm_row(name: str, alarm: Alarm) -> AlarmRow:
    """Of ``alarms.csv``: name, the probability of each alarm, the raised ones with spaces between."""
    return (name, *(f"{alarm.probabilities[kind]:.4f}" for kind in ALARMS), " ".join(alarm.raised))


@dataclass(frozen=True)
class Loaded:
    """A pair in memory: name, picture to draw on (H, W, 3), what the model gets, whether both images are there."""

    name: str
    picture: npt.NDArray[np.uint8]
    rgb: Tensor
    thermal: Tensor
    both: bool


def _images(folder: Path, extensions: tuple[str, ...], option: str, out: Path | None) -> dict[str, Path]:
    """Images of a folder and of those in it, by their path below it without extension."""
    found: dict[str, Path] = {}
    for inner in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]:
        below = inner.relative_to(folder)
        written = out is not None and inner.resolve().is_relative_to(out.resolve())
        if not written and not any(part.startswith(".") for part in below.parts):
            found |= {(below / stem).as_posix(): path for stem, path in index_images(inner, extensions).items()}
    if not found:
        raise DataError(f"{option} {folder}: no images in it")
    return dict(sorted(found.items()))


def _ahead(
    pool: ThreadPoolExecutor,
    read: Callable[[FilePair], Loaded | tuple[str, DataError]],
    pairs: Sequence[FilePair],
    count: int,
) -> Iterator[Loaded | tuple[str, DataError]]:
    """Read pairs in order, up to `count` of them ahead."""
    rest = iter(pairs)
    waiting = [pool.submit(read, pair) for pair in islice(rest, count)]
    while waiting:
        yield waiting.pop(0).result()
        waiting += [pool.submit(read, pair) for pair in islice(rest, 1)]


def _read(predictor: Predictor, pair: FilePair) -> Loaded | tuple[str, DataError]:
    name, rgb, thermal = pair
    try:
        if rgb is None:
            tensors = predictor.tensors(None, thermal)
            return Loaded(name, to_rgb(tensors[1]), *tensors, both=False)
        picture, heat = read_rgbt(rgb) if thermal is not None and same_file(rgb, thermal) else (read_rgb(rgb), thermal)
        return Loaded(name, picture, *predictor.tensors(picture, heat), both=thermal is not None)
    except DataError as error:
        return name, error


def _write(predictor: Predictor, out: Path, pair: Loaded, mask: npt.NDArray[np.uint8]) -> None:
    overlay = with_legend(overlay_mask(pair.picture, mask, predictor.colors), mask, predictor.classes, predictor.colors)
    write_atomically(out / "masks" / f"{pair.name}.png", Image.fromarray(mask).save)
    write_atomically(out / "overlays" / f"{pair.name}.png", overlay.save)


def refuse_if_all_failed(failed: Mapping[str, str], count: int) -> None:
    """Raise a DataError with the first reason if no pair of so many is left."""
    if count and len(failed) == count:
        first = next(iter(failed.values()))
        raise DataError(first if count == 1 else f"none of {count} pairs can be read; the first: {first}")


def _check_sizes(rgb: Path | None, thermal: Path | None) -> None:
    if rgb is None or thermal is None:
        return
    size, other = image_size(rgb), (image_size(thermal) if same_file(rgb, thermal) else thermal_size(thermal))
    if size != other:
        raise DataError(
            f"{thermal} is {other[1]}x{other[0]} but {rgb} is {size[1]}x{size[0]}; "
            "register and resample to the size of the RGB image first (`cimnet data align`)"
        )
