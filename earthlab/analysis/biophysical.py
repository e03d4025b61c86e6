"""Properties of a canopy from Sentinel-2: the leaf area index by INRAE's neural network, and albedo.

The network was trained on simulated canopies (PROSPECT and SAIL). It is small: eight bands and three angles, five
hidden neurons, one output. What it may say is bounded twice: by the spectra it has learnt and by the leaf areas there
are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.columns import TIME
from earthlab.analysis.frames import as_dates, norm_dates
from earthlab.analysis.kernels.compiling import Array, floats_for
from earthlab.analysis.reflectance import reflectances
from earthlab.analysis.series import kept_attributes
from earthlab.analysis.units import check_units
from earthlab.errors import BadRequest

BANDS = ("green", "red", "rededge071", "rededge075", "rededge078", "nir08", "swir16", "swir22")
"""Common names of B3, B4, B5, B6, B7, B8A, B11 and B12, the network's inputs."""
INPUT_OUT_OF_DOMAIN, SET_TO_MINIMUM, SET_TO_MAXIMUM, TOO_LOW, TOO_HIGH = (1 << bit for bit in range(5))
_FLAGS = "input_out_of_domain set_to_minimum set_to_maximum too_low too_high"

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """A network of one hidden layer: ``y = w₂ · tanh(w₁ · x + b₁) + b₂`` of normalised inputs.

    Attributes
    ----------
    hidden, hidden_bias : tuple
        Weights of each hidden neuron, one an input, and its bias.
    output, output_bias : tuple, float
        Weights of the output, one a neuron, and its bias.
    inputs : tuple
        Least and greatest of each input, which become -1 and 1.
    result : tuple
        What -1 and 1 of the output mean.
    domain : tuple
        Least and greatest reflectance of each band that the network has learnt.
    allowed : tuple
        Least and greatest result that there is.
    tolerance : float
        How far beyond these a result is set to them; farther it is flagged.
    """

    hidden: tuple[Numbers, ...]
    hidden_bias: Numbers
    output: Numbers
    output_bias: float
    inputs: tuple[tuple[float, float], ...]
    result: tuple[float, float]
    domain: tuple[tuple[float, float], ...]
    allowed: tuple[float, float]
    tolerance: float

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        neurons, inputs = len(self.hidden), len(self.inputs)
        if any(len(weights) != inputs for weights in self.hidden) or inputs != len(self.domain) + 3:
            raise BadRequest(
                f"Network: expected {inputs} weights a neuron, and {inputs - 3} bands beside three angles; found "
                f"{', '.join(str(len(weights)) for weights in self.hidden)} weights and {len(self.domain)} bands."
            )
        if len(self.hidden_bias) != neurons or len(self.output) != neurons:
            raise BadRequest(
                f"Network: {neurons} hidden neurons have {len(self.hidden_bias)} biases and {len(self.output)} "
                "weights of the output, expected one of each a neuron."
            )

    def __call__(self, inputs: Array) -> Array:
        """The result (…), unbounded, for inputs (input, …): bands, then cosines of view, sun and relative azimuth."""
        low, high = np.array(self.inputs, inputs.dtype).T.reshape(2, -1, *[1] * (inputs.ndim - 1))
        scaled = 2 * (inputs - low) / (high - low) - 1
        bias = np.array(self.hidden_bias, inputs.dtype).reshape(-1, *[1] * (inputs.ndim - 1))
        hidden = np.tanh(np.tensordot(np.array(self.hidden, inputs.dtype), scaled, axes=1) + bias)
        answer = np.tensordot(np.array(self.output, inputs.dtype), hidden, axes=1) + inputs.dtype.type(self.output_bias)
        return np.asarray((answer + 1) * ((self.result[1] - self.result[0]) / 2) + self.result[0], inputs.dtype)


