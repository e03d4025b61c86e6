"""What both peers need: plans they can read, clear pixels, dates of several layers, the cube as ours describes it."""

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from urllib.parse import urlsplit

import dask.array as da
import numpy as np
import xarray as xr

from earthlab.catalog import MaskRecipe
from earthlab.catalog.signing import sign
from earthlab.cube.description import describe_cube
from earthlab.cube.plan import CubePlan, Layer, Source
from earthlab.cube.readers.window import Array
from earthlab.errors import BadRequest

ENGINE_ATTRIBUTE = "earthlab_engine"

Fuse = Callable[[da.Array], da.Array]
"""From axes layer, y, x to axes y, x."""


def require_rasters(plan: CubePlan, engine: str) -> None:
    """Nothing, where every source is a raster that anybody may read.

    Raises
    ------
    BadRequest
        Names the first source that is not, and what to do.
    """
    hosts: dict[str, str] = {}
    for item, source in _named_sources(plan):
        if source.kind != "raster":
            raise BadRequest(
                f'engine="{engine}" reads rasters only; item {item!r} has a source of kind {source.kind!r}. '
                "Leave engine= out: our own engine reads it."
            )
        hosts.setdefault(urlsplit(source.href).netloc, source.href)
    for host, href in hosts.items():
        signed = sign(href)
        if signed.href != href or signed.options:
            raise BadRequest(
                f'engine="{engine}" would carry signed addresses of {host} in its graph, where others can read them '
                "and where they expire. Leave engine= out: our own engine signs at the moment of reading."
            )


def flat_layers(plan: CubePlan) -> list[Layer]:
    """Every layer of every date, in order: the first axis of what the peers read."""
    return list(plan.layers())


def clear_layers(flags: da.Array, recipe: MaskRecipe) -> da.Array:
    """Where the flags (NaN: none) say clear, as `earthlab.cube.physical.clear_pixels` says it."""
    clear: da.Array = da.map_blocks(_clear, flags, recipe, dtype=bool, meta=np.empty((0, 0, 0), bool))
    return clear


def _clear(flags: Array, recipe: MaskRecipe) -> Array:
    if recipe.kind == "classes":
        return np.isin(flags, recipe.keep)
    known = ~np.isnan(flags)
    clear: Array = known & ((np.where(known, flags, 0).astype("int64") & recipe.bits) == 0)
    return clear


def mosaic_dates(plan: CubePlan, counts: Sequence[int], layered: da.Array, fuse: Fuse) -> da.Array:
    """From axes layer, y, x to axes time, y, x in float32, chunked as the plan says; ``counts`` layers make a date."""
    ends = np.cumsum(counts).tolist()
    parts = [layered[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    dates = [part if part.shape[0] == 1 else fuse(part)[None] for part in parts]
    cube: da.Array = da.concatenate(dates).astype("float32").rechunk(plan.chunks)
    return cube


def describe_peer_cube(plan: CubePlan, arrays: Sequence[da.Array], package: str) -> xr.Dataset:
    """The Dataset as ours describes it, and who read it."""
    return describe_cube(plan, arrays).assign_attrs({ENGINE_ATTRIBUTE: f"{package} {version(package)}"})


def _named_sources(plan: CubePlan) -> Iterator[tuple[str, Source]]:
    for layer in plan.layers():
        for source in (layer.mask, *layer.sources):
            if source:
                yield layer.item, source
