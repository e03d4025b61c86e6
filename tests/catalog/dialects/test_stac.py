"""STAC APIs that lead where no catalogue should."""

import json

import pytest

from earthlab.catalog import make_query
from earthlab.catalog.dialects import _is_under, open_catalogue
from earthlab.errors import CatalogueUnavailable
from earthlab.testing.providers import catalogue, item, json_answer, provider

STAC = "http://127.0.0.1:8000/services/stac/"


def test_a_link_to_a_file_of_this_machine_is_not_followed(bare_environment):
    planted = bare_environment / "page.json"
    planted.write_text(json.dumps({"type": "FeatureCollection", "features": [item("planted")], "links": []}))
    behave = catalogue([item("a")])

    def leading(request):
        if not request.path.endswith("/search"):
            return behave(request)
        links = [{"rel": "next", "href": str(planted)}]
        return json_answer({"type": "FeatureCollection", "features": [item("a")], "links": links})

    with provider(leading) as running:
        found = open_catalogue(running.url).documents(make_query(), None)
        assert next(found)["id"] == "a"
        with pytest.raises(CatalogueUnavailable):
            next(found)


def landings(running):
    return sum(request.path == "/" for request in running.requests)


def test_the_labs_own_catalogue_is_asked_what_it_can_do_once_an_hour_and_any_other_each_time(
    bare_environment, monkeypatch
):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "of-the-server")
    with provider(catalogue([item("a")])) as own, provider(catalogue([item("b")])) as other:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", own.url)
        for _ in range(3):
            assert [each["id"] for each in open_catalogue().documents(make_query(), None)] == ["a"]
            assert [each["id"] for each in open_catalogue(other.url).documents(make_query(), None)] == ["b"]
        assert (landings(own), landings(other)) == (1, 3)
        monkeypatch.setattr("earthlab.catalog.dialects.stac._KEPT_FOR", -1.0)
        open_catalogue()
        assert landings(own) == 2


@pytest.mark.parametrize(
    "asked", [STAC, STAC.rstrip("/"), f"{STAC}search?token=next:%2e%2e", f"{STAC}collections/a..b/items"]
)
def test_the_hubs_token_goes_to_the_labs_catalogue(asked):
    assert _is_under(STAC, asked)


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:8000/services/stac-other/search",
        "http://127.0.0.1:8000/services/stac/../../user/mallory/",
        "http://127.0.0.1:8000/services/stac/%2e%2e/%2E./user/mallory/",
        "http://127.0.0.1:8000/services/stac/..%2f..%2fuser/mallory/",
        "http://127.0.0.1:8000/services/stac/%5c..%5c../user/mallory/",
        "http://127.0.0.1:8001/services/stac/",
        "https://127.0.0.1:8000/services/stac/",
        "http://ana@127.0.0.1:8000/services/stac/",
    ],
)
def test_the_hubs_token_goes_nowhere_else_under_the_labs_address(asked):
    assert not _is_under(STAC, asked)
