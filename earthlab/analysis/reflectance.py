"""What an analysis of spectra asks of its bands."""

from functools import partial

import numpy as np
import xarray as xr

from earthlab.analysis.columns import same_axes
from earthlab.analysis.frames import norm_dates, own_values
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.units import check_units
from earthlab.analysis.vegetation import check_bands
from earthlab.errors import BadRequest

_MOST = 10.0
"""No ground reflects ten times the light it gets: beyond that the numbers are counts or percent."""
_SAMPLE = 100_000


def reflectances(cube: xr.Dataset, bands: tuple[str, ...], verb: str) -> list[xr.DataArray]:
    """The bands, with the axes of the first in its order, unpacked where their attributes say how.

    Raises
    ------
    BadRequest
        Where the cube is no Dataset or lacks a band, or a band holds whole numbers or says that it is no reflectance
        from 0 to 1, or is plainly none: of a lazy band that is found as it is computed.
    """
    if not isinstance(cube, xr.Dataset):
        raise BadRequest(f"{verb}: expected a Dataset with one variable a band, found {type(cube).__name__}.")
    check_bands(cube, bands, verb)
    return same_axes([_reflectance(cube[name], verb) for name in bands], verb)


def _reflectance(band: xr.DataArray, verb: str) -> xr.DataArray:
    check_units(band, "1", verb=verb, what=f"band {band.name!r}")
    own = norm_dates(own_values(band, verb))
    if own.dtype.kind != "f":
        raise BadRequest(
            f"{verb}: band {band.name!r} holds {own.dtype} values, expected reflectance from 0 to 1. Apply the "
            "scale and offset, as earthlab.open does."
        )
    check = partial(_check_size, name=str(band.name), verb=verb)
    if own.chunks is None:
        check(own.values)
        return own
    return own.copy(data=own.data.map_blocks(check, dtype=own.dtype, meta=np.empty((0,) * own.ndim, own.dtype)))


def _check_size(values: Array, *, name: str, verb: str) -> Array:
    step = max(int((values.size / _SAMPLE) ** (1 / max(values.ndim, 1))), 1)
    some = values[(slice(None, None, step),) * values.ndim]
    seen = some[np.isfinite(some)]
    middle = float(np.median(seen)) if seen.size else 0.0
    if middle > _MOST:
        raise BadRequest(
            f"{verb}: band {name!r} has values about {middle:,.0f}, expected reflectance from 0 to 1. Apply its scale "
            "and offset: Sentinel-2 L2A is divided by 10,000, since January 2022 (baseline 04.00) less 1,000 before."
        )
    return values
