"""Variables that are open in a kernel, as bands: one grid, one axis of steps, and the cheapest way to their values."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine
from dask.blockwise import Blockwise
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from earthlab.cube import PLAN_ATTRIBUTE, CubePlan
from earthlab.cube.globe import full_turn
from earthlab.cube.readers.resample import lattice_shift
from earthlab.cube.readers.window import Array
from earthlab.cube.shared.layout import Marker, Place, read_marker
from earthlab.cube.shared.reading import StoredBand
from earthlab.cube.shared.stores import StoreAddress, open_store
from earthlab.errors import BadRequest, NothingFound, did_you_mean
from earthlab.view.computed import ComputedBlocks, Lazy, resolve_most
from earthlab.view.pixels import (
    MOST_STORED,
    Cut,
    LazyPixels,
    Pixels,
    PlanPixels,
    SharedPixels,
    SlicedPixels,
)

Variable = xr.Dataset | xr.DataArray

RGB = ("red", "green", "blue")

_SAME_VALUES = ("getitem-", "rechunk-merge-", "rechunk-split-")
"""What dask calls steps that leave every value as it is."""

_PLAN, _BAND, _SHARED = "earthlab-plan-", "earthlab-", "earthlab-shared-"
"""What `earthlab.open` calls the layers of a graph."""

_OPENED = ("open_dataset-", "open_zarr-")
"""What xarray calls arrays of files and stores."""

_TOKEN = 20
"""Characters at the end of a layer's name."""

blocks = ComputedBlocks(resolve_most)
"""Those that this process has computed for pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenBands:
    """Bands of a variable that lie on one grid and have the same steps.

    Attributes
    ----------
    names, units : tuple of str
        Of each band.
    grid : GeoBox
        With its CRS.
    axis : str or None
        Of the steps: mostly time.
    labels : tuple of str
        Of the steps, each its own: ISO 8601 where they are times. One, which is empty, without an axis.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    grid: GeoBox
    axis: str | None
    labels: tuple[str, ...]
    parts: tuple[Pixels, ...]

    def find_step(self, label: str | None) -> int:
        """The place of a step; of the last one where none is named.

        Raises
        ------
        BadRequest
            For a label that no step has.
        """
        if label is None or (self.axis is None and not label):
            return len(self.labels) - 1
        if label not in self.labels:
            found = f"{self.axis}: no step is called {label!r}." if self.axis else f"There are no steps, as {label!r}."
            raise BadRequest(f"{found} {did_you_mean(label, self.labels)}")
        return self.labels.index(label)

    def find_pixel(self, longitude: float, latitude: float) -> tuple[int, int]:
        """Row and column of the pixel at a place in degrees.

        Raises
        ------
        NothingFound
            Where the place is outside.
        """
        assert self.grid.crs is not None
        x, y = CRS("EPSG:4326").transformer_to_crs(self.grid.crs)(longitude, latitude)
        if math.isfinite(x) and math.isfinite(y):
            column, row = ~self.grid.transform @ (unrolled(x, self.grid), y)
            if 0 <= row < self.grid.shape.y and 0 <= column < self.grid.shape.x:
                return int(row), int(column)
        raise NothingFound(
            f"{longitude:.5f}, {latitude:.5f} (longitude, latitude) is outside of {', '.join(self.names)}. "
            "Point at a place within its bounds."
        )

    def on_grid(self, step: int, cut: Cut) -> Array | None:
        """One step, counted from either end, on a grid of any CRS: float32, axes band, row, column; None for nothing.

        Raises
        ------
        AskLess
            Where that takes too much.
        ReadFault
            Where nothing could be read.
        """
        found = [part.on_grid(step % len(self.labels), cut) for part in self.parts]
        return None if any(each is None for each in found) else np.concatenate([e for e in found if e is not None])

    def within(self, steps: slice, rows: slice, columns: slice) -> Array:
        """Steps of a part of its own grid: floats, axes band, step, row, column.

        Raises
        ------
        AskLess
            Where that takes too much.
        ReadFault
            Where nothing could be read.
        """
        return np.concatenate([part.within(steps, rows, columns) for part in self.parts])

    def sample(self, step: int) -> Array:
        """Values of a step, few, from wherever they are cheap; axes as they come."""
        return np.concatenate([part.sample(step % len(self.labels)).ravel() for part in self.parts])


