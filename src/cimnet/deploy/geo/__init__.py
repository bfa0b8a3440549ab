"""Aerial images: two GeoTIFFs in, one GeoTIFF of class ids out, in memory that does not grow with the rasters.

Needs the extra ``geo`` (rasterio, pyogrio)."""

import cimnet.deploy.geo.extra  # noqa: F401  # first: says which extra is missing
from cimnet.deploy.geo.areas import ClassArea
from cimnet.deploy.geo.predict_raster import GeoResult, predict_geotiff

__all__ = ["ClassArea", "GeoResult", "predict_geotiff"]
