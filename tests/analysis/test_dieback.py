"""The dieback of a forest: vectors of the state machine worked by hand, a plain machine beside it, planted dates."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.dieback import BARE, LOW, NONE, SEVERE, Bands, Limits, Rule, crswir, dieback, forest_view, watch
from earthlab.errors import BadRequest

NAN = float("nan")
TRAINING = pd.date_range("2015-07-01", "2017-12-28", freq="18D")
WATCHED = pd.date_range("2018-01-05", periods=16, freq="10D")
DATES = TRAINING.append(WATCHED)
HEALTHY = {"blue": 0.02, "green": 0.04, "red": 0.02, "nir08": 0.30, "swir16": 0.09, "swir22": 0.04}
RULE = Rule()


def season(dates) -> np.ndarray:
    angle = 2 * np.pi * np.asarray((dates - pd.Timestamp("2015-01-01")) / pd.Timedelta(days=1)) / 365.25
    return 0.6 + 0.1 * np.sin(angle) + 0.05 * np.cos(angle) - 0.02 * np.sin(2 * angle) + 0.01 * np.cos(2 * angle)


def series(apart, dates=DATES, dtype="float64") -> xr.DataArray:
    """A healthy index with differences ``apart`` on the watched dates, one row a pixel."""
    rows = np.atleast_2d(np.asarray(apart, "float64"))
    values = np.repeat(season(dates)[:, None], len(rows), axis=1)
    values[len(dates) - rows.shape[1] :] += rows.T
    return xr.DataArray(values.astype(dtype), dims=("time", "x"), coords={"time": dates}, attrs={"units": "1"})


def pattern(text) -> list[float]:
    """``#`` an anomaly of 0.3, ``.`` a normal date, space a date on which nothing was seen."""
    row = [{"#": 0.3, ".": 0.0, " ": NAN}[letter] for letter in text]
    return row + [NAN] * (len(WATCHED) - len(row))


VECTORS = [
    # dates watched, alarm, place of the first date, ended periods as (start, end)
    ("................", 0, None, []),
    ("..##.##.##......", 0, None, []),
    ("...###..........", 0, None, [(3, 6)]),
    ("...###", 1, 3, []),
    ("...###..", 1, 3, []),
    ("...###..#..#..", 1, 3, []),
    ("...###..#...", 0, None, [(3, 9)]),
    (". # # #", 1, 2, []),
    ("###...###", 1, 6, [(0, 3)]),
    ("###...###. . .", 0, None, [(0, 3), (6, 9)]),
    ("##.###", 1, 3, []),
    ("                ", 0, None, []),
    ("################", 1, 0, []),
]


