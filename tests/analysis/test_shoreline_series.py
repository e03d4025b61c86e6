"""Series of positions: the tide, spikes, trends and disagreements, planted and from Truc Vert."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.shoreline_series import (
    compare_shorelines,
    correct_for_tide,
    despike,
    implied_tide,
    shoreline_trends,
)
from earthlab.errors import BadRequest

TRANSECTS = ("-100", "-200", "-300", "-400")


def read_series(path) -> pd.Series:
    """A series of the benchmark; one team's files have each whole line in quotation marks."""
    rows = [[word.strip() for word in line.strip().strip('"').split(",")] for line in path.read_text().splitlines()[1:]]
    return pd.Series([float(row[1] or "nan") for row in rows], pd.to_datetime([row[0] for row in rows]))


@pytest.fixture(scope="module")
def truc_vert(shared_data) -> pd.DataFrame:
    parts = []
    for team in ("CoastSat", "SHOREX", "CASSIE"):
        for name in TRANSECTS:
            folder = shared_data / "shoreline_trucvert" / team
            raw = read_series(folder / "raw_timeseries" / f"{name}_timeseries_raw.csv")
            corrected = read_series(
                folder / "tidally_corrected_timeseries_MSL" / f"{name}_timeseries_tidally_corrected.csv"
            )
            parts.append(
                pd.DataFrame(
                    {
                        "time": raw.index,
                        "raw": raw.to_numpy(),
                        "corrected": corrected.to_numpy(),
                        "algorithm": team,
                        "transect": name,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def test_at_truc_vert_one_tide_a_date_explains_every_correction(truc_vert):
    seen = truc_vert.assign(tide=implied_tide(truc_vert.raw, truc_vert.corrected, 0.05)).dropna(subset=["tide"])
    assert seen.groupby("algorithm").size().to_dict() == {"CASSIE": 376, "CoastSat": 308, "SHOREX": 878}
    assert seen.groupby("time").tide.agg(np.ptp).max() < 1e-12
    assert seen.tide.min() > 0.2  # images at lower water were left out upstream


def test_the_correction_of_truc_vert_is_ours(truc_vert):
    seen = truc_vert.dropna().assign(tide=lambda table: implied_tide(table.raw, table.corrected, 0.05))
    tide = seen.groupby("time").tide.transform("first")
    np.testing.assert_allclose(correct_for_tide(seen.raw, tide, 0.05), seen.corrected, atol=1e-12)


@settings(max_examples=100)
@given(st.floats(-500, 500), st.floats(-6, 6), st.floats(0.01, 0.3), st.floats(-2, 2))
def test_the_implied_tide_undoes_the_correction(position, tide, slope, level):
    corrected = correct_for_tide(position, tide, slope, level=level)
    assert implied_tide(position, corrected, slope, level=level) == pytest.approx(tide, abs=1e-9)


def test_a_high_tide_hides_beach_that_the_correction_gives_back():
    assert correct_for_tide(100.0, 1.0, 0.05) == pytest.approx(120)
    assert correct_for_tide(100.0, 1.0, 0.05, level=1.5) == pytest.approx(90)


def test_labels_and_laziness_stay():
    times = pd.date_range("2020", periods=3)
    position = xr.DataArray([1.0, np.nan, 3], {"time": times}, ("time",), attrs={"units": "m"}).chunk(time=1)
    corrected = correct_for_tide(position, position * 0 + 0.5, 0.1)
    assert corrected.chunks is not None
    np.testing.assert_allclose(corrected, [6, np.nan, 8])
    assert correct_for_tide(pd.Series([1.0], ["a"]), pd.Series([0.5], ["a"]), 0.1)["a"] == pytest.approx(6)


def series(values, start="2020-01-01", step="16D") -> pd.Series:
    return pd.Series(np.asarray(values, "float64"), pd.date_range(start, periods=len(values), freq=step))


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([0, 1, 60, 2, 3], [0, 1, np.nan, 2, 3]),
        ([0, 1, -60, 2, 3], [0, 1, np.nan, 2, 3]),
        ([0, 60, 1, 2, 3], [0, np.nan, 1, 2, 3]),
        ([60, 0, 1, 2, 3], [np.nan, 0, 1, 2, 3]),
        ([0, 1, 2, 3, 60], [0, 1, 2, 3, np.nan]),
        ([0, 1, 2, 60, 61, 62], [0, 1, 2, 60, 61, 62]),
        ([0, np.nan, 60, np.nan, 1, 2], [0, np.nan, np.nan, np.nan, 1, 2]),
        ([0, 60, 0, 70, 0], [0, np.nan, 0, np.nan, 0]),
        ([0, 40, 0, 1], [0, 40, 0, 1]),
        ([np.nan, np.nan], [np.nan, np.nan]),
        ([5.0], [5.0]),
    ],
    ids=["up", "down", "second", "first", "last", "a step", "gaps", "two", "just within", "nothing", "one"],
)
def test_spikes_go_and_steps_stay(values, kept):
    np.testing.assert_allclose(despike(series(values)), kept)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=5, max_size=30), st.data())