def open_bands(variable: Variable, names: Sequence[str] = ()) -> OpenBands:
    """Bands of a variable, ready to be drawn or asked.

    Parameters
    ----------
    variable : Dataset or DataArray
        With rows, columns and a CRS (`odc.geo`), and at most one axis more.
    names : sequence of str
        Of a dataset's variables; by default the only one.

    Returns
    -------
    OpenBands
        Nothing is computed yet.

    Raises
    ------
    BadRequest
        For names that there are not, or what has no place on the Earth.
    """
    arrays = [_require_numbers(array) for array in _pick(variable, names)]
    grid, dims = _require_grid(arrays[0])
    for other in arrays[1:]:
        if _require_grid(other) != (grid, dims) or other.sizes != arrays[0].sizes:
            raise BadRequest(f"{other.name!r} and {arrays[0].name!r} lie on two grids. Take bands of one cube.")
    axis = str(dims[0]) if len(dims) == 3 else None
    plan = _plan_of(variable) if isinstance(variable, xr.Dataset) else None
    return OpenBands(
        names=tuple(str(array.name or "") for array in arrays),
        units=tuple(str(array.attrs.get("units", "")) for array in arrays),
        grid=grid,
        axis=axis,
        labels=label_steps(arrays[0], axis),
        parts=_find_parts(arrays, grid, dims, plan),
    )


def find_grid(array: xr.DataArray) -> tuple[GeoBox, tuple[Hashable, ...]] | None:
    """The grid of an array, and its dimensions in the order step, row, column; None where it cannot be drawn."""
    grid = array.odc.geobox
    if not isinstance(grid, GeoBox) or grid.crs is None or array.dtype.kind not in "biuf" or not array.size:
        return None
    rows_and_columns = tuple(array.odc.spatial_dims)
    others = tuple(dim for dim in array.dims if dim not in rows_and_columns)
    return (grid, (*others, *rows_and_columns)) if len(others) <= 1 else None


def is_loaded(array: xr.DataArray) -> bool:
    """Whether its values are in memory, or a recipe of dask's; else they are in a file, and would be read whole."""
    return array.chunks is not None or bool(array.variable._in_memory)  # noqa: SLF001 - xarray says it nowhere else


def label_steps(array: xr.DataArray, axis: str | None) -> tuple[str, ...]:
    """What the steps of an axis are called: ISO 8601 for times; what comes twice is counted."""
    if axis is None:
        return ("",)
    if axis not in array.coords or array[axis].ndim != 1:
        return tuple(map(str, range(array.sizes[axis])))
    values = array[axis].values
    if values.dtype.kind == "M":
        named = [str(text) for text in np.datetime_as_string(values, unit="s")]
    else:
        named = [str(value) for value in values.tolist()]
    seen: Counter[str] = Counter()
    labels = []
    for name in named:
        seen[name] += 1
        labels.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(labels)


def unrolled(x: float, grid: GeoBox) -> float:
    """The same meridian within the grid, where x goes round the globe and it has it."""
    turn = full_turn(grid.crs)
    left = grid.boundingbox.left
    return x - turn * math.floor((x - left) / turn) if turn else x


