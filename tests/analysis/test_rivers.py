"""Nitrate, concentration and discharge: units worked by hand, the samples, and planted laws."""

import numpy as np
import pandas as pd
import pytest
import rdata
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from earthlab.analysis.rivers import (
    as_nitrate,
    concentration_discharge,
    exceedance,
    flow_weighted_mean,
    load,
    mean_load,
    wilson_interval,
)
from earthlab.errors import BadRequest

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(50, "mg(NO3)/L", 50), (11.295, "mg(N)/L", 50), (11.295, "mg/L as N", 50), (806.4, "µmol/L", 50)],
)
def test_fifty_milligrams_of_nitrate_are_eleven_of_nitrogen(value, unit, expected):
    assert float(as_nitrate(value, unit)) == pytest.approx(expected, rel=1e-4)


def test_a_bare_milligram_is_refused():
    with pytest.raises(BadRequest, match="does not say whether nitrate or its nitrogen"):
        as_nitrate([10.0], "mg/L")


@pytest.mark.filterwarnings("ignore:Missing constructor for R class")
def test_the_nitrates_of_cote_d_or(shared_data):
    tables = rdata.read_rda(shared_data / "river_chemistry_fr" / "data_extraction_naiades.RData")
    samples = tables["nitrates_21"]
    units = samples.symbole_unite.value_counts().to_dict()
    assert units == {"mg(NO3)/L": 13261, "mg/L": 33, "mg(CO3)/L": 20}
    for unit in ("mg/L", "mg(CO3)/L"):
        with pytest.raises(BadRequest, match="does not say whether"):
            as_nitrate(samples.resultat, unit)
    samples = samples[samples.symbole_unite == "mg(NO3)/L"]
    found = exceedance(samples, value="resultat", by="code_station", fewest=20)
    assert (found.share <= found.upper).all()
    assert (found.share >= found.lower).all()
    assert int(found.beyond.sum()) == int(samples[samples.code_station.isin(found.index)].resultat.gt(50).sum())
    top = samples[samples.code_station == found.index[0]].resultat
    assert found.p90.iloc[0] == pytest.approx(float(np.percentile(top.dropna(), 90)))


def test_exceedance_by_hand():
    table = pd.DataFrame({"s": ["a", "a", "a", "b"], "v": [10.0, 50.0, 60.0, NAN], "y": [1, 1, 2, 2]})
    found = exceedance(table, value="v", by="s")
    assert found.index.tolist() == ["a"]
    assert found.loc["a", ["number", "median", "maximum", "beyond"]].tolist() == [3, 50, 60, 1]
    assert exceedance(table, value="v", by=["s", "y"]).index.tolist() == [("a", 1), ("a", 2)]


def test_wilsons_interval_is_that_of_statsmodels_and_holds():
    from statsmodels.stats.proportion import proportion_confint

    counts = np.arange(0, 13)
    found = wilson_interval(counts, 12)
    np.testing.assert_allclose(found, proportion_confint(counts, 12, method="wilson"), atol=1e-12)
    drawn = np.random.default_rng(1).binomial(30, 0.1, 2000)
    low, high = wilson_interval(drawn, 30)
    assert 0.93 < ((low <= 0.1) & (high >= 0.1)).mean() < 0.99
    assert np.isnan(wilson_interval(0, 0)[0])


@given(st.floats(0.1, 50), st.floats(-1, 1))
def test_an_exact_law_is_found(a, b):
    flow = np.array([0.5, 1, 2, 4, 9])
    found = concentration_discharge(a * flow**b, flow)
    assert (found.a, found.b, found.residual) == (
        pytest.approx(a),
        pytest.approx(b, abs=1e-9),
        pytest.approx(0, abs=1e-6),
    )


def simulate(rng, *, limit=0.0, number=40):
    flow = np.exp(rng.normal(1, 0.8, number))
    clean = 3 * flow**-0.4 * np.exp(rng.normal(0, 0.3, number))
    return np.maximum(clean, limit), flow, clean < limit


