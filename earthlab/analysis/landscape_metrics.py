"""Landscape metrics of a land cover raster, by patch, by class and as a whole, named and ruled as FRAGSTATS does.

The landscape is what is not nodata. Its outer border, and the border to nodata, counts in the shape of patches (LSI,
NLSI, SHAPE, FRAC, PARA, PLADJ, CLUMPY, COHESION) and in their core (CORE, CAI), not in the total edge (TE, ED).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.grids import has_data, nodata_of, pixel_size
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.patch_shapes import (
    circumscribing_circle,
    core_pixels,
    nearest_neighbour,
    radius_of_gyration,
)
from earthlab.analysis.patches import Connectivity, check_connectivity, checked_raster, label_patches
from earthlab.errors import BadRequest

_HECTARE = 1e4
_FEW_PATCHES = 10
_ROUNDING = 1e-9
"""Share by which a depth in pixels may be off, from its division in metres."""
_OF_PATCH = {
    "AREA": "ha",
    "GYRATE": "m",
    "SHAPE": "1",
    "FRAC": "1",
    "PARA": "m ha-1",
    "CIRCLE": "1",
    "CONTIG": "1",
    "CORE": "ha",
    "DCORE": "ha",
    "CAI": "%",
    "ENN": "m",
}
"""The unit of what a class and a landscape summarise; the coefficient of variation is in percent."""
_UNITS = {
    **{f"{name}_{end}": unit for name, unit in _OF_PATCH.items() for end in ("MN", "SD")},
    **{f"{name}_CV": "%" for name in _OF_PATCH},
    **_OF_PATCH,
    **dict.fromkeys(("CA", "TA", "TCA", "MESH"), "ha"),
    **dict.fromkeys(("LPI", "PLAND", "CPLAND", "PLADJ", "IJI", "COHESION", "AI", "CONTAG"), "%"),
    **dict.fromkeys(("PD", "PRD", "DCAD"), "(100 ha)-1"),
    **dict.fromkeys(("TE", "PERIM"), "m"),
    "ED": "m ha-1",
}


def patch_metrics(
    raster: xr.DataArray,
    *,
    connectivity: Connectivity = 8,
    pixel: float | None = None,
    edge_depth: float | None = None,
) -> pd.DataFrame:
    """Size, shape, core and isolation of each patch.

    Parameters
    ----------
    raster, connectivity, pixel, edge_depth
        As for `class_metrics`.

    Returns
    -------
    pandas.DataFrame
        By ``patch``, numbered as `earthlab.analysis.patches.label_patches` does: ``class``, AREA, PERIM, GYRATE (mean
        distance to the centroid), PARA, SHAPE, FRAC, CIRCLE, CONTIG, CORE, NCORE (cores of the patch), CAI (share of
        the patch that is core) and ENN (to the nearest patch of its class; NaN without one). Units in
        ``attrs["units"]``.

    Raises
    ------
    BadRequest
        As `class_metrics` does.

    References
    ----------
    As for `class_metrics`.
    """
    scene = _survey(raster, connectivity, pixel, edge_depth, "patch_metrics")
    values = {name: found for name, found in _of_each(scene, np.arange(scene.sizes.size)).items() if name != "DCORE"}
    cores = np.bincount(scene.patch_of_core, minlength=scene.sizes.size)
    found = pd.DataFrame(
        {"class": scene.classes[scene.class_of_patch], "PERIM": scene.outlines * scene.side, "NCORE": cores, **values},
        index=pd.RangeIndex(1, scene.sizes.size + 1, name="patch"),
    )
    found.attrs["units"] = _units_of(found.columns)
    return found


def class_metrics(
    raster: xr.DataArray,
    *,
    connectivity: Connectivity = 8,
    pixel: float | None = None,
    edge_depth: float | None = None,
) -> pd.DataFrame:
    """Size, edge, shape, core, isolation and aggregation of the patches of each class.

    Parameters
    ----------
    raster : xarray.DataArray
        Land cover classes, whole numbers with axes y, x and square pixels; nodata by attribute or encoding, or NaN.
    connectivity : {8, 4}
        Whether pixels that only touch at a corner are one patch (FRAGSTATS: 8).
    pixel : float, optional
        Side of a pixel in metres. Default: from the coordinates, in metres.
    edge_depth : float, optional
        How far an edge reaches into a patch, in metres: the core are pixels whose middle is farther than this from
        that of the nearest pixel of something else. Default: one pixel.

    Returns
    -------
    pandas.DataFrame
        By ``class``: CA, PLAND, NP, PD, LPI, TE, ED, LSI, mean, deviation and coefficient of variation of AREA, GYRATE,
        SHAPE, FRAC, PARA, CIRCLE, CONTIG, CORE, DCORE, CAI and ENN, PAFRAC, TCA, CPLAND, NDCA, DCAD, CLUMPY, PLADJ,
        IJI, COHESION, DIVISION, MESH, SPLIT, AI and NLSI. Units in ``attrs["units"]``. NaN where a metric has no
        meaning, such as IJI with fewer than three classes.

    Raises
    ------
    BadRequest
        For other axes, values that are no whole numbers, no data at all, pixels that are not square or whose size is
        not known in metres, a size or depth that is not positive, or another connectivity.

    References
    ----------
    McGarigal, Cushman and Ene (2012), FRAGSTATS v4: Spatial Pattern Analysis Program for Categorical and Continuous
    Maps, University of Massachusetts, Amherst (manual: the formula of each metric).
    """
    scene = _survey(raster, connectivity, pixel, edge_depth, "class_metrics")
    rows = [_of_class(scene, at) for at in range(scene.classes.size)]
    found = pd.DataFrame(rows, index=pd.Index(scene.classes, name="class"))
    found.attrs["units"] = _units_of(found.columns)
    return found


def landscape_metrics(
    raster: xr.DataArray,
    *,
    connectivity: Connectivity = 8,
    pixel: float | None = None,
    edge_depth: float | None = None,
) -> "pd.Series[float]":
    """Size, edge, shape, core, isolation, aggregation and diversity of the patches of a whole landscape.

    Parameters
    ----------
    raster, connectivity, pixel, edge_depth
        As for `class_metrics`.

    Returns
    -------
    pandas.Series
        TA, NP, PD, LPI, TE, ED, LSI, mean, deviation and coefficient of variation of AREA, GYRATE, SHAPE, FRAC, PARA,
        CIRCLE, CONTIG, CORE, DCORE, CAI and ENN, PAFRAC, TCA, NDCA, DCAD, CONTAG, PLADJ, IJI, COHESION, DIVISION, MESH,
        SPLIT, PR, PRD, SHDI, SIDI, MSIDI, SHEI, SIEI, MSIEI and AI. Units in ``attrs["units"]``.

    Raises
    ------
    BadRequest
        As `class_metrics` does.

    References
    ----------
    As for `class_metrics`.
    """
    scene = _survey(raster, connectivity, pixel, edge_depth, "landscape_metrics")
    shares = scene.class_cells / scene.cells
    aggregation = np.array([_aggregation_index(scene, at) for at in range(scene.classes.size)])
    outline = scene.edges.sum() / 2 + scene.border
    found = pd.Series(
        {"TA": scene.area(scene.cells)}
        | _of_patches(scene, np.arange(scene.sizes.size), outline / _least_outline(scene.cells))
        | _of_mixing(scene)
        | _diversity(shares, scene.area(scene.cells))
        | {"AI": _weighted(aggregation, shares)}
    )
    found.attrs["units"] = _units_of(found.index)
    return found


def _units_of(names: "pd.Index[str]") -> dict[str, str]:
    return {str(name): _UNITS.get(str(name), "1") for name in names}


@dataclass(frozen=True)
class _Scene:
    side: float
    classes: Array
    class_cells: Array
    class_of_patch: Array
    sizes: Array
    """Pixels of each patch."""
    outlines: Array
    """Sides of pixels around each patch."""
    contiguity: Array
    """Of each patch, from 0 for a single pixel towards 1."""
    gyration: Array
    circle: Array
    nearest: Array
    """Of each patch, in sides of a pixel; NaN for the only one of its class."""
    core: Array
    """Pixels of each patch that are core."""
    cores: Array
    """Pixels of each piece of core."""
    patch_of_core: Array
    neighbours: Array
    """Sides between pixels of two classes, those within a class counted twice."""
    border: int
    """Sides of pixels along nodata and the outer border."""

    @property
    def cells(self) -> int:
        return int(self.class_cells.sum())

    @property
    def edges(self) -> Array:
        """Sides between pixels of different classes."""
        return np.asarray(self.neighbours - np.diag(np.diag(self.neighbours)))

    def area(self, cells: float) -> float:
        return float(cells) * self.side**2 / _HECTARE


def _survey(
    raster: xr.DataArray, connectivity: Connectivity, pixel: float | None, edge_depth: float | None, verb: str
) -> _Scene:
    raster = checked_raster(raster, verb)
    check_connectivity(connectivity)
    side = _side(raster, verb) if pixel is None else pixel
    if not side > 0 or not (edge_depth is None or edge_depth > 0):
        raise BadRequest(
            f"{verb}: pixel is {pixel!r} and edge_depth {edge_depth!r}, expected positive numbers of metres."
        )
    classes, codes = _codes(raster, verb)
    labels = label_patches(raster.copy(data=codes), connectivity=connectivity).values
    sizes = np.bincount(labels.ravel())[1:]
    class_of_patch = np.zeros(sizes.size, np.int64)
    inside = labels > 0
    class_of_patch[labels[inside] - 1] = codes[inside] - 1
    pairs = _neighbours(codes, classes.size + 1)
    like = _neighbours(labels, sizes.size + 1, diagonal_only=True)
    core = core_pixels(codes, 1.0 if edge_depth is None else edge_depth / side * (1 + _ROUNDING))
    pieces = label_patches(raster.copy(data=np.where(core, codes, 0)), connectivity=connectivity).values
    return _Scene(
        side=side,
        classes=classes,
        class_cells=np.bincount(codes.ravel(), minlength=classes.size + 1)[1:],
        class_of_patch=class_of_patch,
        sizes=sizes,
        outlines=4 * sizes - like[1:],
        contiguity=_contiguity(labels, sizes),
        gyration=radius_of_gyration(labels, sizes),
        circle=circumscribing_circle(labels, sizes),
        nearest=nearest_neighbour(labels, class_of_patch),
        core=np.bincount(labels[core], minlength=sizes.size + 1)[1:],
        cores=np.bincount(pieces.ravel())[1:],
        patch_of_core=labels[core][np.unique(pieces[core], return_index=True)[1]] - 1,
        neighbours=pairs[1:, 1:],
        border=int(pairs[0, 1:].sum()),
    )


def _codes(raster: xr.DataArray, verb: str) -> tuple[Array, Array]:
    values = raster.values
    valid = has_data(values, nodata_of(raster))
    if not valid.any():
        raise BadRequest(f"{verb}: every pixel is nodata. Choose another place or time.")
    if values.dtype.kind not in "iu" and (values[valid] % 1 != 0).any():
        raise BadRequest(f"{verb}: found values such as {values[valid][0]}, expected classes, whole numbers.")
    classes, codes = np.unique(values[valid].astype(np.int64), return_inverse=True)
    placed = np.zeros(values.shape, np.int64)
    placed[valid] = codes + 1
    return classes, placed


def _side(raster: xr.DataArray, verb: str) -> float:
    height, width = pixel_size(raster, verb)
    if not np.isclose(height, width, rtol=1e-3):
        raise BadRequest(f"{verb}: pixels are {width:g} by {height:g} m, expected squares. Open with resolution=.")
    return height


def _neighbours(codes: Array, count: int, *, diagonal_only: bool = False) -> Array:
    """Sides between pixels of each two codes, both ways; 0 is also what lies around the raster."""
    framed = np.pad(codes, 1)
    pairs = [(framed[:-1, 1:-1], framed[1:, 1:-1]), (framed[1:-1, :-1], framed[1:-1, 1:])]
    one = np.concatenate([first.ravel() for first, _ in pairs])
    other = np.concatenate([second.ravel() for _, second in pairs])
    if diagonal_only:
        return 2 * np.bincount(one[one == other], minlength=count)
    table = np.bincount(one * count + other, minlength=count * count).reshape(count, count)
    return table + table.T


def _contiguity(labels: Array, sizes: Array) -> Array:
    """The mean over each patch's pixels of neighbours in it, 2 for a side and 1 for a corner, as a share of all 12."""
    height, width = labels.shape
    framed = np.pad(labels, 1)
    total = np.zeros(labels.shape, np.int64)
    for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        beside = framed[1 + down : 1 + down + height, 1 + across : 1 + across + width]
        total += np.where(beside == labels, 1 if down and across else 2, 0)
    return np.asarray(np.bincount(labels.ravel(), total.ravel())[1:] / (12 * sizes))


