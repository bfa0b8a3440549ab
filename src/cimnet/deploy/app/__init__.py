"""A page in the browser: a pair goes in, is degraded with sliders, and the mask answers. Needs the extra ``app``.

`serve` runs it, `mount` puts it into a FastAPI application of yours."""

from cimnet.deploy.app.server import build_app, mount, serve
from cimnet.deploy.app.uploads import Limits

__all__ = ["Limits", "build_app", "mount", "serve"]
