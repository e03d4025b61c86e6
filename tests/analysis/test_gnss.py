"""Station series: real ones with what is known of them, planted motion, and the rules of MIDAS worked by hand."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis import gnss
from earthlab.analysis.gnss import Relaxation, find_steps, midas, trajectory
from earthlab.errors import BadRequest

TOHOKU = "2011-03-11"
NAN = float("nan")


@pytest.fixture(scope="module")
def lhasa(shared_data) -> pd.DataFrame:
    stored = pd.read_csv(shared_data / "gnss" / "LHAS.tenv3", sep=r"\s+")
    table = pd.DataFrame(
        {
            "time": pd.to_datetime(stored["__MJD"], unit="D", origin="1858-11-17"),
            "east": stored["__east(m)"],
            "north": stored["_north(m)"],
        }
    )
    table.attrs["units"] = {"east": "m", "north": "m"}
    return table


@pytest.fixture(scope="module")
def usuda(shared_data) -> pd.DataFrame:
    return pd.read_csv(shared_data / "gnss" / "USUDneu9818.csv", parse_dates=["time"])


def table_of(values, *, start="2010-01-01", step="1D", **columns) -> pd.DataFrame:
    times = pd.date_range(start, periods=len(values), freq=step)
    table = pd.DataFrame({"time": times, "east": values, **columns})
    table.attrs["units"] = {"east": "mm"}
    return table


def years_of(table: pd.DataFrame) -> np.ndarray:
    middle = table.time.min() + (table.time.max() - table.time.min()) / 2
    return ((table.time - middle) / pd.Timedelta(days=365.25)).to_numpy()


def planted(*, days=1461, velocity=12.0, step=8.0, annual=3.0, noise=0.0, seed=0) -> pd.DataFrame:
    table = table_of(np.zeros(days))
    years = years_of(table)
    random = np.random.default_rng(seed)
    after = (table.time >= "2011-09-01").to_numpy()
    table["east"] = (
        100 + velocity * years + step * after + annual * np.cos(2 * math.pi * (years - 0.2))
        + random.normal(0, 1, days) * noise
    )  # fmt: skip
    return table


def test_lhasa_moves_as_published(lhasa):
    east, north = midas(lhasa, "east"), midas(lhasa, "north")
    assert (round(east.velocity, 1), round(north.velocity, 1)) == (46.2, 15.8)
    assert east.standard_error < 0.3
    white, flicker = (trajectory(lhasa, "east", noise=noise).terms.loc["velocity"] for noise in ("white", "flicker"))
    assert abs(flicker.estimate - east.velocity) < 3 * flicker.standard_error
    assert flicker.standard_error > 5 * white.standard_error


def test_the_earthquake_of_tohoku_is_found_on_its_day_with_what_followed_it(usuda):
    found = find_steps(usuda, "lat", units="mm", most=1)  # the second column, called lat, is east: see the extract
    assert abs(found.date[0] - pd.Timestamp(TOHOKU)) <= pd.Timedelta(days=1)
    model = partial(trajectory, usuda, "lat", units="mm", steps=[TOHOKU], noise="flicker")
    with_relaxation = model(relaxations=[Relaxation(TOHOKU)])
    terms = with_relaxation.terms
    assert terms.estimate["step 2011-03-11"] == pytest.approx(242, abs=5)
    assert terms.low["log 2011-03-11"] > 0
    assert 100 < terms.estimate["days log 2011-03-11"] < 250
    assert with_relaxation.noise["rms"] < 0.25 * model().noise["rms"]


def test_every_term_that_was_planted_is_found_exactly():
    table = planted()
    years, since = years_of(table), np.clip((table.time - pd.Timestamp("2011-09-01")).dt.days.to_numpy(), 0, None)
    table["east"] += 0.5 * 0.8 * years**2 + 5 * np.log1p(since / 20) - 4 * (1 - np.exp(-since / 200))
    relaxations = [Relaxation("2011-09-01", "log", 20), Relaxation("2011-09-01", "exp", 200)]
    found = trajectory(table, "east", steps=["2011-09-01"], relaxations=relaxations, degree=2)
    expected = {
        "offset": 100, "velocity": 12, "acceleration": 0.8, "step 2011-09-01": 8, "log 2011-09-01": 5,
        "exp 2011-09-01": -4, "cos 365.25 d": 3 * math.cos(0.4 * math.pi), "sin 365.25 d": 3 * math.sin(0.4 * math.pi),
        "cos 182.625 d": 0, "sin 182.625 d": 0,
    }  # fmt: skip
    assert list(found.terms.index) == list(expected)
    np.testing.assert_allclose(found.terms.estimate, list(expected.values()), atol=1e-6)
    assert found.terms.units["acceleration"] == "mm year-2"
    assert found.noise["rms"] < 1e-6


@pytest.mark.parametrize(("shape", "days"), [("log", 15.0), ("exp", 120.0)])
def test_a_relaxation_time_that_is_not_given_is_fitted_with_its_error(shape, days):
    random = np.random.default_rng(3)
    off, errors = [], []
    for _ in range(40):
        table = planted(days=1461, step=0, annual=0)
        since = np.clip((table.time - pd.Timestamp("2011-01-10")).dt.days.to_numpy(), 0, None) / days
        table["east"] += 30 * (np.log1p(since) if shape == "log" else 1 - np.exp(-since)) + random.normal(0, 1, 1461)
        terms = trajectory(table, "east", relaxations=[Relaxation("2011-01-10", shape)], periods=()).terms
        off.append(terms.estimate[f"days {shape} 2011-01-10"] - days)
        errors.append(terms.standard_error[f"days {shape} 2011-01-10"])
    assert np.mean(off) == pytest.approx(0, abs=4 * np.std(off) / math.sqrt(40))
    assert np.std(off) == pytest.approx(np.mean(errors), rel=0.35)


@pytest.mark.parametrize("noise", ["white", "flicker"])
def test_estimates_are_not_biased_and_intervals_hold_in_95_of_100(noise):
    truth = {"velocity": 12.0, "step 2011-09-01": 8.0, "cos 365.25 d": 3 * math.cos(0.4 * math.pi)}
    random = np.random.default_rng(17)
    tables = [planted(days=200) for _ in range(200)]
    for table in tables:
        table["time"] = pd.Timestamp("2010-01-01") + (table.time - table.time[0]) * 7
        years = years_of(table)
        wave = 3 * np.cos(2 * math.pi * (years - 0.2)) + 8 * (table.time >= "2011-09-01")
        table["east"] = 12 * years + wave + random.normal(0, 2, 200)
    fits = [trajectory(table, "east", steps=["2011-09-01"], periods=[365.25], noise=noise).terms for table in tables]
    for name, value in truth.items():
        off = np.array([fit.estimate[name] for fit in fits]) - value
        inside = np.mean([fit.low[name] <= value <= fit.high[name] for fit in fits])
        assert abs(off.mean()) < 3.5 * off.std() / math.sqrt(200), name
        assert inside == pytest.approx(0.95, abs=0.045), name


def test_better_observations_count_more():
    table = table_of([0.0, 0, 0, 0, 0, 10, 0, 0, 0, 0], sigma=[1.0] * 5 + [1e6] + [1.0] * 4)
    table.attrs["units"]["sigma"] = "mm"
    found = trajectory(table, "east", sigma="sigma", periods=())
    assert found.terms.estimate["offset"] == pytest.approx(0, abs=1e-6)
    assert found.series.residual.iloc[5] == pytest.approx(10, abs=1e-6)


def test_units_of_the_table_become_millimetres():
    table = planted()
    metres = table.assign(east=table.east / 1000)
    metres.attrs["units"] = {"east": "m"}
    for fit in (partial(trajectory, steps=["2011-09-01"]), partial(trajectory, steps=["2011-09-01"], units="m")):
        assert fit(metres, "east").terms.estimate["velocity"] == pytest.approx(12)
    assert midas(metres, "east").velocity == pytest.approx(12, abs=1e-3)
    assert midas(
        table.drop(columns="time").assign(when=table.time), "east", time="when", units="mm"
    ).velocity == pytest.approx(12, abs=1e-3)


def test_the_order_of_rows_gaps_an_index_of_time_and_float32_do_not_matter():
    table = planted(noise=1)
    expected = trajectory(table, "east", steps=["2011-09-01"])
    shuffled = table.sample(frac=1, random_state=1).assign(east=lambda t: t.east.astype("float32"))
    empty = pd.DataFrame({"time": [pd.NaT, table.time[3]], "east": [1.0, NAN]})
    padded = pd.concat([shuffled, empty], ignore_index=True)
    aware = table.assign(time=table.time.dt.tz_localize("UTC"))
    for variant in (shuffled, padded, table.set_index("time"), aware):
        found = trajectory(variant, "east", steps=["2011-09-01"], units="mm")
        np.testing.assert_allclose(found.terms.estimate, expected.terms.estimate, rtol=1e-4)
        assert midas(variant, "east", units="mm").velocity == pytest.approx(midas(table, "east").velocity, abs=1e-3)
    assert expected.series.index.is_monotonic_increasing


def test_dates_may_be_texts_or_the_index_whatever_its_name():
    table = planted(noise=1)
    expected = midas(table, "east")
    assert midas(table.assign(time=table.time.astype(str)), "east", units="mm") == expected
    assert midas(table.assign(time=table.time.dt.date), "east", units="mm") == expected
    for name in (None, "date"):
        assert midas(table.set_index("time").rename_axis(name), "east", units="mm") == expected


def test_one_step_needs_no_list_and_a_date_that_is_there_twice_counts_once():
    table = planted(noise=1)
    expected = trajectory(table, "east", steps=["2011-09-01"]).terms
    for steps in ("2011-09-01", pd.Timestamp("2011-09-01"), ["2011-09-01", "2011-09-01"], pd.Series(["2011-09-01"])):
        pd.testing.assert_frame_equal(trajectory(table, "east", steps=steps).terms, expected)
    assert midas(table, "east", steps="2011-09-01") == midas(table, "east", steps=["2011-09-01"])


def test_a_series_that_does_not_move_has_no_steps():
    assert find_steps(table_of(np.full(400, 7.1)), "east").empty


def test_the_parts_of_the_model_add_up():
    found = trajectory(planted(noise=1), "east", steps=["2011-09-01"])
    series = found.series
    np.testing.assert_allclose(series.polynomial + series.events + series.seasons, series.modelled)
    np.testing.assert_allclose(series.modelled + series.residual, series.observed)
    assert series.events.unique() == pytest.approx([0, found.terms.estimate["step 2011-09-01"]])


def test_the_season_is_told_by_its_amplitude_and_the_day_of_its_maximum():
    found = trajectory(planted(days=1827, noise=0.1), "east", steps=["2011-09-01"])
    season = found.seasons.loc[365.25]
    assert season.amplitude == pytest.approx(3, abs=0.02)
    top = found.origin + pd.Timedelta(days=0.2 * 365.25)
    assert season.maximum == pytest.approx(top.dayofyear, abs=1.5)
    assert 0 < season.standard_error < 0.02
    assert trajectory(planted(), "east", periods=()).seasons.empty


@given(seed=st.integers(0, 1000), place=st.integers(60, 900), size=st.sampled_from([-12.0, 7.0, 30.0]))
@settings(max_examples=20, deadline=None)
def test_a_planted_step_is_found_on_its_day(seed, place, size):
    table = planted(days=1000, step=0, noise=1, seed=seed)
    table["east"] += size * (np.arange(1000) >= place)
    found = find_steps(table, "east")
    assert len(found) == 1
    assert abs((found.date[0] - table.time[place]).days) <= 1
    assert found["size"][0] == pytest.approx(size, abs=5 * found.standard_error[0] + 0.1)


def test_no_step_is_found_in_white_noise():
    tables = [planted(days=1000, step=0, noise=1, seed=seed) for seed in range(40)]
    assert sum(len(find_steps(table, "east", threshold=5)) for table in tables) <= 1


def test_steps_that_are_known_or_small_are_not_proposed():
    table = planted(noise=0.5)
    assert list(find_steps(table, "east").date) == [pd.Timestamp("2011-09-01")]
    assert find_steps(table, "east", steps=["2011-09-01"]).empty
    assert find_steps(table, "east", smallest=9).empty


def test_midas_is_exact_for_a_line_with_seasons():
    found = midas(planted(step=0), "east")
    assert found.velocity == pytest.approx(12, abs=0.02)
    assert found.pairs == 2 * (1461 - 365)


def test_midas_pairs_a_date_with_the_next_free_one_where_none_is_a_year_away():
    years = np.array([0, 0.5, 1.0, 1.2, 1.52, 1.53])
    pairs = gnss._forward_pairs(years, 0.001)
    assert pairs.tolist() == [[0, 2], [1, 4]]
    crowded = np.array([0, 0.01, 0.02, 1.1, 1.2])
    assert gnss._forward_pairs(crowded, 0.001).tolist() == [[0, 3], [1, 4], [2, 3]]


def test_midas_takes_no_pair_across_a_step():
    table = planted(annual=0, step=500)
    clean = midas(table, "east", steps=["2011-09-01"])
    assert (clean.velocity, clean.scatter) == (pytest.approx(12), pytest.approx(0, abs=1e-9))
    assert clean.pairs < midas(table, "east").pairs


def test_midas_hardly_sees_a_step_and_its_interval_is_wide_enough():
    found = [midas(planted(days=1461, step=20, noise=2, seed=seed), "east") for seed in range(30)]
    off = np.array([each.velocity - 12 for each in found])
    assert abs(np.mean(off)) < 1.5  # of the 5 mm a year that a line would take from the step
    still = [midas(planted(days=1461, step=0, noise=2, seed=seed), "east") for seed in range(200)]
    off = np.array([each.velocity - 12 for each in still])
    assert abs(off.mean()) < 0.03 + 3.5 * off.std() / math.sqrt(200)
    assert np.mean([abs(each.velocity - 12) < 1.96 * each.standard_error for each in still]) >= 0.95


def test_the_error_of_midas_is_the_published_formula():
    found = midas(planted(noise=2, step=0), "east")
    assert found.standard_error == pytest.approx(3 * 1.2533 * found.scatter / math.sqrt(found.kept / 4))
    assert found.kept < found.pairs


TABLE = planted(noise=1)
TWO_STATIONS = pd.concat([TABLE, TABLE])
fit = partial(trajectory, TABLE, "east")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(trajectory, TABLE, "eats"), "has no column 'eats'. Nearest: east"),
        (partial(midas, TABLE, "east", time="date"), "midas: the table has no column 'date'"),
        (
            partial(trajectory, TWO_STATIONS, "east", units="mm"),
            "2010-01-01 00:00 has several rows. Choose the rows of one",
        ),
        (partial(fit, units="m"), "'east' is in 'mm' by the table and in 'm' by units="),
        (
            partial(midas, pd.DataFrame(TABLE.to_dict()), "east"),
            "'east' has units None, expected a length: m, cm or mm",
        ),
        (partial(midas, TABLE, "east", units="degree"), "Leave units= out"),
        (
            partial(trajectory, TABLE.assign(time=1.0), "east", units="mm"),
            "column 'time' holds float64, expected dates",
        ),
        (partial(fit, degree=3), "degree is 3, expected 0, 1 or 2"),
        (partial(fit, periods=[0]), r"periods are \[0\], expected positive"),
        (partial(fit, noise="pink"), "noise is 'pink', expected 'white' or 'flicker'"),
        (partial(fit, level=1), "level is 1"),
        (partial(fit, steps=["2030-01-01"]), "steps: 2030-01-01 lies outside the series, 2010-01-01 to 2013-12-31"),
        (partial(fit, steps=["2010-01-01"]), "lies outside the series"),
        (partial(fit, steps=["soon"]), "steps: 'soon' is not understood as a date"),
        (partial(fit, steps=[2011.5]), "steps: 2011.5 is no date"),
        (partial(fit, steps=[None]), "steps: None is no date"),
        (partial(fit, relaxations=["2012-01-01"]), r"expected Relaxation\('2011-03-11', 'log'\)"),
        (partial(fit, relaxations=[Relaxation(TABLE.time.iloc[-1])]), "is the last date"),
        (partial(midas, TABLE.assign(time="95MAY19"), "east", units="mm"), "'95MAY19', expected dates"),
        (partial(midas, TABLE.assign(time=55405), "east", units="mm"), "Of modified Julian days make them with"),
        (
            partial(midas, TABLE.assign(east="a lot"), "east", units="mm"),
            "'east' holds object, expected numbers",
        ),
        (partial(midas, TABLE["east"], "east"), "expected a table .DataFrame., found Series"),
        (partial(find_steps, TABLE[:1], "east", units="mm"), "find_steps: 1 observations for 6 terms"),
        (partial(fit, relaxations=[Relaxation("2012-01-01", "sqrt")]), "Expected shape 'log' or 'exp'"),
        (partial(fit, relaxations=[Relaxation("2012-01-01", "log", -1)]), "positive days"),
        (partial(fit, steps=["2012-01-01T06:00", "2012-01-01T12:00"]), "cannot tell apart step 2012-01-01"),
        (partial(trajectory, TABLE[:1], "east", units="mm"), "1 observations for 6 terms"),
        (partial(trajectory, TABLE.assign(east=NAN), "east", units="mm"), "0 observations for 6 terms"),
        (
            partial(trajectory, TABLE.assign(s=0.0), "east", sigma="s", units="mm"),
            "'s' is not positive somewhere",
        ),
        (partial(trajectory, TABLE.assign(east=np.inf), "east", units="mm"), "0 observations for 6 terms"),
        (partial(find_steps, TABLE, "east", threshold=0), "threshold 0 and most 10 are to be positive"),
        (partial(midas, TABLE[:200], "east", units="mm"), "0 pairs of dates a year apart among 200 observations"),
        (partial(midas, TABLE[:1], "east", units="mm"), "0 pairs of dates a year apart among 1 observations"),
        (partial(midas, TABLE.assign(east=NAN), "east", units="mm"), "among 0 observations"),
        (partial(midas, TABLE, "east", tolerance=0), "tolerance is 0"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=words):
        call()
