"""What searches compare, of every item, in memory: a duckdb that can open nothing, filled from the catalogue's tables.

Items themselves stay in their files; a row knows where its item is. When the tables in the folder change, the next
search takes the new ones in and lets go of those that are gone, in one transaction: a search sees one state throughout.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from earthlab.errors import CatalogueUnavailable
from earthlab.services.stac.geoparquet import QUERYABLES, SCHEMA, find_stamp, find_tables

_CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
    "threads": 2,
}
_KEYS = tuple(name for name in SCHEMA.names if name != "item")
_KEY_SCHEMA = pa.schema([SCHEMA.field(name) for name in _KEYS])
_BATCH = 20_000
_SHIFT = 40
Key = tuple[Any, ...]
"""What a table is known by: another table of the same name has another key."""


class Table(Protocol):
    """Rows of items, and where the items are."""

    def keys(self) -> pa.RecordBatchReader:
        """The rows of `SCHEMA` without the items, in their order."""
        ...

    def items(self, at: npt.NDArray[np.int64]) -> Sequence[str]:
        """The JSON texts of the items of some rows, which are given rising."""
        ...


class ParquetTable:
    """A table in a file, which stays open: the same rows are read whatever takes the place of its name.

    Raises
    ------
    OSError
        Where there is no such file, or it is none of Parquet.
    """

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path))
        self._metadata = pq.read_metadata(self._file)
        counts = [self._metadata.row_group(at).num_rows for at in range(self._metadata.num_row_groups)]
        self._ends: npt.NDArray[np.int64] = np.cumsum(counts, dtype=np.int64)

    def keys(self) -> pa.RecordBatchReader:
        """The rows without the items, read as they are asked for."""
        file = self._reader()
        known = [name for name in _KEYS if name in file.schema_arrow.names]
        batches = (_whole_batch(batch) for batch in file.iter_batches(_BATCH, columns=known))
        return pa.RecordBatchReader.from_batches(_KEY_SCHEMA, batches)

    def items(self, at: npt.NDArray[np.int64]) -> list[str]:
        """The JSON texts of some rows: each group of rows that has one is read once."""
        file = self._reader()
        texts: list[str] = []
        groups = np.searchsorted(self._ends, at, side="right")
        for group in np.unique(groups):
            column = file.read_row_group(int(group), columns=["item"], use_threads=False).column(0)
            first = self._ends[group - 1] if group else 0
            texts += column.take(pa.array(at[groups == group] - first)).to_pylist()
        return texts

    def _reader(self) -> pq.ParquetFile:
        return pq.ParquetFile(self._file, metadata=self._metadata)


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """A table of `SCHEMA` that is held whole."""

    table: pa.Table

    def keys(self) -> pa.RecordBatchReader:
        """The rows without the items."""
        return self.table.select(list(_KEYS)).to_reader()

    def items(self, at: npt.NDArray[np.int64]) -> list[str]:
        """The JSON texts of some rows."""
        texts: list[str] = self.table.column("item").take(pa.array(at)).to_pylist()
        return texts


class Live(Protocol):
    """Items that come and go while the service runs."""

    def stamp(self) -> Key:
        """Changes whenever the items do."""
        ...

    def table(self) -> pa.Table:
        """The items, as rows of `SCHEMA`."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """The rows at one moment, in ``rows``, for as long as the search lasts."""

    cursor: duckdb.DuckDBPyConnection
    stamp: Key
    _tables: Mapping[int, Table]

    def select(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows of a query; its text is ours, what the request said is in the values."""
        return self.cursor.execute(sql, dict(values)).fetchall()

    def batches(self, sql: str, values: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
        """The rows of a query, some thousand at a time."""
        yield from self.cursor.sql(sql, params=dict(values)).to_arrow_reader(_BATCH)

    def name_rows(self, name: str, rows: Iterable[npt.NDArray[np.int64]]) -> None:
        """Let a query know a set of rows as the table ``name``."""
        known = pa.chunked_array([pa.array(part) for part in rows], pa.int64())
        self.cursor.register(name, pa.table({"row": known}))

    def items(self, rows: Sequence[int]) -> list[str]:
        """The JSON texts of rows, in the order given."""
        wanted = np.asarray(rows, dtype=np.int64)
        order = np.argsort(wanted)
        rising = wanted[order]
        texts = np.empty(len(wanted), dtype=object)
        numbers = rising >> _SHIFT
        for number in np.unique(numbers):
            here = numbers == number
            texts[order[here]] = self._tables[int(number)].items(rising[here] & ((1 << _SHIFT) - 1))
        return list(texts)


class Index:
    """The rows of all items of a catalogue's folder, and of what is live beside it. Safe to use from several threads.

    Parameters
    ----------
    folder : Path
        Absolute; has ``items.parquet`` and perhaps parts beside it.
    live : Live, optional
        Further items.
    """

    def __init__(self, folder: Path, live: Live | None = None) -> None:
        self._folder = folder
        self._live = live
        self._lock = threading.Lock()
        self._stamp: Key = ()
        self._numbers: dict[Key, int] = {}
        self._tables: dict[int, Table] = {}
        self._last = 0
        self._duck = duckdb.connect(":memory:", config=_CLOSED)
        self._duck.execute("CREATE TABLE glances (seen INTEGER)")
        self._duck.execute("SET enable_external_access = false")
        self._duck.execute("SET lock_configuration = true")

    @contextmanager
    def view(self) -> Iterator[View]:
        """The rows as they are now.

        Raises
        ------
        CatalogueUnavailable
            Where the catalogue has gone or holds something else than tables of ours.
        """
        with self._lock:
            try:
                self._refresh()
            except (OSError, KeyError, pa.ArrowException, duckdb.Error) as exc:
                raise gone() from exc
            cursor = self._duck.cursor()
            cursor.begin()
            # A transaction sees what there is when it first looks; at a small table, which takes the least time.
            cursor.execute("SELECT seen FROM glances")
            view = View(cursor, self._stamp, self._tables)
        try:
            yield view
        except (OSError, pa.ArrowException) as exc:
            raise gone() from exc
        finally:
            cursor.close()

    def _refresh(self) -> None:
        live = self._live.stamp() if self._live else ()
        stamp = (find_stamp(self._folder), live)
        if stamp == self._stamp:
            return
        found = find_tables(self._folder)
        wanted: dict[Key, Table] = {}
        for path in found.paths:
            key = _identity(path)
            known = self._numbers.get(key)
            wanted[key] = ParquetTable(path) if known is None else self._tables[known]
        if self._live:
            wanted["live", live] = MemoryTable(self._live.table())
        self._take_in(wanted)
        self._stamp = (found.stamp, live)

    def _take_in(self, wanted: Mapping[Key, Table]) -> None:
        numbers = {key: number for key, number in self._numbers.items() if key in wanted}
        tables = {number: wanted[key] for key, number in numbers.items()}
        with closing(self._duck.cursor()) as cursor:
            cursor.begin()
            for key in wanted.keys() - numbers.keys():
                self._last += 1
                numbers[key], tables[self._last] = self._last, wanted[key]
                _fill(cursor, self._last, wanted[key])
            cursor.execute("CREATE OR REPLACE VIEW rows AS " + " UNION ALL ".join(map(_whole, numbers.values())))
            for key in self._numbers.keys() - wanted.keys():
                cursor.execute(f"DROP TABLE part_{self._numbers[key]}")
            cursor.commit()
        pa.default_memory_pool().release_unused()
        self._numbers, self._tables = numbers, tables


def gone() -> CatalogueUnavailable:
    """The refusal where the files cannot be read."""
    return CatalogueUnavailable(
        "The embedded catalogue cannot be read. Ask the operator to run: earthlab catalogue build"
    )


def _identity(path: Path) -> Key:
    """What a file is, wherever its name has moved to: its rows need not be read again."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _fill(cursor: duckdb.DuckDBPyConnection, number: int, table: Table) -> None:
    cursor.register("incoming", _numbered(table.keys(), number << _SHIFT))
    cursor.execute(f"CREATE TABLE part_{number} AS SELECT {_COLUMNS} FROM incoming")  # noqa: S608 - texts of ours
    cursor.unregister("incoming")


def _whole_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with a column of nulls for every queryable that is younger than the file."""
    found = set(batch.schema.names)
    columns = [
        batch.column(field.name) if field.name in found or not field.nullable else pa.nulls(len(batch), field.type)
        for field in _KEY_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_KEY_SCHEMA)


def _numbered(keys: pa.RecordBatchReader, first: int) -> pa.RecordBatchReader:
    def number() -> Iterator[pa.RecordBatch]:
        at = first
        for batch in keys:
            yield batch.append_column("row", pa.array(np.arange(at, at + len(batch))))
            at += len(batch)

    return pa.RecordBatchReader.from_batches(keys.schema.append(pa.field("row", pa.int64())), number())


def _whole(number: int) -> str:
    return f"SELECT * FROM part_{number}"  # noqa: S608 - a number of ours


def _write_column(name: str) -> str:
    number = next((entry.schema["type"] == "number" for entry in QUERYABLES.values() if entry.column == name), False)
    return f'CASE WHEN isfinite("{name}") THEN "{name}" END AS "{name}"' if number else f'"{name}"'


_SIDES = "bbox.xmin AS west, bbox.ymin AS south, bbox.xmax AS east, bbox.ymax AS north"
_COLUMNS = ", ".join(
    [
        "row",
        *(_write_column(name) for name in _KEYS if name != "bbox"),
        _SIDES,
        "epoch_us(coalesce(datetime, begins)) AS moment",
    ]
)
