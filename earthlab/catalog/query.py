"""The question, frozen: what a panel, a cell or a link asks of a catalogue."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import shapely
from shapely.geometry import shape

from earthlab.catalog.conditions import Condition, parse_where, write_where
from earthlab.catalog.matching import keeps
from earthlab.catalog.places import find_place, resolve_place
from earthlab.errors import BadRequest, EarthlabError
from earthlab.types import BBox, Period, canonical_json, content_token, norm_bbox, norm_period


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched, in one canonical form: equal questions are equal values with equal tokens.

    Attributes
    ----------
    collections : tuple of str
        Ids of the collections to search; empty means all. With ``theme`` those of them that have it, and a catalogue
        passes over what it does not hold.
    bbox : BBox, optional
        In degrees; excludes ``geometry``.
    geometry : str, optional
        A GeoJSON geometry in degrees, as canonical JSON text.
    period : Period, optional
        Closed interval of observation time, UTC.
    ids : tuple of str
        Item ids.
    max_cloud : float, optional
        Highest ``eo:cloud_cover`` in percent; an item that states none is kept.
    filter : str, optional
        CQL2 text, sent to catalogues that implement the Filter Extension.
    place : str, optional
        The name the box came from; kept so that the question can be read again.
    theme : str, optional
        The word or concept that the collections came from; kept for the same reason.
    platform, instrument : tuple of str
        Names of satellites or constellations, and of instruments, of which an item has one: spelling does not matter,
        and ``"sentinel-2"`` is also Sentinel-2A.
    where : tuple of Condition
        Comparisons of properties, which all hold.
    limit : int, optional
        Most items to return.
    """

    collections: tuple[str, ...] = ()
    bbox: BBox | None = None
    geometry: str | None = None
    period: Period | None = None
    ids: tuple[str, ...] = ()
    max_cloud: float | None = None
    filter: str | None = None
    place: str | None = None
    limit: int | None = None
    theme: str | None = None
    platform: tuple[str, ...] = ()
    instrument: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()

    @property
    def token(self) -> str:
        """A name for the question that depends on nothing but its content."""
        return content_token(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The question as plain JSON values, without what was not asked."""
        values: dict[str, Any] = {
            "collections": list(self.collections) or None,
            "bbox": list(self.bbox.as_tuple()) if self.bbox else None,
            "geometry": json.loads(self.geometry) if self.geometry else None,
            "time": self.period.as_stac() if self.period else None,
            "ids": list(self.ids) or None,
            "max_cloud": self.max_cloud,
            "filter": self.filter,
            "place": self.place,
            "theme": self.theme,
            "platform": list(self.platform) or None,
            "instrument": list(self.instrument) or None,
            "where": write_where(self.where) or None,
            "limit": self.limit,
        }
        return {key: value for key, value in values.items() if value is not None}

    def to_json(self) -> str:
        """The question as canonical JSON text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The question that ``to_json`` wrote; a place without box and a theme without collections are looked up.

        Raises
        ------
        BadRequest
            For text that is not such a document.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as exc:
            raise BadRequest(f"Query: the text is not JSON ({exc}). Give what Query.to_json() wrote.") from exc
        if not isinstance(values, dict):
            raise BadRequest(f"Query: found {type(values).__name__}, expected an object as Query.to_json() writes it.")
        box = values.pop("bbox", None)
        place = values.pop("place", None) if box else None
        theme = values.pop("theme", None) if values.get("collections") else None
        try:
            query = make_query(**values, bbox=BBox(*box) if box else None)
        except TypeError as exc:
            raise BadRequest(f"Query: not a document of Query.to_json() ({exc}).") from exc
        return replace(  # type: ignore[return-value]
            query,
            place=place if _names_box(place, query.bbox) else query.place,
            theme=theme if _names_collections(theme, query.collections) else query.theme,
        )

    def to_code(self) -> str:
        """One line of Python that asks the same question: ``el.search("…", …)``."""
        asked: dict[str, Any] = {k: v for k, v in self.to_dict().items() if k != "collections"}
        if "place" in asked:
            asked.pop("bbox", None)
        if self.bbox and self.bbox.west > self.bbox.east and "bbox" in asked:
            asked["bbox"] = self.bbox
        if "where" in asked:
            asked["where"] = {name: _pairs_code(pairs) for name, pairs in asked["where"].items()}
        parts = [] if self._is_all_of_theme() else [repr(c) for c in self.collections]
        parts += [f"{key}={_code(v)}" for key, v in asked.items()]
        return f"el.search({', '.join(parts)})"

    def to_cql2(self) -> str | None:
        """``filter`` and ``where`` as one CQL2 text, for catalogues that implement the Filter Extension."""
        parts = [f"({self.filter})"] if self.filter and self.where else [self.filter] if self.filter else []
        return " AND ".join([*parts, *(condition.as_cql2() for condition in self.where)]) or None

    def keeps(self, document: Mapping[str, Any]) -> bool:
        """Whether a STAC Item answers the question, whatever its catalogue thinks of it.

        Everything is checked but ``filter`` and ``limit``. An item that states no cloud cover is kept; one that states
        no place, platform, instrument or property is not, where that was asked for and its collection's descriptor does
        not tell either.

        Raises
        ------
        BadRequest, ValueError
            For a document whose times or box cannot be read.
        """
        return keeps(self, document)

    def without(self, name: str) -> "Query":
        """The same question with one filter left out; without ``theme``, all collections are searched."""
        empty = {f.name: f.default for f in fields(self)}
        gone: dict[str, Any] = {name: empty[name]}
        if name == "bbox":
            gone["place"] = None
        if name == "collections" or (name == "theme" and self._is_all_of_theme()):
            gone |= {"theme": None, "collections": ()}
        return replace(self, **gone)

    def _is_all_of_theme(self) -> bool:
        return self.theme is not None and self.collections == _resolve_theme(self.theme)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>"
            for k, v in self.to_dict().items()
        )
        return f"<table><caption>Query {self.token}</caption>{rows}</table>"


