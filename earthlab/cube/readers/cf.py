"""Which arrays of a NetCDF or a Zarr are regular grids, where they lie, and what their numbers mean.

After the CF conventions 1.12: chapters 2.5 (missing values), 4 (coordinates), 5.6 (grid mappings) and 8.1 (packing).
"""

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from earthlab.cube.readers.cf_times import is_time_unit
from earthlab.cube.readers.containers import Array, ArrayHead, Indexed, enclosing_groups
from earthlab.cube.readers.window import norm_nodata
from earthlab.types import canonical_json

_EAST = {"degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"}
_NORTH = {"degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"}
_STANDARD = {
    "longitude": "lon",
    "latitude": "lat",
    "grid_longitude": "x",
    "grid_latitude": "y",
    "projection_x_coordinate": "x",
    "projection_y_coordinate": "y",
    "projection_x_angular_coordinate": "x",
    "projection_y_angular_coordinate": "y",
    "time": "t",
}
_NAMES = {
    **dict.fromkeys(("lon", "longitude", "long", "nav_lon"), "lon"),
    **dict.fromkeys(("lat", "latitude", "nav_lat"), "lat"),
    **dict.fromkeys(("x", "xc", "rlon", "easting", "projection_x_coordinate"), "x"),
    **dict.fromkeys(("y", "yc", "rlat", "northing", "projection_y_coordinate"), "y"),
}
_METRES = {"km": 1000.0, "kilometer": 1000.0, "kilometre": 1000.0, "kilometers": 1000.0, "kilometres": 1000.0}
_DEFAULT_FILLS = {"f": 9.969209968386869e36}
"""What NetCDF writes where nothing was written, for floats (netcdf.h, NC_FILL_FLOAT and NC_FILL_DOUBLE)."""

_WGS84 = (6378137.0, 298.257223563)
_LOOSE = 0.01
"""Of a step: how far a coordinate may stray from the even line."""


class NotAGrid(ValueError):
    """Why an array cannot be put on a grid as it is; the text follows the array's name."""


class Swath(NotAGrid):
    """Two-dimensional latitudes and longitudes: a satellite's own geometry, or a curvilinear model."""


class Points(NotAGrid):
    """Latitudes and longitudes along one dimension: stations, profiles, a track."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Physical value = raw · ``scale`` + ``offset``; what is no observation, in raw numbers."""

    nodata: float | None = None
    also: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    scale: float | None = None
    offset: float | None = None
    dtype: np.dtype[Any] | None = None
    """How the raw bytes are meant, where that is not how they are stored."""

    def meant(self, raw: Array) -> Array:
        """The raw numbers in native byte order, unsigned where the file says so."""
        native = raw.astype(raw.dtype.newbyteorder("="), copy=False)
        return native if self.dtype is None else native.view(self.dtype)

    def judge(self, raw: Array) -> Array:
        """Whether each raw number is an observation."""
        good = ~np.isnan(raw) if raw.dtype.kind == "f" else np.ones(raw.shape, bool)
        for empty in self.missing:
            if not np.isnan(empty):
                good &= raw != raw.dtype.type(empty)
        if self.low is not None:
            good &= raw >= self.low
        if self.high is not None:
            good &= raw <= self.high
        return good

    @property
    def missing(self) -> tuple[float, ...]:
        """Every raw number that means no observation."""
        return self.also if self.nodata is None else (self.nodata, *self.also)


