"""NetCDF of points, stations, profiles and trajectories (CF discrete sampling geometries, Argo), one row a value.

Glossary: the *instances* are the features of a file (stations, profiles), the *samples* what was measured at each
(levels, dates). A file keeps them as a rectangle (instance × sample, padded with missing values) or ragged (one long
axis, and for each instance a count, or for each sample an index).
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr

from earthlab.cube.tables.delimited import make_points
from earthlab.cube.tables.selection import Selection, norm_longitude, require_degrees
from earthlab.errors import BadRequest

_VERTICAL = {"depth", "deph", "pres", "pressure", "altitude", "height", "z", "lev", "level"}
_TIMES = ("time", "juld", "date", "datetime")


def read_netcdf_table(stream: BinaryIO, selection: Selection) -> gpd.GeoDataFrame:
    """The samples of a NetCDF that a selection wants; of instances outside it nothing but their place is read.

    Variables keep their names; what has other axes than instances and samples (averaging kernels, histories) is left
    out, and listed in ``attrs["left_out"]``. Quality flags are columns like any other: none is applied.

    Raises
    ------
    BadRequest
        For a grid, a file without places, or one whose times cannot be read.
    """
    magic = stream.read(4)
    stream.seek(0)
    engine: Any = "h5netcdf" if magic == b"\x89HDF" else "scipy"
    try:
        opened = xr.open_dataset(stream, engine=engine, decode_timedelta=False)
    except (TypeError, ValueError, OverflowError) as exc:  # TypeError is what scipy says of a file that is no NetCDF
        cause = str(exc).partition("\n")[0]
        raise BadRequest(f"table: the file is no NetCDF, or cannot be decoded by the CF rules ({cause}).") from exc
    with opened as dataset:
        return _read(dataset.reset_coords(), selection)


def _read(dataset: xr.Dataset, selection: Selection) -> gpd.GeoDataFrame:
    flat = _without_ragged(dataset)
    longitude, latitude = _find_place(flat)
    time = _find_time(flat)
    if selection.period and time is None:
        raise BadRequest("time: the NetCDF has no variable of times. Leave time= out.")
    vertical = _find_vertical(flat)
    leading = [name for name in (longitude, latitude, time, vertical) if name]
    axes = list(dict.fromkeys(axis for name in leading for axis in _dims(flat, name)))
    fitting = [str(name) for name, v in flat.variables.items() if set(v.dims) <= set(axes) and name not in axes]
    index = [name for name in axes if name in flat.variables]
    places = tuple(name for name in (longitude, latitude, time) if name)
    wanted = selection.wanted([*index, *fitting])
    needed = dict.fromkeys([*wanted, *places, *([vertical] if vertical else [])])
    chosen = _select(flat[[*needed]], places, selection)
    frame = _rows(chosen, axes, wanted, places, selection)
    frame.attrs = _describe(flat, wanted, sorted(set(map(str, flat.data_vars)) - set(fitting) - set(index)))
    return frame


def _without_ragged(dataset: xr.Dataset) -> xr.Dataset:
    for name, variable in dataset.variables.items():
        if "sample_dimension" in variable.attrs:
            counts = np.nan_to_num(variable.values).astype(int)
            return _spread(
                dataset, str(name), np.repeat(np.arange(len(counts)), counts), variable.attrs["sample_dimension"]
            )
        if "instance_dimension" in variable.attrs:
            return _spread(dataset, str(name), variable.values.astype(int), str(variable.dims[0]))
    return dataset


def _spread(dataset: xr.Dataset, link: str, index: Any, samples: str) -> xr.Dataset:
    """Each instance's variables repeated for its samples; the variable that linked the two is dropped."""
    whole = dataset[link]
    instance = str(whole.attrs.get("instance_dimension", whole.dims[0]))
    if len(index) != dataset.sizes[samples] or (
        len(index) and not 0 <= index.min() <= index.max() < dataset.sizes[instance]
    ):
        raise BadRequest(f"table: {link!r} does not fit the axis {samples!r}: the ragged NetCDF is broken.")
    spread = {
        str(name): v.isel({instance: xr.Variable(samples, index)})
        for name, v in dataset.variables.items()
        if instance in v.dims and name != link
    }
    rest = {str(name): v for name, v in dataset.variables.items() if instance not in v.dims and name != link}
    return xr.Dataset({**rest, **spread}, attrs=dataset.attrs).reset_coords()


def _find_place(dataset: xr.Dataset) -> tuple[str, str]:
    longitude, latitude = (_by_role(dataset, *role) for role in (("longitude", "lon"), ("latitude", "lat")))
    if longitude is None or latitude is None:
        raise BadRequest(
            "table: the NetCDF states no longitude and latitude (standard_name, units degrees_east and degrees_north). "
            f"Variables: {', '.join(map(str, list(dataset.variables)[:12]))}."
        )
    one, other = dataset[longitude].dims, dataset[latitude].dims
    if one != other or len(one) > 1:
        raise BadRequest(
            f"table: longitude has axes {one} and latitude {other}: the NetCDF is a grid or a swath, not points, "
            "stations or profiles. Open it as a cube with el.open(…)."
        )
    return longitude, latitude