def _code(value: Any) -> str:
    if isinstance(value, BBox):
        return f"el.types.{value!r}"
    return repr(tuple(value) if isinstance(value, list) else value)


def _pairs_code(pairs: list[list[Any]]) -> Any:
    several = [tuple(pair) for pair in pairs]
    return several[0] if len(several) == 1 else several


def _names_collections(theme: object, collections: tuple[str, ...]) -> bool:
    if not isinstance(theme, str):
        return False
    try:
        return set(collections) <= set(_resolve_theme(theme))
    except EarthlabError:  # a link may carry a word that this lab does not know; its collections say all
        return False


def _resolve_theme(word: str) -> tuple[str, ...]:
    from earthlab.catalog.themes import resolve_theme  # reads the thesauri's table: only where a theme is asked

    return resolve_theme(word)


def _names_box(place: object, box: BBox | None) -> bool:
    return isinstance(place, str) and box is not None and find_place(place) == box


def make_query(  # noqa: PLR0913 - the one public door: each word of a search is a keyword
    *names: str,
    collections: Sequence[str] = (),
    bbox: BBox | Sequence[float] | None = None,
    geometry: Any = None,
    place: str | None = None,
    time: Any = None,
    ids: Sequence[str] = (),
    max_cloud: float | None = None,
    filter: str | None = None,  # noqa: A002 - the standard's own word
    limit: int | None = None,
    theme: str | None = None,
    platform: str | Sequence[str] | None = None,
    instrument: str | Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
) -> Query:
    """The canonical question for what was typed; see `earthlab.search` for the words.

    Raises
    ------
    BadRequest
        For any word that cannot be understood, with what was expected instead.
    """
    given = [w for w, v in (("bbox", bbox), ("geometry", geometry), ("place", place)) if v is not None]
    if len(given) > 1:
        raise BadRequest(f"{' and '.join(given)} were given; they all say where. Give one of them.")
    named = _norm_names((*names, *_listed(collections, "collections")), "collection")
    return Query(
        collections=named if theme is None else _norm_theme(theme, named),
        bbox=resolve_place(place) if place is not None else None if bbox is None else norm_bbox(bbox),
        geometry=None if geometry is None else _norm_geometry(geometry),
        period=None if time is None else norm_period(time),
        ids=_norm_names(_listed(ids, "ids"), "ids"),
        max_cloud=None if max_cloud is None else _norm_cloud(max_cloud),
        filter=None if filter is None else _norm_filter(filter),
        place=place,
        limit=None if limit is None else _norm_limit(limit),
        theme=theme,
        platform=_norm_names(_listed(platform, "platform"), "platform"),
        instrument=_norm_names(_listed(instrument, "instrument"), "instrument"),
        where=() if where is None else parse_where(where),
    )


def _norm_theme(theme: object, named: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(theme, str) or not theme.strip():
        raise BadRequest(f"theme: found {theme!r}, expected a word such as 'neige' or 'snow', or a concept's address.")
    having = _resolve_theme(theme)
    both = tuple(name for name in named if name in having)
    if named and not both:
        raise BadRequest(f"theme: none of {', '.join(named)} has {theme!r}; those that have: {', '.join(having)}.")
    return both or having


def _listed(names: object, word: str) -> tuple[object, ...]:
    if names is None:
        return ()
    if isinstance(names, str):
        return (names,)
    if not isinstance(names, Iterable):
        raise BadRequest(f"{word}: found {names!r}, expected text or a list of texts.")
    return tuple(names)


def _norm_filter(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadRequest(f'filter: found {value!r}, expected CQL2 text such as "eo:cloud_cover < 20".')
    return value


def _norm_names(names: Sequence[object], word: str) -> tuple[str, ...]:
    for name in names:
        if not isinstance(name, str) or not name:
            raise BadRequest(f"{word}: found {name!r}, expected a name as text.")
    return tuple(dict.fromkeys(str(n) for n in names))


def _norm_cloud(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise BadRequest(f"max_cloud: found {value!r}, expected a percentage from 0 to 100.")
    return float(value)


def _norm_limit(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadRequest(f"limit: found {value!r}, expected a whole number of items, 1 or more.")
    return value


def _norm_geometry(value: Any) -> str:
    document = getattr(value, "__geo_interface__", value)
    if isinstance(document, Mapping) and document.get("type") == "Feature":
        document = document["geometry"]
    try:
        geom = shape(document)
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as exc:
        raise BadRequest(
            f"geometry: {type(value).__name__} is not a GeoJSON geometry or Feature, nor a shapely geometry ({exc})."
        ) from exc
    if geom.is_empty or not geom.is_valid:
        raise BadRequest(
            f"geometry: it is {shapely.is_valid_reason(geom)!r}. Mend it, for one with shapely.make_valid."
        )
    west, south, east, north = geom.bounds
    norm_bbox((west, south, east, north))
    return canonical_json(geom.__geo_interface__)
