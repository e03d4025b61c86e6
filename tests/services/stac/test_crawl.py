"""Another catalogue crawled over HTTP: windows of time, halves where an answer is too long, and interruptions."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from earthlab.catalog.dialects import documents, open_catalogue
from earthlab.cli import main
from earthlab.errors import AskLess, BadRequest, CatalogueUnavailable
from earthlab.services.stac.crawl import _plan_windows, ingest_crawl
from earthlab.services.stac.geoparquet import write_items
from earthlab.services.stac.search import parse_search
from earthlab.services.stac.store import Store
from earthlab.testing.providers import catalogue, collection, item, json_answer, provider
from tests.services.stac.conftest import unseen


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(bare_environment):
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "lab" / "catalogue"
    folder.mkdir(parents=True)
    write_items(folder / "items.parquet", [])
    (folder / "collections.json").write_text("[]")
    (folder / "COMPLETE").write_text(json.dumps({"version": "test", "items": {"own": 0}, "left_out": {}}))
    return folder


def _at(name: str, moment: datetime, collection: str = "essai") -> dict:
    return item(name, collection=collection, properties={"datetime": moment.isoformat().replace("+00:00", "Z")})


def _series(count: int) -> list[dict]:
    begins = datetime(2017, 6, 1, tzinfo=UTC)
    return [_at(f"a{at}", begins + timedelta(days=at * 9, seconds=at)) for at in range(count)]


def _found(folder: Path) -> list[str]:
    return sorted(one["id"] for one in Store(folder).find(parse_search({"limit": 1000})).items)


def test_every_item_of_another_catalogue_comes_in_also_those_outside_its_extent(folder):
    # The extent of the test's collections begins in 2018 and is open.
    items = [*_series(120), _at("old", datetime(1986, 2, 22, tzinfo=UTC)), _at("other", datetime.now(UTC), "other")]
    with provider(catalogue(items, page=25)) as there:
        report = ingest_crawl(folder, open_catalogue(there.url), unseen)
    assert (report.stored, report.refused) == (122, 0)
    assert _found(folder) == sorted(one["id"] for one in items)
    assert {"essai", "other"} <= set(Store(folder).collections())


def test_only_the_collections_that_were_named(folder):
    items = [_at("a", datetime(2018, 1, 1, tzinfo=UTC)), _at("b", datetime(2018, 1, 1, tzinfo=UTC), "other")]
    with provider(catalogue(items)) as there:
        assert ingest_crawl(folder, open_catalogue(there.url), unseen, collections=["other"]).stored == 1
        with pytest.raises(BadRequest, match=r"has no collection 'othre'.*other"):
            ingest_crawl(folder, open_catalogue(there.url), unseen, collections=["othre"])


def test_an_answer_that_is_too_long_is_asked_for_in_halves(folder, monkeypatch):
    monkeypatch.setattr(documents, "MOST_ITEMS", 7)
    with provider(catalogue(_series(100), page=5)) as there:
        assert ingest_crawl(folder, open_catalogue(there.url), unseen).stored == 100
    assert len(_found(folder)) == 100


def test_more_in_a_second_than_can_be_asked_for_is_refused(folder, monkeypatch):
    monkeypatch.setattr(documents, "MOST_ITEMS", 7)
    items = [_at(f"a{at}", datetime(2018, 1, 1, tzinfo=UTC)) for at in range(8)]
    with provider(catalogue(items)) as there, pytest.raises(AskLess, match="more than 7 items"):
        ingest_crawl(folder, open_catalogue(there.url), unseen)
    assert _found(folder) == []


def test_an_interrupted_crawl_goes_on_and_does_not_ask_again_for_what_it_has(folder, monkeypatch):
    monkeypatch.setattr(documents, "MOST_ITEMS", 7)
    monkeypatch.setenv("EARTHLAB__CATALOGUE__RETRIES", "0")
    whole, searches, down = catalogue(_series(60)), [], [9]

    def breaks(request):
        if request.path == "/search":
            if len(searches) in down:
                return json_answer({"code": "Down"}, 503)
            searches.append(request.asked["datetime"])
        return whole(request)

    with provider(breaks) as there:
        with pytest.raises(CatalogueUnavailable):
            ingest_crawl(folder, open_catalogue(there.url), unseen)
        assert _found(folder) == []
        first = set(searches)
        searches.clear()
        down.clear()
        assert ingest_crawl(folder, open_catalogue(there.url), unseen).stored == 60
    assert first.isdisjoint(searches)


def test_documents_that_are_not_fit_are_left_out_with_the_catalogues_address(folder):
    items = [_at("a", datetime(2018, 1, 1, tzinfo=UTC)), item("b", assets={"x": {"href": "/etc/passwd"}})]
    with provider(catalogue(items)) as there:
        report = ingest_crawl(folder, open_catalogue(there.url), unseen)
        assert (report.stored, report.refused) == (1, 1)
        told = json.loads(report.refusals.read_text())
        assert told["where"].startswith(there.url.rstrip("/"))
        assert "relative href '/etc/passwd'" in told["reason"]


def test_the_command_crawls_an_address(folder, capsys):
    with provider(catalogue(_series(3))) as there:
        assert main(["catalog", "ingest", there.url, "--collections", "essai", "--state", str(folder.parent)]) == 0
    assert capsys.readouterr().out.startswith("3 items came in")


@pytest.mark.parametrize("interval", [[None, None], ["2018-05-01T00:00:00Z", "2020-01-01T00:00:00Z"], ["soon", None]])
def test_windows_are_all_time_without_gaps(interval):
    extent = {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [interval]}}
    windows = _plan_windows(collection("a") | {"extent": extent})
    assert windows[0].start is None
    assert windows[-1].end is None
    for one, following in pairwise(windows):
        assert following.start - one.end == timedelta(microseconds=1)