def _of_class(scene: _Scene, at: int) -> dict[str, float]:
    chosen = np.flatnonzero(scene.class_of_patch == at)
    cells = int(scene.class_cells[at])
    outline = int(4 * cells - scene.neighbours[at, at])
    least = _least_outline(cells)
    most = min(4 * cells, scene.border + 4 * (scene.cells - cells))
    found = _of_patches(scene, chosen, outline / least)
    edges = int(scene.edges[at].sum())
    return (
        {"CA": scene.area(cells), "PLAND": 100 * cells / scene.cells}
        | found
        | {"CPLAND": 100 * float(scene.core[chosen].sum()) / scene.cells}
        | {
            "TE": edges * scene.side,
            "ED": edges * scene.side / scene.area(scene.cells),
            "CLUMPY": _clumpiness(scene, at),
            "PLADJ": 100 * scene.neighbours[at, at] / (4 * cells),
            "IJI": _interspersion(np.delete(scene.edges[at], at), scene.classes.size - 1),
            "AI": _aggregation_index(scene, at),
            "NLSI": (outline - least) / (most - least) if most > least else 0.0,
        }
    )


def _of_patches(scene: _Scene, chosen: Array, shape_index: float) -> dict[str, float]:
    sizes, outlines = scene.sizes[chosen].astype(float), scene.outlines[chosen].astype(float)
    total = scene.area(scene.cells)
    squares = float((sizes**2).sum())
    each = _of_each(scene, chosen)
    room = 1 - scene.cells**-0.5
    spreads = [_spread(name, each[name]) for name in _OF_PATCH]
    return {
        "NP": float(chosen.size),
        "PD": 100 * chosen.size / total,
        "LPI": 100 * sizes.max() / scene.cells,
        "LSI": shape_index,
        **{name: value for spread in spreads for name, value in spread.items()},
        "PAFRAC": _fractal_dimension(sizes * scene.side**2, outlines * scene.side),
        "TCA": float(each["CORE"].sum()),
        "NDCA": float(each["DCORE"].size),
        "DCAD": 100 * each["DCORE"].size / total,
        "COHESION": 100 * (1 - outlines.sum() / (outlines * np.sqrt(sizes)).sum()) / room if room else np.nan,
        "DIVISION": 1 - squares / scene.cells**2,
        "MESH": squares / scene.cells * scene.side**2 / _HECTARE,
        "SPLIT": scene.cells**2 / squares,
    }


