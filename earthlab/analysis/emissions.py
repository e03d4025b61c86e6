"""Emissions of a territory from gridded fluxes, and columns of the atmosphere as an instrument sees them."""

from typing import Any, Literal, TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import shapely.affinity
import xarray as xr
from shapely.geometry.base import BaseGeometry

from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.units import check_units, unit_of
from earthlab.errors import BadRequest, did_you_mean
from earthlab.types import BBox

EARTH_RADIUS = 6_371_000.0
"""Metres: the mean radius, of a sphere."""
SECONDS_A_YEAR = 365.25 * 86_400.0
MOLAR_MASSES = {"ch4": 16.0425, "co2": 44.0095, "n2o": 44.0128, "co": 28.0101}
"""g/mol."""
_LAT, _LON = "y", "x"
_LONGEST_EDGE = 0.05

Region: TypeAlias = BBox | tuple[float, float, float, float] | BaseGeometry | gpd.GeoDataFrame | gpd.GeoSeries
Rule = Literal["area", "centre"]


def cell_areas(grid: xr.DataArray | xr.Dataset, *, lat: str = _LAT, lon: str = _LON) -> xr.DataArray:
    """The area of each cell of a grid of latitudes and longitudes on the sphere, in m².

    Parameters
    ----------
    grid : xarray.DataArray or xarray.Dataset
        With axes of the cells' middles in degrees, evenly spaced, in either order; longitudes from -180 or from 0.
    lat, lon : str
        Their names; ``latitude`` and ``longitude``, ``lat`` and ``lon`` are found without.

    Returns
    -------
    xarray.DataArray
        R² Δλ (sin φ₂ - sin φ₁), axes latitude, longitude. The areas of a grid of the globe sum up to 4πR².

    Raises
    ------
    BadRequest
        For missing, uneven or single coordinates, or coordinates that are no degrees.
    """
    lat, lon = _names(grid, lat, lon)
    south, north = _edges(grid, lat, 90.0)
    west, east = _edges(grid, lon, 360.0)
    areas = EARTH_RADIUS**2 * np.outer(_sine(north) - _sine(south), np.radians(east - west))
    coords = {name: grid[name] for name in (lat, lon)}
    words = {"units": "m2", "long_name": "surface de la maille / cell area", "standard_name": "cell_area"}
    return xr.DataArray(areas, coords, (lat, lon), "cell_area", words)


def cell_shares(
    grid: xr.DataArray | xr.Dataset, region: Region, *, rule: Rule = "area", lat: str = _LAT, lon: str = _LON
) -> xr.DataArray:
    """The share of each cell's area that lies in a region, between 0 and 1.

    Parameters
    ----------
    grid, lat, lon
        As for `cell_areas`.
    region : BBox, tuple, shapely geometry, GeoDataFrame or GeoSeries
        West, south, east, north, such as the ``query.bbox`` of a search by place or ``total_bounds`` of a table; or
        polygons in longitude and latitude: of a GeoDataFrame all rows together, in any reference system. It is found on
        the grid whether longitudes are counted from -180 or from 0; polygons across the 180th meridian are to go on
        beyond 180, or to be given as two.
    rule : {"area", "centre"}
        ``"centre"`` takes a cell whole where its middle lies in the region or on its edge, and else not at all, as many
        published totals do: on a coarse grid they differ by some percent.

    Returns
    -------
    xarray.DataArray
        Exact on the sphere, for edges that are straight in longitude and latitude.

    Raises
    ------
    BadRequest
        As for `cell_areas`, for an empty region, one that is no area, or one that does not touch the grid.
    """
    lat, lon = _names(grid, lat, lon)
    south, north = _edges(grid, lat, 90.0)
    west, east = _edges(grid, lon, 360.0)
    shares = _shares(grid, _outline(region), rule, lat, lon)
    if not shares.any():
        raise BadRequest(
            f"cell_shares: the region lies outside the grid, which goes from {west.min():g} to {east.max():g}° E and "
            f"{south.min():g} to {north.max():g}° N. Check the order: west, south, east, north."
        )
    coords = {name: grid[name] for name in (lat, lon)}
    words = {"units": "1", "long_name": "part de la maille dans la région / share of the cell in the region"}
    return xr.DataArray(shares, coords, (lat, lon), "cell_share", words)


