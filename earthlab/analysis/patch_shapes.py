"""How the patches of a labelled raster lie on the ground: how far they reach, how far apart, how deep.

Labels are whole numbers from 1, 0 where there is no patch; lengths are in sides of a pixel, areas in pixels.
"""

import numpy as np
import shapely
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from earthlab.analysis.kernels.compiling import Array


def radius_of_gyration(labels: Array, sizes: Array) -> Array:
    """The mean distance from each patch's pixels to its centroid; half a side for a single pixel, as in FRAGSTATS.

    FRAGSTATS 4.2 rounds the centroid, so that small patches differ by up to some percent.
    """
    rows, columns = np.nonzero(labels)
    patch = labels[rows, columns] - 1
    middles = [np.bincount(patch, along)[patch] / sizes[patch] for along in (rows, columns)]
    far = np.hypot(rows - middles[0], columns - middles[1])
    return np.where(sizes == 1, 0.5, np.bincount(patch, far) / sizes)


def circumscribing_circle(labels: Array, sizes: Array) -> Array:
    """1 less the share of its smallest circumscribing circle that each patch fills; 0 for a single pixel.

    The manual's formula; what FRAGSTATS 4.2 writes is lower where three corners, not two, span the circle, for it takes
    the circle on the longest diameter.
    """
    rows, columns = np.nonzero(labels)
    lines = (labels[rows, columns] - 1) * labels.shape[0] + rows
    order = np.lexsort((columns, lines))
    lines, columns = lines[order], columns[order]
    first = np.flatnonzero(np.diff(lines, prepend=-1))
    last = np.append(first[1:], lines.size) - 1
    patch, row = np.divmod(lines[first], labels.shape[0])
    ends = [(columns[first], row), (columns[first], row + 1), (columns[last] + 1, row), (columns[last] + 1, row + 1)]
    corners = np.stack([np.stack(end, axis=1) for end in ends], axis=1).reshape(-1, 2)
    circles = shapely.minimum_bounding_radius(shapely.multipoints(corners, indices=np.repeat(patch, 4)))
    return np.where(sizes == 1, 0.0, 1 - sizes / (np.pi * circles**2))


def nearest_neighbour(labels: Array, class_of_patch: Array) -> Array:
    """The shortest way from a pixel of each patch to one of another of its class, middle to middle; NaN if alone."""
    found = np.full(class_of_patch.size, np.inf)
    rows, columns = np.nonzero(_rim(labels))
    patch = labels[rows, columns] - 1
    places = np.stack([rows, columns], axis=1).astype(float)
    order = np.argsort(class_of_patch[patch], kind="stable")
    starts = np.flatnonzero(np.diff(class_of_patch[patch][order])) + 1
    for chosen in np.split(order, starts):
        _approach(found, patch[chosen], places[chosen])
    return np.where(np.isfinite(found), found, np.nan)


def core_pixels(codes: Array, depth: float) -> Array:
    """Which pixels lie deeper than ``depth`` (in sides) within their code, from the middle of the nearest other pixel.

    What is 0, and what lies around the raster, is other.
    """
    framed = np.pad(codes, 1)
    if depth < np.sqrt(2):
        beside = (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:])
        return np.asarray((codes > 0) & (depth < 1 or np.logical_and.reduce([codes == each for each in beside])))
    core = np.zeros(codes.shape, bool)
    for code in np.unique(codes[codes > 0]):
        core |= distance_transform_edt(framed == code)[1:-1, 1:-1] > depth
    return core


def _rim(labels: Array) -> Array:
    """The labels of pixels with a side to something else; what lies deeper is never the nearest."""
    framed = np.pad(labels, 1)
    inner = [framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:]]
    return np.where(np.logical_and.reduce([each == labels for each in inner]), 0, labels)


def _approach(found: Array, patch: Array, places: Array) -> None:
    """Lower what was found to the distance to the nearest of another patch.

    Two patches differ in a binary digit of their number, so that asking those with a 0 for the nearest with a 1, and
    the other way round, digit by digit, finds the nearest other patch of each.
    """
    _, number = np.unique(patch, return_inverse=True)
    for digit in range(int(number.max()).bit_length()):
        one = (number >> digit) & 1 == 1
        open_ = found[patch] > np.sqrt(2)  # no other patch comes nearer
        for asked, asking in ((one, ~one & open_), (~one, one & open_)):
            if asked.any() and asking.any():
                np.minimum.at(found, patch[asking], cKDTree(places[asked]).query(places[asking])[0])