@pytest.mark.parametrize("limit", [0.0, 1.6])
def test_over_200_rivers_the_exponent_has_no_bias_and_its_interval_holds(limit):
    rng = np.random.default_rng(3)
    found = []
    for _ in range(200):
        values, flow, below = simulate(rng, limit=limit)
        found.append(concentration_discharge(values, flow, censored=below if limit else None))
    slopes = np.array([rating.b for rating in found])
    inside = sum(rating.b_interval[0] <= -0.4 <= rating.b_interval[1] for rating in found)
    assert abs(slopes.mean() + 0.4) < 3 * slopes.std() / 200**0.5
    assert 180 <= inside <= 199
    assert all(rating.behaviour == "dilution" for rating in found)


def test_leaving_out_what_was_not_detected_would_bias_the_exponent():
    rng = np.random.default_rng(3)
    slopes = []
    for _ in range(200):
        values, flow, below = simulate(rng, limit=1.6)
        slopes.append(concentration_discharge(values[~below], flow[~below]).b)
    assert np.mean(slopes) > -0.36


def test_over_200_rivers_the_interval_of_the_mean_load_holds():
    rng = np.random.default_rng(5)
    days = np.exp(rng.normal(1, 0.8, 2000))
    truth = float((3 * days**0.6 * np.exp(0.3**2 / 2)).mean() * 86.4)
    found = np.array([mean_load(concentration_discharge(*simulate(rng)[:2]), days) for _ in range(200)])
    assert ((found[:, 1] <= truth) & (truth <= found[:, 2])).sum() >= 180
    assert found[:, 0].mean() == pytest.approx(truth, rel=0.03)


def test_the_choptank_has_too_few_samples_to_decide(shared_data):
    folder = shared_data / "river_chemistry"
    flow = pd.read_csv(folder / "ChoptankRiverFlow.txt", sep="\t")
    samples = pd.read_csv(folder / "ChoptankRiverNitrate.csv", sep=";")
    dated = flow.set_index(pd.to_datetime(flow.date)).Qdaily
    found = concentration_discharge(
        samples.Nitrate, dated.loc[pd.to_datetime(samples.cdate)].to_numpy(), censored=samples.remarkCode == "<"
    )
    assert (found.number, found.censored, found.behaviour) == (7, 2, "undecided")


def test_loads_by_hand_and_weighted_means():
    assert load(np.array([2.0]), np.array([3.0])) == pytest.approx(2 * 3 * 86.4)
    assert load(pd.Series([2.0]), pd.Series([3.0])).attrs["units"] == "kg day-1"
    assert flow_weighted_mean([10, 20, NAN], [3, 1, 5]) == pytest.approx(12.5)
    flat = concentration_discharge([2.0] * 5, [1, 2, 3, 4, 5])
    assert mean_load(flat, [1.0, NAN, 3.0])[0] == pytest.approx(2 * 2 * 86.4)
    assert mean_load(flat, [0.0, 0.0]) == (0, 0, 0)
    assert float(flat.concentration(xr.DataArray([9.0]))[0]) == pytest.approx(2)


def test_float32_and_order_do_not_matter():
    rng = np.random.default_rng(2)
    values, flow, _ = simulate(rng)
    order = rng.permutation(len(flow))
    found = concentration_discharge(values[order].astype("float32"), flow[order].astype("float32"))
    assert found.b == pytest.approx(concentration_discharge(values, flow).b, abs=1e-5)


