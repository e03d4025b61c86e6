"""A plan read by the loader of odc-stac: what shares a radiometry is mosaicked while it is read."""

from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox, GeoboxTiles
from odc.loader import chunked_load, reader_driver
from odc.loader.types import RasterBandMetadata, RasterGroupMetadata, RasterLoadParams, RasterSource

from earthlab.cube.engines.layers import (
    clear_layers,
    describe_peer_cube,
    flat_layers,
    mosaic_dates,
    require_rasters,
)
from earthlab.cube.plan import CubePlan, Source

_GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": "3", "GDAL_HTTP_RETRY_DELAY": "0.5"}
"""All of GDAL's configuration that enters the graph. Left to itself odc-stac would write the AWS keys of this process
into it; workers find credentials in their own environment."""

Groups = Sequence[tuple[int, ...]]
"""Places of the layers that odc-stac sees as one date of its own."""


def open_with(plan: CubePlan) -> xr.Dataset:
    """The cube of a plan as odc-stac reads it, lazily.

    odc-stac mosaics before anything can be scaled or masked: layers of one date whose scale, offset or nodata differ,
    and all layers of a masked cube, are therefore read one by one and mosaicked afterwards. It works in float64 here,
    knows nodata values but no mask or alpha bands, and with nearest pastes a source that lies up to 0.9 pixel off the
    grid's lattice without resampling it.

    Raises
    ------
    BadRequest
        For sources that are no rasters or lie behind a signer.
    """
    require_rasters(plan, "odc")
    layers = flat_layers(plan)
    each = [[(at,) for at in places] for places in _places(plan)]
    clear = None
    if plan.mask and any(layer.mask for layer in layers):
        clear = clear_layers(_load(plan, _flat(each), [layer.mask for layer in layers], "nearest"), plan.mask)
    arrays = []
    for band, resampling in enumerate(plan.resampling):
        sources = [layer.sources[band] for layer in layers]
        dates = each if clear is not None else [_together(places, sources) for places in _places(plan)]
        values = _physical(_load(plan, _flat(dates), sources, resampling), _flat(dates), sources)
        visible = values if clear is None else da.where(clear, values, np.nan)
        arrays.append(mosaic_dates(plan, [len(groups) for groups in dates], visible, _first_on_top))
    return describe_peer_cube(plan, arrays, "odc-stac")


def _places(plan: CubePlan) -> list[range]:
    ends = np.cumsum([len(step.layers) for step in plan.steps]).tolist()
    return [range(end - len(step.layers), end) for step, end in zip(plan.steps, ends, strict=True)]


def _together(places: range, sources: Sequence[Source | None]) -> list[tuple[int, ...]]:
    ways = {(s.scale, s.offset, s.nodata) for at in places if (s := sources[at])}
    return [tuple(places)] if len(ways) <= 1 else [(at,) for at in places]


def _flat(dates: Sequence[Groups]) -> Groups:
    return [group for groups in dates for group in groups]


def _load(plan: CubePlan, groups: Groups, sources: Sequence[Source | None], resampling: str) -> da.Array:
    """Raw values, axes group, y, x, float64, NaN where there is no observation."""
    marks = list(dict.fromkeys(source.nodata for source in sources if source)) or [None]
    names = [f"nodata-{at}" for at in range(len(marks))]
    tiles = GeoboxTiles(plan.geobox, (plan.chunks[1][0], plan.chunks[2][0]))
    bands: list[Any] = [{names[marks.index(s.nodata)]: RasterSource(s.href, s.index)} if s else {} for s in sources]
    loaded = chunked_load(
        {name: _way(nodata, resampling) for name, nodata in zip(names, marks, strict=True)},
        RasterGroupMetadata({(name, 1): RasterBandMetadata("float64", np.nan) for name in names}),
        bands,
        _bins(plan, groups, tiles),
        tiles,
        [plan.steps[0].time.replace(tzinfo=None)] * len(groups),
        _GDAL,
        reader_driver("rio"),
        chunks={"time": 1, "y": plan.chunks[1][0], "x": plan.chunks[2][0]},
    )
    firsts = [next((source for at in group if (source := sources[at])), None) for group in groups]
    which = [names[marks.index(source.nodata)] if source else names[0] for source in firsts]
    stacked: da.Array = da.stack([loaded[name].data[at] for at, name in enumerate(which)])
    return stacked


def _way(nodata: float | None, resampling: str) -> RasterLoadParams:
    return RasterLoadParams("float64", fill_value=np.nan, src_nodata_override=nodata, resampling=resampling)


def _bins(plan: CubePlan, groups: Groups, tiles: GeoboxTiles) -> dict[tuple[int, int, int], list[int]]:
    layers = flat_layers(plan)
    bins: dict[tuple[int, int, int], list[int]] = {}
    for row, column in np.ndindex(*tiles.shape):
        tile = cast("GeoBox", tiles[row, column])
        for group, members in enumerate(groups):
            touching = [at for at in members if layers[at].overlaps(tile)]
            if touching:
                bins[group, row, column] = touching
    return bins


def _physical(raw: da.Array, groups: Groups, sources: Sequence[Source | None]) -> da.Array:
    firsts = [next((source for at in group if (source := sources[at])), None) for group in groups]
    scales = np.array([1.0 if s is None or s.scale is None else s.scale for s in firsts])
    offsets = np.array([0.0 if s is None or s.offset is None else s.offset for s in firsts])
    physical: da.Array = raw * scales[:, None, None] + offsets[:, None, None]
    return physical


def _first_on_top(part: da.Array) -> da.Array:
    fused: da.Array = reduce(lambda top, below: da.where(da.isnan(top), below, top), part)
    return fused