def test_planted_spikes_are_found_in_any_order_of_dates(values, data):
    places = data.draw(st.sets(st.integers(1, len(values) - 2)))
    places = {at for at in places if not places & {at - 2, at - 1, at + 1, at + 2}}
    known = series(values)
    spoiled = known.copy()
    spoiled.iloc[list(places)] += 100
    order = data.draw(st.permutations(range(len(values))))
    found = despike(spoiled.iloc[order]).sort_index()
    np.testing.assert_allclose(found, known.where(~np.isin(np.arange(len(values)), list(places))))


def test_the_despiked_series_has_the_index_it_came_with():
    values = series([0, 1, 90, 2]).tz_localize("UTC")
    assert despike(values).index.equals(values.index)
    assert values.iloc[2] == 90


def table(values: pd.Series, **columns) -> pd.DataFrame:
    return pd.DataFrame({"time": values.index, "position": values.to_numpy(), "transect": "t"}).assign(**columns)


def planted(seed: int, *, slope=-1.5, noise=8.0, years=20) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    days = np.sort(random.uniform(0, years * 365.25, 25 * years))
    # More images of late years and a season the images see unevenly.
    days = days[random.random(len(days)) < 0.2 + 0.8 * days / days.max()]
    position = 100 + slope * days / 365.2425 + 12 * np.cos(2 * np.pi * days / 365.25)
    position += random.normal(0, noise, len(days))
    return table(pd.Series(position, pd.Timestamp("2000-01-01") + pd.to_timedelta(days, unit="D")), series=seed)


def test_two_hundred_planted_trends_are_found_without_bias_and_within_their_intervals():
    found = shoreline_trends(pd.concat(map(planted, range(200))), by="series")
    assert found.slope.mean() == pytest.approx(-1.5, abs=0.04)
    inside = (found.slope_low <= -1.5) & (found.slope_high >= -1.5)
    # The season stays in the means and is common to all years: intervals are wide rather than narrow.
    assert inside.mean() > 0.93
    assert (found.slope_high - found.slope_low).median() < 0.9


def test_trends_do_not_depend_on_the_order_of_rows_or_on_gaps():
    known = planted(3)
    shuffled = known.sample(frac=1, random_state=0)
    gaps = pd.concat([shuffled, known.assign(position=np.nan)])
    columns = ["slope", "slope_low", "slope_high"]
    expected = shoreline_trends(known)[columns]
    pd.testing.assert_frame_equal(shoreline_trends(shuffled)[columns], expected)
    pd.testing.assert_frame_equal(shoreline_trends(gaps)[columns], expected)


