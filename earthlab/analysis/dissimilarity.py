"""How unlike communities are, and a plane on which such distances can be seen."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform

from earthlab.analysis.kernels.compiling import Array
from earthlab.errors import BadRequest


def bray_curtis(matrix: pd.DataFrame) -> pd.DataFrame:
    """How unlike each two sites are: ``Σ|a - b| / Σ(a + b)``, 0 for the same community and 1 for no species in common.

    Parameters
    ----------
    matrix : pandas.DataFrame, or array
        Sites in rows, species in columns; none negative. Of presence and absence it is Sørensen's dissimilarity.

    Returns
    -------
    pandas.DataFrame
        Site by site. Two empty sites are NaN.

    Raises
    ------
    BadRequest
        For values that are negative or missing.

    References
    ----------
    Bray and Curtis (1957), An ordination of the upland forest communities of southern Wisconsin, Ecological Monographs
    27, 325-349, doi:10.2307/1942268.
    """
    sites = sites_by_species(matrix, "bray_curtis")
    with np.errstate(invalid="ignore"):
        apart = squareform(pdist(sites.to_numpy(), "braycurtis"), checks=False)
    return pd.DataFrame(apart, index=sites.index, columns=sites.index)


def principal_coordinates(distances: pd.DataFrame, axes: int = 3) -> tuple[pd.DataFrame, Array]:
    """Places for sites such that their distances are the given ones as nearly as can be (PCoA, classical scaling).

    Parameters
    ----------
    distances : pandas.DataFrame, or array
        Site by site, symmetric, zero on the diagonal.
    axes : int
        How many axes to keep.

    Returns
    -------
    tuple
        Coordinates (site, axis), the axis of the largest eigenvalue first; and all eigenvalues, falling, of which some
        are negative where the distances are not Euclidean. Axes without a positive eigenvalue are zero. Each axis
        points so that its largest coordinate is positive.

    Raises
    ------
    BadRequest
        For a table that is not square and symmetric, has missing values, or is of likeness: not 0 on the diagonal.

    References
    ----------
    Gower (1966), Some distance properties of latent root and vector methods used in multivariate analysis, Biometrika
    53, 325-338, doi:10.1093/biomet/53.3-4.325.
    """
    apart = np.asarray(distances, float)
    if apart.ndim != 2 or apart.shape[0] != apart.shape[1] or not np.allclose(apart, apart.T):
        raise BadRequest("principal_coordinates: expected distances site by site, symmetric and without gaps.")
    if not np.allclose(np.diag(apart), 0):
        raise BadRequest(
            f"principal_coordinates: a site is {np.diag(apart).max():g} away from itself, expected 0. Of likeness take "
            "1 - likeness."
        )
    index = distances.index if isinstance(distances, pd.DataFrame) else pd.RangeIndex(len(apart))
    squares = -(apart**2) / 2
    centred = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    values, vectors = np.linalg.eigh(centred)
    values, vectors = values[::-1], vectors[:, ::-1][:, :axes]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    places = vectors * np.where(largest < 0, -1, 1) * np.sqrt(np.clip(values[:axes], 0, None))
    names = [f"axis_{at + 1}" for at in range(places.shape[1])]
    return pd.DataFrame(places, index=index, columns=names), values


def sites_by_species(matrix: Any, verb: str) -> pd.DataFrame:
    """A table of sites by species, or a plain array of two axes, as float64.

    Raises
    ------
    BadRequest
        For one axis only, words, gaps or negative values.
    """
    if np.ndim(matrix) != 2:
        raise BadRequest(
            f"{verb}: expected a table, sites in rows and species in columns, found {np.ndim(matrix)} axis."
        )
    table = matrix if isinstance(matrix, pd.DataFrame) else pd.DataFrame(np.asarray(matrix))
    try:
        values = table.to_numpy("float64", na_value=np.nan)
    except (TypeError, ValueError) as exc:
        raise BadRequest(
            f"{verb}: expected a column of numbers for each species. Move names into the index; one row a record is "
            "for occurrences.community first."
        ) from exc
    if not np.isfinite(values).all() or (values < 0).any():
        raise BadRequest(f"{verb}: expected sites in rows, species in columns, 0 or more, without gaps: .fillna(0).")
    return pd.DataFrame(values, index=table.index, columns=table.columns)
