"""Match-ups (appariements): the values of a cube where and when a table has observations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, cast

import dask.array as da
import geopandas as gpd
import numpy as np
import odc.geo.xr  # noqa: F401 - registers .odc
import pandas as pd
import xarray as xr
from dask.base import compute
from dask.delayed import delayed
from odc.geo.geobox import GeoBox

from earthlab.cube.blocks import read_block
from earthlab.cube.description import PLAN_ATTRIBUTE
from earthlab.cube.globe import full_turn
from earthlab.cube.opening import open as open_cube
from earthlab.cube.plan import CubePlan
from earthlab.errors import BadRequest, did_you_mean

Array = np.ndarray[Any, np.dtype[Any]]

_CELL = 256
"""Rows and columns of the cells in which neighbouring places are read together: what a COG block mostly has."""

_DATES = 16
"""Consecutive dates of a cell that are read together: bounds memory, and long series are read side by side."""

_METHODS = ("nearest", "linear")


@dataclass(frozen=True, slots=True)
class _Places:
    """For each row of the table the upper left pixel of its patch of ``size`` pixels, its date, and what is wrong."""

    time: Array
    row: Array
    column: Array
    size: int
    reason: Array

    @property
    def good(self) -> Array:
        """The rows that can be read."""
        return np.flatnonzero(self.reason == "")


def points(
    cube: xr.Dataset | xr.DataArray,
    table: gpd.GeoDataFrame,
    *,
    method: str = "nearest",
    tolerance_time: Any = None,
    window: int = 1,
) -> gpd.GeoDataFrame:
    """The table, and beside each row the values of the cube at its place and nearest date.

    Parameters
    ----------
    cube : xarray.Dataset or DataArray
        Axes time, y and x, or y and x; with a CRS. What `earthlab.open` gives is read in windows around the places, and
        of anything else the blocks they lie in.
    table : GeoDataFrame
        Points in any CRS, such as `earthlab.table` gives; ``time`` in UTC where the cube has several dates.
    method : {"nearest", "linear"}
        The pixel that contains the point, or linear between the four pixel centres around it.
    tolerance_time : str or timedelta, optional
        How far the cube's date may lie from the row's: ``"3D"``, ``"6h"``. By default as far as it needs be: look at
        ``time_gap``.
    window : int
        An odd number of pixels: the mean over a square of so many around the point, of those that have a value.

    Returns
    -------
    GeoDataFrame
        The rows and columns of the table, and: a column a variable (NaN where there is none; named ``…_cube`` where the
        table has one of that name), with ``window`` also ``…_count``; ``cube_time`` (UTC) and ``time_gap`` (cube minus
        table); ``inside``, whether the point lies on the grid; ``reason``, why there is no value, else empty. The units
        of the variables are in ``attrs["units"]``.

    Raises
    ------
    BadRequest
        For a cube without grid, a table without points, CRS or time, or words that contradict each other.

    Notes
    -----
    Computed now. At equal distance the earlier date counts. A point on the edge of two pixels belongs to the one east
    or south of it. Where a read failed there is no value either: ``cube.earthlab.faults`` tells which.
    """
    dataset = cube.to_dataset(name=cube.name or "value") if isinstance(cube, xr.DataArray) else cube
    grid = _require_grid(dataset)
    gap = _norm_words(method, tolerance_time, window)
    names = _variables(dataset)
    places = _locate(dataset, grid, _require_points(table), gap, 2 if method == "linear" else int(window))
    patches = _gather(dataset, grid, names, places)
    weights = _weights(grid, table, places) if method == "linear" else None
    values = {name: _reduce(patches[name], weights) for name in names}
    return _assemble(table, dataset, grid, places, values, counts=_counts(patches) if window > 1 else {})


def _norm_words(method: str, tolerance: Any, window: Any) -> pd.Timedelta | None:
    if method not in _METHODS:
        raise BadRequest(f"method: found {method!r}. {did_you_mean(method, _METHODS)}")
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 1 or window % 2 == 0:
        raise BadRequest(f"window: found {window!r}, expected an odd number of pixels such as 3.")
    if method == "linear" and window > 1:
        raise BadRequest('points: method="linear" and window= exclude each other. Choose one.')
    try:
        gap = None if tolerance is None else pd.Timedelta(tolerance)
    except ValueError as exc:
        raise BadRequest(f'tolerance_time: found {tolerance!r}, expected for one "3D" or "6h".') from exc
    if gap is not None and not gap >= pd.Timedelta(0):
        raise BadRequest(f"tolerance_time: found {tolerance!r}, expected a length of time that is not negative.")
    return gap


def _require_grid(cube: xr.Dataset) -> GeoBox:
    grid = cube.odc.geobox
    if not isinstance(grid, GeoBox) or grid.crs is None:
        raise BadRequest(
            "points: the cube has no grid (regular y and x, and a CRS). Give what el.open(…) returns, or write its CRS "
            "with cube.odc.assign_crs(…)."
        )
    return grid


def _variables(cube: xr.Dataset) -> list[str]:
    axes = cube.odc.spatial_dims
    names = [str(n) for n, v in cube.data_vars.items() if set(axes) <= set(v.dims) and v.dtype.kind in "iufb"]
    strange = next((n for n in names if set(cube[n].dims) - {"time", *axes}), None)
    if strange is not None:
        raise BadRequest(
            f"points: {strange!r} has axes {cube[strange].dims}, expected time, y and x. Select along the others."
        )
    if not names:
        raise BadRequest(f"points: the cube has no variable with axes {' and '.join(axes)}.")
    return names


def _require_points(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    if not isinstance(table, gpd.GeoDataFrame) or table.crs is None:
        without = " without CRS" if isinstance(table, gpd.GeoDataFrame) else ""
        raise BadRequest(
            f"points: found {type(table).__name__}{without}, expected a GeoDataFrame of points with a CRS, "
            "such as el.table(…) gives."
        )
    kinds = set(table.geometry.geom_type.dropna()) - {"Point"}
    if kinds:
        raise BadRequest(
            f"points: the table holds {', '.join(sorted(kinds))}, expected points. Take .centroid for one."
        )
    return table


def _pixels(grid: GeoBox, table: gpd.GeoDataFrame) -> tuple[Array, Array]:
    """Column and row of each point on the grid, with fractions; NaN where a row has no place."""
    placed = table.geometry.to_crs(str(grid.crs))
    x, y = (np.array(side, "float64") for side in (placed.x, placed.y))
    if turn := full_turn(grid.crs):
        x -= turn * np.floor((x - grid.boundingbox.left) / turn)
    column, row = ~grid.transform * (x, y)
    return np.where(np.isfinite(column), column, np.nan), np.where(np.isfinite(row), row, np.nan)


def _locate(cube: xr.Dataset, grid: GeoBox, table: gpd.GeoDataFrame, gap: pd.Timedelta | None, size: int) -> _Places:
    column, row = _pixels(grid, table)
    time, reason = _nearest_dates(cube, table, gap)
    rows, columns = grid.shape
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    reason = np.where(np.isnan(row) | np.isnan(column), "no place", np.where(inside, reason, "outside the grid"))
    lead = 0.5 if size == 2 else (size - 1) / 2
    top, left = (np.floor(np.nan_to_num(at) - lead).astype(int) for at in (row, column))
    if size == 2:
        border = (top < 0) | (left < 0) | (top + 1 >= rows) | (left + 1 >= columns)
        reason = np.where(border & (reason == ""), "edge of the grid", reason)
    return _Places(time, top, left, size, reason)


def _nearest_dates(cube: xr.Dataset, table: gpd.GeoDataFrame, gap: pd.Timedelta | None) -> tuple[Array, Array]:
    count = len(table)
    if "time" not in cube.dims:
        return np.zeros(count, int), np.full(count, "", dtype=object)
    if "time" not in table:
        if cube.sizes["time"] > 1 or gap is not None:
            raise BadRequest(
                f"points: the cube has {cube.sizes['time']} dates and the table no column 'time'. Add one in UTC, or "
                "choose a date with cube.isel(time=…)."
            )
        return np.zeros(count, int), np.full(count, "", dtype=object)
    dates, asked = _seconds(cube.time), _seconds(_moments(table).dt.tz_localize(None))
    order = np.argsort(dates, kind="stable")
    after = np.clip(np.searchsorted(dates[order], asked), 0, len(dates) - 1)
    before = np.clip(after - 1, 0, None)
    earlier = np.abs(dates[order][before] - asked) <= np.abs(dates[order][after] - asked)
    nearest = order[np.where(earlier, before, after)]
    far = np.abs(dates[nearest] - asked) > gap.total_seconds() if gap is not None else np.zeros(count, bool)
    return nearest, np.where(np.isnan(asked), "no time", np.where(far, "no date near enough", "")).astype(object)


def _moments(table: gpd.GeoDataFrame) -> "pd.Series[Any]":
    try:
        moments: pd.Series[Any] = pd.to_datetime(table["time"], utc=True)
    except (ValueError, TypeError) as exc:
        raise BadRequest(f"points: column 'time' holds no dates ({exc}). Convert it with pandas.to_datetime.") from exc
    return moments


def _seconds(times: Any) -> Array:
    moments = np.asarray(times, "datetime64[ns]")
    return np.where(np.isnat(moments), np.nan, moments.astype("int64") / 1e9)


def _gather(cube: xr.Dataset, grid: GeoBox, names: list[str], places: _Places) -> dict[str, Array]:
    """For each variable the patches of all rows: axes row, y, x, NaN where there is nothing."""
    plan = _untouched_plan(cube, names)
    good = places.good
    if plan:
        found = _read_windows(plan[0], names, places, good, strict=plan[1])
    else:
        found = _read_blocks(cube, names, places, good, grid.shape.yx)
    out = {name: np.full((len(places.row), places.size, places.size), np.nan) for name in names}
    for name, values in found.items():
        out[name][good] = values
    return out


def _untouched_plan(cube: xr.Dataset, names: list[str]) -> tuple[CubePlan, bool] | None:
    """The plan and whether it reads strictly, where every variable still is what it says: computed on by nobody."""
    text = cube.attrs.get(PLAN_ATTRIBUTE)
    plan = CubePlan.from_json(text) if text else None
    if plan is None or not set(names) <= set(plan.bands):
        return None
    for strict in (False, True):
        fresh = open_cube(plan, strict=strict)
        if all(getattr(cube[name].data, "name", "") == fresh[name].data.name for name in names):
            return plan, strict
    return None


@dataclass(frozen=True, slots=True)
class _Window:
    """Rows of the table whose patches lie in one cell on a run of dates: one read."""

    members: Array
    spans: tuple[slice, slice, slice]


def _read_windows(plan: CubePlan, names: list[str], places: _Places, good: Array, *, strict: bool) -> dict[str, Array]:
    bands = tuple(plan.bands.index(name) for name in names)
    shared = delayed(replace(plan, chunks=((), (), ())), traverse=False)
    read = delayed(_read_window, pure=False)
    windows = list(_windows(plan, places, good))
    lazy = [_ask(read, shared, bands, window, places, strict=strict) for window in windows]
    (parts,) = compute(lazy)
    out = {name: np.full((len(good), places.size, places.size), np.nan) for name in names}
    for window, part in zip(windows, parts, strict=True):
        at = np.searchsorted(good, window.members)
        for name, values in zip(names, part, strict=True):
            out[name][at] = values
    return out


def _ask(read: Any, plan: Any, bands: tuple[int, ...], window: _Window, places: _Places, *, strict: bool) -> Any:
    at = window.members
    return read(plan, bands, window.spans, places.time[at], _corners(places, at), places.size, strict=strict)


def _windows(plan: CubePlan, places: _Places, good: Array) -> Iterator[_Window]:
    def cell(at: int) -> tuple[int, int]:
        return int(places.row[at]) // _CELL, int(places.column[at]) // _CELL

    ordered = sorted(good.tolist(), key=lambda at: (*cell(at), places.time[at]))
    for _, members in groupby(ordered, key=cell):
        run: list[int] = []
        for at in members:
            if run and (places.time[at] > places.time[run[-1]] + 1 or places.time[at] >= places.time[run[0]] + _DATES):
                yield _window(plan, places, run)
                run = []
            run.append(at)
        yield _window(plan, places, run)


def _window(plan: CubePlan, places: _Places, members: list[int]) -> _Window:
    at = np.array(members)
    time = slice(int(places.time[at].min()), int(places.time[at].max()) + 1)
    rows, columns = (
        slice(max(int(first[at].min()), 0), min(int(first[at].max()) + places.size, most))
        for first, most in zip((places.row, places.column), plan.shape, strict=True)
    )
    return _Window(np.sort(at), (time, rows, columns))


def _corners(places: _Places, members: Array) -> tuple[Array, Array]:
    return places.row[members], places.column[members]


def _read_window(
    plan: CubePlan,
    bands: tuple[int, ...],
    spans: tuple[slice, slice, slice],
    times: Array,
    corners: tuple[Array, Array],
    size: int,
    *,
    strict: bool,
) -> Array:
    lengths = (len(plan.steps), *plan.shape)
    chunks = tuple((s.start, s.stop - s.start, n - s.stop) for s, n in zip(spans, lengths, strict=True))
    block = read_block(replace(plan, chunks=cast("Any", chunks)), bands, (1, 1, 1), strict=strict)
    index, known = _patch_index(corners, size, (spans[1].start, spans[2].start), block.shape[2:])
    patches = block[:, (times - spans[0].start)[:, None, None], index[0], index[1]]
    return np.where(known, patches, np.nan)


def _patch_index(
    corners: tuple[Array, Array], size: int, start: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[Array, Array], Array]:
    step = np.arange(size)
    row = corners[0][:, None, None] - start[0] + step[None, :, None] + 0 * step[None, None, :]
    column = corners[1][:, None, None] - start[1] + step[None, None, :] + 0 * step[None, :, None]
    known = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    return (np.clip(row, 0, shape[0] - 1), np.clip(column, 0, shape[1] - 1)), known


def _read_blocks(
    cube: xr.Dataset, names: list[str], places: _Places, good: Array, shape: tuple[int, int]
) -> dict[str, Array]:
    index, known = _patch_index(_corners(places, good), places.size, (0, 0), shape)
    times = np.broadcast_to(places.time[good][:, None, None], known.shape)
    lazy = [_pick(cube[name], cube.odc.spatial_dims, times, index) for name in names]
    return {name: np.where(known, values, np.nan) for name, values in zip(names, compute(*lazy), strict=True)}


def _pick(variable: xr.DataArray, axes: tuple[str, str], times: Array, index: tuple[Array, Array]) -> Any:
    timed = "time" in variable.dims
    data = variable.transpose(*(("time",) if timed else ()), *axes).data
    where = (times, *index) if timed else index
    return data.vindex[where] if isinstance(data, da.Array) else np.asarray(data)[where]


def _weights(grid: GeoBox, table: gpd.GeoDataFrame, places: _Places) -> Array:
    column, row = _pixels(grid, table)
    south, east = row - 0.5 - places.row, column - 0.5 - places.column
    weights: Array = np.stack([1 - south, south], 1)[:, :, None] * np.stack([1 - east, east], 1)[:, None, :]
    return weights


def _reduce(patches: Array, weights: Array | None) -> Array:
    if weights is not None:
        linear: Array = np.where(weights == 0, 0, patches * weights).sum((1, 2))
        return linear
    known = np.isfinite(patches)
    count = known.sum((1, 2))
    total = np.where(known, patches, 0).sum((1, 2))
    mean: Array = np.divide(total, count, out=np.full(len(patches), np.nan), where=count > 0)
    return mean


def _counts(patches: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.isfinite(values).sum((1, 2)) for name, values in patches.items()}


def _assemble(
    table: gpd.GeoDataFrame,
    cube: xr.Dataset,
    grid: GeoBox,
    places: _Places,
    values: Mapping[str, Array],
    *,
    counts: Mapping[str, Array],
) -> gpd.GeoDataFrame:
    named = {name: f"{name}_cube" if name in table.columns else name for name in values}
    good = places.reason == ""
    empty = np.logical_and.reduce([np.isnan(column) for column in values.values()])
    new: dict[str, Any] = {named[name]: np.where(good, column, np.nan) for name, column in values.items()}
    new |= {f"{named[name]}_count": np.where(good, count, 0) for name, count in counts.items()}
    if "time" in cube.dims:
        new |= _dates(table, cube, places, good)
    column, row = _pixels(grid, table)
    new["inside"] = (row >= 0) & (row < grid.shape[0]) & (column >= 0) & (column < grid.shape[1])
    new["reason"] = np.where(good & empty, "no observation", places.reason)
    joined = table.assign(**{name: pd.Series(column, index=table.index) for name, column in new.items()})
    units = {named[name]: str(cube[name].attrs["units"]) for name in values if "units" in cube[name].attrs}
    cited = "\n".join(filter(None, (table.attrs.get("citation"), cube.attrs.get("references"))))
    joined.attrs = {**table.attrs, "units": {**table.attrs.get("units", {}), **units}, "citation": cited}
    return joined


def _dates(table: gpd.GeoDataFrame, cube: xr.Dataset, places: _Places, good: Array) -> dict[str, Any]:
    dates = pd.DatetimeIndex(cube.time.values.astype("datetime64[ns]")).tz_localize("UTC")
    chosen = pd.Series(dates[places.time], index=table.index).where(good)
    if "time" not in table:
        return {"cube_time": chosen}
    return {"cube_time": chosen, "time_gap": chosen - _moments(table)}
