"""Live cameras: run the model on the newest pair of frames, over and over."""

from __future__ import annotations

from cimnet.deploy.video.live.run_live import run_live
from cimnet.deploy.video.live.settings import LiveSettings

__all__ = ["LiveSettings", "run_live"]
