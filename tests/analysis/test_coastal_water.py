"""Coastal water: the samples as published, percentiles against numpy, intervals that hold, grids of the order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.coastal_water import (
    BIOMASS,
    GRIDS,
    OXYGEN,
    Grid,
    Rule,
    bloom_calendar,
    ecological_state,
    percentile,
    station_statistics,
)
from earthlab.errors import BadRequest

NAN = float("nan")
NAMES = {"value": "chla", "station": "place"}
ALL = Rule(0.9, tuple(range(1, 13)), years=100, monthly=False)


def samples(values, times=None, place="A", unit="mg/m3") -> pd.DataFrame:
    times = pd.date_range("2015-01-01", periods=len(values), freq="MS") if times is None else pd.to_datetime(times)
    table = pd.DataFrame({"time": times, "place": place, "chla": np.asarray(values)})
    table.attrs["units"] = {"chla": unit}
    return table


@pytest.fixture(scope="module")
def rephy(shared_data) -> pd.DataFrame:
    table = pd.read_csv(
        shared_data / "rephy_quadrige" / "OCEAN_PH2_REPHY_Ready_version.csv", comment="/", low_memory=False
    )
    methods = [name for name in table.columns if name.startswith("Chlorophyll")]
    return pd.DataFrame(
        {
            "time": pd.to_datetime(table["yyyy-mm-ddThh:mm:ss.sss"]),
            "place": table["Station"].str.replace(r"_\d+$", "", regex=True),
            "chla": table[methods].bfill(axis=1).iloc[:, 0],
        }
    )


def test_the_samples_of_rephy_are_all_there(rephy):
    statistics = station_statistics(rephy, **NAMES)
    assert len(rephy) == 20650
    assert len(statistics) == 78
    assert statistics["values"].sum() == rephy["chla"].notna().sum()


def test_percentiles_of_rephy_are_those_of_numpy(rephy):
    found = percentile(rephy, **NAMES, fewest=24, until=2023)
    assert found.attrs["period"] == "2018-2023"
    kept = rephy[rephy.time.dt.month.between(3, 10) & rephy.time.dt.year.between(2018, 2023)].dropna()
    kept = kept.assign(month=kept.time.dt.strftime("%Y-%m")).groupby(["place", "month"])["chla"].mean()
    for place, values in kept.groupby("place"):
        if len(values) >= 24:
            assert found["percentile"][place] == pytest.approx(np.quantile(values, 0.9))
            assert found["low"][place] <= found["percentile"][place]
        else:
            assert np.isnan(found["percentile"][place])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_percentile_is_that_of_numpy_and_does_not_mind_the_order(values, share):
    table = samples(values)
    found = percentile(
        table.sample(frac=1, random_state=0), **NAMES, fewest=1, rule=Rule(share, ALL.months, 100, False)
    )
    assert found["percentile"].item() == pytest.approx(np.quantile(values, share))
    assert found["values"].item() == len(values)
    assert found.attrs["units"]["percentile"] == "mg/m3"


@pytest.mark.parametrize(("number", "share"), [(48, 0.9), (48, 0.5), (24, 0.1)])
def test_the_interval_holds_the_planted_percentile_as_often_as_it_says(number, share):
    random = np.random.default_rng(1)
    truth = float(np.exp(0.8 * np.sqrt(2) * _erfinv(2 * share - 1)))
    held, errors = [], []
    rule = Rule(share, ALL.months, 100, monthly=False)
    drawn = pd.concat([samples(np.exp(random.normal(0, 0.8, number)), place=f"{case:03}") for case in range(200)])
    found = percentile(drawn, **NAMES, fewest=10, rule=rule)
    held = (found["low"].fillna(-np.inf) <= truth) & (found["high"].fillna(np.inf) >= truth)
    errors = np.log(found["percentile"]) - np.log(truth)
    assert 0.92 <= held.mean() <= 1
    assert abs(errors.mean()) < 0.08


def _erfinv(value: float) -> float:
    from scipy.special import erfinv

    return float(erfinv(value))


def test_only_the_months_and_years_of_the_rule_count():
    values = np.where(np.isin(samples(np.zeros(96))["time"].dt.month, BIOMASS.months), 1.0, 99.0)
    found = percentile(samples(values), **NAMES, fewest=1)
    assert found["percentile"].item() == 1
    assert found["values"].item() == 48
    assert found["years"].item() == 6
    summer = percentile(samples(values), **NAMES, fewest=1, rule=OXYGEN, until=2018)
    assert summer["values"].item() == 16
    assert summer.attrs["period"] == "2013-2018"


def test_months_with_many_samples_count_once():
    times = ["2020-03-01"] * 5 + ["2020-04-01", "2020-05-01"]
    values = [10.0] * 4 + [20.0, 1.0, 2.0]
    found = percentile(samples(values, times), **NAMES, fewest=1)
    assert found["values"].item() == 3
    assert found["percentile"].item() == pytest.approx(np.quantile([12.0, 1.0, 2.0], 0.9))


def test_too_few_values_give_no_percentile_and_no_interval_end_beyond_the_values():
    both = pd.concat([samples([1.0, 2.0, 3.0], ["2020-04-01", "2020-05-01", "2020-06-01"]), samples([NAN], place="B")])
    found = percentile(both, **NAMES, fewest=3)
    assert list(found.index) == ["A"]
    assert found["percentile"]["A"] == pytest.approx(2.8)
    assert np.isnan(found["high"]["A"])
    assert percentile(both, **NAMES, fewest=4)["percentile"].isna().all()
    winter = pd.concat([both, samples([5.0], ["2020-01-01"], "C")])
    assert percentile(winter, **NAMES, fewest=1).loc["C", "values"] == 0


def test_states_of_the_order_at_their_bounds():
    grid = GRIDS["NEA 1/26a"]
    values = pd.Series([2.0, 5.0, 5.1, 10.1, 10.2, 19.7, 19.8, 41.8, 41.9, NAN, 0.0])
    found = ecological_state(values, grid)
    assert found["state"].tolist()[:9] == [
        "very good", "very good", "good", "good", "moderate", "moderate", "poor", "poor", "bad"
    ]  # fmt: skip
    assert found["state"].isna().tolist()[9:] == [True, True]
    assert found["ratio"][0] == 1
    # "good" of the order: ]5 - 10], ]10 - 15], ]2.4 - 3.6], ]1.1 - 1.8] µg/l
    for name, (low, high) in zip(GRIDS, [(5, 10), (10, 15), (2.4, 3.6), (1.1, 1.8)], strict=True):
        assert ecological_state(pd.Series([low + 0.1, high - 0.2]), GRIDS[name])["state"].tolist() == ["good", "good"]


def test_blooms_by_month_with_an_interval_and_a_threshold_a_station():
    table = pd.concat([samples([1.0, 9.0] * 12), samples([9.0] * 24, place="B")])
    found = bloom_calendar(table, **NAMES, threshold=pd.Series({"A": 5.0, "B": 10.0}))
    assert found.loc[("A", 1), "share"] == 0
    assert found.loc[("A", 2), "share"] == 1
    assert found.loc["B"]["above"].sum() == 0
    assert (found["low"] <= found["share"]).all()
    assert (found["high"] >= found["share"]).all()
    assert found.index.names == ["place", "month"]


def test_wilson_intervals_hold_the_planted_share():
    random = np.random.default_rng(3)
    times = pd.to_datetime(["2020-06-01"] * 40)
    drawn = pd.concat([samples(random.random(40), times, f"{case:03}") for case in range(200)])
    found = bloom_calendar(drawn, **NAMES, threshold=0.8)
    held = (found["low"] <= 0.2) & (found["high"] >= 0.2)
    assert 0.91 <= held.mean() <= 0.99
    assert abs(found["share"].mean() - 0.2) < 0.02


def test_statistics_of_a_station_by_hand():
    found = station_statistics(samples([4.0, 1.0, NAN, 2.0, 0.0]), **NAMES).loc["A"]
    assert found["values"] == 4
    assert found["median"] == 1.5
    assert found["geometric_mean"] == pytest.approx(2)
    assert found["highest"] == 4
    assert found["last"] == pd.Timestamp("2015-05-01")


TABLE = samples([1.0, 2.0])
REFUSED = [
    (lambda: percentile(TABLE, value="chl", station="place", fewest=1), "no column 'chl'"),
    (lambda: percentile(TABLE.assign(time="03/04/2020"), **NAMES, fewest=1), "expected dates"),
    (lambda: percentile(TABLE.assign(chla="a"), **NAMES, fewest=1), "expected numbers"),
    (lambda: percentile(TABLE.assign(chla=NAN), **NAMES, fewest=1), "Widen the search"),
    (lambda: percentile(TABLE, **NAMES, fewest=0), "1 or more"),
    (lambda: percentile(TABLE, **NAMES, fewest=1, rule=Rule(0.9, (13,))), "from 1 to 12"),
    (lambda: percentile(TABLE, **NAMES, fewest=1, rule=Rule(90, (3,))), "between 0 and 1"),
    (lambda: ecological_state(samples([1.0], unit="mol/l")["chla"], GRIDS["NEA 1/26a"]), "expected 'ug l-1'"),
    (lambda: ecological_state(TABLE["chla"], Grid(3.0, (0.1, 0.2, 0.3, 0.4))), "no grid"),
    (lambda: bloom_calendar(TABLE, **NAMES, threshold=pd.Series({"B": 1.0})), "no threshold for A"),
    (lambda: station_statistics(TABLE, value="chla", station="where"), "no column 'where'"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_what_cannot_be_assessed_is_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_stations_may_be_categories_some_of_them_empty():
    table = samples([1.0, 2.0, 3.0])
    name = NAMES["station"]
    some = table.assign(**{name: pd.Categorical(table[name], [*table[name].unique(), "nowhere"])})
    for known, found in (
        (percentile(table, **NAMES, fewest=1), percentile(some, **NAMES, fewest=1)),
        (bloom_calendar(table, **NAMES, threshold=2), bloom_calendar(some, **NAMES, threshold=2)),
        (station_statistics(table, **NAMES), station_statistics(some, **NAMES)),
    ):
        pd.testing.assert_frame_equal(known, found, check_index_type=False)


def test_the_month_is_that_of_the_clock_on_the_shore():
    first_hour = pd.DatetimeIndex(["2020-03-01 00:30"]).tz_localize("Europe/Paris")
    table = samples([5.0]).assign(time=first_hour)
    assert bloom_calendar(table, **NAMES, threshold=1).index.get_level_values("month").tolist() == [3]


def test_iso_words_numbers_as_objects_and_names_of_all_kinds_are_understood():
    table = samples([1.0, 2.0, 3.0])
    name = NAMES["station"]
    worded = table.assign(time=table.time.astype(str), **{NAMES["value"]: table[NAMES["value"]].astype(object)})
    known = percentile(table, **NAMES, fewest=1)
    pd.testing.assert_frame_equal(known, percentile(worded, **NAMES, fewest=1))
    mixed = pd.concat([table.assign(**{name: 7}), table.assign(**{name: "b"})])
    assert percentile(mixed, **NAMES, fewest=1).index.tolist() == [7, "b"]


def test_text_below_a_limit_is_refused_with_its_words():
    with pytest.raises(BadRequest, match=r'"<0.1".*what a value below a limit counts for'):
        percentile(TABLE.assign(**{NAMES["value"]: "<0.1"}), **NAMES, fewest=1)


def test_thresholds_may_be_a_mapping_and_are_never_text():
    name = TABLE[NAMES["station"]].iloc[0]
    found = bloom_calendar(TABLE, **NAMES, threshold={name: 1.5})
    pd.testing.assert_frame_equal(found, bloom_calendar(TABLE, **NAMES, threshold=1.5))
    with pytest.raises(BadRequest, match="threshold is '5'"):
        bloom_calendar(TABLE, **NAMES, threshold="5")


def test_a_grid_goes_by_its_name_and_values_by_a_list():
    known = ecological_state(pd.Series([5.0, 10.0]), GRIDS["NEA 1/26a"])
    pd.testing.assert_frame_equal(ecological_state([5.0, 10.0], "NEA 1/26a"), known)
    with pytest.raises(BadRequest, match="no grid 'NEA 1/26'"):
        ecological_state([5.0], "NEA 1/26")
    with pytest.raises(BadRequest, match="one column of percentiles"):
        ecological_state(known, "NEA 1/26a")
