"""Services that lead on for ever: whoever asks is told, in every dialect, also where nothing of a page is kept."""

import pytest

from earthlab.catalog import make_query
from earthlab.catalog.dialects import documents as bounds
from earthlab.catalog.dialects import open_catalogue
from earthlab.catalog.dialects.documents import Paging
from earthlab.errors import CatalogueUnavailable
from earthlab.testing.dialects import geodes_item
from earthlab.testing.providers import fixed, json_answer, provider
from earthlab.types import BBox

UNDATED = {"@iot.id": 1, "name": "sans date", "Thing": {}}
CSW = (
    '<csw:GetRecordsResponse xmlns:csw="http://www.opengis.net/cat/csw/2.0.2">'
    '<csw:SearchResults nextRecord="{next}"><csw:Record/></csw:SearchResults></csw:GetRecordsResponse>'
)


def to_itself(request):
    return json_answer({"value": [UNDATED], "@iot.nextLink": f"{request.root}v1.1/Datastreams?$skip=1"})


def ever_on(request):
    at = len(request.query)
    return json_answer({"value": [UNDATED], "@iot.nextLink": f"{request.root}v1.1/Datastreams?{'x' * (at + 1)}"})


def records_without_date(_request):
    return json_answer({"response": {"numFound": 10**9, "docs": [{"id": "x"}]}})


def facets_without_date(request):
    if request.path.endswith("/search"):
        counts = [{"name": f"{request.query}-{n}", "count": 1} for n in range(2)]
        return json_answer({"facets": [{"counts": counts}]})
    return json_answer({"key": "x", "title": "sans date"})


@pytest.mark.parametrize(
    ("dialect", "behave"),
    [
        ("sensorthings", to_itself),
        ("sensorthings", ever_on),
        ("csw", fixed((200, "application/xml", CSW.format(next=1).encode()))),
        ("dataone", records_without_date),
        ("gbif", facets_without_date),
    ],
)
def test_a_service_that_leads_on_for_ever_is_left(describe, monkeypatch, dialect, behave):
    monkeypatch.setattr(bounds, "MOST_PAGES", 20)
    with provider(behave) as running:
        describe(dialect, f"{running.url}v1.1", words="page = 2")
        with pytest.raises(CatalogueUnavailable, match="from page to page without an end"):
            list(open_catalogue("essai").documents(make_query(), None))
        assert len(running.requests) < 70


def test_a_geodes_that_repeats_one_side_of_the_antimeridian_on_the_other_is_left(describe, monkeypatch):
    monkeypatch.setattr(bounds, "MOST_PAGES", 20)
    found = geodes_item("S2A_1", "2024-05-01")

    def behave(request):
        east = request.asked["bbox"][0] > 0
        features = [found] if not east or request.asked["page"] == 1 else []
        return json_answer({"type": "FeatureCollection", "features": features})

    with provider(behave) as running:
        describe("geodes", running.url, words="page = 1")
        with pytest.raises(CatalogueUnavailable, match="from page to page without an end"):
            list(open_catalogue("essai").documents(make_query(bbox=BBox(170, -20, -170, -10)), None))


def test_a_page_that_was_asked_for_before_is_not_asked_for_again():
    paging = Paging("https://example.org")
    paging.enter(1)
    paging.enter(2)
    with pytest.raises(CatalogueUnavailable, match=r"example\.org leads from page to page"):
        paging.enter(1)
