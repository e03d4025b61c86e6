"""`el.table`: points, stations and profiles as one GeoDataFrame, whatever file they lie in."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import geopandas as gpd
import pandas as pd
import shapely

from earthlab.catalog import Band, Item, ItemSet, Query, cite, find_profile, run_query, search
from earthlab.catalog.citation import licences_of
from earthlab.catalog.dialects import open_catalogue
from earthlab.catalog.dialects.erddap import narrow_rows
from earthlab.catalog.places import resolve_place
from earthlab.catalog.signing import sign, unsigned
from earthlab.catalog.tabular import ASKED, OBSERVATIONS, OCCURRENCES, TABLEDAP, parameter_of, profile_of
from earthlab.cube.readers.ranged import Refused, is_remote, local_path, open_download
from earthlab.cube.tables.darwin_core import TEXT, read_zipped
from earthlab.cube.tables.delimited import read_delimited
from earthlab.cube.tables.netcdf import read_netcdf_table
from earthlab.cube.tables.pages import read_observations, read_occurrences
from earthlab.cube.tables.parquet import read_parquet
from earthlab.cube.tables.selection import Selection
from earthlab.cube.tables.stated import ROLES, Column, Stated
from earthlab.errors import BadRequest, EarthlabError, FallbackWarning, NothingFound, ReadFault
from earthlab.settings import load_settings, parse_bytes
from earthlab.types import BBox, Period, norm_bbox, norm_period
from earthlab.witness import tell

_Reader = Callable[[BinaryIO, Selection, Stated], gpd.GeoDataFrame]
_Paged = Callable[[str, Selection, Stated], gpd.GeoDataFrame]


def _read_parquet(stream: BinaryIO, selection: Selection, _stated: Stated) -> gpd.GeoDataFrame:
    return read_parquet(stream, selection)


def _read_netcdf(stream: BinaryIO, selection: Selection, _stated: Stated) -> gpd.GeoDataFrame:
    return read_netcdf_table(stream, selection)


_READERS: dict[str, _Reader] = {
    **dict.fromkeys((".parquet", ".geoparquet", ".pq"), _read_parquet),
    **dict.fromkeys((*TEXT, ".csvp", ".tsvp"), read_delimited),
    **dict.fromkeys((".nc", ".nc4", ".cdf", ".h5"), _read_netcdf),
}
_READERS_BY_WORD: dict[str, _Reader] = {
    "parquet": _read_parquet,
    "csv": read_delimited,
    "tab-separated": read_delimited,
    "netcdf": _read_netcdf,
    "hdf5": _read_netcdf,
    "zip": read_zipped,
}
_PAGED: dict[str, _Paged] = {OCCURRENCES: read_occurrences, OBSERVATIONS: read_observations}
_ZIP = b"PK\x03\x04"
_NO_ROWS = "no matching results"
"""An ERDDAP's words where a question has no rows; it says so with the status of what is not there."""

_AT_ONCE = 8
_SHOWN = 5
_MERGED = ("units", "standard_name", "long_name")


@dataclass(frozen=True, slots=True)
class _File:
    href: str
    media_type: str = ""
    item: str | None = None
    stated: Stated = field(default_factory=Stated)

    @property
    def profile(self) -> str:
        return profile_of(self.media_type)


