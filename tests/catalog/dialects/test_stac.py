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
