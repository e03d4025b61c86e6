"""What an analysis of spectra asks of its bands."""

import xarray as xr

from earthlab.analysis.columns import same_axes
from earthlab.analysis.units import check_units
from earthlab.analysis.vegetation import check_bands
from earthlab.errors import BadRequest


def reflectances(cube: xr.Dataset, bands: tuple[str, ...], verb: str) -> list[xr.DataArray]:
    """The bands, with the axes of the first in its order.

    Raises
    ------
    BadRequest
        Where the cube is no Dataset or lacks a band, or a band holds whole numbers or says that it is no reflectance
        from 0 to 1.
    """
    if not isinstance(cube, xr.Dataset):
        raise BadRequest(f"{verb}: expected a Dataset with one variable a band, found {type(cube).__name__}.")
    check_bands(cube, bands, verb)
    for name in bands:
        check_units(cube[name], "1", verb=verb, what=f"band {name!r}")
        if cube[name].dtype.kind != "f":
            raise BadRequest(
                f"{verb}: band {name!r} holds {cube[name].dtype} values, expected reflectance from 0 to 1. Apply the "
                "scale and offset, as earthlab.open does."
            )
    return same_axes([cube[name] for name in bands], verb)
