"""`el.open`: from a plan to a lazy xarray Dataset with CF attributes, and nothing proprietary downstream."""

import warnings
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import Delayed, delayed

from earthlab.catalog import ItemSet, Query
from earthlab.cube.blocks import Block, read_block, trace_block
from earthlab.cube.description import describe_cube
from earthlab.cube.engines import open_with
from earthlab.cube.faults import listen_for_faults
from earthlab.cube.plan import CubePlan
from earthlab.cube.planning import plan
from earthlab.cube.readers.window import Array
from earthlab.cube.shared import BuildProgress, CannotWrite, find_shared, open_shared, share_cube
from earthlab.errors import BadRequest, FallbackWarning, ReadFault, did_you_mean
from earthlab.notice import Notice
from earthlab.settings import load_settings
from earthlab.types import content_token
from earthlab.witness import tell

OURS = "earthlab"

SHARED = "cube:"


def open(  # noqa: A001 - the contract's verb
    what: CubePlan | ItemSet | Query | str,
    *args: Any,
    share: bool = False,
    strict: bool = False,
    engine: str = OURS,
    **words: Any,
) -> xr.Dataset:
    """The cube of a plan, or of items planned with the words of `earthlab.plan`. Lazy: no pixel is read yet.

    Parameters
    ----------
    what : CubePlan, ItemSet, Query or str
        A plan is opened as it is; items and questions are planned first; ``"cube:<token>"`` is a shared cube.
    share : bool
        Take the values from the shared cube of the plan, which is built now if nobody has built it: of all who ask at
        once one reads the sources, and the others wait, with progress shown.
    strict : bool
        Stop computing at the first read that fails for good. By default its pixels are nodata, a `FaultWarning` says
        so, and ``cube.earthlab.faults`` lists all of them.
    engine : {"earthlab", "stackstac", "odc"}
        Who reads: the lab, or one of its peers behind the same plan.
    *args, **words
        Those of `earthlab.plan`: ``bands``, ``resolution``, ``crs``, ``like``, ``bbox``, ``resampling``,
        ``group_by``, ``mask``, ``chunks``.

    Returns
    -------
    xarray.Dataset
        One float32 variable a band with axes ``time`` (UTC), ``y`` and ``x`` (cell centres, in units of the CRS of
        ``spatial_ref``: degrees where it is a geographic one); NaN where there is no clear observation. Bands that a
        result does not need are not read; those it needs are read together, one task a block.

    Raises
    ------
    BadRequest, AskLess
        As `earthlab.plan` does, and for words that do not go together.
    NothingFound
        For a token that the store of shared cubes does not have.
    NotAllowed
        With ``share``, where the user may not read the collection.
    ReadFault
        With ``strict``: when a source cannot be read, at once with ``share``, else when the cube is computed.
    """
    if isinstance(what, str):
        return _open_token(what, args, words)
    if isinstance(what, CubePlan) and (args or words):
        raise BadRequest("open: a plan is complete; give the words to el.plan(...) instead.")
    planned = what if isinstance(what, CubePlan) else plan(what, *args, **words)
    tell("planned", plan=planned, items=what.items if isinstance(what, ItemSet) else (), share=share)
    if engine != OURS:
        return _open_with_peer(planned, engine, share=share, strict=strict)
    if share:
        return _open_shared_plan(planned, strict=strict)
    return _open_warmed(planned, strict=strict) or _open_plan(planned, strict=strict)


def _open_warmed(planned: CubePlan, *, strict: bool) -> xr.Dataset | None:
    """From the store, where the warm-up of a workshop has put it there: the same values, without their sources."""
    if planned.token not in load_settings().cubes.warmed.split(","):
        return None
    found = find_shared(planned)
    if found is None or (strict and found.faults):
        return None
    tell("shared", token=planned.token, built=False)
    return found.open()


def _open_token(text: str, args: tuple[Any, ...], words: dict[str, Any]) -> xr.Dataset:
    if not text.startswith(SHARED):
        raise BadRequest(
            f'open: found the text {text!r}, expected "cube:<token>" or what el.search(...) returns. '
            f"For a collection: el.open(el.search({text!r}, …))."
        )
    if args or words:
        raise BadRequest("open: a shared cube is as it was built; leave the other words out, and select afterwards.")
    tell("shared", token=text.removeprefix(SHARED), built=False)
    return open_shared(text)


