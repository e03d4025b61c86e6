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

from earthlab.analysis.grids import check_same_grid, crs_of, pixel_size, transform_of
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import quantile_of_normal
from earthlab.errors import BadRequest, did_you_mean

Language = Literal["fr", "en"]
_HECTARE = 10_000.0


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
        Values of the finest level; NaN and the nomenclature's own values are no data.
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
    table = {land.value: int(land.code[: len(coarse.classes[0].code)]) for land in fine.classes}
    grouped: xr.DataArray = xr.apply_ufunc(
        _looked_up,
        cover,
        kwargs={"table": table, "nodata": fine.nodata},
        dask="parallelized",
        output_dtypes=[np.dtype("float32")],
        keep_attrs=True,
    )
    return grouped.assign_attrs(long_name=f"{coarse.title['fr']}, niveau / level {level}", units="1")


def _looked_up(values: Array, *, table: Mapping[int, int], nodata: Iterable[int]) -> Array:
    seen = _observed(values, nodata)
    grouped = np.full(values.shape, np.nan, "float32")
    strange = sorted({float(value) for value in np.unique(values[seen])} - set(map(float, table)))
    if strange:
        raise BadRequest(f"regroup: {strange[0]:g} is no class of the nomenclature. Give its own value of no data.")
    keys = np.array(sorted(table))
    grouped[seen] = np.array([table[key] for key in keys])[np.searchsorted(keys, values[seen])]
    return grouped


def _observed(values: Array, nodata: Iterable[int]) -> Array:
    present = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    return np.asarray(present & ~np.isin(values, list(nodata)))


