"""The course of a snow season in each pixel, day by day between the observations."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined

DURATION, ONSET, MELT, PERIODS, OBSERVATIONS = range(5)
"""Places of the results in the first axis of `snow_days`."""


@inlined
def _fill(covered: Array, days: Array, daily: Array) -> int:
    seen, before, share = 0, 0, 0.0
    for at in range(covered.size):
        now, value = days[at], covered[at]
        if np.isnan(value):
            continue
        for day in range(before, now):
            daily[day] = share + (value - share) * (day - before) / (now - before) if seen else value
        seen, before, share = seen + 1, now, value
    daily[before:] = share
    return seen


@inlined
def _measure(daily: Array, out: Array) -> None:
    total, spells, longest, onset, melt, run = 0, 0, 0, np.nan, np.nan, 0
    for day in range(daily.size):
        run = run + 1 if daily[day] >= 0.5 else 0
        total += run > 0
        spells += run == 1
        if run > longest:
            longest, onset, melt = run, day - run + 1, day
    out[DURATION], out[ONSET], out[MELT], out[PERIODS] = total, onset, melt, spells


@compiled
def snow_days(covered: Array, days: Array, length: int, out: Array) -> None:
    """Fill ``out`` (5, pixel) from ``covered`` (time, pixel): 1 snow, 0 none, NaN not seen.

    ``days`` counts the days from the first of the season, ascending; ``length`` is the number of days of the season.
    Between two observations the share of snow goes straight from one to the other, before the first and after the last
    it stays, and a day has snow from one half. The onset and melt are those of the longest spell, the first of equals.
    """
    daily = np.empty(length)
    for pixel in range(covered.shape[1]):
        seen = _fill(covered[:, pixel], days, daily)
        if seen:
            _measure(daily, out[:, pixel])
        else:
            out[:, pixel] = np.nan
        out[OBSERVATIONS, pixel] = seen
