"""The carbon budget of a tower: known sums, gaps, intervals, refusals."""

import numpy as np
import pandas as pd
import pytest

from earthlab.analysis.carbon import CARBON, CARBON_DIOXIDE, carbon_budget
from earthlab.errors import BadRequest

TIMES = pd.date_range("2012-05-01", periods=48 * 10, freq="30min", tz="UTC")


def tower(values=None, times=TIMES) -> pd.DataFrame:
    return pd.DataFrame({"time": times, "NEE": np.full(len(times), -2.0) if values is None else values})


def course(times=TIMES):
    return -8 * np.sin(np.pi * np.clip(times.hour - 6, 0, 12) / 12) + 2


def test_a_constant_flux_is_the_flux_times_the_time():
    found = carbon_budget(tower(), flux="NEE")
    moles = -2e-6 * 86400 * 10
    assert found.carbon == pytest.approx(moles * CARBON)
    assert found.carbon_dioxide == pytest.approx(moles * CARBON_DIOXIDE)
    assert found.carbon_interval == pytest.approx((found.carbon, found.carbon))
    assert (found.days, found.filled) == (10, 0)


def test_gaps_take_the_mean_of_their_time_of_day_and_order_does_not_matter():
    whole = carbon_budget(tower(course()), flux="NEE")
    values = course().to_numpy().copy()
    values[100:180] = np.nan
    table = tower(values).sample(frac=1, random_state=1)
    found = carbon_budget(table, flux="NEE")
    assert found.carbon == pytest.approx(whole.carbon)
    assert found.filled == pytest.approx(80 / 480)


def test_the_interval_holds_the_expected_total_as_often_as_it_says():
    rng = np.random.default_rng(0)
    days = 30
    times = pd.date_range("2012-05-01", periods=days * 8, freq="3h")
    held = 0
    for _ in range(200):
        values = course(times).to_numpy() + np.repeat(rng.normal(0, 2, days), 8)
        found = carbon_budget(tower(values, times), flux="NEE")
        truth = course(times).to_numpy().sum() * 3 * 3600e-6 * CARBON
        held += found.carbon_interval[0] <= truth <= found.carbon_interval[1]
    assert 0.88 <= held / 200 <= 0.98


def test_the_month_of_puechabon_takes_up_carbon(shared_data):
    table = pd.read_csv(shared_data / "flux_fr_pue" / "FR_Pue_May_2012.csv")
    times = pd.Timestamp("2012-05-01") + pd.to_timedelta(30 * np.arange(len(table)), unit="min")
    found = carbon_budget(tower(table["NEE"].to_numpy("float64"), times), flux="NEE")
    assert found.carbon == pytest.approx(table["NEE"].sum() * 1800e-6 * CARBON, rel=1e-6)
    assert found.carbon < 0


def test_two_days_have_no_interval():
    assert np.isnan(carbon_budget(tower(times=TIMES[:96]), flux="NEE").carbon_interval).all()


@pytest.mark.parametrize(
    ("table", "words", "message"),
    [
        (tower(), {"flux": "nee"}, "no column 'nee'.*NEE"),
        (tower().iloc[[0, 2, 5]], {"flux": "NEE"}, "steps of equal length"),
        (pd.concat([tower(), tower()]), {"flux": "NEE"}, "steps of equal length"),
        (tower(times=TIMES[:1]), {"flux": "NEE"}, "1 steps of time"),
        (tower(np.where(TIMES.hour == 3, np.nan, 1.0)), {"flux": "NEE"}, "03:00:00 was never measured"),
        (tower(np.full(480, 9999.0)), {"flux": "NEE"}, "holds 9999, expected sizes up to 500"),
        (tower(np.full(480, "low")), {"flux": "NEE"}, "'NEE' holds .* expected numbers"),
        (tower(), {"flux": "NEE", "window": 0}, "window is 0"),
        (tower(), {"flux": "NEE", "level": 95}, "level of confidence is 95"),
    ],
)
def test_what_has_no_budget_is_refused(table, words, message):
    with pytest.raises(BadRequest, match=message):
        carbon_budget(table, **words)


