"""A plan read by stackstac: every layer a slice of its own, mosaicked afterwards."""

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import stackstac
import xarray as xr
from rasterio.enums import Resampling
from stackstac.rio_env import LayeredEnv

from earthlab.cube.engines.layers import (
    clear_layers,
    describe_peer_cube,
    flat_layers,
    mosaic_dates,
    require_rasters,
)
from earthlab.cube.plan import CubePlan, Layer, Source
from earthlab.errors import BadRequest

_ASSET = "asset"

_GDAL = LayeredEnv(
    always={
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MULTIRANGE": "YES",
        "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    }
)
"""stackstac leaves its environment set in the threads that read with it. Its own has a file cache, from which other
readers in those threads would be given old bytes; this one has none."""


def open_with(plan: CubePlan) -> xr.Dataset:
    """The cube of a plan as stackstac reads it, lazily.

    stackstac is given plain items of one asset a band (projection extension 1, ``raster:bands``), the plan's grid
    exactly, and no properties. It works in float64 and reads full resolution, never overviews. A nodata value that
    the catalogue states and the file does not is applied after reading: resampling other than nearest mixes it in.

    Raises
    ------
    BadRequest
        For sources that are no rasters or lie behind a signer, files of several bands, and grids that have no EPSG
        code, are rotated, or run south to north.
    """
    require_rasters(plan, "stackstac")
    epsg = _require_grid(plan)
    layers = flat_layers(plan)
    clear = None
    if plan.mask and any(layer.mask for layer in layers):
        clear = clear_layers(_stack(plan, epsg, [layer.mask for layer in layers], "nearest", raw=True), plan.mask)
    arrays = []
    for at, resampling in enumerate(plan.resampling):
        values = _stack(plan, epsg, [layer.sources[at] for layer in layers], resampling)
        visible = values if clear is None else da.where(clear, values, np.nan)
        arrays.append(mosaic_dates(plan, [len(step.layers) for step in plan.steps], visible, _first_on_top))
    return describe_peer_cube(plan, arrays, "stackstac")


def _require_grid(plan: CubePlan) -> int:
    _, b, _, d, e, _ = plan.transform
    if not plan.crs.startswith("EPSG:"):
        raise BadRequest(
            'engine="stackstac" knows a CRS by its EPSG code only, and that of this plan has none. '
            'Give crs= such a code, or use engine="odc", or leave engine= out.'
        )
    if b or d or e > 0:
        raise BadRequest(
            'engine="stackstac" reads grids with north up only; this one is rotated or runs from south to north. '
            'Use engine="odc", or leave engine= out.'
        )
    several = next((s for layer in plan.layers() for s in (layer.mask, *layer.sources) if s and s.index != 1), None)
    if several:
        raise BadRequest(
            f'engine="stackstac" reads files of one band only; band {several.index} of {several.href} was planned. '
            'Use engine="odc", or leave engine= out.'
        )
    return int(plan.crs.partition(":")[2])


def _stack(
    plan: CubePlan, epsg: int, sources: Sequence[Source | None], resampling: str, *, raw: bool = False
) -> da.Array:
    layers = flat_layers(plan)
    box = plan.geobox.boundingbox
    items = [
        _item(at, layer, source, epsg, (box.left, box.bottom, box.right, box.top), raw=raw)
        for at, (layer, source) in enumerate(zip(layers, sources, strict=True))
        if source and layer.overlaps(plan.geobox)
    ]
    empty: da.Array = da.full(plan.shape, np.nan, dtype="float64", chunks=plan.chunks[1:])
    if not items:
        nothing: da.Array = da.stack([empty] * len(layers))
        return nothing
    stacked = stackstac.stack(
        items,
        assets=[_ASSET],
        epsg=epsg,
        resolution=(plan.transform[0], -plan.transform[4]),
        bounds=(box.left, box.bottom, box.right, box.top),
        snap_bounds=False,
        resampling=Resampling[resampling],
        chunksize=(1, 1, *(sizes[0] for sizes in plan.chunks[1:])),
        sortby_date=False,
        properties=False,
        band_coords=False,
        errors_as_nodata=(),
        gdal_env=_GDAL,
    )
    assert stacked.shape[2:] == plan.shape
    read = {int(name): stacked.data[row, 0] for row, name in enumerate(stacked.id.values)}
    layered: da.Array = da.stack(
        [
            _without_nodata(read[at], source, raw=raw) if source and at in read else empty
            for at, source in enumerate(sources)
        ]
    )
    return layered


def _item(
    at: int, layer: Layer, source: Source, epsg: int, grid: tuple[float, float, float, float], *, raw: bool
) -> dict[str, Any]:
    scaling = {} if raw else {"scale": source.scale, "offset": source.offset}
    place = {"proj:epsg": epsg, "proj:bbox": list(layer.bounds or grid)}
    stated = {name: value for name, value in scaling.items() if value is not None}
    return {
        "id": str(at),
        "properties": {"datetime": "2000-01-01T00:00:00Z", **place},
        "assets": {_ASSET: {"href": source.href, "raster:bands": [stated]}},
    }


def _without_nodata(values: da.Array, source: Source, *, raw: bool) -> da.Array:
    if source.nodata is None:
        return values
    scale, offset = (1.0, 0.0) if raw else (source.scale or 1.0, source.offset or 0.0)
    observed: da.Array = da.where(values == source.nodata * scale + offset, np.nan, values)
    return observed


def _first_on_top(part: da.Array) -> da.Array:
    stacked = xr.DataArray(part.rechunk({0: -1}), dims=("time", "y", "x"))
    fused: da.Array = stackstac.mosaic(stacked, dim="time", reverse=True).data
    return fused
