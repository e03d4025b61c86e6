"""What a page asks, as a `Query`; and the items of an answer as short rows."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from earthlab_lab.schemas import AREA, BOX, COUNT, FLAG, NUMBER, Schema, listed, maybe, number, one_of, shape, text

if TYPE_CHECKING:
    from earthlab.catalog import Item, Query

MOST_ITEMS = 10_000
"""Rows that a page is given at most."""

_NAMES = listed(text(300, least=1), 1000)
QUESTION: Schema = shape(
    {},
    {
        "collections": _NAMES, "bbox": BOX, "geometry": AREA, "time": text(100, least=1), "ids": _NAMES,
        "max_cloud": number(0, 100), "filter": text(4000, least=1), "place": text(200, least=1),
        "theme": text(300, least=1), "platform": _NAMES, "instrument": _NAMES,
        "where": {"type": "object", "maxProperties": 50},
        "limit": {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS},
    },
)  # fmt: skip
"""A `Query` as its ``to_json`` writes it."""

ROW: Schema = shape(
    {
        "id": text(300), "collection": text(300), "endpoint": text(300), "start": text(40), "end": text(40),
        "bbox": maybe(BOX), "ring": maybe(listed(listed(NUMBER, 2, least=2), 65)), "platform": text(300),
        "instruments": listed(text(300), 20), "cloud": maybe(NUMBER), "licence": text(300), "title": text(300),
        "thumbnail": maybe(text(2000)), "simulated": FLAG,
    }
)  # fmt: skip
"""An item, short."""

_OUTCOME = shape(
    {
        "endpoint": text(300),
        "state": one_of("answered", "slow", "failed", "refused"),
        "items": COUNT,
        "seconds": NUMBER,
        "message": text(4000),
    }
)

_TITLE, _LONGEST_GEOMETRY, _MOST_CORNERS = 300, 200_000, 64


def parse_question(asked: Mapping[str, Any]) -> "Query":
    """The question of a page.

    Raises
    ------
    BadRequest
        For words that cannot be understood.
    """
    from earthlab.catalog import Query

    return Query.from_json(json.dumps(asked))


def render_row(item: "Item", endpoint: str) -> dict[str, Any]:
    """An item for a list and a map: names are cut where they are too long to read, areas to what a screen shows."""
    return {
        "id": item.id[:_TITLE],
        "collection": item.collection[:_TITLE],
        "endpoint": endpoint[:_TITLE],
        "start": item.start.isoformat(),
        "end": item.end.isoformat(),
        "bbox": list(item.bbox.as_tuple()) if item.bbox else None,
        "ring": _ring(item),
        "platform": str(item.platform or "")[:_TITLE],
        "instruments": [name[:_TITLE] for name in item.instruments[:20]],
        "cloud": item.cloud_cover,
        "licence": str(item.licence or "")[:_TITLE],
        "title": str(item.title or "")[:_TITLE],
        "thumbnail": item.thumbnail,
        "simulated": item.simulated,
    }


def _ring(item: "Item") -> list[list[float]] | None:
    """The outline of one area, where the box does not say as much."""
    if item.geometry is None or item.bbox is None or len(item.geometry) > _LONGEST_GEOMETRY:
        return None
    import shapely  # loads numpy

    try:
        area = shapely.from_geojson(item.geometry)
    except shapely.GEOSException:
        return None
    if not isinstance(area, shapely.Polygon) or item.bbox.west > item.bbox.east or not area.is_valid:
        return None
    if area.equals(shapely.box(*area.bounds)):
        return None
    west, south, east, north = area.bounds
    side = max(east - west, north - south)
    for simple in (area.simplify(side / 200), area.convex_hull.simplify(side / 30)):
        if isinstance(simple, shapely.Polygon) and len(simple.exterior.coords) <= _MOST_CORNERS:
            return [[round(x, 5), round(y, 5)] for x, y, *_ in simple.exterior.coords]
    return None


SEARCHED: Schema = {
    "oneOf": [
        shape({"rows": listed(ROW)}),
        shape({"outcome": _OUTCOME}),
        shape({"done": COUNT}),
        shape({"refused": {"type": "object"}}),
    ]
}
"""One line of an answer: rows as they come, what became of one endpoint, the end with the number of rows."""
