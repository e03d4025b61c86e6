"""`el.open`: from a plan to a lazy xarray Dataset with CF attributes, and nothing proprietary downstream."""

from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.xr import xr_coords

from earthlab.catalog import ItemSet, Query
from earthlab.cube.blocks import read_block
from earthlab.cube.plan import CubePlan, plan
from earthlab.errors import BadRequest
from earthlab.types import content_token

PLAN_ATTRIBUTE = "earthlab_plan"


def open(what: CubePlan | ItemSet | Query, *args: Any, **words: Any) -> xr.Dataset:  # noqa: A001 - the contract's verb
    """The cube of a plan, or of items planned with the words of `earthlab.plan`. Lazy: no pixel is read yet.

    Parameters
    ----------
    what : CubePlan, ItemSet or Query
        A plan is opened as it is; anything else is planned first.
    *args, **words
        Those of `earthlab.plan`: ``bands``, ``resolution``, ``crs``, ``like``, ``bbox``, ``resampling``,
        ``group_by``, ``mask``.

    Returns
    -------
    xarray.Dataset
        One float32 variable a band with axes ``time`` (UTC), ``y`` and ``x`` (cell centres, in units of the CRS of
        ``spatial_ref``); NaN where there is no clear observation. One task reads all the bands of a block.

    Raises
    ------
    BadRequest, AskLess
        As `earthlab.plan` does. Computing raises `earthlab.errors.ReadFault` where a source cannot be read.
    """
    if isinstance(what, CubePlan):
        if args or words:
            raise BadRequest("open: a plan is complete; give the words to el.plan(...) instead.")
        return _open_plan(what)
    return _open_plan(plan(what, *args, **words))


def _open_plan(planned: CubePlan) -> xr.Dataset:
    blocks = _blocks(planned)
    coords = xr_coords(planned.geobox)
    y, x = planned.geobox.dimensions
    time = np.array([t.replace(tzinfo=None) for t in planned.times], dtype="datetime64[ns]")
    dataset = xr.Dataset(
        {
            name: (("time", y, x), blocks[at], {**_band_attributes(name, unit), **_nature(planned)})
            for at, (name, unit) in enumerate(zip(planned.bands, planned.units, strict=True))
        },
        coords={"time": ("time", time, {"standard_name": "time", "long_name": "date d'observation (UTC)"}), **coords},
    )
    return dataset.assign_attrs(_attributes(planned))


def _blocks(planned: CubePlan) -> da.Array:
    blocks: da.Array = da.map_blocks(
        partial(read_block, planned),
        chunks=((len(planned.bands),), *planned.chunks),
        dtype="float32",
        meta=np.empty((0, 0, 0, 0), "float32"),
        name=f"earthlab-{planned.token}-{content_token(planned.chunks)[:8]}",
    )
    return blocks


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