@pytest.mark.parametrize(("text", "alarm", "first", "ended"), VECTORS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_vectors_of_the_state_machine(text, alarm, first, ended, dtype):
    found = watch(series([pattern(text)], dtype=dtype)).isel(x=0)
    assert found.alarm == alarm
    assert found["periods"] == len(ended)
    if first is None:
        assert np.isnat(found.first_date.values)
    else:
        assert pd.Timestamp(found.first_date.values) == WATCHED[first]
    starts, ends = found.period_start.values[: len(ended)], found.period_end.values[: len(ended)]
    assert [(WATCHED.get_loc(a), WATCHED.get_loc(b)) for a, b in zip(starts, ends, strict=True)] == ended
    assert np.isnat(found.period_start.values[len(ended) :]).all()


def plain_machine(apart, rule: Rule) -> dict[str, object]:
    """The same in plain Python: states, dates and stresses of one pixel."""
    alarm, waiting, period, ended = False, [], [], []
    for place, value in enumerate(apart):
        if np.isnan(value):
            continue
        if (value > rule.threshold) != alarm:
            waiting.append((place, value))
            if alarm and len(waiting) == rule.back:
                ended.append((period, waiting[0][0]))
                alarm, waiting, period = False, [], []
            elif not alarm and len(waiting) == rule.into:
                alarm, period, waiting = True, waiting, []
        else:
            if alarm:
                period = [*period, *waiting, (place, value)]
            waiting = []
    return {"alarm": alarm, "period": period + waiting if alarm else [], "ended": ended}


def stress_of(period, weighted) -> float:
    values = np.array([value for _, value in period])
    return float(np.average(values, weights=np.arange(1, len(values) + 1) if weighted else None))


APART = st.lists(st.sampled_from([NAN, 0.0, 0.05, 0.3, 0.5, -0.2]), min_size=16, max_size=16)


@settings(max_examples=80, deadline=None)
@given(st.lists(APART, min_size=1, max_size=8), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_against_a_plain_machine(rows, into, back, weighted):
    rule = replace(RULE, into=into, back=back, stress="weighted" if weighted else "mean", most_periods=2)
    found = watch(series(rows), rule)
    for pixel, row in enumerate(rows):
        here, expected = found.isel(x=pixel), plain_machine(row, rule)
        assert here.alarm == expected["alarm"]
        assert here["periods"] == len(expected["ended"])
        assert here.reliable == (len(expected["ended"]) <= 2)
        assert here.dates == len(expected["period"])
        if expected["alarm"]:
            assert pd.Timestamp(here.first_date.values) == WATCHED[expected["period"][0][0]]
            assert here.stress.item() == pytest.approx(stress_of(expected["period"], weighted))
        for number, (period, end) in enumerate(expected["ended"][:2]):
            assert pd.Timestamp(here.period_start.values[number]) == WATCHED[period[0][0]]
            assert pd.Timestamp(here.period_end.values[number]) == WATCHED[end]
            assert here.period_stress.values[number] == pytest.approx(stress_of(period, weighted))
            assert here.period_dates.values[number] == len(period)


def test_planted_dieback_dates_are_recovered_exactly_under_noise():
    random = np.random.default_rng(2)
    dates = TRAINING.append(pd.date_range("2018-01-05", periods=120, freq="6D"))
    planted = random.integers(-40, 110, 200)
    apart = np.where(np.arange(120) >= planted[:, None], 0.35, 0.0) * (planted[:, None] >= 0)
    values = series(apart, dates)
    values = values + random.normal(0, 0.02, values.shape)
    cloudy = random.random(values.shape) < 0.3
    found = watch(values.where(~cloudy))
    seen = [np.flatnonzero(~cloudy[len(TRAINING) :, pixel]) for pixel in range(200)]
    expected = [at[at >= start][0] if start >= 0 else -1 for at, start in zip(seen, planted, strict=True)]
    assert ((found.alarm == 1).values == (planted >= 0)).all()
    days = dates[len(TRAINING) :]
    known = [days[place] if place >= 0 else pd.NaT for place in expected]
    np.testing.assert_array_equal(found.first_date.values, pd.DatetimeIndex(known).values)


def test_the_stress_and_the_model_are_without_bias_over_two_hundred_pixels():
    random = np.random.default_rng(4)
    values = series(np.full((200, 16), 0.30))
    found = watch(values + random.normal(0, 0.02, values.shape), replace(RULE, stress="mean"))
    error = float(found.stress.std() / np.sqrt(200))
    assert float(found.stress.mean()) == pytest.approx(0.30, abs=4 * error)
    assert float(found.coefficient.sel(term="mean").mean()) == pytest.approx(0.6, abs=0.002)


def test_training_goes_on_until_ten_dates_and_at_most_to_its_limit():
    dates = pd.date_range("2017-11-01", periods=40, freq="9D")
    values = series(np.full((2, 0), 0), dates).values
    values[12:, 1] = NAN
    values[:6, 1] = NAN
    index = xr.DataArray(values, dims=("time", "x"), coords={"time": dates})
    found = watch(index)
    assert list(found.trained.values) == [10, 6]
    assert pd.Timestamp(found.last_training.values[0]) == dates[9]
    assert np.isnat(found.last_training.values[1])
    assert np.isnan(found.alarm[1])
    assert found.watched[0] == 30


def test_an_index_that_falls_is_watched_downwards():
    index = 1.2 - series([pattern("..######")])
    assert watch(index, replace(RULE, direction="down")).first_date.values[0] == WATCHED[2]
    assert not watch(index).alarm.any()


def test_nothing_seen_has_no_model():
    found = watch(series(np.full((1, 16), NAN)).where(False))
    assert np.isnan(found.alarm).all()
    assert np.isnat(found.first_date).all()
    assert found.trained == 0


def test_unsorted_dates_and_dask_say_the_same():
    random = np.random.default_rng(8)
    rows = np.where(random.random((12, 16)) < 0.6, 0.3, 0.0)
    index = series(rows)
    found = watch(index)
    shuffled = random.permutation(index.sizes["time"])
    xr.testing.assert_allclose(watch(index[shuffled]), found)
    lazy = watch(index.chunk(time=13, x=5))
    assert lazy.first_date.chunks is not None
    xr.testing.assert_allclose(lazy.compute(scheduler="sync"), found)


def scene(dates=DATES, shape=(16, 18), dtype="float32") -> xr.Dataset:
    axes = ("time", "y", "x")
    bands = {
        name: (axes, np.full((len(dates), *shape), value, dtype), {"units": "1"}) for name, value in HEALTHY.items()
    }
    return xr.Dataset(bands, coords={"time": dates}, attrs={"title": "essai"})


def test_crswir_is_one_on_its_line_and_rises_as_a_canopy_dries():
    flat = xr.Dataset(
        {"nir08": ("x", [0.3]), "swir16": ("x", [0.3 - 0.2 * (1610.4 - 864) / (2185.7 - 864)]), "swir22": ("x", [0.1])}
    )
    assert crswir(flat).item() == pytest.approx(1)
    cube = scene()
    line = 0.30 + (0.04 - 0.30) / (2185.7 - 864) * (1610.4 - 864)
    np.testing.assert_allclose(crswir(cube), 0.09 / line, rtol=1e-5)
    assert crswir(cube.chunk(x=5)).dtype == np.dtype("float32")
    np.testing.assert_allclose(crswir(cube.chunk(x=5)), crswir(cube))
    assert np.isnan(crswir(cube.where(cube.red > 1))).all()


def test_a_cloud_hides_its_pixels_and_three_around_it():
    cube = scene()
    cube["blue"][4, 8, 9] = 0.2
    state = forest_view(cube).state
    rows, columns = np.mgrid[:16, :18]
    near = abs(rows - 8) + abs(columns - 9) <= 3
    np.testing.assert_array_equal(state[4], np.where(near, 2, 0))
    assert not state[[3, 5]].any()
    assert forest_view(cube, limits=Limits(cloud_margin=0)).state.sum() == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (4, 2)])
