"""The constructed items of ``make bench-stac``: a grid of tiles on Earth, each seen every 29 days.

Nothing here was observed: places, clouds and checksums come from a seeded generator and say so in the collection's id.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

COLLECTION = "constructed-bench"
COLUMNS, ROWS = 200, 50
TILES = COLUMNS * ROWS
REVISIT = 29
EPOCH = datetime(2017, 1, 1, tzinfo=UTC)
BATCH = 20_000
_STRIDE = 15_485_863
"""A prime: its multiples visit every place once."""
BANDS = (("B02", "blue"), ("B03", "green"), ("B04", "red"), ("B08", "nir"), ("B11", "swir16"), ("SCL", "classes"))


def make_documents(count: int, *, sorted_by_time: bool) -> Iterator[dict[str, Any]]:
    """Items of 2 kB each, in the order of time, or in none."""
    for place in range(count):
        at = place if sorted_by_time else place * _STRIDE % count
        chance = random.Random(at)
        visit, tile = divmod(at, TILES)
        # Neighbours are seen on other days, as from an orbit.
        moment = EPOCH + timedelta(days=visit * REVISIT + tile * 7 % REVISIT, seconds=chance.randrange(86_400))
        yield _document(at, tile, moment.strftime("%Y-%m-%dT%H:%M:%SZ"), chance)


def write_lines(path: Path, count: int) -> None:
    """The items in no order as NDJSON; written once."""
    if path.exists():
        return
    making = path.with_suffix(".making")
    with making.open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(one, separators=(",", ":")) + "\n" for one in make_documents(count, sorted_by_time=False)
        )
    making.rename(path)


def write_table(path: Path, count: int, *, sorted_by_time: bool) -> None:
    """The items as stac-geoparquet, by rustac itself; written once."""
    if not path.exists():
        making = path.with_name(f"making-{path.name}")
        asyncio.run(_write_table(making, make_documents(count, sorted_by_time=sorted_by_time)))
        making.rename(path)


async def _write_table(path: Path, documents: Iterator[dict[str, Any]]) -> None:
    from rustac import GeoparquetWriter

    batches = iter(lambda: list(islice(documents, BATCH)), [])
    writer = await GeoparquetWriter.open(next(batches), str(path))
    for batch in batches:
        await writer.write(batch)
    await writer.finish()


def _document(at: int, tile: int, moment: str, chance: random.Random) -> dict[str, Any]:
    west, south = round(-180 + tile % COLUMNS * 360 / COLUMNS, 6), round(-55 + tile // COLUMNS * 130 / ROWS, 6)
    east, north = round(west + 1.2, 6), round(south + 1.2, 6)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    platform = "abc"[at % 3]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"],
        "id": f"constructed-{at:07d}",
        "collection": COLLECTION,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": moment,
            "created": moment,
            "platform": f"constructed-{platform}",
            "instruments": ["msi"],
            "gsd": 10,
            "eo:cloud_cover": round(chance.uniform(0, 100), 6),
            "sat:relative_orbit": 1 + tile % 143,
            "proj:code": f"EPSG:{32601 + tile % COLUMNS * 60 // COLUMNS}",
        },
        "links": [],
        "assets": {name: _asset(at, name, common, chance) for name, common in BANDS},
    }


def _asset(at: int, name: str, common: str, chance: random.Random) -> dict[str, Any]:
    return {
        "href": f"https://data.example/constructed/{at % 997:03d}/{chance.getrandbits(64):016x}/{name}.tif",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "title": f"{name}, {common}",
        "roles": ["data"],
        "bands": [{"name": name, "eo:common_name": common}],
    }
