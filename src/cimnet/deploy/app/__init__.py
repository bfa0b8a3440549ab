"""A page in the browser on which a pair is degraded with sliders and the mask follows. Needs the extra ``app``.

`serve` runs it, `mount` puts it into a FastAPI application of yours."""

from cimnet.deploy.app.server import build_app, mount, serve
from cimnet.deploy.app.uploads import Limits

__all__ = ["Limits", "build_app", "mount", "serve"]
