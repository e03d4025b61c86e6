"""The attributes that let other programs place a stored cube: CF, and the GeoZarr conventions.

CF-1.11, section 5.6: a ``spatial_ref`` variable with ``crs_wkt``, and GDAL's ``GeoTransform``; each band names it in
``grid_mapping``. GeoZarr as of 2026: the conventions *proj* and *spatial*, version 0.1, of
https://github.com/zarr-conventions, both still pilots: their whole vocabulary is in this module.
"""

from typing import Any

from odc.geo.geobox import GeoBox

from earthlab.cube.grid import AXES

_REGISTERED = {
    "proj": ("f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data"),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
}


def geozarr_attributes(geobox: GeoBox) -> dict[str, Any]:
    """What a Zarr group says of the grid of its arrays.

    Sources: https://github.com/zarr-conventions/proj/blob/v0.1/README.md,
    https://github.com/zarr-conventions/spatial/blob/v0.1/README.md
    """
    assert geobox.crs is not None
    box = geobox.boundingbox
    code = {"proj:code": f"EPSG:{geobox.crs.epsg}"} if geobox.crs.epsg else {}
    return {
        "zarr_conventions": [_registration(name) for name in _REGISTERED],
        **code,
        "proj:wkt2": geobox.crs.to_wkt(),
        "spatial:dimensions": list(AXES),
        "spatial:shape": list(geobox.shape),
        "spatial:transform": [float(number) for number in geobox.transform[:6]],
        "spatial:bbox": [box.left, box.bottom, box.right, box.top],
        "spatial:registration": "pixel",
    }


def _registration(name: str) -> dict[str, str]:
    uuid, description = _REGISTERED[name]
    return {
        "uuid": uuid,
        "name": name,
        "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{name}/refs/tags/v0.1/schema.json",
        "spec_url": f"https://github.com/zarr-conventions/{name}/blob/v0.1/README.md",
        "description": description,
    }
