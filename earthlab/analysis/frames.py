"""The coordinates and attributes of a composite: what a cube keeps when its dates become periods."""

from collections.abc import Hashable, Mapping
from datetime import date
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.columns import TIME, timed
from earthlab.analysis.grids import nodata_of, unpacked
from earthlab.analysis.periods import Periods, resolve_periods, whole_time
from earthlab.errors import BadRequest

Cube = TypeVar("Cube", xr.Dataset, xr.DataArray)
Period = str | pd.DateOffset | None

_MARKS = ("_FillValue", "missing_value", "nodata")


def check_dataset(cube: xr.Dataset, verb: str) -> xr.Dataset:
    """The cube as `check_cube` gives it, where it is a Dataset.

    Raises
    ------
    BadRequest
        Where it is not: what follows needs several bands.
    """
    if not isinstance(cube, xr.Dataset):
        raise BadRequest(f"{verb}: expected a Dataset with one variable a band, found {type(cube).__name__}.")
    return check_cube(cube, verb)


def check_cube(cube: Cube, verb: str) -> Cube:
    """The cube, where it holds numbers along an axis of time, with dates as `norm_dates` and values as `own_values`.

    Raises
    ------
    BadRequest
        Without an axis ``time``, without dates or pixels, or for a variable that holds no numbers or packed ones that
        cannot be told.
    """
    if not isinstance(cube, xr.Dataset | xr.DataArray):
        raise BadRequest(f"{verb}: expected an xarray Dataset or DataArray, found {type(cube).__name__}.")
    variables = timed(cube)
    if not variables:
        axes = ", ".join(map(str, cube.dims)) or "no axis"
        what = "variables" if isinstance(cube, xr.Dataset) else repr(cube.name)
        raise BadRequest(f"{verb}: expected {what} with an axis 'time', found {axes}. Rename the axis of the dates.")
    empty = [str(name) for name, size in cube.sizes.items() if size == 0]
    if empty:
        raise BadRequest(f"{verb}: the cube is empty along {', '.join(empty)}. Widen the search or the area.")
    for name, variable in variables.items():
        if variable.dtype.kind not in "fiub":
            raise BadRequest(
                f"{verb}: {name!r} holds {variable.dtype} values, expected numbers. Drop it or convert it."
            )
    return norm_dates(_in_own_values(cube, verb))


def norm_dates(cube: Cube) -> Cube:
    """The cube with its dates as naive UTC where they have a time zone, or are ISO 8601 words or days of Python."""
    labels = cube.indexes.get(TIME)
    dates = None if labels is None else as_dates(labels)
    return cube if dates is labels else cube.assign_coords({TIME: (TIME, dates, cube[TIME].attrs)})


def as_dates(labels: pd.Index) -> pd.Index:
    """Labels that are dates as naive UTC, others as they are."""
    if isinstance(labels, pd.DatetimeIndex):
        return labels if labels.tz is None else labels.tz_convert("UTC").tz_localize(None)
    if not len(labels) or not all(isinstance(label, str | date) for label in labels):
        return labels
    try:
        return pd.DatetimeIndex(pd.to_datetime([*labels], format="ISO8601", utc=True)).tz_localize(None)
    except ValueError:  # words, but no dates: whether any are needed is for the caller to say
        return labels


def own_values(array: xr.DataArray, verb: str) -> xr.DataArray:
    """The array in the values it stands for, where its attributes say that it still is as a file stores it.

    Whole numbers get the scale, offset and gaps of CF; zero as the mark of a gap counts for 16 bits only, since in a
    mask it means no. Of floats only the mark of gaps is taken out: arithmetic keeps attributes, and a scale may long
    have been applied.

    Raises
    ------
    BadRequest
        For a factor greater than one, which MODIS writes for a divisor.
    """
    if array.dtype.kind == "f":
        stated = (array.attrs.get(name) for name in _MARKS)
        marks = np.array([mark for mark in stated if isinstance(mark, Real) and mark != 0], array.dtype)
        return array.where(~array.isin(marks)) if np.isfinite(marks).any() else array
    if array.dtype.kind not in "iu":
        return array
    mark = nodata_of(array)
    scale, offset = (float(array.attrs.get(name, plain)) for name, plain in (("scale_factor", 1), ("add_offset", 0)))
    if scale > 1:
        raise BadRequest(
            f"{verb}: {array.name!r} is packed with scale_factor {scale:g}, by which CF multiplies and MODIS divides. "
            "Apply it, and delete the attribute."
        )
    gaps = mark is not None and (mark != 0 or array.dtype.itemsize == 2)
    return unpacked(array) if gaps or (scale, offset) != (1.0, 0.0) else array


