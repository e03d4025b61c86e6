"""Ground deformation from a stack of unwrapped interferograms: what moves, how fast, and how sure that is.

The chain of small baselines (SBAS), as FLATSIM and PyRate run it: phase becomes millimetres along the line of sight,
the best plane of each interferogram (orbit) and the median of a stable place are taken away, the network of
interferograms is inverted to one displacement a date, and a line is fitted to these.
"""

import math
from functools import partial
from typing import Any, Literal

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import t as student

from earthlab.analysis import kernels
from earthlab.analysis.columns import TIME, map_columns
from earthlab.analysis.harmonics import YEAR
from earthlab.analysis.kernels.compiling import Array, as_columns, floats_for
from earthlab.analysis.networks import (
    PAIR,
    REFERENCE,
    SECONDARY,
    Network,
    Weights,
    check_stack,
    network_of,
    resolve_weights,
)
from earthlab.analysis.units import check_units, convert, is_in, unit_of
from earthlab.errors import BadRequest

Solution = Literal["tree", "all"]
Gaps = Literal["nan", "minimum_norm"]

_SAME_TIME = 1e-12
"""Sum of squares, in years, that rounding makes of dates that are all the same: half a minute."""
_LONGEST_WAVE = 1.0
"""P band, the longest that satellites carry, is 0.69 m."""


def line_of_sight(phase: xr.DataArray, *, wavelength: float, sign: int) -> xr.DataArray:
    """Displacement along the line of sight (ligne de visée) in millimetres: ``sign · φ · λ / 4π``.

    Parameters
    ----------
    phase : xarray.DataArray
        Unwrapped phase in radians.
    wavelength : float
        Of the radar, in metres: 0.0562 for ENVISAT, 0.0555 for Sentinel-1.
    sign : {1, -1}
        1 keeps the sign of the processor, -1 turns it. Processors differ in which of the two dates is subtracted, so
        it has no default: compare with a movement that is known, or with the processor's manual.

    Returns
    -------
    xarray.DataArray
        In mm, with the axes and float dtype of the phase. Lazy if the phase is.

    Raises
    ------
    BadRequest
        For a phase in another unit, a wavelength that cannot be metres, or another sign.
    """
    if not isinstance(phase, xr.DataArray):
        raise BadRequest(f"line_of_sight: expected a DataArray, found {type(phase).__name__}. Choose one: cube['…'].")
    check_units(phase, "rad", verb="line_of_sight", what="the phase")
    if not 0 < wavelength < _LONGEST_WAVE:
        raise BadRequest(f"line_of_sight: wavelength is {wavelength!r}, expected metres, such as 0.0562 for C band.")
    if sign not in (1, -1):
        raise BadRequest(f"line_of_sight: sign is {sign!r}, expected 1 or -1.")
    scale = np.asarray(sign * wavelength / (4 * math.pi) * 1000, floats_for(phase.dtype))
    displaced: xr.DataArray = (phase * scale).rename("displacement")
    kept = {key: phase.attrs[key] for key in ("grid_mapping",) if key in phase.attrs}
    return displaced.assign_attrs(
        long_name="déplacement en ligne de visée / line-of-sight displacement", units="mm", **kept
    )


def remove_planes(stack: xr.DataArray) -> xr.DataArray:
    """Each interferogram without its best plane, by least squares over the pixels that have a value.

    An error in the orbit looks like a plane; so does a deformation as wide as the image, which is lost with it.

    Parameters
    ----------
    stack : xarray.DataArray
        Interferograms, axes ``pair``, y, x.

    Returns
    -------
    xarray.DataArray
        Like the stack. All NaN where an interferogram has fewer than three pixels that are not in a line. Lazy if the
        stack is; the planes are found now, for which a lazy stack is read once.

    Raises
    ------
    BadRequest
        For other axes.

    References
    ----------
    The planar orbital correction of PyRate (Geoscience Australia), whose corrected interferograms it reproduces.
    """
    ordered = _ordered(stack, "remove_planes")
    down, across = (xr.DataArray(np.linspace(-1, 1, ordered.sizes[name]), dims=[name]) for name in ordered.dims[1:])
    found = [xr.DataArray(part, dims=PAIR) for part in _planes(_moments(ordered, down.values, across.values)).T]
    plane = found[0] + found[1] * across + found[2] * down
    return _subtract(stack, plane.transpose(*ordered.dims))


