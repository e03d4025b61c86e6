"""Air quality: published means, limits counted by hand, intervals that hold, clocks that change, bands of the order."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.air_quality import (
    ATMO_BANDS,
    EU_2008,
    EU_2030,
    WHO_2021,
    annual,
    atmo_index,
    cycle,
    daily,
    exceedances,
    hourly,
    pollution_rose,
    running_mean,
    to_micrograms,
    to_ppb,
)
from earthlab.analysis.units import convert
from earthlab.errors import BadRequest

NAN = float("nan")


def series(values, start="2019-01-01", tz=None, units="µg/m³") -> pd.Series:
    found = pd.Series(
        np.asarray(values, "float64"), pd.date_range(start, periods=len(values), freq="h", tz=tz), name="no2"
    )
    found.attrs["units"] = units
    return found


def year(value=10.0) -> pd.Series:
    return series(np.full(8760, value))


def test_the_means_of_three_cities_are_those_published(shared_data):
    table = pd.read_csv(shared_data / "air_quality" / "air_quality_no2.csv", index_col=0, parse_dates=True)
    for city, mean in (("paris", 27.741), ("antwerp", 25.779), ("london", 24.777)):
        found = hourly(table[f"station_{city}"])
        assert found.mean() == pytest.approx(mean, abs=0.0005)
        assert annual(found)["mean"].item() == pytest.approx(mean, abs=0.0005)
        assert not annual(found)["enough"].item()


def test_hours_are_made_regular_and_what_cannot_be_is_counted_out():
    times = pd.to_datetime(["2019-01-02 03:30", "2019-01-01 05:00", "2019-01-02 03:10", "2019-01-01 06:00"])
    found = hourly(pd.Series([30.0, -4.0, 10.0, 700.0], times, dtype="float32"), highest=500)
    assert len(found) == 48
    assert found.dropna().to_dict() == {pd.Timestamp("2019-01-02 03:00"): 20.0}
    assert found.attrs["rejected"] == {"out_of_range": 2, "stuck": 0}


def test_a_stuck_instrument_is_found_and_short_repeats_stay():
    values = np.arange(48.0)
    values[10:16], values[30:33] = 7.0, 9.5
    found = hourly(series(values), longest_repeat=4)
    assert np.flatnonzero(found.isna()).tolist() == list(range(10, 16))
    assert found.attrs["rejected"]["stuck"] == 6
    assert found.attrs["units"] == "µg/m³"


def test_days_of_local_time_have_23_and_25_hours():
    utc = series(np.ones(24 * 400), tz="UTC")
    local = hourly(utc.tz_convert("Europe/Paris"))
    sizes = local.resample("D").size()
    assert {23, 24, 25} == set(sizes)
    assert daily(local, capture=0.9).iloc[1:-1].notna().all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([NAN, 1.0, 5.0, 9.0]), min_size=24, max_size=72))
def test_daily_and_running_means_against_plain_loops(values):
    if not np.isfinite(values).any():
        return
    found = hourly(series(values))
    full = found.to_numpy()
    for day, mean in enumerate(daily(found)):
        hours = full[24 * day : 24 * day + 24]
        seen = hours[np.isfinite(hours)]
        assert math.isnan(mean) if len(seen) < 18 else mean == pytest.approx(seen.mean())
    for at, mean in enumerate(running_mean(found)):
        window = full[max(at - 7, 0) : at + 1]
        seen = window[np.isfinite(window)]
        assert math.isnan(mean) if len(seen) < 6 else mean == pytest.approx(seen.mean())


def verdicts(values: pd.Series, limits, pollutant="no2") -> dict[tuple[str, str], str]:
    table = exceedances(hourly(values), limits, pollutant)
    return {(row.text, row.averaging): row.verdict for row in table.itertuples()}


def test_eighteen_hours_are_met_and_nineteen_are_not():
    values = year()
    values.iloc[:18] = 200.1
    assert verdicts(values, EU_2008)["2008/50/EC", "hour"] == "met"
    values.iloc[18] = 200.0  # not above
    assert verdicts(values, EU_2008)["2008/50/EC", "hour"] == "met"
    values.iloc[19] = 201.0
    assert verdicts(values, EU_2008)["2008/50/EC", "hour"] == "exceeded"
    assert verdicts(values, EU_2030)["(EU) 2024/2881", "hour"] == "exceeded"


def test_a_year_is_judged_by_each_text():
    found = verdicts(year(20.5), EU_2008 + EU_2030 + WHO_2021)
    assert found["2008/50/EC", "year"] == "met"
    assert found["(EU) 2024/2881", "year"] == "exceeded"
    assert found["WHO 2021", "year"] == "exceeded"
    assert found["WHO 2021", "day"] == "met"


def test_some_weeks_can_show_an_exceedance_but_never_that_a_limit_is_met():
    weeks = series(np.full(24 * 45, 60.0))
    found = verdicts(weeks, EU_2008 + WHO_2021)
    assert found["WHO 2021", "day"] == "exceeded"
    assert found["2008/50/EC", "hour"] == "undecided"
    assert found["2008/50/EC", "year"] == "undecided"


def test_ozone_is_judged_by_its_daily_largest_mean_of_eight_hours():
    values = year(50.0)
    for day in range(30):
        values.iloc[24 * day + 8 : 24 * day + 16] = 130.0
    table = exceedances(hourly(values), EU_2008, "o3")
    assert table["found"].tolist() == [30]
    assert table["verdict"].tolist() == ["exceeded"]


def test_each_year_of_several_is_judged():
    values = series(np.r_[np.full(8760, 10.0), np.full(8784, 50.0)])
    table = exceedances(hourly(values), EU_2008, "no2").set_index(["year", "averaging"])
    assert table.loc[(2019, "year"), "verdict"] == "met"
    assert table.loc[(2020, "year"), "verdict"] == "exceeded"


def simulated(seed: int) -> pd.Series:
    random = np.random.default_rng(seed)
    days = random.normal(0, 6, 364)
    for at in range(1, 364):
        days[at] = 0.6 * days[at - 1] + days[at]
    hour = np.arange(364 * 24)
    return hourly(
        series(60 + 10 * np.sin(2 * np.pi * hour / 24) + np.repeat(days, 24) + random.normal(0, 3, hour.size))
    )


def test_intervals_of_means_hold_the_truth_although_days_resemble_their_forerunners():
    inside, errors = [], []
    for seed in range(200):
        found = annual(simulated(seed)).loc[2019]
        inside.append(found["low"] <= 60 <= found["high"])
        errors.append(found["mean"] - 60)
    assert 0.88 <= np.mean(inside) <= 0.99
    assert abs(np.mean(errors)) < 4 * np.std(errors) / 200**0.5


def test_cycles_name_their_classes_and_short_series_have_no_interval():
    values = simulated(0)
    assert list(cycle(values, "weekday").index) == list(range(7))
    assert list(cycle(values, "month").index) == list(range(1, 13))
    assert cycle(values, "hour").attrs["units"]["mean"] == "µg/m³"
    few = cycle(hourly(series(np.arange(24.0))), "hour")
    assert few["mean"].tolist() == list(np.arange(24.0))
    assert few["low"].isna().all()


@pytest.mark.parametrize("pollutant", sorted(ATMO_BANDS))
def test_atmo_bands_close_above_as_the_order_says(pollutant):
    for place, bound in enumerate(ATMO_BANDS[pollutant], start=1):
        for value, wanted in ((bound, place), (bound + 0.01, place + 1)):
            table = hourly(series(np.full(24, value))).to_frame("x")
            assert atmo_index(table, {pollutant: "x"})["index"].tolist() == [wanted]


def test_the_worst_pollutant_makes_the_index_and_missing_days_have_none():
    table = pd.DataFrame({"a": series(np.full(48, 30.0)), "b": series(np.r_[np.full(24, 60.0), np.full(24, NAN)])})
    table.loc[table.index[24:], "a"] = NAN
    found = atmo_index(table, {"no2": "a", "o3": "b"})
    assert found.iloc[0].tolist() == [1, 2, 2, 2]
    assert found["index"].isna().tolist() == [False, True]
    assert found["pollutants"].tolist() == [2, 0]


def test_particles_count_by_their_mean_and_gases_by_their_largest_hour():
    peak = np.full(24, 5.0)
    peak[12] = 100.0
    table = hourly(series(peak)).to_frame("x")
    assert atmo_index(table, {"no2": "x"})["index"].item() == 3
    assert atmo_index(table, {"pm10": "x"})["index"].item() == 1


def test_a_rose_finds_the_planted_direction():
    random = np.random.default_rng(0)
    winds = random.uniform(0, 360, 5000)
    away = np.abs((winds - 225 + 180) % 360 - 180)
    table = pd.DataFrame({"wd": winds, "ws": 3.0, "no2": 20 + 60 * (away < 22.5)})
    table.loc[:99, "ws"] = 0.1
    found = pollution_rose(table, value="no2", direction="wd", speed="ws", sectors=8, bounds=(40,), calm=0.5)
    assert found["mean"].drop(index=NAN).idxmax() == 225
    assert found["hours"].sum() == 5000
    assert found["hours"][NAN] == 100
    assert found["share"].sum() == pytest.approx(1)
    assert found[["<40", ">40"]].to_numpy().sum() == pytest.approx(1)
    north = pd.DataFrame({"wd": [355.0, 0.0, 360.0, 5.0], "ws": 3.0, "no2": 1.0})
    rose = pollution_rose(north, value="no2", direction="wd", speed="ws", bounds=(1.0, 2.0), calm=0.0)
    assert rose.index.tolist() == [0.0]


def test_ppb_and_micrograms_by_the_factors_of_the_networks():
    # At 20 °C and 1013 hPa: NO2 1.9125, O3 1.9957, SO2 2.6609, CO 1.1642 µg/m³ a ppb (Defra).
    for gas, factor in (("no2", 1.9125), ("o3", 1.9957), ("so2", 2.6609), ("co", 1.1642)):
        assert to_micrograms(1.0, gas) == pytest.approx(factor, rel=1e-3)
        assert to_ppb(to_micrograms(7.0, gas), gas) == pytest.approx(7)
    found = to_micrograms(series([10.0], units="ppb"), "no2")
    assert found.attrs["units"] == "ug m-3"
    assert to_micrograms(xr.DataArray([1.0], attrs={"units": "ppb"}), "o3").attrs["units"] == "ug m-3"


def test_gaps_stay_gaps():
    values = hourly(series(np.r_[np.full(24, 5.0), np.full(48, NAN), np.full(24, 7.0)]))
    assert daily(values).isna().tolist() == [False, True, True, False]
    assert math.isnan(cycle(values.where(values > 6), "weekday")["mean"].iloc[0])


GOOD = hourly(series(np.ones(48)))
REFUSED = [
    (lambda: hourly(pd.Series([1.0])), "indexed by moments"),
    (lambda: hourly(series([NAN, NAN])), "no measurement"),
    (lambda: hourly(pd.Series(["a"], GOOD.index[:1])), "expected numbers"),
    (lambda: daily(GOOD.iloc[::2]), "one value an hour"),
    (lambda: daily(GOOD.iloc[:1]), "one value an hour"),
    (lambda: daily(GOOD, capture=75), "between 0 and 1"),
    (lambda: running_mean(GOOD, hours=0), "1 or more"),
    (lambda: exceedances(GOOD, EU_2008, "no"), "no limit for 'no'"),
    (lambda: exceedances(hourly(series(np.ones(24), units="ppb")), EU_2008, "no2"), "expected 'ug m-3'"),
    (lambda: cycle(GOOD, "minute"), "'hour', 'weekday' or 'month'"),
    (lambda: atmo_index(GOOD.to_frame(), {"co": "no2"}), "not part of it"),
    (lambda: atmo_index(GOOD.to_frame(), {"no2": "x"}), "no column 'x'"),
    (lambda: to_micrograms(1.0, "pm10"), "no molar mass"),
    (lambda: to_micrograms(1.0, "no2", temperature=293.15), "air near the ground"),
    (lambda: to_ppb(series([1.0], units="ppb"), "no2"), "expected 'ug m-3'"),
]
WIND = pd.DataFrame({"wd": [400.0], "ws": [1.0], "no2": [1.0]})
ROSE = {"value": "no2", "direction": "wd", "speed": "ws", "calm": 0.5}
REFUSED += [
    (lambda: pollution_rose(WIND, **ROSE, bounds=(1,)), "beyond 0 to 360"),
    (lambda: pollution_rose(WIND, **ROSE, bounds=(2, 1)), "ascending bounds"),
    (lambda: pollution_rose(WIND.drop(columns="ws"), **ROSE, bounds=(1,)), "no column 'ws'"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_what_cannot_be_judged_is_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_hours_of_zones_half_an_hour_off_are_hours():
    times = pd.date_range("2024-03-01 00:10", periods=48, freq="h", tz="Asia/Kolkata")
    found = hourly(pd.Series(np.arange(48.0), times))
    assert found.dropna().tolist() == list(range(48))
    assert found.index[0] == pd.Timestamp("2024-03-01", tz="Asia/Kolkata")


def test_what_is_infinite_or_has_no_date_is_no_measurement():
    times = pd.to_datetime(["2024-01-01 00:00", "2024-01-01 01:00", None])
    found = hourly(pd.Series([np.inf, 4.0, 5.0], times))
    assert found.dropna().tolist() == [4.0]
    assert found.attrs["rejected"]["out_of_range"] == 1


def test_a_few_repeated_moments_are_averaged_and_a_table_of_stations_is_refused():
    one, other = series(np.arange(48.0)), series(np.arange(48.0) + 2)
    with pytest.raises(BadRequest, match="one station"):
        hourly(pd.concat([one, other]))
    assert len(hourly(pd.concat([one, one]))) == 48
    assert hourly(pd.concat([one, other.iloc[:2]])).iloc[0] == 1.0


def test_the_spellings_of_the_networks_are_understood():
    values = hourly(series(np.full(8760, 30.0), units="µg-m3"))
    assert verdicts(values, EU_2030, "PM2.5") == verdicts(values, EU_2030, "pm25")
    assert to_micrograms(1.0, "NO₂") == to_micrograms(1.0, "no2")
    table = values.to_frame("PM10")
    assert atmo_index(table, {"PM10": "PM10"})["index"].eq(2).all()
    carbon = hourly(series(np.full(8760, 11.0), units="mg/m3"))
    assert set(verdicts(carbon, EU_2008, "CO").values()) == {"exceeded"}
    assert to_micrograms([1.0, 2.0], "o3")[1] == pytest.approx(2 * to_micrograms(1.0, "o3"))
    assert convert(series([1.5], units="mg m-3"), "ug m-3").tolist() == [1500.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hourly(pd.Series([1.0], ["01/02/2024 10:00"])), "pandas.to_datetime"),
        (lambda: pollution_rose(WIND.assign(wd=3.0), **ROSE, bounds=()), "one or more ascending bounds"),
        (lambda: pollution_rose(WIND.assign(no2="a"), **ROSE, bounds=(1,)), "expected numbers"),
    ],
)
def test_what_an_analyst_may_bring_by_mistake_is_named(call, words):
    with pytest.raises(BadRequest, match=words):
        call()
