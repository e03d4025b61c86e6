"""Small real scenes: GeoTIFF files written at run time, and the STAC documents that describe them.

The same call writes the same bytes. Nothing here is read by the lab itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import transform_bounds

from earthlab.catalog import Item, ItemSet, norm_item

Array = np.ndarray[Any, np.dtype[Any]]

CORNER = (300_000.0, 4_900_000.0)
"""Upper left corner of the first pixel, in metres of UTM zone 31 north."""

LATTICE = Affine(10, 0, CORNER[0], 0, -10, CORNER[1])
"""The usual grid of a scene: 10 m, north up."""


@dataclass(frozen=True)
class RasterFile:
    """What a GeoTIFF shall hold: ``values`` has axes (band,) row, column; the other words are those of GDAL."""

    values: Array
    transform: Affine = LATTICE
    crs: str | None = "EPSG:32631"
    nodata: float | None = None
    overviews: tuple[int, ...] = ()
    mask: Array | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: {"tiled": True, "blockxsize": 256, "blockysize": 256})

    @property
    def layers(self) -> Array:
        """The values with their band axis."""
        return self.values if self.values.ndim == 3 else self.values[None]


def write_raster(path: Path, raster: RasterFile) -> Path:
    """The path of a GeoTIFF that holds the raster; folders are made."""
    layers = raster.layers
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": layers.shape[0], "height": layers.shape[1], "width": layers.shape[2], "dtype": layers.dtype}
    place = {"crs": raster.crs, "transform": raster.transform} if raster.crs else {}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", nodata=raster.nodata, **shape, **place, **raster.options) as target,
    ):
        target.write(layers)
        if raster.mask is not None:
            target.write_mask(raster.mask)
        if raster.overviews:
            target.build_overviews(list(raster.overviews), Resampling.average)
    return path


@dataclass(frozen=True)
class SceneBand:
    """One asset of a scene. ``nodata``, ``scale`` and ``offset`` are what the item states; the file states its own."""

    file: RasterFile
    common_name: str | None = None
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None


def write_scene(
    folder: Path,
    name: str,
    bands: Mapping[str, SceneBand | Array],
    *,
    time: str = "2018-07-08T10:50:00Z",
    collection: str = "essai",
    **properties: Any,
) -> dict[str, Any]:
    """A STAC 1.1 Item whose assets are files of ``folder``, written now.

    Parameters
    ----------
    folder : Path
        Where the GeoTIFF files go.
    name : str
        The item's id, and the beginning of the files' names.
    bands : mapping
        Asset key to band; a bare array stands for a band of that common name on the usual grid.
    time, collection : str
        The item's date and collection.
    **properties
        Further properties of the item.
    """
    whole = {
        key: band if isinstance(band, SceneBand) else SceneBand(RasterFile(band), key) for key, band in bands.items()
    }
    assets = {key: _asset(write_raster(folder / f"{name}-{key}.tif", b.file), b) for key, b in whole.items()}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": collection,
        "bbox": _box([band.file for band in whole.values()]),
        "geometry": None,
        "properties": {"datetime": time, **properties},
        "assets": assets,
        "links": [],
    }


def scene_items(documents: Iterable[Mapping[str, Any]]) -> ItemSet:
    """The documents as a search would return them, in order of time."""
    items: list[Item] = sorted((norm_item(d) for d in documents), key=lambda item: (item.moment, item.id))
    return ItemSet(tuple(items))


def _asset(path: Path, band: SceneBand) -> dict[str, Any]:
    stated = {"nodata": band.nodata, "raster:scale": band.scale, "raster:offset": band.offset}
    named = {"eo:common_name": band.common_name} if band.common_name else {}
    tables = [{"name": f"{path.stem}-{at}"} for at in range(len(band.file.layers))]
    return {
        "href": str(path),
        "type": "image/tiff; application=geotiff",
        "roles": ["data"],
        "data_type": str(band.file.layers.dtype),
        "bands": [{**tables[0], **named}, *tables[1:]],
        **({"proj:code": band.file.crs} if band.file.crs else {}),
        "proj:shape": list(band.file.layers.shape[1:]),
        "proj:transform": list(band.file.transform)[:6],
        **{key: value for key, value in stated.items() if value is not None},
    }


def _box(files: Sequence[RasterFile]) -> list[float]:
    boxes = [_degrees(f) for f in files if f.crs]
    if not boxes:
        return []
    sides = np.array(boxes)
    return [*sides[:, :2].min(axis=0).tolist(), *sides[:, 2:].max(axis=0).tolist()]


def _degrees(file: RasterFile) -> tuple[float, float, float, float]:
    rows, columns = file.layers.shape[1:]
    corners = [file.transform * corner for corner in ((0, 0), (columns, 0), (0, rows), (columns, rows))]
    easts, norths = zip(*corners, strict=True)
    box: tuple[float, float, float, float] = transform_bounds(
        file.crs, "EPSG:4326", min(easts), min(norths), max(easts), max(norths)
    )
    return box
