"""Slopes between all pairs of dates of each column: what robust trends and rank tests are made of."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined

LAYERS = ("slope", "slope_low", "slope_high", "intercept", "statistic", "variance", "tau", "observations")
"""What `pair_trends` fills in, in this order."""


@inlined
def _kth(values, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba finds the types
    # Hoare's selection, in place; by hand, because numba takes seconds to compile numpy's.
    left, right = 0, values.size - 1
    while left < right:
        pivot = values[(left + right) // 2]
        low, high = left, right
        while low <= high:
            while values[low] < pivot:
                low += 1
            while values[high] > pivot:
                high -= 1
            if low <= high:
                values[low], values[high] = values[high], values[low]
                low += 1
                high -= 1
        if place <= high:
            right = high
        elif place >= low:
            left = low
        else:
            break
    return values[place]


@inlined
def _median(values):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    half = values.size // 2
    above = _kth(values, half)
    return above if values.size % 2 else (values[:half].max() + above) / 2


@inlined
def _tie_term(values):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    total = 0.0
    for value in values:
        alike = (values == value).sum()
        total += (alike - 1.0) * (2.0 * alike + 5.0)
    return total


@inlined
def _ranks(values):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    ranks = np.empty(values.size)
    for at in range(values.size):
        ranks[at] = (values < values[at]).sum() + ((values == values[at]).sum() + 1) / 2
    return ranks


@inlined
def _inflation(residuals, lags):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    size = residuals.size
    deviations = _ranks(residuals)
    deviations -= (size + 1) / 2
    power = (deviations * deviations).sum()
    factor = 1.0
    for lag in range(1, min(lags, size - 3) + 1):
        share = (deviations[lag:] * deviations[: size - lag]).sum() / power if power > 0 else 0.0
        if abs(share) > 1.96 / np.sqrt(size):
            weight = (size - lag) * (size - lag - 1.0) * (size - lag - 2.0)
            factor += 2 * weight * share / (size * (size - 1.0) * (size - 2.0))
    return max(factor, 1.0)


@inlined
def _gather(column, years, seasons, seen, at_years, of_season):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    size = 0
    for date in range(column.size):
        if np.isfinite(column[date]):
            seen[size], at_years[size], of_season[size] = column[date], years[date], seasons[date]
            size += 1
    return size


@inlined
def _compare(seen, at_years, of_season, slopes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # Number of slopes, S, and tau-b.
    found, pairs, same_value, same_time, total = 0, 0, 0, 0, 0.0
    for late in range(1, seen.size):
        for early in range(late):
            if of_season[late] != of_season[early]:
                continue
            rise, apart = seen[late] - seen[early], at_years[late] - at_years[early]
            pairs += 1
            same_value += rise == 0
            same_time += apart == 0
            if apart > 0:
                total += np.sign(rise)
                slopes[found] = rise / apart
                found += 1
    compared = np.sqrt(float(pairs - same_value) * float(pairs - same_time))
    return found, total, total / compared if compared > 0 else np.nan


@inlined
def _variance(seen, at_years, of_season, number):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    variance = 0.0
    for season in range(number):
        members = of_season == season
        size = members.sum()
        terms = size * (size - 1.0) * (2.0 * size + 5.0)
        variance += (terms - _tie_term(seen[members]) - _tie_term(at_years[members])) / 18
    return variance


@compiled
def pair_trends(values: Array, years: Array, seasons: Array, deviate: float, lags: int, out: Array) -> None:
    """Fill ``out`` (layer, pixel) with the trend of each column: see `LAYERS`; NaN for fewer than three observations.

    Parameters
    ----------
    values : numpy.ndarray
        Columns (time, pixel) in the order of time.
    years : numpy.ndarray
        float64, ascending: the dates in years.
    seasons : numpy.ndarray
        int64, the season of each date, from 0: only dates of the same season are compared.
    deviate : float
        Quantile of the normal law that half the width of the interval is: 1.96 for 95 %.
    lags : int
        The variance is corrected for the significant autocorrelation at so many first lags; 0 takes observations as
        independent.
    out : numpy.ndarray
        float64, written.
    """
    dates, pixels = values.shape
    number = seasons.max() + 1
    slopes = np.empty(dates * (dates - 1) // 2)
    seen, at_years, of_season = np.empty(dates), np.empty(dates), np.empty(dates, np.int64)
    for pixel in range(pixels):
        size = _gather(values[:, pixel], years, seasons, seen, at_years, of_season)
        y, t, g = seen[:size], at_years[:size], of_season[:size]
        found, total, tau = _compare(y, t, g, slopes)
        out[:, pixel] = np.nan
        out[7, pixel] = size
        if size < 3 or found == 0:
            continue
        slope = _median(slopes[:found])
        residuals = y - slope * t
        variance = _variance(y, t, g, number) * _inflation(residuals, lags)
        spread = deviate * np.sqrt(variance)
        low = max(int(np.round((found - spread) / 2)) - 1, 0)
        high = min(int(np.round((found + spread) / 2)), found - 1)
        out[0, pixel], out[3, pixel] = slope, _median(residuals)
        out[1, pixel], out[2, pixel] = _kth(slopes[:found], low), _kth(slopes[:found], high)
        out[4, pixel], out[5, pixel], out[6, pixel] = total, variance, tau
