"""The words of a search: what is understood, and how what is not is refused."""

import pytest

from earthlab.errors import BadRequest
from earthlab.services.stac.search import Search, parse_search
from earthlab.services.stac.words import MOST_ITEMS


def test_nothing_asked_is_everything_latest_first():
    assert parse_search({}) == Search()


def test_a_box_and_a_geometry_together_are_refused():
    with pytest.raises(BadRequest, match="both given"):
        parse_search({"bbox": [0, 0, 1, 1], "intersects": {"type": "Point", "coordinates": [0, 0]}})


@pytest.mark.parametrize("limit", [0, -1, 1.5, "ten", True, [], {}])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(BadRequest, match=r"limit: found .* from 1 to 10000"):
        parse_search({"limit": limit})


def test_a_single_name_may_stand_for_its_list():
    assert parse_search({"collections": "one"}) == parse_search({"collections": ["one"]})


def test_more_than_the_most_is_the_most():
    assert parse_search({"limit": 10**9}).limit == MOST_ITEMS


@pytest.mark.parametrize("word", ["ids", "collections"])
@pytest.mark.parametrize("value", [[], "", 7, [1], [""], [None], {}, ["x"] * 1001])
def test_names_that_are_no_list_of_names_are_refused(word, value):
    with pytest.raises(BadRequest, match=f"{word}: found"):
        parse_search({word: value})


@pytest.mark.parametrize("word", ["crs", "Bbox", "page", "", "q", "sort", "filter_lang", "offset"])
def test_what_is_not_implemented_is_refused_by_name(word):
    with pytest.raises(BadRequest, match=f"does not implement '{word}'.*bbox, collections, datetime, fields"):
        parse_search({word: "x"})


@pytest.mark.parametrize(
    "said",
    [
        {"filter-crs": "http://www.opengis.net/def/crs/EPSG/0/3857"},
        {"filter-crs": []},
        {"filter-lang": "cql-text"},
        {"filter-lang": {}},
        {"filter": 7},
        {"filter": "gsd = 10"},
        {"filter": {"op": "=", "args": [1, 1]}, "filter-lang": "cql2-text"},
    ],
)
def test_filters_of_other_languages_and_systems_are_refused_by_name(said):
    with pytest.raises(BadRequest, match=r"^filter"):
        parse_search(said)


def test_filter_and_query_are_both_asked_for():
    where = parse_search(
        {"filter": {"op": "isNull", "args": [{"property": "gsd"}]}, "query": {"id": {"eq": "a"}}}
    ).where
    assert '"gsd" IS NULL' in where.sql
    assert '"id" =' in where.sql
    assert list(where.values.values()) == ["a"]