def _of_each(scene: _Scene, chosen: Array) -> dict[str, Array]:
    """Of each patch chosen, and for DCORE of each piece of their cores, in the units of `_OF_PATCH`."""
    sizes, outlines = scene.sizes[chosen].astype(float), scene.outlines[chosen].astype(float)
    metres, sides = sizes * scene.side**2, outlines * scene.side
    exponent = np.log(metres)
    return {
        "AREA": metres / _HECTARE,
        "GYRATE": scene.gyration[chosen] * scene.side,
        "SHAPE": outlines / _least_outlines(sizes),
        "FRAC": np.divide(2 * np.log(sides / 4), exponent, out=np.ones_like(metres), where=metres != 1),
        "PARA": sides / metres * _HECTARE,
        "CIRCLE": scene.circle[chosen],
        "CONTIG": scene.contiguity[chosen],
        "CORE": scene.core[chosen] * scene.side**2 / _HECTARE,
        "DCORE": scene.cores[np.isin(scene.patch_of_core, chosen)] * scene.side**2 / _HECTARE,
        "CAI": 100 * scene.core[chosen] / sizes,
        "ENN": scene.nearest[chosen] * scene.side,
    }


def _fractal_dimension(areas: Array, outlines: Array) -> float:
    """Of all patches together: 2 over the slope of area on outline, both as logarithms; NaN for fewer than ten."""
    x, y = np.log(outlines), np.log(areas)
    together = float(((x - x.mean()) * (y - y.mean())).sum())
    if x.size < _FEW_PATCHES or np.ptp(x) == 0 or np.ptp(y) == 0 or together == 0:
        return np.nan
    return float(2 * ((x - x.mean()) ** 2).sum()) / together


