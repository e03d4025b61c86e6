"""Compiled loops over time columns: plain arrays in and out, no xarray and no dask.

Arrays are (time, pixel), contiguous, NaN where there is no observation. Which dates form which period is told by
`order`, places along time in the order to take them, and `cuts`: period ``g`` is ``order[cuts[g]:cuts[g + 1]]``.
Pixels are taken in strips short enough for a processor's first cache, and every inner loop runs along a strip, so that
one instruction serves several pixels.
"""

from earthlab.analysis.kernels.networks import invert_network
from earthlab.analysis.kernels.order import quantiles
from earthlab.analysis.kernels.ratio import normalised_difference
from earthlab.analysis.kernels.spectra import extreme_dates, medoid_dates, take_dates
from earthlab.analysis.kernels.totals import counts, extremes, mark_seen, totals
from earthlab.analysis.kernels.weighted import column_flags, weighted_means

__all__ = [
    "column_flags",
    "counts",
    "extreme_dates",
    "extremes",
    "invert_network",
    "mark_seen",
    "medoid_dates",
    "normalised_difference",
    "quantiles",
    "take_dates",
    "totals",
    "weighted_means",
]
