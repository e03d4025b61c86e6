"""The states of a forest in each column: trained on its first dates, watched on the others."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined
from earthlab.analysis.kernels.least_squares import add_observations, factorise, substitute

CLEAR, INVALID, CLOUD, SOIL = 0, 1, 2, 3
"""What is seen on one date."""

(
    ALARM,
    FIRST,
    STRESS,
    DATES,
    TRAINED,
    WATCHED,
    LAST_TRAINING,
    ENDED,
    PERIODS,
) = range(9)
"""Layers of `watch_forest`; from `PERIODS` on four layers each ended period: start, end, stress, dates."""

_STRIP = 64


@compiled
def see_ground(  # noqa: PLR0913, PLR0917 - six bands and their thresholds
    blue: Array,
    green: Array,
    red: Array,
    nir: Array,
    swir: Array,
    far: Array,
    order: Array,
    limits: Array,
    successive: int,
    state: Array,
    soil_date: Array,
) -> None:
    """Fill ``state`` (time, pixel; uint8) with what is seen, and ``soil_date`` (pixel; int32) with when soil came.

    Parameters
    ----------
    blue, green, red, nir, swir, far : numpy.ndarray
        The columns of the bands.
    order : numpy.ndarray
        Places along time, earliest first.
    limits : numpy.ndarray
        Soil: least swir, blue not reached, least green and red; cloud: least blue, least share of green, and least
        blue beside that share.
    successive : int
        Dates of bare soil in succession after which a pixel stays soil.
    state : numpy.ndarray
        Written: `CLEAR`, `INVALID`, `CLOUD` or `SOIL`.
    soil_date : numpy.ndarray
        Written: the place of the first of these dates; -1 where there are none.
    """
    bare_swir, bare_blue, bare_sum, cloud_blue, cloud_share, haze_blue = limits
    pixels = blue.shape[1]
    run, since, bare = np.zeros(pixels, np.int32), np.zeros(pixels, np.int32), np.zeros(pixels, np.bool_)
    soil_date[:] = -1
    for place in range(order.size):
        date = order[place]
        for at in range(pixels):
            b, g, r, n = blue[date, at], green[date, at], red[date, at], nir[date, at]
            valid = b > 0 and g > 0 and r > 0 and n > 0 and swir[date, at] > 0 and far[date, at] > 0
            soil = swir[date, at] > bare_swir and b < bare_blue and g + r > bare_sum
            if valid and b < bare_blue:
                run[at] = run[at] + 1 if soil else 0
                if run[at] == 1:
                    since[at] = date
                if run[at] == successive and not bare[at]:
                    bare[at] = True
                    soil_date[at] = since[at]
            cloud = b > cloud_blue or (g / (n + r + g) > cloud_share and b > haze_blue)
            if not valid:
                state[date, at] = INVALID
            elif bare[at] or soil:
                state[date, at] = SOIL
            else:
                state[date, at] = CLOUD if cloud else CLEAR


@inlined
def _train(values, design, dates, training, least, normal, right, used, seen, last):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0913, PLR0917
    # The normal equations of a strip; ``last`` is the place in ``dates`` of the last training date of each pixel.
    normal[:], right[:], seen[:], last[:] = 0, 0, 0, -1
    for place in range(training[1]):
        row = values[dates[place]]
        for at in range(row.size):
            used[at] = row[at] - row[at] == 0 and (place < training[0] or seen[at] < least)
            seen[at] += used[at]
            last[at] = place if used[at] else last[at]
        add_observations(row, design[dates[place]], used[: row.size], normal, right)


@inlined
def _add(tally, apart, rank, weighted):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    weight = rank if weighted else 1.0
    tally[0] += weight * apart
    tally[1] += weight
    tally[2] += 1


@inlined
def _record(out, ended, most, first, changed, period):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if ended < most:
        layer = PERIODS + 4 * ended
        out[layer], out[layer + 1] = first, changed
        out[layer + 2], out[layer + 3] = period[0] / period[1], period[2]


@inlined
def _watch(values, design, dates, model, rule, weighted, period, tail, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, C901, PLR0913, PLR0917
    # A date against the state waits in ``tail`` until the change of state is certain. Its sum, weight and number then
    # begin a period (the alarm), or are dropped (its end); a date with the state moves them into the period.
    sign, threshold, into, back = rule
    most = (out.size - PERIODS) // 4
    alarm, run, first, changed, ended, watched = False, 0, -1, -1, 0, 0
    period[:], tail[:] = 0, 0
    for date in dates:
        value = np.float64(values[date])
        if value - value == 0:  # neither NaN nor infinite
            watched += 1
            for term in range(model.size):
                value -= design[date, term] * model[term]
            against = (sign * value > threshold) != alarm
            if against:
                run += 1
                changed = date if run == 1 else changed
            if against or alarm:
                _add(tail, sign * value, period[2] + tail[2] + 1.0, weighted)
            if not against:
                run = 0
            if against and alarm and run == back:
                _record(out, ended, most, first, changed, period)
                ended += 1
                alarm, run, first = False, 0, -1
                period[:] = 0
            elif against and not alarm and run == into:
                alarm, run, first = True, 0, changed
                period[:] = tail
            elif alarm and not against:
                period += tail
            if run == 0:
                tail[:] = 0
    period += tail
    out[ALARM] = 1.0 if alarm else 0.0
    out[FIRST] = first
    out[STRESS] = period[0] / period[1] if alarm else np.nan
    out[DATES] = period[2] if alarm else 0
    out[WATCHED] = watched
    out[ENDED] = ended


@compiled
def watch_forest(  # noqa: PLR0913, PLR0917 - one pass over the dates
    values: Array,
    design: Array,
    order: Array,
    training: tuple[int, int],
    least: int,
    rule: tuple[float, float, int, int],
    weighted: bool,  # noqa: FBT001 - a kernel's
    coefficients: Array,
    out: Array,
) -> None:
    """Fill the model of each pixel (term, pixel) and what became of it (layer, pixel; float64).

    Parameters
    ----------
    values : numpy.ndarray
        The columns; NaN where the ground was not seen.
    design : numpy.ndarray
        (time, term), float64: the terms of the model on each date.
    order : numpy.ndarray
        Places along time, earliest first.
    training : tuple of int
        Numbers of dates of ``order`` before which the training ends, and before which it may go on until ``least``
        dates were seen.
    least : int
        Fewest dates of a training.
    rule : tuple
        1 for an alarm above the model and -1 below it; the least difference; dates of anomaly in succession that
        raise the alarm; normal dates in succession that end it.
    weighted : bool
        Whether the stress weighs the dates 1, 2, 3, … from the first anomaly.
    coefficients : numpy.ndarray
        Written, float64; NaN where the training was too short.
    out : numpy.ndarray
        Written: the layers named in this module; places along time for dates, -1 for none, and NaN for all of a period
        that there is not.
    """
    size, pixels = design.shape[1], values.shape[1]
    normal, right = np.empty((size, size, _STRIP)), np.empty((size, _STRIP))
    used, seen, last = np.empty(_STRIP, np.bool_), np.empty(_STRIP, np.int32), np.empty(_STRIP, np.int32)
    factor, known, model = np.empty((size, size)), np.empty(size), np.empty(size)
    period, tail, found = np.empty(3), np.empty(3), np.empty(out.shape[0])
    for left in range(0, pixels, _STRIP):
        strip = values[:, left : min(left + _STRIP, pixels)]
        _train(strip, design, order, training, least, normal, right, used, seen, last)
        for at in range(strip.shape[1]):
            trained = seen[at] >= least and factorise(normal, at, factor)
            for term in range(size):
                known[term] = right[term, at]
            substitute(factor, known, model)
            first = max(training[0], last[at] + 1) if trained else order.size
            found[:] = np.nan
            _watch(strip[:, at], design, order[first:], model, rule, weighted, period, tail, found)
            found[ALARM] = found[ALARM] if trained else np.nan
            found[TRAINED] = seen[at]
            found[LAST_TRAINING] = order[last[at]] if trained else -1
            for layer in range(out.shape[0]):
                out[layer, left + at] = found[layer]
            for term in range(size):
                coefficients[term, left + at] = model[term] if trained else np.nan
