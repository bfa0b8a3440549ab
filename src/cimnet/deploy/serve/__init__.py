"""A small HTTP endpoint for one trained model: `cimnet serve`, or `create_app` in a server of your own.

app ─▶ uploads (bytes, counted) ─▶ decoding (two at a time) ─▶ batcher (one worker thread) ─▶ answers
"""

from __future__ import annotations

from cimnet.utils.extras import require

for name in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):  # first: what is imported below needs them
    require(name, "serve", "cimnet serve")

from cimnet.deploy.serve.options import ServeOptions  # noqa: E402 - after the check
from cimnet.deploy.serve.run_server import run_server  # noqa: E402 - after the check
from cimnet.deploy.serve.service import create_app  # noqa: E402 - after the check

__all__ = ["ServeOptions", "create_app", "run_server"]