def total(
    flux: xr.DataArray,
    region: Region | None = None,
    *,
    gas: str | float,
    rule: Rule = "area",
    uncertainty: float | None = None,
    lat: str = _LAT,
    lon: str = _LON,
) -> xr.Dataset:
    """What a region emits in a year, in Tg.

    Parameters
    ----------
    flux : xarray.DataArray
        mol m-2 s-1 or kg m-2 s-1, which its attribute ``units`` must say, on a grid as for `cell_areas`; other axes,
        such as time or sectors, stay. NaN counts as no emission, unless there is nothing else in the region.
    region, rule
        As for `cell_shares`; by default the whole grid.
    gas : str or float
        ``"ch4"``, ``"co2"``, ``"n2o"``, ``"co"``, or a molar mass in g/mol.
    uncertainty : float, optional
        Relative, as the source of the inventory states it for such a total, 0.3 for ± 30 %: a grid does not tell.
    lat, lon : str
        Names of the axes.

    Returns
    -------
    xarray.Dataset
        ``total`` (Tg year-1, years of 365.25 days), ``mean_flux`` over the region in the flux's unit, ``area`` (km2),
        and with ``uncertainty`` ``total_low`` and ``total_high``. Lazy if the flux is.

    Raises
    ------
    BadRequest
        As for `cell_shares`, for fluxes without a unit or in another, an unknown gas, or an uncertainty below 0.
    """
    per_kilogram = _kilograms(flux, gas)
    if uncertainty is not None and not uncertainty >= 0:
        raise BadRequest(f"total: uncertainty is {uncertainty!r}, expected a share of the total, such as 0.3 for 30 %.")
    lat, lon = _names(flux, lat, lon)
    weights = cell_areas(flux, lat=lat, lon=lon)
    if region is not None:
        weights = weights * cell_shares(flux, region, rule=rule, lat=lat, lon=lon)
    known = flux.where(weights > 0).astype("float64")
    summed = (known * weights).sum((lat, lon), min_count=1).drop_attrs(deep=False)
    area = weights.sum().drop_attrs()
    year = summed * per_kilogram * SECONDS_A_YEAR / 1e9
    words = "émissions de la région / emissions of the region"
    found: dict[str, xr.DataArray] = {
        "total": year.assign_attrs(units="Tg year-1", long_name=words),
        "mean_flux": (summed / area).assign_attrs(units=str(unit_of(flux)), long_name="flux moyen / mean flux"),
        "area": (area / 1e6).assign_attrs(units="km2", long_name="surface / area"),
    }
    if uncertainty is not None:
        for name, factor in (("total_low", 1 - uncertainty), ("total_high", 1 + uncertainty)):
            found[name] = (year * factor).assign_attrs(units="Tg year-1", long_name=words)
    return xr.Dataset(found)


