"""The words of a query string, read to what a body would say, and written again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.stac.search import parse_search
from earthlab.services.stac.words import KNOWN, query_of_words, refuse_unknown, words_of_query


def test_a_word_given_twice_is_refused():
    with pytest.raises(BadRequest, match="'ids' is given twice"):
        words_of_query([("ids", "a"), ("ids", "b")])


@pytest.mark.parametrize("text", ["{", "nothing", '{"type": "Point", "coordinates": [NaN, 0]}', "[" * 100_000])
def test_a_geometry_that_is_not_json_is_refused(text):
    with pytest.raises(BadRequest, match="intersects: "):
        parse_search(words_of_query([("intersects", text)]))


@pytest.mark.parametrize("word", ["filter", "query"])
def test_an_object_that_is_not_json_is_refused(word):
    with pytest.raises(BadRequest, match=rf"^{word}: "):
        words_of_query([(word, '{"op": ')])


def test_a_filter_in_a_query_string_is_text_unless_it_is_an_object():
    assert words_of_query([("filter", "gsd < 20")]) == {"filter": "gsd < 20", "filter-lang": "cql2-text"}
    assert words_of_query([("filter", '{"op": "not"}')]) == {"filter": {"op": "not"}}


@pytest.mark.parametrize("text", ["+gsd,-id", " gsd,-id", "gsd,-id"])
def test_a_plus_may_have_become_a_space(text):
    assert words_of_query([("sortby", text)])["sortby"] == [
        {"field": "gsd", "direction": "asc"},
        {"field": "id", "direction": "desc"},
    ]


def test_what_is_not_known_is_refused_by_name_with_what_is():
    with pytest.raises(BadRequest, match=r"does not implement 'colour', 'size'\. Parameters known here: bbox, limit\."):
        refuse_unknown({"size": 1, "colour": 2, "bbox": 3}, ("bbox", "limit"))


def test_every_word_says_what_it_is_for():
    assert all(word.about and word.schema["type"] for word in KNOWN.values())


_names = st.lists(st.text("abc-_é' ", min_size=1), min_size=1)
_parts = st.lists(st.text("abc:_.", min_size=1), min_size=1, max_size=3)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "bbox": st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=6),
            "ids": _names,
            "collections": _names,
            "aggregations": _names,
            "query": st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers())),
            "filter": st.dictionaries(st.text(), st.lists(st.text()), min_size=1),
            "fields": st.fixed_dictionaries({}, optional={"include": _parts, "exclude": _parts}),
            "sortby": st.lists(
                st.fixed_dictionaries(
                    {"field": st.text("abc:_", min_size=1), "direction": st.sampled_from(["asc", "desc"])}
                ),
                min_size=1,
            ),
            "limit": st.integers(0, 10_000),
            "datetime": st.text("0123456789TZ:/."),
            "intersects": st.just({"type": "Point", "coordinates": [1.5, 2]}),
        },
    )
)
def test_words_of_a_query_string_come_back_as_they_were(said):
    assert words_of_query(list(query_of_words(said).items()), tuple(KNOWN)) == said
