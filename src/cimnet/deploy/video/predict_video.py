"""Segment a video of each sensor into masks, an overlay video and a table of frames."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cimnet.data.io.bands import Bands
from cimnet.data.io.readers import same_file
from cimnet.data.io.thermal_files import Wanted
from cimnet.deploy.video.counters import shared_times
from cimnet.deploy.video.crop import parse_crop
from cimnet.deploy.video.frames import Source
from cimnet.deploy.video.image_source import ImageSource
from cimnet.deploy.video.one_file import images_of_both, tell_apart
from cimnet.deploy.video.output import Outputs
from cimnet.deploy.video.pairing import chosen
from cimnet.deploy.video.sources import VideoSource, open_source
from cimnet.deploy.video.timing import estimate_offset
from cimnet.deploy.video.video_run import Note, VideoResult, VideoRun
from cimnet.deploy.video.video_settings import VideoSettings
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.inference.alarms.thresholds import ALARMS
from cimnet.inference.images import wanted
from cimnet.inference.jobs.matching import check_described, described_folder
from cimnet.inference.predictor import Predictor
from cimnet.utils.numbers import pluralize
from cimnet.utils.pool import Progress


def predict_video(
    predictor: Predictor,
    rgb: str | Path,
    thermal: str | Path,
    out: str | Path,
    masks: str | Path | None = None,
    progress: Progress | None = None,
    note: Note | None = None,
    **settings: Any,
) -> VideoResult:
    """Segment two videos, or two folders of numbered images, in memory that does not grow with their length.

    Masks are PNG files of class ids (H, W), named by the number of the RGB frame or by the name of the image. If an
    error, a damaged file or Ctrl-C (KeyboardInterrupt) ends the run, what is done is kept and the video is finished.

    Args:
        predictor: the model, from :func:`cimnet.load`; ``batch_size`` frames go through it at once.
        rgb, thermal: video files or folders of images.
        out: a folder for ``overlay.mp4``, ``masks/`` and ``frames.csv``; or the name of a video file.
        masks: folder for masks and ``frames.csv`` if ``out`` is a video file. None: none.
        progress: called with the number of finished RGB frames and the total, 0 if unknown.
        note: called with each sentence that a user should know.
        settings: fields of :class:`cimnet.deploy.video.VideoSettings`.

    Raises:
        DataError: an input cannot be used, the thermal frames have another depth than in training, no frame has a
            partner, or the offset cannot be estimated.
        ConfigError: a setting is out of range, or PyAV is missing.
        CheckpointError: alarms are asked for, and the checkpoint has none.
        CimnetError: an output exists or cannot be written.
    """
    asked = VideoSettings(**settings)
    predictor.info.second.require_one_channel(
        "cimnet video", "save the frames as files and give the folders to `cimnet predict`"
    )
    if asked.alarms:
        predictor.alarm_model()  # before anything is written
    result = VideoResult()
    report = partial(_report, result, note)
    asked, sources = open_sources(
        Path(rgb), Path(thermal), asked, report, wanted(predictor.info, unit=predictor.settings.thermal_unit)
    )
    columns = (*ALARMS, "raised") if asked.alarms else ()
    rate = 1 / (sources[0].interval * asked.every)
    outputs = Outputs(
        Path(out),
        None if masks is None else Path(masks),
        asked.view != "none",
        rate,
        asked.overwrite,
        columns,
        [Path(rgb), Path(thermal)],
    )
    run = VideoRun(predictor, sources, outputs, asked, result, report, progress)
    _set_offset(result, sources, asked, report)
    with outputs:
        try:
            run()
        except CimnetError as error:
            kept = (
                f"; of the {pluralize(result.frames, 'frame')} before, what was written is kept"
                if result.frames
                else ""
            )
            raise type(error)(f"{error}{kept}") from error
    result.overlay, result.masks, result.table = outputs.overlay, outputs.masks, outputs.table
    for source in sources:
        for problem in source.problems:
            report(problem)
    if result.skipped:
        report(f"{pluralize(result.skipped, 'RGB frame')} left out: no thermal frame within {run.max_gap:.3f} s")
    if result.restarts:
        frames = pluralize(result.frames, "frame")
        report(f"smoothing restarted at {result.restarts} of {frames}: a cut, or frames are missing")
    return result


def _report(result: VideoResult, note: Note | None, text: str) -> None:
    result.notes.append(text)
    if note is not None:
        note(text)


def open_sources(
    rgb: Path, thermal: Path, asked: VideoSettings, note: Note, needs: Wanted
) -> tuple[VideoSettings, tuple[Source, Source]]:
    """Both sources. Where one file is given for both, and the user does not say which part is which, find out. The
    images of one folder given for both are paired by name, and have the times of the RGB images; its YAML says bands,
    unit and kind of the images. They keep the border that it declares."""
    places = (asked.rgb_stream, asked.thermal_stream, asked.rgb_crop, asked.thermal_crop)
    if places == (None,) * 4 and rgb.is_file() and same_file(rgb, thermal):
        asked, sentence = tell_apart(rgb, asked)
        note(sentence)
    bands = Bands("embedded") if asked.rgb_embedded else None
    described = described_folder(rgb, thermal)
    if described is not None:
        check_described(described, needs.second, note)
        bands = bands or described.bands
        needs = replace(needs, bands=bands, declared=needs.declared or described.thermal_unit)
    embedded = bands is not None and bands.embedded
    files = (None, None) if embedded else images_of_both(rgb, thermal, note)
    if files != (None, None) or (embedded and same_file(rgb, thermal)):
        asked = replace(asked, thermal_fps=asked.thermal_fps or asked.fps)
    crops = parse_crop(asked.rgb_crop, "rgb_crop"), parse_crop(asked.thermal_crop, "thermal_crop")
    streams = asked.rgb_stream or 0, asked.thermal_stream or 0
    if rgb.is_file() and same_file(rgb, thermal) and (streams[0], crops[0]) == (streams[1], crops[1]):
        raise ConfigError(
            f"{rgb}: stream {streams[0]} is given for both sensors; give another --thermal-stream, or say which part "
            "of the picture shows which, such as --rgb-crop left --thermal-crop right"
        )
    sources = (
        open_source(rgb, "rgb", asked.fps, asked.rgb_stream, crops[0], files=files[0], bands=bands),
        open_source(thermal, "thermal", asked.thermal_fps, asked.thermal_stream, crops[1], needs, files[1]),
    )
    _share_clock(*sources, note)
    for source, fps, option in zip(sources, (asked.fps, asked.thermal_fps), ("fps", "thermal_fps"), strict=True):
        if source.start is not None and fps is not None:
            note(f"{source.path}: the names hold times, which are used; {option} is ignored")
    return asked, sources


def _share_clock(rgb: Source, thermal: Source, note: Note) -> None:
    """Count the times of both from the first RGB image where the names of both hold times or count alike, or where both
    are streams of one file; else each clock begins at its own first frame."""
    if rgb.start is not None and isinstance(thermal, ImageSource):
        thermal.count_from(rgb.start)
    elif isinstance(rgb, ImageSource) and isinstance(thermal, ImageSource):
        if rgb.counter is not None and thermal.counter is not None:
            times, sentence = shared_times(rgb.counter, thermal.counter)
            if times is not None:
                rgb.times, thermal.times = times
            if sentence:
                note(f"{rgb.path}, {thermal.path}: {sentence}")
    elif isinstance(rgb, VideoSource) and isinstance(thermal, VideoSource) and same_file(rgb.path, thermal.path):
        thermal.count_from(rgb.first)


def _set_offset(result: VideoResult, sources: tuple[Source, Source], asked: VideoSettings, note: Note) -> None:
    """Take the offset that is given, or estimate it from the part that is to be predicted."""
    if asked.time_offset != "estimate":
        result.offset = float(asked.time_offset)
        return
    frames = [chosen(source.frames(), 1, asked.start, None) for source in sources]
    found = estimate_offset(frames[0], frames[1])
    if found.offset is None:
        raise DataError(
            f"{sources[0].path}, {sources[1].path}: the time offset cannot be found ({found.reason}); give it by hand "
            "(--time-offset SECONDS), from a moment that both show"
        )
    result.estimate, result.offset = found, found.offset
    note(f"time offset {found.offset:+.3f} s, confidence {found.confidence:.2f} (by {found.reason})")
