"""GEODES and hydroweb.next: what they call datetime is the date of ingestion."""

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from earthlab.catalog import collections, search
from earthlab.catalog.dialects.ingestion import norm_document
from earthlab.catalog.signing import forget_signers
from earthlab.catalog.signing.providers import find_provider
from earthlab.errors import BadRequest, NotAllowed, NothingFound
from earthlab.testing.dialects import geodes, geodes_item, regards, regards_item
from earthlab.testing.providers import busy, provider
from earthlab.types import BBox

S2 = "THEIA_REFLECTANCE_SENTINEL2_L2A"


def test_geodes_finds_by_the_day_observed_and_not_by_that_of_ingestion(describe):
    items = [geodes_item("S2B_1", "2020-01-06"), geodes_item("S2B_2", "2020-02-10")]
    with provider(geodes(items)) as running:
        describe("geodes", running.url, **{"s2-maja": S2})
        found = search("s2-maja", time="2020-01", catalog="essai")
        with pytest.raises(NothingFound, match="time=2025"):
            search("s2-maja", time="2025", catalog="essai")
    assert [(i.title, f"{i.start:%Y-%m-%dT%H:%M}", f"{i.end:%Y-%m-%d}") for i in found] == [
        ("S2B_1", "2020-01-06T10:59", "2020-01-06")
    ]
    assert (found[0].collection, found[0].licence, found.catalogue) == ("s2-maja", "etalab-2.0", running.url)
    asked = next(r.asked for r in running.requests if r.path == "/search")
    assert "datetime" not in asked
    assert asked["sortBy"] == [{"field": "start_datetime", "direction": "asc"}]
    assert asked["query"] == {
        "start_datetime": {"lte": "2020-01-31T23:59:59Z"},
        "end_datetime": {"gte": "2020-01-01T00:00:00Z"},
    }


def test_geodes_is_paged_by_number_and_never_beyond_eighty(describe):
    items = [geodes_item(f"S2B_{n:03d}", "2020-01-06") for n in range(170)]
    with provider(geodes(items)) as running:
        describe("geodes", running.url, words="page = 500")
        found = search(catalog="essai", bbox=(1, 42, 2, 43))
    assert len(found) == 170
    pages = [(r.asked["page"], r.asked["limit"]) for r in running.requests if r.path == "/search"]
    assert pages == [(1, 80), (2, 80), (3, 80)]


def test_geodes_takes_the_names_of_products_for_ids(describe):
    with provider(geodes([geodes_item("S2B_1", "2020-01-06"), geodes_item("S2B_2", "2020-01-06")])) as running:
        describe("geodes", running.url)
        urn = "URN:FEATURE:DATA:gdh:S2B_2:V1"
        assert [i.id for i in search(ids=urn, catalog="essai")] == [urn]


def test_a_geodes_item_on_both_sides_of_the_antimeridian_comes_once(describe):
    wide = {**geodes_item("S2B_1", "2020-01-06"), "bbox": [-180, 42, 180, 43]}
    wide["geometry"] = {"type": "Polygon", "coordinates": [[[-180, 42], [180, 42], [180, 43], [-180, 43], [-180, 42]]]}
    with provider(geodes([wide])) as running:
        describe("geodes", running.url)
        assert len(search(bbox=BBox(170, 42, -170, 43), catalog="essai")) == 1
    assert sum(r.path == "/search" for r in running.requests) == 2


def test_a_geodes_document_says_what_it_means():
    document = norm_document(geodes_item("S2B_1", "2020-01-06"))
    said = document["properties"]
    assert said["published"] == "2025-04-25T20:45:03.179Z"
    assert said["datetime"] == "2020-01-06T10:59:07.758000Z"
    assert (said["instruments"], said["grid:code"]) == (["MSI"], "MGRS-31TCH")
    assert not {"sci:doi", "proj:bbox", "license", "instrument"} & said.keys()
    assert document["links"] == []
    assert list(document["assets"]) == ["S2B_1_quicklook.jpg", "S2B_1_V4-0.zip", "MTD_ALL.xml"]
    product = document["assets"]["S2B_1_V4-0.zip"]
    assert (product["file:size"], product["file:checksum"]) == (1764, "d50110" + "0f" * 16)
    assert document["assets"]["MTD_ALL.xml"]["roles"] == ["metadata"]


def test_the_recorded_geodes_page_comes_out_right(shared_data):
    text = (shared_data.parent / "stac_samples" / "geodes_peps_s2_l1c_searchpage.json").read_text()
    document = norm_document(json.loads(text)["features"][0])
    assert document["properties"]["datetime"] == "2025-04-02T17:57:41.024000Z"
    assert not any(link["rel"] == "license" for link in document["links"])
    assert not any("/" in key for key in document["assets"])


def test_the_placeholder_for_a_licence_is_never_passed_on(describe):
    unknown = {**geodes_item("S2B_2", "2020-01-06"), "collection": "X"}
    with provider(geodes([geodes_item("S2B_1", "2020-01-06"), unknown])) as running:
        describe("geodes", running.url, **{"s2-maja": S2})
        assert collections(catalog="essai")["licence"].to_dict() == {"s2-maja": "etalab-2.0", "X": "other"}
        assert {i.licence for i in search(catalog="essai")} == {"etalab-2.0", None}


def test_a_busy_geodes_is_asked_again(describe):
    with provider(busy(geodes([geodes_item("S2B_1", "2020-01-06")]))) as running:
        describe("geodes", running.url)
        assert len(search(catalog="essai")) == 1
        assert len(running.requests) == 2


def test_hydroweb_is_asked_with_the_users_key_and_the_labs_name(describe, monkeypatch):
    items = [regards_item("SWOT_1", "2024-05-02"), regards_item("SWOT_2", "2024-06-02")]
    with provider(regards(items, "CLEF")) as running:
        at = replace(find_provider("hydroweb"), hosts=(urlsplit(running.url).netloc,))
        monkeypatch.setattr("earthlab.catalog.signing.configured.load_providers", lambda: {"hydroweb": at})
        forget_signers()
        describe("regards", running.url, words='account = "key"\nsigner = "hydroweb"', swot="SWOT_L2_HR_Raster_100m")
        with pytest.raises(NotAllowed, match=r"only with a key of your own.*HYDROWEB_API_KEY"):
            search("swot", catalog="essai")
        assert not running.requests
        monkeypatch.setenv("HYDROWEB_API_KEY", "CLEF")
        found = search("swot", time="2024-05", catalog="essai")
    assert [(i.id, f"{i.start:%Y-%m-%d}") for i in found] == [("SWOT_1", "2024-05-02")]
    assert [(band.asset, band.kind) for band in found[0].bands] == [("SWOT_1.nc", "netcdf")]
    assert found[0].licence == "etalab-2.0"
    assert "CLEF" not in repr(found) + found.to_json()
    assert not list(Path.home().rglob("*.sqlite"))  # nothing is kept of what a key opened
    forget_signers()


def test_a_filter_is_refused_by_a_service_without_cql2(describe):
    with provider(geodes([geodes_item("S2B_1", "2020-01-06")])) as running:
        describe("geodes", running.url)
        with pytest.raises(BadRequest, match="does not implement the Filter Extension"):
            search(filter="eo:cloud_cover < 5", catalog="essai")