def table(
    what: ItemSet | Query | str | Path,
    *,
    bbox: BBox | Sequence[float] | None = None,
    time: Any = None,
    place: str | None = None,
    columns: Sequence[str] | None = None,
) -> gpd.GeoDataFrame:
    """The points, stations or profiles of items, of a collection, or of one file, as one table.

    Parameters
    ----------
    what : ItemSet, Query, str or Path
        What `earthlab.search` found, a question, a collection's id, or the path or address of a file: GeoParquet,
        Parquet, CSV (also ``;`` or tab, decimal comma, Latin-1, zipped, with the units of an ERDDAP), Darwin Core
        archives, NetCDF of points, stations, profiles or trajectories, Argo ``*_prof.nc`` and ``*_Sprof.nc``. A
        collection is looked for in the lab's own catalogue, else where its descriptor says.
    bbox : BBox or four floats, optional
        In degrees; by default that of the search, or its geometry.
    time : str, pair or Period, optional
        As `earthlab.search` takes it, UTC; by default that of the search.
    place : str, optional
        As `earthlab.search` takes it, in place of ``bbox``.
    columns : sequence of str, optional
        Only these; ``time`` and ``geometry`` always come along.

    Returns
    -------
    geopandas.GeoDataFrame
        One row an observation; ``geometry`` in EPSG:4326 (none where a row has no coordinates), ``time`` in UTC (NaT
        where unknown), then the file's columns under their own names, and ``item`` where items were read (a column
        of the file that is called so becomes ``item.1``). In ``attrs``: ``units``, ``standard_name`` and ``long_name``
        by column, ``licence``, ``citation``, ``sources`` (hrefs), ``left_out`` (variables that do not fit a table) and
        ``without_table`` (ids of items that offer none). Quality flags are kept, none is applied.

    Warns
    -----
    FallbackWarning
        Where some of the items have no table, whose rows are therefore not in the result.

    Raises
    ------
    BadRequest
        For files without coordinates, grids, unknown columns or formats, items without any table, and where more is
        asked of items than they were searched for; the message says what was found.
    AskLess
        For an answer beyond what a service gives, or the setting ``reading.download`` allows.
    NothingFound
        Where no row lies in the box and the period.
    ReadFault
        Where a file cannot be read.

    Notes
    -----
    Read now, not lazily. Box, period and columns reach the files: row groups, profiles and lines outside them are
    skipped, and of a remote NetCDF or Parquet only the bytes needed are fetched. Services that compute tables (ERDDAP,
    GBIF, SensorThings) are asked for the rows of the search and no others. What a server without byte ranges gives is
    fetched whole into a temporary file that nobody else can read.
    """
    bbox = _resolve_box(bbox, place)
    found = _resolve(what, bbox, time)
    asked = found.query if isinstance(found, ItemSet) else Query()
    area = shapely.from_geojson(asked.geometry) if asked.geometry and bbox is None else None
    box = norm_bbox(bbox) if bbox is not None else BBox(*area.bounds) if area else asked.bbox
    period = norm_period(time) if time is not None else asked.period
    chosen = Selection(box, period, _norm_columns(columns))
    files = _item_files(found, chosen) if isinstance(found, ItemSet) else [found]
    _require_asked(files, asked, chosen, area)
    tell("tabled", items=found.items if isinstance(found, ItemSet) else (), hrefs=[unsigned(f.href) for f in files])
    with ThreadPoolExecutor(min(_AT_ONCE, max(len(files), 1))) as pool:
        parts = list(pool.map(lambda file: _within(_read(file, chosen), area), files))
    full = [part for part in parts if len(part)]
    if not full:
        raise NothingFound(
            f"table: no row of {len(files)} file(s) lies in {chosen.describe() or 'them'}. Relax the filters."
        )
    whole = cast("gpd.GeoDataFrame", pd.concat(full, ignore_index=True)) if len(full) > 1 else full[0]
    whole.attrs = _describe(full, files, found if isinstance(found, ItemSet) else None)
    return whole


def _within(part: gpd.GeoDataFrame, area: Any) -> gpd.GeoDataFrame:
    if area is None:
        return part
    chosen = part[part.intersects(area)].reset_index(drop=True)
    chosen.attrs = part.attrs
    return chosen