def by_region(
    flux: xr.DataArray, regions: gpd.GeoDataFrame, *, name: str, gas: str | float, lat: str = _LAT, lon: str = _LON
) -> pd.DataFrame:
    """The yearly total of each of several regions.

    Parameters
    ----------
    flux, gas, lat, lon
        As for `total`, with two axes.
    regions : geopandas.GeoDataFrame
        Polygons with a reference system.
    name : str
        The column that names them.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``name``: ``total`` (Gg year-1), ``area`` (km2, of what lies within the grid), ``density``
        (t km-2 year-1), ``covered`` (share of the region within the grid); units in ``attrs``. A region beyond the grid
        has no total.

    Raises
    ------
    BadRequest
        As `total`, where the column is missing, or for a flux with more axes.
    """
    if name not in regions.columns:
        raise BadRequest(f"by_region: no column {name!r}. {did_you_mean(name, map(str, regions.columns))}")
    lat, lon = _names(flux, lat, lon)
    areas = cell_areas(flux, lat=lat, lon=lon)
    if set(flux.dims) != {lat, lon}:
        raise BadRequest(f"by_region: the flux has axes {', '.join(map(str, flux.dims))}, expected two: .isel(time=0).")
    values = flux.transpose(lat, lon).values.astype("float64") * areas.values * _kilograms(flux, gas)
    rows = {}
    for label, part in regions.groupby(name, observed=True):
        outline = _outline(part)
        shares = _shares(flux, outline, "area", lat, lon)
        inside = np.nonzero(shares)
        emitted = values[inside] * shares[inside]
        gigagrams = np.nansum(emitted) * SECONDS_A_YEAR / 1e6 if np.isfinite(emitted).any() else np.nan
        area = float((areas.values[inside] * shares[inside]).sum()) / 1e6
        whole = _equal_area(outline).area * np.radians(1) * EARTH_RADIUS**2 / 1e6
        density = gigagrams * 1e3 / area if area else np.nan
        rows[label] = {"total": gigagrams, "area": area, "density": density, "covered": area / whole}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(name)
    table.attrs["units"] = {"total": "Gg year-1", "area": "km2", "density": "t km-2 year-1", "covered": "1"}
    return table


def smoothed_column(
    profile: xr.DataArray,
    prior: xr.DataArray,
    kernel: xr.DataArray,
    weights: xr.DataArray,
    *,
    level: str,
    prior_column: xr.DataArray | float | None = None,
) -> xr.DataArray:
    """The column that an instrument would have reported, had the air held ``profile``.

    ``c = c_a + Σ h A (x - x_a)``: what the instrument cannot see at a level it takes from its prior. A model or profile
    must be passed through this before it is compared with a retrieval.

    Parameters
    ----------
    profile : xarray.DataArray
        Mole fractions on the retrieval's levels (interpolate first), in the unit of the prior.
    prior, kernel, weights : xarray.DataArray
        The a priori profile x_a, the column averaging kernel A and the pressure weights h of each level. Weights of dry
        air sum up to 1; TCCON's integration operator takes wet mole fractions to a dry column.
    level : str
        The axis of levels.
    prior_column : optional
        c_a, where it is given beside; by default Σ h x_a.

    Returns
    -------
    xarray.DataArray
        Without the axis of levels. With A = 1 it is Σ h x, with x = x_a the prior's column. A level without weight does
        not count; NaN where one with weight is missing.

    Raises
    ------
    BadRequest
        Where the axis of levels is missing, of different length or of other levels, or units contradict each other.

    References
    ----------
    Rodgers and Connor (2003), Intercomparison of remote sounding instruments, Journal of Geophysical Research 108,
    4116, doi:10.1029/2002JD002299; Wunch et al. (2011), The Total Carbon Column Observing Network,
    doi:10.1098/rsta.2010.0240.
    """
    given = {"profile": profile, "prior": prior, "kernel": kernel, "weights": weights}
    for name, array in given.items():
        sizes = getattr(array, "sizes", {})
        if level not in sizes or level not in prior.dims or sizes[level] != prior.sizes[level]:
            found = sizes.get(level, "none")
            raise BadRequest(
                f"smoothed_column: {name} has {found} levels along {level!r}, expected the {prior.sizes.get(level)} of "
                "the prior. Interpolate it to the retrieval's levels."
            )
    if unit_of(profile) is not None and unit_of(prior) is not None:
        check_units(profile, str(unit_of(prior)), verb="smoothed_column", what="profile")
    x, x_a, a, h = (array.astype("float64") for array in _on_levels_of(prior, given, level).values())
    counted = h.fillna(0.0) != 0
    start = (h * x_a).where(counted, 0.0).sum(level, skipna=False) if prior_column is None else prior_column
    column = start + (h * a * (x - x_a)).where(counted, 0.0).sum(level, skipna=False)
    words = "colonne vue par l'instrument / column as the instrument sees it"
    return (
        column.rename("column").drop_attrs(deep=False).assign_attrs(units=str(unit_of(prior) or "1"), long_name=words)
    )


