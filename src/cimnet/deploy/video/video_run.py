"""Run the model on the frames of two sensors and write the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cimnet.data.io.thermal_scaling import Counts
from cimnet.deploy.video.frames import Source
from cimnet.deploy.video.output import Outputs
from cimnet.deploy.video.pairing import Pair, chosen, pair_frames
from cimnet.deploy.video.picture import compose
from cimnet.deploy.video.smoothing import Average, CutDetector, count_shots
from cimnet.deploy.video.timing import OffsetEstimate
from cimnet.deploy.video.video_settings import VideoSettings
from cimnet.errors import DataError
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.alarms.thresholds import ALARMS
from cimnet.inference.fitting import Fitter, frame_tensors, read_position
from cimnet.inference.frozen import FrozenWatch
from cimnet.inference.odd_frames import OddFrames
from cimnet.inference.predictor import Predictor
from cimnet.inference.prepared import PreparedPair
from cimnet.utils.legend import draw_legend
from cimnet.utils.pool import Progress

Note = Callable[[str], object]


@dataclass
class VideoResult:
    """The result of predicting a video.

    Attributes:
        frames: number of predicted RGB frames.
        skipped: number of RGB frames left out because no thermal frame was near.
        out_of_range: number of RGB frames left out because the values of their thermal frame lie outside the range of
            training.
        rgb_only: number of RGB frames predicted without a thermal frame.
        restarts: number of predicted RGB frames, after the first, at which smoothing began anew.
        offset: offset of the clocks that was used, seconds.
        estimate: how the offset was estimated. None: it was given.
        overlay, masks, table: paths of the video, the masks and the table. None: not written.
        notes: sentences that a user should know, as given to ``note``.
    """

    frames: int = 0
    skipped: int = 0
    out_of_range: int = 0
    rgb_only: int = 0
    restarts: int = 0
    offset: float = 0.0
    estimate: OffsetEstimate | None = None
    overlay: Path | None = None
    masks: Path | None = None
    table: Path | None = None
    notes: list[str] = field(default_factory=list)


class _Ready(NamedTuple):
    """A pair, its raw thermal values at the RGB frame's size (None: no frame), and what the model gets."""

    pair: Pair
    counts: Counts | None
    tensors: tuple[torch.Tensor, torch.Tensor]


