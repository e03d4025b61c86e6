"""The query extension, against a plain comparison in Python."""

import pytest

from earthlab.errors import BadRequest
from earthlab.services.stac.search import parse_search
from earthlab.services.stac.stacql import parse_query
from earthlab.services.stac.store import Store
from tests.services.stac.made import MADE, write_made


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Store:
    return Store(write_made(tmp_path_factory.mktemp("query")))


def clouds(test):
    def check(said):
        return said.get("eo:cloud_cover") is not None and test(said["eo:cloud_cover"])

    return check


def platform(test):
    return lambda said: bool(said.get("platform")) and test(said["platform"])


@pytest.mark.parametrize(
    ("query", "check"),
    [
        ({"eo:cloud_cover": {"lt": 10}}, clouds(lambda c: c < 10)),
        ({"properties.eo:cloud_cover": {"gte": 10, "lte": 20.5}}, clouds(lambda c: 10 <= c <= 20.5)),
        (
            {"eo:cloud_cover": {"gt": 10}, "gsd": {"eq": 20}},
            lambda s: clouds(lambda c: c > 10)(s) and s.get("gsd") == 20,
        ),
        ({"eo:cloud_cover": {"lt": "10.5"}}, clouds(lambda c: c < 10.5)),
        ({"eo:cloud_cover": {"in": ["17", 34]}}, clouds(lambda c: c in {17, 34})),
        ({"eo:cloud_cover": {"neq": 17}}, clouds(lambda c: c != 17)),
        ({"eo:cloud_cover": {"in": [17, 34, 51]}}, clouds(lambda c: c in {17, 34, 51})),
        ({"platform": {"startsWith": "sentinel"}}, platform(lambda p: p.startswith("sentinel"))),
        ({"platform": {"endsWith": "50%"}}, platform(lambda p: p.endswith("50%"))),
        ({"platform": {"contains": "T_5"}}, platform(lambda p: "T_5" in p)),
        ({"platform": {"contains": "%"}}, platform(lambda p: "%" in p)),
        ({"platform": {"contains": "\\"}}, platform(lambda p: False)),
        ({"platform": {"in": ["SPOT_5", "'"]}}, platform(lambda p: p == "SPOT_5")),
        ({"instruments": {"contains": "hrg"}}, lambda said: "hrg" in said.get("instruments", ())),
        ({"instruments": {"in": ["hrg", "x"]}}, lambda said: "hrg" in said.get("instruments", ())),
        ({"datetime": {"gte": "2020-01-10T00:00:00Z"}}, lambda s: (s["datetime"] or "") >= "2020-01-10T00:00:00Z"),
        ({}, lambda said: True),
    ],
)
def test_a_query_finds_what_it_says(made, query, check):
    page = made.find(parse_search({"query": query, "limit": 1000}))
    assert {item["id"] for item in page.items} == {item["id"] for item in MADE if check(item["properties"])}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"colour": {"eq": 1}}, "'colour'"),
        ({"gsd": {"near": 1}}, "'near'"),
        ({"gsd": {}}, "query: found"),
        ({"gsd": 10}, "query: found '10'"),
        ({"platform": {"contains": 5}}, "contains of 'platform'"),
        ([], "query: found"),
        ("gsd", "query: found"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(query, named):
    with pytest.raises(BadRequest, match=r"^query: ") as refusal:
        parse_query(query)
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    "query", [{"gsd": {"lt": "x"}}, {"gsd": {"in": 7}}, {"gsd": {"eq": None}}, {"instruments": {"eq": "msi"}}]
)
def test_values_of_another_kind_are_refused(query):
    with pytest.raises(BadRequest, match=r"^filter: "):
        parse_search({"query": query})