def test_a_lazy_strip_narrower_than_the_margin_of_a_cloud(shape):
    cube = scene(DATES[:3], shape)
    cube["blue"][1, 0, 0] = 0.2
    lazy = forest_view(cube.chunk(x=1)).compute(scheduler="sync")
    xr.testing.assert_equal(lazy, forest_view(cube))


@pytest.mark.parametrize(
    ("spectrum", "expected"),
    [
        ({}, 0),
        ({"blue": 0.071}, 2),
        ({"blue": 0.045, "green": 0.12}, 2),
        ({"blue": 0.035, "green": 0.12}, 0),
        ({"swir16": 0.2, "green": 0.06, "red": 0.09}, 3),
        ({"swir16": 0.2, "green": 0.06, "red": 0.09, "blue": 0.065}, 0),
        ({"nir08": 0.0}, 1),
        ({"swir22": -0.01}, 1),
        ({"red": NAN}, 1),
    ],
)
def test_what_is_seen_by_its_spectrum(spectrum, expected):
    cube = scene(DATES[:2], (1, 1))
    for name, value in spectrum.items():
        cube[name][1] = value
    assert forest_view(cube).state[1].item() == expected


def test_a_felled_stand_is_bare_soil_from_its_first_date_and_not_dieback():
    cube = scene()
    felled = slice(len(TRAINING) + 4, None)
    for name, value in {"swir16": 0.25, "green": 0.08, "red": 0.12, "swir22": 0.2}.items():
        cube[name][felled, 2:6, 2:6] = value
    cube["red"][len(TRAINING) + 1, 0, 0] = 0.12
    found = dieback(cube)
    assert (found.confidence[2:6, 2:6] == BARE).all()
    assert (found.soil_date[2:6, 2:6].values == np.datetime64(DATES[felled][0])).all()
    assert not found.alarm[2:6, 2:6].any()
    assert (found.confidence == BARE).sum() == 16


