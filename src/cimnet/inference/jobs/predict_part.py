"""One part of a prediction: its pairs are read, prepared, predicted and written, in threads beside the model.

It runs in the process of the job or in a worker of a Ray cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from cimnet.errors import DataError
from cimnet.inference.jobs.matching import FilePair
from cimnet.inference.jobs.outcomes import Outcome
from cimnet.inference.jobs.shards import Shard, relabel
from cimnet.inference.overlay import overlay_mask, to_rgb, with_legend
from cimnet.inference.predictor import Predictor
from cimnet.inference.prepared import PreparedPair, of_one_size
from cimnet.utils.files import write_atomically


def predict_part(predictor: Predictor, part: Shard, out: Path) -> Generator[Outcome, None, None]:
    """Read, prepare, predict and write the pairs of a part; one outcome of each.

    Raises:
        CimnetError: a file cannot be written; what is complete stays.
    """
    left = dict.fromkeys(part.names)
    reason = "not among the pairs that were read"
    try:
        for pairs, labels in part.batches():
            for outcome in _predict_files(predictor, pairs, out):
                del left[outcome.name]
                yield outcome if outcome.error is None else replace(outcome, error=relabel(outcome.error, labels))
    except DataError as error:
        reason = str(error)
    yield from (Outcome(name, reason) for name in left)


@dataclass(frozen=True)
class _Loaded:
    """A pair in memory: (3, H, W) and (C, H, W) in 0..1, and which files there were."""

    name: str
    rgb: Tensor
    thermal: Tensor
    has_rgb: bool
    has_both: bool


def _predict_files(predictor: Predictor, pairs: Sequence[FilePair], out: Path) -> Iterator[Outcome]:
    """Predict the pairs of files; all outputs are there when the iteration ends."""
    size = predictor.settings.batch_size
    with ThreadPoolExecutor(2) as pool:
        writing: list[Future[None]] = []
        reading = _ahead(pool, partial(_read, predictor), pairs, size + 1)
        while batch := list(islice(reading, size)):
            loaded = [pair for pair in batch if isinstance(pair, _Loaded)]
            prepared, masks = _predict(predictor, loaded)
            for future in writing:  # of the batch before
                future.result()
            writing = [pool.submit(_write, predictor, out, *item) for item in zip(loaded, masks, strict=True)]
            alarms = {pair.name: ready.alarm for pair, ready in zip(loaded, prepared, strict=True) if pair.has_both}
            for item in batch:
                yield Outcome(item.name, None, alarms.get(item.name)) if isinstance(item, _Loaded) else item
        for future in writing:
            future.result()


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[FilePair], _Loaded | Outcome], pairs: Sequence[FilePair], count: int
) -> Iterator[_Loaded | Outcome]:
    """Read pairs in order, up to `count` of them ahead."""
    rest = iter(pairs)
    waiting = [pool.submit(read, pair) for pair in islice(rest, count)]
    while waiting:
        yield waiting.pop(0).result()
        waiting += [pool.submit(read, pair) for pair in islice(rest, 1)]


def _read(predictor: Predictor, pair: FilePair) -> _Loaded | Outcome:
    """Decode a pair and check it: sizes, types, depth."""
    name, rgb, thermal = pair
    try:
        tensors = predictor.tensors(rgb, thermal)
    except DataError as error:
        return Outcome(name, str(error))
    return _Loaded(name, *tensors, rgb is not None, rgb is not None and thermal is not None)


def _predict(predictor: Predictor, loaded: Sequence[_Loaded]) -> tuple[list[PreparedPair], list[npt.NDArray[np.uint8]]]:
    """Prepare and predict neighbours of one size together; pairs of two files are judged if there are alarms."""
    prepared: list[PreparedPair] = []
    masks: list[npt.NDArray[np.uint8]] = []
    for group in of_one_size([(pair.rgb, pair.thermal) for pair in loaded], predictor.settings.batch_size):
        judge = [predictor.has_alarm and pair.has_both for pair in loaded[len(masks) : len(masks) + len(group)]]
        ready = predictor.prepare(group, judge)
        masks += predictor.predict_prepared(ready)
        prepared += ready
    return prepared, masks


def _write(predictor: Predictor, out: Path, pair: _Loaded, mask: npt.NDArray[np.uint8]) -> None:
    picture = to_rgb(pair.rgb if pair.has_rgb else pair.thermal)
    overlay = with_legend(overlay_mask(picture, mask, predictor.colors), mask, predictor.classes, predictor.colors)
    write_atomically(out / "masks" / f"{pair.name}.png", Image.fromarray(mask).save)
    write_atomically(out / "overlays" / f"{pair.name}.png", overlay.save)
