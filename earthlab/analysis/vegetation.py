"""Vegetation indices from surface reflectance."""

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from earthlab.analysis.frames import own_values
from earthlab.analysis.kernels import normalised_difference
from earthlab.analysis.kernels.compiling import Array, as_columns, floats_for
from earthlab.errors import BadRequest, did_you_mean


def ndvi(cube: xr.Dataset, *, red: str = "red", nir: str = "nir") -> xr.DataArray:
    """The normalised difference vegetation index, (nir - red) / (nir + red), without unit; lazy if the cube is.

    One compiled pass over the two bands, which on dask becomes part of the task that reads them.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface reflectance, as `earthlab.open` gives it. A factor common to both bands does no harm, an offset does:
        counts of Sentinel-2 L2A since January 2022 (baseline 04.00) are less 1,000 first. CF's packing is undone.
    red, nir : str
        Names of the two bands.

    Returns
    -------
    xarray.DataArray
        Axes, chunks and float dtype of the bands (float32 for small integers); NaN where either is missing or where
        their sum is not positive. Beyond ±1 where one of them is negative, as the atmospheric correction of dark water
        or shade can make it.

    Raises
    ------
    BadRequest
        Where the cube lacks one of the bands.

    References
    ----------
    Rouse et al. (1974), Monitoring vegetation systems in the Great Plains with ERTS, NASA SP-351, 309-317.
    """
    check_bands(cube, (red, nir), "ndvi")
    plus, minus = (own_values(cube[name], "ndvi") for name in (nir, red))
    index: xr.DataArray = xr.apply_ufunc(_lazily, plus, minus, dask="allowed", keep_attrs="drop_conflicts")
    return index.rename("ndvi").assign_attrs(long_name="NDVI", units="1", grid_mapping="spatial_ref")


def check_bands(cube: xr.Dataset, names: tuple[str, ...], verb: str) -> None:
    """Nothing, where the cube has all the bands.

    Raises
    ------
    BadRequest
        Where it lacks one, or is no Dataset.
    """
    if not isinstance(cube, xr.Dataset):
        raise BadRequest(
            f"{verb}: expected a Dataset with one variable a band, found {type(cube).__name__}. Of bands along an axis "
            "make variables: array.to_dataset('band')."
        )
    for name in names:
        if name not in cube:
            raise BadRequest(f"{verb}: the cube has no band {name!r}. {did_you_mean(name, map(str, cube.data_vars))}")


def _lazily(nir: Any, red: Any) -> Any:
    if not (isinstance(nir, da.Array) or isinstance(red, da.Array)):
        return _ndvi(nir, red)
    axes = tuple(range(max(nir.ndim, red.ndim)))
    meta = np.empty((0,) * len(axes), _common_floats(nir, red))
    pairs = (part for band in (nir, red) for part in (band, axes[len(axes) - band.ndim :]))
    return da.blockwise(_ndvi, axes, *pairs, dtype=meta.dtype, meta=meta)


def _common_floats(nir: Any, red: Any) -> np.dtype[Any]:
    return np.promote_types(floats_for(nir.dtype), floats_for(red.dtype))


def _ndvi(nir: Array, red: Array) -> Array:
    dtype = _common_floats(nir, red)
    shape = np.broadcast_shapes(nir.shape, red.shape)
    out = np.empty(shape, dtype)
    plus, minus = (
        as_columns(np.broadcast_to(band, shape).astype(dtype, copy=False).reshape(1, -1))[0] for band in (nir, red)
    )
    normalised_difference(plus, minus, out.reshape(-1))
    return out