def outline_classes(
    cover: xr.DataArray, nomenclature: Nomenclature | None = None, *, language: Language = "fr"
) -> gpd.GeoDataFrame:
    """The map as areas: one polygon for each connected patch of a class (neighbours share a side).

    Parameters
    ----------
    cover : xarray.DataArray
        Whole numbers, axes ``y`` and ``x``; NaN and the nomenclature's own values are no data. Computed if it is lazy.
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

    if set(cover.dims) != {"y", "x"}:
        raise BadRequest(f"outline_classes: found axes {cover.dims}, expected y and x. Choose one date.")
    pixel_size(cover, "outline_classes")
    system = crs_of(cover)
    if system is None:
        raise BadRequest("outline_classes: the map states no reference system. Open it with el.open, or set its CRS.")
    plain = cover.transpose("y", "x")
    seen = _observed(plain.values, nomenclature.nodata if nomenclature else ())
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
        Values that are no class, beside NaN.
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
    check_same_grid(before, after, "change_matrix")
    after = after.transpose(*before.dims)
    area = math.prod(pixel_size(before, "change_matrix")) if pixel_area is None else pixel_area
    if not area > 0:
        raise BadRequest(f"change_matrix: pixel_area is {pixel_area!r}, expected square metres above 0.")
    known = _classes_of((before, after), nodata) if classes is None else np.asarray(classes, "int64")
    counts = np.asarray(_cross_count(before, after, known, tuple(nodata)))
    if counts.sum() == 0:
        raise BadRequest("change_matrix: no pixel is observed in both maps. Do they overlap, is nodata right?")
    frame = pd.DataFrame(
        counts * area / _HECTARE, pd.Index(known, name="before"), pd.Index(known, name="after"), dtype="float64"
    )
    frame.attrs["units"] = "ha"
    return frame


def _classes_of(maps: Iterable[xr.DataArray], nodata: Sequence[int]) -> Array:
    found: set[float] = set()
    for cover in maps:
        for block in _blocks(cover):
            found |= {float(value) for value in np.unique(np.asarray(block)[_observed(np.asarray(block), nodata)])}
    odd = next((value for value in sorted(found) if value != int(value)), None)
    if odd is not None:
        raise BadRequest(f"change_matrix: found the value {odd:g}, expected whole numbers: the codes of classes.")
    return np.array(sorted(found), "int64")


def _blocks(cover: xr.DataArray) -> Iterable[Any]:
    return cover.data.blocks.ravel() if isinstance(cover.data, da.Array) else (cover.values,)


def _cross_count(before: xr.DataArray, after: xr.DataArray, known: Array, nodata: tuple[int, ...]) -> Any:
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


def _crossed_block(before: Array, after: Array, *, known: Array, nodata: tuple[int, ...]) -> Array:
    return _crossed(before, after, known=known, nodata=nodata).reshape((1,) * before.ndim + (known.size,) * 2)


def _crossed(before: Array, after: Array, *, known: Array, nodata: tuple[int, ...]) -> Array:
    both = _observed(before, nodata) & _observed(after, nodata)
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
    _check_square(matrix, "class_changes")
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


def _check_square(matrix: pd.DataFrame, verb: str) -> None:
    if matrix.shape[0] != matrix.shape[1] or list(matrix.index) != list(matrix.columns):
        rows, columns = matrix.shape
        raise BadRequest(
            f"{verb}: the matrix has {rows} rows and {columns} columns, expected the same classes in the same order."
        )


@dataclass(frozen=True)
class Assessment:
    """Accuracy of a map and areas without its bias, from a stratified survey.

    ``overall`` is the share of the territory mapped rightly and ``overall_error`` its half interval; ``classes`` has
    for each class ``mapped`` and ``area`` (ha), ``area_error`` (ha), ``user`` (of what is mapped so, the share that is
    so) and ``producer`` (of what is so, the share that is mapped so) with ``user_error`` and ``producer_error``. Every
    error is half the interval of ``level``; a standard error is that divided by ``deviations``.
    """

    overall: float
    overall_error: float
    classes: pd.DataFrame
    level: float

    @property
    def deviations(self) -> float:
        """How many standard errors an interval reaches to each side, in two decimals as the paper has: 1.96."""
        return _deviations(self.level)


def assess(
    matrix: pd.DataFrame | Array | Sequence[Sequence[float]],
    mapped: Sequence[float] | pd.Series,
    *,
    pixel_area: float,
    level: float = 0.95,
) -> Assessment:
    """Accuracy and unbiased areas from a survey whose places were drawn at random within each mapped class.

    Parameters
    ----------
    matrix : DataFrame or array
        Numbers of places: rows are classes of the map (the strata), columns those of the reference, in one order.
    mapped : sequence or Series
        Pixels of each class in the whole map, in the order of the rows.
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
        For a matrix that is not square or holds negative numbers, other lengths, no pixel, or a mapped class with fewer
        than two places, whose variance is not known.

    Notes
    -----
    Intervals are those of a normal law. Of a rare class with few places they are too narrow: in simulated surveys the
    area of a class of 2 % with 75 places lay within its interval of 95 % in some 88 % of them. Plan more places,
    also in the large classes from which it is missing (`plan_sample`).

    References
    ----------
    Olofsson, Foody, Herold, Stehman, Woodcock and Wulder (2014), Good practices for estimating area and assessing
    accuracy of land change, doi:10.1016/j.rse.2014.02.015, equations 1 to 11.
    """
    frame = matrix if isinstance(matrix, pd.DataFrame) else pd.DataFrame(np.asarray(matrix, "float64"))
    _check_square(frame, "assess")
    counts, pixels = frame.to_numpy("float64"), np.asarray(mapped, "float64")
    _check_survey(counts, pixels, pixel_area)
    found = _estimate(counts, pixels)
    wide = _deviations(level)
    total = pixels.sum() * pixel_area / _HECTARE
    classes = pd.DataFrame(
        {
            "mapped": pixels * pixel_area / _HECTARE,
            "area": found["share"] * total,
            "area_error": wide * found["share_se"] * total,
            "user": found["user"],
            "user_error": wide * found["user_se"],
            "producer": found["producer"],
            "producer_error": wide * found["producer_se"],
        },
        index=frame.index.rename("class"),
    )
    classes.attrs["units"] = {"mapped": "ha", "area": "ha", "area_error": "ha"}
    return Assessment(float(found["overall"]), wide * float(found["overall_se"]), classes, level)


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


def _estimate(counts: Array, pixels: Array) -> dict[str, Array]:
    # Axes (…, map, reference), so that many surveys are estimated at once.
    weight = pixels / pixels.sum()
    places = counts.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.nan_to_num(counts / places[..., None])
        spread = np.where(weight[:, None] > 0, rate * (1 - rate) / np.maximum(places - 1, 1)[..., None], 0.0)
        share = (weight[:, None] * rate).sum(axis=-2)
        user = np.where(places > 0, np.diagonal(rate, axis1=-2, axis2=-1), np.nan)
        right = weight * np.nan_to_num(user)
        producer = right / share
        user_variance = np.diagonal(spread, axis1=-2, axis2=-1)
        squared = weight[:, None] ** 2 * spread
        own = np.diagonal(squared, axis1=-2, axis2=-1)
        others = squared.sum(axis=-2) - own
        producer_variance = ((1 - producer) ** 2 * own + producer**2 * others) / share**2
    return {
        "share": share,
        "share_se": np.sqrt(squared.sum(axis=-2)),
        "user": user,
        "user_se": np.where(places > 0, np.sqrt(user_variance), np.nan),
        "producer": producer,
        "producer_se": np.sqrt(producer_variance),
        "overall": right.sum(axis=-1),
        "overall_se": np.sqrt((weight**2 * user_variance).sum(axis=-1)),
    }


def plan_sample(
    mapped: Sequence[float] | pd.Series,
    expected_user: Sequence[float],
    *,
    standard_error: float = 0.01,
    least: int = 50,
) -> pd.DataFrame:
    """How many places to visit in each mapped class, so that the overall accuracy is known well enough.

    Parameters
    ----------
    mapped : sequence or Series
        Pixels (or area) of each class of the map.
    expected_user : sequence of float
        User's accuracy one expects of each, from 0 to 1.
    standard_error : float
        Wished for of the overall accuracy: 0.01 is one percent.
    least : int
        Places that a rare class gets at least; the others share the rest by their area.

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
    pixels, user = np.asarray(mapped, "float64"), np.asarray(expected_user, "float64")
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
    rest = max(total - least * int(rare.sum()), 0)
    places = np.full(weight.shape, least)
    if not rare.all():
        places[~rare] = np.maximum(_rounded(rest * weight[~rare] / weight[~rare].sum()), least)
    index = mapped.index if isinstance(mapped, pd.Series) else pd.RangeIndex(pixels.size)
    columns = {"weight": weight, "proportional": _rounded(total * weight), "places": places}
    return pd.DataFrame(columns, index.rename("class"))


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
    if set(cover.dims) != {"y", "x"}:
        raise BadRequest(f"draw_sample: found axes {cover.dims}, expected y and x. Choose one date.")
    values = cover.transpose("y", "x").values
    rng = np.random.default_rng(seed)
    parts = []
    for value, number in places.items():
        rows, columns = np.nonzero(values == value)
        if not rows.size:
            raise BadRequest(f"draw_sample: no pixel has the class {value}. {did_you_mean(value, _some(values))}")
        taken = rng.choice(rows.size, min(number, rows.size), replace=False)
        parts.append(
            pd.DataFrame({"class": value, "y": cover.y.values[rows[taken]], "x": cover.x.values[columns[taken]]})
        )
    return pd.concat(parts, ignore_index=True)


def _some(values: Array) -> list[str]:
    return [f"{value:g}" for value in np.unique(values[np.isfinite(values.astype("float64"))])]


def error_matrix(mapped: Sequence[int] | pd.Series, reference: Sequence[int] | pd.Series) -> pd.DataFrame:
    """Numbers of places by class of the map (rows) and of the reference (columns), for `assess`.

    Parameters
    ----------
    mapped, reference : sequence or Series
        Class of each place in the map and as it really is; a place whose class is missing in either is left out.

    Returns
    -------
    pandas.DataFrame
        Square: every class that occurs in either, ascending.

    Raises
    ------
    BadRequest
        For other lengths, or no place with both classes.
    """
    first, second = np.asarray(mapped, "float64"), np.asarray(reference, "float64")
    if first.shape != second.shape:
        raise BadRequest(f"error_matrix: {first.size} classes of the map and {second.size} of the reference.")
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any():
        raise BadRequest("error_matrix: no place has a class in both. Is the reference on the same territory?")
    first, second = first[both].astype("int64"), second[both].astype("int64")
    classes = np.union1d(first, second)
    table = pd.crosstab(first, second).reindex(index=classes, columns=classes, fill_value=0)
    return table.rename_axis(index="map", columns="reference")