@dataclass(frozen=True, slots=True)
class Grid:
    """An array that is a regular grid. ``geobox`` has rows north to south and columns west to east, as windows have.

    ``y`` and ``x`` are the places of its axes, ``ascending`` says whether the file's rows go north, ``descending``
    whether its columns go west. ``turn`` is the number of columns of a full circle of longitudes, 0 where it has none.
    """

    head: ArrayHead
    y: int
    x: int
    geobox: GeoBox
    ascending: bool
    descending: bool
    turn: int
    packing: Packing

    @property
    def geographic(self) -> bool:
        """Whether its coordinates are longitudes and latitudes."""
        return bool(self.geobox.crs and self.geobox.crs.geographic)

    @property
    def others(self) -> dict[str, int]:
        """The dimensions other than y and x, and their lengths."""
        pairs = zip(self.head.dims, self.head.shape, strict=True)
        return {dim: size for axis, (dim, size) in enumerate(pairs) if axis not in {self.y, self.x}}

    def slices(self, rows: slice, columns: slice) -> dict[int, slice]:
        """Where these rows and columns lie in the file, by axis."""
        height, width = self.geobox.shape
        down = slice(height - rows.stop, height - rows.start) if self.ascending else rows
        across = slice(width - columns.stop, width - columns.start) if self.descending else columns
        return {self.y: down, self.x: across}


def role(head: ArrayHead) -> str | None:
    """What a coordinate is: ``"lon"``, ``"lat"``, ``"x"``, ``"y"``, ``"t"``, or ``None``."""
    standard = _text(head.attrs, "standard_name").lower()
    if standard in _STANDARD:
        return _STANDARD[standard]
    units = _text(head.attrs, "units").strip().lower()
    if units in _EAST | _NORTH:
        return "lon" if units in _EAST else "lat"
    if is_time_unit(head.attrs.get("units")):
        return "t"
    axis = _text(head.attrs, "axis").lower()
    return _NAMES.get(head.name.lower()) or (axis if axis in {"x", "y", "t"} else None)


def find_coordinate(container: Indexed, head: ArrayHead, dim: str) -> ArrayHead | None:
    """The one-dimensional coordinate of a dimension of an array, in its group or one around it."""
    heads = container.heads()
    for group in enclosing_groups(head.group):
        found = heads.get(f"{group}/{dim}" if group else dim)
        if found is not None and found.dims == (dim,):
            return found
    near = [h for h in container.around(head) if h.dims == (dim,) and role(h) in {"lon", "lat", "x", "y", "t"}]
    return near[0] if len(near) == 1 else None


def describe_grid(container: Indexed, head: ArrayHead) -> Grid:
    """Where the array lies and what its numbers mean; only coordinates are read.

    Raises
    ------
    Swath, Points, NotAGrid
        Where it is no regular grid; the text says what it is.
    """
    if head.dtype.kind not in "iufb" or is_time_unit(head.attrs.get("units")):
        raise NotAGrid(f"holds {head.dtype}, not numbers of a map")
    y, x = _axes(container, head)
    rows, columns = (find_coordinate(container, head, head.dims[axis]) for axis in (y, x))
    assert rows is not None
    assert columns is not None
    crs, factor = _find_crs(container, head, rows, columns)
    down = _numbers(container, rows, factor)
    across = _numbers(container, columns, factor)
    if crs.is_geographic:
        across = np.unwrap(across, period=360)
    widths = (_step(across, columns), _step(down, rows))
    wide, high = (own or (abs(other) if other else None) for own, other in (widths, widths[::-1]))
    if wide is None or high is None:
        raise NotAGrid("has a single row and column: its pixel size is not known")
    geobox = _geobox(across, down, wide, high, crs, loose=(_spacing(columns, across), _spacing(rows, down)))
    turn = round(360 / abs(wide)) if crs.is_geographic and len(across) * abs(wide) > 359.9 * (1 - 1e-6) else 0
    return Grid(head, y, x, geobox, high > 0, wide < 0, turn if turn == len(across) else 0, parse_packing(head))


def bounds_of(container: Indexed) -> frozenset[str]:
    """The names of arrays that are the edges of the cells of others."""
    stated = (h.attrs.get(key) for h in container.heads().values() for key in ("bounds", "climatology"))
    return frozenset(name for name in stated if isinstance(name, str))


def is_coordinate(head: ArrayHead) -> bool:
    """Whether the array says where others lie: a coordinate, or a grid mapping."""
    if head.name in head.dims or not head.dims:
        return True
    return len(head.dims) <= 2 and role(head) in {"lon", "lat", "t"}


