"""The attributes that let other programs place a stored cube: CF, and the GeoZarr conventions.

CF-1.11, section 5.6: a ``spatial_ref`` variable with ``crs_wkt``, and GDAL's ``GeoTransform``; each band names it in
``grid_mapping``. GeoZarr as of 2026: the conventions *proj*, *spatial* and *multiscales*, version 0.1, of
https://github.com/zarr-conventions, all still pilots: what we say in them is in this module.
"""

from collections.abc import Collection, Sequence
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from earthlab.cube.grid import AXES
from earthlab.cube.shared.levels import Level

_REGISTERED = {
    "proj": ("f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data"),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
    "multiscales": ("d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets"),
}
_OF_A_GRID = ("proj", "spatial")


def geozarr_attributes(geobox: GeoBox) -> dict[str, Any]:
    """What a Zarr group says of the grid of its arrays.

    Sources: https://github.com/zarr-conventions/proj/blob/v0.1/README.md,
    https://github.com/zarr-conventions/spatial/blob/v0.1/README.md
    """
    assert geobox.crs is not None
    box = geobox.boundingbox
    code = {"proj:code": f"EPSG:{geobox.crs.epsg}"} if geobox.crs.epsg else {}
    return {
        "zarr_conventions": [_registration(name) for name in _OF_A_GRID],
        **code,
        "proj:wkt2": geobox.crs.to_wkt(),
        "spatial:dimensions": list(AXES),
        "spatial:shape": list(geobox.shape),
        "spatial:transform": [float(number) for number in geobox.transform[:6]],
        "spatial:bbox": [box.left, box.bottom, box.right, box.top],
        "spatial:registration": "pixel",
    }


def multiscales_attributes(geobox: GeoBox, levels: Sequence[Level], *, sampled: Collection[bool]) -> dict[str, Any]:
    """What the group of a cube says of the levels below it. Paths are relative to it; it is itself the first level.

    Parameters
    ----------
    geobox : GeoBox
        The grid of the cube itself.
    levels : sequence of Level
        Its overviews.
    sampled : collection of bool
        Of each band, whether a level's pixel is one of the cube's, and not the mean of some. Where bands differ, only
        ``cell_methods`` of each says how it was made.

    Source: https://github.com/zarr-conventions/multiscales/blob/v0.1/README.md
    """
    method = {"resampling_method": "nearest" if all(sampled) else "average"} if len(set(sampled)) == 1 else {}
    first = {"asset": ".", "transform": _step(1), **_placed(geobox.transform, geobox.shape)}
    others = (
        {
            "asset": level.group,
            "derived_from": ".",
            "transform": _step(level.factor),
            **_placed(geobox.transform * Affine.scale(level.factor), level.shape[1:]),
        }
        for level in levels
    )
    return {
        "zarr_conventions": [_registration(name) for name in _REGISTERED],
        "multiscales": {"layout": [first, *others], **method},
    }


def _step(factor: int) -> dict[str, list[float]]:
    return {"scale": [float(factor), float(factor)], "translation": [0.0, 0.0]}


def _placed(transform: Affine, shape: Sequence[int]) -> dict[str, Any]:
    return {"spatial:transform": [float(number) for number in transform[:6]], "spatial:shape": list(shape)}


def _registration(name: str) -> dict[str, str]:
    uuid, description = _REGISTERED[name]
    return {
        "uuid": uuid,
        "name": name,
        "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{name}/refs/tags/v0.1/schema.json",
        "spec_url": f"https://github.com/zarr-conventions/{name}/blob/v0.1/README.md",
        "description": description,
    }
