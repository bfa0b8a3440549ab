"""A small HTTP end point for one trained model: `cimnet serve`, or `create_app` under a server of one's own.

app ─▶ uploads (bytes, counted) ─▶ decoding (two at a time) ─▶ batcher (one worker thread) ─▶ answers
"""

from __future__ import annotations

from cimnet.errors import ConfigError

try:
    import fastapi
    import prometheus_client
    import python_multipart
    import uvicorn
except ImportError as error:
    raise ConfigError(
        f"cimnet serve needs the extra serve ({error.name} is missing): pip install 'cimnet[serve]'"
    ) from error

from cimnet.deploy.serve.options import ServeOptions
from cimnet.deploy.serve.run_server import run_server
from cimnet.deploy.serve.service import create_app

__all__ = ["ServeOptions", "create_app", "run_server"]

del fastapi, prometheus_client, python_multipart, uvicorn