LAI_SENTINEL2 = Network(
    hidden=(
        (
            -0.0234068789665,
            0.921655164636,
            0.13557654408,
            -1.9383314724,
            -3.34249581612,
            0.90227764801,
            0.205363538259,
            -0.0406078447217,
            -0.0831964097271,
            0.260029270774,
            0.284761567219,
        ),
        (
            -0.132555480857,
            -0.139574837334,
            -1.0146060169,
            -1.33089003865,
            0.0317306245033,
            -1.43358354132,
            -0.959637898575,
            1.13311570655,
            0.216603876542,
            0.410652303763,
            0.0647601555435,
        ),
        (
            0.0860159777249,
            0.616648776881,
            0.678003876447,
            0.141102398645,
            -0.0966822068835,
            -1.12883263886,
            0.302189102741,
            0.4344949373,
            -0.0219036994906,
            -0.228492476802,
            -0.0394605375898,
        ),
        (
            -0.10936659367,
            -0.0710462629727,
            0.0645824114783,
            2.90632523682,
            -0.673873108979,
            -3.83805186828,
            1.69597934453,
            0.0469502960817,
            -0.0497096526884,
            0.021829545431,
            0.0574838271041,
        ),
        (
            -0.08993941616,
            0.175395483106,
            -0.0818473291726,
            2.21989536749,
            1.71387397514,
            0.7130691861,
            0.138970813499,
            -0.060771761518,
            0.124263341255,
            0.210086140404,
            -0.1838781387,
        ),
    ),
    hidden_bias=(4.96238030555, 1.41600844398, 1.07589704721, 1.53398826466, 3.02411593076),
    output=(-1.50013548973, -0.0962832691215, -0.194935930577, -0.352305895756, 0.0751074158475),
    output_bias=1.09696310708,
    inputs=(
        (0.0, 0.253061520472),
        (0.0, 0.290393577911),
        (0.0, 0.305398915249),
        (0.00663797254225, 0.608900395798),
        (0.0139727270189, 0.753827384323),
        (0.0266901380821, 0.782011770669),
        (0.0163880741923, 0.493761397883),
        (0.0, 0.49302598446),
        (0.918595400582, 0.999999999991),
        (0.342022871159, 0.936206429175),
        (-0.999999982118, 0.99999999891),
    ),
    result=(0.000319182538301, 14.4675094548),
    domain=(
        (0.0, 0.263061520472),
        (0.0, 0.300393577911),
        (0.0, 0.315398915249),
        (0.0, 0.618900395798),
        (0.00397272701894, 0.763827384323),
        (0.0166901380821, 0.792011770669),
        (0.00638807419226, 0.503761397883),
        (0.0, 0.50302598446),
    ),
    allowed=(0.0, 8.0),
    tolerance=0.2,
)
"""The leaf area index from Sentinel-2 at 20 m, version 2.1 of the tables of Weiss and Baret (2016)."""

ALBEDO_SENTINEL2: Mapping[str, float] = MappingProxyType(
    {"blue": 0.2266, "green": 0.1236, "red": 0.1573, "nir": 0.3417, "swir16": 0.1170, "swir22": 0.0338}
)
"""Bonafoni and Sekertekin (2020), for B2, B3, B4, B8, B11 and B12; read in public code that cites the paper, the
`albedo` layer of WRI's cities-cif and its Google Earth Engine twin, not in the paper itself."""


