"""The finished cubes of the lab's own store, found by their token and by nothing else, as layers that can be drawn.

Others than the lab's own code may write in a shared folder: nothing that a marker says is used before it was checked.
"""

import json
import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from earthlab.cube.plan import CubePlan, Encoding
from earthlab.cube.readers.window import Array
from earthlab.cube.shared.layout import MARKER, Marker, norm_token
from earthlab.cube.shared.levels import Level, plan_levels
from earthlab.errors import AskLess, BadRequest, EarthlabError, NothingFound, ReadFault, did_you_mean
from earthlab.rights import OPEN
from earthlab.services.tiles.shards import KeptChunks, StoredArray, chunks_a_shard
from earthlab.services.tiles.shelf import Shelf, read_whole
from earthlab.view.bands import RGB, OpenBands, label_steps
from earthlab.view.pixels import Cut, SlicedPixels, shrinkage
from earthlab.view.tiles import CLOSEST, Style, Tile, choose_stretch

LOOK_EVERY = 5.0
"""Seconds for which a look at the head of a cube holds."""

NOTE_EVERY = 60.0
"""Seconds between two notes in the store that a cube is used."""

MOST_CUBES = 32
"""That are known at a time."""

_LARGEST_HEAD = 64 * 1024
_LARGEST_MARKER = 8 * 2**20
_MOST_STORED = 2**22
"""Pixels of one date that one picture may need: their chunks hold other dates too."""

_MOST_DATES, _MOST_BANDS, _LONGEST_SIDE = 100_000, 1000, 10**7
_LONGEST_TEXT = 20_000
_MOST_SHARDS = 2**22
_MOST_CHUNKS_A_SHARD = 2**16
_LONGEST_CHUNK = 4 * 2**20

_GENERATION = re.compile(r"g-[0-9a-f]{16}")
_BAND = re.compile(r"(?!\.{1,2}$)[^/\0]{1,200}")
_CODE = re.compile(r"(EPSG|ESRI):\d{4,6}", re.ASCII | re.IGNORECASE)
_WKT = re.compile(r"\s*(PROJCRS|GEOGCRS|GEODCRS|PROJCS|GEOGCS)\[", re.IGNORECASE)
_OPENS_FILES = re.compile(r"PARAMETERFILE|GRIDS|\+", re.IGNORECASE)
_STORED = {"uint8", "int8", "uint16", "int16", "uint32", "int32"}
_MIDDLE = 128
_MOST_TOLD = 2000
"""Dates of a cube that a page is told, of more the last; and so it is with bands, of which it is told the first."""

_MOST_BANDS_TOLD = 100
_UNSOUND = (ArithmeticError, AttributeError, EarthlabError, LookupError, RuntimeError, TypeError, ValueError)
"""What comes of a marker that is none."""

