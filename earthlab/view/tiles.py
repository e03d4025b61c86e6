"""Tiles of the web's maps: 256 pixels a side in Web Mercator (OGC WebMercatorQuad), of whatever is open."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Self

import matplotlib as mpl
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from PIL import Image

from earthlab.errors import BadRequest, did_you_mean
from earthlab.view.bands import OpenBands
from earthlab.view.colours import PNG, Array, Stretch, resolve_stretch
from earthlab.view.pixels import Cut

SIDE = 256
"""Pixels."""

CLOSEST = 24

CRS = "EPSG:3857"

DEFAULT = "viridis"
"""The colour map where none is named."""

_HALF_TURN = 20037508.342789244
"""From the Greenwich meridian to the 180th, in metres of Web Mercator."""

_TOGETHER = 16
"""Tiles along a side of the grid that they are read on: what is warped, and kept for the next, is as large as that."""


_QUICK = 1
"""How zlib packs natural colours: what it would save beyond is little, and takes longer than all the rest."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: zoom, column from the 180th meridian eastward, row from the north.

    Raises
    ------
    BadRequest
        Where there is no such tile.
    """

    z: int
    x: int
    y: int

    def __post_init__(self) -> None:
        if not 0 <= self.z <= CLOSEST:
            raise BadRequest(f"tile: zoom {self.z} was asked for, 0 to {CLOSEST} are there.")
        last = 2**self.z - 1
        if not (0 <= self.x <= last and 0 <= self.y <= last):
            raise BadRequest(f"tile: at zoom {self.z}, x and y go from 0 to {last}; found x={self.x}, y={self.y}.")

    @property
    def resolution(self) -> float:
        """Metres of Web Mercator along a pixel's side."""
        return _HALF_TURN / (SIDE // 2) / float(1 << self.z)

    @property
    def geobox(self) -> GeoBox:
        """Its grid."""
        return self.cut.grid

    @property
    def cut(self) -> Cut:
        """Its grid, as a part of one that it shares with its neighbours."""
        (across, x), (down, y) = divmod(self.x, _TOGETHER), divmod(self.y, _TOGETHER)
        step, side = self.resolution, SIDE * _TOGETHER
        transform = Affine(step, 0, -_HALF_TURN + across * side * step, 0, -step, _HALF_TURN - down * side * step)
        rows, columns = (slice(at * SIDE, (at + 1) * SIDE) for at in (y, x))
        return Cut(GeoBox((side, side), transform, CRS), rows, columns)


@dataclass(frozen=True, slots=True)
class Style:
    """Which colour a value has.

    Attributes
    ----------
    colormap : str
        Of matplotlib; not used for three bands, which are red, green and blue.
    low, high : float, optional
        The values at its ends; by default the 2nd and 98th percentile of the step that is drawn.

    Raises
    ------
    BadRequest
        For a colour map that there is not, or ends that are no numbers in their order.
    """

    colormap: str = DEFAULT
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.colormap not in mpl.colormaps:
            raise BadRequest(f"colormap: {self.colormap!r} is not known. {did_you_mean(self.colormap, mpl.colormaps)}")
        ends = [end for end in (self.low, self.high) if end is not None]
        if not all(map(math.isfinite, ends)) or ends != sorted(ends):
            raise BadRequest(f"low, high: found {self.low} and {self.high}, expected numbers, low below high.")

    @classmethod
    def parse(cls, words: Mapping[str, str]) -> Self:
        """The style of the words of an address: ``colormap``, ``low`` and ``high``, each of which may be missing.

        Raises
        ------
        BadRequest
            As the style itself does.
        """
        ends = {name: _parse_number(name, text) for name in ("low", "high") if (text := words.get(name))}
        return cls(words.get("colormap") or DEFAULT, **ends)


def _parse_number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as exc:
        raise BadRequest(f"{name}: found {text[:40]!r}, expected a number.") from exc


def render_tile(layer: OpenBands, tile: Tile, style: Style | None = None, *, step: int = -1) -> bytes:
    """A picture of one step on one tile.

    Parameters
    ----------
    layer : OpenBands
        One band, or three for red, green and blue.
    tile : Tile
        Where.
    style : Style, optional
        In which colours; those of its defaults that follow from the values take a look at the whole step.
    step : int
        Which of the layer's steps; by default the last.

    Returns
    -------
    bytes
        A PNG of 256 by 256 pixels: of each the nearest value to its centre, transparent where there is no observation.
        What a plan or a store has from afar comes from overviews. The picture does not depend on the tile's borders.

    Raises
    ------
    BadRequest
        For two bands or more than three, or where nothing at all was observed and the style does not say its ends.
    AskLess
        Where the tile takes too much.
    ReadFault
        Where nothing could be read.
    """
    count = len(layer.names)
    if count not in {1, 3}:
        raise BadRequest(f"band: {count} bands were named, expected one, or three for red, green and blue.")
    chosen = style or Style()
    values = layer.on_grid(step, tile.cut)
    if values is None or not np.isfinite(values).any():
        return render_nothing()
    stretch = choose_stretch(layer, step, chosen)
    return _paint_natural(values, stretch) if count == 3 else _paint(values[0], stretch, chosen.colormap)


def choose_stretch(layer: OpenBands, step: int, style: Style) -> Stretch:
    """The ends of a style; those that it leaves open are the 2nd and 98th percentile of a small picture of the step.

    Raises
    ------
    BadRequest
        Where they are open and nothing was observed.
    """
    known = style.low is not None and style.high is not None
    return resolve_stretch(np.zeros(0) if known else layer.sample(step), style.low, style.high)


@cache
def render_nothing() -> bytes:
    """A PNG of a tile on which there is nothing."""
    return _png(Image.new("RGBA", (SIDE, SIDE)), **PNG)


def _paint(values: Array, stretch: Stretch, colormap: str) -> bytes:
    colours = _palette(colormap)
    steps = len(colours) - 1
    with np.errstate(invalid="ignore", over="ignore"):
        at = np.clip((values - stretch.low) / (stretch.high - stretch.low) * steps, 0, steps - 1)
    seen = np.isfinite(values)
    image = Image.fromarray(np.where(seen, np.nan_to_num(at) + 1, 0).astype("uint8"))
    image.putpalette(colours.tobytes())
    return _png(image, transparency=0, **PNG)


@lru_cache(maxsize=64)
def _palette(colormap: str) -> Array:
    """Red, green and blue of nothing, and of the steps of a colour map: as many as a picture of bytes has room for."""
    colours = mpl.colormaps[colormap]
    steps = colours(np.linspace(0, 1, min(colours.N, 255)), bytes=True)[:, :3]
    return np.concatenate([np.zeros((1, 3), "uint8"), steps])


def _paint_natural(values: Array, stretch: Stretch) -> bytes:
    seen = np.isfinite(values).all(axis=0)
    shares = np.clip((np.nan_to_num(values) - stretch.low) / (stretch.high - stretch.low), 0, 1)
    channels = (np.moveaxis(shares, 0, -1) * 255).round().astype("uint8")
    if seen.all():
        return _png(Image.fromarray(channels), compress_level=_QUICK)
    return _png(Image.fromarray(np.dstack([channels, seen * np.uint8(255)])), compress_level=_QUICK)


def _png(image: Image.Image, **words: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **words)
    return buffer.getvalue()
