"""Land cover: what changed between two maps, and how large a class really is once the map's errors are counted.

A map counts pixels, errors included. A survey of places drawn within each mapped class tells how often the map errs,
and with it the area of each class, unbiased and with its interval.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.grids import check_same_grid, crs_of, flat, nodata_of, pixel_size, transform_of
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import quantile_of_normal
from earthlab.analysis.stratified import estimate, intervals
from earthlab.errors import BadRequest, did_you_mean

Language = Literal["fr", "en"]
_HECTARE = 10_000.0
_Marks = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class LandClass:
    """One class of a nomenclature: its code, its names, its colour, and what a raster holds for it."""

    code: str
    value: int
    fr: str
    en: str
    colour: str


@dataclass(frozen=True, slots=True)
class Nomenclature:
    """A list of land cover classes at one level, with the values that a raster holds for no data."""

    id: str
    title: Mapping[str, str]
    source: str
    level: int
    classes: tuple[LandClass, ...]
    nodata: tuple[int, ...]

    def labels(self, language: Language = "fr") -> dict[int, str]:
        """Name of each class by its value in a raster."""
        return {land.value: land.fr if language == "fr" else land.en for land in self.classes}

    def colours(self) -> dict[int, str]:
        """Colour of each class (``#rrggbb``) by its value in a raster."""
        return {land.value: land.colour for land in self.classes}


def find_nomenclature(name: str, level: int | None = None) -> Nomenclature:
    """A nomenclature the lab knows: ``"corine"`` (levels 1, 2 and 3) or ``"oso"`` (one level, 23 classes).

    Parameters
    ----------
    name : str
        ``"corine"`` or ``"oso"``.
    level : int, optional
        Default: the finest. Values of CORINE's level 3 are those of its rasters, 1 to 44; of levels 1 and 2 they are
        the codes themselves, 1 to 5 and 11 to 52, as `regroup` gives them.

    Returns
    -------
    Nomenclature

    Raises
    ------
    BadRequest
        For an unknown name or level.
    """
    known = _nomenclatures()
    if name not in known:
        raise BadRequest(f"nomenclature: {name!r} is not known. {did_you_mean(name, known)}")
    levels = known[name]
    chosen = max(levels) if level is None else level
    if chosen not in levels:
        raise BadRequest(f"nomenclature {name!r}: level is {level!r}, expected one of {', '.join(map(str, levels))}.")
    return levels[chosen]


@cache
def _nomenclatures() -> dict[str, dict[int, Nomenclature]]:
    tables = tomllib.loads((files("earthlab.analysis") / "land_cover.toml").read_text("utf-8"))["nomenclatures"]
    return {str(table["id"]): _levels(table) for table in tables}


def _levels(table: Mapping[str, Any]) -> dict[int, Nomenclature]:
    finest = tuple(LandClass(**fields) for fields in table["classes"])
    by_level = {max(len(land.code) for land in finest) if table.get("groups") else 1: finest}
    for fields in table.get("groups", ()):
        group = LandClass(value=int(fields["code"]), **fields)
        by_level[len(group.code)] = (*by_level.get(len(group.code), ()), group)
    return {
        level: Nomenclature(table["id"], table["title"], table["source"], level, classes, tuple(table["nodata"]))
        for level, classes in sorted(by_level.items())
    }


def regroup(cover: xr.DataArray, level: int, *, nomenclature: str = "corine") -> xr.DataArray:
    """The map at a coarser level: the value of each class replaced by the code of its group.

    Parameters
    ----------
    cover : xarray.DataArray
        Values of the finest level, or their codes such as 311; NaN, what the map declares as no data and the
        nomenclature's own values are no data.
    level : int
        1 or 2 for CORINE.
    nomenclature : str
        As for `find_nomenclature`.

    Returns
    -------
    xarray.DataArray
        float32, codes such as 3 (level 1) or 31 (level 2), NaN where there is no data. Lazy if the map is.

    Raises
    ------
    BadRequest
        For a level that is not there, or (when it is computed) for a value that is no class.
    """
    fine, coarse = find_nomenclature(nomenclature), find_nomenclature(nomenclature, level)
    groups = {land: int(land.code[: len(coarse.classes[0].code)]) for land in fine.classes}
    table = {int(land.code): group for land, group in groups.items()} | {
        land.value: group for land, group in groups.items()
    }
    grouped: xr.DataArray = xr.apply_ufunc(
        _looked_up,
        cover,
        kwargs={"table": table, "nodata": _marks(cover, fine.nodata)},
        dask="parallelized",
        output_dtypes=[np.dtype("float32")],
    )
    kept = {name: value for name, value in cover.attrs.items() if name not in ("_FillValue", "nodata", "missing_value")}
    grouped.attrs = {**kept, "long_name": f"{coarse.title['fr']}, niveau / level {level}", "units": "1"}
    return grouped


def _looked_up(values: Array, *, table: Mapping[int, int], nodata: Iterable[float]) -> Array:
    seen = _observed(values, nodata)
    grouped = np.full(values.shape, np.nan, "float32")
    strange = sorted({float(value) for value in np.unique(values[seen])} - set(map(float, table)))
    if strange:
        raise BadRequest(f"regroup: {strange[0]:g} is no class of the nomenclature. Give its own value of no data.")
    keys = np.array(sorted(table))
    grouped[seen] = np.array([table[key] for key in keys])[np.searchsorted(keys, values[seen])]
    return grouped


def _marks(cover: xr.DataArray, nodata: Iterable[float]) -> tuple[float, ...]:
    declared = nodata_of(cover)
    return (*nodata, *([] if declared is None else [declared]))


def _flat(cover: xr.DataArray, verb: str) -> xr.DataArray:
    if not isinstance(cover, xr.DataArray):
        raise BadRequest(f"{verb}: expected a map as a DataArray with axes y and x, found {type(cover).__name__}.")
    return flat(cover)


def _map(cover: xr.DataArray, verb: str) -> xr.DataArray:
    plain = _flat(cover, verb)
    if plain.dims != ("y", "x"):
        raise BadRequest(f"{verb}: found axes {cover.dims}, expected y and x. Choose one date.")
    return plain


def _check_whole(values: Iterable[float], verb: str) -> None:
    odd = next((value for value in values if value != int(value)), None)
    if odd is not None:
        raise BadRequest(f"{verb}: found the value {odd:g}, expected whole numbers: the codes of classes.")


def _observed(values: Array, nodata: Iterable[float]) -> Array:
    present = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    return np.asarray(present & ~np.isin(values, list(nodata)))


def outline_classes(
    cover: xr.DataArray, nomenclature: Nomenclature | None = None, *, language: Language = "fr"
) -> gpd.GeoDataFrame:
    """The map as areas: one polygon for each connected patch of a class (neighbours share a side).

    Parameters
    ----------
    cover : xarray.DataArray
        Whole numbers, axes ``y`` and ``x``; NaN, what the map declares as no data and the nomenclature's own values
        are no data. Computed if it is lazy.
    nomenclature : Nomenclature, optional
        Names the classes.
    language : {"fr", "en"}
        Of the names.

    Returns
    -------
    geopandas.GeoDataFrame
        In the map's system: ``class``, ``name`` (the value, where no nomenclature names it) and ``hectares``, with
        ``attrs["units"]``.

    Raises
    ------
    BadRequest
        For other axes, a grid in degrees, or a map that states no system.
    """
    from rasterio.features import shapes
    from shapely.geometry import shape

    plain = _map(cover, "outline_classes")
    pixel_size(plain, "outline_classes")
    system = crs_of(cover)
    if system is None:
        raise BadRequest("outline_classes: the map states no reference system. Open it with el.open, or set its CRS.")
    seen = _observed(plain.values, _marks(cover, nomenclature.nodata if nomenclature else ()))
    _check_whole(np.unique(plain.values[seen]), "outline_classes")
    values = np.where(seen, plain.values, 0).astype("int32")
    parts = list(shapes(values, mask=seen, transform=transform_of(plain)))
    labels = nomenclature.labels(language) if nomenclature else {}
    codes = [int(code) for _, code in parts]
    columns = {"class": codes, "name": [labels.get(code, str(code)) for code in codes]}
    frame = gpd.GeoDataFrame(columns, geometry=[shape(part) for part, _ in parts], crs=str(system))
    frame = frame.assign(hectares=frame.area / _HECTARE)
    frame.attrs["units"] = {"hectares": "ha"}
    return frame


def change_matrix(
    before: xr.DataArray,
    after: xr.DataArray,
    *,
    classes: Sequence[int] | None = None,
    nodata: Sequence[int] = (),
    pixel_area: float | None = None,
) -> pd.DataFrame:
    """Area that went from each class to each other between two maps of the same grid, in hectares.

    Parameters
    ----------
    before, after : xarray.DataArray
        Whole numbers on the same pixels; a pixel that either map lacks counts nowhere.
    classes : sequence of int, optional
        Rows and columns, in this order. Default: the values that occur, ascending, at the cost of one more pass.
    nodata : sequence of int
        Values that are no class, beside NaN and what either map declares as no data.
    pixel_area : float, optional
        In m². Default: from the coordinates, which must be metres.

    Returns
    -------
    pandas.DataFrame
        Index ``before``, columns ``after``, hectares; ``attrs["units"]`` is ``"ha"``. Lazy maps are computed block by
        block.

    Raises
    ------
    BadRequest
        For two grids, a grid in degrees, values that are not whole numbers or not among ``classes``, or no pixel that
        both maps have.
    """
    before, after = (_flat(cover, "change_matrix") for cover in (before, after))
    if before.dims != after.dims:
        raise BadRequest(f"change_matrix: the maps have axes {before.dims} and {after.dims}. Choose one date of each.")
    marks = _marks(before, nodata), _marks(after, nodata)
    check_same_grid(before, after, "change_matrix")
    area = math.prod(pixel_size(before, "change_matrix")) if pixel_area is None else pixel_area
    if not area > 0:
        raise BadRequest(f"change_matrix: pixel_area is {pixel_area!r}, expected square metres above 0.")
    known = _classes_of((before, after), marks) if classes is None else np.asarray(classes, "int64")
    counts = np.asarray(_cross_count(before, after, known, marks))
    if counts.sum() == 0:
        raise BadRequest("change_matrix: no pixel is observed in both maps. Do they overlap, is nodata right?")
    frame = pd.DataFrame(
        counts * area / _HECTARE, pd.Index(known, name="before"), pd.Index(known, name="after"), dtype="float64"
    )
    frame.attrs["units"] = "ha"
    return frame


def _classes_of(maps: Iterable[xr.DataArray], nodata: _Marks) -> Array:
    found: set[float] = set()
    for cover, marks in zip(maps, nodata, strict=True):
        for block in _blocks(cover):
            found |= {float(value) for value in np.unique(np.asarray(block)[_observed(np.asarray(block), marks)])}
    _check_whole(sorted(found), "change_matrix")
    return np.array(sorted(found), "int64")


def _blocks(cover: xr.DataArray) -> Iterable[Any]:
    return cover.data.blocks.ravel() if isinstance(cover.data, da.Array) else (cover.values,)


def _cross_count(before: xr.DataArray, after: xr.DataArray, known: Array, nodata: _Marks) -> Any:
    if not (isinstance(before.data, da.Array) or isinstance(after.data, da.Array)):
        return _crossed(before.values, after.values, known=known, nodata=nodata)
    first = before.data if isinstance(before.data, da.Array) else da.asarray(before.data, chunks=after.data.chunks)
    second = da.asarray(after.data).rechunk(first.chunks)
    shape = (1,) * first.ndim + (known.size, known.size)
    lead = tuple(range(first.ndim))
    parts = da.blockwise(
        _crossed_block, (*lead, first.ndim, first.ndim + 1), first, lead, second, lead,
        new_axes={first.ndim: known.size, first.ndim + 1: known.size}, adjust_chunks=dict.fromkeys(lead, 1),
        dtype="int64", meta=np.empty((0,) * len(shape), "int64"), known=known, nodata=nodata,
    )  # fmt: skip
    return parts.sum(axis=lead).compute()


def _crossed_block(before: Array, after: Array, *, known: Array, nodata: _Marks) -> Array:
    return _crossed(before, after, known=known, nodata=nodata).reshape((1,) * before.ndim + (known.size,) * 2)


def _crossed(before: Array, after: Array, *, known: Array, nodata: _Marks) -> Array:
    both = _observed(before, nodata[0]) & _observed(after, nodata[1])
    order = np.argsort(known)
    places = []
    for values in (before[both], after[both]):
        at = np.searchsorted(known, values, sorter=order).clip(max=known.size - 1)
        index = order[at]
        if (known[index] != values).any():
            odd = values[known[index] != values][0]
            raise BadRequest(f"change_matrix: found the value {odd:g}, which is not in classes. Add it, or to nodata.")
        places.append(index)
    joint = places[0] * known.size + places[1]
    return np.bincount(joint, minlength=known.size**2).reshape(known.size, known.size)


def class_changes(matrix: pd.DataFrame) -> pd.DataFrame:
    """Gain, loss, net change and swap of each class, in the unit of the matrix.

    Parameters
    ----------
    matrix : pandas.DataFrame
        Square, rows before and columns after, as `change_matrix` gives it.

    Returns
    -------
    pandas.DataFrame
        One row a class: ``before``, ``after``, ``persistence``, ``gain``, ``loss``, ``net`` (gain minus loss, signed)
        and ``swap`` (what a class lost here and gained there: twice the smaller of gain and loss).

    Raises
    ------
    BadRequest
        Where rows and columns are not the same classes.

    References
    ----------
    Pontius, Shusas and McEachern (2004), Detecting important categorical land changes while accounting for persistence,
    doi:10.1016/j.agee.2003.09.008.
    """
    matrix = _square(matrix, "class_changes")
    kept = np.diag(matrix)
    before, after = matrix.sum(axis=1), matrix.sum(axis=0)
    gain, loss = after - kept, before - kept
    columns = {
        "before": before,
        "after": after,
        "persistence": pd.Series(kept, matrix.index),
        "gain": gain,
        "loss": loss,
        "net": gain - loss,
        "swap": 2 * np.minimum(gain, loss),
    }
    frame = pd.DataFrame(columns).rename_axis("class")
    frame.attrs.update(matrix.attrs)
    return frame


def _square(matrix: Any, verb: str) -> pd.DataFrame:
    frame = matrix if isinstance(matrix, pd.DataFrame) else pd.DataFrame(np.asarray(matrix, "float64"))
    rows, columns = frame.index, frame.columns
    if len(rows) != len(columns) or not (rows.is_unique and columns.is_unique) or set(rows) != set(columns):
        raise BadRequest(
            f"{verb}: the matrix has {len(rows)} rows and {len(columns)} columns, expected the same classes: "
            f"{list(map(str, rows))} and {list(map(str, columns))}."
        )
    ordered = frame[list(rows)]
    ordered.attrs.update(frame.attrs)
    return ordered


def _by_class(values: Any, classes: pd.Index, verb: str, what: str) -> Array:
    # Names decide where both have them, else the order.
    given = pd.Series(values) if isinstance(values, Mapping) else values
    if not isinstance(given, pd.Series):
        return np.asarray(given, "float64")
    if given.index.is_unique and set(given.index) == set(classes):
        return given[list(classes)].to_numpy("float64")
    plain = pd.RangeIndex(len(given))
    if len(given) == len(classes) and not given.index.equals(plain) and not classes.equals(plain):
        raise BadRequest(
            f"{verb}: {what} is of the classes {list(map(str, given.index))}, expected {list(map(str, classes))}."
        )
    return given.to_numpy("float64")


@dataclass(frozen=True)
class Assessment:
    """Accuracy of a map and areas without its bias, from a stratified survey.

    ``overall`` is the share of the territory mapped rightly and ``overall_error`` its half interval; ``classes`` has
    for each class ``mapped`` and ``area`` (ha), ``area_error`` (ha), ``user`` (of what is mapped so, the share that is
    so) and ``producer`` (of what is so, the share that is mapped so) with ``user_error`` and ``producer_error``. Every
    error is half the interval of ``level`` of a normal law, as the paper has it; a standard error is that divided by
    ``deviations``. ``intervals`` (``area_low``, ``area_high`` in ha, ``user_low`` to ``producer_high``) and
    ``overall_interval`` are not symmetric and hold for rare classes and few places, too.
    """

    overall: float
    overall_error: float
    classes: pd.DataFrame
    level: float
    intervals: pd.DataFrame
    overall_interval: tuple[float, float]

    @property
    def deviations(self) -> float:
        """How many standard errors an interval reaches to each side, in two decimals as the paper has: 1.96."""
        return _deviations(self.level)


def assess(
    matrix: pd.DataFrame | Array | Sequence[Sequence[float]],
    mapped: Sequence[float] | pd.Series | Mapping[Any, float],
    *,
    pixel_area: float,
    level: float = 0.95,
) -> Assessment:
    """Accuracy and unbiased areas from a survey whose places were drawn at random within each mapped class.

    Parameters
    ----------
    matrix : DataFrame or array
        Numbers of places: rows are classes of the map (the strata), columns those of the reference, in one order unless
        they are named.
    mapped : sequence, Series or mapping
        Pixels of each class in the whole map: by its name where both have names, else in the order of the rows.
    pixel_area : float
        In m².
    level : float
        Probability of the intervals.

    Returns
    -------
    Assessment
        Areas in hectares. A class that no place of the reference has gets the area 0 and NaN as its producer's
        accuracy.

    Raises
    ------
    BadRequest
        For a matrix that is not square or holds negative numbers, other lengths or names, no pixel, or a mapped class
        with fewer than two places, whose variance is not known.

    Notes
    -----
    The errors are those of a normal law. Of a rare class with few places they are too narrow: in simulated surveys the
    area of a class of 2 % with 75 places lay within its 95 % in some 88 % of them, that of a class of 1.5 % which 325
    places of the largest stratum mostly missed in 71 %, and its producer's accuracy in 63 %. Of the ``intervals`` it
    was 94 to 96 %: report those, and plan more places in the large classes (`plan_sample`) to make them narrower.

    References
    ----------
    Olofsson, Foody, Herold, Stehman, Woodcock and Wulder (2014), Good practices for estimating area and assessing
    accuracy of land change, doi:10.1016/j.rse.2014.02.015, equations 1 to 11; the intervals are those of
    `earthlab.analysis.stratified.intervals`.
    """
    frame = _square(matrix, "assess")
    counts, pixels = frame.to_numpy("float64"), _by_class(mapped, frame.index, "assess", "mapped")
    _check_survey(counts, pixels, pixel_area)
    found, wide = estimate(counts, pixels), _deviations(level)
    total = pixels.sum() * pixel_area / _HECTARE
    classes = pd.DataFrame(
        {
            "mapped": pixels * pixel_area / _HECTARE,
            "area": found.share * total,
            "area_error": wide * found.share_se * total,
            "user": found.user,
            "user_error": wide * found.user_se,
            "producer": found.producer,
            "producer_error": wide * found.producer_se,
        },
        index=frame.index.rename("class"),
    )
    classes.attrs["units"] = {"mapped": "ha", "area": "ha", "area_error": "ha"}
    ends = intervals(counts, pixels, level)
    columns = {"area": ends.share, "user": ends.user, "producer": ends.producer}
    limits = pd.DataFrame(
        {
            f"{name}_{side}": part * (total if name == "area" else 1)
            for name, both in columns.items()
            for side, part in zip(("low", "high"), both, strict=True)
        },
        index=classes.index,
    )
    limits.attrs["units"] = {"area_low": "ha", "area_high": "ha"}
    whole = (float(ends.overall.low), float(ends.overall.high))
    return Assessment(float(found.overall), wide * float(found.overall_se), classes, level, limits, whole)


def _deviations(level: float) -> float:
    return round(quantile_of_normal(level), 2)


def _check_survey(counts: Array, pixels: Array, pixel_area: float) -> None:
    if pixels.shape != counts.shape[:1]:
        raise BadRequest(f"assess: {pixels.size} mapped areas for {counts.shape[0]} classes, expected one a row.")
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise BadRequest("assess: the matrix holds negative or missing numbers, expected counts of places.")
    if not (np.isfinite(pixels).all() and (pixels >= 0).all() and pixels.sum() > 0 and pixel_area > 0):
        raise BadRequest("assess: expected pixels from 0, some above, and a positive pixel_area in m².")
    thin = np.flatnonzero((pixels > 0) & (counts.sum(axis=1) < 2))
    if thin.size:
        raise BadRequest(
            f"assess: row {int(thin[0])} has {counts[thin[0]].sum():g} places, expected two or more in each mapped "
            "class. Visit more, or merge the class with another."
        )


def plan_sample(
    mapped: Sequence[float] | pd.Series | Mapping[Any, float],
    expected_user: Sequence[float] | pd.Series | Mapping[Any, float],
    *,
    standard_error: float = 0.01,
    least: int = 50,
) -> pd.DataFrame:
    """How many places to visit in each mapped class, so that the overall accuracy is known well enough.

    Parameters
    ----------
    mapped : sequence, Series or mapping
        Pixels (or area) of each class of the map.
    expected_user : sequence, Series or mapping
        User's accuracy one expects of each, from 0 to 1: by its name where both have names, else in that order.
    standard_error : float
        Wished for of the overall accuracy: 0.01 is one percent.
    least : int
        Places that a rare class gets at least; the others share the rest by their area. A class without pixels gets
        none.

    Returns
    -------
    pandas.DataFrame
        One row a class: ``weight`` (share of the map), ``proportional`` and ``places``. The sum of ``places`` is the
        number of equation 13, ``(Σ W_i √(U_i (1 - U_i)) / S)²``, or more where ``least`` asks for it.

    Raises
    ------
    BadRequest
        For other lengths, accuracies outside [0, 1], or wishes that are not positive.

    References
    ----------
    Cochran (1977), Sampling techniques, equation 5.25; Olofsson et al. (2014), doi:10.1016/j.rse.2014.02.015, section
    5.1.
    """
    given = pd.Series(mapped) if isinstance(mapped, pd.Series | Mapping) else pd.Series(np.asarray(mapped, "float64"))
    pixels = given.to_numpy("float64")
    user = _by_class(expected_user, given.index, "plan_sample", "expected_user")
    if pixels.shape != user.shape or pixels.ndim != 1 or not pixels.size:
        raise BadRequest(f"plan_sample: {pixels.size} classes and {user.size} accuracies, expected as many.")
    if not ((user >= 0) & (user <= 1)).all() or not ((pixels >= 0).all() and pixels.sum() > 0):
        raise BadRequest("plan_sample: expected accuracies between 0 and 1 and areas from 0, some above.")
    if not (standard_error > 0 and least >= 2):
        raise BadRequest(
            f"plan_sample: standard_error {standard_error!r}, least {least!r}; expected above 0, at least 2."
        )
    weight = pixels / pixels.sum()
    total = math.ceil(round(float((weight * np.sqrt(user * (1 - user))).sum() / standard_error) ** 2, 9))
    rare = weight * total < least
    rest = max(total - least * int((rare & (weight > 0)).sum()), 0)
    places = np.where(weight > 0, least, 0)
    if not rare.all():
        places[~rare] = np.maximum(_rounded(rest * weight[~rare] / weight[~rare].sum()), least)
    columns = {"weight": weight, "proportional": _rounded(total * weight), "places": places}
    return pd.DataFrame(columns, given.index.rename("class"))


def _rounded(shares: Array) -> Array:
    # Largest remainders: the parts add up to the whole.
    whole = np.floor(shares).astype("int64")
    missing = round(float(shares.sum())) - int(whole.sum())
    whole[np.argsort(whole - shares, kind="stable")[:missing]] += 1
    return whole


def draw_sample(cover: xr.DataArray, places: Mapping[int, int], *, seed: int) -> pd.DataFrame:
    """Places drawn at random within each class of a map, without taking one twice.

    Parameters
    ----------
    cover : xarray.DataArray
        Two axes, ``y`` and ``x``; computed if it is lazy.
    places : mapping
        Number of places by value of class; a class that has fewer pixels gives all it has.
    seed : int
        The same seed draws the same places.

    Returns
    -------
    pandas.DataFrame
        Columns ``class``, ``y`` and ``x`` (coordinates of the pixel's centre).

    Raises
    ------
    BadRequest
        For other axes, or a class that the map does not have.
    """
    values = _map(cover, "draw_sample").values
    rng = np.random.default_rng(seed)
    parts = []
    for value, number in places.items():
        if not (number >= 0 and number == int(number)):
            raise BadRequest(f"draw_sample: {number!r} places for the class {value}, expected a whole number from 0.")
        rows, columns = np.nonzero(values == value)
        if not rows.size:
            raise BadRequest(f"draw_sample: no pixel has the class {value}. {did_you_mean(value, _some(values))}")
        taken = rng.choice(rows.size, min(int(number), rows.size), replace=False)
        parts.append(
            pd.DataFrame({"class": value, "y": cover.y.values[rows[taken]], "x": cover.x.values[columns[taken]]})
        )
    return pd.concat(parts, ignore_index=True)


def _some(values: Array) -> list[str]:
    return [f"{value:g}" for value in np.unique(values[np.isfinite(values.astype("float64"))])]


def error_matrix(mapped: Sequence[int | str] | pd.Series, reference: Sequence[int | str] | pd.Series) -> pd.DataFrame:
    """Numbers of places by class of the map (rows) and of the reference (columns), for `assess`.

    Parameters
    ----------
    mapped, reference : sequence or Series
        Class of each place in the map and as it really is, numbers or names; a place whose class is missing in either
        is left out. Two Series with the same labels are joined by them.

    Returns
    -------
    pandas.DataFrame
        Square: every class that occurs in either, ascending.

    Raises
    ------
    BadRequest
        For other lengths, numbers that are not whole, or no place with both classes.
    """
    first, second = pd.Series(mapped).astype(object), pd.Series(reference).astype(object)
    if first.size != second.size:
        raise BadRequest(f"error_matrix: {first.size} classes of the map and {second.size} of the reference.")
    named = first.index.is_unique and second.index.is_unique and set(first.index) == set(second.index)
    second = second[first.index] if named else second.set_axis(first.index)
    both = first.notna() & second.notna()
    if not both.any():
        raise BadRequest("error_matrix: no place has a class in both. Is the reference on the same territory?")
    pairs = _numbered(pd.DataFrame({"map": first[both], "reference": second[both]}))
    classes = np.union1d(pairs["map"], pairs["reference"])
    table = pd.crosstab(pairs["map"], pairs["reference"])
    return table.reindex(index=classes, columns=classes, fill_value=0)


def _numbered(pairs: pd.DataFrame) -> pd.DataFrame:
    numbers = pd.DataFrame({name: pd.to_numeric(column, errors="coerce") for name, column in pairs.items()})
    if bool(numbers.isna().to_numpy().any()):
        return pairs.astype(str)
    _check_whole(np.unique(numbers), "error_matrix")
    return numbers.astype("int64")
