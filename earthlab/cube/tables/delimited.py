"""Delimited text of any habit: comma, semicolon or tab, decimal point or comma, UTF-8 or Latin-1, comments on top."""

import csv
import io
import re
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO

import geopandas as gpd
import numpy as np
import pandas as pd

from earthlab.cube.tables.columns import Columns, find_columns, find_units, parse_times
from earthlab.cube.tables.selection import Selection, norm_longitude, require_degrees
from earthlab.errors import BadRequest

_HEAD = 256 * 1024
_ROWS_AT_ONCE = 100_000
_SEPARATORS = (";", "\t", ",", "|")
_COMMENT = re.compile(r"^\s*(//|#|$)")
_DECIMAL_COMMA = re.compile(r"^-?\d+,\d+$")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one file is written, as found from its beginning."""

    encoding: str
    separator: str
    skip: int
    """Lines before the header."""
    decimal: str
    names: tuple[str, ...]
    quoted: bool


def read_delimited(stream: BinaryIO, selection: Selection) -> gpd.GeoDataFrame:
    """The rows of a text table that a selection wants, read in pieces: memory holds what is kept.

    Raises
    ------
    BadRequest
        For a file without header, coordinates or readable dates, or with lines that do not fit the header.
    """
    head = stream.read(_HEAD)
    for encoding in ("utf-8-sig", "latin-1"):
        stream.seek(0)
        try:
            return _read(stream, _find_dialect(head, encoding), selection)
        except UnicodeDecodeError:
            continue
    raise AssertionError("Latin-1 decodes every byte")


def _find_dialect(head: bytes, encoding: str) -> Dialect:
    lines = _decode(head, encoding).splitlines()
    skip = next((at for at, line in enumerate(lines) if not _COMMENT.match(line)), None)
    if skip is None:
        raise BadRequest("table: the file is empty, or holds comments only. Expected a header and rows.")
    separator = max(_SEPARATORS, key=lines[skip].count)
    rows = [row for row in csv.reader(lines[skip : skip + 200], delimiter=separator) if row]
    names = _distinct(name.strip() for name in rows[0])
    if len(rows) > 1 and any(rows[1][len(names) :]):
        raise _misfit(f"{len(rows[1])} fields in the first row, {len(names)} in the header")
    places = find_columns(names)
    sample = [row[names.index(places.latitude)] for row in rows[1:] if len(row) == len(names)]
    comma = separator != "," and any(_DECIMAL_COMMA.match(text.strip()) for text in sample)
    return Dialect(encoding, separator, skip, "," if comma else ".", names, separator != "\t" or '"' in lines[skip])


def _misfit(found: str) -> BadRequest:
    return BadRequest(
        f"table: rows have more fields than the header, so that their columns cannot be told ({found}). Expected one "
        "field a column; numbers with a decimal comma need another separator, such as a semicolon."
    )


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name}.{seen[name] - 1}")
    return tuple(out)


def _decode(head: bytes, encoding: str) -> str:
    end = head.rfind(b"\n") + 1 if len(head) == _HEAD else len(head)
    return head[:end].decode(encoding)


def _read(stream: BinaryIO, dialect: Dialect, selection: Selection) -> gpd.GeoDataFrame:
    columns = find_columns(dialect.names)
    if selection.period and not columns.time:
        shown = ", ".join(dialect.names[:12])
        raise BadRequest(f"time: the table has no column of dates among {shown}. Leave time= out.")
    wanted = selection.wanted(list(dialect.names))
    with closing(_pieces(stream, dialect, {*wanted, *columns.all})) as pieces:
        parts = [_place(piece, columns, selection) for piece in pieces]
    whole = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    kept = [name for name in wanted if name in whole.columns]
    frame = gpd.GeoDataFrame(whole[[*dict.fromkeys(["time", *kept]), "geometry"]], geometry="geometry", crs="EPSG:4326")
    frame.attrs["units"] = find_units(kept)
    return frame


def _pieces(stream: BinaryIO, dialect: Dialect, names: set[str]) -> Generator[pd.DataFrame]:
    text = io.TextIOWrapper(stream, dialect.encoding, newline="")
    try:
        for _ in range(dialect.skip):
            text.readline()
        with pd.read_csv(
            text,
            sep=dialect.separator,
            decimal=dialect.decimal,
            header=0,
            names=list(dialect.names),
            index_col=False,
            chunksize=_ROWS_AT_ONCE,
            low_memory=False,
            skipinitialspace=True,
            quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        ) as pieces:
            for piece in pieces:
                yield piece[[name for name in dialect.names if name in names]]
    except (pd.errors.ParserError, pd.errors.ParserWarning) as exc:
        raise _misfit(str(exc).strip()) from exc
    finally:
        text.detach()


def _place(part: pd.DataFrame, columns: Columns, selection: Selection) -> pd.DataFrame:
    longitude, latitude = (_degrees(part[name]) for name in (columns.longitude, columns.latitude))
    require_degrees(longitude, latitude, (columns.longitude, columns.latitude))
    longitude = norm_longitude(longitude)
    times = parse_times(part, columns.time)
    keep = selection.inside(longitude, latitude) & selection.during(times)
    placed = part.assign(time=times)[keep]
    return placed.assign(geometry=make_points(longitude[keep], latitude[keep]))


def _degrees(column: "pd.Series[Any]") -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = column.notna() & numbers.isna()
    if wrong.any():
        raise BadRequest(
            f"table: column {column.name!r} holds {column[wrong].iloc[0]!r}, expected degrees as decimal numbers. "
            "Convert degrees and minutes first."
        )
    return numbers.to_numpy("float64")


def make_points(longitude: Any, latitude: Any) -> Any:
    """Points in EPSG:4326, none where a coordinate is missing."""
    known = np.isfinite(longitude) & np.isfinite(latitude)
    points = np.full(len(longitude), None, dtype=object)
    points[known] = gpd.points_from_xy(longitude[known], latitude[known])
    return gpd.GeoSeries(points, crs="EPSG:4326").array
