"""What the service says of itself is what it does."""

import pytest

from earthlab.services.stac.description import CONFORMANCE, describe_body, describe_parameters, write_page
from earthlab.services.stac.search import parse_search
from earthlab.services.stac.words import SEARCH_WORDS, words_of_query


def test_each_class_is_declared_once():
    assert len(set(CONFORMANCE)) == len(CONFORMANCE)


@pytest.mark.parametrize("name", ["core", "collections", "item-search", "ogcapi-features"])
def test_the_foundations_are_those_of_1_0(name):
    assert f"https://api.stacspec.org/v1.0.0/{name}" in CONFORMANCE


def test_the_examples_are_searches():
    body = describe_body(SEARCH_WORDS)["requestBody"]["content"]["application/json"]["example"]
    assert parse_search(body).where.shapes
    shown = [
        (one["name"], one["example"]) for one in describe_parameters(SEARCH_WORDS)["parameters"] if "example" in one
    ]
    for pair in shown:
        assert parse_search(words_of_query([pair])) is not None
    assert len(shown) > 9


def test_the_page_escapes_what_it_shows():
    operation = {"description": "<script>", "parameters": [{"name": "<b>", "in": "query"}]}
    page = write_page({"info": {"title": "a & b"}, "paths": {"/<x>": {"get": operation}}})
    for shown in ("a &amp; b", "GET /&lt;x&gt;", "&lt;script&gt;", "&lt;b&gt;"):
        assert shown in page
