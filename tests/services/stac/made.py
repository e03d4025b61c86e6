"""Made items with every queryable, many of them missing here and there, and a catalogue of them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import shapely

from earthlab.services.stac.geoparquet import write_items

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
PLATFORMS = ("sentinel-2a", "Sentinel-2B", "SPOT_5", "Pléiades 50%", None)


def made_item(at: int) -> dict[str, Any]:
    west, south = (at * 37) % 340 - 170.0, (at * 13) % 150 - 75.0
    box = shapely.box(west, south, west + 8, south + 8)
    if at % 4 == 0:
        box = shapely.Polygon([(west, south), (west + 8, south), (west, south + 8)])
    begins = EPOCH + timedelta(days=at % 20)
    times: dict[str, Any] = {"datetime": text(begins)}
    if at % 5 == 0:
        ends = begins + timedelta(days=at % 4)
        times = {"datetime": None, "start_datetime": text(begins), "end_datetime": text(ends)}
    said = {
        **times,
        "platform": PLATFORMS[at % 5],
        "eo:cloud_cover": None if at % 7 == 0 else (at * 17) % 101,
        "gsd": (10, 20, None, 60)[at % 4],
        "instruments": (["msi"], ["hrg", "msi"], None, [])[at % 4],
        "sat:relative_orbit": at % 143 if at % 3 else None,
        "created": text(begins + timedelta(days=30)) if at % 6 else None,
        "grid:code": f"MGRS-31TC{'JHGF'[at % 4]}",
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": f"item-{at:03d}",
        "collection": ("one", "two", "l'autre")[at % 3],
        "geometry": json.loads(shapely.to_geojson(box)),
        "bbox": list(box.bounds),
        "properties": {name: value for name, value in said.items() if value is not None or name == "datetime"},
        "links": [],
        "assets": {"data": {"href": f"https://data.example/{at}.tif"}},
    }


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def collection(name: str) -> dict[str, Any]:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}}
    said = {"title": name, "description": name, "license": "CC0-1.0", "links": [], "extent": extent}
    return {"type": "Collection", "stac_version": "1.1.0", "id": name, **said}


MADE = [made_item(at) for at in range(140)]


def write_made(folder: Path, items: Sequence[dict[str, Any]] = MADE) -> Path:
    """A catalogue of some items, by default of `MADE`."""
    folder.mkdir(exist_ok=True)
    write_items(folder / "items.parquet", items)
    (folder / "collections.json").write_text(json.dumps([collection(name) for name in ("one", "two", "l'autre")]))
    (folder / "COMPLETE").touch()
    return folder
