"""Delimited text of any habit: comma, semicolon or tab, decimal point or comma, UTF-8 or Latin-1, comments on top."""

import csv
import io
import re
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import geopandas as gpd
import numpy as np
import pandas as pd

from earthlab.cube.tables.columns import Columns, find_columns, find_units, has_place, parse_times, strip_units
from earthlab.cube.tables.selection import Selection, norm_longitude, require_degrees
from earthlab.cube.tables.stated import Stated
from earthlab.errors import BadRequest

_HEAD = 256 * 1024
_ROWS_AT_ONCE = 100_000
_SEPARATORS = (";", "\t", ",", "|")
_COMMENT = re.compile(r"^\s*(//|#|$)")
_DECIMAL_COMMA = re.compile(r"^-?\d+,\d+$")
_EASTWARD = re.compile(r"^degrees?_?(east|E)$")
_NORTHWARD = re.compile(r"^degrees?_?(north|N)$")
_PLACE = ("longitude", "latitude")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one file is written, as found from its beginning."""

    encoding: str
    separator: str
    skip: int
    """Lines before the header, or before the rows where there is none."""
    decimal: str
    names: tuple[str, ...]
    quoted: bool
    headless: bool = False
    units: Mapping[str, str] = field(default_factory=dict)
    units_row: bool = False
    """Whether the first row below the header holds the units, as ERDDAP writes them."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Columns that are not in the file and hold the same everywhere."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""
        return (*self.names, *self.constants)


def read_delimited(stream: BinaryIO, selection: Selection, stated: Stated | None = None) -> gpd.GeoDataFrame:
    """The rows of a text table that a selection wants, read in pieces: memory holds what is kept.

    What the catalogue states of the columns counts where the file has them; a table without coordinates lies where the
    catalogue says that all of it does. Of ERDDAP's two ways to write units the columns get their bare names.

    Raises
    ------
    BadRequest
        For a file without header, coordinates or readable dates, or with lines that do not fit the header.
    """
    stated = stated or Stated()
    head = stream.read(_HEAD)
    for encoding in filter(None, (stated.charset, "utf-8-sig", "latin-1")):
        stream.seek(0)
        try:
            return read_rows(stream, _find_dialect(head, encoding, stated), selection, stated)
        except (UnicodeDecodeError, LookupError):  # the catalogue's word may be wrong, or no encoding at all
            continue
    raise AssertionError("Latin-1 decodes every byte")


def _find_dialect(head: bytes, encoding: str, stated: Stated) -> Dialect:
    lines = _decode(head, encoding).splitlines()
    skip = next((at for at, line in enumerate(lines) if not _COMMENT.match(line)), None)
    if skip is None:
        raise BadRequest("table: the file is empty, or holds comments only. Expected a header and rows.")
    separator = max(_SEPARATORS, key=lines[skip].count)
    rows = [row for row in csv.reader(lines[skip : skip + 200], delimiter=separator) if row]
    names, rows = _split_header(rows, stated)
    if rows and any(rows[0][len(names) :]):
        raise _misfit(f"{len(rows[0])} fields in the first row, {len(names)} in the header")
    constants = (
        {} if has_place(names, stated.roles) or stated.place is None else dict(zip(_PLACE, stated.place, strict=True))
    )
    places = find_columns((*names, *constants), stated.roles)
    units = _find_unit_row(names, rows, places)
    bare = names if stated.headless else _bare_names(names, places)
    full = [row for row in rows if len(row) == len(names)]
    sample = [row[names.index(places.latitude)] for row in full] if not constants else [f for row in full for f in row]
    comma = separator != "," and any(_DECIMAL_COMMA.match(text.strip()) for text in sample)
    return Dialect(
        encoding,
        separator,
        skip,
        "," if comma else ".",
        bare,
        separator != "\t" or '"' in lines[skip],
        stated.headless,
        units or (_known_units(names, bare) if bare != names else {}),
        bool(units),
        constants,
    )


def _split_header(rows: list[list[str]], stated: Stated) -> tuple[tuple[str, ...], list[list[str]]]:
    if stated.headless:
        return _distinct(column.name for column in stated.columns), rows
    return _distinct(name.strip() for name in rows[0]), rows[1:]