def _text(attrs: Mapping[str, Any], name: str) -> str:
    value = attrs.get(name)
    return value if isinstance(value, str) else ""


def _axes(container: Indexed, head: ArrayHead) -> tuple[int, int]:
    roles: dict[str, int] = {}
    for axis, dim in enumerate(head.dims):
        coordinate = find_coordinate(container, head, dim)
        if coordinate is not None and (found := role(coordinate)):
            roles.setdefault(found, axis)
    for pair in (("y", "x"), ("lat", "lon")):
        if set(pair) <= set(roles):
            return roles[pair[0]], roles[pair[1]]
    raise _why_not(container, head)


def _why_not(container: Indexed, head: ArrayHead) -> NotAGrid:
    near = [h for h in container.around(head) if role(h) in {"lon", "lat"} and set(h.dims) <= set(head.dims)]
    shape = " × ".join(f"{dim} {size}" for dim, size in zip(head.dims, head.shape, strict=True)) or "a single number"
    twice = {role(h): h for h in near if len(h.dims) >= 2}
    once = {role(h): h for h in near if len(h.dims) == 1}
    if len(twice) == 2:
        names = " and ".join(sorted(h.name for h in twice.values()))
        return Swath(f"is a swath or a curvilinear grid ({shape}): {names} have {len(twice['lat'].dims)} dimensions")
    if len(once) == 2 and once["lat"].dims == once["lon"].dims:
        return Points(f"is a series of points ({shape}): latitude and longitude both go along {once['lat'].dims[0]!r}")
    return NotAGrid(f"has no two dimensions that are known as y and x ({shape})")


def _find_crs(container: Indexed, head: ArrayHead, rows: ArrayHead, columns: ArrayHead) -> tuple[CRS, float]:
    stated = _grid_mapping(container, head)
    crs = _mapped_crs(stated) or _attribute_crs(container, head)
    lonlat = {role(rows), role(columns)} == {"lat", "lon"}
    if crs is None and lonlat:
        return CRS("EPSG:4326"), 1.0
    if crs is None:
        reason = _why_not(container, head)
        raise (
            reason
            if isinstance(reason, Swath)
            else NotAGrid("states no CRS: it has neither grid_mapping nor proj:code")
        )
    if lonlat and not crs.is_geographic:
        return CRS("EPSG:4326"), 1.0
    units = _text(columns.attrs, "units").strip().lower()
    if stated.get("grid_mapping_name") == "geostationary" and units in {"rad", "radian", "radians"}:
        return crs, float(stated["perspective_point_height"])
    return crs, _METRES.get(units, 1.0)


def _grid_mapping(container: Indexed, head: ArrayHead) -> Mapping[str, Any]:
    name = _text(head.attrs, "grid_mapping").partition(":")[0].strip()
    scalars = {h.name: h for h in container.around(head) if h.dims in {(), (h.name,)} or h.shape == (1,)}
    for known in (name, "spatial_ref", "crs"):
        if known in scalars:
            return scalars[known].attrs
    return {}


def _mapped_crs(attrs: Mapping[str, Any]) -> CRS | None:
    for key in ("crs_wkt", "spatial_ref"):
        if _text(attrs, key):
            return _norm_crs(_text(attrs, key))
    if not _text(attrs, "grid_mapping_name"):
        return None
    if _text(attrs, "grid_mapping_name") == "latitude_longitude" and _is_wgs84(attrs):
        return CRS("EPSG:4326")
    plain = {
        key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value for key, value in attrs.items()
    }
    try:
        return CRS.from_cf(plain)
    except (CRSError, KeyError, TypeError, ValueError) as exc:
        raise NotAGrid(f"states a grid mapping that PROJ does not understand ({exc})") from exc


