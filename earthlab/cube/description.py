"""What a cube says of itself: coordinates, CF attributes, its plan; the same whoever reads its values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.xr import xr_coords

from earthlab.cube.plan import CubePlan, Encoding

PLAN_ATTRIBUTE = "earthlab_plan"


def describe_cube(planned: CubePlan, arrays: Sequence[Any]) -> xr.Dataset:
    """The Dataset of a plan: arrays of its bands (axes time, y, x) with coordinates, CF attributes and the plan."""
    y, x = planned.geobox.dimensions
    time = np.array([t.replace(tzinfo=None) for t in planned.times], dtype="datetime64[ns]")
    dataset = xr.Dataset(
        {
            name: (("time", y, x), array, {**_band_attributes(name, unit), **_nature(planned)}, _encoding(encoding))
            for name, unit, encoding, array in zip(planned.bands, planned.units, planned.encodings, arrays, strict=True)
        },
        coords={
            "time": ("time", time, {"standard_name": "time", "long_name": "date d'observation (UTC)"}),
            **xr_coords(planned.geobox),
        },
    )
    return dataset.assign_attrs(_attributes(planned))


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
        **_nature(planned),
        "earthlab_token": planned.token,
        PLAN_ATTRIBUTE: planned.to_json(),
    }