def _open_with_peer(planned: CubePlan, engine: str, *, share: bool, strict: bool) -> xr.Dataset:
    if share:
        raise BadRequest(
            f"open: shared cubes are built by the lab's own engine. Leave out engine={engine!r} or share=."
        )
    if strict:
        raise BadRequest(f"open: {engine} is always strict: a read that fails stops it. Leave out strict=True.")
    return open_with(engine, planned)


def _open_shared_plan(planned: CubePlan, *, strict: bool) -> xr.Dataset:
    try:
        with Notice() as notice:
            shared = share_cube(planned, on_progress=lambda progress: notice.say(_progress_line(planned, progress)))
    except CannotWrite as exc:
        warnings.warn(f"{exc} Read from its sources instead.", FallbackWarning, stacklevel=3)
        return _open_plan(planned, strict=strict)
    tell("shared", token=planned.token, built=shared.built)
    if strict and shared.faults:
        first = shared.faults[0]
        raise ReadFault(
            f"The shared cube {planned.token} lacks {len(shared.faults)} reads. First: item {first.item!r}, band "
            f"{first.band!r}: {first.cause} Leave the item out, or open without strict=True."
        )
    return shared.open()


def _progress_line(planned: CubePlan, progress: BuildProgress) -> str:
    where = "ici | here" if progress.here else f"par un autre | by another ({progress.host}, {progress.pid})"
    left = f", ≈ {progress.remaining:.0f} s" if progress.remaining is not None else ""
    return f"cube {planned.token[:8]} {where} : {progress.done}/{progress.of} blocs | blocks{left}"


def _open_plan(planned: CubePlan, *, strict: bool) -> xr.Dataset:
    listen_for_faults(planned.token)
    chunking = content_token(planned.chunks)[:8]
    shared = delayed(planned, name=f"earthlab-plan-{planned.token}-{chunking}", traverse=False)
    arrays = [_band_array(planned, shared, at, strict=strict) for at in range(len(planned.bands))]
    return describe_cube(planned, arrays)


def _band_array(planned: CubePlan, shared: Delayed, at: int, *, strict: bool) -> da.Array:
    """One symbolic layer: blocks of several bands that a result needs are fused into one task by dask."""
    array: da.Array = da.map_blocks(
        _read_band,
        shared,
        at,
        strict,
        chunks=planned.chunks,
        dtype="float32",
        meta=np.empty((0, 0, 0), "float32"),
        name=f"earthlab-{planned.bands[at]}-{content_token([planned.token, planned.chunks, at, strict])}",
    )
    return array


def _read_band(planned: CubePlan, at: int, strict: bool, block_id: Block) -> Array:  # noqa: FBT001 - dask calls it
    band: Array = read_block(planned, (at,), block_id, strict=strict)[0]
    return band


def open_trace(planned: CubePlan, band: str) -> xr.Dataset:
    """Where each pixel of a band comes from; lazy, and costs a read of the band.

    Returns
    -------
    xarray.Dataset
        ``source`` (int32): place of the item in the attribute ``items``, from 0, or -1; ``count`` (int32): how many
        items of the date observed the pixel clearly. Axes time, y, x.

    Raises
    ------
    BadRequest
        For a band the plan does not have.
    """
    if band not in planned.bands:
        raise BadRequest(f"source: the cube has no band {band!r}. {did_you_mean(band, planned.bands)}")
    traced = da.map_blocks(
        _trace_band,
        delayed(planned, traverse=False),
        planned.bands.index(band),
        chunks=((2,), *planned.chunks),
        dtype="int32",
        meta=np.empty((0, 0, 0, 0), "int32"),
    )
    cube = describe_cube(planned, [traced[0]] * len(planned.bands))
    axes, plain = cube[band].dims, {"units": "1", "grid_mapping": "spatial_ref"}
    words = {"source": "place of the item in the attribute items", "count": "items that observed the pixel clearly"}
    layers = {name: (axes, traced[at], {**plain, "long_name": long}) for at, (name, long) in enumerate(words.items())}
    return xr.Dataset(layers, cube.coords, {"items": [layer.item for layer in planned.layers()]})


def _trace_band(planned: CubePlan, at: int, block_id: tuple[int, ...]) -> Array:
    time, y, x = block_id[1:]
    return np.stack(trace_block(planned, at, (time, y, x)), dtype="int32")
