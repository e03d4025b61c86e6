"""Functions of whole time columns over xarray objects: eager as they are, lazy as one task a block.

On dask every step is a symbolic layer that keeps the axis of time until the very last one: dask then fuses a
composite, the index it is made of, and the reading of the block into one task.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from earthlab.analysis.kernels.compiling import Array
from earthlab.errors import BadRequest

TIME = "time"

_LAYER, _TIME = 0, 1
"""Labels of the first two axes of what `map_columns` gives; those of the arrays follow."""
_BLOCK_LIMIT = 128 * 2**20

ColumnFunction = Callable[..., Array]
"""From blocks (time, …) of each variable to (layer, period, …)."""


def timed(cube: xr.Dataset | xr.DataArray) -> dict[str, xr.DataArray]:
    """The variables that have an axis of time, by name, with time first."""
    named = {str(cube.name): cube} if isinstance(cube, xr.DataArray) else {str(k): v for k, v in cube.data_vars.items()}
    return {name: variable.transpose(TIME, ...) for name, variable in named.items() if TIME in variable.dims}


def same_axes(arrays: Sequence[xr.DataArray], verb: str) -> list[xr.DataArray]:
    """The arrays with the axes of the first, in its order.

    Raises
    ------
    BadRequest
        Where one has other axes: a spectrum is one pixel of every band.
    """
    for array in arrays:
        if set(array.dims) != set(arrays[0].dims):
            raise BadRequest(
                f"{verb}: {array.name!r} has axes {', '.join(map(str, array.dims))} and {arrays[0].name!r} "
                f"{', '.join(map(str, arrays[0].dims))}. Choose bands with the same axes: cube[[…]]."
            )
    return [array.transpose(*arrays[0].dims) for array in arrays]


def is_cut_in_time(array: xr.DataArray) -> bool:
    """Whether the array is lazy and its dates lie in several chunks."""
    return len(array.chunksizes.get(TIME, ())) > 1


def map_columns(
    function: ColumnFunction, arrays: Sequence[xr.DataArray], *, layers: int, periods: int, dtype: np.dtype[Any]
) -> Any:
    """What ``function`` gives for the columns, axes layer, period, then those of the arrays; lazy if one of them is.

    Parameters
    ----------
    function : callable
        From one block (time, …) of each array to a block (layer, period, …). It must be picklable.
    arrays : sequence of xarray.DataArray
        Variables with the same axes, time first. Where time is cut into chunks it is made whole, with smaller tiles
        if a column of the tiles there are would not fit in 128 MiB.
    layers, periods : int
        Lengths of the first two axes of the result.
    dtype : numpy.dtype
        Of the result.

    Returns
    -------
    numpy.ndarray or dask.array.Array
    """
    if all(array.chunks is None for array in arrays):
        return function(*(array.values for array in arrays))
    axes = tuple(range(_TIME, _TIME + arrays[0].ndim))
    blocks = [whole_columns(array.chunk() if array.chunks is None else array).data for array in arrays]
    pairs = [part for block in blocks for part in (block, axes)]
    return da.blockwise(
        function,
        (_LAYER, *axes),
        *pairs,
        new_axes={_LAYER: layers},
        adjust_chunks={_TIME: periods},
        dtype=dtype,
        meta=np.empty((0,) * (len(axes) + 1), dtype),
    )


def pick(stacked: Any, layer: int | None, *, drop_time: bool, dtype: np.dtype[Any] | None = None) -> Any:
    """One layer of what `map_columns` gave, or all of them for None, without the axis of time if ``drop_time``."""
    chosen = partial(_pick, layer=layer, drop_time=drop_time, dtype=np.dtype(dtype or stacked.dtype))
    if not isinstance(stacked, da.Array):
        return chosen(stacked)
    axes = tuple(range(stacked.ndim))
    ended = (_LAYER if layer is not None else None, _TIME if drop_time else None)
    kept = tuple(axis for axis in axes if axis not in ended)
    meta = np.empty((0,) * len(kept), chosen.keywords["dtype"])
    return da.blockwise(chosen, kept, stacked, axes, dtype=meta.dtype, meta=meta)


def _pick(block: Any, *, layer: int | None, drop_time: bool, dtype: np.dtype[Any]) -> Array:
    while isinstance(block, list):  # an axis that ends here comes as a list of its blocks, of which there is one
        block = block[0]
    picked = block if layer is None else block[layer]
    if drop_time:
        picked = picked[:, 0] if layer is None else picked[0]
    return np.asarray(picked, dtype)


def whole_columns(array: xr.DataArray) -> xr.DataArray:
    """The array with all its dates in one chunk; in smaller tiles where a column of its tiles would exceed 128 MiB."""
    if not is_cut_in_time(array):
        return array
    tile = np.prod([max(sizes) for name, sizes in array.chunksizes.items() if name != TIME])
    if tile * array.sizes[TIME] * array.dtype.itemsize <= _BLOCK_LIMIT:
        return array.chunk({TIME: -1})
    return array.chunk({name: -1 if name == TIME else "auto" for name in array.dims})


def reduce_chunks(array: xr.DataArray, chunk: ColumnFunction, combine: ColumnFunction, dtype: np.dtype[Any]) -> Any:
    """A lazy array reduced over its dates chunk by chunk, as a tree: no task ever holds a whole column.

    Parameters
    ----------
    array : xarray.DataArray
        Lazy, time first.
    chunk, combine : callable
        From values (time, …) to one date (1, …): of the array, and of what ``chunk`` gave.
    dtype : numpy.dtype
        Of the result.
    """
    return da.reduction(
        array.data,
        partial(_one_date, function=chunk),
        partial(_no_date, function=combine),
        combine=partial(_one_date, function=combine),
        axis=0,
        dtype=dtype,
        meta=np.empty((0,) * (array.ndim - 1), dtype),
    )


def _one_date(block: Array, axis: Any, keepdims: Any, *, function: ColumnFunction) -> Array:  # noqa: ARG001 - dask's
    return function(block)


def _no_date(block: Array, axis: Any, keepdims: Any, *, function: ColumnFunction) -> Array:  # noqa: ARG001
    return np.asarray(function(block)[0])