def _in_own_values(cube: Cube, verb: str) -> Cube:
    if isinstance(cube, xr.DataArray):
        return own_values(cube, verb)
    stored = {name: array for name, array in cube.data_vars.items() if TIME in array.dims}
    found = {name: own_values(array, verb) for name, array in stored.items()}
    return cube.assign({name: array for name, array in found.items() if array is not stored[name]})


def resolve_time(cube: xr.Dataset | xr.DataArray, period: Period) -> Periods:
    """The dates of the cube as periods; all of them as one where ``period`` is None."""
    times = cube.indexes.get(TIME, pd.RangeIndex(cube.sizes[TIME]))
    return whole_time(times) if period is None else resolve_periods(times, period)


def axes_of(array: xr.DataArray, periods: Periods) -> tuple[str, ...]:
    """The axes of a composite of the array: time first where there are periods."""
    rest = tuple(str(name) for name in array.dims if name != TIME)
    return rest if periods.edges is None else (TIME, *rest)


def attributes_of(array: xr.DataArray, method: str | None) -> dict[str, Any]:
    """The attributes of the array, with what was done over time added to the CF ``cell_methods``."""
    if method is None:
        return dict(array.attrs)
    before = array.attrs.get("cell_methods")
    return {**array.attrs, "cell_methods": f"{before} time: {method}" if before else f"time: {method}"}


def encoding_of(array: xr.DataArray) -> dict[str, Any]:
    """What stays true of how the array is stored: where its CRS is. Its packing as integers does not."""
    return {key: value for key, value in array.encoding.items() if key == "grid_mapping"}


def frame_of(cube: xr.Dataset | xr.DataArray, periods: Periods, composed: Mapping[Any, xr.Variable]) -> xr.Dataset:
    """The composed variables with the coordinates, attributes and timeless variables of the cube, in its order."""
    whole = cube if isinstance(cube, xr.Dataset) else cube.coords.to_dataset()
    frame = whole.drop_vars([name for name, array in whole.variables.items() if TIME in array.dims])
    order = [*whole.data_vars, *(name for name in composed if name not in whole.data_vars)]
    kept: dict[Hashable, xr.Variable] = {**frame.variables, **composed}
    frame = frame.drop_vars(frame.data_vars).assign({name: kept[name] for name in order if name in kept})
    frame.attrs = {**whole.attrs, **_coverage(cube)}
    if periods.edges is None:
        return frame
    starts, ends = periods.edges[:-1], periods.edges[1:]
    words = {**_time_attributes(cube), "bounds": "time_bnds"}
    frame = frame.assign_coords({TIME: (TIME, starts, words, _time_encoding(periods.edges))})
    return frame.assign_coords(time_bnds=((TIME, "bnds"), np.stack([starts, ends], axis=1)))


def _time_encoding(edges: Any) -> dict[str, str]:
    # Stated, because CF wants the same units for time and its bounds.
    unit = "days" if (edges == edges.astype("datetime64[D]")).all() else "seconds"
    return {"units": f"{unit} since 1970-01-01", "calendar": "proleptic_gregorian", "dtype": "int64"}


def _coverage(cube: xr.Dataset | xr.DataArray) -> dict[str, str]:
    times = cube.indexes.get(TIME)
    if not isinstance(cube, xr.Dataset) or not isinstance(times, pd.DatetimeIndex) or times.isna().all():
        return {}
    return {f"time_coverage_{end}": at.isoformat() for end, at in (("start", times.min()), ("end", times.max()))}


def _time_attributes(cube: xr.Dataset | xr.DataArray) -> dict[str, Any]:
    kept = cube[TIME].attrs if TIME in cube.coords else {}
    return {**kept, "standard_name": "time", "long_name": "début de période / start of period"}


def without_bounds(array: xr.DataArray) -> xr.DataArray:
    """The array without a mention of bounds of time, which one array cannot hold."""
    if TIME in array.coords:
        array = array.copy(deep=False)
        array[TIME].attrs.pop("bounds", None)
    return array
