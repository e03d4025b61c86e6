"""Weighted synthesis of each column: land is averaged, snow and water only fill."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled

CLOUD, SNOW, WATER, LAND = 1, 2, 3, 4
"""States of an observation, in the codes of Theia's product; 0 is no data."""

_STRIP = 512


@compiled
def weighted_means(
    values: Array, states: Array, weights: Array, order: Array, cuts: Array, nearness: Array, out: Array
) -> None:
    """Fill ``out`` (period, pixel) with the weighted mean of land, else the last snow or water, else NaN.

    Parameters
    ----------
    values, states, weights : numpy.ndarray
        (time, pixel): what is averaged, the state of each observation (uint8) and its weight, positive on land.
    order, cuts : numpy.ndarray
        The periods.
    nearness : numpy.ndarray
        The weight of each date in its period, aligned with ``order``.
    out : numpy.ndarray
        Written, of the dtype of ``values``.
    """
    pixels = values.shape[1]
    sums, shares = np.empty(_STRIP), np.empty(_STRIP)
    for period in range(cuts.size - 1):
        for left in range(0, pixels, _STRIP):
            right = min(left + _STRIP, pixels)
            last = out[period, left:right]
            sums[:] = 0
            shares[:] = 0
            last[:] = np.nan
            for place in range(cuts[period], cuts[period + 1]):
                date = order[place]
                row, state, weight = values[date, left:right], states[date, left:right], weights[date, left:right]
                near = nearness[place]
                for at in range(row.size):  # without branches, so that it runs on several pixels at once
                    value, kind, share = row[at], state[at], near * weight[at]
                    here = value == value  # noqa: PLR0124 - false for NaN
                    land = here & (kind == LAND)
                    sums[at] += share * value if land else 0.0
                    shares[at] += share if land else 0.0
                    last[at] = value if here & (kind >= SNOW) else last[at]
            for at in range(last.size):
                last[at] = sums[at] / shares[at] if shares[at] > 0 else last[at]


@compiled
def column_flags(
    states: Array, weights: Array, order: Array, cuts: Array, nearness: Array, flag: Array, weight: Array
) -> None:
    """Fill ``flag`` (uint8) and ``weight`` (float32), both (period, pixel).

    A flag is 4 (land) where any land was seen, else the last of 3 (water) and 2 (snow), else 1 (cloud), else 0;
    the weight is the sum over land.
    """
    for period in range(cuts.size - 1):
        best, total = flag[period], weight[period]
        best[:] = 0
        total[:] = 0
        for place in range(cuts[period], cuts[period + 1]):
            state, share = states[order[place]], weights[order[place]]
            for at in range(best.size):
                total[at] += nearness[place] * share[at] if state[at] == LAND else 0.0
                replaces = best[at] != LAND and (state[at] >= SNOW or (best[at] < SNOW and state[at] > best[at]))
                best[at] = state[at] if replaces else best[at]
