"""What a survey drawn at random within strata says of the shares of a whole, with errors and intervals.

A class that is rare, or that no place of a large stratum showed, is not known symmetrically: the share may be larger
than what was found far more easily than smaller. Its interval is put together from the interval of each stratum.
"""

from typing import NamedTuple

import numpy as np

from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import quantile_of_normal


class Interval(NamedTuple):
    """Lower and upper ends."""

    low: Array
    high: Array


class Shares(NamedTuple):
    """Shares by class of the reference, and how well the map has them, with standard errors of large samples."""

    share: Array
    share_se: Array
    user: Array
    user_se: Array
    producer: Array
    producer_se: Array
    overall: Array
    overall_se: Array


def estimate(counts: Array, pixels: Array) -> Shares:
    """Unbiased shares and accuracies, with the standard errors of Olofsson et al. (2014).

    Parameters
    ----------
    counts : numpy.ndarray
        Numbers of places, axes (…, class of the map, class of the reference).
    pixels : numpy.ndarray
        Size of each class of the map, in any unit.
    """
    weight = pixels / pixels.sum()
    places = counts.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.nan_to_num(counts / places[..., None])
        spread = np.where(weight[:, None] > 0, rate * (1 - rate) / np.maximum(places - 1, 1)[..., None], 0.0)
        share = (weight[:, None] * rate).sum(axis=-2)
        user = np.where(places > 0, np.diagonal(rate, axis1=-2, axis2=-1), np.nan)
        right = weight * np.nan_to_num(user)
        producer = right / share
        user_variance = np.diagonal(spread, axis1=-2, axis2=-1)
        squared = weight[:, None] ** 2 * spread
        own = np.diagonal(squared, axis1=-2, axis2=-1)
        others = squared.sum(axis=-2) - own
        producer_variance = ((1 - producer) ** 2 * own + producer**2 * others) / share**2
    return Shares(
        share=share,
        share_se=np.sqrt(squared.sum(axis=-2)),
        user=user,
        user_se=np.where(places > 0, np.sqrt(user_variance), np.nan),
        producer=producer,
        producer_se=np.sqrt(producer_variance),
        overall=right.sum(axis=-1),
        overall_se=np.sqrt((weight**2 * user_variance).sum(axis=-1)),
    )


class Intervals(NamedTuple):
    """Intervals of what `Shares` holds."""

    share: Interval
    user: Interval
    producer: Interval
    overall: Interval


def intervals(counts: Array, pixels: Array, level: float = 0.95) -> Intervals:
    """Intervals of confidence that hold what they say for rare classes and few places, too.

    Each stratum has Wilson's interval. Those of a sum over strata are put together by the squares of the distances to
    either end (MOVER), and a producer's accuracy is one over one plus the ratio of what the other strata hold of the
    class to what its own holds (MOVER-R).

    Parameters
    ----------
    counts, pixels
        As for `estimate`.
    level : float
        Probability of the intervals.

    References
    ----------
    Wilson (1927), doi:10.1080/01621459.1927.10502953; Zou, Huang and Zhang (2009), A note on confidence interval
    estimation for a linear function of binomial proportions, doi:10.1016/j.csda.2008.09.033; Newcombe (2016), MOVER-R
    confidence intervals for ratios and products of two independently estimated quantities,
    doi:10.1177/0962280213502144.
    """
    weight = pixels / pixels.sum()
    places = counts.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.nan_to_num(counts / places[..., None])
    one = wilson(rate, places[..., None], level)
    user = np.diagonal(rate, axis1=-2, axis2=-1)
    of_user = Interval(*(np.diagonal(end, axis1=-2, axis2=-1) for end in one))
    elsewhere = weight[:, None] * (1 - np.eye(weight.size))
    missed = summed(rate, one, elsewhere)
    producer = _ratio_of_parts(
        (elsewhere * rate).sum(axis=-2), missed, weight * user, Interval(weight * of_user.low, weight * of_user.high)
    )
    seen = Interval(*(np.where(places > 0, end, np.nan) for end in of_user))
    overall = summed(user[..., None], Interval(*(end[..., None] for end in of_user)), weight[:, None])
    return Intervals(
        share=summed(rate, one, weight[:, None]),
        user=seen,
        producer=producer,
        overall=Interval(*(end[..., 0] for end in overall)),
    )


def wilson(rate: Array, places: Array, level: float) -> Interval:
    """Wilson's interval of a share found in a number of places; 0 to 1 where there is none."""
    reach = quantile_of_normal(level) ** 2
    number = places + reach
    middle = (rate * places + reach / 2) / number
    half = np.sqrt(reach * (rate * (1 - rate) * places + reach / 4)) / number
    return Interval(np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1))


def summed(rate: Array, one: Interval, weight: Array) -> Interval:
    """Interval of ``Σ weight · rate`` over the last axis but one, from those of independent rates (MOVER)."""
    total = (weight * rate).sum(axis=-2)
    below, above = (np.sqrt(((weight * (rate - end)) ** 2).sum(axis=-2)) for end in one)
    whole = np.broadcast_to(weight, rate.shape).sum(axis=-2)
    return Interval(np.maximum(total - below, 0.0), np.minimum(total + above, whole))


def _ratio_of_parts(other: Array, of_other: Interval, own: Array, of_own: Interval) -> Interval:
    # Of own / (own + other), from Newcombe's limits of other / own, the lower one written so that own may be 0.
    product = own * other
    lower, upper = of_other.low * (2 * other - of_other.low), of_own.high * (2 * own - of_own.high)
    with np.errstate(divide="ignore", invalid="ignore"):
        least = lower / (product + np.sqrt(np.maximum(product**2 - lower * upper, 0.0)))
        least = np.where(lower > 0, least, 0.0)
        lower, upper = of_own.low * (2 * own - of_own.low), of_other.high * (2 * other - of_other.high)
        most = (product + np.sqrt(np.maximum(product**2 - lower * upper, 0.0))) / lower
        most = np.where(lower > 0, most, np.inf)
    unknown = own + other == 0
    return Interval(*(np.where(unknown, np.nan, 1 / (1 + end)) for end in (most, least)))