@pytest.mark.parametrize("tile", [None, 7])
def test_a_planted_dieback_in_a_scene_is_found_with_its_date_and_confidence(tile):
    cube = scene()
    weak, strong = (slice(2, 6), slice(1, 7)), (slice(8, 13), slice(5, 15))
    for (rows, columns), start, swir in ((weak, 3, 0.115), (strong, 6, 0.16)):
        cube["swir16"][len(TRAINING) + start :, rows, columns] = swir
    found = dieback(cube if tile is None else cube.chunk(time=20, y=tile, x=tile)).compute(scheduler="sync")
    for (rows, columns), start, kind in ((weak, 3, LOW), (strong, 6, SEVERE)):
        assert (found.first_date[rows, columns].values == np.datetime64(WATCHED[start])).all()
        assert (found.confidence[rows, columns] == kind).all()
    assert (found.alarm == 1).sum() == 4 * 6 + 5 * 10
    assert (found.confidence == NONE).sum() == 16 * 18 - 74
    assert found.confidence.attrs["flag_meanings"].split()[SEVERE] == "severe"


def test_bands_may_have_other_names():
    names = {"blue": "B2", "green": "B3", "red": "B4", "nir08": "B8A", "swir16": "B11", "swir22": "B12"}
    bands = Bands(blue="B2", green="B3", red="B4", nir="B8A", swir="B11", far="B12")
    assert not dieback(scene().rename(names), bands=bands).alarm.any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dieback(scene().drop_vars("swir22")), "no band 'swir22'"),
        (lambda: dieback(scene().red), "expected a Dataset"),
        (
            lambda: forest_view(scene().assign(red=scene().red.assign_attrs(units="percent"))),
            "has units 'percent', expected '1'",
        ),
        (lambda: forest_view((scene() * 10000).astype("int16")), "holds int16 values, expected reflectance"),
        (lambda: forest_view(scene() * 10000), "'blue' has values about .*, expected reflectance from 0 to 1"),
        (lambda: dieback(scene(), bands=("blue", "green")), r"bands is a tuple, expected Bands, such as Bands\(nir="),
        (lambda: forest_view(scene(), limits=Limits(cloud_margin=-1)), "cloud_margin is -1, expected 0 or more"),
        (lambda: forest_view(scene(), limits=Limits(soil_dates=0)), "soil_dates is 0, expected 1 or more"),
        (lambda: watch(series([[0.0]]), {"threshold": 0.2}), "rule is a dict, expected a Rule"),
        (lambda: watch(series([[0.0]]), Rule(threshold="0.16")), "threshold is '0.16', expected a positive number"),
        (lambda: forest_view(scene().isel(x=0)), "expected axes time, y, x"),
        (lambda: crswir(scene().drop_vars("nir08")), "no band 'nir08'"),
        (lambda: watch(series([[0.0]])[:1]), "at least 2 dates"),
        (lambda: watch(series([[0.0]]), Rule(training_end="2030-01-01", training_limit="2030-01-01")), "and 0 after"),
        (
            lambda: watch(series([[0.0]]), Rule(training_end="2014-01-01", training_limit="2014-01-01")),
            "0 dates lie before",
        ),
        (lambda: watch(series([[0.0]]), Rule(training_limit="2016-01-01")), "lies before training_end"),
        (lambda: watch(series([[0.0]]), Rule(training_end="hier")), "is no date"),
        (lambda: watch(series([[0.0]]), Rule(least=3)), "least is 3, expected 5"),
        (lambda: watch(series([[0.0]]), Rule(into=0)), "into is 0"),
        (lambda: watch(series([[0.0]]), Rule(threshold=0)), "threshold is 0"),
        (lambda: watch(series([[0.0]]), Rule(direction="left")), "direction is 'left'"),
        (lambda: watch(series([[0.0]]), Rule(stress="median")), "stress is 'median'"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_a_training_may_end_in_a_time_zone():
    index = series([pattern("..###")])
    zoned = Rule(training_end="2018-01-01T00:00Z", training_limit=pd.Timestamp("2018-06-01", tz="UTC"))
    xr.testing.assert_equal(watch(index, zoned), watch(index, RULE))


@pytest.mark.parametrize("labels", [lambda dates: dates.tz_localize("UTC"), lambda dates: dates.strftime("%Y-%m-%d")])
def test_a_scene_may_bring_its_dates_as_users_have_them(labels):
    plain = scene()
    other = plain.assign_coords(time=("time", labels(plain.indexes["time"])))
    xr.testing.assert_equal(dieback(other), dieback(plain))
