"""Least squares under white noise, and under the flicker (1/f) noise that geodetic series have.

Errors of one day resemble those of the days around it. An estimate from thousands of days is then far less sure than
the same number of independent days would make it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.linalg import toeplitz
from scipy.optimize import minimize_scalar

from earthlab.analysis.harmonics import YEAR
from earthlab.analysis.kernels.compiling import Array
from earthlab.errors import BadRequest

_MOST_BINS = 600
"""Averages whose covariance is set up: 3 MB, taken apart in some tenths of a second."""
_FREE = 3
"""Averages that a model must leave over."""
_RATIOS = np.linspace(-12, 12, 9)
"""Natural logarithms of the flicker variance over the white one at which the search for the best begins."""


class Fit(NamedTuple):
    """Estimates of a linear model, their covariance, its degrees of freedom, and the noise found."""

    estimates: Array
    covariance: Array
    freedom: int
    noise: Mapping[str, float]


def fit_white(design: Array, values: Array, weights: Array) -> Fit:
    """Weighted least squares whose errors are scaled by what is left over.

    Parameters
    ----------
    design : numpy.ndarray
        (observation, term), of full rank.
    values, weights : numpy.ndarray
        One an observation; a weight is the inverse of a variance, up to one factor for all.

    Returns
    -------
    Fit
        ``noise["white"]``, the standard deviation of an observation of average weight.
    """
    fitted, _ = _solve(design * np.sqrt(weights)[:, None], values * np.sqrt(weights))
    return fitted._replace(noise={"white": fitted.noise["white"] / float(np.sqrt(weights.mean()))})


def fit_flicker(days: Array, design: Array, values: Array, weights: Array) -> Fit:
    """Generalised least squares under white plus flicker noise, their shares by restricted maximum likelihood.

    Observations and design are first averaged over up to 600 equal spans of time, which leaves the model exact.

    Parameters
    ----------
    days : numpy.ndarray
        Time of each observation, ascending.
    design, values, weights : numpy.ndarray
        As for `fit_white`.

    Returns
    -------
    Fit
        ``noise["white"]`` as for `fit_white`, and ``noise["flicker"]`` in the unit of the values a year^1/4, as
        Williams defines it for the median time between observations.

    Raises
    ------
    BadRequest
        Where too few averages are left for the terms.

    References
    ----------
    Williams (2003), The effect of coloured noise on the uncertainties of rates estimated from geodetic time series,
    Journal of Geodesy 76, 483-494, doi:10.1007/s00190-002-0283-4, for the covariance: fractional differences after
    Hosking (1981), from the first observation on.
    """
    step = float(np.median(np.diff(days)))
    width = max(step, float(days[-1] - days[0]) / _MOST_BINS)
    bins, slots, sums = _averages(days, np.column_stack([design, values]), weights, width)
    if len(slots) < design.shape[1] + _FREE:
        raise BadRequest(
            f"Flicker noise: the observations lie at {len(slots)} separate times for {design.shape[1]} terms, expected "
            f"{_FREE} more than terms. Ask for fewer terms, or noise='white'."
        )
    white = np.sqrt(weights.mean() / sums)
    shares, axes = _modes(slots.tobytes(), white.tobytes())
    apart = axes.T @ (bins / white[:, None])

    def fitted_at(ratio: float) -> tuple[Fit, float]:
        variances = 1 + np.exp(ratio) * shares
        whitened = apart / np.sqrt(variances)[:, None]
        fitted, spread = _solve(whitened[:, :-1], whitened[:, -1])
        return fitted, spread + float(np.log(variances).sum())

    best = _least(lambda ratio: fitted_at(ratio)[1])
    fitted, _ = fitted_at(best)
    sigma = fitted.noise["white"]
    amplitude = sigma * float(np.exp(best / 2)) * (step / YEAR) ** -0.25
    return fitted._replace(noise={"white": sigma, "flicker": amplitude})


def flicker_covariance(number: int) -> Array:
    """Covariance of flicker noise at regular times that began with the first of them, float64 (number, number).

    It is what white noise of unit variance becomes by fractional differencing of order -1/2. Its spectrum at low
    frequencies, unlike that of white noise, does not depend on the time between observations.
    """
    places = np.arange(1, number)
    response = np.cumprod(np.concatenate([[1.0], (places - 0.5) / places]))
    filtered = np.tril(toeplitz(response))
    return np.asarray(filtered @ filtered.T)


@lru_cache(maxsize=8)
def _modes(slots: bytes, white: bytes) -> tuple[Array, Array]:
    """Variances and axes of flicker noise in units of the white one; kept, for components of a station share times."""
    places, sigmas = np.frombuffer(slots, "int64"), np.frombuffer(white)
    flicker = flicker_covariance(int(places[-1]) + 1)[np.ix_(places, places)]
    shares, axes = np.linalg.eigh(flicker / np.outer(sigmas, sigmas))
    return np.maximum(shares, 0), axes


def _averages(days: Array, columns: Array, weights: Array, width: float) -> tuple[Array, Array, Array]:
    """Weighted means of the columns over spans of time, the places of these spans, and their sums of weights."""
    slots, inside = np.unique(np.floor((days - days[0]) / width + 1e-6).astype("int64"), return_inverse=True)
    sums = np.bincount(inside, weights)
    means = np.stack([np.bincount(inside, weights * column) / sums for column in columns.T], axis=1)
    return means, slots, sums


def _solve(design: Array, values: Array) -> tuple[Fit, float]:
    """Ordinary least squares, and minus twice the logarithm of its restricted likelihood."""
    size = np.linalg.norm(design, axis=0)
    basis, upper = np.linalg.qr(design / size)
    estimates = np.linalg.solve(upper, basis.T @ values) / size
    freedom = len(values) - design.shape[1]
    left = values - design @ estimates
    variance = float(left @ left) / freedom
    inverse = np.linalg.inv(upper) / size[:, None]
    spread = 2 * float(np.log(np.abs(np.diag(upper)) * size).sum()) + freedom * float(np.log(max(variance, 1e-300)))
    return Fit(estimates, variance * inverse @ inverse.T, freedom, {"white": variance**0.5}), spread


def _least(objective) -> float:  # type: ignore[no-untyped-def]  # noqa: ANN001
    coarse = [objective(ratio) for ratio in _RATIOS]
    at = int(np.argmin(coarse))
    bounds = (_RATIOS[max(at - 1, 0)], _RATIOS[min(at + 1, len(_RATIOS) - 1)])
    return float(minimize_scalar(objective, bounds=bounds, method="bounded", options={"xatol": 0.01}).x)
