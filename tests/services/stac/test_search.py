"""The words of a search: what is understood, and how what is not is refused."""

from datetime import UTC, datetime

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.stac.search import (
    MOST_ITEMS,
    Place,
    parse_interval,
    parse_search,
    query_of_words,
    words_of_query,
    write_token,
)

_moments = st.integers(-2_000_000_000, 4_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@given(_moments)
def test_an_instant_is_both_ends(moment):
    assert parse_interval(_text(moment)) == (moment, moment)


@given(_moments, _moments)
def test_an_interval_has_its_two_ends(one, other):
    begins, ends = sorted((one, other))
    assert parse_interval(f"{_text(begins)}/{_text(ends)}") == (begins, ends)


@given(_moments, st.sampled_from(["..", ""]))
def test_either_side_may_be_open(moment, hole):
    assert parse_interval(f"{hole}/{_text(moment)}") == (None, moment)
    assert parse_interval(f"{_text(moment)}/{hole}") == (moment, None)


def test_zones_fractions_and_small_letters_of_rfc3339_are_understood():
    moment = datetime(2018, 7, 8, 10, 0, 0, 250_000, tzinfo=UTC)
    assert parse_interval("2018-07-08T12:00:00.25+02:00") == (moment, moment)
    assert parse_interval("2018-07-08t10:00:00.250000999z") == (moment, moment)


@pytest.mark.parametrize(
    "text",
    ["2018", "2018-07-08", "2018-13-01T00:00:00Z", "2018-07-08T00:00:00", "a/b", "../..", "/", "", "1/2/3", 2018, []],
)
def test_what_is_no_rfc3339_is_refused(text):
    with pytest.raises(BadRequest, match="datetime: found"):
        parse_interval(text)


def test_an_interval_that_ends_before_it_begins_is_refused():
    with pytest.raises(BadRequest, match="ends before it begins"):
        parse_interval("2019-01-01T00:00:00Z/2018-01-01T00:00:00Z")


def test_six_numbers_are_a_box_with_heights():
    flat, high = parse_search({"bbox": [1, 43, 2, 44]}), parse_search({"bbox": [1, 43, 0, 2, 44, 900]})
    assert shapely.equals(flat.area, high.area)


def test_a_box_whose_west_is_east_of_its_east_crosses_the_antimeridian():
    area = parse_search({"bbox": [170, -20, -170, -10]}).area
    assert shapely.get_num_geometries(area) == 2
    assert area.bounds == (-180, -20, 180, -10)


@pytest.mark.parametrize(
    "bbox",
    [
        [1, 2, 3], [1, 2, 3, 4, 5], ["1", 2, 3, 4], [True, 2, 3, 4], [float("nan"), 1, 2, 3], [float("inf"), 1, 2, 3],
        [0, 50, 1, 40], [0, 0, 400, 1], [356040, 4833220, 358310, 4835680], [0, 0, 9, 1, 1, 0], "1,2,3,4", {}, [],
    ],
)  # fmt: skip
def test_what_is_no_box_is_refused(bbox):
    with pytest.raises(BadRequest, match="bbox"):
        parse_search({"bbox": bbox})


@pytest.mark.parametrize(
    "geometry",
    [
        {}, [], 7, "POINT (1 2)", {"type": "Feature", "geometry": None}, {"type": "Point"}, {"type": "Circle"},
        {"type": "Point", "coordinates": ["a", "b"]}, {"type": "Point", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]},
        {"type": "Point", "coordinates": [356040, 4833220]},
        {"type": "LineString", "coordinates": [[0, 0]]},
        {"type": "MultiPoint", "coordinates": [[i / 1000, 0] for i in range(20_001)]},
    ],
)  # fmt: skip
def test_what_is_no_geometry_is_refused(geometry):
    with pytest.raises(BadRequest, match="intersects: "):
        parse_search({"intersects": geometry})


def test_a_box_and_a_geometry_together_are_refused():
    with pytest.raises(BadRequest, match="both given"):
        parse_search({"bbox": [0, 0, 1, 1], "intersects": {"type": "Point", "coordinates": [0, 0]}})


@pytest.mark.parametrize("limit", [0, -1, MOST_ITEMS + 1, 1.5, "ten", True, [], {}])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(BadRequest, match=r"limit: found .* from 1 to 10000"):
        parse_search({"limit": limit})


@pytest.mark.parametrize("word", ["ids", "collections"])
@pytest.mark.parametrize("value", [[], "theia-n3a", [1], [""], [None], {}, ["x"] * 1001])
def test_names_that_are_no_list_of_names_are_refused(word, value):
    with pytest.raises(BadRequest, match=f"{word}: found"):
        parse_search({word: value})


@pytest.mark.parametrize("word", ["fields", "sortby", "query", "filter", "filter-lang", "crs", "Bbox", "page", ""])
def test_what_is_not_implemented_is_refused_by_name(word):
    with pytest.raises(BadRequest, match=f"does not implement '{word}'.*bbox, collections, datetime, ids"):
        parse_search({word: "x"})


def test_a_word_given_twice_is_refused():
    with pytest.raises(BadRequest, match="'ids' is given twice"):
        words_of_query([("ids", "a"), ("ids", "b")])


@pytest.mark.parametrize("text", ["{", "nothing", '{"type": "Point", "coordinates": [NaN, 0]}', "[" * 100_000])
def test_a_geometry_that_is_not_json_is_refused(text):
    with pytest.raises(BadRequest, match="intersects: "):
        parse_search(words_of_query([("intersects", text)]))


def test_a_token_leads_to_the_row_it_was_written_for():
    place = Place(1_524_960_000_000_000, "it's; DROP", "théia")
    said = {"collections": ["théia"], "limit": 3}
    assert parse_search({**said, "token": write_token(place, said)}).after == place


def test_a_token_of_another_search_is_refused():
    token = write_token(Place(0, "a", "b"), {"ids": ["x"]})
    with pytest.raises(BadRequest, match="belongs to another search"):
        parse_search({"ids": ["y"], "token": token})


@given(st.one_of(st.text(), st.integers(), st.lists(st.integers()), st.binary().map(repr)))
def test_what_is_no_token_is_refused(token):
    with pytest.raises(BadRequest, match="token: "):
        parse_search({"token": token})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "bbox": st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=6),
            "ids": st.lists(st.text("abc-_é' ", min_size=1), min_size=1),
            "limit": st.integers(0, 10_000),
            "datetime": st.text("0123456789TZ:/."),
            "intersects": st.just({"type": "Point", "coordinates": [1.5, 2]}),
        },
    )
)
def test_words_of_a_query_string_come_back_as_they_were(said):
    assert words_of_query(list(query_of_words(said).items())) == said
