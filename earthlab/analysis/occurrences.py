"""From occurrences of species (Darwin Core) to what can be counted: records kept and dropped, communities, maps."""

from collections.abc import Collection
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from earthlab.analysis.diversity import chao_richness
from earthlab.analysis.grids import WEB_MERCATOR, is_web_mercator
from earthlab.analysis.tables import check_columns
from earthlab.errors import BadRequest

DROPPED_ISSUES = (
    "ZERO_COORDINATE",
    "COORDINATE_INVALID",
    "COORDINATE_OUT_OF_RANGE",
    "COUNTRY_COORDINATE_MISMATCH",
    "COUNTRY_MISMATCH",
    "PRESUMED_SWAPPED_COORDINATE",
    "PRESUMED_NEGATED_LATITUDE",
    "PRESUMED_NEGATED_LONGITUDE",
    "TAXON_MATCH_NONE",
)
"""Flags of GBIF that make a place or a name doubtful."""


def clean(  # noqa: PLR0913 - the columns of other people's tables have other names
    occurrences: pd.DataFrame,
    *,
    species: str = "species",
    latitude: str = "decimalLatitude",
    longitude: str = "decimalLongitude",
    uncertainty: str | None = "coordinateUncertaintyInMeters",
    issue: str | None = "issue",
    issues: Collection[str] = DROPPED_ISSUES,
    most_metres: float = 10_000.0,
    same: Collection[str] | None = None,
    status: str | None = "occurrenceStatus",
    located: bool = True,
) -> pd.DataFrame:
    """The occurrences one can count on; ``attrs["dropped"]`` says how many fell for which reason.

    Reasons are tried in this order, and a record falls for the first: no species name; the species was absent; no
    coordinates, or some beyond 90° and 180°; a coordinate of exactly zero; a flag of the data's own quality control;
    coordinates known to less than ``most_metres``; a duplicate.

    Parameters
    ----------
    occurrences : pandas.DataFrame
        One row a record. Of a GeoDataFrame the points serve where there are no columns of coordinates.
    species, latitude, longitude : str
        Columns of the name and of the place in degrees, with a point or a comma.
    uncertainty, issue : str, optional
        Columns of the radius in metres and of the flags, separated by ``;``. A column that is not there drops nothing.
    issues : collection of str
        Flags that drop a record.
    most_metres : float
        The largest radius kept. A record that states none is kept.
    same : collection of str
        Columns in which duplicates agree; those not there do not count. Default: those of the name and of the place,
        ``eventDate`` and ``recordedBy``. Without any, every row is a record of its own.
    status : str, optional
        Column that says ``absent`` where a species was sought and not found.
    located : bool
        Whether a record needs a place. False keeps records without, for lists of species.

    Returns
    -------
    pandas.DataFrame
        The rows kept, with all columns and their index.

    Raises
    ------
    BadRequest
        Without a column of species, or of coordinates where they are needed.

    References
    ----------
    Darwin Core (dwc.tdwg.org/terms); GBIF, occurrence issues and flags (techdocs.gbif.org).
    """
    check_columns(occurrences, (species,), "clean")
    places = _places(occurrences, latitude, longitude, needed=located)
    tests = {"species": _blank(occurrences[species])}
    if status in occurrences:
        tests["absent"] = occurrences[status].astype(str).str.strip().str.casefold() == "absent"
    if places is not None:
        missing = places.isna().any(axis=1)
        beyond = (places[latitude].abs() > 90) | (places[longitude].abs() > 180)
        if located:
            tests["coordinates"] = missing | beyond if _in_degrees(occurrences, latitude, longitude) else missing
        tests["zero"] = (places == 0).any(axis=1) & ~missing
    if issue in occurrences:
        flags = occurrences[issue].fillna("").astype(str).str.upper().str.split(r"[;,|\s]+")
        tests["issue"] = flags.map(lambda found: not set(issues).isdisjoint(found)).astype(bool)
    if uncertainty in occurrences:
        tests["uncertainty"] = _decimals(occurrences[uncertainty]) > most_metres
    wanted = (species, latitude, longitude, "eventDate", "recordedBy") if same is None else same
    agreed = [column for column in wanted if column in occurrences]
    if same is None and places is not None and latitude not in agreed:
        return _drop(occurrences, tests, [occurrences[column] for column in agreed] + [places[n] for n in places])
    return _drop(occurrences, tests, [occurrences[column] for column in agreed])


def community(
    occurrences: pd.DataFrame, *, site: str, species: str = "species", abundance: str | None = None
) -> pd.DataFrame:
    """Sites in rows, species in columns: how many records, or individuals, of each.

    Parameters
    ----------
    occurrences : pandas.DataFrame
        One row a record.
    site, species : str
        Columns of what becomes a row and a column. Records that lack either are left out.
    abundance : str, optional
        Column of individuals to add up; where it is missing a record counts as one. Default: records. Records of no
        individual are absences and leave no species.

    Returns
    -------
    pandas.DataFrame
        Counts as float64, 0 where a species was not found; rows and columns sorted.

    Raises
    ------
    BadRequest
        For an unknown column, or individuals that are no numbers, or fewer than none.
    """
    check_columns(occurrences, (site, species, *((abundance,) if abundance else ())), "community")
    known = occurrences[~_blank(occurrences[site]) & ~_blank(occurrences[species])]
    counts = pd.Series(1.0, known.index) if abundance is None else _individuals(known[abundance])
    present = counts > 0
    keys = [known.loc[present, name] for name in (site, species)]
    table = counts[present].groupby(keys, observed=True).sum().unstack(fill_value=0)
    sites = known.groupby(site, observed=True).size().index
    return table.reindex(sites, fill_value=0).astype(float)


