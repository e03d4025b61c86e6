"""A shared cube as a STAC item: found by the same search as what it was made of."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from earthlab.catalog.licences import most_restrictive
from earthlab.cube.grid import AXES
from earthlab.cube.plan import CubePlan
from earthlab.cube.shared.layout import Marker

COLLECTION = "earthlab-cubes"

_EXTENSIONS = (
    "https://stac-extensions.github.io/datacube/v2.2.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
    "https://stac-extensions.github.io/zarr/v1.1.0/schema.json",
)
_ZARR = "application/vnd.zarr; version=3"


def write_item(marker: Marker, href: str) -> dict[str, Any]:
    """The STAC 1.1 item of a shared cube: datacube, projection, scientific and zarr extensions.

    It is derived from the items of the plan, whose licences and citation it carries.

    Parameters
    ----------
    marker : Marker
        What the cube says of itself.
    href : str
        Path or URL of its Zarr group.
    """
    plan = marker.plan
    outline = plan.geobox.footprint("EPSG:4326", npoints=20)
    first, last = plan.times[0], plan.times[-1]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": f"cube-{marker.token}",
        "collection": COLLECTION,
        "geometry": _rounded(outline),
        "bbox": _box(outline),
        "properties": {
            "title": f"{', '.join(plan.collections)} : {', '.join(plan.bands)}",
            "datetime": None if first != last else _moment(first),
            "start_datetime": _moment(first),
            "end_datetime": _moment(last),
            "created": marker.created,
            "license": most_restrictive(plan.licences),
            "earthlab:licences": list(plan.licences),
            "earthlab:token": marker.token,
            "earthlab:access": plan.access,
            "earthlab:simulated": plan.simulated,
            "sci:citation": plan.citation,
            **_projection(plan.geobox),
            "cube:dimensions": _dimensions(plan),
            "cube:variables": _variables(plan),
        },
        "links": _lineage(plan),
        "assets": {
            "cube": {
                "href": href,
                "type": _ZARR,
                "title": "Zarr v3, CF-1.11, GeoZarr",
                "roles": ["data"],
                "zarr:zarr_format": 3,
                "zarr:node_type": "group",
                "zarr:consolidated": True,
                "bands": [{"name": name, "unit": unit} for name, unit in zip(plan.bands, plan.units, strict=True)],
                "file:size": marker.size,
            }
        },
    }


def _rounded(outline: Geometry) -> dict[str, Any]:
    """The outline to the centimetre: its edges bend in degrees, and are given by twenty points each."""
    shape: dict[str, Any] = shapely.geometry.mapping(shapely.set_precision(outline.geom, 1e-7))
    return shape


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _box(outline: Geometry) -> list[float]:
    box = outline.boundingbox
    return [box.left, box.bottom, box.right, box.top]


def _projection(grid: GeoBox) -> Mapping[str, Any]:
    assert grid.crs is not None
    box = grid.boundingbox
    code = f"EPSG:{grid.crs.epsg}" if grid.crs.epsg else None
    return {
        "proj:code": code,
        **({} if code else {"proj:wkt2": grid.crs.to_wkt()}),
        "proj:shape": list(grid.shape),
        "proj:transform": [float(number) for number in grid.transform[:6]],
        "proj:bbox": [box.left, box.bottom, box.right, box.top],
    }


def _dimensions(plan: CubePlan) -> dict[str, Any]:
    grid = plan.geobox
    assert grid.crs is not None
    system = grid.crs.epsg or grid.crs.to_wkt()
    times = [_moment(moment) for moment in plan.times]
    dimensions: dict[str, Any] = {
        "time": {"type": "temporal", "extent": [times[0], times[-1]], "values": times},
    }
    for axis, coordinate in zip(AXES, grid.coordinates.values(), strict=True):
        values = np.asarray(coordinate.values)
        dimensions[axis] = {
            "type": "spatial",
            "axis": axis,
            "extent": [float(values.min()), float(values.max())],
            "step": abs(float(coordinate.resolution)),
            "reference_system": system,
        }
    return dimensions


def _variables(plan: CubePlan) -> dict[str, Any]:
    axes = ["time", *AXES]
    return {
        name: {"type": "data", "dimensions": axes, "unit": unit, "data_type": "float32", "nodata": "nan"}
        for name, unit in zip(plan.bands, plan.units, strict=True)
    }


def _lineage(plan: CubePlan) -> list[dict[str, str]]:
    names = dict.fromkeys((plan.collection_of(layer), layer.item) for layer in plan.layers())
    return [
        {
            "rel": "derived_from",
            "href": f"urn:earthlab:item:{quote(collection, safe='')}:{quote(name, safe='')}",
            "type": "application/geo+json",
            "title": name,
        }
        for collection, name in names
    ]
