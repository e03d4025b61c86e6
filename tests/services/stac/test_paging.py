"""Tokens of pages: they lead where they were written for, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.stac.paging import parse_token, write_token
from earthlab.services.stac.sorting import LATEST_FIRST, Key

_values = st.one_of(
    st.none(), st.text(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.integers(-(2**60), 2**60), st.text(), st.text())
def test_a_token_leads_to_the_row_it_was_written_for(moment, name, collection):
    said = {"collections": ["théia"], "limit": 3}
    token = write_token((moment, name, collection), said)
    assert parse_token(token, LATEST_FIRST, {**said, "limit": 9, "token": token}) == (moment, name, collection)


def test_a_token_of_another_search_is_refused():
    token = write_token((0, "a", "b"), {"ids": ["x"]})
    with pytest.raises(BadRequest, match="belongs to another search"):
        parse_token(token, LATEST_FIRST, {"ids": ["y"], "token": token})


@given(st.lists(_values, max_size=4))
def test_a_place_of_another_order_is_refused(place):
    order = (Key("gsd"), Key("id", holds_text=True))
    fits = len(place) == 2 and not isinstance(place[0], str) and (place[1] is None or isinstance(place[1], str))
    token = write_token(tuple(place), {})
    if fits:
        assert parse_token(token, order, {}) == tuple(place)
    else:
        with pytest.raises(BadRequest, match="token: this is no page"):
            parse_token(token, order, {})


@given(st.one_of(st.text(), st.integers(), st.lists(st.integers()), st.binary().map(repr)))
def test_what_is_no_token_is_refused(token):
    with pytest.raises(BadRequest, match="token: "):
        parse_token(token, LATEST_FIRST, {})


@pytest.mark.parametrize("place", [(2**63, "a", "b"), (True, "a", "b"), ("x", "a", "b"), (0, 1, "b")])
def test_a_forged_place_does_not_reach_the_database(place):
    with pytest.raises(BadRequest, match="token: this is no page"):
        parse_token(write_token(place, {}), LATEST_FIRST, {})