def _is_wgs84(attrs: Mapping[str, Any]) -> bool:
    named = [_text(attrs, key) for key in ("horizontal_datum_name", "geographic_crs_name", "reference_ellipsoid_name")]
    axis, flattening = attrs.get("semi_major_axis"), attrs.get("inverse_flattening")
    as_wgs84 = axis is None or (abs(axis - _WGS84[0]) < 1 and abs((flattening or _WGS84[1]) - _WGS84[1]) < 1e-3)
    return as_wgs84 and all("84" in name for name in named if name)


@lru_cache(maxsize=256)
def _norm_crs(text: str) -> CRS:
    try:
        crs = CRS(text)
    except CRSError as exc:
        raise NotAGrid(f"states a CRS that PROJ does not understand ({text[:60]!r})") from exc
    code = crs.to_epsg()
    return CRS(f"EPSG:{code}") if code else crs


def _attribute_crs(container: Indexed, head: ArrayHead) -> CRS | None:
    for attrs in (head.attrs, *(container.group_attrs(group) for group in enclosing_groups(head.group))):
        if attrs.get("proj:code"):
            return _norm_crs(str(attrs["proj:code"]))
        if attrs.get("proj:epsg"):
            return _norm_crs(f"EPSG:{int(attrs['proj:epsg'])}")
        if attrs.get("proj:wkt2"):
            return _norm_crs(str(attrs["proj:wkt2"]))
        if isinstance(attrs.get("proj:projjson"), Mapping):
            return _norm_crs(canonical_json(attrs["proj:projjson"]))
    return None


def _numbers(container: Indexed, head: ArrayHead, factor: float) -> Array:
    packing = parse_packing(head)
    raw = packing.meant(container.coordinate(head))
    values = raw.astype("float64") * (packing.scale or 1.0) + (packing.offset or 0.0)
    if not values.size or not np.isfinite(values).all() or not packing.judge(raw).all():
        raise NotAGrid(f"has a coordinate {head.name!r} with missing values")
    return values * factor


def _spacing(head: ArrayHead, values: Array) -> float:
    """How exact the coordinate can be, given how it is stored."""
    largest = float(np.abs(values).max())
    stored = np.float32(largest) if head.dtype.itemsize < 8 and head.dtype.kind == "f" else np.float64(largest)
    return float(np.spacing(stored))


def _step(values: Array, head: ArrayHead) -> float | None:
    if len(values) < 2:
        return None
    step = float(values[-1] - values[0]) / (len(values) - 1)
    astray = np.abs(values - (values[0] + step * np.arange(len(values)))).max()
    if step == 0 or astray > max(_LOOSE * abs(step), 1.5 * min(_spacing(head, values), 0.05 * abs(step))):
        steps = np.diff(values)
        raise NotAGrid(
            f"is not on a regular grid: the steps of {head.name!r} go from {steps.min():.6g} to {steps.max():.6g}"
        )
    return step


def _geobox(across: Array, down: Array, wide: float, high: float, crs: CRS, *, loose: tuple[float, float]) -> GeoBox:
    west, width = _even(float(across.min()), abs(wide), len(across), loose[0])
    south, height = _even(float(down.min()), abs(high), len(down), loose[1])
    top = south + height * (len(down) - 1)
    transform = Affine(width, 0, west - width / 2, 0, -height, top + height / 2)
    return GeoBox((len(down), len(across)), transform, crs)


def _even(first: float, step: float, count: int, loose: float) -> tuple[float, float]:
    """The shortest decimals that give the same coordinates within what their storage can tell apart."""
    if loose < 1e-9 * step:
        return first, step
    exact = _shortest(step, loose / max(count - 1, 1) * 2)
    return _shortest(first, loose), exact


def _shortest(value: float, tolerance: float) -> float:
    if abs(1 / round(1 / value) - value) <= tolerance if abs(value) < 0.6 and value else False:
        return 1 / round(1 / value)
    for digits in range(13):
        if abs(round(value, digits) - value) <= tolerance:
            return round(value, digits)
    return value


