"""Soil moisture: from radar over each plot (water cloud model), from probes in the ground, and deeper by a filter.

Moisture is a volume of water in a volume of soil: ``m3 m-3``, or per cent (100 times as much) where papers do so. Radar
backscatter is in decibels at the door and linear inside. What depends on crop and place, such as the coefficients A and
B of the vegetation, is always an argument.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from dask.delayed import delayed

from earthlab.analysis.frames import norm_dates
from earthlab.analysis.grids import check_same_grid, flat, on_grid_of
from earthlab.analysis.robust import check_level
from earthlab.analysis.units import aligned, check_units, labelled, numbers_of
from earthlab.errors import BadRequest, did_you_mean

Array = np.ndarray[Any, np.dtype[Any]]
Polarisation = Literal["vv", "hh"]

C_BAND = 5.405
"""Frequency of Sentinel-1, GHz."""
_LIGHT = 29.9792458
"""Centimetres a nanosecond."""
_SOIL = {"vv": (-1.138, 1.528, 0.008, 0.71), "hh": (-1.287, 1.227, 0.009, 0.86)}

ISMN_FLAGS = {
    "G": "bon / good",
    "C01": "humidité négative / negative soil moisture",
    "C02": "humidité au-delà de 0,60 / soil moisture beyond 0.60",
    "C03": "humidité au-delà de la saturation / soil moisture beyond saturation",
    "D01": "sol gelé, mesuré sur place / negative soil temperature, in situ",
    "D02": "air gelé, mesuré sur place / negative air temperature, in situ",
    "D03": "sol gelé selon GLDAS / negative soil temperature, GLDAS",
    "D04": "hausse sans pluie, sur place / rise without precipitation, in situ",
    "D05": "hausse sans pluie selon GLDAS / rise without precipitation, GLDAS",
    "D06": "pic isolé / spike",
    "D07": "chute brusque / negative break",
    "D08": "saut brusque / positive break",
    "D09": "bas constant après une chute / constant low values after a negative break",
    "D10": "plateau de saturation / saturated plateau",
}
"""Quality flags of the International Soil Moisture Network (Dorigo et al. 2013; table of the package flagit)."""


def soil_backscatter(
    moisture: Any,
    incidence: Any,
    *,
    roughness: float,
    polarisation: Polarisation = "vv",
    frequency: float = C_BAND,
) -> Any:
    """The backscatter of bare soil in dB, after Baghdadi's empirical model of 2016.

    ``σ0 = 10^δ cos(θ)^β 10^(γ cot(θ) mv) (k h)^(ξ sin θ)`` with mv in per cent; for VV δ = -1.138, β = 1.528,
    γ = 0.008, ξ = 0.71; for HH -1.287, 1.227, 0.009, 0.86.

    Parameters
    ----------
    moisture : xarray.DataArray or array_like
        m3 m-3.
    incidence : xarray.DataArray or array_like
        Angle of incidence in degrees, between 0 and 90.
    roughness : float
        Root mean square of the heights of the surface, cm: about 1 for a sown field, 3 for a ploughed one.
    polarisation : {"vv", "hh"}
    frequency : float
        Of the radar, GHz.

    Returns
    -------
    as ``moisture``
        dB.

    Raises
    ------
    BadRequest
        For units that contradict, moisture above 1 (per cent), an angle that is not between 0 and 90 degrees or all in
        radians, a roughness or frequency that is not positive, or another polarisation.

    References
    ----------
    Baghdadi et al. (2016), A new empirical model for radar scattering from bare soil surfaces, Remote Sensing 8, 920,
    doi:10.3390/rs8110920; coefficients as in two independent implementations that agree.
    """
    check_units(moisture, "m3 m-3", verb="soil_backscatter", what="moisture")
    wettest = _largest(moisture)
    if wettest > 1:
        raise BadRequest(
            f"soil_backscatter: moisture reaches {wettest:g}, expected m3 m-3 from 0 to 1. Divide per cent by 100."
        )
    dry, slope = _soil_line(incidence, roughness, polarisation, frequency, "soil_backscatter")
    return labelled(
        dry + slope * 100 * numbers_of(moisture), "sigma0", "dB", "rétrodiffusion du sol / soil backscatter"
    )


def water_cloud(soil: Any, vegetation: Any, incidence: Any, *, a: float, b: float) -> Any:
    """The backscatter of soil under vegetation in dB: the water cloud model.

    ``σ0 = A V cosθ (1 - T²) + T² σ0_soil`` with ``T² = exp(-2 B V / cosθ)``, all linear; V describes the vegetation,
    such as NDVI.

    Parameters
    ----------
    soil : xarray.DataArray or array_like
        Backscatter of the soil, dB.
    vegetation : xarray.DataArray or array_like
        V, in the unit for which A and B were found; below 0 there is no result.
    incidence : xarray.DataArray or array_like
        Degrees.
    a, b : float
        Coefficients of the vegetation: they depend on crop, polarisation and on what V is.

    Returns
    -------
    as ``soil``
        dB.

    Raises
    ------
    BadRequest
        For units that contradict or an angle that is not between 0 and 90 degrees.

    References
    ----------
    Attema and Ulaby (1978), Vegetation modeled as a water cloud, Radio Science 13, 357-364,
    doi:10.1029/RS013i002p00357.
    """
    check_units(soil, "dB", verb="water_cloud", what="soil")
    of_plants, through = _cloud(vegetation, incidence, a, b, "water_cloud")
    total = of_plants + through * _linear(numbers_of(soil))
    return labelled(_decibels(total), "sigma0", "dB", "rétrodiffusion / backscatter")


def invert_moisture(  # noqa: PLR0913 - the model has as many inputs
    sigma0: Any,
    vegetation: Any,
    incidence: Any,
    *,
    a: float,
    b: float,
    roughness: float,
    polarisation: Polarisation = "vv",
    frequency: float = C_BAND,
    noise: float = 0.0,
    valid: tuple[float, float] = (0.0, 0.6),
) -> xr.Dataset:
    """Soil moisture from radar: `water_cloud` and `soil_backscatter` solved for it, exactly.

    Parameters
    ----------
    sigma0 : xarray.DataArray
        Backscatter in dB, as `plot_means` gives it for plots: single pixels are too noisy. -inf is no observation.
    vegetation, incidence : xarray.DataArray or float
        As for `water_cloud`, on the grid and at the dates of ``sigma0``.
    a, b, roughness, polarisation, frequency
        As for `water_cloud` and `soil_backscatter`.
    noise : float
        Standard deviation of ``sigma0`` in dB, calibration and speckle, for the error of the moisture.
    valid : (float, float)
        Moistures below and above are no result (m3 m-3).

    Returns
    -------
    xarray.Dataset
        ``soil_moisture`` and ``error`` (one standard deviation, of the noise alone), m3 m-3; NaN where the vegetation
        alone would send back as much as was received, or beyond ``valid``. Lazy if ``sigma0`` is.

    Raises
    ------
    BadRequest
        As the two models do; for a negative noise, an empty range, another grid or other dates, or (unless lazy)
        backscatter that is nowhere below 0, as if linear.

    References
    ----------
    El Hajj, Baghdadi, Zribi and Bazzi (2017), Synergic use of Sentinel-1 and Sentinel-2 images for operational soil
    moisture mapping at high spatial resolution over agricultural areas, Remote Sensing 9, 1292, doi:10.3390/rs9121292;
    Baghdadi et al. (2017), Calibration of the water cloud model at C-band for winter crop fields and grasslands,
    Remote Sensing 9, 969, doi:10.3390/rs9090969.

    Notes
    -----
    Theia's product finds the moisture with a neural network trained on these models; the closed solution here is that
    of the models themselves, with roughness given.
    """
    check_units(sigma0, "dB", verb="invert_moisture", what="sigma0")
    if not noise >= 0 or not valid[0] < valid[1]:
        raise BadRequest(f"invert_moisture: noise {noise!r} dB and valid {valid!r}; expected 0 or more and low < high.")
    echo = _array(sigma0)
    if echo.chunks is None and echo.size and float(echo.where(np.isfinite(echo)).min()) >= 0:
        raise BadRequest("invert_moisture: sigma0 is nowhere below 0, expected dB. Write 10 * numpy.log10(sigma0).")
    vegetation, incidence = (
        on_grid_of(echo, given, "invert_moisture") if isinstance(given, xr.DataArray) else given
        for given in (vegetation, incidence)
    )
    of_plants, through = _cloud(vegetation, incidence, a, b, "invert_moisture")
    dry, slope = _soil_line(incidence, roughness, polarisation, frequency, "invert_moisture")
    received = _linear(echo)
    of_soil = (received - of_plants) / through
    moisture = (_decibels(of_soil.where(of_soil > 0)) - dry) / slope / 100
    # d(mv)/d(σ0 in dB): the soil's share of what was received is smaller, so that noise weighs more.
    error = noise * received / (through * of_soil) / slope / 100
    seen = (moisture >= valid[0]) & (moisture <= valid[1])
    words = "humidité du sol / soil moisture"
    return xr.Dataset(
        {
            "soil_moisture": labelled(moisture.where(seen), "soil_moisture", "m3 m-3", words),
            "error": labelled(error.where(seen), "error", "m3 m-3", f"écart-type, {words}, standard deviation"),
        }
    )


def plot_means(image: xr.DataArray, plots: xr.DataArray, *, decibels: bool = True) -> xr.Dataset:
    """The mean of each plot (parcelle), for every date: what radar is averaged to before it is inverted.

    Parameters
    ----------
    image : xarray.DataArray
        Values with axes of space, such as backscatter; NaN is no observation, nor is -inf (the dB of nothing). Other
        axes stay.
    plots : xarray.DataArray of int
        Number of the plot of each pixel, on the grid of the image; 0 is none, and so is NaN.
    decibels : bool
        Whether values are in dB, and are averaged as powers.

    Returns
    -------
    xarray.Dataset
        ``mean`` and ``number`` (of pixels observed) with axes ``parcel`` and those that are not of space. Computed, a
        tile of a lazy image at a time.

    Raises
    ------
    BadRequest
        Where the image lacks an axis of the plots, lies on another grid, plots are no whole numbers, or there is none.
    """
    plots = _whole(flat(plots))
    absent = [str(name) for name in plots.dims if name not in image.dims]
    if absent or plots.dtype.kind not in "iu":
        raise BadRequest(
            f"plot_means: plots hold {plots.dtype} with axes {', '.join(map(str, plots.dims))}, the image has axes "
            f"{', '.join(map(str, image.dims))}; expected whole numbers on the same axes of space."
        )
    check_same_grid(image, plots, "plot_means")
    given = np.asarray(plots)
    numbers = np.unique(given)
    named = numbers != 0
    if not named.any():
        raise BadRequest("plot_means: no pixel belongs to a plot. Expected numbers from 1.")
    rest = [name for name in image.dims if name not in plots.dims]
    sums, counts = _totals(image.transpose(*rest, *plots.dims), np.searchsorted(numbers, given), len(numbers), decibels)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = _decibels(sums / counts) if decibels else sums / counts
    shape = [image.sizes[name] for name in rest]
    coords = {name: image[name] for name in rest if name in image.coords}
    axes = (*rest, "parcel")
    found = {
        "mean": (axes, means[:, named].reshape(*shape, -1), image.attrs),
        "number": (axes, counts[:, named].reshape(*shape, -1), {"units": "1", "long_name": "pixels"}),
    }
    return xr.Dataset(found, coords={**coords, "parcel": numbers[named]})


def _whole(plots: xr.DataArray) -> xr.DataArray:
    known = plots.where(plots.notnull(), 0)
    return known.astype("int64") if plots.dtype.kind == "f" and bool((known % 1 == 0).all()) else plots


def _totals(image: xr.DataArray, places: Array, size: int, decibels: bool) -> tuple[Array, Array]:  # noqa: FBT001
    if image.chunks is None:
        return _grouped(image.values, places, size, decibels)
    whole = image.chunk(dict.fromkeys(image.dims[: image.ndim - places.ndim], -1)).data
    within = da.core.slices_from_chunks(whole.chunks[whole.ndim - places.ndim :])
    blocks = whole.to_delayed().ravel()
    parts = [delayed(_grouped)(block, places[at], size, decibels) for block, at in zip(blocks, within, strict=True)]
    found: tuple[Array, Array] = delayed(_summed)(parts).compute()
    return found


def _grouped(block: Array, places: Array, size: int, decibels: bool) -> tuple[Array, Array]:  # noqa: FBT001
    rows = np.asarray(block, "float64").reshape(-1, places.size)
    seen = np.isfinite(rows)
    values = _linear(rows) if decibels else rows
    at = places.ravel()
    sums = np.stack([np.bincount(at, row, size) for row in np.where(seen, values, 0.0)])
    return sums, np.stack([np.bincount(at, row, size) for row in seen])


def _summed(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    sums, counts = zip(*parts, strict=True)
    return np.sum(sums, axis=0), np.sum(counts, axis=0)


def is_good(flags: Iterable[str] | pd.Series, *, accept: tuple[str, ...] = ("G",)) -> pd.Series:
    """Which in situ measurements all their quality flags accept.

    Parameters
    ----------
    flags : pandas.Series or iterable of str
        Flags of the International Soil Moisture Network, several joined by commas ("D03,D05").
    accept : tuple of str
        Flags that do no harm. A network that was not judged carries none of them: accept what it writes ("U") only
        knowingly.

    Returns
    -------
    pandas.Series of bool
        With the index of the flags; False for a missing flag.

    References
    ----------
    Dorigo et al. (2013), Global automated quality control of in situ soil moisture data from the International Soil
    Moisture Network, Vadose Zone Journal 12, doi:10.2136/vzj2012.0097.
    """
    series = flags if isinstance(flags, pd.Series) else pd.Series(list(flags), dtype="object")
    accepted = frozenset(accept)
    good = [isinstance(flag, str) and {part.strip() for part in flag.split(",")} <= accepted for flag in series]
    return pd.Series(good, index=series.index, name="good")


@dataclass(frozen=True)
class Agreement:
    """How well one series of soil moisture follows another, as `compare` gives it.

    Attributes
    ----------
    number : int
        Pairs.
    bias, bias_interval : float, (float, float)
        Mean of found less reference, m3 m-3, and its interval.
    rmsd, ubrmsd : float
        Root mean square difference, and what is left of it without the bias: ``ubRMSD² = RMSD² - bias²``.
    ubrmsd_interval : (float, float)
    correlation : float
        Pearson's; NaN where one of the series does not vary.
    correlation_interval : (float, float)
        Fisher's interval.
    level : float
        Probability of the intervals.
    """

    number: int
    bias: float
    bias_interval: tuple[float, float]
    rmsd: float
    ubrmsd: float
    ubrmsd_interval: tuple[float, float]
    correlation: float
    correlation_interval: tuple[float, float]
    level: float


def compare(found: Any, reference: Any, *, level: float = 0.95, effective: float | None = None) -> Agreement:
    """Bias, unbiased root mean square difference and correlation of two series, with intervals.

    Parameters
    ----------
    found, reference : array_like
        At the same times, m3 m-3; pairs with NaN are left out.
    level : float
        Probability of the intervals.
    effective : float, optional
        Number of independent pairs. Default: all are, which hourly values never are: give the number of days, or of
        rains. Of 365 values with an autocorrelation of 0.9 the default leaves the three intervals of 95 % a coverage of
        32, 49 and 64 %.

    Returns
    -------
    Agreement

    Raises
    ------
    BadRequest
        For units that contradict, other lengths, fewer than 4 pairs, or fewer than 4 effective ones.

    References
    ----------
    Entekhabi et al. (2010), Performance metrics for soil moisture retrievals and application requirements, Journal of
    Hydrometeorology 11, 832-840, doi:10.1175/2010JHM1223.1. Gruber et al. (2020), Validation practices for satellite
    soil moisture retrievals: what are (the) errors?, Remote Sensing of Environment 244, 111806,
    doi:10.1016/j.rse.2020.111806.
    """
    from scipy.stats import chi2, kurtosis, norm, t

    check_units(found, "m3 m-3", verb="compare", what="found")
    check_units(reference, "m3 m-3", verb="compare", what="reference")
    check_level(level, "compare")
    series = aligned("compare", found=found, reference=reference)
    seen = np.isfinite(series["found"]) & np.isfinite(series["reference"])
    first, second = series["found"][seen], series["reference"][seen]
    count = float(len(first) if effective is None else min(effective, len(first)))
    if not count >= 4:
        raise BadRequest(f"compare: {len(first)} pairs, {count:g} independent, expected at least 4. Take more dates.")
    away = first - second
    bias, spread, tail = float(away.mean()), float(away.std()), 0.5 + level / 2
    half = float(t.ppf(tail, count - 1)) * spread / (count - 1) ** 0.5
    # Heavy tails leave fewer degrees of freedom to a variance (Box 1953).
    freedom = (count - 1) * 2 / (2 + max(float(kurtosis(away, bias=False)) if spread > 0 else 0.0, 0.0))
    ends = [
        spread * float((freedom * count / (count - 1) / chi2.ppf(share, freedom)) ** 0.5) for share in (tail, 1 - tail)
    ]
    varies = first.std() > 0 and second.std() > 0
    correlation = float(np.corrcoef(first, second)[0, 1]) if varies else float("nan")
    reach = float(norm.ppf(tail)) / (count - 3) ** 0.5
    with np.errstate(divide="ignore"):
        turned = [float(np.tanh(np.arctanh(correlation) + sign * reach)) for sign in (-1, 1)]
    return Agreement(
        number=len(first),
        bias=bias,
        bias_interval=(bias - half, bias + half),
        rmsd=float((away**2).mean() ** 0.5),
        ubrmsd=spread,
        ubrmsd_interval=(ends[0], ends[1]),
        correlation=correlation,
        correlation_interval=(turned[0], turned[1]),
        level=level,
    )


def anomaly(series: pd.Series, *, window: str = "35D", fewest: int = 1) -> pd.Series:
    """How far each value lies from the mean of the days around it: what remains once the season is taken away.

    Parameters
    ----------
    series : pandas.Series
        Indexed by time; NaN is no observation.
    window : str
        Width of the centred window, as pandas writes it: 35 days, as validation of soil moisture does.
    fewest : int
        Values a window needs.

    Returns
    -------
    pandas.Series
        In the unit of the series, in the order of time.

    Raises
    ------
    BadRequest
        Without dates, or for a window that is not understood.

    References
    ----------
    The window of 35 days is that of pytesmo (TU Wien), ``calc_anomaly``.
    """
    if not isinstance(series, pd.Series):
        raise BadRequest(f"anomaly: expected a Series, found {type(series).__name__}. Of a DataArray: .to_series().")
    if not isinstance(series.index, pd.DatetimeIndex) or series.index.hasnans:
        raise BadRequest(f"anomaly: expected an index of dates, found {series.index.dtype}. Set it to time.")
    ordered = numbers_of(series).sort_index()
    if not isinstance(window, str | pd.Timedelta):
        raise BadRequest(f"anomaly: window is {window!r}, which has no unit. Write '35D'.")
    try:
        around = ordered.rolling(pd.Timedelta(window), center=True, min_periods=fewest).mean()
    except (ValueError, TypeError) as exc:
        raise BadRequest(f"anomaly: window {window!r} is not understood ({exc}). Write '35D'.") from exc
    words = "anomalie d'humidité du sol / soil moisture anomaly"
    return labelled(ordered - around, "anomaly", str(series.attrs.get("units", "m3 m-3")), words)


def soil_water_index(surface: xr.DataArray | pd.Series, *, days: float) -> Any:
    """The moisture deeper down, from that of the surface: the exponential filter (soil water index).

    ``SWI_n = SWI_{n-1} + K_n (m_n - SWI_{n-1})`` with ``K_n = K_{n-1} / (K_{n-1} + exp(-Δt / T))``, K = 1 at the first
    value: the mean of all values so far, each weighing less by ``exp(-age / T)``. A missing value changes nothing, and
    the index of its time is that of the last one.

    Parameters
    ----------
    surface : xarray.DataArray or pandas.Series
        Surface soil moisture along ``time`` (of a Series: its index), irregular if need be; NaN is no observation.
    days : float
        The characteristic time T in days: the longer, the deeper.

    Returns
    -------
    as ``surface``
        In its unit and order of axes, sorted by time; NaN before the first observation. Lazy if ``surface`` is.

    Raises
    ------
    BadRequest
        Without dates along ``time``, or for a time T that is not positive.

    References
    ----------
    Albergel et al. (2008), From near-surface to root-zone soil moisture using an exponential filter, Hydrology and
    Earth System Sciences 12, 1323-1337, doi:10.5194/hess-12-1323-2008; Wagner, Lemoine and Rott (1999), A method for
    estimating soil moisture from ERS scatterometer and soil data, Remote Sensing of Environment 70, 191-207,
    doi:10.1016/S0034-4257(99)00036-X.
    """
    if not days > 0:
        raise BadRequest(f"soil_water_index: days is {days!r}, expected a positive time such as 10.")
    if isinstance(surface, pd.Series):
        series = numbers_of(surface).sort_index()
        filtered = _filter(series.to_numpy("float64"), gaps=_gaps(series.index, days))
        return labelled(pd.Series(filtered, series.index), "swi", *_swi_words(surface))
    if not isinstance(surface, xr.DataArray):
        raise BadRequest(
            f"soil_water_index: expected a Series or DataArray with dates, found {type(surface).__name__}. "
            "Write pandas.Series(values, dates)."
        )
    surface = norm_dates(surface)
    dates = surface.indexes.get("time")
    if dates is None:
        raise BadRequest("soil_water_index: expected an axis 'time' with dates. Rename the axis of the dates.")
    ordered = surface.sortby("time") if not dates.is_monotonic_increasing else surface
    whole = ordered.chunk(time=-1) if ordered.chunks is not None else ordered
    found: xr.DataArray = xr.apply_ufunc(
        _filter,
        whole,
        kwargs={"gaps": _gaps(ordered.indexes["time"], days)},
        input_core_dims=[["time"]],
        output_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[np.result_type(surface.dtype, "float32")],
    )
    named = found.transpose(*surface.dims)
    return labelled(named, "swi", *_swi_words(surface))


def _swi_words(surface: xr.DataArray | pd.Series) -> tuple[str, str]:
    return str(surface.attrs.get("units", "m3 m-3")), "indice d'eau du sol (SWI) / soil water index (SWI)"


def _gaps(dates: Any, days: float) -> Array:
    if not isinstance(dates, pd.DatetimeIndex) or dates.hasnans or not len(dates):
        raise BadRequest("soil_water_index: expected dates along time, at least one, none missing.")
    return np.diff((dates - dates[0]) / pd.Timedelta(days=1)) / days


def _filter(values: Array, *, gaps: Array) -> Array:
    out = np.full(values.shape, np.nan, np.result_type(values.dtype, "float32"))
    index, gain, since = (np.full(values.shape[:-1], start) for start in (np.nan, np.inf, 0.0))
    for step in range(values.shape[-1]):
        now = values[..., step]
        seen = np.isfinite(now)
        since = since + (gaps[step - 1] if step else 0.0)
        # 1 / (1 + e^-Δt / K) is K / (K + e^-Δt), and 1 where there was nothing before.
        gain = np.where(seen, 1 / (1 + np.exp(-since) / gain), gain)
        before = np.where(np.isnan(index), now, index)
        index = np.where(seen, before + gain * (now - before), index)
        since = np.where(seen, 0.0, since)
        out[..., step] = index
    return out


def _soil_line(incidence: Any, roughness: float, polarisation: str, frequency: float, verb: str) -> tuple[Any, Any]:
    if polarisation not in _SOIL:
        raise BadRequest(f"{verb}: polarisation is {polarisation!r}. {did_you_mean(polarisation, _SOIL)}")
    if not (roughness > 0 and frequency > 0):
        raise BadRequest(f"{verb}: roughness {roughness!r} cm, frequency {frequency!r} GHz, expected positive numbers.")
    level, of_cosine, of_moisture, of_roughness = _SOIL[polarisation]
    angle = _radians(incidence, verb)
    wave = 2 * np.pi * frequency / _LIGHT * roughness
    dry = 10 * (level + of_cosine * np.log10(np.cos(angle)) + of_roughness * np.sin(angle) * np.log10(wave))
    return dry, 10 * of_moisture / np.tan(angle)


def _cloud(vegetation: Any, incidence: Any, a: float, b: float, verb: str) -> tuple[Any, Any]:
    cosine = np.cos(_radians(incidence, verb))
    amount = numbers_of(vegetation)
    amount = (
        amount.where(amount >= 0) if hasattr(amount, "where") else np.where(np.asarray(amount) >= 0, amount, np.nan)
    )
    through = np.exp(-2 * b * amount / cosine)
    return a * amount * cosine * (1 - through), through


def _radians(incidence: Any, verb: str) -> Any:
    check_units(incidence, "degree", verb=verb, what="incidence")
    angle = numbers_of(incidence)
    if getattr(angle, "chunks", None) is None:  # what is lazy is not computed for a check
        known = np.asarray(angle)
        if ((known <= 0) | (known >= 90)).any():
            found = f"{np.nanmin(known):g} to {np.nanmax(known):g}"
            raise BadRequest(f"{verb}: incidence goes from {found}, expected degrees between 0 and 90.")
        if _largest(known) < np.pi / 2:
            raise BadRequest(f"{verb}: incidence reaches {_largest(known):g}, expected degrees. Use numpy.degrees.")
    return angle * (np.pi / 180)


def _largest(values: Any) -> float:
    """The largest of what is known; NaN of nothing and of what is lazy, which is not computed for a check."""
    if getattr(values, "chunks", None) is not None:
        return float("nan")
    known = np.asarray(numbers_of(values), "float64")
    known = known[np.isfinite(known)]
    return float(known.max()) if known.size else float("nan")


def _linear(decibels: Any) -> Any:
    return 10 ** (decibels / 10)


def _decibels(linear: Any) -> Any:
    return 10 * np.log10(linear)


def _array(given: Any) -> xr.DataArray:
    return given if isinstance(given, xr.DataArray) else xr.DataArray(np.asarray(given, "float64"))