def _moments(stack: xr.DataArray, down: Array, across: Array) -> Array:
    if stack.chunks is None:
        return _sums(stack.values, down, across)[:, 0, 0]
    rows, columns = (
        da.from_array(line, chunks=(cut,)) for line, cut in zip((down, across), stack.chunks[1:], strict=True)
    )
    found: da.Array = da.blockwise(
        _sums,
        "pyxm",
        *(stack.data, "pyx", rows, "y", columns, "x"),
        new_axes={"m": 9},
        adjust_chunks={"y": 1, "x": 1},
        dtype="float64",
        meta=np.empty((0,) * 4),
    )
    return np.asarray(found.sum(axis=(1, 2)).compute())


def _sums(values: Array, down: Array, across: Array) -> Array:
    """Sums of 1, x, y, x², xy, y², and of d, dx, dy over the observed pixels of each interferogram."""
    found = np.empty((len(values), 1, 1, 9))
    for image, row in zip(values, found[:, 0, 0], strict=True):
        seen = np.isfinite(image)
        filled = np.where(seen, image, 0).astype("float64")
        columns, lines = seen.sum(axis=0), seen.sum(axis=1)
        row[:6] = (
            lines.sum(), columns @ across, lines @ down, columns @ across**2, down @ seen @ across, lines @ down**2
        )  # fmt: skip
        row[6:] = filled.sum(), filled.sum(axis=0) @ across, filled.sum(axis=1) @ down
    return found


def _planes(sums: Array) -> Array:
    """Coefficients (constant, x, y) of each interferogram from its `_sums`; NaN where they are not determined."""
    number, x, y, xx, xy, yy = sums[:, :6].T
    normals = np.stack([number, x, y, x, xx, xy, y, xy, yy], axis=-1).reshape(-1, 3, 3)
    planes = np.full((len(sums), 3), np.nan)
    sound = np.linalg.matrix_rank(normals, hermitian=True) == 3
    planes[sound] = np.linalg.solve(normals[sound], sums[sound, 6:, None])[..., 0]
    return planes


def subtract_reference(stack: xr.DataArray, chip: xr.DataArray, *, least: float = 0.5) -> xr.DataArray:
    """Each interferogram relative to a place held to be stable: without the median over that place.

    Parameters
    ----------
    stack : xarray.DataArray
        Interferograms, axes ``pair``, y, x.
    chip : xarray.DataArray
        The part of it over the stable place, such as ``stack.isel(y=slice(56, 61), x=slice(36, 41))``. It is read now.
    least : float
        The share of the chip's pixels that must have a value in every interferogram.

    Returns
    -------
    xarray.DataArray
        Like the stack. Lazy if the stack is.

    Raises
    ------
    BadRequest
        Where the chip has other interferograms, or too few values in one of them.
    """
    ordered, part = _ordered(stack, "subtract_reference"), _ordered(chip, "subtract_reference")
    if list(part[PAIR].values) != list(ordered[PAIR].values) or not part[0].size:
        raise BadRequest("subtract_reference: chip has no pixels or other interferograms; cut it out of the stack.")
    values = part.values.reshape(part.sizes[PAIR], -1).astype("float64")
    values[~np.isfinite(values)] = np.nan
    shares = np.isfinite(values).mean(axis=1)
    if (shares < least).any() or not shares.all():
        at = int(np.argmin(shares))
        raise BadRequest(
            f"subtract_reference: interferogram {part[PAIR].values[at]} has values in {shares[at]:.0%} of the "
            f"{values.shape[1]} pixels of the chip, expected {least:.0%} and one or more. Try another place or least=."
        )
    return _subtract(stack, xr.DataArray(np.nanmedian(values, axis=1), dims=PAIR))


