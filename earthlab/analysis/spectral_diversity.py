"""Spectral diversity: how many kinds of canopy a satellite tells apart in a window, and how windows differ.

Pixels are sorted into "spectral species" by clustering, and these are counted as a botanist counts plants. The method
is that of Féret and Asner (2014), as in biodivMapR.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial.distance import cdist
from scipy.special import xlogy

from earthlab.analysis.dissimilarity import principal_coordinates
from earthlab.analysis.grids import has_data, nodata_of
from earthlab.analysis.kernels.compiling import Array
from earthlab.errors import BadRequest

REPEATS, CLUSTERS, WINDOW = 10, 50, 10
LEAST_SHARE, LEAST_SUN = 0.02, 0.25
_REDS = ("red", "green", "blue")
_AXES = {"latitude": "y", "longitude": "x", "lat": "y", "lon": "x"}


def spectral_species(
    cube: xr.Dataset | xr.DataArray,
    *,
    clusters: int = CLUSTERS,
    repeats: int = REPEATS,
    components: int | Sequence[int] | None = None,
    samples: int = 100_000,
    seed: int = 0,
) -> xr.DataArray:
    """Each pixel's spectral species, in several independent clusterings.

    Bands (and dates) are standardised, turned by a principal component analysis, and clustered with k-means, each
    repeat on a random sample of pixels of its own.

    Parameters
    ----------
    cube : xarray.Dataset or xarray.DataArray
        Reflectance with axes y, x and any others (bands, dates), which all become features. A pixel that lacks a
        feature, by NaN or by what its ``_FillValue`` or ``nodata`` says, is left out. A lazy cube is computed: all its
        features lie in memory at once.
    clusters : int
        Spectral species of each repeat (biodivMapR: 50).
    repeats : int
        Independent clusterings (10).
    components : int or sequence of int, optional
        The first so many principal components, or these, from 0. Default: those that together hold 99 % of the
        variance.
    samples : int
        Pixels drawn to fit all repeats.
    seed : int
        Of the drawing and the clustering.

    Returns
    -------
    xarray.DataArray
        int16 with axes ``repeat``, y, x: 0 to ``clusters - 1``, and -1 where a pixel is left out.

    Raises
    ------
    BadRequest
        For axes without y and x, fewer complete pixels than clusters, numbers that are not positive, or components that
        there are not.

    References
    ----------
    Féret and Asner (2014), Mapping tropical forest canopy diversity using high-fidelity imaging spectroscopy,
    Ecological Applications 24, 1289-1296, doi:10.1890/13-1824.1; Féret and de Boissieu (2020), biodivMapR: an R package
    for α- and β-diversity mapping using remotely sensed images, Methods in Ecology and Evolution 11, 64-70,
    doi:10.1111/2041-210X.13310.
    """
    from sklearn.cluster import KMeans  # heavy, and only this needs it

    stacked, like = _features(cube)
    if clusters < 2 or repeats < 1 or samples < 1:
        raise BadRequest(
            f"spectral_species: clusters={clusters}, repeats={repeats}, samples={samples}: expected 2, 1, 1 or more."
        )
    whole = np.isfinite(stacked).all(axis=1)
    pixels = stacked[whole]
    if len(pixels) < clusters:
        raise BadRequest(
            f"spectral_species: {len(pixels)} pixels have every band and date, expected {clusters} or more."
        )
    turned = _turned(pixels, components)
    random = np.random.default_rng(seed)
    share = min(len(pixels), max(clusters, samples // repeats))
    found = np.full((repeats, whole.size), -1, np.int16)
    for repeat in range(repeats):
        drawn = turned[random.choice(len(turned), share, replace=False)]
        model = KMeans(clusters, n_init=1, random_state=int(random.integers(2**31))).fit(drawn)
        found[repeat, whole] = model.predict(turned)
    axes = ("repeat", *like.dims)
    attrs = {"long_name": "espèce spectrale / spectral species", "units": "1", "clusters": clusters}
    coords = {name: value for name, value in like.coords.items() if set(value.dims) <= set(like.dims)}
    return xr.DataArray(
        found.reshape(repeats, *like.shape), dims=axes, coords=coords, name="species", attrs=attrs | _grid(like)
    )


def alpha_diversity(
    species: xr.DataArray, *, window: int = WINDOW, least_share: float = LEAST_SHARE, least_sun: float = LEAST_SUN
) -> xr.Dataset:
    """Diversity of spectral species in each window, the mean over the repeats.

    Parameters
    ----------
    species : xarray.DataArray
        What `spectral_species` gives: ``repeat``, y, x, -1 where a pixel is left out.
    window : int
        Pixels along a side (biodivMapR: 10). Incomplete windows at the end are left away.
    least_share : float
        Species with a smaller share of a window are taken for noise (0.02, ``pcelim``).
    least_sun : float
        Windows with a smaller share of usable pixels are NaN (0.25).

    Returns
    -------
    xarray.Dataset
        By window: ``richness``, ``shannon`` (nat), ``simpson`` (1 - Σp²), ``hill_1`` (exp of Shannon), ``hill_2``
        (inverse of Σp²), ``sun`` (share of usable pixels), and ``shannon_error``, the standard deviation over repeats.

    Raises
    ------
    BadRequest
        For other axes, a window larger than the scene, or shares outside [0, 1].
    """
    counts = _counts(species, window, least_share, least_sun, "alpha_diversity")
    shares = counts.shares
    entropy, concentration = -xlogy(shares, shares).sum(axis=-1), (shares**2).sum(axis=-1)
    lit = counts.sun >= least_sun
    layers = {
        "richness": ((shares > 0).sum(axis=-1).mean(axis=0), "1", "richesse / richness"),
        "shannon": (entropy.mean(axis=0), "1", "indice de Shannon / Shannon index"),
        "shannon_error": (entropy.std(axis=0), "1", "écart-type entre répétitions / deviation over repeats"),
        "simpson": (1 - concentration.mean(axis=0), "1", "indice de Simpson / Simpson index"),
        "hill_1": (np.exp(entropy).mean(axis=0), "1", "nombre de Hill q=1 / Hill number q=1"),
        "hill_2": ((1 / np.maximum(concentration, 1e-12)).mean(axis=0), "1", "nombre de Hill q=2 / Hill number q=2"),
    }
    found = {name: counts.map(np.where(lit, v, np.nan), u, title) for name, (v, u, title) in layers.items()}
    found["sun"] = counts.map(counts.sun, "1", "part de pixels utiles / share of usable pixels")
    return xr.Dataset(found)


def beta_diversity(
    species: xr.DataArray,
    *,
    window: int = WINDOW,
    least_share: float = LEAST_SHARE,
    least_sun: float = LEAST_SUN,
    samples: int = 2_000,
    seed: int = 0,
) -> xr.Dataset:
    """How windows differ: Bray–Curtis between them, laid out on three axes and shown as red, green and blue.

    Parameters
    ----------
    species, window, least_share, least_sun
        As for `alpha_diversity`.
    samples : int
        Windows at most that are laid out against each other (biodivMapR: 2 000); others take the place of the three
        windows most like them, weighted by likeness.
    seed : int
        Of the choice of windows.

    Returns
    -------
    xarray.Dataset
        By window ``axis_1`` to ``axis_3``, the coordinates (PCoA), and ``red``, ``green``, ``blue``, the same between 0
        and 1 from their 2nd to their 98th percentile. NaN where a window has too few usable pixels.
        ``attrs["explained"]`` has the share of the positive eigenvalues that each axis holds.

    Raises
    ------
    BadRequest
        As `alpha_diversity` does, or where fewer than two windows have enough pixels.

    References
    ----------
    As for `spectral_species`.
    """
    counts = _counts(species, window, least_share, least_sun, "beta_diversity")
    rows, columns = np.nonzero(counts.sun >= least_sun)
    if rows.size < 2:
        raise BadRequest(
            f"beta_diversity: {rows.size} windows have enough usable pixels, expected two. Lower least_sun=."
        )
    shares = counts.shares[:, rows, columns]
    chosen = np.sort(np.random.default_rng(seed).permutation(rows.size)[:samples])
    places, values = principal_coordinates(pd.DataFrame(_apart(shares, chosen, chosen)), axes=3)
    laid = np.zeros((rows.size, 3))
    laid[chosen, : places.shape[1]] = places
    others = np.setdiff1d(np.arange(rows.size), chosen)
    laid[others] = _among(_apart(shares, others, chosen), laid[chosen])
    maps = {f"axis_{at + 1}": laid[:, at] for at in range(3)} | {
        c: _stretched(laid[:, at]) for at, c in enumerate(_REDS)
    }
    found = xr.Dataset(
        {name: counts.map(_placed(counts.sun.shape, rows, columns, v), "1", name) for name, v in maps.items()}
    )
    found.attrs["explained"] = [float(value) for value in values[:3] / values[values > 0].sum()]
    return found


class _Counts(NamedTuple):
    shares: Array
    """Repeat, row, column of windows, species."""
    sun: Array
    like: xr.DataArray

    def map(self, values: Array, units: str, title: str) -> xr.DataArray:
        return self.like.copy(data=values).assign_attrs(long_name=title, units=units)


def _features(cube: xr.Dataset | xr.DataArray) -> tuple[Array, xr.DataArray]:
    arrays = [cube] if isinstance(cube, xr.DataArray) else [cube[name] for name in cube.data_vars]
    named = [array.rename({d: n for d, n in _AXES.items() if d in array.dims}) for array in arrays]
    flat = [array for array in named if {"y", "x"} <= set(array.dims)]
    if not flat:
        raise BadRequest(
            "spectral_species: expected bands with axes y and x. Rename the axes: cube.rename(row='y', col='x')."
        )
    layers = []
    for array in flat:
        others = [axis for axis in array.dims if axis not in ("y", "x")]
        stored = array.transpose(*others, "y", "x").values
        values = np.where(has_data(stored, nodata_of(array)), stored.astype("float64"), np.nan)
        layers.append(values.reshape(-1, array.sizes["y"] * array.sizes["x"]))
    like = flat[0].isel({axis: 0 for axis in flat[0].dims if axis not in ("y", "x")}, drop=True).transpose("y", "x")
    return np.concatenate(layers).T, like


def _grid(like: xr.DataArray) -> dict[str, Any]:
    return {"grid_mapping": "spatial_ref"} if "spatial_ref" in like.coords else {}


def _turned(pixels: Array, components: int | Sequence[int] | None) -> Array:
    spread = pixels.std(axis=0)
    if not (spread > 0).any():
        raise BadRequest("spectral_species: every pixel is the same. There is nothing to tell apart.")
    standard = (pixels - pixels.mean(axis=0)) / np.where(spread > 0, spread, 1)
    values, vectors = np.linalg.eigh(np.cov(standard.T).reshape(standard.shape[1], -1))
    values, vectors = values[::-1], vectors[:, ::-1]
    if components is None:
        components = int(np.searchsorted(np.cumsum(values) / values.sum(), 0.99)) + 1
    kept = list(range(int(components))) if isinstance(components, int | np.integer) else list(components)
    if not kept or min(kept) < 0 or max(kept) >= values.size:
        raise BadRequest(f"spectral_species: components are {kept}, expected some of 0 to {values.size - 1}.")
    return np.asarray(standard @ vectors[:, kept])


def _counts(species: xr.DataArray, window: int, least_share: float, least_sun: float, verb: str) -> _Counts:
    if not isinstance(species, xr.DataArray) or species.dims != ("repeat", "y", "x"):
        raise BadRequest(f"{verb}: expected what spectral_species gives, with axes repeat, y, x.")
    if not 1 <= window <= min(species.sizes["y"], species.sizes["x"]):
        raise BadRequest(
            f"{verb}: window is {window!r}, expected 1 to {min(species.sizes['y'], species.sizes['x'])} pixels."
        )
    if not (0 <= least_share < 1 and 0 <= least_sun <= 1):
        raise BadRequest(
            f"{verb}: least_share={least_share!r} and least_sun={least_sun!r}, expected shares from 0 to 1."
        )
    rows, columns = species.sizes["y"] // window, species.sizes["x"] // window
    cut = species.isel(y=slice(rows * window), x=slice(columns * window))
    codes = np.nan_to_num(cut.values, nan=-1).reshape(-1, rows, window, columns, window).astype(np.int64)
    kinds = max(int(species.attrs.get("clusters", 0)), int(codes.max()) + 1, 1)
    repeats = codes.shape[0]
    place = (np.arange(repeats)[:, None, None] * rows + np.arange(rows)[:, None]) * columns + np.arange(columns)
    joined = place[:, :, None, :, None] * (kinds + 1) + codes + 1
    table = np.bincount(joined.ravel(), minlength=repeats * rows * columns * (kinds + 1))
    counts = table.reshape(repeats, rows, columns, kinds + 1)[..., 1:].astype(float)
    like = cut.isel(repeat=0, drop=True).astype(float).coarsen(y=window, x=window).mean()
    like.attrs = _grid(like)
    return _Counts(_shares(counts, least_share), counts[0].sum(axis=-1) / window**2, like)


def _shares(counts: Array, least_share: float) -> Array:
    total = counts.sum(axis=-1, keepdims=True)
    kept = np.where(counts >= least_share * total, counts, 0)
    rest = kept.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(kept, rest, out=np.zeros_like(kept), where=rest > 0))


def _apart(shares: Array, some: Array, others: Array) -> Array:
    """Bray–Curtis between windows, the mean over repeats; the shares of a window add up to one, so that 2 divides."""
    return np.asarray(sum(cdist(each[some], each[others], "cityblock") for each in shares) / (2 * len(shares)))


def _among(apart: Array, places: Array) -> Array:
    if not len(apart):
        return np.zeros((0, places.shape[1]))
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :3]
    weights = 1 / np.maximum(np.take_along_axis(apart, nearest, axis=1), 1e-9)
    return np.asarray((places[nearest] * weights[..., None]).sum(axis=1) / weights.sum(axis=1, keepdims=True))


def _stretched(values: Array) -> Array:
    low, high = np.percentile(values, [2, 98])
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.full_like(values, 0.5)


def _placed(shape: tuple[int, ...], rows: Array, columns: Array, values: Array) -> Array:
    found = np.full(shape, np.nan)
    found[rows, columns] = values
    return found
