"""Videos: pairs by time, masks and an overlay video."""

from __future__ import annotations

from cimnet.video.predict import VideoResult, predict_video
from cimnet.video.settings import VideoSettings
from cimnet.video.timing import OffsetEstimate, estimate_offset

__all__ = ["OffsetEstimate", "VideoResult", "VideoSettings", "estimate_offset", "predict_video"]
