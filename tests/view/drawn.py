"""Constructed layers for pictures, and what a picture of them must be, found without the code under test."""

import io

import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from PIL import Image
from pyproj import Transformer

from earthlab.view.tiles import Tile

HALF_TURN = 20037508.342789244
PLACES = {
    "EPSG:32631": (300_000.0, 4_900_000.0),
    "EPSG:2154": (560_000.0, 6_280_000.0),
    "EPSG:2975": (340_000.0, 7_670_000.0),
    "EPSG:5490": (690_000.0, 1_800_000.0),
}
"""A corner in Lambert-93 and three UTM zones: the mainland, La Réunion, the Antilles."""


def lattice(crs, pixel=10.0):
    x, y = PLACES[crs]
    return Affine(pixel, 0, x, 0, -pixel, y)


def layer(values, crs="EPSG:32631", *, dates=None, pixel=10.0, name="essai", **attrs):
    values = np.asarray(values)
    geobox = GeoBox(values.shape[-2:], lattice(crs, pixel), crs)
    coords = {**xr_coords(geobox), **({"time": pd.to_datetime(dates)} if dates is not None else {})}
    dims = ("time", "y", "x") if values.ndim == 3 else ("y", "x")
    return xr.DataArray(values, coords, dims, name, {"grid_mapping": "spatial_ref", **attrs})


def tile_at(zoom, crs, x, y):
    """The tile over a place of a CRS."""
    east, north = Transformer.from_crs(crs, "EPSG:3857", always_xy=True).transform(x, y)
    side = 2 * HALF_TURN / 2**zoom
    return Tile(zoom, int((east + HALF_TURN) // side), int((HALF_TURN - north) // side))


def tile_over(array, zoom, *, down=0.5, across=0.5):
    """The tile over a place of an array, as shares of its rows and columns."""
    geobox = array.odc.geobox
    rows, columns = geobox.shape
    return tile_at(zoom, str(geobox.crs), *(geobox.transform @ (columns * across, rows * down)))


def expected_tile(array, tile):
    """The nearest pixel to each centre, by PROJ; NaN outside. And which pixels no rounding can change."""
    geobox, side = array.odc.geobox, 2 * HALF_TURN / 2**tile.z
    centres = (np.arange(256) + 0.5) * side / 256
    x, y = np.meshgrid(tile.x * side - HALF_TURN + centres, HALF_TURN - tile.y * side - centres)
    column, row = ~geobox.transform @ Transformer.from_crs("EPSG:3857", geobox.crs, always_xy=True).transform(x, y)
    inside = (row >= 0) & (row < geobox.shape.y) & (column >= 0) & (column < geobox.shape.x)
    values = np.full((256, 256), np.nan)
    values[inside] = array.values[row[inside].astype(int), column[inside].astype(int)]
    sure = (np.abs(row - row.round()) > 2e-3) & (np.abs(column - column.round()) > 2e-3)
    return values, sure


def picture(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