def test_a_straight_line_has_its_slope_whatever_is_averaged():
    days = np.arange(0, 3653, 8)
    values = pd.Series(2 * days / 365.2425, pd.Timestamp("2000-01-01") + pd.to_timedelta(days, unit="D"))
    for period in (None, "month"):
        assert shoreline_trends(table(values), period=period).slope[0] == pytest.approx(2, abs=0.02)
    found = shoreline_trends(table(values, algorithm="a"), by=["algorithm", "transect"], period="year")
    assert list(found.columns[:2]) == ["algorithm", "transect"]
    assert found.attrs["units"]["slope"] == "m year-1"


def test_too_short_or_empty_series_have_no_trend():
    short = table(series([1, 2, 3], step="7D"), transect="short")
    empty = table(series([np.nan] * 4), transect="empty")
    found = shoreline_trends(pd.concat([short, empty])).set_index("transect")
    assert found.slope.isna().all()
    assert found.observations.to_dict() == {"short": 1, "empty": 0}


def test_trends_of_truc_vert_have_intervals_that_hold_no_change_for_most(truc_vert):
    found = shoreline_trends(truc_vert, position="corrected", by=["algorithm", "transect"])
    assert len(found) == 12
    assert ((found.slope_low <= found.slope) & (found.slope <= found.slope_high)).all()
    assert ((found.slope_low < 0.01) & (found.slope_high > 0)).all()