def parse_packing(head: ArrayHead) -> Packing:
    """What the attributes say of scale, offset and missing values."""
    attrs, dtype = head.attrs, _meant_dtype(head)
    scale, offset = (_first(attrs.get(key)) for key in ("scale_factor", "add_offset"))
    empty = _fills(attrs.get("_FillValue"), dtype) or _fills(head.fill, dtype) or ()
    others = _fills(attrs.get("missing_value"), dtype)
    if not empty and not others and dtype.kind in _DEFAULT_FILLS:
        others = (float(dtype.type(_DEFAULT_FILLS[dtype.kind])),) if dtype.itemsize >= 4 else ()
    low, high = _valid_range(attrs, dtype, scale, offset)
    known = (*empty, *others)
    return Packing(
        nodata=known[0] if known else None,
        also=tuple(dict.fromkeys(known[1:])),
        low=low,
        high=high,
        scale=scale,
        offset=offset,
        dtype=dtype if dtype != head.dtype.newbyteorder("=") else None,
    )


def _meant_dtype(head: ArrayHead) -> np.dtype[Any]:
    dtype = head.dtype.newbyteorder("=")
    stated = str(head.attrs.get("_Unsigned", "")).lower()
    if dtype.kind == "i" and stated == "true":
        return np.dtype(f"u{dtype.itemsize}")
    if dtype.kind == "u" and stated == "false":
        return np.dtype(f"i{dtype.itemsize}")
    return np.dtype("uint8") if dtype.kind == "b" else dtype


def _first(value: Any) -> float | None:
    numbers = np.ravel(value) if value is not None else np.array([])
    return float(numbers[0]) if numbers.size and numbers.dtype.kind in "iuf" else None


def _fills(value: Any, dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Fill values as raw numbers of the dtype; those it cannot hold match nothing and are left out."""
    if isinstance(value, str):
        value = _decoded(value)
    if value is None or np.asarray(value).dtype.kind not in "iufb":
        return ()
    numbers = (norm_nodata(_unsigned_limit(float(number), number, dtype), dtype) for number in np.ravel(value))
    return tuple(number for number in numbers if number is not None)


def _decoded(text: str) -> float | None:
    """A float as xarray writes it into Zarr v3: base64 of its eight bytes; or spelt out."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        (number,) = struct.unpack("<d", base64.b64decode(text, validate=True))
    except (ValueError, struct.error):
        return None
    return float(number)


def _valid_range(
    attrs: Mapping[str, Any], dtype: np.dtype[Any], scale: float | None, offset: float | None
) -> tuple[float | None, float | None]:
    stated = np.ravel(attrs["valid_range"]) if attrs.get("valid_range") is not None else np.array([])
    pair = tuple(stated) if len(stated) == 2 else (attrs.get("valid_min"), attrs.get("valid_max"))
    low, high = (_raw_limit(limit, dtype, scale, offset) for limit in pair)
    if scale is not None and scale < 0:
        physical = any(_is_physical(limit, dtype) for limit in pair if limit is not None)
        return (high, low) if physical else (low, high)
    return low, high


def _is_physical(limit: Any, dtype: np.dtype[Any]) -> bool:
    return bool(dtype.kind in "iu" and np.asarray(limit).dtype.kind == "f")


def _raw_limit(limit: Any, dtype: np.dtype[Any], scale: float | None, offset: float | None) -> float | None:
    number = _first(limit)
    if number is None or not _is_physical(limit, dtype) or scale in {None, 0}:
        return _unsigned_limit(number, limit, dtype)
    return (number - (offset or 0.0)) / (scale or 1.0)


def _unsigned_limit(number: float | None, limit: Any, dtype: np.dtype[Any]) -> float | None:
    """NetCDF without unsigned types states limits of unsigned bytes as signed ones: -2 for 254."""
    if number is not None and dtype.kind == "u" and number < 0 and np.asarray(limit).dtype.kind == "i":
        return number + float(2 ** (8 * dtype.itemsize))
    return number
