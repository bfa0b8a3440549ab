"""Videos: pairs by time, masks and an overlay video."""

from __future__ import annotations

from cimnet.deploy.video.predict_video import predict_video
from cimnet.deploy.video.timing import OffsetEstimate, estimate_offset
from cimnet.deploy.video.video_run import VideoResult
from cimnet.deploy.video.video_settings import VideoSettings

__all__ = ["OffsetEstimate", "VideoResult", "VideoSettings", "estimate_offset", "predict_video"]
