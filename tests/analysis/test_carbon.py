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
    for number in range(200):
        values = course(times).to_numpy() + np.repeat(rng.normal(0, 2, days), 8)
        found = carbon_budget(tower(values, times), flux="NEE", draws=300, seed=number)
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
        (tower().iloc[[0, 1, 3]], {"flux": "NEE"}, "steps of equal length"),
        (pd.concat([tower(), tower()]), {"flux": "NEE"}, "steps of equal length"),
        (tower(times=TIMES[:1]), {"flux": "NEE"}, "found one row"),
        (tower(np.where(TIMES.hour == 3, np.nan, 1.0)), {"flux": "NEE"}, "03:00:00 was never measured"),
        (tower(), {"flux": "NEE", "level": 95}, "level is 95"),
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
