"""`el.table`: points, stations and profiles as one GeoDataFrame, whatever file they lie in."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import geopandas as gpd
import pandas as pd
import shapely

from earthlab.catalog import Item, ItemSet, Query, cite, find_profile, run_query, search
from earthlab.catalog.signing import sign, unsigned
from earthlab.cube.readers.ranged import is_remote, local_path, open_remote
from earthlab.cube.tables.delimited import read_delimited
from earthlab.cube.tables.netcdf import read_netcdf_table
from earthlab.cube.tables.parquet import read_parquet
from earthlab.cube.tables.selection import Selection
from earthlab.errors import BadRequest, EarthlabError, NothingFound, ReadFault
from earthlab.types import BBox, norm_bbox, norm_period

_Reader = Callable[[BinaryIO, Selection], gpd.GeoDataFrame]

_TEXT = (".csv", ".tsv", ".txt", ".tab")
_READERS: dict[str, _Reader] = {
    **dict.fromkeys((".parquet", ".geoparquet", ".pq"), read_parquet),
    **dict.fromkeys(_TEXT, read_delimited),
    **dict.fromkeys((".nc", ".nc4", ".cdf", ".h5"), read_netcdf_table),
}
_AT_ONCE = 8
_MERGED = ("units", "standard_name", "long_name")


@dataclass(frozen=True, slots=True)
class _File:
    href: str
    media_type: str = ""
    item: str | None = None


def table(
    what: ItemSet | Query | str | Path,
    *,
    bbox: BBox | Sequence[float] | None = None,
    time: Any = None,
    columns: Sequence[str] | None = None,
) -> gpd.GeoDataFrame:
    """The points, stations or profiles of items, of a collection, or of one file, as one table.

    Parameters
    ----------
    what : ItemSet, Query, str or Path
        What `earthlab.search` found, a question, a collection's id, or the path or address of a file: GeoParquet,
        Parquet, CSV (also ``;`` or tab, decimal comma, Latin-1, zipped), NetCDF of points, stations, profiles or
        trajectories, Argo ``*_prof.nc`` and ``*_Sprof.nc``.
    bbox : BBox or four floats, optional
        In degrees; by default that of the search, or its geometry.
    time : str, pair or Period, optional
        As `earthlab.search` takes it, UTC; by default that of the search.
    columns : sequence of str, optional
        Only these; ``time`` and ``geometry`` always come along.

    Returns
    -------
    geopandas.GeoDataFrame
        One row an observation; ``geometry`` in EPSG:4326 (none where a row has no coordinates), ``time`` in UTC (NaT
        where unknown), then the file's columns under their own names, and ``item`` where items were read. In ``attrs``:
        ``units``, ``standard_name`` and ``long_name`` by column, ``licence``, ``citation``, ``sources`` (hrefs) and
        ``left_out`` (variables that do not fit a table). Quality flags are kept, none is applied.

    Raises
    ------
    BadRequest
        For files without coordinates, grids, unknown columns or formats; the message says what was found.
    NothingFound
        Where no row lies in the box and the period.
    ReadFault
        Where a file cannot be read.

    Notes
    -----
    Read now, not lazily. Box, period and columns reach the files: row groups, profiles and lines outside them are
    skipped, and of a remote NetCDF or Parquet only the bytes needed are fetched.
    """
    found = _resolve(what, bbox, time)
    asked = found.query if isinstance(found, ItemSet) else Query()
    area = shapely.from_geojson(asked.geometry) if asked.geometry and bbox is None else None
    box = norm_bbox(bbox) if bbox is not None else BBox(*area.bounds) if area else asked.bbox
    period = norm_period(time) if time is not None else asked.period
    chosen = Selection(box, period, _norm_columns(columns))
    files = _item_files(found, chosen) if isinstance(found, ItemSet) else [found]
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


def _resolve(what: Any, bbox: Any, time: Any) -> ItemSet | _File:
    if isinstance(what, Path) or (isinstance(what, str) and _is_file(what)):
        return _File(str(what))
    if isinstance(what, str):
        what = search(what, bbox=bbox, time=time)
    if isinstance(what, Query):
        what = run_query(what)
    if not isinstance(what, ItemSet):
        raise BadRequest(
            f"table: found {type(what).__name__}, expected items, a collection's id, or the path of a file."
        )
    return what


def _is_file(text: str) -> bool:
    return is_remote(text) or PurePosixPath(text).suffix.lower() in {*_READERS, ".zip"} or Path(text).is_file()


def _item_files(items: ItemSet, selection: Selection) -> list[_File]:
    files = [file for item in items for file in _tables_of(item) if _may_hold(item, selection)]
    if not any(True for item in items for _ in _tables_of(item)):
        kinds = sorted({band.kind for item in items for band in item.bands})
        raise BadRequest(
            f"table: none of {len(items)} items has a table (Parquet, CSV) or a NetCDF; their assets are "
            f"{', '.join(kinds) or 'none'}. Images are opened with el.open(…)."
        )
    return files


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
        yield _File(href, media_type, item.id)


def _read(file: _File, selection: Selection) -> gpd.GeoDataFrame:
    try:
        read = _reader(file)
        with _opened(unsigned(file.href)) as stream:
            part = read(stream, selection)
    except EarthlabError as exc:
        raise type(exc)(f"{_where(file)}: {exc}") from exc
    except OSError as exc:
        raise ReadFault(f"{_where(file)} cannot be read: {exc}. Check the path, or leave the item out.") from exc
    if file.item is not None:
        part.insert(1, "item", file.item)
    return part


def _where(file: _File) -> str:
    href = unsigned(file.href)
    return f"Item {file.item!r}, {href}" if file.item else href


@contextmanager
def _opened(href: str) -> Iterator[BinaryIO]:
    raw = io.BufferedReader(open_remote(sign(href))) if is_remote(href) else local_path(href).open("rb")
    with raw as stream:
        zipped = stream.read(4) == b"PK\x03\x04"
        stream.seek(0)
        if not zipped:
            yield stream
            return
        with _member(stream) as member:
            yield member


@contextmanager
def _member(archive: BinaryIO) -> Iterator[BinaryIO]:
    """The table within a zip: that of a Darwin Core archive, or the only text there is."""
    with zipfile.ZipFile(archive) as opened:
        texts = [n for n in opened.namelist() if n.lower().endswith(_TEXT) and not n.startswith("__MACOSX/")]
        chosen = [n for n in texts if PurePosixPath(n).name == "occurrence.txt"] or texts
        if len(chosen) != 1:
            raise BadRequest(
                f"table: the zip holds {len(chosen)} text tables, expected one. Unpack it and name the file."
            )
        with opened.open(chosen[0]) as member:
            yield cast("BinaryIO", member)


def _reader(file: _File) -> _Reader:
    path = urlsplit(file.href).path if is_remote(file.href) else file.href
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _READERS:
        return _READERS[suffix]
    words = {"parquet": read_parquet, "csv": read_delimited, "netcdf": read_netcdf_table, "hdf5": read_netcdf_table}
    for word, reader in words.items():
        if word in file.media_type:
            return reader
    if suffix == ".zip":
        return read_delimited
    raise BadRequest(f"table: {suffix or file.href!r} is no table known here. Known: {', '.join(_READERS)}, .zip.")


def _describe(parts: Sequence[gpd.GeoDataFrame], files: Sequence[_File], items: ItemSet | None) -> dict[str, Any]:
    merged = {word: {k: v for part in parts for k, v in part.attrs.get(word, {}).items()} for word in _MERGED}
    profiles = [find_profile(name) for name in items.collections] if items else []
    licences = [p.licence for p in profiles if p and p.licence] or [part.attrs.get("licence") for part in parts]
    citations = [cite(items)] if items else [part.attrs.get("citation") for part in parts]
    return {
        **merged,
        "licence": " ; ".join(dict.fromkeys(filter(None, licences))),
        "citation": "\n".join(dict.fromkeys(filter(None, citations))),
        "sources": [unsigned(file.href) for file in files],
        "left_out": sorted({name for part in parts for name in part.attrs.get("left_out", ())}),
    }
