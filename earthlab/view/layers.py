"""What a map is made of: pictures of cubes, and the rows of a table as points, lines and areas."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from odc.geo.geobox import GeoBox

from earthlab.errors import BadRequest, did_you_mean
from earthlab.view.colours import Array, Stretch, resolve_stretch
from earthlab.view.figures import COLOURS

_MISSING = "#BBBBBB"


@dataclass(frozen=True, slots=True)
class Picture:
    """A layer on a grid of the web's Mercator projection: its colours, of natural ones a third of what values take."""

    colours: Array
    """As `paint` gives them."""
    seen: tuple[float, float]
    """The lowest and the highest of the values."""
    geobox: GeoBox
    stretch: Stretch
    colormap: str | None
    """None for natural colours."""
    caption: str
    unit: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class Shapes:
    """Points, lines or areas in longitude and latitude, each with its colour."""

    frame: gpd.GeoDataFrame
    colours: tuple[str, ...]
    caption: str
    unit: str = ""
    stretch: Stretch | None = None
    colormap: str | None = None
    categories: Mapping[str, str] = field(default_factory=dict)
    """Colours by name, where names are shown."""
    simulated: bool = False


Layer = Picture | Shapes


def norm_shapes(
    table: gpd.GeoDataFrame,
    column: str | None,
    ends: tuple[float | None, float | None],
    colormap: str,
    title: str | None,
) -> Shapes:
    """The rows of a table that have a place, with their colours.

    Raises
    ------
    BadRequest
        Without CRS or places, for an unknown column or colour map, or for more than eight names.
    """
    if table.crs is None:
        raise BadRequest("show: the table has no CRS. Say which: table.set_crs('EPSG:4326').")
    placed = table[table.geometry.notna() & ~table.geometry.is_empty].to_crs("EPSG:4326").reset_index(drop=True)
    if placed.empty:
        raise BadRequest(f"show: none of {len(table)} rows has a place. Take a table with coordinates.")
    caption = title or column or "lieux / places"
    if column is None:
        return Shapes(placed, (COLOURS[0],) * len(placed), caption)
    if column not in placed:
        raise BadRequest(f"show: the table has no column {column!r}. {did_you_mean(column, map(str, placed.columns))}")
    values = placed[column]
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy("float64", na_value=np.nan)
        stretch = resolve_stretch(numbers, *ends)
        unit = str(table.attrs.get("units", {}).get(column, ""))
        return Shapes(placed, _by_number(numbers, stretch, colormap), caption, unit, stretch, colormap)
    categories = _categories(values, column)
    colours = tuple(_MISSING if pd.isna(value) else categories[str(value)] for value in values)
    return Shapes(placed, colours, caption, categories=categories)


def describe_layer(layer: Layer) -> str:
    """What is shown, in one line that is the same on every machine."""
    if isinstance(layer, Picture):
        low, high = layer.seen
        return f"{layer.caption} · {low:.3g} … {high:.3g} {layer.unit}".rstrip()
    extent = f" · {layer.stretch.low:.3g} … {layer.stretch.high:.3g} {layer.unit}".rstrip() if layer.stretch else ""
    names = f" · {', '.join(layer.categories)}" if layer.categories else ""
    return f"{layer.caption} · {len(layer.frame)}{extent}{names}"


def _by_number(numbers: Array, stretch: Stretch, colormap: str) -> tuple[str, ...]:
    if colormap not in mpl.colormaps:
        raise BadRequest(f"colormap: {colormap!r} is not known. {did_you_mean(colormap, mpl.colormaps)}")
    shares = np.clip((numbers - stretch.low) / (stretch.high - stretch.low), 0, 1)
    colours = mpl.colormaps[colormap](np.nan_to_num(shares))
    return tuple(to_hex(each) if np.isfinite(share) else _MISSING for each, share in zip(colours, shares, strict=True))


def _categories(values: "pd.Series", column: str) -> Mapping[str, str]:
    names = list(dict.fromkeys(str(value) for value in values.dropna()))
    if len(names) > len(COLOURS):
        raise BadRequest(
            f"show: {column!r} has {len(names)} names, at most {len(COLOURS)} can be told apart. Group them first."
        )
    return dict(zip(names, COLOURS, strict=False))