def test_a_flux_in_another_unit_is_refused():
    table = tower()
    table.attrs["units"] = {"NEE": "g m-2 d-1"}
    with pytest.raises(BadRequest, match="umol m-2 s-1"):
        carbon_budget(table, flux="NEE")


def simulated(rng, days, *, missing, memory=0.0):
    """A year or less of half hours whose summer takes up and whose days resemble each other."""
    day, hour = np.divmod(np.arange(48 * days), 48)
    mean = 2 + 2 * np.cos(2 * np.pi * day / 365) - 6 * np.clip(np.sin((hour - 12) * np.pi / 24), 0, None)
    weather = np.empty(days)
    weather[0] = rng.normal()
    for at in range(1, days):
        weather[at] = memory * weather[at - 1] + rng.normal(0, (1 - memory**2) ** 0.5)
    values = mean + weather[day] + rng.normal(0, 3, len(day))
    holes = rng.random(len(day)) < missing
    if days > 300:
        holes |= (day < 60) & (rng.random(len(day)) < 0.8)
    times = pd.date_range("2023-01-01", periods=len(day), freq="30min")
    return tower(np.where(holes, np.nan, values), times), mean.sum() * 1800e-6 * CARBON


@pytest.mark.parametrize(
    ("days", "missing", "memory", "least"), [(30, 0.5, 0.0, 0.90), (30, 0.5, 0.5, 0.80), (5, 0.0, 0.0, 0.90)]
)
def test_the_interval_holds_with_half_of_the_steps_missing_and_days_that_resemble_each_other(
    days, missing, memory, least
):
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        table, truth = simulated(rng, days, missing=missing, memory=memory)
        low, high = carbon_budget(table, flux="NEE").carbon_interval
        held += low <= truth <= high
    assert held / 200 >= least


def test_a_winter_that_is_mostly_missing_is_not_filled_with_summer():
    rng = np.random.default_rng(2)
    found = [(carbon_budget(table, flux="NEE").carbon, truth)
             for table, truth in (simulated(rng, 365, missing=0.3) for _ in range(20))]  # fmt: skip
    away = np.array([one - truth for one, truth in found])
    assert abs(away.mean()) < 25  # g C m-2; the mean course of the whole year would be some 90 off
    late = [carbon_budget(table, flux="NEE", window=730).carbon - truth
            for table, truth in (simulated(rng, 365, missing=0.3) for _ in range(5))]  # fmt: skip
    assert np.mean(late) < -40


@pytest.mark.parametrize("write", [lambda t: t.strftime("%Y%m%d%H%M").astype("int64"),
                                   lambda t: t.strftime("%Y%m%d%H%M"),
                                   lambda t: t.strftime("%Y-%m-%d %H:%M"), lambda t: t.tz_convert("Europe/Paris"),
                                   lambda t: t.strftime("%Y%m%d%H%M").astype("float64")])  # fmt: skip
def test_files_of_fluxnet_are_read_as_they_are(write):
    whole = carbon_budget(tower(course()), flux="NEE")
    values = course().to_numpy().copy()
    values[100:180] = -9999
    table = pd.DataFrame({"TIMESTAMP_START": write(TIMES), "NEE_VUT_REF": values})
    found = carbon_budget(table, flux="NEE_VUT_REF", time="TIMESTAMP_START")
    assert found.carbon == pytest.approx(whole.carbon)
    assert found.filled == pytest.approx(80 / 480)
    without = table[table.NEE_VUT_REF > -9999].astype({"NEE_VUT_REF": "Float64"})
    assert carbon_budget(without, flux="NEE_VUT_REF", time="TIMESTAMP_START") == found


def test_daily_files_and_an_index_of_dates_do():
    days = pd.DataFrame({"TIMESTAMP": range(20200101, 20200131), "NEE": -2.0})
    found = carbon_budget(days, flux="NEE", time="TIMESTAMP")
    assert (found.days, found.carbon) == (30, pytest.approx(-2e-6 * 86400 * 30 * CARBON))
    assert carbon_budget(tower().set_index("time"), flux="NEE") == carbon_budget(tower(), flux="NEE")
    assert carbon_budget(tower().set_index(TIMES.rename(None))[["NEE"]], flux="NEE") == carbon_budget(
        tower(), flux="NEE"
    )
