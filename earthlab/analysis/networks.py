"""Networks of interferograms: which dates they join, how well, and whether their loops close.

An interferogram measures what changed between two dates. Dates are the nodes of a network and interferograms its edges:
a spanning tree of it gives each date one displacement, and every further edge closes a loop that checks the others.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from dask.delayed import delayed
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earthlab.analysis.columns import TIME
from earthlab.analysis.frames import own_values
from earthlab.analysis.harmonics import YEAR
from earthlab.analysis.kernels.compiling import Array, floats_for
from earthlab.errors import BadRequest

PAIR, REFERENCE, SECONDARY = "pair", "reference_date", "secondary_date"

Weights = xr.DataArray | Array | Sequence[float] | None
"""One number an interferogram, the smaller the better; None for the share of pixels without a value."""


@dataclass(frozen=True, slots=True)
class Network:
    """The dates of a stack of interferograms, and which two of them each interferogram joins.

    Attributes
    ----------
    dates : pandas.DatetimeIndex
        Every date once, earliest first.
    first, second : numpy.ndarray
        int64, one a pair: the places in ``dates`` of its reference and its secondary date.
    """

    dates: pd.DatetimeIndex
    first: Array
    second: Array

    @property
    def years(self) -> Array:
        """Time since the first date in years of 365.25 days, float64."""
        return np.asarray((self.dates - self.dates[0]) / pd.Timedelta(days=YEAR), "float64")

    @property
    def names(self) -> list[str]:
        """One name a pair, such as ``20061002-20070219``."""
        return [f"{self.dates[a]:%Y%m%d}-{self.dates[b]:%Y%m%d}" for a, b in zip(self.first, self.second, strict=True)]

    @property
    def subsets(self) -> tuple[pd.DatetimeIndex, ...]:
        """The dates in groups that no interferogram joins: one group where the network is connected."""
        size = len(self.dates)
        edges = coo_array((np.ones(len(self.first)), (self.first, self.second)), shape=(size, size))
        number, label = connected_components(edges, directed=False)
        return tuple(self.dates[label == group] for group in range(number))


def interferograms(
    stack: xr.DataArray, *, reference: Iterable[Any] | None = None, secondary: Iterable[Any]
) -> xr.DataArray:
    """A stack of interferograms that knows the two dates of each, from a cube with one interferogram a date.

    Parameters
    ----------
    stack : xarray.DataArray
        Unwrapped phase or displacement, axes ``time`` (or ``pair``), y, x, as
        ``earthlab.open(items, group_by="granule")`` gives it: one step an interferogram, in order. What has no value
        is NaN, or what ``_FillValue`` says: of processors that write 0 there, give ``stack.where(stack != 0)``.
    reference, secondary : iterable of dates
        The two dates of each interferogram, in the order of the stack: the value is what changed from the reference to
        the secondary date, which may be the earlier one. Texts and numbers such as 20061002 will do; hours and time
        zones are left out. Without ``reference`` the axis of time says it.

    Returns
    -------
    xarray.DataArray
        Axes ``pair``, y, x; coordinates ``pair`` (names such as ``20061002-20070219``), ``reference_date`` and
        ``secondary_date``. Lazy if the stack is.

    Raises
    ------
    BadRequest
        Where the numbers of dates and interferograms differ, a date is missing, both dates of a pair are the same, or
        the axis of time has other dates than ``reference``.
    """
    check_stack(stack, "interferograms")
    stack = own_values(stack, "interferograms")
    stack = stack.squeeze("band", drop=True) if stack.sizes.get("band") == 1 else stack
    axis = next((name for name in (TIME, PAIR) if name in stack.dims), None)
    if axis is None or stack.ndim != 3:
        raise BadRequest(
            f"interferograms: expected axes time (or pair), y, x, found {', '.join(map(str, stack.dims))}. Rename the "
            "axis of the interferograms: stack.rename({…: 'pair'})."
        )
    stated = stack.indexes.get(TIME) if axis == TIME else None
    if reference is None and not isinstance(stated, pd.DatetimeIndex):
        raise BadRequest("interferograms: the stack has no dates along 'time'. Give reference= beside secondary=.")
    one = _days(stack[TIME].values if reference is None else reference, "reference")
    other = _days(secondary, "secondary")
    _check_pairs(one, other, stack.sizes[axis], stated)
    kept = stack.drop_vars([name for name in stack.coords if axis in stack[name].dims]).rename({axis: PAIR})
    named = [f"{a:%Y%m%d}-{b:%Y%m%d}" for a, b in zip(one, other, strict=True)]
    return kept.transpose(PAIR, ...).assign_coords(
        {PAIR: (PAIR, named), REFERENCE: (PAIR, one), SECONDARY: (PAIR, other)}
    )


def check_stack(stack: xr.DataArray, verb: str) -> None:
    """Nothing, where it is a DataArray.

    Raises
    ------
    BadRequest
        Where it is something else.
    """
    if not isinstance(stack, xr.DataArray):
        raise BadRequest(f"{verb}: expected a DataArray, found {type(stack).__name__}. Choose one: cube['…'].")


def _days(dates: Iterable[Any], word: str) -> pd.DatetimeIndex:
    try:
        found = pd.DatetimeIndex(pd.to_datetime([_written(date) for date in dates], utc=True))
    except (ValueError, TypeError) as exc:
        raise BadRequest(f"interferograms: {word}= is not understood as dates ({exc}).") from exc
    if found.hasnans:
        raise BadRequest(f"interferograms: {word}= has no date for pair {int(np.argmax(found.isna()))}.")
    return pd.DatetimeIndex(found.tz_localize(None).normalize(), dtype="datetime64[ns]")


def _written(date: Any) -> Any:
    """The date, or the text of one that is a number such as 20061002 or bytes of HDF5."""
    if isinstance(date, bytes):
        return date.decode()
    return f"{date:08d}" if isinstance(date, int | np.integer) else date


def _check_pairs(one: pd.DatetimeIndex, other: pd.DatetimeIndex, size: int, stated: pd.Index | None) -> None:
    if not len(one) == len(other) == size:
        raise BadRequest(
            f"interferograms: {size} interferograms, {len(one)} reference and {len(other)} secondary dates. Give two "
            "dates for each, in the order of the stack."
        )
    same = one == other
    if same.any():
        raise BadRequest(f"interferograms: pair {int(np.argmax(same))} has {one[same][0]:%Y-%m-%d} as both dates.")
    if isinstance(stated, pd.DatetimeIndex) and not stated.normalize().isin(one.union(other)).all():
        odd = stated[~stated.normalize().isin(one.union(other))][0]
        raise BadRequest(
            f"interferograms: the stack has {odd:%Y-%m-%d} along 'time', which is a date of no pair given. Give the "
            "dates in the order of the stack."
        )
    if isinstance(stated, pd.DatetimeIndex) and not (stated.normalize() == one).all():
        at = int(np.argmax(stated.normalize() != one))
        raise BadRequest(
            f"interferograms: the stack has {stated[at]:%Y-%m-%d} at place {at} along 'time' and reference= has "
            f"{one[at]:%Y-%m-%d}. Give the dates in the order of the stack."
        )


def network_of(stack: xr.DataArray, verb: str = "network") -> Network:
    """The dates and pairs of a stack.

    Raises
    ------
    BadRequest
        Where it is no stack that `interferograms` gave.
    """
    check_stack(stack, verb)
    if PAIR not in stack.dims or not {REFERENCE, SECONDARY} <= set(stack.coords) or not stack.sizes[PAIR]:
        raise BadRequest(
            f"{verb}: expected interferograms with axis 'pair' and their two dates, found axes "
            f"{', '.join(map(str, stack.dims))}. Make them with networks.interferograms(…)."
        )
    one, other = (pd.DatetimeIndex(stack[name].values) for name in (REFERENCE, SECONDARY))
    dates = one.union(other).unique().sort_values()
    return Network(dates, *(np.asarray(dates.get_indexer(ends), "int64") for ends in (one, other)))


def nan_fraction(stack: xr.DataArray) -> xr.DataArray:
    """The share of pixels without a value in each interferogram; reads a lazy stack once, now.

    Raises
    ------
    BadRequest
        Where it is no stack that `interferograms` gave.
    """
    network_of(stack, "nan_fraction")
    missing: xr.DataArray = (~xr.apply_ufunc(np.isfinite, stack, dask="allowed")).mean(
        [name for name in stack.dims if name != PAIR]
    )
    missing = missing.compute()
    return missing.rename("nan_fraction").assign_attrs(
        long_name="part de pixels sans valeur / share of pixels without value", units="1"
    )


def spanning_tree(stack: xr.DataArray, *, weights: Weights = None) -> xr.DataArray:
    """Which interferograms make the minimum spanning tree: the best that join all dates without a loop.

    Kruskal's algorithm; of equal weights the earlier in the stack wins. Several interferograms may join the same dates.

    Parameters
    ----------
    stack : xarray.DataArray
        What `interferograms` gave.
    weights : sequence of float, optional
        One a pair, the smaller the better. Default: `nan_fraction`, for which a lazy stack is read once, now.

    Returns
    -------
    xarray.DataArray
        bool along ``pair``; a forest where the network is not connected.

    Raises
    ------
    BadRequest
        Where it is no stack that `interferograms` gave, or the weights do not fit it.
    """
    network = network_of(stack, "spanning_tree")
    label = np.arange(len(network.dates))
    chosen = np.zeros(len(network.first), bool)
    for pair in np.argsort(resolve_weights(stack, weights, "spanning_tree"), kind="stable"):
        one, other = label[network.first[pair]], label[network.second[pair]]
        chosen[pair] = one != other
        label[label == other] = one
    return stack[PAIR].copy(data=chosen).rename("in_tree")


def resolve_weights(stack: xr.DataArray, weights: Weights, verb: str) -> Array:
    """The weights given, one a pair, or the share of missing pixels.

    Raises
    ------
    BadRequest
        Where they are not one finite number a pair.
    """
    if isinstance(weights, xr.DataArray) and PAIR in weights.coords:
        weights = _in_order(weights, stack, verb)
    found = np.asarray(nan_fraction(stack) if weights is None else weights, "float64")
    if found.shape != (stack.sizes[PAIR],) or not np.isfinite(found).all():
        raise BadRequest(
            f"{verb}: weights has shape {found.shape}, expected one finite number for each of the "
            f"{stack.sizes[PAIR]} interferograms."
        )
    return found


def _in_order(weights: xr.DataArray, stack: xr.DataArray, verb: str) -> xr.DataArray:
    named, wanted = weights.indexes[PAIR], stack.indexes[PAIR]
    if named.equals(wanted):
        return weights
    if not named.is_unique or not wanted.is_unique or not wanted.isin(named).all():
        raise BadRequest(f"{verb}: weights has other pairs than the stack. Give one number for each, in its order.")
    return weights.reindex({PAIR: wanted})


def network_table(stack: xr.DataArray, *, weights: Weights = None) -> pd.DataFrame:
    """The network as a table, for a figure or a report: one row a pair.

    Parameters
    ----------
    stack, weights
        As for `spanning_tree`.

    Returns
    -------
    pandas.DataFrame
        Index ``pair``; columns ``reference_date``, ``secondary_date``, ``days`` (from one to the other), ``weight``,
        and ``in_tree``.

    Raises
    ------
    BadRequest
        As `spanning_tree` does.
    """
    network = network_of(stack, "network_table")
    weighed = resolve_weights(stack, weights, "network_table")
    table = pd.DataFrame(
        {
            REFERENCE: network.dates[network.first],
            SECONDARY: network.dates[network.second],
            "weight": weighed,
            "in_tree": spanning_tree(stack, weights=weighed).values,
        },
        index=pd.Index(network.names, name=PAIR),
    )
    table.insert(2, "days", (table[SECONDARY] - table[REFERENCE]).dt.days)
    return table


def closure(stack: xr.DataArray) -> xr.DataArray:
    """How far each loop of three interferograms is from closing: zero where none of them is wrong.

    For dates a < b < c it is (a to b) + (b to c) - (a to c). Errors of unwrapping are whole cycles, 2π radians or half
    a wavelength; what moved, the atmosphere and orbits cancel.

    Parameters
    ----------
    stack : xarray.DataArray
        What `interferograms` gave, before anything is subtracted from single interferograms.

    Returns
    -------
    xarray.DataArray
        Axes ``triplet``, y, x, in the unit of the stack, with coordinates ``first``, ``middle`` and ``last`` (dates);
        NaN where one of the three has no value. Empty where the network has no such loop. Lazy if the stack is.

    Raises
    ------
    BadRequest
        Where it is no stack that `interferograms` gave.

    References
    ----------
    Biggs et al. (2007), Multi-interferogram method for measuring interseismic deformation: Denali Fault, Alaska,
    Geophysical Journal International 170, 1165-1179, doi:10.1111/j.1365-246X.2007.03415.x.
    """
    network = network_of(stack, "closure")
    dtype = floats_for(stack.dtype)
    loops = _triplets(network)
    signs = np.where(network.second > network.first, 1, -1)
    forward = stack.transpose(PAIR, ...).drop_vars([PAIR, REFERENCE, SECONDARY]).astype(dtype)
    forward = forward * xr.DataArray(signs.astype(dtype), dims=PAIR)
    there, onward, direct = (forward.isel({PAIR: loops[:, side]}).rename({PAIR: "triplet"}) for side in range(3))
    corners = np.sort(np.stack([network.first[loops[:, :2]], network.second[loops[:, :2]]]), axis=0)
    first, middle, last = (network.dates[places] for places in (corners[0, :, 0], corners[1, :, 0], corners[1, :, 1]))
    closed = (there + onward - direct).rename("closure")
    closed = closed.assign_coords(first=("triplet", first), middle=("triplet", middle), last=("triplet", last))
    kept = {key: stack.attrs[key] for key in ("units", "grid_mapping") if key in stack.attrs}
    return closed.assign_attrs(long_name="défaut de fermeture / loop misclosure", **kept)


def _triplets(network: Network) -> Array:
    """Pairs (a b, b c, a c) of every loop of three dates, shape (loops, 3)."""
    ends = [tuple(sorted(pair)) for pair in zip(network.first.tolist(), network.second.tolist(), strict=True)]
    leaving: dict[int, list[int]] = {}
    joining: dict[tuple[int, ...], list[int]] = {}
    for pair, (one, other) in enumerate(ends):
        leaving.setdefault(one, []).append(pair)
        joining.setdefault((one, other), []).append(pair)
    loops = [
        (there, onward, direct)
        for there, (one, middle) in enumerate(ends)
        for onward in leaving.get(middle, [])
        for direct in joining.get((one, ends[onward][1]), [])
    ]
    return np.array(loops, "int64").reshape(-1, 3)


def closure_table(stack: xr.DataArray, *, cycle: float = 2 * math.pi) -> pd.DataFrame:
    """How well each loop closes: one row a triplet of dates, the worst first. Reads a lazy stack once, now.

    Parameters
    ----------
    stack : xarray.DataArray
        As for `closure`.
    cycle : float
        One cycle of phase in the unit of the stack: 2π for radians, half the wavelength for displacement.

    Returns
    -------
    pandas.DataFrame
        Columns ``first``, ``middle``, ``last`` (dates), ``pixels`` (where all three have a value), ``median`` and
        ``rms`` of the misclosure in the unit of the stack, and ``slips``: the share of pixels off by half a cycle or
        more after the median is taken away, which is where a pixel is unwrapped wrongly.

    Raises
    ------
    BadRequest
        As `closure` does, and for a cycle that is not positive.
    """
    if not cycle > 0:
        raise BadRequest(f"closure_table: cycle is {cycle!r}, expected a positive number in the unit of the stack.")
    misclosed = closure(stack)
    judged = da.compute(*(delayed(_judge_loop)(row, cycle) for row in misclosed.data))
    table = pd.DataFrame(judged, columns=["pixels", "median", "rms", "slips"])
    for place, name in enumerate(("first", "middle", "last")):
        table.insert(place, name, misclosed[name].values)
    return table.sort_values("rms", ascending=False, ignore_index=True)


def _judge_loop(values: Array, cycle: float) -> tuple[int, float, float, float]:
    apart = np.asarray(values[np.isfinite(values)], "float64")
    if not apart.size:
        return 0, math.nan, math.nan, math.nan
    middle = float(np.median(apart))
    return (
        apart.size,
        middle,
        float(np.sqrt(np.mean(apart**2))),
        float(np.mean(np.abs(apart - middle) >= cycle / 2)),
    )