def _weighted(values: Array, shares: Array) -> float:
    """The mean of the classes that have a value."""
    known = np.isfinite(values)
    return float((values[known] * shares[known]).sum() / shares[known].sum()) if known.any() else np.nan


def _spread(name: str, values: Array) -> dict[str, float]:
    values = values[np.isfinite(values)]
    if not values.size:
        return dict.fromkeys((f"{name}_MN", f"{name}_SD", f"{name}_CV"), np.nan)
    mean, deviation = float(values.mean()), float(values.std())
    return {f"{name}_MN": mean, f"{name}_SD": deviation, f"{name}_CV": 100 * deviation / mean if mean else np.nan}


def _of_mixing(scene: _Scene) -> dict[str, float]:
    count = scene.classes.size
    edge = float(scene.edges.sum()) / 2
    pairs = scene.edges[np.triu_indices(count, 1)]
    shares = scene.class_cells / scene.cells
    sides = scene.neighbours.sum(axis=1, keepdims=True)
    joint = shares[:, None] * scene.neighbours / np.where(sides > 0, sides, 1)
    return {
        "TE": edge * scene.side,
        "ED": edge * scene.side / scene.area(scene.cells),
        "CONTAG": 100 * (1 - _entropy(joint) / (2 * np.log(count))) if count > 1 else np.nan,
        "PLADJ": 100 * float(np.trace(scene.neighbours)) / (4 * scene.cells),
        "IJI": _interspersion(pairs, count * (count - 1) // 2),
    }


def _diversity(shares: Array, hectares: float) -> dict[str, float]:
    count = shares.size
    shannon, concentration = _entropy(shares), float((shares**2).sum())
    evenness = [
        shannon / np.log(count) if count > 1 else np.nan,
        (1 - concentration) / (1 - 1 / count) if count > 1 else np.nan,
        -np.log(concentration) / np.log(count) if count > 1 else np.nan,
    ]
    return {
        "PR": float(count),
        "PRD": 100 * count / hectares,
        "SHDI": shannon,
        "SIDI": 1 - concentration,
        "MSIDI": -float(np.log(concentration)),
        **dict(zip(("SHEI", "SIEI", "MSIEI"), map(float, evenness), strict=True)),
    }


def _entropy(shares: Array) -> float:
    present = shares[shares > 0]
    return -float((present * np.log(present)).sum())


def _interspersion(edges: Array, kinds: int) -> float:
    if kinds < 2 or edges.sum() == 0:
        return np.nan
    return 100 * _entropy(edges / edges.sum()) / float(np.log(kinds))


def _least_outline(cells: float) -> float:
    return float(_least_outlines(np.array([cells], float))[0])


def _least_outlines(cells: Array) -> Array:
    """Sides around the most compact patch of so many pixels."""
    root = np.floor(np.sqrt(cells))
    left = cells - root**2
    return np.asarray(4 * root + 2 * (left > 0) + 2 * (left > root))


def _aggregation_index(scene: _Scene, at: int) -> float:
    cells = float(scene.class_cells[at])
    most = (4 * cells - _least_outline(cells)) / 2
    return 100 * float(scene.neighbours[at, at]) / 2 / most if most > 0 else np.nan


def _clumpiness(scene: _Scene, at: int) -> float:
    cells = float(scene.class_cells[at])
    share = cells / scene.cells
    room = 4 * cells - _least_outline(cells)
    if room == 0 or share == 1:
        return np.nan
    like = float(scene.neighbours[at, at]) / room
    return (like - share) / (share if like < share < 0.5 else 1 - share)
