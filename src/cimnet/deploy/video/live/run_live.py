"""Open both streams, predict, and pass the results on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cimnet.data.io.readers import same_file
from cimnet.deploy.video.crop import parse_crop
from cimnet.deploy.video.live.address import parse_address
from cimnet.deploy.video.live.feed import Feed
from cimnet.deploy.video.live.outputs import LiveOutputs
from cimnet.deploy.video.live.page import LivePage
from cimnet.deploy.video.live.session import LiveSession, Note
from cimnet.deploy.video.live.settings import LiveSettings
from cimnet.deploy.video.sources import pyav
from cimnet.errors import ConfigError
from cimnet.inference.images import wanted
from cimnet.inference.predictor import Predictor

REPORT_SECONDS = 5.0


def run_live(
    predictor: Predictor,
    rgb: str,
    thermal: str,
    asked: LiveSettings,
    *,
    record: Path | None = None,
    masks: Path | None = None,
    page: tuple[str, int] | None = None,
    allow_hosts: Iterable[str] = (),
    overwrite: bool = False,
    note: Note = lambda _: None,
    report: Callable[[dict[str, Any]], object] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Predict the newest pair of two live streams until ``stopped``.

    Frames that the model has no time for are dropped, never queued: memory and latency stay level, however slow the
    model is. When one stream is lost, the other one is predicted alone until it is back.

    Args:
        predictor: the model, from :func:`cimnet.load`.
        rgb, thermal: addresses of the streams: ``rtsp://…``, ``udp://…``, ``tcp://…``, a device such as
            ``/dev/video0``, a video file, a folder into which images are written, or ``-`` for standard input.
        asked: settings of the run.
        record: video file for the overlay. None: none.
        masks: folder for masks, or ``-`` for their bytes on standard output. None: none.
        page: host and port of a page for a browser. None: no page.
        allow_hosts: names under which browsers may open the page, in addition to IP addresses and the names of this
            machine; ``*``: any name.
        overwrite: whether to replace files of an earlier run.
        note: called with each sentence that a user should know.
        report: called every few seconds with counts, rates and latency.
        stopped: called before each pair; the run ends when it returns True.

    Returns:
        Counts, rates and latency at the end.

    Raises:
        DataError: a stream cannot be used.
        ConfigError: a setting cannot be used, or PyAV is missing.
        CheckpointError: alarms are asked for, and the checkpoint has none.
        CimnetError: an output cannot be written.
    """
    pyav()
    addresses = parse_address(rgb, "--rgb"), parse_address(thermal, "--thermal")
    if addresses[0].target == addresses[1].target == "-":
        raise ConfigError("--rgb - --thermal -: both cannot come from standard input; give one a named pipe")
    crops = parse_crop(asked.rgb_crop, "--rgb-crop"), parse_crop(asked.thermal_crop, "--thermal-crop")
    if crops[0] == crops[1] and same_file(Path(rgb), Path(thermal)):
        raise ConfigError(
            f"--rgb {addresses[0].text}: given for both sensors; give --thermal another source, or say which part of "
            "the picture shows which, such as --rgb-crop left --thermal-crop right"
        )
    predictor.info.second.require_one_channel("cimnet live", "send pairs of files to `cimnet serve`")
    if asked.alarms:
        predictor.alarm_model()
    needs = wanted(predictor.info, unit=predictor.settings.thermal_unit)
    news, epoch = threading.Condition(), time.monotonic()
    feeds = (
        Feed(addresses[0], "rgb", news, epoch, crops[0], hold=max(0.0, asked.offset)),
        Feed(addresses[1], "thermal", news, epoch, crops[1], needs, max(0.0, -asked.offset)),
    )
    session = LiveSession(predictor, *feeds, news, asked, note)
    with ExitStack() as stack:
        inputs = [Path(address.text) for address in addresses if address.medium in ("file", "folder")]
        inputs += [] if asked.calibration is None else [asked.calibration]
        outputs = stack.enter_context(LiveOutputs(record, masks, overwrite, inputs))
        shown = None
        if page is not None:
            shown = LivePage(predictor.classes, predictor.colors, session.status, *page, allow_hosts)
            stack.enter_context(shown)
            note(f"page: {shown.address}")
        stack.callback(_stop, feeds)
        for feed in feeds:
            feed.start()
        due = time.monotonic() + REPORT_SECONDS
        for result in session.results(stopped):
            outputs.add(result)
            if shown is not None:
                shown.show(result)
            if time.monotonic() >= due:
                due = time.monotonic() + REPORT_SECONDS
                report(session.status())
        status = session.status()
    return status


def _stop(feeds: Sequence[Feed]) -> None:
    for feed in feeds:
        feed.stop()
    for feed in feeds:
        feed.join(2.0)
