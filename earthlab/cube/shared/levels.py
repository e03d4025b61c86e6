"""The resolutions a stored cube has: its own, and for pictures of all of it a half, a quarter and so on.

::

    <generation>/<band>                     the cube itself
    <generation>/overviews/<factor>/<band>  every ``factor`` pixels of a side in one

A level's shards are what one task makes of one square of the cube. Levels go three by three: a square is as many
pixels as the first of three needs for a shard of `_SIDE`, so that deep levels are no heap of crumbs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from affine import Affine

from earthlab.cube.plan import CubePlan, Encoding, Step
from earthlab.cube.shared.codecs import INNER, inner_shape

FOLDER = "overviews"
SMALL = 512
"""Pixels of the longest side that need no further level: two tiles of a map."""

_DEEPEST = 512
_TIMES = INNER[0]
"""Dates of a shard: those that a chunk of the cube itself has."""

_SIDE = 512
_TILE = 256
_UNITLESS = {"", "1", "DN"}

Block = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Level:
    """How one resolution of a cube is stored; along time, y and x."""

    factor: int
    """Pixels of the cube along a side of one pixel here; 1 for the cube itself."""
    shape: Block
    shards: Block
    """Pixels from one shard to the next."""
    chunks: Block

    @property
    def group(self) -> str:
        """Where its arrays are below the generation; empty for the cube itself."""
        return "" if self.factor == 1 else f"{FOLDER}/{self.factor}"

    def path(self, band: str) -> str:
        """Where a band's array is below the generation."""
        return f"{self.group}/{band}".lstrip("/")

    @property
    def grid(self) -> Block:
        """Shards along each axis."""
        time, y, x = (-(-length // side) for length, side in zip(self.shape, self.shards, strict=True))
        return time, y, x


@dataclass(frozen=True, slots=True)
class Square:
    """What one task makes of one band: its shards of up to three levels."""

    band: int
    place: Block
    """Of these shards, the same in each of the levels."""
    base: int
    """The level that comes before these; 1 for the cube itself."""
    factors: tuple[int, ...]

    @property
    def side(self) -> int:
        """Pixels of the cube along the square's side."""
        return 2 * _SIDE * self.base


def plan_levels(plan: CubePlan) -> tuple[int, ...]:
    """The factors 2, 4, 8, … until the longest side has `SMALL` pixels at most, or the factor is 512.

    None where a band is called as the folder of the levels is.
    """
    factors: list[int] = []
    while max(plan.shape) > SMALL * 2 ** len(factors) and 2 ** len(factors) < _DEEPEST:
        factors.append(2 ** (len(factors) + 1))
    return () if FOLDER in plan.bands else tuple(factors)


def whole_level(plan: CubePlan, shards: Block) -> Level:
    """The cube itself, whose shards have as many pixels."""
    return Level(1, (len(plan.steps), *plan.shape), shards, inner_shape(shards))


def level_of(plan: CubePlan, factor: int) -> Level:
    """The level of a factor of `plan_levels`."""
    rows, columns = (-(-length // factor) for length in plan.shape)
    base = next(base for base, factors in _groups(plan_levels(plan)) if factor in factors)
    side = 2 * _SIDE * base // factor
    tile = min(side, _TILE)
    times = len(plan.steps)
    return Level(factor, (times, rows, columns), (min(times, _TIMES), side, side), (1, tile, tile))


def plan_squares(plan: CubePlan) -> tuple[Square, ...]:
    """The tasks that make all levels of all bands."""
    return tuple(
        Square(band, (time, y, x), base, factors)
        for base, factors in _groups(plan_levels(plan))
        for band in range(len(plan.bands))
        for time, y, x in product(*map(range, level_of(plan, factors[0]).grid))
    )


def _groups(factors: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
    for at in range(0, len(factors), 3):
        yield factors[at] // 2, factors[at : at + 3]


def plan_of_level(plan: CubePlan, level: Level) -> CubePlan:
    """The plan with the grid of a level and without sources: what describes the level, and opens nothing."""
    transform = Affine(*plan.transform[:6]) * Affine.scale(level.factor)
    return replace(
        plan,
        steps=tuple(Step(step.time, ()) for step in plan.steps),
        transform=tuple(transform[:6]),
        shape=level.shape[1:],
    )


def is_sampled(plan: CubePlan, band: int) -> bool:
    """Whether a level takes the pixel at the middle, and not the mean of those observed.

    So it is where values may be classes: stored as the numbers they are, in no unit that is known, or chosen by the
    most frequent.
    """
    encoding = plan.encodings[band] if plan.encodings else None
    plain = encoding is not None and (encoding.scale, encoding.offset) == (1.0, 0.0)
    return plan.resampling[band] == "mode" or (plain and plan.units[band] in _UNITLESS)


def kept_encodings(plan: CubePlan, encoded: Sequence[bool]) -> tuple[Encoding | None, ...]:
    """How each band is stored as integers, of those that are; ``None`` for float32."""
    known = plan.encodings or (None,) * len(plan.bands)
    return tuple(encoding if kept else None for encoding, kept in zip(known, encoded, strict=True))


def stored_bytes(plan: CubePlan, *, overviews: bool = True) -> int:
    """Bytes that a plan's cube takes in a store at most, not compressed; overviews are a third of the rest."""
    encodings = plan.encodings or (None,) * len(plan.bands)
    pixel = sum(np.dtype(encoding.dtype).itemsize if encoding else 4 for encoding in encodings)
    factors = (1, *plan_levels(plan)) if overviews else (1,)
    rows, columns = plan.shape
    return pixel * len(plan.steps) * sum(-(-rows // factor) * -(-columns // factor) for factor in factors)
