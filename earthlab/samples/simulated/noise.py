"""Random fields made of sums and products only, so that every machine gives the same bits."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def smooth_noise(seed: Sequence[int], shape: tuple[int, int], cell: int, octaves: int = 1) -> Floats:
    """A smooth field between 0 and 1.

    Parameters
    ----------
    seed : sequence of int
        Names the field; other seeds give unrelated fields.
    shape : tuple of int
        Rows, columns.
    cell : int
        Size of the largest structures, in pixels.
    octaves : int
        How many times finer structures, of half the size and half the strength, are added.
    """
    rng = np.random.default_rng(seed)
    layers = [_lattice_noise(rng, shape, max(cell >> octave, 2)) * 0.5**octave for octave in range(octaves)]
    total: Floats = np.add.reduce(layers) / sum(0.5**octave for octave in range(octaves))
    return total


def grain(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Bell-shaped noise of mean 0 and standard deviation 1, never beyond 3 (the sum of three uniform draws)."""
    draws = rng.random((3, *shape))
    bell: Floats = (draws[0] + draws[1] + draws[2] - 1.5) * 2.0
    return bell


def _lattice_noise(rng: np.random.Generator, shape: tuple[int, int], cell: int) -> Floats:
    rows, columns = shape
    knots = rng.random((rows // cell + 2, columns // cell + 2))
    row, down = _places(rows, cell)
    column, right = _places(columns, cell)
    top = _between(knots[row][:, column], knots[row][:, column + 1], right[None, :])
    bottom = _between(knots[row + 1][:, column], knots[row + 1][:, column + 1], right[None, :])
    return _between(top, bottom, down[:, None])


def _places(length: int, cell: int) -> tuple[npt.NDArray[np.intp], Floats]:
    knot, rest = np.divmod(np.arange(length), cell)
    part = rest / cell
    return knot, part * part * (3.0 - 2.0 * part)


def _between(first: Floats, last: Floats, weight: Floats) -> Floats:
    return first + (last - first) * weight