def lai(
    cube: xr.Dataset,
    *,
    view_zenith: Any,
    sun_zenith: Any,
    relative_azimuth: Any,
    bands: tuple[str, ...] = BANDS,
    network: Network = LAI_SENTINEL2,
) -> xr.Dataset:
    """The leaf area index, square metres of green leaves above each square metre of ground, with flags.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface reflectance (0 to 1) at the top of the canopy, any axes.
    view_zenith, sun_zenith, relative_azimuth : float or xarray.DataArray
        Degrees: from the zenith to the satellite, to the sun, and between their azimuths. An array may have any of the
        cube's axes, on the cube's own grid; a column of `sun_angles` is one angle a date.
    bands : tuple of str
        Names of the eight bands of `BANDS`, in that order.
    network : Network
        Another network of the same inputs.

    Returns
    -------
    xarray.Dataset
        ``lai`` in the bands' float dtype, NaN where a band is missing, and ``flags`` (uint8, bits): 1 a band lies
        outside the least and greatest that the network has learnt, 2 and 4 the result lay just outside the allowed
        range and was set to its end, 8 and 16 it lay farther out (and is given as it came). The full domain of the
        ATBD is a grid within these bounds: the flag misses unlikely mixtures of likely bands. Lazy if the cube is.

    Raises
    ------
    BadRequest
        Where a band is missing or in another unit, or an angle is not in degrees or not from 0 to 90 (zenith).

    References
    ----------
    Weiss and Baret (2016), S2ToolBox Level 2 products: LAI, FAPAR, FCOVER, version 1.1, INRAE; tables as distributed
    with the Sentinel-2 toolbox (SENBOX, s2tbx-biophysical 2_1).
    """
    if len(bands) != len(network.domain):
        raise BadRequest(f"lai: expected {len(network.domain)} bands, found {len(bands)}: {', '.join(bands)}.")
    series = reflectances(cube, bands, "lai")
    named = {"view_zenith": view_zenith, "sun_zenith": sun_zenith, "relative_azimuth": relative_azimuth}
    angles = {name: _cosine(angle, name, series[0]) for name, angle in named.items()}
    dtype = np.result_type(*(floats_for(band.dtype) for band in series))
    stacked = xr.apply_ufunc(
        partial(_run, network=network, dtype=dtype),
        *series,
        *angles.values(),
        output_core_dims=[["layer"]],
        dask="parallelized",
        output_dtypes=[dtype],
        dask_gufunc_kwargs={"output_sizes": {"layer": 2}},
    )
    kept = kept_attributes(series[0])
    words = {"standard_name": "leaf_area_index", "long_name": "LAI, surface foliaire / leaf area index", "units": "1"}
    masks = {"flag_masks": np.array([1, 2, 4, 8, 16], "uint8"), "flag_meanings": _FLAGS, "standard_name": "status_flag"}
    area = stacked.isel(layer=0, drop=True).assign_attrs({**words, **kept})
    flags = stacked.isel(layer=1, drop=True).fillna(0).astype("uint8")
    title = {"long_name": "réserves sur le LAI / reservations on LAI"}
    return xr.Dataset({"lai": area, "flags": flags.assign_attrs({**title, **masks, **kept})})


def albedo(cube: xr.Dataset, *, weights: Mapping[str, float] = ALBEDO_SENTINEL2) -> xr.DataArray:
    """Broadband short-wave albedo as a weighted sum of the bands, without unit.

    It supposes a surface that reflects alike in all directions and a clear sky: it is the reflectance over the solar
    spectrum in the direction of the satellite.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface reflectance (0 to 1), any axes.
    weights : mapping
        The share of each band, by its name in the cube. Default: `ALBEDO_SENTINEL2`, which adds up to 1.

    Returns
    -------
    xarray.DataArray
        NaN where a band is missing. Lazy if the cube is.

    Raises
    ------
    BadRequest
        Where a band is missing or in another unit, or there are no weights.

    References
    ----------
    Bonafoni and Sekertekin (2020), Albedo retrieval from Sentinel-2 by new narrow-to-broadband conversion
    coefficients, doi:10.1109/LGRS.2020.2967085.
    """
    if not weights:
        raise BadRequest("albedo: expected the share of at least one band in weights=, found none.")
    series = reflectances(cube, tuple(weights), "albedo")
    total: xr.DataArray = sum(band * share for band, share in zip(series, weights.values(), strict=True))  # type: ignore[assignment]
    title = {"standard_name": "surface_albedo", "long_name": "albédo / albedo", "units": "1"}
    return total.rename("albedo").assign_attrs({**kept_attributes(series[0]), **title})


