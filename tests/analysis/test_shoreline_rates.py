"""The rates of DSAS: by statsmodels, by hand, and their intervals."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from earthlab.analysis.shoreline_rates import change_rates
from earthlab.errors import BadRequest

DATES = pd.to_datetime(["1950-05-01", "2012-06-01", "1985-07-01", "1971-01-01", "2020-06-01", "1999-03-03"])
ERRORS = np.array([10.0, 1.0, 4.0, 7.0, 0.8, 3.0])
YEARS = np.asarray((DATES - DATES.min()) / pd.Timedelta(days=365.2425))
POSITIONS = 100 - 1.1 * YEARS + ERRORS * np.random.default_rng(0).normal(size=6)
TABLE = pd.DataFrame({"transect": "a", "time": DATES, "position": POSITIONS, "error": ERRORS})


def test_the_lines_are_those_of_statsmodels():
    found = change_rates(TABLE, error="error", confidence=0.9).iloc[0]
    design = sm.add_constant(YEARS)
    plain, weighted = sm.OLS(POSITIONS, design).fit(), sm.WLS(POSITIONS, design, weights=ERRORS**-2).fit()
    for name, fit in (("lrr", plain), ("wlr", weighted)):
        expected = [fit.params[1], *fit.conf_int(0.1)[1]]
        np.testing.assert_allclose(found[[name, f"{name}_low", f"{name}_high"]].astype(float), expected)
    assert found.lr2 == pytest.approx(plain.rsquared)
    assert found.wr2 == pytest.approx(weighted.rsquared)
    assert found.lse == pytest.approx(np.sqrt(plain.scale))


def test_movement_envelope_and_end_point_rate_are_what_they_say():
    found = change_rates(TABLE, error="error").iloc[0]
    assert found.nsm == pytest.approx(POSITIONS[4] - POSITIONS[0])
    assert found.sce == pytest.approx(np.ptp(POSITIONS))
    assert found.epr == pytest.approx(found.nsm / YEARS.max())
    assert found.epr_error == pytest.approx(np.hypot(10, 0.8) / YEARS.max())
    assert (found["first"], found["last"]) == (DATES.min(), DATES.max())


def test_equal_errors_weigh_nothing():
    found = change_rates(TABLE, error=5.0).iloc[0]
    assert found.wlr == pytest.approx(found.lrr)
    assert found.wlr_high == pytest.approx(found.lrr_high)


def test_positions_of_one_day_count_as_their_mean_at_the_ends():
    twice = pd.concat([TABLE, TABLE.iloc[[0]].assign(position=POSITIONS[0] + 6)])
    found = change_rates(twice, error="error").iloc[0]
    assert found.nsm == pytest.approx(POSITIONS[4] - POSITIONS[0] - 3)
    assert found.epr_error == pytest.approx(np.hypot(10 / np.sqrt(2), 0.8) / YEARS.max())


def test_transects_are_told_apart_and_holes_left_out():
    other = TABLE.assign(transect="b", position=TABLE.position.where(TABLE.error < 9).astype("Float64"))
    table = pd.concat([TABLE, other], ignore_index=True)
    table["transect"] = pd.Categorical(table.transect, ["a", "b", "c"])
    found = change_rates(table.sample(frac=1, random_state=0), error="error").set_index("transect")
    assert found.observations.to_dict() == {"a": 6, "b": 5}
    assert found.wlr["a"] == pytest.approx(change_rates(TABLE, error="error").wlr[0])
    assert found["first"]["b"] == pd.Timestamp("1971-01-01")
    assert found.attrs["units"]["wlr"] == "m year-1"


def test_two_surveys_have_an_end_point_rate_and_one_nothing():
    two, one = (change_rates(TABLE.iloc[:number]).iloc[0] for number in (2, 1))
    assert np.isfinite(two.epr)
    assert np.isnan([two.lrr, one.epr, one.nsm]).all()
    assert change_rates(TABLE.iloc[:0]).empty


def test_three_hundred_transects_of_six_surveys_have_their_rate_in_the_interval():
    random = np.random.default_rng(1)
    parts = []
    for name in range(300):
        years, errors = np.sort(random.uniform(0, 60, 6)), random.uniform(1, 10, 6)
        times = pd.Timestamp("1960-01-01") + pd.to_timedelta(years * 365.2425, unit="D")
        position = 50 - 0.8 * years + errors * random.standard_t(3, 6)
        parts.append(pd.DataFrame({"transect": name, "time": times, "position": position, "error": errors}))
    found = change_rates(pd.concat(parts), error="error")
    assert 0.92 < ((found.wlr_low <= -0.8) & (found.wlr_high >= -0.8)).mean() < 0.98
    assert abs(found.wlr.median() + 0.8) < 0.02


BAD = [
    (lambda: change_rates(TABLE, confidence=95), "confidence is 95"),
    (lambda: change_rates(TABLE, position="x"), "no column 'x'"),
    (lambda: change_rates(TABLE.assign(time=TABLE.time.dt.year)), "holds '1950', expected dates"),
    (lambda: change_rates(TABLE, error=0), "not above 0 in 0"),
    (lambda: change_rates(TABLE.assign(error=np.nan), error="error"), "missing or not above 0 in 'error'"),
    (lambda: change_rates(TABLE.assign(position="far")), "expected numbers"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_ends_in_a_sentence(call, message):
    with pytest.raises(BadRequest, match=message):
        call()
