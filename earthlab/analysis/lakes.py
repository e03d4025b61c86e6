"""Lakes and reservoirs from altimetry: how much water came and went, from the height and the area of the surface.

Satellites see the height of a lake's surface and its area, never its bottom: a volume is always a change since a
reference date, and uncertainties are those of the height and of the relation between height and area (hypsometry).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.units import aligned, check_units, labelled, numbers_of
from earthlab.errors import BadRequest

Method = Literal["trapezoid", "pyramid"]
Array = np.ndarray[Any, np.dtype[Any]]

_KM3 = 1e-3
"""Cubic kilometres in a layer of one metre over a square kilometre."""
_LARGEST = 4e5
"""km²: the Caspian Sea has 3.9e5."""
_NO_VALUE = (9999.0, 9999.9, 9999.99, 9999.999)
"""What Hydroweb writes where there is no height or no area."""


def storage_change(
    height: Any, area: Any, *, reference: tuple[float, float] | None = None, method: Method = "trapezoid"
) -> Any:
    """The volume of water above the reference, in km³, from heights in m and areas in km².

    ``"trapezoid"`` is ``(H - H0)(A + A0) / 2``, the rule of Hydroweb's published volumes. ``"pyramid"`` is the volume
    of a frustum, ``(H - H0)(A + A0 + √(A A0)) / 3``.

    Parameters
    ----------
    height, area : pandas.Series, xarray.DataArray or array_like
        Along time, in metres and square kilometres; NaN is no observation.
    reference : (float, float), optional
        Height H0 (m) and area A0 (km²) where the volume is 0. Default: the earliest observation of both, which without
        an index of dates is the first row.
    method : {"trapezoid", "pyramid"}
        How the area is thought to change between the two heights.

    Returns
    -------
    pandas.Series, xarray.DataArray or numpy.ndarray
        As ``height``, with the area of the same date where both have dates; negative below the reference, NaN where
        height or area is missing.

    Raises
    ------
    BadRequest
        For units that contradict, an unknown method, areas that are negative, all 0 or larger than any lake (m²),
        Hydroweb's 9999 for no observation, no observation of both, or several axes without a reference.

    References
    ----------
    Crétaux et al. (2016), Lake volume monitoring from space, Surveys in Geophysics 37, 269-305,
    doi:10.1007/s10712-016-9362-6.
    """
    check_units(height, "m", verb="storage_change", what="height")
    check_units(area, "km2", verb="storage_change", what="area")
    if method not in ("trapezoid", "pyramid"):
        raise BadRequest(f"storage_change: method is {method!r}, expected 'trapezoid' or 'pyramid'.")
    level = numbers_of(height)
    surface = _at_the_same_dates(level, numbers_of(area))
    _check_lake(level, surface, "storage_change")
    level0, surface0 = _first(level, surface) if reference is None else reference
    mean = (surface + surface0) / 2 if method == "trapezoid" else (surface + surface0 + (surface * surface0) ** 0.5) / 3
    words = "variation de stock d'eau / change of water storage"
    return labelled((level - level0) * mean * _KM3, "storage_change", "km3", words, method=method)


def storage_error(height_error: Any, area: Any, *, reference_error: float = 0.0) -> Any:
    """Standard error of a change of storage that comes from the heights, in km³: ``A · √(σ² + σ0²)``.

    Parameters
    ----------
    height_error : pandas.Series, xarray.DataArray or array_like
        Standard deviation of each height in metres, as altimetry products give it.
    area : as ``height_error``
        Area of the surface in km².
    reference_error : float
        Standard deviation of the reference height in metres: it is shared by all dates.

    Raises
    ------
    BadRequest
        For units that contradict or a negative error of the reference.
    """
    check_units(height_error, "m", verb="storage_error", what="height_error")
    check_units(area, "km2", verb="storage_error", what="area")
    if not reference_error >= 0:
        raise BadRequest(f"storage_error: reference_error is {reference_error!r}, expected metres from 0.")
    error = numbers_of(area) * (numbers_of(height_error) ** 2 + reference_error**2) ** 0.5 * _KM3
    return labelled(error, "storage_error", "km3", "erreur de la variation de stock / error of the change of storage")


@dataclass(frozen=True)
class Hypsometry:
    """The area of a lake by the height of its surface: a polynomial about the mean height, as `fit_hypsometry` gives.

    Attributes
    ----------
    coefficients : tuple of float
        Of ``A = c0 + c1 h + c2 h² …`` in km², with ``h`` the height above ``centre`` in metres.
    covariance : tuple of tuple of float
        Of the coefficients.
    centre : float
        Height in metres.
    residual : float
        Standard deviation of an observed area about the curve, km².
    number : int
        Observations the curve was fitted to.
    lowest, highest : float
        Range of their heights in metres: beyond it nothing is known.
    """

    coefficients: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    centre: float
    residual: float
    number: int
    lowest: float
    highest: float

    def area(self, height: Any, *, level: float = 0.95) -> xr.Dataset:
        """The area at each height, km², with the interval of the curve.

        Parameters
        ----------
        height : xarray.DataArray, pandas.Series or array_like
            Metres.
        level : float
            Probability of the interval, which is that of the curve and not of one more observation.

        Returns
        -------
        xarray.Dataset
            ``area``, ``lower``, ``upper`` in km²; NaN outside the heights the curve was fitted to.

        Raises
        ------
        BadRequest
            For units that contradict or a level outside ]0, 1[.
        """
        above = self._above(height, "area")
        return self._interval("area", "superficie / area", "km2", above, self._powers(above), level, 1.0)

    def volume(self, height: Any, *, reference: float, level: float = 0.95) -> xr.Dataset:
        """The volume between the reference height and each height: the integral of the area, km³, with its interval.

        Parameters
        ----------
        height : xarray.DataArray or array_like
            Metres.
        reference : float
            Height in metres where the volume is 0.
        level : float
            Probability of the interval, which holds the error of the curve only; for that of the heights see
            `storage_error`.

        Returns
        -------
        xarray.Dataset
            ``volume``, ``lower``, ``upper`` in km³; NaN outside the heights the curve was fitted to.

        Raises
        ------
        BadRequest
            For units that contradict, a level outside ]0, 1[, or a reference outside the heights.
        """
        if not self.lowest <= reference <= self.highest:
            raise BadRequest(
                f"volume: the reference {reference!r} m lies outside the heights the curve was fitted to, "
                f"{self.lowest:g} to {self.highest:g} m. Choose one within."
            )
        above = self._above(height, "volume")
        powers = [
            (above ** (order + 1) - (reference - self.centre) ** (order + 1)) / (order + 1)
            for order in range(len(self.coefficients))
        ]
        return self._interval("volume", "volume d'eau / water volume", "km3", above, powers, level, _KM3)

    def _above(self, height: Any, verb: str) -> xr.DataArray:
        check_units(height, "m", verb=verb, what="height")
        given = height if isinstance(height, xr.DataArray) else xr.DataArray(numbers_of(height))
        return given.where((given >= self.lowest) & (given <= self.highest)) - self.centre

    def _powers(self, above: xr.DataArray) -> list[xr.DataArray]:
        return [above**order for order in range(len(self.coefficients))]

    def _interval(
        self, name: str, words: str, units: str, above: xr.DataArray, powers: Any, level: float, scale: float
    ) -> xr.Dataset:
        from scipy.stats import t

        if not 0 < level < 1:
            raise BadRequest(f"{name}: level is {level!r}, expected a number between 0 and 1, such as 0.95.")
        middle = sum(c * power for c, power in zip(self.coefficients, powers, strict=True))
        variance = sum(
            share * one * two
            for row, one in zip(self.covariance, powers, strict=True)
            for share, two in zip(row, powers, strict=True)
        )
        half = float(t.ppf(0.5 + level / 2, self.number - len(self.coefficients))) * np.maximum(variance, 0.0) ** 0.5
        ends = {name: middle, "lower": middle - half, "upper": middle + half}
        found = {key: (value * scale).where(above.notnull()) for key, value in ends.items()}
        return xr.Dataset({key: labelled(value, key, units, words, level=level) for key, value in found.items()})


def fit_hypsometry(height: Any, area: Any, *, degree: int = 2) -> Hypsometry:
    """The relation between height and area by least squares: a parabola, as for most lakes, or another polynomial.

    Parameters
    ----------
    height, area : array_like
        Observed together, metres and km²; pairs with NaN are left out.
    degree : int
        Of the polynomial: 1 for a lake whose banks slope evenly, 2 where they flatten.

    Returns
    -------
    Hypsometry
        Its intervals hold for areas with independent errors, heavy tails included (of 95 %: 94 with 30 pairs of
        Student's t of 3); errors of 100 dates with an autocorrelation of 0.7 leave 57 %.

    Raises
    ------
    BadRequest
        For units that contradict, areas as `storage_change` refuses them, other lengths or dates, a degree below 1,
        fewer than ``degree + 3`` pairs, or fewer different heights than coefficients.

    References
    ----------
    Crétaux et al. (2016), doi:10.1007/s10712-016-9362-6.
    """
    check_units(height, "m", verb="fit_hypsometry", what="height")
    check_units(area, "km2", verb="fit_hypsometry", what="area")
    if degree < 1:
        raise BadRequest(f"fit_hypsometry: degree is {degree!r}, expected 1 or more, such as 2 for a parabola.")
    pairs = aligned("fit_hypsometry", height=height, area=area)
    _check_lake(pairs["height"], pairs["area"], "fit_hypsometry")
    seen = np.isfinite(pairs["height"]) & np.isfinite(pairs["area"])
    level, surface = pairs["height"][seen], pairs["area"][seen]
    different = len(np.unique(level))
    if len(level) < degree + 3 or different < degree + 1:
        raise BadRequest(
            f"fit_hypsometry: {len(level)} pairs at {different} heights, expected at least {degree + 3} for degree "
            f"{degree}. Give more dates, or a smaller degree=."
        )
    centre = float(level.mean())
    design = np.vander(level - centre, degree + 1, increasing=True)
    orthogonal, upper = np.linalg.qr(design)
    coefficients = np.linalg.solve(upper, orthogonal.T @ surface)
    variance = float(((surface - design @ coefficients) ** 2).sum() / (len(level) - degree - 1))
    inverse = np.linalg.inv(upper)
    covariance = variance * inverse @ inverse.T
    return Hypsometry(
        tuple(map(float, coefficients)),
        tuple(tuple(map(float, row)) for row in covariance),
        centre,
        float(np.sqrt(variance)),
        len(level),
        float(level.min()),
        float(level.max()),
    )


def _at_the_same_dates(level: Any, surface: Any) -> Any:
    """The areas in the order of the heights, where both say their dates."""
    try:
        if isinstance(level, pd.Series) and isinstance(surface, pd.Series):
            return surface if surface.index.equals(level.index) else surface.reindex(level.index)
        if isinstance(level, xr.DataArray) and isinstance(surface, xr.DataArray):
            return surface.reindex({name: level.indexes[name] for name in surface.indexes if name in level.indexes})
    except ValueError as exc:
        raise BadRequest(f"storage_change: the areas have a date twice ({exc}). Drop or average one of them.") from exc
    return surface


def _check_lake(level: Any, surface: Any, verb: str) -> None:
    heights, areas = (np.asarray(values, "float64") for values in (level, surface))
    known = areas[np.isfinite(areas)]
    if known.size and (known.min() < 0 or known.max() == 0 or known.max() > _LARGEST):
        raise BadRequest(
            f"{verb}: areas go from {known.min():g} to {known.max():g}, expected km² up to {_LARGEST:g}. Convert m² "
            "and ha (earthlab.analysis.units.convert) and mask what stands for no observation; of a table with places, "
            "table.area is the area of each place and not its column."
        )
    nothing = int(np.isin(known, _NO_VALUE).sum()) + int((heights > _NO_VALUE[0] - 1).sum())
    if nothing:
        raise BadRequest(
            f"{verb}: {nothing} heights or areas are 9999, which stands for no observation in Hydroweb's tables. Mask "
            "them: table.where(table < 9999)."
        )


def _first(level: Any, surface: Any) -> tuple[float, float]:
    heights, areas = np.asarray(level, "float64"), np.asarray(surface, "float64")
    if heights.ndim != 1 or heights.shape != areas.shape:
        raise BadRequest(
            f"storage_change: heights of shape {heights.shape}, areas of shape {areas.shape}; expected two series of "
            "one length. Or give reference=(height, area)."
        )
    order = _by_time(level)
    both = order[np.isfinite(heights[order]) & np.isfinite(areas[order])]
    if not both.size:
        raise BadRequest("storage_change: no date has both a height and an area. Give reference=(height, area).")
    return float(heights[both[0]]), float(areas[both[0]])


def _by_time(series: Any) -> Array:
    dates = series.indexes.get(series.dims[0]) if isinstance(series, xr.DataArray) else getattr(series, "index", None)
    if isinstance(dates, pd.DatetimeIndex):
        return np.argsort(dates, kind="stable")
    return np.arange(len(series))
