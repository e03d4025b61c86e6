"""Slopes of planted beaches under planted tides."""

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lombscargle

from earthlab.analysis.beach_slope import _projections, beach_slope
from earthlab.errors import BadRequest

HOURS = {"M2": 12.4206012, "S2": 12.0, "N2": 12.65834751}


def beach(slope: float, *, noise=10.0, seed=0, years=20.0) -> tuple[pd.Series, pd.Series]:
    """A beach with a season and a trend, seen every eighth day at the same hour where there is no cloud."""
    random = np.random.default_rng(seed)
    days = np.arange(0, 365.25 * years, 8)
    days = days[random.random(len(days)) < 0.6]
    times = pd.Timestamp("1999-05-01") + pd.to_timedelta(days, unit="D")
    heights = {"M2": 1.5, "S2": 0.5, "N2": 0.3}
    tide = sum(heights[name] * np.cos(2 * np.pi * days * 24 / hours) for name, hours in HOURS.items())
    position = 100 - tide / slope + 8 * np.cos(2 * np.pi * days / 365.25) - 0.001 * days
    return pd.Series(position + random.normal(0, noise, len(days)), times), pd.Series(tide, times)


@pytest.mark.parametrize(("slope", "noise"), [(0.1, 10), (0.03, 25)])
def test_planted_slopes_are_found_without_bias_and_within_their_intervals(slope, noise):
    found = [beach_slope(*beach(slope, noise=noise, seed=seed, years=10)) for seed in range(200)]
    slopes = np.array([one.slope for one in found])
    assert np.median(slopes) == pytest.approx(slope, rel=0.02)
    assert slopes.mean() == pytest.approx(slope, rel=0.03)
    inside = np.mean([one.low <= slope <= one.high for one in found])
    assert 0.91 < inside < 0.995


def test_without_noise_the_slope_is_exact_and_the_trial_nearest_to_it():
    _, tide = beach(0.062)
    found = beach_slope(100 - tide / 0.062, tide)
    assert found.slope == pytest.approx(0.062)
    assert found.low == pytest.approx(found.high)
    assert found.trial == pytest.approx(0.06)
    assert float(found.energy.idxmin("slope")) == pytest.approx(0.06)
    assert found.energy.attrs["units"] == "m2"


def test_images_that_come_every_eighth_day_see_the_main_tide_as_a_wave_of_seventeen_days():
    # M2 at one hour of the day comes back after 14.77 days, at every eighth day after 17.46.
    assert beach_slope(*beach(0.05)).period == pytest.approx(17.46, abs=0.05)


def test_the_energy_of_a_slope_is_that_of_its_corrected_positions():
    position, tide = beach(0.05, years=8)
    found = beach_slope(position, tide, slopes=[0.04, 0.08])
    seconds = np.asarray((position.index - position.index[0]) / pd.Timedelta(seconds=1))
    middle = 1 / (found.period * 86400)
    band = np.arange(middle - 1e-8, middle + 1e-8, 1 / (10 * np.ptp(seconds)))
    for slope in (0.04, 0.08):
        power = lombscargle(seconds, position + tide / slope, 2 * np.pi * band, floating_mean=True)
        assert float(found.energy.sel(slope=slope)) == pytest.approx(power.sum(), rel=1e-6)


def test_many_dates_are_looked_at_in_parts(monkeypatch):
    random = np.random.default_rng(0)
    seconds, values = np.sort(random.uniform(0, 1e7, 90)), random.normal(size=90)
    frequencies = np.linspace(1e-7, 4e-7, 37)
    whole = _projections(seconds, values, frequencies)
    monkeypatch.setattr("earthlab.analysis.beach_slope._AT_ONCE", 500)
    np.testing.assert_allclose(_projections(seconds, values, frequencies), whole)


def test_dates_in_any_order_gaps_and_float32_change_nothing():
    position, tide = beach(0.05)
    known = beach_slope(position, tide)
    order = np.random.default_rng(1).permutation(len(position))
    gaps = pd.Series(np.nan, position.index + pd.Timedelta("1D"))
    shuffled = beach_slope(
        pd.concat([position.iloc[order], gaps]).astype("float32"), pd.concat([tide.iloc[order], gaps])
    )
    assert shuffled.slope == pytest.approx(known.slope, rel=1e-5)
    assert shuffled.low == pytest.approx(known.low, rel=1e-4)


def test_where_the_tide_hardly_shows_the_interval_is_open():
    position, tide = beach(2.0, noise=40, years=6)
    found = beach_slope(position, tide)
    assert found.high == np.inf or np.isnan(found.slope)
    assert not np.isnan(found.low)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, z: (x.iloc[:10], z.iloc[:10], {}), "found 10 dates"),
        (lambda x, z: (x * np.nan, z, {}), "found 0 dates"),
        (lambda x, z: (x, z * 0, {}), "a tide that changes"),
        (lambda x, z: (x.iloc[:60], z.iloc[:60], {}), "years are too few"),
        (lambda x, z: (x, z.iloc[1:], {}), "have other dates"),
        (lambda x, z: (x.reset_index(drop=True), z, {}), "indexed by dates"),
        (lambda x, z: (x, z, {"slopes": []}), "expected slopes= to try"),
        (lambda x, z: (x, z, {"slopes": [0, 0.1]}), "expected slopes= to try"),
        (lambda x, z: (x, z, {"sampling": 20}), "twice the sampling below the longest"),
        (lambda x, z: (x, z, {"confidence": 1}), "confidence 1"),
        (lambda x, z: (x, z, {"half_width": 0}), "half_width 0"),
    ],
)
def test_bad_input_ends_in_a_sentence(change, message):
    position, tide, words = change(*beach(0.05))
    with pytest.raises(BadRequest, match=message):
        beach_slope(position, tide, **words)


def test_units_other_than_metres_are_refused():
    position, tide = beach(0.05)
    tide.attrs["units"] = "cm"
    with pytest.raises(BadRequest, match="tide has units 'cm'"):
        beach_slope(position, tide)
