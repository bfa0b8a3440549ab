"""Two cameras at work: the newest pair of frames through the model, over and over."""

from __future__ import annotations

from cimnet.deploy.video.live.run_live import run_live
from cimnet.deploy.video.live.settings import LiveSettings

__all__ = ["LiveSettings", "run_live"]
