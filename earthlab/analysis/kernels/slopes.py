"""Slopes between all pairs of dates of each column: what robust trends and rank tests are made of."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, called, compiled, inlined

LAYERS = ("slope", "slope_low", "slope_high", "intercept", "statistic", "variance", "tau", "observations")
"""What `pair_trends` fills in, in this order."""
FOUND = -1
"""For ``lags``: how far dependence reaches is found in each column."""
FEWEST = 8
"""Observations whose autocorrelation can be judged."""


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
def _rank(residuals, rounding, of_season, deviations):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # Fill in by how much the rank of each residual among those of its season is off the middle one; what rounding
    # makes is a tie. Returns the sum of squares.
    power = 0.0
    for at in range(residuals.size):
        above = 0.0
        for other in range(residuals.size):
            apart = residuals[at] - residuals[other]
            if of_season[at] == of_season[other] and abs(apart) > rounding:
                above += 0.5 if apart > 0 else -0.5
        deviations[at] = above
        power += above * above
    return power


@inlined
def _wave(at_years, which):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    turn = 2 * np.pi * (1 + which // 2)
    return np.cos(turn * at_years) if which % 2 else np.sin(turn * at_years)


@inlined
def _project(deviations, wave):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # Without the part of the deviations, in place, that is the wave.
    both, length = 0.0, 0.0
    for at in range(wave.size):
        both += deviations[at] * wave[at]
        length += wave[at] * wave[at]
    if length > 1e-6 * wave.size:
        for at in range(wave.size):
            deviations[at] -= both / length * wave[at]


@inlined
def _without_year(deviations, at_years):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # Takes away, in place, the waves of a year and half a year, which would pass for dependence. Returns the sum of
    # squares that stays.
    size = deviations.size
    waves = np.ones((5, size))
    for which in range(4):
        for at in range(size):
            waves[which + 1, at] = _wave(at_years[at], which)
        for before in range(which + 1):
            _project(waves[which + 1], waves[before])
        _project(deviations, waves[which + 1])
    power = 0.0
    for at in range(size):
        power += deviations[at] * deviations[at]
    return power


@inlined
def _inflation(deviations, power, lags, lost):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # By which dependence multiplies the variance of S: from the significant autocorrelations at the first lags, or
    # where lags is negative the greater of two: of their first run above zero, and of what follows from the first one,
    # which estimating the line (and the year) has made smaller by about lost / size.
    size = deviations.size
    observed, followed, follow, run = 1.0, 1.0, 0.0, power > 0
    for lag in range(1, min(lags if lags >= 0 else size, size - 3) + 1):
        share = 0.0
        if power > 0 and (run or lags >= 0):
            for at in range(lag, size):
                share += deviations[at] * deviations[at - lag] / power
        run = run and share > 0
        if lag == 1 and power > 0:
            follow = min(max((size * share + lost) / (size - lost - 2), 0.0), 0.99)
        weight = 2 * (size - lag) * (size - lag - 1.0) * (size - lag - 2.0) / (size * (size - 1.0) * (size - 2.0))
        if (lags < 0 and run) or (lags >= 0 and abs(share) > 1.96 / np.sqrt(size)):
            observed += weight * share
        followed += weight * follow**lag
    return max(observed, 1.0) if lags >= 0 else max(observed, followed)


@inlined
def _dependence(residuals, rounding, t, g, number, lags, deviations):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    power = _rank(residuals, rounding, g, deviations)
    span, lost = t[-1] - t[0], 2.0
    if lags < 0 and number == 1 and span >= 2 and t.size >= 4 * span:
        step = span / (t.size - 1)
        lost += 2 * np.cos(2 * np.pi * step) + 2 * np.cos(4 * np.pi * step)
        power = _without_year(deviations, t)
    return _inflation(deviations, power, lags, lost)


@inlined
def _gather(column, years, seasons, seen, at_years, of_season):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    size, largest = 0, 0.0
    for date in range(column.size):
        if np.isfinite(column[date]):
            seen[size], at_years[size], of_season[size] = column[date], years[date], seasons[date]
            largest = max(largest, abs(seen[size]))
            size += 1
    return size, largest


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


@called
def _fill(y, t, g, number, rounding, deviate, lags, slopes, deviations, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0913, PLR0917
    found, total, tau = _compare(y, t, g, slopes)
    if found == 0:
        return
    slope = _median(slopes[:found])
    residuals = y - slope * t
    variance = _variance(y, t, g, number)
    if lags != 0 and y.size >= FEWEST:
        variance *= _dependence(residuals, rounding, t, g, number, lags, deviations)
    spread = deviate * np.sqrt(variance)
    low = max(int(np.round((found - spread) / 2)) - 1, 0)
    high = min(int(np.round((found + spread) / 2)), found - 1)
    out[0], out[3] = slope, _median(residuals)
    out[1], out[2] = _kth(slopes[:found], low), _kth(slopes[:found], high)
    out[4], out[5], out[6] = total, variance, tau


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
        independent, `FOUND` finds how far dependence reaches.
    out : numpy.ndarray
        float64, written.
    """
    dates, pixels = values.shape
    number = seasons.max() + 1
    slopes = np.empty(dates * (dates - 1) // 2)
    seen, at_years, of_season = np.empty(dates), np.empty(dates), np.empty(dates, np.int64)
    deviations = np.empty(dates)
    for pixel in range(pixels):
        size, largest = _gather(values[:, pixel], years, seasons, seen, at_years, of_season)
        out[:, pixel] = np.nan
        out[7, pixel] = size
        if size >= 3:
            y, t, g = seen[:size], at_years[:size], of_season[:size]
            _fill(y, t, g, number, 1e-12 * largest, deviate, lags, slopes, deviations[:size], out[:, pixel])