def sun_angles(times: Any, longitude: float, latitude: float) -> pd.DataFrame:
    """Where the sun stands: zenith and azimuth (from north, clockwise) in degrees, one row a time (UTC).

    The low-precision formulas of the Astronomical Almanac, right to some hundredths of a degree from 1950 to 2050;
    refraction is left out.

    Parameters
    ----------
    times : datetime, or sequence of them
        UTC, or in the time zone they state.
    longitude, latitude : float
        Degrees east and north.

    Raises
    ------
    BadRequest
        For a place that is not on Earth.

    References
    ----------
    Michalsky (1988), The Astronomical Almanac's algorithm for approximate solar position (1950-2050),
    doi:10.1016/0038-092X(88)90045-X.
    """
    numbers = all(isinstance(place, Real) for place in (longitude, latitude))
    if not (numbers and -180 <= longitude <= 360 and -90 <= latitude <= 90):
        raise BadRequest(f"sun_angles: longitude {longitude!r}, latitude {latitude!r} is no place in degrees.")
    moments = as_dates(pd.Index(np.atleast_1d(np.asarray(times))))
    if not isinstance(moments, pd.DatetimeIndex):
        raise BadRequest(f"sun_angles: times hold {moments.dtype} values, expected dates such as '2020-07-01T10:30'.")
    days = np.asarray((moments - pd.Timestamp("2000-01-01T12:00")) / pd.Timedelta(days=1), "float64")
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    # Greenwich sidereal time in hours, then the hour angle
    hours = 6.697375 + 0.0657098242 * days + 24 * ((days + 0.5) % 1) + longitude / 15
    hour_angle = np.radians(hours * 15) - ascension
    north = np.radians(latitude)
    height = np.sin(declination) * np.sin(north) + np.cos(declination) * np.cos(north) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    northward = np.sin(declination) * np.cos(north) - np.cos(declination) * np.sin(north) * np.cos(hour_angle)
    zenith, azimuth = np.arccos(np.clip(height, -1, 1)), np.arctan2(east, northward)
    return pd.DataFrame({"zenith": np.degrees(zenith), "azimuth": np.degrees(azimuth) % 360}, index=moments)


def _cosine(given: Any, name: str, like: xr.DataArray) -> Any:
    check_units(given, "degree", verb="lai", what=name)
    angle: Any = _in_time(given) if isinstance(given, pd.Series) else given
    if isinstance(angle, xr.DataArray):
        _check_place(angle, name, like)
    elif not isinstance(angle, Real):
        raise BadRequest(
            f"lai: {name} is {type(given).__name__}, expected a number of degrees or a DataArray on the cube's axes."
        )
    low, high = (-360, 360) if name == "relative_azimuth" else (0, 90)
    lazy = isinstance(angle, xr.DataArray) and angle.chunks is not None
    numbers = np.ravel([] if lazy else angle)
    wrong = numbers[~((numbers >= low) & (numbers <= high)) & (np.isfinite(numbers) | (numbers.size == 1))]
    if wrong.size:
        raise BadRequest(f"lai: {name} is {wrong[0]:g}, expected degrees from {low} to {high}.")
    return np.cos(np.radians(angle))


def _in_time(angle: pd.Series) -> xr.DataArray:
    return norm_dates(xr.DataArray(angle.to_numpy(), dims=TIME, coords={TIME: angle.index}))


def _check_place(angle: xr.DataArray, name: str, like: xr.DataArray) -> None:
    for axis in angle.dims:
        sizes = angle.sizes[axis], like.sizes.get(axis, 0)
        here, there = angle.indexes.get(axis), like.indexes.get(axis)
        if sizes[0] != sizes[1] or not (here is None or there is None or here.equals(there)):
            raise BadRequest(
                f"lai: {name} has {sizes[0]} values along {str(axis)!r} and the cube {sizes[1]}, or at other places. "
                "Bring it to the cube's grid: angle.interp_like(cube)."
            )


def _run(*inputs: Any, network: Network, dtype: np.dtype[Any]) -> Array:
    stacked = np.stack(np.broadcast_arrays(*inputs)).astype(dtype, copy=False)
    answer = network(stacked)
    flags = np.zeros(answer.shape, "uint8")
    low, high = network.allowed
    margin = network.tolerance
    spectrum = stacked[: len(network.domain)]
    least, most = np.array(network.domain, dtype).T.reshape(2, -1, *[1] * answer.ndim)
    outside = ((spectrum < least) | (spectrum > most)).any(axis=0)
    for test, bit in (
        (outside, INPUT_OUT_OF_DOMAIN),
        ((answer < low) & (answer >= low - margin), SET_TO_MINIMUM),
        ((answer > high) & (answer <= high + margin), SET_TO_MAXIMUM),
        (answer < low - margin, TOO_LOW),
        (answer > high + margin, TOO_HIGH),
    ):
        flags[test] |= np.uint8(bit)
    bounded = np.where(flags & (SET_TO_MINIMUM | SET_TO_MAXIMUM), np.clip(answer, low, high), answer)
    return np.stack([bounded, np.where(np.isnan(answer), 0, flags)], axis=-1).astype(dtype)
