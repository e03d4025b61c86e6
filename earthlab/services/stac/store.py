"""The built catalogue, read-only: searches and counts over its rows, and the items of a page."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import shapely
from shapely.geometry.base import BaseGeometry

from earthlab.services.stac.aggregations import fit_interval, plan_aggregation
from earthlab.services.stac.conditions import RELATIONS, Condition, Shape, exactly
from earthlab.services.stac.folder import COLLECTIONS, INGESTED, MARKER, no_catalogue
from earthlab.services.stac.geoparquet import QUERYABLES
from earthlab.services.stac.index import Index, Live, View, gone
from earthlab.services.stac.paging import Place
from earthlab.services.stac.queryables import column_of
from earthlab.services.stac.search import Search
from earthlab.services.stac.sorting import write_after, write_order

_Row = tuple[Any, ...]
"""The keys that order a row, then its number."""

_FEW = 3000
"""Rows whose geometries a search takes at once; where boxes leave more, shapes are compared first, in batches."""

_ABSOLUTE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search."""

    items: tuple[dict[str, Any], ...]
    """STAC items as they were built, but for their hrefs, which are absolute."""
    matched: int
    """How many items the whole search finds."""
    next: Place | None
    """The row after which the next page begins; None on the last page."""


class LiveCollection(Live, Protocol):
    """A collection whose items come and go while the service runs."""

    def collection(self) -> dict[str, Any]:
        """Its document."""
        ...


class Store:
    """The catalogue in a folder. Safe to use from several threads.

    Parameters
    ----------
    folder : Path
        As `earthlab.services.stac.archive.build_catalogue` made it, with what was ingested since.
    live : LiveCollection, optional
        A collection beside those of the folder.

    Raises
    ------
    SetupError
        Where the folder has no complete catalogue.
    """

    def __init__(self, folder: Path, live: LiveCollection | None = None) -> None:
        self._folder = Path(folder).resolve()
        if not (self._folder / MARKER).is_file():
            raise no_catalogue(self._folder)
        self._live = live
        self._index = Index(self._folder, live)
        self._documents: tuple[tuple[Any, ...], dict[str, dict[str, Any]]] = ((), {})
        self._present: dict[tuple[Any, ...], frozenset[str]] = {}
        with self._index.view():
            # The first search must not wait for the rows.
            pass

    def collections(self) -> dict[str, dict[str, Any]]:
        """Every collection's document by its id.

        Raises
        ------
        CatalogueUnavailable
            Where the catalogue has gone since the service started.
        """
        live = {} if self._live is None else {one["id"]: one for one in [self._live.collection()]}
        try:
            return {**self._built_collections(), **live}
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise gone() from exc

    def find(self, search: Search) -> Page:
        """One page of a search, in its order.

        Raises
        ------
        CatalogueUnavailable
            Where the catalogue has gone since the service started.
        """
        with self._index.view() as view:
            matched, rows = _find_few(view, search) or _find_many(view, search)
            shown = rows[: search.limit]
            texts = view.items([row[-1] for row in shown])
        more = shown[-1][:-1] if len(rows) > search.limit else None
        return Page(tuple(map(self._read_item, texts)), matched, more)

    def aggregate(self, search: Search, names: Sequence[str], interval: str | None) -> list[dict[str, Any]]:
        """Counts over everything that a search finds, see `earthlab.services.stac.aggregations`.

        Raises
        ------
        CatalogueUnavailable
            Where the catalogue has gone since the service started.
        """
        with self._index.view() as view:
            wanted = _resolve(view, search)
            found = f"({_select('*', wanted.sql)})"
            if interval is None:
                span = view.select(_select("max(moment) - min(moment)", wanted.sql), wanted.values)[0][0]
                interval = fit_interval(span or 0)
            planned = [plan_aggregation(name, interval) for name in names]
            return [one.document(view.select(one.select(found), wanted.values)) for one in planned]

    def queryables(self, collection: str | None) -> frozenset[str]:
        """The names of the queryables that items of a collection have values of; of any collection, for None.

        Raises
        ------
        CatalogueUnavailable
            Where the catalogue has gone since the service started.
        """
        with self._index.view() as view:
            known = self._present.get((view.stamp, collection))
            if known is None:
                counts = ", ".join(f"count({column_of(name)})" for name in QUERYABLES)
                wanted = _where(Search(collections=(collection,) if collection else ()))
                row = view.select(_select(counts, wanted.sql), wanted.values)[0]
                known = frozenset(name for name, count in zip(QUERYABLES, row, strict=True) if count)
                kept = {key: names for key, names in self._present.items() if key[0] == view.stamp}
                self._present = {**kept, (view.stamp, collection): known}
        return known

    def _built_collections(self) -> dict[str, dict[str, Any]]:
        own, ingested = self._folder / COLLECTIONS, self._folder / INGESTED
        paths = [own, *(sorted(ingested.glob("*.json")) if ingested.is_dir() else ())]
        stamp = tuple((path, path.stat().st_ino, path.stat().st_mtime_ns) for path in paths)
        kept, documents = self._documents
        if kept != stamp:
            found = [*_read_json(own), *(_read_json(path) for path in paths[1:])]
            documents = {document["id"]: document for document in found}
            self._documents = (stamp, documents)
        return documents

    def _read_item(self, text: str) -> dict[str, Any]:
        item: dict[str, Any] = orjson.loads(text)
        for asset in item["assets"].values():
            if not _ABSOLUTE.match(asset["href"]):
                asset["href"] = f"{self._folder}/{asset['href']}"
        return item


