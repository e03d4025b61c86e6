"""One block of a cube: all bands and dates of one tile, read in one task."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from earthlab.cube.plan import CubePlan, Layer, Source
from earthlab.cube.readers.raster import read_raster
from earthlab.errors import ReadFault

Array = np.ndarray[Any, np.dtype[Any]]
Fetched = tuple[int, Layer, "list[Future[Array] | None]"]
"""Place of a date within the block, one of its layers, and its windows being read: the mask's, then each band's."""

WINDOWS_AT_ONCE = 8
"""Windows of one block fetched concurrently: enough to hide a store's latency, few enough to be polite to it.
No more layers are read ahead than that, so that a mosaic of many items takes no more memory than one of few."""


def read_block(plan: CubePlan, block_id: tuple[int, int, int, int]) -> Array:
    """The values of one block, float32, axes band, time, y, x; NaN where there is no clear observation.

    Parameters
    ----------
    plan : CubePlan
        What the cube is.
    block_id : tuple of int
        Place of the block along band (always 0), time, y and x.

    Raises
    ------
    ReadFault
        Where a source cannot be read; the message names the item, the band and the cause. A failed read never
        becomes a value.
    """
    times, rows, columns = (_span(sizes, at) for sizes, at in zip(plan.chunks, block_id[1:], strict=True))
    tile = plan.geobox[rows, columns]
    out = np.full((len(plan.bands), times.stop - times.start, *tile.shape), np.nan, "float32")
    with ThreadPoolExecutor(WINDOWS_AT_ONCE, thread_name_prefix="earthlab-read") as pool:
        windows = (
            (at, layer, list(_fetch(plan, layer, tile, pool)))
            for at, step in enumerate(plan.steps[times])
            for layer in step.layers
            if _overlaps(layer, tile)
        )
        for at, layer, (flags, *values) in _ahead(windows, _layers_ahead(plan, times)):
            _lay_under(out[:, at], layer, values, _clear(plan, flags))
    return out


def _layers_ahead(plan: CubePlan, times: slice) -> int:
    windows = len(plan.bands) + (plan.mask is not None)
    return max(1, min(WINDOWS_AT_ONCE // windows, len(plan.steps[times])))


def _ahead(layers: Iterator[Fetched], most: int) -> Iterator[Fetched]:
    waiting: deque[Fetched] = deque()
    for layer in layers:
        waiting.append(layer)
        if len(waiting) > most:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def _span(sizes: tuple[int, ...], at: int) -> slice:
    start = sum(sizes[:at])
    return slice(start, start + sizes[at])


def _overlaps(layer: Layer, tile: GeoBox) -> bool:
    if layer.bounds is None:
        return True
    left, bottom, right, top = layer.bounds
    box = tile.boundingbox
    return bool(box.left < right and left < box.right and box.bottom < top and bottom < box.top)


def _fetch(plan: CubePlan, layer: Layer, tile: GeoBox, pool: ThreadPoolExecutor) -> Iterator[Future[Array] | None]:
    corner = (plan.transform[2], plan.transform[5])
    named = [("mask", layer.mask, "nearest"), *zip(plan.bands, layer.sources, plan.resampling, strict=True)]
    for band, source, resampling in named:
        yield pool.submit(_read, layer.item, band, source, tile, resampling, corner) if source else None


def _read(item: str, band: str, source: Source, tile: GeoBox, resampling: str, corner: tuple[float, float]) -> Array:
    try:
        return read_raster(source.href, source.index, tile, nodata=source.nodata, resampling=resampling, anchor=corner)
    except ReadFault as exc:
        raise ReadFault(
            f"Item {item!r}, band {band!r}: {exc} Leave the item out (ids=, or items[…]), or mend the source."
        ) from exc


def _clear(plan: CubePlan, flags: Future[Array] | None) -> Array | None:
    if flags is None or plan.mask is None:
        return None
    return np.isin(flags.result(), plan.mask.keep)


def _lay_under(out: Array, layer: Layer, values: list[Future[Array] | None], clear: Array | None) -> None:
    for target, source, future in zip(out, layer.sources, values, strict=True):
        if source is None or future is None:
            continue
        physical = (future.result() * source.scale + source.offset).astype("float32")
        free = np.isnan(target) if clear is None else np.isnan(target) & clear
        target[free] = physical[free]