def _on_levels_of(prior: xr.DataArray, given: dict[str, xr.DataArray], level: str) -> dict[str, xr.DataArray]:
    """Level by level, not where labels happen to be equal to the last digit, which drops the others without a word."""
    if level not in prior.coords:
        return {name: array.drop_vars(level, errors="ignore") for name, array in given.items()}
    for name, array in given.items():
        if level in array.coords and not np.allclose(array[level], prior[level], rtol=1e-4, atol=0):
            raise BadRequest(
                f"smoothed_column: {name} has other levels along {level!r} than the prior, or in another order: "
                f"{array[level].values[:3]} and {prior[level].values[:3]}. Interpolate it to the retrieval's levels."
            )
    return {name: array.assign_coords({level: prior[level]}) for name, array in given.items()}


def _names(grid: xr.DataArray | xr.Dataset, lat: str, lon: str) -> tuple[str, str]:
    usual = ((lat, lon), ("latitude", "longitude"), ("lat", "lon")) if (lat, lon) == (_LAT, _LON) else ((lat, lon),)
    return next((names for names in usual if set(names) <= set(grid.coords)), (lat, lon))


def _edges(grid: xr.DataArray | xr.Dataset, name: str, most: float) -> tuple[Array, Array]:
    if name not in grid.coords or grid[name].ndim != 1 or grid[name].size < 2:
        raise BadRequest(
            f"Expected an axis {name!r} of two degrees or more. {did_you_mean(name, map(str, grid.coords))} "
            "Name the axes: lat=, lon=."
        )
    middles = grid[name].values.astype("float64")
    steps = np.diff(middles)
    step = steps.mean()
    rounding = np.finfo(grid[name].dtype).eps * most if grid[name].dtype.kind == "f" else 0.0
    uneven = np.abs(steps - step).max() > 1e-3 * abs(step) + 2 * rounding
    if step == 0 or uneven or np.abs(middles).max() > most:
        raise BadRequest(
            f"{name!r} goes from {middles[0]:g} to {middles[-1]:g} in steps of {steps.min():g} to {steps.max():g}; "
            f"expected even steps within ±{most:g} degrees. Reproject or regrid first."
        )
    half = abs((middles[-1] - middles[0]) / (middles.size - 1)) / 2
    low, high = middles - half, middles + half
    return (np.clip(low, -90.0, 90.0), np.clip(high, -90.0, 90.0)) if most == 90.0 else (low, high)


def _outline(region: Region) -> BaseGeometry:
    if isinstance(region, BBox):
        region = (region.west, region.south, region.east + 360 * (region.west > region.east), region.north)
    if isinstance(region, np.ndarray) and region.shape == (4,):
        region = tuple(region.tolist())
    if isinstance(region, tuple | list) and len(region) != 4:
        raise BadRequest(f"cell_shares: the region has {len(region)} numbers, expected west, south, east, north.")
    outline = _box(*region) if isinstance(region, tuple | list) else _joined(region)
    # GEOS loses area of a polygon of which a coordinate is nearer to zero than a normal number is.
    outline = shapely.transform(outline, lambda at: np.where(np.abs(at) < np.finfo("float64").tiny, 0.0, at))
    if not outline.area > 0:
        raise BadRequest(f"cell_shares: the region is {outline.geom_type}, without area. Expected polygons.")
    _, south, _, north = outline.bounds
    if max(abs(south), abs(north)) > 90:
        raise BadRequest(f"cell_shares: the region goes from {south:g} to {north:g}° N; expected degrees.")
    return outline