def _pick(variable: Variable, names: Sequence[str]) -> list[xr.DataArray]:
    if isinstance(variable, xr.DataArray):
        if any(name != str(variable.name or "") for name in names):
            raise BadRequest(f"band: found {', '.join(names)!r}, but this array is one band. Leave band out.")
        return [variable]
    known = {str(name): name for name in variable.data_vars}
    wanted = list(names) or (list(known) if len(known) == 1 else [])
    if not wanted:
        raise BadRequest(f"band: there are several. Say which: {did_you_mean('', known)}")
    for name in wanted:
        if name not in known:
            raise BadRequest(f"band: found {name!r}. {did_you_mean(name, known)}")
    return [variable[known[name]] for name in wanted]


def _require_numbers(array: xr.DataArray) -> xr.DataArray:
    if array.dtype.kind not in "biuf":
        raise BadRequest(f"{array.name!r} holds {array.dtype}; numbers were expected. Take another variable.")
    return array


def _require_grid(array: xr.DataArray) -> tuple[GeoBox, tuple[Hashable, ...]]:
    found = find_grid(array)
    if found is None:
        raise BadRequest(
            f"{array.name!r} has the axes {', '.join(map(str, array.dims))}; rows, columns, a CRS and at most one axis "
            "more were expected. Select or reduce the others, or say the CRS: .odc.assign_crs(…)."
        )
    return found


@dataclass(frozen=True, slots=True)
class _Planned:
    """A band that is still what its plan says, or a part of it."""

    plan: CubePlan
    band: int
    places: tuple[int, ...]
    corner: tuple[int, int]


def _find_parts(
    arrays: Sequence[xr.DataArray], grid: GeoBox, dims: tuple[Hashable, ...], plan: CubePlan | None
) -> tuple[Pixels, ...]:
    planned = [_find_planned(array, grid, dims) for array in arrays]
    first = planned[0]
    if first is not None and all(
        each is not None
        and (each.plan.token, each.places, each.corner) == (first.plan.token, first.places, first.corner)
        for each in planned
    ):
        bands = tuple(each.band for each in planned if each is not None)
        return (PlanPixels(first.plan, bands, first.places, grid, first.corner),)
    return tuple(
        PlanPixels(of.plan, (of.band,), of.places, grid, of.corner) if of else _find_pixels(array, grid, dims, plan)
        for array, of in zip(arrays, planned, strict=True)
    )


def _find_pixels(array: xr.DataArray, grid: GeoBox, dims: tuple[Hashable, ...], plan: CubePlan | None) -> Pixels:
    nodata, turned = _nodata_of(array), array.transpose(*dims)
    if not is_loaded(array):
        return SlicedPixels(turned, grid, nodata, MOST_STORED)
    data = turned.data
    if not isinstance(data, da.Array):
        return SlicedPixels(np.asarray(data), grid, nodata)
    stored = _find_store(data)
    if stored is None:
        return LazyPixels(Lazy(data, array.data), grid, blocks, nodata)
    near = SlicedPixels(stored, grid, nodata, MOST_STORED)
    return _find_shared(array, near, grid, dims, plan) if isinstance(stored, StoredBand) else near


def _find_shared(
    array: xr.DataArray, near: SlicedPixels, grid: GeoBox, dims: tuple[Hashable, ...], plan: CubePlan | None
) -> SharedPixels:
    name = str(array.name or "")
    found = _match(array, plan, plan.bands.index(name), grid, dims) if plan and name in plan.bands else None
    far = PlanPixels(found.plan, (found.band,), found.places, grid, found.corner, strict=True) if found else None
    return SharedPixels({1: near, **_find_levels(near.source, grid)}, far)


def _find_levels(stored: StoredBand, grid: GeoBox) -> dict[int, SlicedPixels]:
    """The overviews of a band, by their factors; none of a cube that was built without."""
    marker = _read_marker(stored.address, stored.prefix)
    found = {}
    for factor in marker.levels:
        level = replace(stored, level=marker.level(factor), empty=marker.empty_shards(stored.name, factor))
        coarse = GeoBox(level.shape[1:], grid.transform @ Affine.scale(factor), grid.crs)
        found[factor] = SlicedPixels(level, coarse, None, MOST_STORED)
    return found


