"""Whether rasterio is there."""

from importlib.util import find_spec

from cimnet.errors import ConfigError

if find_spec("rasterio") is None:
    raise ConfigError("aerial images need the extra geo: pip install 'cimnet[geo]'")