def _by_role(dataset: xr.Dataset, standard: str, short: str) -> str | None:
    stated = [str(n) for n, v in dataset.variables.items() if v.attrs.get("standard_name") == standard]
    named = [str(n) for n in dataset.variables if str(n).casefold() in {standard, short}]
    return next(iter([name for name in stated if name in named] + named + stated), None)


def _find_time(dataset: xr.Dataset) -> str | None:
    moments = [str(n) for n, v in dataset.variables.items() if np.issubdtype(v.dtype, np.datetime64)]
    stated = [name for name in moments if dataset[name].attrs.get("standard_name") == "time"]
    named = [name for key in _TIMES for name in moments if name.casefold() == key]
    return next(iter(named + stated), None)


def _dims(dataset: xr.Dataset, name: str) -> tuple[str, ...]:
    return tuple(map(str, dataset[name].dims))


def _find_vertical(dataset: xr.Dataset) -> str | None:
    stated = [str(n) for n, v in dataset.variables.items() if v.attrs.get("axis") == "Z" or "positive" in v.attrs]
    named = [str(n) for n, v in dataset.variables.items() if str(n).casefold() in _VERTICAL and "units" in v.attrs]
    return next(iter(stated + named), None)


def _select(dataset: xr.Dataset, places: tuple[str, ...], selection: Selection) -> xr.Dataset:
    longitude, latitude = (dataset[name] for name in places[:2])
    require_degrees(np.atleast_1d(longitude.values), np.atleast_1d(latitude.values), (places[0], places[1]))
    if not longitude.dims:
        return dataset
    keep = selection.inside(norm_longitude(longitude.values), latitude.values)
    if len(places) == 3 and dataset[places[2]].dims == longitude.dims:
        keep &= selection.during(_utc(dataset[places[2]].values))
    return dataset.isel({longitude.dims[0]: np.flatnonzero(keep)})


def _utc(values: Any) -> "pd.Series[Any]":
    return pd.Series(np.ravel(values)).astype("datetime64[ns]").dt.tz_localize("UTC")


def _rows(
    dataset: xr.Dataset, axes: list[str], wanted: list[str], places: tuple[str, ...], selection: Selection
) -> gpd.GeoDataFrame:
    sizes = {axis: dataset.sizes[axis] for axis in axes if axis in dataset.sizes}

    def column(name: str) -> Any:
        return np.ravel(dataset.variables[name].set_dims(sizes).transpose(*sizes).values)

    longitude, latitude = norm_longitude(column(places[0])), column(places[1])
    count = len(longitude)
    missing = pd.Series(pd.NaT, index=range(count), dtype="datetime64[ns, UTC]")
    times = _utc(column(places[2])) if len(places) == 3 else missing
    keep = selection.inside(longitude, latitude) & selection.during(times) & _measured(dataset, sizes, count)
    values = {name: _plain(column(name))[keep] for name in wanted if name != "time"}
    frame = pd.DataFrame({"time": times[keep].reset_index(drop=True), **values})
    return gpd.GeoDataFrame(frame, geometry=make_points(longitude[keep], latitude[keep]), crs="EPSG:4326")


def _measured(dataset: xr.Dataset, sizes: dict[str, int], count: int) -> Any:
    """Rows that are no padding: of a rectangle of instances and samples, those that hold any number."""
    numbers = [v for v in dataset.variables.values() if set(v.dims) == set(sizes) and v.dtype.kind == "f"]
    if len(sizes) < 2 or not numbers:
        return np.ones(count, bool)
    return np.logical_or.reduce([np.ravel(v.transpose(*sizes).notnull().values) for v in numbers])


def _plain(values: Any) -> Any:
    if values.dtype.kind in "SO":
        return np.array(
            [v.decode("utf-8", "replace").strip() if isinstance(v, bytes) else v for v in values], dtype=object
        )
    if values.dtype.kind == "M":
        return pd.DatetimeIndex(values.astype("datetime64[ns]")).tz_localize("UTC")
    return values


def _describe(dataset: xr.Dataset, wanted: list[str], left_out: list[str]) -> dict[str, Any]:
    def stated(field: str) -> dict[str, str]:
        return {name: str(dataset[name].attrs[field]) for name in wanted if field in dataset[name].attrs}

    return {
        **{field: stated(field) for field in ("units", "standard_name", "long_name")},
        "licence": str(dataset.attrs.get("license", "")),
        "citation": " ".join(_stated(dataset, ("citation", "references"))),
        "left_out": left_out,
    }


def _stated(dataset: xr.Dataset, names: tuple[str, ...]) -> Iterator[str]:
    return (str(dataset.attrs[name]) for name in names if dataset.attrs.get(name))