@lru_cache(maxsize=16)
def _read_marker(address: StoreAddress, prefix: str) -> Marker:
    access, token, generation = prefix.strip("/").split("/")
    return read_marker(Place(open_store(address), access, token), generation)


def _nodata_of(array: xr.DataArray) -> float | None:
    stated = array.attrs.get("nodata", array.attrs.get("_FillValue"))
    return float(stated) if isinstance(stated, int | float | np.number) and not math.isnan(float(stated)) else None


def _find_store(data: da.Array) -> Any:
    """What a lazy array takes its blocks of, where that can be sliced and nothing is done to them; else None."""
    layers = dict(data.dask.layers)
    read = layers.pop(data.name, None)
    if not data.name.startswith((_SHARED, *_OPENED)) or not isinstance(read, Blockwise):
        return None
    whole = [each for original in layers.values() for each in original.values()]
    literal = [each for each, index in read.indices if index is None]
    found = [each for each in (*literal, *whole) if getattr(each, "shape", None) == data.shape]
    return found[0] if found else None


def _plan_of(cube: xr.Dataset) -> CubePlan | None:
    text = cube.attrs.get(PLAN_ATTRIBUTE)
    return _parse_plan(text) if isinstance(text, str) else None


@lru_cache(maxsize=4)
def _parse_plan(text: str) -> CubePlan | None:
    try:
        return CubePlan.from_json(text)
    except BadRequest:  # an attribute is anybody's to write
        return None


def _find_planned(array: xr.DataArray, grid: GeoBox, dims: tuple[Hashable, ...]) -> _Planned | None:
    """The plan of a band that `earthlab.open` made, of which nothing but parts were taken since; else None.

    Attributes do not tell: they stay with what is computed of a cube. The graph does.
    """
    data = array.data if is_loaded(array) else None
    if not isinstance(data, da.Array):
        return None
    reads = [name for name in data.dask.layers if not name.startswith(_SAME_VALUES)]
    plans = [name for name in reads if name.startswith(_PLAN)]
    bands = [name for name in reads if name not in plans]
    if len(plans) != 1 or len(bands) != 1 or not bands[0].startswith(_BAND):
        return None
    node = data.dask.layers[plans[0]][plans[0]]
    plan, name = getattr(node, "value", node), bands[0][len(_BAND) : -_TOKEN - 1]
    if not isinstance(plan, CubePlan) or name not in plan.bands:
        return None
    return _match(array, plan, plan.bands.index(name), grid, dims)


def _match(array: xr.DataArray, plan: CubePlan, band: int, grid: GeoBox, dims: tuple[Hashable, ...]) -> _Planned | None:
    """Which part of a plan's band an array is by its coordinates; None where they are others."""
    places, corner = _places(array, plan, dims), lattice_shift(plan.geobox, grid)
    if places is None or corner is None:
        return None
    fits = (at >= 0 and at + size <= whole for at, size, whole in zip(corner, grid.shape, plan.shape, strict=True))
    return _Planned(plan, band, places, corner) if all(fits) else None


def _places(array: xr.DataArray, plan: CubePlan, dims: tuple[Hashable, ...]) -> tuple[int, ...] | None:
    if (len(dims) == 3 and dims[0] != "time") or "time" not in array.coords:
        return None
    times = np.atleast_1d(array["time"].values)
    planned = np.array([each.replace(tzinfo=None) for each in plan.times], dtype="datetime64[ns]")
    if times.dtype.kind != "M":
        return None
    times = times.astype("datetime64[ns]")
    if np.array_equal(times, planned):
        return tuple(range(len(planned)))
    place = {time: at for at, time in enumerate(planned.tolist())}
    if len(place) < len(planned) or not all(time in place for time in times.tolist()):
        return None
    return tuple(place[time] for time in times.tolist())