def time_series(
    stack: xr.DataArray,
    *,
    solution: Solution = "tree",
    gaps: Gaps = "nan",
    weights: Weights = None,
    wavelength: float | None = None,
) -> xr.Dataset:
    """The displacement of each pixel on each date since the first, from a network of interferograms (SBAS).

    Least squares over the interferograms that have a value in the pixel, whatever pattern the missing ones make.

    Parameters
    ----------
    stack : xarray.DataArray
        Displacement or phase from the reference to the secondary date, as `networks.interferograms` gives it.
    solution : {"tree", "all"}
        ``"tree"`` uses the minimum spanning tree of what each pixel has, so that no interferogram is averaged with a
        worse one, and every loop stays open as a check. ``"all"`` uses all and shares out the misclosures.
    gaps : {"nan", "minimum_norm"}
        Where no chain of interferograms joins a date to the first one its displacement is not known: NaN, or the one
        with the smallest velocities (the minimum norm of Berardino et al.), which is a guess.
    weights : sequence of float, optional
        One a pair, the smaller the better, for the tree. Default: the share of missing pixels in the whole image, for
        which a lazy stack is read once, now.
    wavelength : float, optional
        In metres: adds ``temporal_coherence``. Not needed where the stack is in radians.

    Returns
    -------
    xarray.Dataset
        ``displacement`` (time, y, x) in the unit of the stack, 0 on the first date; ``pairs``, the number of
        interferograms with a value (int16); ``rms`` of all of these minus what the series says, NaN where none is
        redundant; and ``temporal_coherence``, 1 where all agree. A pixel that the first date's interferograms do not
        see is NaN. Lazy if the stack is, one task a block with all pairs in one chunk.

    Raises
    ------
    BadRequest
        For other axes or words, a network in pieces that ``gaps`` does not bridge, or a wavelength without unit of
        length.

    References
    ----------
    Berardino et al. (2002), A new algorithm for surface deformation monitoring based on small baseline differential SAR
    interferograms, IEEE Transactions on Geoscience and Remote Sensing 40, 2375-2383, doi:10.1109/TGRS.2002.803792.
    Temporal coherence: Pepe and Lanari (2006), On the extension of the minimum cost flow algorithm for phase unwrapping
    of multitemporal differential SAR interferograms, same journal 44, 2374-2383, doi:10.1109/TGRS.2006.873207.
    """
    ordered = _ordered(stack, "time_series")
    network = network_of(ordered, "time_series")
    _check_words(network, solution, gaps)
    radians = _radians_a_unit(stack, wavelength)
    best_first = np.arange(len(network.first))
    if solution == "tree":
        best_first = np.argsort(resolve_weights(ordered, weights, "time_series"), kind="stable")
    invert = partial(
        _invert,
        network=network,
        order=best_first,
        tree=int(solution == "tree"),
        bridged=int(gaps != "nan"),
        radians=radians,
    )
    dates, dtype = len(network.dates), floats_for(stack.dtype)
    columns = ordered.drop_vars([PAIR, REFERENCE, SECONDARY]).rename({PAIR: TIME})
    stacked = map_columns(invert, [columns], layers=1, periods=dates + 3, dtype=dtype)[0]
    return _series(columns, stacked, network, coherent=radians is not None)


def _check_words(network: Network, solution: str, gaps: str) -> None:
    if solution not in ("tree", "all"):
        raise BadRequest(f"time_series: solution is {solution!r}, expected 'tree' or 'all'.")
    if gaps not in ("nan", "minimum_norm"):
        raise BadRequest(f"time_series: gaps is {gaps!r}, expected 'nan' or 'minimum_norm'.")
    subsets = network.subsets
    if len(subsets) > 1 and gaps == "nan":
        found = "; ".join(
            f"{subset[0]:%Y-%m-%d} … {subset[-1]:%Y-%m-%d} ({len(subset)} dates)" for subset in subsets[:4]
        )
        raise BadRequest(
            f"time_series: no interferogram joins the {len(subsets)} parts of the network: {found}. Add interferograms "
            "between them, take one part, or accept a guess with gaps='minimum_norm'."
        )


def _radians_a_unit(stack: xr.DataArray, wavelength: float | None) -> float | None:
    if wavelength is None:
        return 1.0 if is_in(stack, "rad") else None
    if not 0 < wavelength < _LONGEST_WAVE:
        raise BadRequest(f"time_series: wavelength is {wavelength!r}, expected metres, such as 0.0562 for C band.")
    units = next((unit for unit in ("mm", "cm", "m") if is_in(stack, unit)), None)
    if units is None:
        raise BadRequest(
            f"time_series: wavelength= needs a stack in a unit of length, found units {unit_of(stack)!r}. Give it "
            "attrs['units'] = 'mm', or leave wavelength= out."
        )
    return 4 * math.pi / wavelength * float(convert(1.0, "m", given=units))


