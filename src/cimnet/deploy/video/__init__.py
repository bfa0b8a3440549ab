"""Videos: pairs by time, masks and an overlay video."""

from __future__ import annotations

from cimnet.deploy.video.predict import VideoResult, predict_video
from cimnet.deploy.video.settings import VideoSettings
from cimnet.deploy.video.timing import OffsetEstimate, estimate_offset

__all__ = ["OffsetEstimate", "VideoResult", "VideoSettings", "estimate_offset", "predict_video"]
