"""The built catalogue, read-only: searches over its GeoParquet table in a duckdb that can open nothing else."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from earthlab.errors import CatalogueUnavailable, SetupError
from earthlab.services.stac.search import Place, Search

_BATCH = 1000
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "256MB",
    "threads": 1,
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}
_MOMENT = "epoch_us(coalesce(datetime, begins))"
_KEYS = f"{_MOMENT} AS moment, id, collection"
_ORDER = "ORDER BY moment DESC, id, collection"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search."""

    items: tuple[dict[str, Any], ...]
    """STAC items as they were built, but for their hrefs, which are absolute paths."""
    matched: int
    """How many items the whole search finds."""
    next: Place | None
    """The row after which the next page begins; None on the last page."""


@dataclass(frozen=True, slots=True)
class _Row:
    place: Place
    item: str


class Store:
    """The catalogue in a folder. Safe to use from several threads.

    Parameters
    ----------
    folder : Path
        As `earthlab.services.stac.archive.build_catalogue` made it.

    Raises
    ------
    SetupError
        Where the folder has no complete catalogue.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder).resolve()
        if not (self._folder / "COMPLETE").is_file():
            raise SetupError(f"There is no complete catalogue in {self._folder}. Run: earthlab catalogue build")
        self._table = str(self._folder / "items.parquet")
        self._duck = duckdb.connect(":memory:", config=_CONFIG)
        quoted = self._table.replace("'", "''")
        self._duck.execute(f"SET allowed_paths = ['{quoted}']")
        self._duck.execute("SET enable_external_access = false")
        self._duck.execute("SET lock_configuration = true")

    def collections(self) -> dict[str, dict[str, Any]]:
        """Every collection's document by its id.

        Raises
        ------
        CatalogueUnavailable
            Where the catalogue has gone since the service started.
        """
        try:
            documents = json.loads((self._folder / "collections.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise _gone() from exc
        return {document["id"]: document for document in documents}

    def find(self, search: Search) -> Page:
        """One page of a search: latest first, then by id.

        Raises
        ------
        CatalogueUnavailable
            Where the catalogue has gone since the service started.
        """
        try:
            matched, rows = self._find_rows(search) if search.area is None else self._find_within(search, search.area)
        except duckdb.Error as exc:
            raise _gone() from exc
        page = rows[: search.limit]
        more = page[-1].place if len(rows) > search.limit else None
        return Page(tuple(self._item(row.item) for row in page), matched, more)

    def _find_rows(self, search: Search) -> tuple[int, list[_Row]]:
        wanted = _where(search)
        counted = self._run(_select("count(*)", wanted.sql), wanted.values)
        rest = wanted.and_after(search.after)
        found = self._run(
            _select(f"{_KEYS}, item", f"{rest.sql} {_ORDER} LIMIT $most"),
            {**rest.values, "most": search.limit + 1},
        )
        return next(counted)[0], [_Row(Place(*row[:3]), row[3]) for row in found]

    def _find_within(self, search: Search, area: BaseGeometry) -> tuple[int, list[_Row]]:
        """Boxes are compared in SQL; the geometries of what remains exactly, a batch at a time."""
        wanted = _where(search)
        places: list[Place] = []
        matched = 0
        shapely.prepare(area)
        rows = self._run(_select(f"{_KEYS}, geometry", f"{wanted.sql} {_ORDER}"), wanted.values)
        for place in _within(rows, area):
            matched += 1
            if len(places) <= search.limit and (search.after is None or _order(place) > _order(search.after)):
                places.append(place)
        return matched, self._rows_at(places)

    def _rows_at(self, places: list[Place]) -> list[_Row]:
        if not places:
            return []
        found = self._run(_select(f"{_KEYS}, item", "id = ANY($ids)"), {"ids": [p.id for p in places]})
        items = {Place(*row[:3]): row[3] for row in found}
        return [_Row(place, items[place]) for place in places]

    def _run(self, sql: str, values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        cursor = self._duck.cursor().execute(sql, {"table": self._table, **values})
        while rows := cursor.fetchmany(_BATCH):
            yield from rows

    def _item(self, text: str) -> dict[str, Any]:
        item: dict[str, Any] = json.loads(text)
        for asset in item["assets"].values():
            asset["href"] = str(self._folder / asset["href"])
        return item


@dataclass(frozen=True, slots=True)
class _Where:
    """A condition whose text holds only names of ours; what the request said is in the bound values."""

    sql: str
    values: Mapping[str, Any]

    def and_after(self, place: Place | None) -> "_Where":
        if place is None:
            return self
        sql = (
            f"{self.sql} AND ({_MOMENT} < $at OR ({_MOMENT} = $at AND "
            "(id > $after_id OR (id = $after_id AND collection > $after_collection))))"
        )
        bound = {"at": place.moment, "after_id": place.id, "after_collection": place.collection}
        return _Where(sql, {**self.values, **bound})


def _select(columns: str, condition: str) -> str:
    return f"SELECT {columns} FROM read_parquet($table) WHERE {condition}"  # noqa: S608 - both are texts of ours


def _where(search: Search) -> _Where:
    parts = ["true"]
    values: dict[str, Any] = {}
    for column, names in (("collection", search.collections), ("id", search.ids)):
        if names:
            bound = {f"{column}_{at}": name for at, name in enumerate(names)}
            parts.append(f"{column} IN ({', '.join('$' + key for key in bound)})")
            values |= bound
    for condition, key, moment in (("ends >= ", "begins", search.begins), ("begins <= ", "ends", search.ends)):
        if moment is not None:
            parts.append(f"{condition}${key}::TIMESTAMPTZ")
            values[key] = _text(moment)
    if search.area is not None:
        parts.append(_BOXES_MEET)
        values |= dict(zip(("west", "south", "east", "north"), search.area.bounds, strict=True))
    return _Where(" AND ".join(parts), values)


# An item's box that crosses the antimeridian has its west greater than its east.
_BOXES_MEET = """
    bbox.ymin <= $north AND bbox.ymax >= $south AND CASE WHEN bbox.xmin <= bbox.xmax
    THEN bbox.xmin <= $east AND bbox.xmax >= $west ELSE bbox.xmin <= $east OR bbox.xmax >= $west END
"""


def _within(rows: Iterator[tuple[Any, ...]], area: BaseGeometry) -> Iterator[Place]:
    batch: list[tuple[Any, ...]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield from _meeting(batch, area)
            batch = []
    yield from _meeting(batch, area)


def _meeting(batch: list[tuple[Any, ...]], area: BaseGeometry) -> Iterator[Place]:
    shapes = shapely.from_wkb(np.array([row[3] for row in batch], dtype=object))
    for row, meets in zip(batch, shapely.intersects(area, shapes), strict=True):
        if meets:
            yield Place(*row[:3])


def _order(place: Place) -> tuple[int, str, str]:
    return (-place.moment, place.id, place.collection)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _gone() -> CatalogueUnavailable:
    return CatalogueUnavailable(
        "The embedded catalogue cannot be read. Ask the operator to run: earthlab catalogue build"
    )