def _invert(values: Array, *, network: Network, order: Array, tree: int, bridged: int, radians: float | None) -> Array:
    columns = as_columns(values)
    dates = len(network.dates)
    out = np.empty((dates + 3, columns.shape[1]), columns.dtype)
    stiffness = np.diff(network.years) ** -2
    kernels.invert_network(columns, network.first, network.second, order, stiffness, tree, bridged, out[:dates])
    _judge(columns, network, radians, out)
    return out.reshape(1, dates + 3, *values.shape[1:])


def _judge(columns: Array, network: Network, radians: float | None, out: Array) -> None:
    """Fill the last three rows: number of pairs, rms of what the series leaves, temporal coherence."""
    series = out[: len(network.dates)]
    number, squares = (np.zeros(columns.shape[1]) for _ in range(2))
    real, imaginary = (np.zeros(columns.shape[1]) for _ in range(2))
    for row, one, other in zip(columns, network.first, network.second, strict=True):
        left = row - (series[other] - series[one])
        seen = np.isfinite(left)
        left = np.where(seen, left, 0)
        squares += left * left
        number += seen
        if radians is not None:
            real += np.where(seen, np.cos(left * radians), 0)
            imaginary += np.sin(left * radians)
    redundant = number >= np.isfinite(series).sum(axis=0).clip(min=1)
    with np.errstate(invalid="ignore"):
        out[-3] = np.isfinite(columns).sum(axis=0)
        out[-2] = np.where(redundant, np.sqrt(squares / number), np.nan)
        out[-1] = np.where(redundant, np.hypot(real, imaginary) / number, np.nan)


def _series(columns: xr.DataArray, stacked: Any, network: Network, *, coherent: bool) -> xr.Dataset:
    space, dates = columns.dims[1:], len(network.dates)
    units = {"units": columns.attrs["units"]} if "units" in columns.attrs else {}
    mapping = {"grid_mapping": columns.attrs["grid_mapping"]} if "grid_mapping" in columns.attrs else {}
    named = {
        "displacement": (
            stacked[:dates],
            "déplacement depuis la première date / displacement since the first date",
            units,
        ),
        "pairs": (stacked[-3].astype("int16"), "interférogrammes utilisables / usable interferograms", {"units": "1"}),
        "rms": (stacked[-2], "écart des interférogrammes à la série / interferograms minus the series, rms", units),
    }
    if coherent:
        named["temporal_coherence"] = (stacked[-1], "cohérence temporelle / temporal coherence", {"units": "1"})
    variables = {
        name: ((TIME, *space) if name == "displacement" else space, data, {"long_name": title, **unit, **mapping})
        for name, (data, title, unit) in named.items()
    }
    kept = {name: columns.coords[name] for name in columns.coords if set(columns[name].dims) <= set(space)}
    return xr.Dataset(variables, coords={**kept, TIME: (TIME, network.dates, {"standard_name": "time"})})


def linear_rate(series: xr.DataArray, *, level: float = 0.95, least: int = 3) -> xr.Dataset:
    """The velocity of each pixel: the line fitted to its displacements by ordinary least squares.

    Parameters
    ----------
    series : xarray.DataArray
        Displacement with an axis ``time`` of dates in any order; NaN is no observation.
    level : float
        Of the confidence interval.
    least : int
        Dates that a pixel must have, 3 or more: two are always on a line.

    Returns
    -------
    xarray.Dataset
        ``rate`` (unit of the series a year of 365.25 days) with its ``standard_error`` and ``half_width``, half the
        confidence interval by Student's t; ``intercept`` on the first date; ``r_squared``; ``samples`` (int16). NaN
        where a pixel has fewer dates. Lazy if the series is.

    Raises
    ------
    BadRequest
        Without dates along ``time``, for fewer than ``least`` of them, or a level outside ]0, 1[.

    Notes
    -----
    The errors hold where those of the dates are independent, as those of the atmosphere are: 94 to 96 of 100 intervals
    of 95 % then hold the true rate (1,000 simulated pixels, 4 to 100 dates, also with heavy tails). Errors of single
    interferograms, from loss of coherence, add up along the network, and a line through what adds up seems surer than
    it is: 80 of 100 at 8 dates, 28 at 30 and 14 at 100. What the atmosphere and the reference place add is common to
    neighbouring pixels. How rates scatter over stable ground tells all of it.
    """
    check_stack(series, "linear_rate")
    times = series.indexes.get(TIME)
    if TIME not in series.dims or not isinstance(times, pd.DatetimeIndex) or times.hasnans:
        raise BadRequest(f"linear_rate: expected dates along 'time', found axes {', '.join(map(str, series.dims))}.")
    if least < 3 or len(times.unique()) < least:
        raise BadRequest(
            f"linear_rate: found {len(times.unique())} dates, expected least={least} or more, which is 3 at the least."
        )
    if not 0 < level < 1:
        raise BadRequest(f"linear_rate: level is {level!r}, expected a number between 0 and 1, such as 0.95.")
    years = np.asarray((times - times.min()) / pd.Timedelta(days=YEAR), "float64")
    ordered = series.transpose(TIME, ...)
    fit = partial(_fit_lines, years=years, quantiles=_student_quantiles(len(years), level), least=least)
    stacked = map_columns(fit, [ordered], layers=6, periods=1, dtype=floats_for(series.dtype))[:, 0]
    return _lines(ordered, stacked, level)


