"""Arrays rendered as cloud-optimised GeoTIFFs, and the facts a STAC asset states about them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.warp import transform as transform_points

BLOCK = 256
_SHA256_MULTIHASH = "1220"  # the code of sha2-256 and the length of 32 bytes, in multihash notation


@dataclass(frozen=True, slots=True)
class Grid:
    """The grid of an image: where its pixels lie."""

    code: str
    """The coordinate reference system, as ``EPSG:32631``."""
    transform: tuple[float, float, float, float, float, float]
    """Pixel to ground, in the order of `affine.Affine`."""
    shape: tuple[int, int]
    """Rows, columns."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top, in the units of the system."""
        affine, (rows, columns) = Affine(*self.transform), self.shape
        left, top = affine * (0, 0)
        right, bottom = affine * (columns, rows)
        return (left, bottom, right, top)

    def ring(self) -> list[tuple[float, float]]:
        """The outline as a closed, counter-clockwise ring."""
        left, bottom, right, top = self.bounds
        return [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]


@dataclass(frozen=True, slots=True)
class BandKind:
    """How the numbers of a band are to be read, and what they are."""

    name: str
    dtype: str
    nodata: float | None
    """NaN for floats that say so themselves; None where every pixel has a value."""
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    """Of the physical values, as UDUNITS writes it; ``"1"`` for none."""
    title: str = ""
    """French / English; by default the name."""
    common_name: str | None = None
    wavelength: float | None = None
    """Of the band's centre, in micrometres."""
    classes: Mapping[int, tuple[str, str]] | None = None
    """Name and description (French / English) of each number, where the numbers are classes."""


def read_band(path: Path, code: str | None = None) -> tuple[npt.NDArray[Any], Grid]:
    """The first band of a raster as it is stored, and its grid: in the system it states, or in that of ``code``."""
    with rasterio.open(path) as source:
        return source.read(1), Grid(code or source.crs.to_string(), tuple(source.transform)[:6], source.shape)


def render_cog(pixels: npt.NDArray[Any], grid: Grid, kind: BandKind) -> bytes:
    """One band as a cloud-optimised GeoTIFF: deflate with a predictor, blocks of 256, overviews, nodata, scale."""
    profile = {
        "driver": "COG",
        "width": grid.shape[1],
        "height": grid.shape[0],
        "count": 1,
        "dtype": kind.dtype,
        "crs": CRS.from_string(grid.code),
        "transform": Affine(*grid.transform),
        "nodata": kind.nodata,
    }
    creation = {
        "compress": "DEFLATE",
        "predictor": "YES",
        "blocksize": BLOCK,
        "overview_resampling": "AVERAGE" if kind.classes is None else "NEAREST",
    }
    # In memory, for a full disk is then an ordinary OSError of ours and not a message of GDAL's.
    with MemoryFile(ext=".tif") as file:
        with file.open(**profile, **creation) as target:
            target.write(pixels, 1)
            target.set_band_description(1, kind.name)
            if kind.scale is not None:
                target.scales, target.offsets = (kind.scale,), (kind.offset or 0.0,)
        return bytes(file.getbuffer())


def file_facts(content: bytes) -> Mapping[str, str | int]:
    """Size and checksum of a file, as the STAC file extension writes them."""
    return {"file:size": len(content), "file:checksum": _SHA256_MULTIHASH + hashlib.sha256(content).hexdigest()}


def lonlat_polygon(ring: list[tuple[float, float]], code: str) -> dict[str, Any]:
    """The GeoJSON polygon, in longitude and latitude, of a closed ring in another system."""
    xs, ys = transform_points(CRS.from_string(code), CRS.from_epsg(4326), *zip(*ring, strict=True))
    corners = [[round(x, 7), round(y, 7)] for x, y in zip(xs, ys, strict=True)]
    return {"type": "Polygon", "coordinates": [corners]}


def polygon_bbox(polygon: Mapping[str, Any]) -> list[float]:
    """West, south, east, north of a GeoJSON polygon."""
    corners = np.asarray(polygon["coordinates"][0])
    return [*map(float, corners.min(axis=0)), *map(float, corners.max(axis=0))]
