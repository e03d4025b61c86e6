"""Component profiles, indices and ranks, by hand and by properties."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.risk_profile import (
    COMPONENTS,
    Indicator,
    component_profile,
    rank_sensitivity,
    score_indicators,
    vulnerability_index,
)
from earthlab.errors import BadRequest

EQUAL = dict.fromkeys(COMPONENTS, 1.0)
RETREAT = Indicator("recul", "aléas", 0, 2)
FLOOD = Indicator("cote", "aléas", 5, 1, weight=3)
HOUSES = Indicator("logements", "enjeux", 0, 400)
PLAN = Indicator("plan", "gestion", 1, 0)
KNOWN = Indicator("connaissance", "représentations", 100, 0)
ALL = (RETREAT, FLOOD, HOUSES, PLAN, KNOWN)
PLACES = pd.DataFrame(
    {
        "recul": [1.0, 4.0, np.nan],
        "cote": [3.0, 6.0, 2.0],
        "logements": [100, 0, 400],
        "plan": [0.5, 1, 0],
        "connaissance": [25.0, 75.0, np.nan],
    },
    index=["A", "B", "C"],
)


def test_scores_by_hand_go_from_favourable_to_unfavourable_and_no_further():
    found = score_indicators(PLACES, ALL)
    np.testing.assert_allclose(found.loc["A"], [0.5, 0.5, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(found.loc["B"], [1, 0, 0, 0, 0.25])
    np.testing.assert_allclose(found.loc["C"], [np.nan, 0.75, 1, 1, np.nan])


def test_a_component_is_the_weighted_mean_of_what_is_known():
    found = component_profile(PLACES, ALL)
    assert tuple(found.columns) == COMPONENTS
    np.testing.assert_allclose(found["aléas"], [0.5, 0.25, 0.75])
    np.testing.assert_allclose(found["représentations"], [0.75, 0.25, np.nan])
    assert found.attrs["known"] == pytest.approx({"aléas": 5 / 6, "enjeux": 1, "gestion": 1, "représentations": 2 / 3})


def test_components_without_an_indicator_are_left_out():
    assert list(component_profile(PLACES, [HOUSES, RETREAT]).columns) == ["aléas", "enjeux"]


def test_the_index_by_hand():
    found = vulnerability_index(component_profile(PLACES, ALL), EQUAL)
    np.testing.assert_allclose(found, [(0.5 + 0.25 + 0.5 + 0.75) / 4, (0.25 + 0.25) / 4, np.nan])
    without = vulnerability_index(component_profile(PLACES, ALL), {**EQUAL, "représentations": 0})
    np.testing.assert_allclose(without, [1.25 / 3, 0.25 / 3, 2.75 / 3])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-10, 10), min_size=4, max_size=4),
    st.floats(-5, 5),
    st.floats(0.1, 5) | st.floats(-5, -0.1),
    st.floats(1, 100),
    st.floats(-100, 100),
)
def test_scores_do_not_depend_on_the_unit(values, start, width, factor, offset):
    one = score_indicators(pd.DataFrame({"a": values}), [Indicator("a", "aléas", start, start + width)])
    other = score_indicators(
        pd.DataFrame({"a": np.array(values) * factor + offset}),
        [Indicator("a", "aléas", start * factor + offset, (start + width) * factor + offset)],
    )
    assert one.to_numpy().min() >= 0
    assert one.to_numpy().max() <= 1
    np.testing.assert_allclose(other, one, atol=1e-9)


def profile(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COMPONENTS), index=[f"p{at}" for at in range(len(rows))])


def test_a_place_that_is_worst_in_all_is_first_whatever_the_weights():
    found = rank_sensitivity(profile([0.9] * 4, [0.5, 0.1, 0.2, 0.3], [0.1, 0.4, 0.3, 0.2]), EQUAL)
    assert found.loc["p0", ["rank", "rank_low", "rank_high", "first"]].tolist() == [1, 1, 1, 1]
    assert (found["first"] >= 0).all()
    assert found["first"].sum() == pytest.approx(1)


def test_mirrored_places_are_first_half_of_the_time():
    found = rank_sensitivity(profile([1, 0, 0.5, 0.5], [0, 1, 0.5, 0.5]), EQUAL, draws=20_000)
    assert found["rank"].tolist() == [1, 1]
    np.testing.assert_allclose(found["first"], 0.5, atol=0.02)
    assert found[["rank_low", "rank_high"]].to_numpy().tolist() == [[1, 2], [1, 2]]


def test_the_closer_the_weights_stay_the_less_ranks_change():
    places = profile([0.8, 0.2, 0.5, 0.4], [0.3, 0.75, 0.45, 0.35], [0.1, 0.1, 0.9, 0.5])
    loose, tight = (rank_sensitivity(places, EQUAL, concentration=at) for at in (4, 4000))
    spread = loose.rank_high - loose.rank_low
    assert (spread >= tight.rank_high - tight.rank_low).all()
    assert spread.max() == 2
    assert (tight.rank_low <= tight["rank"]).all()
    pd.testing.assert_frame_equal(rank_sensitivity(places, EQUAL), rank_sensitivity(places, EQUAL))


def test_drawn_weights_vary_as_said():
    places = profile([1, 0, 0, 0], [0.3, 0.3, 0.3, 0.3])
    found = rank_sensitivity(places, EQUAL, draws=20_000)
    # p0 is first where the first weight, 0.25 with a standard deviation of 0.0945, exceeds 0.3.
    from scipy.stats import beta

    assert found["first"].iloc[0] == pytest.approx(beta.sf(0.3, 5, 15), abs=0.015)


def test_places_that_are_not_known_take_no_rank():
    found = rank_sensitivity(profile([0.5] * 4, [np.nan, 1, 1, 1], [0.2] * 4), EQUAL)
    assert found.loc["p1"].isna().all()
    assert found["rank"].tolist()[::2] == [1, 2]
    assert rank_sensitivity(profile([np.nan] * 4), EQUAL)["rank"].isna().all()
    spared = rank_sensitivity(profile([0.5] * 4, [np.nan, 1, 1, 1]), {**EQUAL, "aléas": 0})
    assert spared["rank"].tolist() == [2, 1]


BAD = [
    (lambda: Indicator("a", "alea", 0, 1), "no component 'alea'. Nearest: aléas"),
    (lambda: Indicator("a", "aléas", 1, 1), "expected two numbers that differ"),
    (lambda: Indicator("a", "aléas", 0, np.inf), "expected two numbers that differ"),
    (lambda: Indicator("a", "aléas", 0, 1, weight=0), "weight is 0"),
    (lambda: score_indicators(PLACES, []), "expected indicators of different columns"),
    (lambda: score_indicators(PLACES, [RETREAT, RETREAT]), "expected indicators of different columns"),
    (lambda: score_indicators(PLACES.rename(columns={"recul": "retrait"}), ALL), "no column 'recul'"),
    (lambda: score_indicators(PLACES.assign(recul="fort"), ALL), "'recul' holds object, expected numbers"),
    (lambda: vulnerability_index(profile([0.5] * 4), {"aléas": 1}), "expected one for each of aléas, enjeux"),
    (lambda: vulnerability_index(profile([0.5] * 4), {**EQUAL, "enjeux": -1}), "expected numbers from 0"),
    (lambda: vulnerability_index(profile([0.5] * 4), dict.fromkeys(COMPONENTS, 0)), "not all 0"),
    (lambda: rank_sensitivity(profile([0.5] * 4), EQUAL, concentration=0), "concentration 0"),
    (lambda: rank_sensitivity(profile([0.5] * 4), EQUAL, draws=10), "draws 10"),
    (lambda: rank_sensitivity(profile([0.5] * 4), EQUAL, level=1), "level 1"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[f"{at}-{message}" for at, (_, message) in enumerate(BAD)])
def test_bad_input_ends_in_a_sentence(call, message):
    with pytest.raises(BadRequest, match=message):
        call()


def test_what_is_no_list_of_indicators_gives_no_empty_profile():
    with pytest.raises(BadRequest, match="expected a list of Indicator, found generator"):
        component_profile(PLACES, (one for one in ALL))
    with pytest.raises(BadRequest, match="expected a list of Indicator, found Indicator"):
        score_indicators(PLACES, RETREAT)


def test_infinite_values_are_not_known_and_infinite_weights_refused():
    scores = score_indicators(PLACES.assign(recul=np.inf), [RETREAT])
    assert scores["recul"].isna().all()
    with pytest.raises(BadRequest, match="weight is inf"):
        Indicator("recul", "aléas", 0, 1, np.inf)
    with pytest.raises(BadRequest, match="favourable '0'"):
        Indicator("recul", "aléas", "0", 1)


def test_weights_may_be_a_series():
    profile = component_profile(PLACES, ALL)
    weights = dict.fromkeys(profile.columns, 1.0)
    known = vulnerability_index(profile, weights)
    pd.testing.assert_series_equal(vulnerability_index(profile, pd.Series(weights)), known)
