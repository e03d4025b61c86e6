"""What is drawn and counted of a published cube: apart from the doors, for it loads the libraries of the science."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from earthlab.errors import BadRequest, ReadFault
from earthlab.services.tiles.cubes import Cubes, PublishedCube
from earthlab.types import canonical_json
from earthlab.view.series import compute_statistics, read_series
from earthlab.view.tiles import Style, Tile, render_tile

VERSION = 1
"""Part of every tag: raised when the same question would give another picture."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a cube, before it is drawn."""

    cube: PublishedCube
    bands: tuple[str, ...]
    time: str
    style: Style
    tile: Tile

    @property
    def tag(self) -> str:
        """The entity tag: another one for whatever could give another picture."""
        tile, style = self.tile, self.style
        asked = [self.bands, self.time, style.colormap, style.low, style.high, tile.z, tile.x, tile.y]
        said = canonical_json([VERSION, self.cube.token, self.cube.generation, *asked])
        return f'"{hashlib.sha256(said.encode()).hexdigest()[:32]}"'


def plan_picture(
    cube: PublishedCube, bands: Sequence[str], time: str, style: Mapping[str, str], place: Sequence[int]
) -> Picture:
    """A picture, checked.

    Parameters
    ----------
    cube : PublishedCube
        Of which.
    bands : sequence of str
        One, or three for red, green and blue.
    time : str
        One of the cube's.
    style : mapping
        The words of `earthlab.view.tiles.Style.parse`.
    place : sequence of int
        Zoom, column and row of the tile.

    Raises
    ------
    BadRequest
        For bands, a time, colours or a tile that there are not.
    """
    tile, colours = Tile(*place), parse_style(bands, style)
    if len(bands) not in {1, 3}:
        raise BadRequest(f"band: {len(bands)} bands were named, expected one, or three for red, green and blue.")
    cube.layer(bands).find_step(time)
    return Picture(cube, tuple(bands), time, colours, tile)


def parse_style(bands: Sequence[str], words: Mapping[str, str]) -> Style:
    """The style of some words; three bands have no colour map, whatever it is called.

    Raises
    ------
    BadRequest
        As `earthlab.view.tiles.Style.parse` does.
    """
    return Style.parse({name: word for name, word in words.items() if len(bands) == 1 or name != "colormap"})


def split_bands(cube: PublishedCube, text: str) -> tuple[str, ...]:
    """The bands that a text names: one, or several with commas between."""
    return (text,) if text in cube.bands else tuple(text.split(","))


def draw(cubes: Cubes, picture: Picture) -> bytes:
    """The PNG of a picture.

    Raises
    ------
    AskLess
        Where it takes too much.
    ReadFault
        Where the cube is not whole, or has gone.
    """

    def render(cube: PublishedCube) -> bytes:
        layer = cube.layer(picture.bands)
        return render_tile(layer, picture.tile, complete_style(cube, picture), step=layer.find_step(picture.time))

    return _following(cubes, picture.cube, render)


def complete_style(cube: PublishedCube, picture: Picture) -> Style:
    """The style with both of its ends: those left open are the cube's, so that dates can be compared."""
    style = picture.style
    if style.low is not None and style.high is not None:
        return style
    known = cube.style(picture.bands)
    low, high = (known.low if style.low is None else style.low), (known.high if style.high is None else style.high)
    return replace(style, low=low, high=high)


def tell_series(cubes: Cubes, cube: PublishedCube, band: str, lon: float, lat: float) -> dict[str, Any]:
    """Times, values and unit of one pixel, as of a layer that is open in a kernel; None where nothing was observed.

    Raises
    ------
    NothingFound
        Outside of the cube.
    ReadFault
        Where the cube is not whole, or has gone.
    """
    found = _following(cubes, cube, lambda now: read_series(now.layer([band]), lon, lat))
    return {"times": list(found.times), "values": list(found.values), "unit": found.unit}


def tell_statistics(cubes: Cubes, cube: PublishedCube, band: str, geometry: Mapping[str, Any]) -> dict[str, Any]:
    """What an area holds, a row a date, as of a layer that is open in a kernel; ``area`` is in square kilometres.

    Raises
    ------
    BadRequest, NothingFound, AskLess
        As `earthlab.view.series.compute_statistics` does.
    ReadFault
        Where the cube is not whole, or has gone.
    """
    rows = _following(cubes, cube, lambda now: compute_statistics(now.layer([band]), geometry))
    told = [
        {"time": label, **{name: _finite(value) for name, value in row.items() if name != "area_km2"}}
        for label, row in zip(cube.times, rows, strict=True)
    ]
    return {"unit": cube.units[cube.bands.index(band)], "area": rows[0]["area_km2"], "rows": told}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _following(cubes: Cubes, cube: PublishedCube, ask: Callable[[PublishedCube], T]) -> T:
    """The answer of a cube; of its new generation, where it was built anew meanwhile."""
    cubes.note_use(cube)
    try:
        return ask(cube)
    except ReadFault:
        cubes.forget(cube.token)
        now = cubes.find(cube.token)
        if (now.access, now.generation) == (cube.access, cube.generation):
            raise
        return ask(now)