TABLE = pd.DataFrame({"s": ["a"], "v": [1.0], "w": ["x"]})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: exceedance(TABLE, value="nitrate", by="s"), "no column 'nitrate'. Known: s, v, w"),
        (lambda: exceedance(TABLE, value="w", by="s"), "column 'w' holds object"),
        (lambda: exceedance(TABLE, value="v", by="s", fewest=9), "no group has 9 samples"),
        (lambda: exceedance(TABLE, value="v", by="s", level=2), "level of confidence is 2"),
        (lambda: concentration_discharge([1, 2, 3], [1, 2, 3]), "3 detected samples at 3 discharges"),
        (lambda: concentration_discharge([1, 2, 3, 4], [1, 1, 1, 1]), "4 detected samples at 1 discharges"),
        (lambda: concentration_discharge([1, 2, 3, 0], [1, 2, 3, -1]), "1 concentrations and 1 discharges are not"),
        (lambda: concentration_discharge([1, 2], [1]), "same length"),
        (lambda: concentration_discharge([1, 2, 3, 4], [1, 2, 3, 4], level=0), "level of confidence is 0"),
        (lambda: load(1.0, xr.DataArray([1.0], attrs={"units": "ft3/s"})), "discharge has units 'ft3/s'"),
        (lambda: mean_load(concentration_discharge([1, 2, 3, 4], [1, 2, 3, 4]), [NAN]), "0 days of discharge"),
        (lambda: flow_weighted_mean([1.0], [0.0]), "sum 0"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("mg.L-1 NO3", 1), ("mg(NO3).L-1", 1), ("mg/L (NO3)", 1), ("mg NO₃⁻/L", 1), ("mg NO3− L−1", 1),
        ("mg/L nitrate", 1), ("mg-N/L", 4.4266), ("mg/L NO3-N", 4.4266), ("mg/L N-NO3", 4.4266),
        ("mg N-NO3/L", 4.4266), ("mg/L as NO3-N", 4.4266), ("mg(N).L-1", 4.4266),
        ("µg/L N", 4.4266e-3), ("µM", 0.062004), ("µmol L⁻¹", 0.062004), ("mmol/m3", 0.062004), ("mmol/L", 62.004),
    ],
)  # fmt: skip
def test_nitrate_is_told_from_its_nitrogen_however_it_is_written(unit, factor):
    assert as_nitrate(1.0, unit) == pytest.approx(factor, rel=1e-4)


@pytest.mark.parametrize("unit", ["mg/L", "mg.L-1", "mg/L NO2", "mg/L P", "NTU", "mg NO3", "mg(NH4)/L", ""])
def test_a_unit_that_says_neither_is_refused(unit):
    with pytest.raises(BadRequest, match="does not say whether"):
        as_nitrate(1.0, unit)


def test_tables_of_naiades_are_read_as_they_are():
    table = pd.DataFrame({
        "station": pd.Categorical(["a", "a", "b"], categories=["a", "b", "c"]),
        "year": pd.Categorical([2020, 2021, 2020]),
        "nitrate": pd.array([10, None, 70], dtype="Float64"),
    })  # fmt: skip
    found = exceedance(table, value="nitrate", by=("station", "year"))
    assert list(found.index) == [("a", 2020), ("b", 2020)]
    assert list(found.beyond) == [0, 1]
    with pytest.raises(BadRequest, match=r"'nitrate' holds .*<0\.5"):
        exceedance(table.assign(nitrate=["<0.5", "1", "2"]), value="nitrate", by="station")
    with pytest.raises(BadRequest, match="values that are none"):
        as_nitrate(pd.Series(["<0.5", "1.2"]), "mg N/L")


def test_codes_of_remarks_are_no_truth():
    flow = np.linspace(1, 9, 9)
    with pytest.raises(BadRequest, match="censored holds '10', expected true and false"):
        concentration_discharge(flow, flow, censored=pd.Series(["1"] * 8 + ["10"]).sort_values(ascending=False))
    with pytest.raises(BadRequest, match="censored holds nan"):
        concentration_discharge(flow, flow, censored=[NAN] + [0] * 8)


def test_samples_of_other_dates_are_no_pairs():
    days = pd.date_range("2021-01-01", periods=9)
    values = pd.Series(np.linspace(1, 9, 9), days)
    with pytest.raises(BadRequest, match="concentration and discharge are indexed by other dates"):
        concentration_discharge(values, values.shift(1, freq="D"))


def test_there_are_no_more_successes_than_samples():
    with pytest.raises(BadRequest, match="successes below 0 or beyond"):
        wilson_interval([5], [3])


@pytest.mark.parametrize(("number", "heavy"), [(6, False), (20, True)])
def test_the_interval_of_the_load_holds_with_few_samples_and_heavy_tails(number, heavy):
    rng = np.random.default_rng(8)
    inside = 0
    for _ in range(200):
        daily = np.exp(rng.normal(1, 1, 1000))
        flow = rng.choice(daily, number, replace=False)
        scatter = rng.standard_t(4, number) / 8**0.5 if heavy else rng.normal(0, 0.5, number)
        _, low, high = mean_load(concentration_discharge(5 * flow**0.3 * np.exp(scatter), flow), daily)
        inside += low <= (5 * daily**1.3).mean() * np.exp(0.125) * 86.4 <= high
    assert inside / 200 >= 0.88
