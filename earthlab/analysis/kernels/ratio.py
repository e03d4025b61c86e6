"""Normalised differences of two bands."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled


@compiled
def normalised_difference(plus: Array, minus: Array, out: Array) -> None:
    """Fill ``out`` with (plus - minus) / (plus + minus), NaN where either is missing or the sum is not positive.

    All three have one axis and one float dtype.
    """
    for at in range(out.size):
        total = plus[at] + minus[at]
        share = (plus[at] - minus[at]) / total
        out[at] = share if total > 0 else np.nan
