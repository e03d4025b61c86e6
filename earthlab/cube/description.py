"""What a cube says of itself: coordinates, CF attributes, its plan; the same whoever reads its values."""

import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from earthlab.cube.grid import AXES
from earthlab.cube.plan import CubePlan, Encoding

PLAN_ATTRIBUTE = "earthlab_plan"

_PROJECTED = ("projection_y_coordinate", "projection_x_coordinate")


def describe_cube(planned: CubePlan, arrays: Sequence[Any]) -> xr.Dataset:
    """The Dataset of a plan: arrays of its bands (axes time, y, x) with coordinates, CF attributes and the plan."""
    time = np.array([t.replace(tzinfo=None) for t in planned.times], dtype="datetime64[ns]")
    dataset = xr.Dataset(
        {
            name: (("time", *AXES), array, {**_band_attributes(name, unit), **_nature(planned)}, _encoding(encoding))
            for name, unit, encoding, array in zip(planned.bands, planned.units, planned.encodings, arrays, strict=True)
        },
        coords={
            "time": ("time", time, {"standard_name": "time", "long_name": "date d'observation (UTC)"}),
            **_grid_coordinates(planned.geobox),
        },
    )
    return dataset.assign_attrs(_attributes(planned))


def _grid_coordinates(geobox: GeoBox) -> dict[Hashable, xr.DataArray]:
    with warnings.catch_warnings():
        # Of what CF has no words for, as the turn of the Swiss grid: nothing is lost, it stands in `crs_wkt`.
        warnings.filterwarnings("ignore", message=".* lost in conversion to CF", category=UserWarning)
        coordinates = xr_coords(geobox, dims=AXES)
    if geobox.axis_aligned:  # else they count pixels
        assert geobox.crs is not None
        names = ("latitude", "longitude") if geobox.crs.geographic else _PROJECTED
        for axis, name in zip(AXES, names, strict=True):
            coordinates[axis].attrs |= {"standard_name": name, "axis": axis.upper()}
    return coordinates


def _encoding(stored: Encoding | None) -> dict[str, Any]:
    if stored is None:
        return {"dtype": "float32"}
    shift = {"add_offset": stored.offset} if stored.offset else {}
    fill = np.dtype(stored.dtype).type(stored.fill)
    return {"dtype": stored.dtype, "scale_factor": stored.scale, "_FillValue": fill, **shift}


def _band_attributes(name: str, unit: str) -> dict[str, str]:
    return {"long_name": name, "units": unit, "grid_mapping": "spatial_ref"}


def _nature(planned: CubePlan) -> dict[str, str]:
    words = "DONNÉES SIMULÉES – aucune observation / SIMULATED – no observation"
    return {"comment": words} if planned.simulated else {}


def _attributes(planned: CubePlan) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "title": ", ".join(planned.collections),
        "references": planned.citation,
        "source": f"{sum(1 for _ in planned.layers())} STAC items of {', '.join(planned.collections)}",
        "license": " ; ".join(planned.licences),
        **_nature(planned),
        "earthlab_token": planned.token,
        PLAN_ATTRIBUTE: planned.to_json(),
    }
