"""The scenes that every contender reads: constructed, Sentinel-2-like, deflate COGs of 512² blocks; no observation."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from scipy.ndimage import gaussian_filter

CORNER = (300_000.0, 4_900_020.0)
PIXEL = 10.0
CRS = "EPSG:32631"
KEEP = (4, 5, 6, 7, 11)
SCALE = 1e-4
ASSETS = {"B04": "red", "B08": "nir", "SCL": None}


def make_scenes(folder: Path, *, dates: int = 24, side: int = 2048) -> list[dict[str, Any]]:
    """STAC 1.0 items with local hrefs; files that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / f"items-{dates}-{side}.json"
    if not listing.exists():
        documents = [_write_date(folder, at, dates, side) for at in range(dates)]
        listing.write_text(json.dumps(documents))
    return list(json.loads(listing.read_text()))


def at_address(documents: list[dict[str, Any]], folder: Path, url: str) -> list[dict[str, Any]]:
    """The same items behind an HTTP server of the folder."""
    return list(json.loads(json.dumps(documents).replace(str(folder), url.rstrip("/"))))


def _write_date(folder: Path, at: int, dates: int, side: int) -> dict[str, Any]:
    rng = np.random.default_rng(at)
    relief = gaussian_filter(np.random.default_rng(99).normal(size=(side, side)), 12)
    relief /= relief.std()
    season = 0.5 + 0.5 * np.sin(2 * np.pi * at / dates)
    noise = rng.normal(size=(2, side, side))
    clouds = gaussian_filter(rng.normal(size=(side // 8, side // 8)), 6)
    cloudy = np.kron(clouds > 0.5 * clouds.std(), np.ones((8, 8), bool))
    layers = {
        "B04": np.clip(900 + 200 * relief - 300 * season + 30 * noise[0], 1, 10_000).astype("uint16"),
        "B08": np.clip(2500 + 500 * relief + 1500 * season + 60 * noise[1], 1, 12_000).astype("uint16"),
        "SCL": np.where(cloudy, 9, np.where(relief > 0.5, 5, 4)).astype("uint8"),
    }
    name = f"scene-{side}-{at:03d}"
    for key, values in layers.items():
        _write_cog(folder / f"{name}-{key}.tif", values)
    return _item(folder, name, datetime(2020, 1, 1, 10, 30, tzinfo=UTC) + timedelta(days=5 * at), side)


def _write_cog(path: Path, values: np.ndarray) -> None:
    rows, columns = values.shape
    profile = {"driver": "COG", "width": columns, "height": rows, "count": 1, "dtype": values.dtype, "crs": CRS}
    packing = {"compress": "DEFLATE", "predictor": "NO" if values.dtype == "uint8" else "YES", "blocksize": 512}
    with rasterio.open(path, "w", transform=from_origin(*CORNER, PIXEL, PIXEL), nodata=0, **profile, **packing) as out:
        out.write(values, 1)


def _item(folder: Path, name: str, moment: datetime, side: int) -> dict[str, Any]:
    left, top = CORNER
    box = transform_bounds(CRS, "EPSG:4326", left, top - side * PIXEL, left + side * PIXEL, top)
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
        ],
        "id": name,
        "collection": "sentinel-2-l2a",
        "bbox": list(box),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "proj:epsg": 32631,
            "proj:shape": [side, side],
            "proj:transform": [PIXEL, 0.0, left, 0.0, -PIXEL, top],
        },
        "links": [],
        "assets": {key: _asset(folder / f"{name}-{key}.tif", key) for key in ASSETS},
    }


def _asset(path: Path, key: str) -> dict[str, Any]:
    common = ASSETS[key]
    band = {"data_type": "uint8" if key == "SCL" else "uint16", "nodata": 0}
    return {
        "href": str(path),
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
        "eo:bands": [{"name": key, **({"common_name": common} if common else {})}],
        "raster:bands": [{**band, **({} if key == "SCL" else {"scale": SCALE, "offset": 0.0, "unit": "1"})}],
    }
