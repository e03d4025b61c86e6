"""A guard against catalogues that lie: reflectance that cannot be, told once a band."""

import numpy as np

from earthlab.cube.faults import tell
from earthlab.cube.plan import CubePlan
from earthlab.cube.readers.window import Array
from earthlab.errors import RadiometryWarning

_OPTICAL = ("coastal", "blue", "green", "yellow", "red", "nir", "swir", "cirrus")

_EVERY = 8
"""Of so many rows and columns one pixel is looked at."""

_LEAST = 64
"""Fewer observations than these prove nothing."""

_told: set[tuple[str, str]] = set()


def doubt_radiometry(plan: CubePlan, band: str, values: Array) -> None:
    """Warn where a reflectance band of a block is mostly impossible: negative, or far above one.

    Parameters
    ----------
    plan : CubePlan
        Where the values come from.
    band : str
        Only the common names of optical bands in units of 1 are reflectance.
    values : numpy.ndarray
        Axes time, y, x.
    """
    if plan.units[plan.bands.index(band)] != "1" or not band.startswith(_OPTICAL) or (plan.token, band) in _told:
        return
    sample = values[:, ::_EVERY, ::_EVERY]
    sample = sample[np.isfinite(sample)]
    if sample.size < _LEAST:
        return
    low, high = float(np.mean(sample < -0.02)), float(np.mean(sample > 2))
    if max(low, high) > 0.2:
        _told.add((plan.token, band))
        found = f"{low:.0%} of the values are below -0.02" if low > high else f"{high:.0%} of the values are above 2"
        tell(
            f"Cube {plan.token}, band {band!r}: {found}, expected reflectance from 0 to 1. The catalogue's scale or "
            "offset does not fit these files (offset applied twice, or forgotten). Correct it in the collection's "
            "profile, or report it to the catalogue.",
            RadiometryWarning,
        )