def methods(seed=0, *, dates=60, bias=7.0, spread=5.0, shared=6.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    times = pd.date_range("2010", periods=dates, freq="16D")
    parts = []
    image = random.normal(0, shared, dates)
    for name in "abcd":
        truth = 100 + random.normal(0, 10, dates)
        for method, off in (("x", bias + image), ("y", 0.0)):
            position = truth + off + random.normal(0, spread / np.sqrt(2), dates)
            parts.append(pd.DataFrame({"time": times, "transect": name, "algorithm": method, "position": position}))
    return pd.concat(parts, ignore_index=True)


def test_two_hundred_planted_biases_are_within_their_intervals():
    found = pd.concat([compare_shorelines(methods(seed)) for seed in range(200)])
    assert found.bias.mean() == pytest.approx(7, abs=0.2)
    assert 0.9 < ((found.bias_low <= 7) & (found.bias_high >= 7)).mean() <= 0.99
    assert found["std"].mean() == pytest.approx(np.hypot(5, 6), rel=0.03)
    np.testing.assert_allclose(found.rmse**2, found.bias**2 + found["std"] ** 2)
    assert (found.n == 240).all()
    assert (found.dates == 60).all()


def test_a_pair_is_each_others_nearest_within_the_span():
    first = table(pd.Series([10.0, 20, 30], pd.to_datetime(["2020-01-01", "2020-01-03", "2020-02-01"])), algorithm="x")
    second = table(pd.Series([1.0, 2], pd.to_datetime(["2020-01-04", "2020-02-20"])), algorithm="y")
    both = pd.concat([first, second])
    assert compare_shorelines(both, within="1D")[["n", "bias"]].to_numpy().tolist() == [[1, 19]]
    assert compare_shorelines(both, within="40D")[["n", "bias"]].to_numpy().tolist() == [[2, 23.5]]
    none = compare_shorelines(both, within="1h").iloc[0]
    assert none.n == 0
    assert np.isnan(none.rmse)


def test_a_reference_is_what_all_others_are_held_against():
    three = pd.concat([methods(), methods(1)[lambda part: part.algorithm == "x"].assign(algorithm="survey")])
    found = compare_shorelines(three, reference="survey")
    assert found[["first", "second"]].to_numpy().tolist() == [["x", "survey"], ["y", "survey"]]
    assert len(compare_shorelines(three)) == 3


def test_other_transects_and_missing_positions_are_not_compared():
    known = methods()
    known.loc[(known.algorithm == "x") & (known.transect != "a"), "position"] = np.nan
    assert compare_shorelines(known).n[0] == 60
    apart = known.assign(transect=known.transect + known.algorithm)
    assert compare_shorelines(apart).n[0] == 0


def test_coastsat_lies_seaward_of_shorex_at_truc_vert(truc_vert):
    found = compare_shorelines(truc_vert, position="corrected").set_index(["first", "second"])
    pair = found.loc[("CoastSat", "SHOREX")]
    assert (pair.n, pair.dates) == (202, 69)
    assert pair.bias == pytest.approx(15.64, abs=0.01)
    assert 13 < pair.bias_low < pair.bias < pair.bias_high < 18


BAD = [
    (lambda: correct_for_tide(1.0, 1.0, 0.0), "slope is 0.0, expected tan β above 0"),
    (lambda: correct_for_tide(1.0, 1.0, -0.1), "slope is -0.1"),
    (lambda: correct_for_tide(1.0, 1.0, np.nan), "slope is nan"),
    (lambda: implied_tide(1.0, 1.0, 0.0), "implied_tide: slope"),
    (lambda: correct_for_tide(xr.DataArray(1.0, attrs={"units": "km"}), 1.0, 0.1), "position has units 'km'"),
    (lambda: correct_for_tide(1.0, xr.DataArray(1.0, attrs={"units": "cm"}), 0.1), "tide has units 'cm'"),
    (lambda: despike(series([1, 2]), max_change=0), "max_change is 0"),
    (lambda: despike(pd.Series([1.0, 2.0])), "expected a Series indexed by dates"),
    (lambda: despike([1.0, 2.0]), "expected a Series indexed by dates"),
    (lambda: shoreline_trends(planted(0), position="x"), "no column 'x'"),
    (lambda: shoreline_trends(table(pd.Series([1.0], ["soon"]))), "holds 'soon', expected dates"),
    (lambda: compare_shorelines(methods().query("algorithm == 'x'")), "found 1 method"),
    (lambda: compare_shorelines(methods(), reference="z"), "no method 'z'"),
    (lambda: compare_shorelines(methods(), within="soon"), "within is 'soon'"),
    (lambda: compare_shorelines(methods(), within="-1D"), "within is '-1D'"),
    (lambda: compare_shorelines(methods(), method="team"), "no column 'team'"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_ends_in_a_sentence(call, message):
    with pytest.raises(BadRequest, match=message):
        call()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_pairs_are_those_of_a_search_through_all(ours, theirs):
    def part(days, method):
        days = np.sort(days)
        return table(pd.Series(days.astype(float), pd.Timestamp("2020") + pd.to_timedelta(days, "D")), algorithm=method)

    first, second = part(ours, "x"), part(theirs, "y")
    apart = np.abs(first.position.to_numpy()[:, None] - second.position.to_numpy())
    forth, back = apart.argmin(axis=1), apart.argmin(axis=0)
    kept = [at for at in range(len(first)) if back[forth[at]] == at and apart[at, forth[at]] <= 5]
    found = compare_shorelines(pd.concat([first, second]), within="5D").iloc[0]
    assert found.n == len(kept)
    if kept:
        expected = np.mean([first.position[at] - second.position[forth[at]] for at in kept])
        assert found.bias == pytest.approx(expected)


DAYS = pd.date_range("2015-01-01", periods=6, freq="16D", tz="UTC")
WIDE = pd.DataFrame({"NA1": np.arange(6.0), "NA2": 50.0}, DAYS)
TIDE = pd.Series([0.5, -0.2, 0.1, 0.4, -1.0, 0.0], DAYS)


def test_a_table_of_a_column_a_transect_is_corrected_column_by_column():
    slopes = pd.Series({"NA1": 0.05, "NA2": 0.1})
    found = correct_for_tide(WIDE, TIDE, slopes)
    for name in WIDE:
        pd.testing.assert_series_equal(found[name], WIDE[name] + TIDE / slopes[name], check_names=False)
    pd.testing.assert_frame_equal(
        correct_for_tide(WIDE, TIDE, 0.05), correct_for_tide(WIDE, TIDE, {"NA1": 0.05, "NA2": 0.05})
    )
    with pytest.raises(BadRequest, match="no slope for the transect 'NA2'"):
        correct_for_tide(WIDE, TIDE, {"NA1": 0.05})


def test_a_tide_is_found_by_its_dates_in_any_order_and_time_zone():
    known = correct_for_tide(WIDE["NA1"], TIDE, 0.05)
    for tide in (TIDE[::-1], TIDE.tz_localize(None), TIDE.tz_convert("Europe/Paris")[::-1]):
        pd.testing.assert_series_equal(correct_for_tide(WIDE["NA1"], tide, 0.05), known, check_names=False)
    back = implied_tide(WIDE["NA1"], known[::-1], 0.05)
    np.testing.assert_allclose(back, TIDE)
    with pytest.raises(BadRequest, match="tide has none of the dates of position"):
        correct_for_tide(WIDE["NA1"], TIDE.shift(freq="5h"), 0.05)


def test_lists_are_corrected_like_arrays():
    np.testing.assert_allclose(correct_for_tide([1, 2], (0.5, 0.2), 0.05), [11, 6])
    np.testing.assert_allclose(implied_tide([1, 2], [11, 6], [0.05, 0.05]), [0.5, 0.2])


def test_despiking_keeps_the_unit_and_leaves_no_infinite_position():
    series = pd.Series([0, np.inf, 1, 90, 1, 0.0], DAYS)
    series.attrs["units"] = "m"
    found = despike(series)
    assert found.attrs == {"units": "m"}
    assert found.isna().tolist() == [False, True, False, True, False, False]


@pytest.mark.parametrize("wrong", [lambda t: t.dt.year, lambda t: t.dt.year + 0.5, lambda t: t.dt.strftime("%d/%m/%Y")])
def test_years_and_french_words_are_no_dates(wrong):
    seen = pd.concat([planted(0), planted(1).assign(algorithm="B")]) if "algorithm" in planted(0) else planted(0)
    seen = seen.assign(time=wrong(pd.to_datetime(seen["time"])))
    with pytest.raises(BadRequest, match="expected dates"):
        shoreline_trends(seen)
    with pytest.raises(BadRequest, match="expected dates"):
        compare_shorelines(seen.assign(algorithm=["A", "B"] * (len(seen) // 2) + ["A"] * (len(seen) % 2)))


def test_empty_categories_and_infinite_positions_make_no_trend():
    seen = planted(0)
    some = seen.assign(transect=pd.Categorical(seen["transect"], [*seen["transect"].unique(), "nowhere"]))
    pd.testing.assert_frame_equal(shoreline_trends(some), shoreline_trends(seen), check_dtype=False)
    holes = seen.assign(position=seen["position"].where(seen.index % 5 > 0))
    wild = seen.assign(position=seen["position"].where(seen.index % 5 > 0, np.inf))
    pd.testing.assert_frame_equal(shoreline_trends(wild), shoreline_trends(holes))


def test_methods_may_be_missing_or_of_all_kinds():
    seen = planted(0)
    both = pd.concat([seen.assign(algorithm=1), seen.assign(algorithm="SX"), seen.assign(algorithm=None)])
    found = compare_shorelines(both)
    assert found[["first", "second"]].to_numpy().tolist() == [[1, "SX"]]
    assert found["bias"][0] == 0


def test_a_bare_number_is_no_span_and_95_no_share():
    both = pd.concat([planted(0).assign(algorithm="A"), planted(0).assign(algorithm="B")])
    with pytest.raises(BadRequest, match="within is 10, expected a span of time"):
        compare_shorelines(both, within=10)
    with pytest.raises(BadRequest, match="confidence is 95"):
        compare_shorelines(both, confidence=95)