class VideoRun:
    """One pass over the pairs, to be called once. What is done is counted in a :class:`VideoResult`.

    Raises:
        DataError: the calibration cannot be used.
    """

    def __init__(
        self,
        predictor: Predictor,
        sources: tuple[Source, Source],
        outputs: Outputs,
        asked: VideoSettings,
        result: VideoResult,
        note: Note,
        progress: Progress | None,
    ) -> None:
        self.predictor, self.sources, self.outputs = predictor, sources, outputs
        self.asked, self.result, self.note, self.progress = asked, result, note, progress
        self.max_gap = sources[1].interval if asked.max_gap is None else asked.max_gap
        self.calibration = read_position(asked.calibration)
        self.fitter: Fitter | None = None
        self.bar: npt.NDArray[np.uint8] | None = None
        self.frozen = [FrozenWatch(str(source.path), note) for source in sources]
        later = "; if only the beginning is out of range, begin later (--start)"
        self.odd = OddFrames(str(sources[1].path), note, later)
        self.cut, self.average = CutDetector(), Average(asked.smooth)
        self.began: float | None = None
        self.last = -1  # RGB frame
        self.shots: tuple[int, int | None] | None = None  # of the last pair

    def __call__(self) -> None:
        """Predict all.

        Raises:
            DataError: no pair.
        """
        waiting: list[_Ready] = []
        for pair in self._pairs():
            for watch, frame in zip(self.frozen, (pair.rgb, pair.thermal), strict=True):
                if frame is not None:
                    watch(frame.image, frame.time)
            ready = self._usable(pair)
            if ready is None:
                continue
            waiting.append(ready)
            if len(waiting) == self.predictor.settings.batch_size:
                self._predict(waiting)
                waiting = []
        if waiting:
            self._predict(waiting)
        self.odd.end()
        if not self.result.frames:
            raise DataError(self._why_none())

    def _pairs(self) -> Iterator[Pair]:
        """Pairs to be predicted."""
        asked, thermal = self.asked, self.sources[1]
        streams = [source.frames() for source in self.sources]
        if asked.smooth and asked.every > 1:
            streams = [count_shots(frames) for frames in streams]
        frames = chosen(streams[0], asked.every, asked.start, asked.end)
        for pair in pair_frames(frames, streams[1], self.result.offset, self.max_gap):
            if pair.thermal is not None:
                yield pair
            elif asked.missing == "rgb-only":
                self.result.rgb_only += 1
                yield pair
            elif pair.ended and self.result.frames:
                self.note(
                    f"{thermal.path}: no thermal frames for RGB from {pair.rgb.time:.2f} s on: stopped there; "
                    "--missing rgb-only continues without them"
                )
                return
            else:
                self.result.skipped += 1

    def _usable(self, pair: Pair) -> _Ready | None:
        """Return the input of the model: without the thermal frame, or None, where that is left out."""
        if pair.thermal is None:
            return self._ready(pair)
        ready = self.odd(lambda: self._ready(pair), pair.thermal.time)
        if ready is not None:
            return ready
        if self.asked.missing == "rgb-only":
            self.result.rgb_only += 1
            return self._ready(pair._replace(thermal=None))
        self.result.out_of_range += 1
        return None

    def _ready(self, pair: Pair) -> _Ready:
        """The thermal frame is brought to the RGB frame's size."""
        size = pair.rgb.image.shape[:2]
        if self.fitter is None:
            self.fitter = Fitter(size, self.calibration, self.asked.thermal_fit, self.note)
        elif size != self.fitter.size:
            was = self.fitter.size
            raise DataError(
                f"{self.sources[0].path}: frame {pair.rgb.index} is {size[1]}x{size[0]}, earlier ones are "
                f"{was[1]}x{was[0]}; predict the parts one by one (--start, --end)"
            )
        counts = None if pair.thermal is None else self.fitter(pair.thermal.image)
        tensors = frame_tensors(pair.rgb.image, counts, self.predictor, self.sources[1].path)
        return _Ready(pair, counts, tensors)

    def _predict(self, waiting: Sequence[_Ready]) -> None:
        pairs = [ready.tensors for ready in waiting]
        judge = [self.asked.alarms and ready.pair.thermal is not None for ready in waiting]
        prepared = self.predictor.prepare(pairs, judge)
        smooth = bool(self.asked.smooth)
        scores: Iterable[Any] = self._probabilities(prepared) if smooth else self.predictor.predict_prepared(prepared)
        for (pair, counts, (_, thermal)), given, found in zip(waiting, prepared, scores, strict=True):
            new_shot = self._begins_shot(pair, counts)
            self.result.restarts += smooth and new_shot and self.result.frames > 0
            mask = self.average(found, new_shot) if smooth else found
            self._write(pair, thermal, given.alarm, mask, new_shot)

    def _begins_shot(self, pair: Pair, counts: Counts | None) -> bool:
        """Tell whether smoothing begins anew: at a cut, or where frames are missing. Where frames are left out on
        purpose, it takes a cut between two neighbours, too, because motion alone changes frames that are far apart."""
        shots = pair.rgb.shot, None if pair.thermal is None else pair.thermal.shot
        cut = self.cut(pair.rgb.image, counts) and (not any(shots) or shots != self.shots)
        missing = pair.rgb.index - self.last > 4 * self.asked.every
        self.last, self.shots = pair.rgb.index, shots
        return cut or missing

    def _probabilities(self, prepared: Sequence[PreparedPair]) -> Iterator[npt.NDArray[np.float32]]:
        """(K, H, W) of each pair; in one pass where images are small enough to be seen at once."""
        if self.predictor.settings.windows(*prepared[0].rgb.shape[-2:]) is not None:
            yield from (self.predictor.proba_of_prepared(pair) for pair in prepared)
        else:
            rgb, thermal = (
                torch.stack([pair.rgb for pair in prepared]),
                torch.stack([pair.thermal for pair in prepared]),
            )
            yield from self.predictor.probabilities(rgb, thermal).numpy()

    def _write(
        self,
        pair: Pair,
        thermal: torch.Tensor,
        alarm: Alarm | None,
        mask: npt.NDArray[np.uint8],
        new_shot: bool,
    ) -> None:
        asked, colors, rgb = self.asked, self.predictor.colors, pair.rgb.image
        picture = None
        if asked.view != "none":
            if asked.legend and self.bar is None:
                panels = 3 if asked.view == "side" else 1
                self.bar = draw_legend(panels * rgb.shape[1], zip(self.predictor.classes, colors, strict=True))
            picture = compose(rgb, thermal[0].numpy(), mask, colors, self.bar, asked.view, asked.opacity)
        self.began = pair.rgb.time if self.began is None else self.began
        self.outputs.add(pair.rgb.name, mask, self._row(pair, alarm, new_shot), picture, pair.rgb.time - self.began)
        self.result.frames += 1
        if self.progress is not None:
            done = self.result.frames + self.result.skipped + self.result.out_of_range
            self.progress(done, self._expected())

    def _row(self, pair: Pair, alarm: Alarm | None, new_shot: bool) -> list[object]:
        rgb, thermal = pair.rgb, pair.thermal
        row: list[object] = [rgb.index, rgb.name, f"{rgb.time:.6f}"]
        if thermal is None:
            row += ["", "", ""]
        else:
            difference = thermal.time - rgb.time - self.result.offset
            row += [thermal.index, f"{thermal.time:.6f}", f"{difference:.6f}"]
        row.append(int(new_shot))
        if self.asked.alarms and alarm is None:  # there is no thermal frame
            row += [""] * (len(ALARMS) + 1)
        elif self.asked.alarms and alarm is not None:
            row += [*(f"{alarm.probabilities[name]:.4f}" for name in ALARMS), " ".join(alarm.raised)]
        return row

    def _expected(self) -> int:
        """RGB frames to be predicted or left out; 0: not known."""
        rgb, asked = self.sources[0], self.asked
        if rgb.total is None:
            return 0
        last = rgb.total if asked.end is None else min(rgb.total, round(asked.end / rgb.interval))
        return max(0, last - round(asked.start / rgb.interval)) // asked.every

    def _why_none(self) -> str:
        rgb, thermal = self.sources
        if not self.result.skipped:
            return f"{rgb.path}: no frame from {self.asked.start:g} s on; give another --start"
        lasts = "" if thermal.duration is None else f", and thermal lasts {thermal.duration:.2f} s"
        return (
            f"{rgb.path}, {thermal.path}: no RGB frame has a thermal frame within {self.max_gap:.3f} s at the offset "
            f"{self.result.offset:+.3f} s{lasts}; give another --time-offset, or a larger --max-gap"
        )