def _norm_columns(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    if columns is None:
        return None
    return (columns,) if isinstance(columns, str) else tuple(columns)


def _resolve_box(bbox: Any, place: str | None) -> Any:
    if place is None:
        return bbox
    if bbox is not None:
        raise BadRequest("bbox and place were given; they both say where. Give one of them.")
    return resolve_place(place)


def _resolve(what: Any, bbox: Any, time: Any) -> ItemSet | _File:
    if isinstance(what, Path) or (isinstance(what, str) and _is_file(what)):
        return _File(str(what))
    if isinstance(what, str):
        what = search(what, bbox=bbox, time=time, catalog=_find_catalogue((what,)))
    if isinstance(what, Query):
        what = run_query(what, catalog=_find_catalogue(what.collections))
    if not isinstance(what, ItemSet):
        raise BadRequest(
            f"table: found {type(what).__name__}, expected items, a collection's id, or the path of a file."
        )
    return what


def _find_catalogue(collections: Sequence[str]) -> str | None:
    """The endpoint that answers for a collection, unless the lab's own catalogue holds it."""
    profile = find_profile(collections[0]) if len(collections) == 1 else None
    if profile is None or not profile.endpoint:
        return None
    own = load_settings().catalogue.url
    return None if own and open_catalogue().has_collection(profile.id) else profile.endpoint


def _is_file(text: str) -> bool:
    return is_remote(text) or PurePosixPath(text).suffix.lower() in {*_READERS, ".zip"} or Path(text).is_file()


def _item_files(items: ItemSet, selection: Selection) -> list[_File]:
    tables = [(item, list(_tables_of(item))) for item in items]
    without = [item.id for item, files in tables if not files]
    if len(without) == len(tables):
        kinds = sorted({band.kind for item in items for band in item.bands})
        raise BadRequest(
            f"table: none of {len(items)} items has a table (Parquet, CSV) or a NetCDF; their assets are "
            f"{', '.join(kinds) or 'none'}. Images are opened with el.open(…). Services that compute tables, such as "
            "ERDDAP and GBIF, give one only where bbox= or time= leaves few enough rows."
        )
    if without:
        warnings.warn(
            f"{len(without)} of {len(items)} items have no table, and their rows are not in the result: "
            f"{', '.join(without[:_SHOWN])}{', …' if len(without) > _SHOWN else ''}. Narrow bbox= or time=, or see "
            "their links.",
            FallbackWarning,
            stacklevel=3,
        )
    return [file for item, files in tables for file in files if _may_hold(item, selection)]


def _require_asked(files: Sequence[_File], asked: Query, selection: Selection, area: Any) -> None:
    """Nothing, unless more is wanted of computed tables than they were asked for."""
    if not any(file.profile in ASKED for file in files):
        return
    where = shapely.from_geojson(asked.geometry) if asked.geometry else _area(asked.bbox)
    wider = area is None and where is not None and not where.covers(_area(selection.bbox))
    beyond = [
        *(["bbox"] if wider else []),
        *(["time"] if asked.period and not _encloses(asked.period, selection.period) else []),
    ]
    if beyond:
        raise BadRequest(
            f"{' and '.join(beyond)}: more is wanted than these items were searched for, and their tables hold no more "
            "than that. Search again with the larger one."
        )


def _area(box: BBox | None) -> Any:
    return shapely.union_all([shapely.box(*part.as_tuple()) for part in box.parts()]) if box else None


def _encloses(outer: Period, inner: Period | None) -> bool:
    if inner is None:
        return False
    begins = outer.start is None or (inner.start is not None and outer.start <= inner.start)
    return begins and (outer.end is None or (inner.end is not None and inner.end <= outer.end))


def _may_hold(item: Item, selection: Selection) -> bool:
    """Whether what the catalogue says of an item leaves room for rows that are wanted."""
    period, box = selection.period, selection.bbox
    if period and ((period.end and item.start > period.end) or (period.start and item.end < period.start)):
        return item.start == item.end  # one date alone may be nominal: the file may hold others
    if box is None or item.bbox is None:
        return True
    return any(
        one.west <= other.east and other.west <= one.east and one.south <= other.north and other.south <= one.north
        for one in box.parts()
        for other in item.bbox.parts()
    )


def _tables_of(item: Item) -> Iterator[_File]:
    bands = [b for b in item.bands if b.kind == "table"] or [b for b in item.bands if b.kind == "netcdf"]
    for href, media_type in dict.fromkeys((band.href, band.media_type) for band in bands):
        own = [band for band in bands if (band.href, band.media_type) == (href, media_type)]
        yield _File(href, media_type, item.id, _state(item, own, media_type))


def _state(item: Item, bands: Sequence[Band], media_type: str) -> Stated:
    columns = [
        Column(b.name, b.common_name if b.common_name in ROLES else "", b.unit or "", b.nodata)
        for b in bands
        if b.name != b.asset or b.unit
    ]
    point = json.loads(item.geometry) if item.geometry else {}
    place = tuple(point["coordinates"][:2]) if point.get("type") == "Point" else None
    return Stated(
        tuple(columns), place, parameter_of(media_type, "charset"), parameter_of(media_type, "header") == "absent"
    )


def _read(file: _File, selection: Selection) -> gpd.GeoDataFrame:
    try:
        part = _read_file(file, selection)
    except EarthlabError as exc:
        raise type(exc)(f"{_where(file)}: {exc}") from exc
    except OSError as exc:
        raise ReadFault(f"{_where(file)} cannot be read: {exc}. Check the path, or leave the item out.") from exc
    if file.item is not None:
        part = part.rename(columns={"item": "item.1"})
        part.insert(1, "item", file.item)
    return part


def _read_file(file: _File, selection: Selection) -> gpd.GeoDataFrame:
    if file.profile in _PAGED:
        return _PAGED[file.profile](unsigned(file.href), selection, file.stated)
    if file.profile == TABLEDAP:
        return _read_tabledap(file, selection)
    read = _reader(file)
    with _opened(unsigned(file.href)) as stream:
        zipped = stream.read(len(_ZIP)) == _ZIP
        stream.seek(0)
        return (read_zipped if zipped else read)(stream, selection, file.stated)


def _read_tabledap(file: _File, selection: Selection) -> gpd.GeoDataFrame:
    href = narrow_rows(unsigned(file.href), selection.columns, selection.period)
    try:
        with _opened(href, computed=True) as stream:
            return read_netcdf_table(stream, selection)
    except Refused as exc:
        if _NO_ROWS in exc.said:
            return gpd.GeoDataFrame({"time": []}, geometry=[], crs="EPSG:4326")
        raise


def _where(file: _File) -> str:
    href = unsigned(file.href)
    return f"Item {file.item!r}, {href}" if file.item else href


def _opened(href: str, *, computed: bool = False) -> BinaryIO:
    if not is_remote(href):
        return local_path(href).open("rb")
    most = parse_bytes(load_settings().reading.download, "reading.download")
    return open_download(sign(href), most, computed=computed)


def _reader(file: _File) -> _Reader:
    path = urlsplit(file.href).path if is_remote(file.href) else file.href
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _READERS:
        return _READERS[suffix]
    for word, reader in _READERS_BY_WORD.items():
        if word in file.media_type:
            return reader
    if suffix == ".zip":
        return read_zipped
    raise BadRequest(f"table: {suffix or file.href!r} is no table known here. Known: {', '.join(_READERS)}, .zip.")


def _describe(parts: Sequence[gpd.GeoDataFrame], files: Sequence[_File], items: ItemSet | None) -> dict[str, Any]:
    merged = {word: _merge([part.attrs.get(word, {}) for part in parts]) for word in _MERGED}
    licences = (licences_of(items) if items else ()) or [part.attrs.get("licence") for part in parts]
    citations = [cite(items)] if items else [part.attrs.get("citation") for part in parts]
    return {
        **merged,
        "licence": " ; ".join(dict.fromkeys(filter(None, licences))),
        "citation": "\n".join(dict.fromkeys(filter(None, citations))),
        "sources": [unsigned(file.href) for file in files],
        "left_out": sorted({name for part in parts for name in part.attrs.get("left_out", ())}),
        "without_table": [item.id for item in items or () if not any(True for _ in _tables_of(item))],
    }


def _merge(said: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What the parts say of each column: all of it where they differ, since none of them is right for every row."""
    names = dict.fromkeys(name for one in said for name in one)
    return {name: " ; ".join(dict.fromkeys(one[name] for one in said if name in one)) for name in names}
