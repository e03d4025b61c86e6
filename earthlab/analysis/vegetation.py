"""Vegetation indices from surface reflectance."""

import xarray as xr

from earthlab.errors import BadRequest, did_you_mean


def ndvi(cube: xr.Dataset, *, red: str = "red", nir: str = "nir") -> xr.DataArray:
    """The normalised difference vegetation index, (nir - red) / (nir + red), without unit; lazy if the cube is.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface reflectance, as `earthlab.open` gives it.
    red, nir : str
        Names of the two bands.

    Returns
    -------
    xarray.DataArray
        Axes, dtype and chunks of the bands; NaN where either is missing or where their sum is not positive.

    Raises
    ------
    BadRequest
        Where the cube lacks one of the bands.

    References
    ----------
    Rouse et al. (1974), Monitoring vegetation systems in the Great Plains with ERTS, NASA SP-351, 309-317.
    """
    for name in (red, nir):
        if name not in cube:
            raise BadRequest(f"ndvi: the cube has no band {name!r}. {did_you_mean(name, map(str, cube.data_vars))}")
    total = cube[nir] + cube[red]
    index = ((cube[nir] - cube[red]) / total.where(total > 0)).rename("ndvi")
    return index.assign_attrs(long_name="NDVI", units="1", grid_mapping="spatial_ref")
