"""GDAL without its network and with few of its drivers, so that addresses and files named in a file are not opened.

Inside :func:`offline` GDAL has no network. In a process that :func:`limit_process` was called in, such as that of
``cimnet``, or that such a process started, it never has one, and drivers outside of :data:`DRIVERS` are not there.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DRIVERS = frozenset(
    {
        *("GTiff", "COG", "VRT", "PNG", "JPEG", "BMP"),  # rasters and images; the sources of a VRT are checked before
        *("MEM", "Memory"),  # rasterio's own work
        "GPKG",  # polygons, where rasterio and pyogrio share one GDAL
    }
)
"""The drivers that stay."""
OFFLINE = {
    "GDAL_HTTP_PROXY": "none://",  # no such kind: the HTTP client gives up before it opens a socket or asks for a name
    "GDAL_HTTPS_PROXY": "none://",
    "GDAL_HTTP_NOPROXY": "",
    "GDAL_HTTP_MAX_RETRY": "0",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
}
"""GDAL's settings without a network, for `rasterio.Env` or the environment."""
_MARK = "CPL_VSIL_CURL_ALLOWED_FILENAME"  # in the environment of a process that is limited
_NETWORK = ("WMS", "WCS", "WMTS", "HTTP", "PLMOSAIC", "EEDA", "EEDAI", "DAAS", "STACIT", "STACTA", "GTI", "OGCAPI")


def limit_process() -> None:
    """Switch GDAL's network off for this process and those that it starts, whoever calls GDAL there. All drivers
    except :data:`DRIVERS` are removed when GDAL is first used through :func:`offline`.

    For programs that are a process of their own; a library leaves the drivers to the program that uses it.
    """
    os.environ.update(OFFLINE)
    leave_out_network_drivers()


def leave_out_network_drivers() -> None:
    """Tell GDAL to leave out the drivers that send requests; it listens if rasterio is not imported yet."""
    if "rasterio" not in sys.modules:
        skipped = filter(None, os.environ.get("GDAL_SKIP", "").split(","))
        os.environ["GDAL_SKIP"] = ",".join(dict.fromkeys((*skipped, *_NETWORK)))


@contextmanager
def offline(**options: Any) -> Iterator[None]:
    """GDAL, through rasterio, without a network and with these settings."""
    import rasterio

    with rasterio.Env(**options, **OFFLINE) as environment:
        if os.environ.get(_MARK) == OFFLINE[_MARK]:
            _remove_drivers(set(environment.drivers()) - DRIVERS)
        yield


def _remove_drivers(names: set[str]) -> None:
    """Rasterio has no call for it, so GDAL is asked, in whatever library rasterio was linked with. Where that cannot be
    found by its symbols (Windows), the drivers stay, without a network."""
    if not names:
        return
    from rasterio import _base

    try:
        gdal = ctypes.CDLL(_base.__file__)
        gdal.GDALGetDriverByName.restype, gdal.GDALGetDriverByName.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        gdal.GDALDeregisterDriver.restype, gdal.GDALDeregisterDriver.argtypes = None, [ctypes.c_void_p]
    except (OSError, AttributeError):
        return
    for name in names:
        gdal.GDALDeregisterDriver(gdal.GDALGetDriverByName(name.encode()))