def grid_richness(occurrences: gpd.GeoDataFrame, cell: float, *, species: str = "species") -> gpd.GeoDataFrame:
    """A map of squares: in each the records, the species seen, and the species there are at least (Chao1).

    Parameters
    ----------
    occurrences : geopandas.GeoDataFrame
        Points in a projected CRS.
    cell : float
        Side of a square in metres; squares are aligned to multiples of it.
    species : str
        Column of the name.

    Returns
    -------
    geopandas.GeoDataFrame
        One square a row where there is a record: ``records``, ``richness``, ``chao1`` and ``chao1_error``, with records
        taken for individuals.

    Raises
    ------
    BadRequest
        For an unknown column, a side that is not positive, geometries that are no points, points without a CRS, in
        degrees or in Web Mercator, or no point with a name.
    """
    check_columns(occurrences, (species,), "grid_richness")
    if not isinstance(occurrences, gpd.GeoDataFrame) or occurrences.crs is None or occurrences.crs.is_geographic:
        raise BadRequest(
            "grid_richness: expected points in a CRS in metres. Write occurrences.to_crs(2154) in France; of columns "
            "make points first: geopandas.GeoDataFrame(table, geometry=geopandas.points_from_xy(lon, lat), crs=4326)."
        )
    if is_web_mercator(occurrences.crs):
        raise BadRequest(f"grid_richness: {WEB_MERCATOR} Write occurrences.to_crs(2154) in France.")
    if not cell > 0:
        raise BadRequest(f"grid_richness: cell is {cell!r}, expected a positive number of metres.")
    known = occurrences[~_blank(occurrences[species]) & ~occurrences.geometry.is_empty & occurrences.geometry.notna()]
    kinds = set(known.geom_type)
    if kinds != {"Point"}:
        raise BadRequest(
            f"grid_richness: found {', '.join(sorted(kinds)) or 'no point with a name'}, expected points. Take the "
            "middle of shapes: occurrences.set_geometry(occurrences.centroid)."
        )
    column, row = (np.floor(places / cell).astype(int) for places in (known.geometry.x, known.geometry.y))
    counts = known.groupby([column.rename("column"), row.rename("row"), known[species]], observed=True).size()
    rows = [_square(found.to_numpy()) for _, found in counts.groupby(level=["column", "row"])]
    left, bottom = (np.array(counts.groupby(level=["column", "row"]).size().index.to_list()).reshape(-1, 2) * cell).T
    squares = shapely.box(left, bottom, left + cell, bottom + cell)
    found = gpd.GeoDataFrame(pd.DataFrame(rows), geometry=squares, crs=occurrences.crs)
    found.attrs["units"] = {"records": "1", "richness": "1", "chao1": "1", "chao1_error": "1"}
    return found


def _square(counts: np.ndarray[Any, np.dtype[Any]]) -> dict[str, float]:
    estimate = chao_richness(counts)
    return {
        "records": int(counts.sum()),
        "richness": counts.size,
        "chao1": estimate.value,
        "chao1_error": estimate.error,
    }


def _places(table: pd.DataFrame, latitude: str, longitude: str, *, needed: bool) -> pd.DataFrame | None:
    if latitude in table and longitude in table:
        return pd.DataFrame({name: _decimals(table[name]) for name in (latitude, longitude)})
    if isinstance(table, gpd.GeoDataFrame):
        points = table.geometry.centroid if set(table.geom_type) - {"Point", None} else table.geometry
        return pd.DataFrame({latitude: points.y, longitude: points.x}, index=table.index)
    if needed:
        check_columns(table, (latitude, longitude), "clean")
    return None


def _in_degrees(table: pd.DataFrame, latitude: str, longitude: str) -> bool:
    crs = getattr(table, "crs", None)
    return (latitude in table and longitude in table) or crs is None or bool(crs.is_geographic)


def _decimals(column: "pd.Series[Any]") -> "pd.Series[float]":
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64")
    return pd.to_numeric(column.astype("str").str.strip().str.replace(",", "."), errors="coerce").astype("float64")


def _individuals(column: "pd.Series[Any]") -> "pd.Series[float]":
    counts = _decimals(column)
    wrong = column[(counts.isna() & ~_blank(column)) | (counts < 0) | np.isinf(counts)]
    if len(wrong):
        raise BadRequest(
            f"community: {len(wrong)} records have {column.name!r} such as {str(wrong.iloc[0])!r:.40}, expected "
            "numbers of 0 or more. Say what they count for, or leave abundance= away to count records."
        )
    return counts.fillna(1.0)


def _drop(table: pd.DataFrame, tests: dict[str, "pd.Series[bool]"], same: "list[pd.Series[Any]]") -> pd.DataFrame:
    kept, dropped = pd.Series(data=True, index=table.index), {}
    for reason, fails in tests.items():
        dropped[reason] = int((kept & fails).sum())
        kept &= ~fails
    found = table[kept]
    if same:
        columns = [column.to_numpy()[kept.to_numpy()] for column in same]
        twice = pd.DataFrame(dict(enumerate(columns))).duplicated().to_numpy()
        dropped["duplicate"] = int(twice.sum())
        found = found[~twice]
    found = found.copy()
    found.attrs["dropped"] = dropped
    return found


def _blank(column: "pd.Series[Any]") -> "pd.Series[bool]":
    return column.isna() | (column.astype(str).str.strip() == "")
