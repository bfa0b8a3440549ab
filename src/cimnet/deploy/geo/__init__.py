"""Aerial images: segment two GeoTIFFs into one GeoTIFF of class ids, in memory that does not grow with the rasters.

Needs the extra ``geo`` (rasterio, pyogrio)."""

from cimnet.utils.extras import require
from cimnet.utils.gdal import leave_out_network_drivers

leave_out_network_drivers()
require("rasterio", "geo", "aerial images")  # first: what is imported below needs it

from cimnet.deploy.geo.areas import ClassArea  # noqa: E402 - after the check
from cimnet.deploy.geo.check_pair import PairCheck, check_rasters  # noqa: E402 - after the check
from cimnet.deploy.geo.predict_raster import GeoResult, predict_geotiff  # noqa: E402 - after the check

__all__ = ["ClassArea", "GeoResult", "PairCheck", "check_rasters", "predict_geotiff"]