def _box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    if not (west < east and -90 <= south < north <= 90):
        found = f"{west:g}, {south:g}, {east:g}, {north:g}"
        raise BadRequest(f"cell_shares: {found} is no box; expected west < east and south < north, in degrees.")
    return shapely.box(west, south, east, north)


def _joined(region: Any) -> BaseGeometry:
    if isinstance(region, BaseGeometry):
        return region
    if not isinstance(region, gpd.GeoDataFrame | gpd.GeoSeries):
        raise BadRequest(
            f"cell_shares: the region is a {type(region).__name__}, expected west, south, east, north, or polygons."
        )
    if region.crs is None:
        raise BadRequest("cell_shares: the table of regions has no reference system. Set it: regions.set_crs(4326).")
    joined: BaseGeometry = region.to_crs(4326).union_all()
    return joined


def _equal_area(outline: BaseGeometry) -> BaseGeometry:
    # On this plane equal areas are equal on the sphere; edges are cut short first, because they bend on it.
    dense: BaseGeometry = shapely.segmentize(shapely.make_valid(outline), _LONGEST_EDGE)
    return shapely.transform(dense, lambda points: np.column_stack([points[:, 0], _sine(points[:, 1])]))


def _shares(grid: xr.DataArray | xr.Dataset, outline: BaseGeometry, rule: str, lat: str, lon: str) -> Array:
    (south, north), (west, east) = _edges(grid, lat, 90.0), _edges(grid, lon, 360.0)
    shares = np.zeros((south.size, west.size))
    for turn in (-360.0, 0.0, 360.0):  # the grid may count its longitudes from elsewhere
        turned = shapely.affinity.translate(outline, turn)
        if turned.bounds[0] > east.max() or turned.bounds[2] < west.min():
            continue
        if rule == "centre":
            shares += shapely.intersects_xy(turned, *np.meshgrid(grid[lon].values, grid[lat].values))
        elif rule == "area":
            shares += _overlaps(_equal_area(turned), (west, east), (_sine(south), _sine(north)))
        else:
            raise BadRequest(f"cell_shares: rule is {rule!r}, expected 'area' or 'centre'.")
    return np.minimum(shares, 1.0)


def _overlaps(shape: BaseGeometry, across: tuple[Array, Array], along: tuple[Array, Array]) -> Array:
    shares = np.zeros((along[0].size, across[0].size))
    left, low, right, high = shape.bounds
    near = np.ix_((along[1] >= low) & (along[0] <= high), (across[1] >= left) & (across[0] <= right))
    rows, columns = near[0].ravel(), near[1].ravel()
    cells = shapely.box(across[0][columns], along[0][rows][:, None], across[1][columns], along[1][rows][:, None])
    shapely.prepare(shape)
    touched = shapely.intersects(shape, cells)
    found = np.zeros(cells.shape)
    found[touched] = shapely.area(shapely.intersection(cells[touched], shape)) / shapely.area(cells[touched])
    shares[near] = found
    return shares


def _sine(latitudes: Array) -> Array:
    return np.asarray(np.sin(np.radians(latitudes)))


def _kilograms(flux: xr.DataArray, gas: str | float) -> float:
    unit = check_units(flux, "mol m-2 s-1", "kg m-2 s-1", verb="total", what="flux")
    if unit is None:
        raise BadRequest(
            "total: the flux does not state its units. Set flux.attrs['units'] to 'mol m-2 s-1' or 'kg m-2 s-1'."
        )
    gas = gas.lower() if isinstance(gas, str) else gas
    if isinstance(gas, str) and gas not in MOLAR_MASSES:
        raise BadRequest(
            f"total: {gas!r} has no molar mass here. {did_you_mean(gas, MOLAR_MASSES)} Or give it in g/mol."
        )
    mass = MOLAR_MASSES[gas] if isinstance(gas, str) else float(gas)
    if not mass > 0:
        raise BadRequest(f"total: the molar mass is {gas!r}, expected g/mol, such as 16.04.")
    return 1.0 if unit == "kg m-2 s-1" else mass / 1e3