def _find_few(view: View, search: Search) -> tuple[int, list[_Row]] | None:
    """How many rows a search within an area finds, and their keys and numbers; ``None`` where this is not the way.

    One look at the rows does where their boxes leave few: their geometries come with them.
    """
    area = search.area
    if area is None or search.after is not None or search.where.shapes:
        return None
    coarse = _where(search).and_(search.where)
    edge = f"CASE WHEN {_INSIDE} THEN NULL ELSE geometry END" if _is_box(area) else "geometry"
    sql = _first_rows(search, f"row, {edge}", f"geometry IS NOT NULL AND {coarse.sql}")
    rows = view.select(sql, {**coarse.values, "most": _FEW + 1})
    if len(rows) > _FEW:
        return None
    shapely.prepare(area)
    shapes = shapely.from_wkb(np.array([row[-1] for row in rows], dtype=object))
    meets = shapely.is_missing(shapes) | shapely.intersects(area, shapes)
    found = [row[:-1] for row, fits in zip(rows, meets, strict=True) if fits]
    return len(found), found


def _find_many(view: View, search: Search) -> tuple[int, list[_Row]]:
    """How many rows a search finds, and the keys and numbers of those of a page and one more."""
    wanted = _resolve(view, search)
    rest = wanted if search.after is None else wanted.and_(write_after(search.order, search.after))
    rows = view.select(_first_rows(search, "row", rest.sql), {**rest.values, "most": search.limit + 1})
    whole = search.after is None and len(rows) <= search.limit
    matched = len(rows) if whole else view.select(_select("count(*)", wanted.sql), wanted.values)[0][0]
    return matched, rows


def _first_rows(search: Search, columns: str, condition: str) -> str:
    keys = ", ".join(key.sql for key in search.order)
    return f"{_select(f'{keys}, {columns}', condition)} ORDER BY {write_order(search.order)} LIMIT $most"


def _select(columns: str, condition: str) -> str:
    return f"SELECT {columns} FROM rows WHERE {condition}"  # noqa: S608 - both are texts of ours


def _where(search: Search) -> Condition:
    """What can be compared without looking at a geometry; boxes are, and geometries then exactly."""
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
    known = Condition(" AND ".join(parts), values)
    return known if search.area is None else known.and_(_boxes_meet(search.area, "area"))


def _boxes_meet(area: BaseGeometry, name: str) -> Condition:
    # An item's box that crosses the antimeridian has its west greater than its east.
    sql = (
        "south <= ${0}_n AND north >= ${0}_s AND CASE WHEN west <= east "
        "THEN west <= ${0}_e AND east >= ${0}_w ELSE west <= ${0}_e OR east >= ${0}_w END"
    )
    sides = zip(("w", "s", "e", "n"), area.bounds, strict=True)
    return Condition(sql.format(name), {f"{name}_{side}": bound for side, bound in sides})


def _resolve(view: View, search: Search) -> Condition:
    """What a search asks of rows; every shape in it is compared, and the rows that pass are named in the view."""
    coarse = _where(search)
    whole = coarse.and_(search.where)
    if search.area is not None:
        # A geometry whose box is inside the box that is asked for needs no second look. The sides are bound above.
        inside = _INSIDE if _is_box(search.area) else "false"
        whole = whole.and_(Condition(f"geometry IS NOT NULL AND ({inside} OR {exactly('area')})"))
        edge = coarse.and_(Condition(f"NOT ({inside})"))
        view.name_rows("area", _rows_that(view, edge, Shape("area", "s_intersects", search.area)))
    for shape in whole.shapes:
        boxed = coarse.and_(_boxes_meet(shape.area, shape.name))
        view.name_rows(shape.name, _rows_that(view, boxed, shape))
    return whole


_INSIDE = "west <= east AND west >= $area_w AND east <= $area_e AND south >= $area_s AND north <= $area_n"


def _is_box(area: BaseGeometry) -> bool:
    return bool(area.geom_type == "Polygon" and area.equals(shapely.box(*area.bounds)))


def _rows_that(view: View, boxed: Condition, shape: Shape) -> Iterator[npt.NDArray[np.int64]]:
    """The rows that stand in the shape's relation to it, of those whose boxes may."""
    shapely.prepare(shape.area)
    compare = RELATIONS[shape.relation]
    sql = _select("row, geometry", f"geometry IS NOT NULL AND {boxed.sql}")
    for batch in view.batches(sql, boxed.values):
        shapes = shapely.from_wkb(batch.column(1).to_numpy(zero_copy_only=False))
        yield batch.column(0).to_numpy()[compare(shape.area, shapes)]


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