def _find_unit_row(names: Sequence[str], rows: Sequence[Sequence[str]], places: Columns) -> dict[str, str]:
    if not rows or len(rows[0]) != len(names) or places.longitude not in names:
        return {}
    units = dict(zip(names, (text.strip() for text in rows[0]), strict=True))
    if not (_EASTWARD.match(units[places.longitude]) and _NORTHWARD.match(units[places.latitude])):
        return {}
    return {name: unit for name, unit in units.items() if unit and unit != "UTC"}


def _bare_names(names: tuple[str, ...], places: Columns) -> tuple[str, ...]:
    """Without ERDDAP's units: ``longitude (degrees_east)``."""
    pair = (places.longitude, places.latitude)
    stated = all(
        re.search(rf"\({word}\)$", name) for word, name in zip(("degrees_east", "degrees_north"), pair, strict=True)
    )
    return _distinct(strip_units(names)) if stated else names


def _known_units(names: Sequence[str], bare: Sequence[str]) -> dict[str, str]:
    units, called = find_units(names), dict(zip(names, bare, strict=True))
    return {called[name]: unit for name, unit in units.items() if unit != "UTC"}


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


def read_rows(
    stream: BinaryIO, dialect: Dialect, selection: Selection, stated: Stated | None = None
) -> gpd.GeoDataFrame:
    """The rows of a text table whose dialect is known; raises as `read_delimited`."""
    stated = stated or Stated()
    columns = find_columns(dialect.columns, stated.roles)
    if selection.period and not columns.time:
        shown = ", ".join(dialect.columns[:12])
        raise BadRequest(f"time: the table has no column of dates among {shown}. Leave time= out.")
    wanted = selection.wanted(list(dialect.columns))
    missing = {column.name: column.nodata for column in stated.columns if column.nodata is not None}
    with closing(_pieces(stream, dialect, {*wanted, *columns.all})) as pieces:
        parts = [place_rows(_mask(piece, missing), columns, selection) for piece in pieces]
    frame = finish_rows(pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True), wanted)
    frame.attrs["units"] = {
        name: unit for name, unit in {**stated.units, **find_units(wanted), **dialect.units}.items() if name in wanted
    }
    return frame


def _mask(piece: pd.DataFrame, missing: Mapping[str, float]) -> pd.DataFrame:
    return piece.assign(
        **{name: piece[name].mask(piece[name] == code) for name, code in missing.items() if name in piece}
    )


def _pieces(stream: BinaryIO, dialect: Dialect, names: set[str]) -> Generator[pd.DataFrame]:
    text = io.TextIOWrapper(stream, dialect.encoding, newline="")
    try:
        for _ in range(dialect.skip):
            text.readline()
        with pd.read_csv(
            text,
            sep=dialect.separator,
            decimal=dialect.decimal,
            header=None if dialect.headless else 0,
            skiprows=[1] if dialect.units_row else None,
            names=list(dialect.names),
            index_col=False,
            chunksize=_ROWS_AT_ONCE,
            low_memory=False,
            skipinitialspace=True,
            quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        ) as pieces:
            for piece in pieces:
                kept = piece[[name for name in dialect.names if name in names]]
                yield kept.assign(**{name: value for name, value in dialect.constants.items() if name in names})
    except (pd.errors.ParserError, pd.errors.ParserWarning) as exc:
        raise _misfit(str(exc).strip()) from exc
    finally:
        text.detach()


def place_rows(part: pd.DataFrame, columns: Columns, selection: Selection) -> pd.DataFrame:
    """The rows of a frame that a selection wants, with their ``time`` and ``geometry``.

    Raises
    ------
    BadRequest
        For places that are no degrees, and dates that cannot be read.
    """
    longitude, latitude = (_degrees(part[name]) for name in (columns.longitude, columns.latitude))
    require_degrees(longitude, latitude, (columns.longitude, columns.latitude))
    longitude = norm_longitude(longitude)
    times = parse_times(part, columns.time)
    keep = selection.inside(longitude, latitude) & selection.during(times)
    placed = part.assign(time=times)[keep]
    return placed.assign(geometry=make_points(longitude[keep], latitude[keep]))


def finish_rows(placed: pd.DataFrame, wanted: Sequence[str]) -> gpd.GeoDataFrame:
    """Rows as `place_rows` gives them, as the table that people get: ``time``, the columns wanted, ``geometry``."""
    kept = [name for name in wanted if name in placed.columns and name != "geometry"]
    chosen = placed[[*dict.fromkeys(["time", *kept]), "geometry"]]
    return gpd.GeoDataFrame(chosen, geometry="geometry", crs="EPSG:4326").reset_index(drop=True)


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