def _student_quantiles(most: int, level: float) -> Array:
    """By number of samples; NaN where there is no degree of freedom."""
    quantiles = np.full(most + 1, np.nan)
    quantiles[3:] = student.ppf((1 + level) / 2, np.arange(1, most - 1))
    return quantiles


def _fit_lines(values: Array, *, years: Array, quantiles: Array, least: int) -> Array:
    shape = values.shape[1:]
    number, time, height = (np.zeros(shape) for _ in range(3))
    for year, row in zip(years, values, strict=True):
        seen = np.isfinite(row)
        number += seen
        time += seen * year
        height += np.where(seen, row, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        enough = np.where(number >= least, number, np.nan)
        time, height = time / enough, height / enough
        along, both, up = (np.zeros(shape) for _ in range(3))
        for year, row in zip(years, values, strict=True):
            seen = np.isfinite(row)
            apart, above = np.where(seen, year - time, 0), np.where(seen, row - height, 0)
            along += apart * apart
            both += apart * above
            up += above * above
        rate = both / np.where(along > _SAME_TIME, along, np.nan)
        explained = np.where(up > 0, np.minimum(rate * both / up, 1), np.nan)
        error = np.sqrt(np.maximum(up - rate * both, 0) / (enough - 2) / along)
    half = error * quantiles[number.astype("int64")]
    out = np.stack([rate, error, half, height - rate * time, explained, number])
    return out.astype(floats_for(values.dtype))[:, None]


def _lines(series: xr.DataArray, stacked: Any, level: float) -> xr.Dataset:
    unit = str(series.attrs.get("units", "1"))
    a_year = f"{unit} year-1"
    words = {
        "rate": ("vitesse / velocity", a_year),
        "standard_error": ("erreur type de la vitesse / standard error of the velocity", a_year),
        "half_width": (f"demi-intervalle à {level:.0%} / half the {level:.0%} interval", a_year),
        "intercept": ("ordonnée à la première date / value of the line on the first date", unit),
        "r_squared": ("part de variance expliquée / share of variance explained", "1"),
        "samples": ("nombre de dates / number of dates", "1"),
    }
    mapping = {"grid_mapping": series.attrs["grid_mapping"]} if "grid_mapping" in series.attrs else {}
    found = {
        name: (series.dims[1:], stacked[at], {"long_name": title, "units": units, **mapping})
        for at, (name, (title, units)) in enumerate(words.items())
    }
    kept = {name: series.coords[name] for name in series.coords if TIME not in series[name].dims}
    dataset = xr.Dataset(found, coords=kept)
    return dataset.assign(samples=dataset["samples"].astype("int16"))


def _ordered(stack: xr.DataArray, verb: str) -> xr.DataArray:
    check_stack(stack, verb)
    if PAIR not in stack.dims or stack.ndim != 3:
        raise BadRequest(
            f"{verb}: expected interferograms with axes pair, y, x, found {', '.join(map(str, stack.dims))}. Make them "
            "with networks.interferograms(…)."
        )
    return stack.transpose(PAIR, ...)


def _subtract(stack: xr.DataArray, what: xr.DataArray) -> xr.DataArray:
    with xr.set_options(keep_attrs=True):
        return (stack - what).transpose(*stack.dims).astype(floats_for(stack.dtype))