_TRIED = 5
"""Of the last dates, to find one on which something was observed."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredPixels:
    """A band with its overviews: pictures from the level that has about their own pixels, numbers from the cube."""

    levels: tuple[SlicedPixels, ...]
    factors: tuple[int, ...]

    def on_grid(self, step: int, cut: Cut) -> Array | None:
        """The nearest pixels of one step.

        Raises
        ------
        AskLess
            From afar, of a large cube without overviews.
        """
        try:
            return self._fit(cut).on_grid(step, cut)
        except AskLess as exc:
            raise AskLess(
                "This cube is large and has no overviews: it was built before there were any. Zoom in, or have it "
                "evicted and built again with el.open(..., share=True)."
            ) from exc

    def within(self, steps: slice, rows: slice, columns: slice) -> Array:
        """The cube's own pixels."""
        return self.levels[0].within(steps, rows, columns)

    def sample(self, step: int) -> Array:
        """The whole step as a small picture, of the smallest level; the middle of what has none and is large."""
        try:
            return self.levels[-1].sample(step)
        except AskLess:
            rows, columns = (
                slice(max(0, length // 2 - _MIDDLE), length // 2 + _MIDDLE) for length in self.levels[0].grid.shape
            )
            return self.levels[0].within(slice(step, step + 1), rows, columns)

    def _fit(self, cut: Cut) -> SlicedPixels:
        """The smallest level that has a pixel for each of the picture's."""
        along = shrinkage(self.levels[0].grid, cut.whole)
        return self.levels[sum(factor <= along for factor in self.factors[1:])]


@dataclass(frozen=True)
class PublishedCube:
    """What the service knows of one finished cube."""

    token: str
    access: str
    generation: str
    bands: tuple[str, ...]
    units: tuple[str, ...]
    times: tuple[str, ...]
    grid: GeoBox
    factors: tuple[int, ...]
    """Of its levels, 1 first."""
    collections: tuple[str, ...]
    licences: tuple[str, ...]
    citation: str
    simulated: bool
    expires: str | None
    parts: tuple[StoredPixels, ...] = field(repr=False)
    _styles: dict[tuple[str, ...], Style] = field(default_factory=dict, repr=False)

    def layer(self, bands: Sequence[str]) -> OpenBands:
        """Some of its bands, to be drawn or asked.

        Raises
        ------
        BadRequest
            For a band that it does not have.
        """
        places = []
        for name in bands:
            if name not in self.bands:
                raise BadRequest(f"band: found {name[:80]!r}. {did_you_mean(name, self.bands)}")
            places.append(self.bands.index(name))
        return OpenBands(
            names=tuple(bands),
            units=tuple(self.units[at] for at in places),
            grid=self.grid,
            axis="time",
            labels=self.times,
            parts=tuple(self.parts[at] for at in places),
        )

    def style(self, bands: Sequence[str]) -> Style:
        """Colours that fit all dates: by the last on which anything was observed."""
        key = tuple(bands)
        if key not in self._styles:
            self._styles[key] = self._find_style(self.layer(key))
        return self._styles[key]

    def _find_style(self, layer: OpenBands) -> Style:
        last = len(self.times) - 1
        for step in range(last, max(-1, last - _TRIED), -1):
            try:
                ends = choose_stretch(layer, step, Style())
            except BadRequest:  # nothing was observed
                continue
            return Style(low=ends.low, high=ends.high)
        return Style(low=0.0, high=1.0)

    @property
    def title(self) -> str:
        """What it is of."""
        return ", ".join(self.collections) or self.token

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees."""
        outline: Geometry = self.grid.footprint("EPSG:4326", npoints=20)
        box = outline.boundingbox
        return (box.left, box.bottom, box.right, box.top)

    @cached_property
    def zoom(self) -> int:
        """That of the tiles which show every pixel."""
        return min(max(math.ceil(math.log2(self._shrunk) - 0.1), 0), CLOSEST)

    @cached_property
    def resolution(self) -> float:
        """Metres along a pixel's side, in the middle."""
        _, south, _, north = self.bounds
        return Tile(0, 0, 0).resolution * math.cos(math.radians((south + north) / 2)) / self._shrunk

    @cached_property
    def _shrunk(self) -> float:
        return shrinkage(self.grid, Tile(0, 0, 0).cut.whole)


@dataclass(slots=True)
class Cubes:
    """The cubes of a store. Safe for several threads.

    Parameters
    ----------
    shelf : Shelf
        The store.
    classes : tuple of str
        The access classes in which cubes are looked for, the open one first.
    clock : callable
        Seconds, for how old a look is.
    """

    shelf: Shelf
    classes: tuple[str, ...] = (OPEN,)
    clock: Callable[[], float] = time.monotonic
    kept: KeptChunks = field(default_factory=KeptChunks)
    _known: "OrderedDict[str, tuple[PublishedCube, float]]" = field(default_factory=OrderedDict)
    _noted: "OrderedDict[str, float]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, token: str) -> PublishedCube:
        """The cube of a token, as it is now. Who may see it is asked by whoever shows it.

        Raises
        ------
        BadRequest
            For what is no token.
        NothingFound
            Where the store has no such cube.
        ReadFault
            Where it is not whole, or is none of the lab's.
        """
        norm_token(token)
        with self._lock:
            known, until = self._known.get(token, (None, 0.0))
        if known is not None and self.clock() < until:
            return known
        found = self._look(token, known)
        with self._lock:
            self._known[token] = (found, self.clock() + LOOK_EVERY)
            self._known.move_to_end(token)
            while len(self._known) > MOST_CUBES:
                self._known.popitem(last=False)
        return found

    def forget(self, token: str) -> None:
        """Look anew the next time."""
        with self._lock:
            self._known.pop(token, None)

    def note_use(self, cube: PublishedCube) -> None:
        """Tell the store that a cube is used, now and then: it is not among those that have to go first."""
        with self._lock:
            now = self.clock()
            if now - self._noted.get(cube.token, -math.inf) < NOTE_EVERY:
                return
            self._noted[cube.token] = now
            self._noted.move_to_end(cube.token)
            while len(self._noted) > MOST_CUBES:
                self._noted.popitem(last=False)
        self.shelf.note_use(f"{cube.access}/{cube.token}/used")

    def _look(self, token: str, known: PublishedCube | None) -> PublishedCube:
        for access in self.classes:
            current = self._current(access, token)
            if current is None:
                continue
            if known is not None and (known.access, known.generation) == (access, current):
                return known
            return self._open(access, token, current)
        self.forget(token)
        raise NothingFound(
            f"There is no shared cube {token}. It was never built or has been evicted: open its items with share=True, "
            "or list what there is with: earthlab cubes"
        )

    def _current(self, access: str, token: str) -> str | None:
        content = read_whole(self.shelf, f"{access}/{token}/head.json", _LARGEST_HEAD)
        try:
            current = json.loads(content or b"{}").get("current")
        except (AttributeError, ValueError, RecursionError):
            return None
        return current if isinstance(current, str) and _GENERATION.fullmatch(current) else None

    def _open(self, access: str, token: str, generation: str) -> PublishedCube:
        prefix = f"{access}/{token}/{generation}"
        content = read_whole(self.shelf, f"{prefix}/{MARKER}", _LARGEST_MARKER)
        try:
            marker = Marker.parse(content or b"")
            _require_sound(marker)
            own = (token, generation, access, token)
            told = (marker.token, marker.generation, marker.access, marker.plan.token)
            cube = _publish(marker, StoredLevels(self.shelf, prefix, marker, self.kept)) if own == told else None
        except _UNSOUND as exc:
            raise _torn(token, type(exc).__name__) from exc
        if cube is None:
            raise _torn(token, "its marker is another cube's")
        return cube


def name_classes(rules: Sequence[str]) -> tuple[str, ...]:
    """Every access class that these rules make: each of them, and each that needs several; the open one first."""
    names = sorted(rules)
    some = (chosen for count in range(1, len(names) + 1) for chosen in combinations(names, count))
    return (OPEN, *("--".join(chosen) for chosen in some))


@dataclass(frozen=True, slots=True)
class StoredLevels:
    """The arrays of a cube in its store."""

    shelf: Shelf
    prefix: str
    marker: Marker
    kept: KeptChunks

    def pixels(self, band: int) -> StoredPixels:
        """One band, with all of its levels."""
        factors = (1, *self.marker.levels)
        return StoredPixels(tuple(self._level(band, factor) for factor in factors), factors)

    def _level(self, band: int, factor: int) -> SlicedPixels:
        marker, level = self.marker, self.marker.level(factor)
        name = marker.plan.bands[band]
        array = StoredArray(
            self.shelf,
            f"{self.prefix}/{level.path(name)}",
            level,
            marker.kept_encodings[band],
            marker.empty_shards(name, factor),
            self.kept,
        )
        grid = marker.plan.geobox
        placed = GeoBox(level.shape[1:], grid.transform @ grid.transform.scale(factor), grid.crs)
        return SlicedPixels(array, placed, most=_MOST_STORED)


def _publish(marker: Marker, stored: StoredLevels) -> PublishedCube:
    plan = marker.plan
    return PublishedCube(
        token=marker.token,
        access=marker.access,
        generation=marker.generation,
        bands=plan.bands,
        units=plan.units,
        times=_labels(plan),
        grid=plan.geobox,
        factors=(1, *marker.levels),
        collections=plan.collections,
        licences=plan.licences,
        citation=plan.citation,
        simulated=plan.simulated,
        expires=marker.expires,
        parts=tuple(stored.pixels(at) for at in range(len(plan.bands))),
    )


def _labels(plan: CubePlan) -> tuple[str, ...]:
    """What the steps are called: as those of the cube when it is open in a kernel."""
    times = np.array([moment.astimezone(UTC).replace(tzinfo=None) for moment in plan.times], dtype="datetime64[ns]")
    return label_steps(xr.DataArray(times, dims="time", coords={"time": times}), "time")


def _require_sound(marker: Marker) -> None:
    """Nothing, for a marker of whose numbers nothing comes that is too large, and of whose names no other place."""
    for why, sound in _judgements(marker):
        if not sound:
            raise ValueError(why)


def _judgements(marker: Marker) -> Iterator[tuple[str, bool]]:
    plan = marker.plan
    count = len(plan.bands)
    yield "bands", 0 < count <= _MOST_BANDS and all(isinstance(n, str) and _BAND.fullmatch(n) for n in plan.bands)
    yield "band names", len(set(plan.bands)) == count
    said = (plan.units, plan.resampling, marker.encoded, plan.encodings or plan.bands)
    yield "words of the bands", all(len(words) == count for words in said)
    yield "texts", all(map(_is_text, (*plan.bands, *plan.units, *plan.collections, *plan.licences, plan.citation)))
    yield "kind", isinstance(plan.simulated, bool)
    yield "dates", 0 < len(plan.steps) <= _MOST_DATES
    yield "moments", all(isinstance(moment, datetime) and 1900 <= moment.year < 2200 for moment in plan.times)
    yield "shape", len(plan.shape) == 2 and all(_is_count(length, _LONGEST_SIDE) for length in plan.shape)
    yield "shards", len(marker.shards) == 3 and all(_is_count(side, _LONGEST_SIDE) for side in marker.shards)
    yield "CRS", isinstance(plan.crs, str) and _is_harmless(plan.crs)
    yield "transform", len(plan.transform) in {6, 9} and all(map(math.isfinite, plan.transform))
    yield "grid", plan.geobox.transform.determinant != 0 and plan.geobox.crs is not None
    yield "encodings", all(encoding is None or _is_encoding(encoding) for encoding in plan.encodings)
    yield "levels", set(marker.levels) <= set(plan_levels(plan)) and list(marker.levels) == sorted(set(marker.levels))
    yield "sizes", all(_is_small(marker.level(factor)) for factor in (1, *marker.levels))


def _is_count(number: object, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 < number <= most


def _is_text(text: object) -> bool:
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in text)  # halves of letters are none in UTF-8


def _is_harmless(crs: str) -> bool:
    """Whether PROJ makes of a text a CRS without looking for files on somebody's word."""
    return bool(_CODE.fullmatch(crs)) or (
        len(crs) < 20_000 and _WKT.match(crs) is not None and _OPENS_FILES.search(crs) is None
    )


def _is_encoding(encoding: Encoding) -> bool:
    numbers = (encoding.scale, encoding.offset)
    if encoding.dtype not in _STORED or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        return False
    limits = np.iinfo(encoding.dtype)
    return encoding.scale != 0 and isinstance(encoding.fill, int) and limits.min <= encoding.fill <= limits.max


def _is_small(level: Level) -> bool:
    chunk = 4 * math.prod(level.chunks)
    return (
        math.prod(level.grid) <= _MOST_SHARDS
        and math.prod(chunks_a_shard(level)) <= _MOST_CHUNKS_A_SHARD
        and chunk <= _LONGEST_CHUNK
    )


def _torn(token: str, why: str) -> ReadFault:
    return ReadFault(f"The shared cube {token} cannot be shown: {why}. Build it again with el.open(..., share=True).")


def describe_cube(cube: PublishedCube) -> dict[str, Any]:
    """What a page is told of a cube: as of a layer that is open in a kernel, and where it comes from."""
    natural = [",".join(RGB)] if set(RGB) <= set(cube.bands) else []
    return {
        "token": cube.token,
        "title": cube.title,
        "bands": [_describe_band(cube, name) for name in (*natural, *cube.bands[:_MOST_BANDS_TOLD])],
        "times": list(cube.times[-_MOST_TOLD:]),
        "bounds": [round(side, 7) for side in cube.bounds],
        "zoom": cube.zoom,
        "crs": str(cube.grid.crs)[:200],
        "resolution": cube.resolution,
        "levels": list(cube.factors[1:]),
        "simulated": cube.simulated,
        "licences": list(cube.licences),
        "citation": cube.citation,
        "access": cube.access,
    }


def _describe_band(cube: PublishedCube, name: str) -> dict[str, Any]:
    bands = name.split(",") if name not in cube.bands else [name]
    style = cube.style(bands)
    colours = "rgb" if len(bands) == 3 else style.colormap
    unit = cube.units[cube.bands.index(bands[0])]
    return {"name": name, "unit": unit, "style": {"colormap": colours, "low": style.low, "high": style.high}}
