"""A provider with a known dialect is a descriptor and no code."""

import pytest

from earthlab.catalog import catalogs, collections, make_query, search
from earthlab.catalog.dialects import open_catalogue
from earthlab.errors import BadRequest
from earthlab.testing.dialects import geodes, geodes_item
from earthlab.testing.providers import catalogue, fixed, item, json_answer, provider, unreachable_url


def test_adding_a_provider_takes_a_descriptor_and_no_code(describe):
    with provider(catalogue([item("un"), item("deux", properties={"datetime": "2019-01-01T00:00:00Z"})])) as running:
        describe("stac", running.url, **{"mon-essai": "essai"})
        found = search("mon-essai", time="2018", catalog="essai")
        row = catalogs().loc["essai", ["kind", "pole", "dialect", "state"]]
        assert row.tolist() == ["provider", "essai", "stac", "open"]
        assert catalogs(check=True).loc["essai", "state"] == "answers"
        table = collections()
        assert table.loc["mon-essai", ["where", "pole", "licence"]].tolist() == ["essai", "essai", "etalab-2.0"]
    assert [(i.id, i.collection, i.licence) for i in found] == [("un", "mon-essai", "etalab-2.0")]


def test_the_providers_own_name_of_a_collection_is_understood_too(describe):
    with provider(catalogue([item("un")])) as running:
        describe("stac", running.url, **{"mon-essai": "essai"})
        assert [i.collection for i in search("essai", catalog="essai")] == ["mon-essai"]
        with pytest.raises(BadRequest, match=r"has no collection 'esai'. Nearest: mon-essai"):
            search("esai", catalog="essai")


def test_an_address_that_a_descriptor_has_is_spoken_to_in_its_dialect(describe):
    with provider(geodes([geodes_item("S2B", "2020-01-06")])) as running:
        describe("geodes", running.url)
        assert len(search(catalog=running.url.rstrip("/"))) == 1


def test_an_address_is_overridden_by_the_settings(describe, monkeypatch):
    with provider(catalogue([item("un")])) as running:
        describe("stac", "https://essai.example/stac")
        monkeypatch.setenv("EARTHLAB__CATALOGUE__ENDPOINTS", f"essai={running.url}")
        assert open_catalogue("essai").url == running.url
        assert len(search(catalog=running.url)) == 1


def test_a_name_that_no_descriptor_has_is_refused_with_the_nearest(describe):
    describe("stac", "https://essai.example/stac")
    with pytest.raises(BadRequest, match=r"expected the id of an endpoint.*Nearest: essai"):
        search(catalog="esai")


@pytest.mark.parametrize(
    ("dialect", "words", "state"),
    [
        ("portal", "", "portal"),
        ("geodes", 'account = "key"', "key wanted"),
        ("csw", "", "open"),
    ],
)
def test_the_state_of_an_endpoint_is_known_without_asking_it(describe, dialect, words, state):
    describe(dialect, "https://essai.example/", words=words)
    assert catalogs().loc["essai", "state"] == state


def test_a_sign_of_life_is_any_answer_that_is_not_a_fault(describe):
    with provider(fixed(json_answer({}, 404))) as there, provider(fixed(json_answer({}, 500))) as broken:
        for url, state in ((there.url, "answers"), (broken.url, "silent"), (unreachable_url(), "silent")):
            describe("csw", url)
            assert catalogs(check=True).loc["essai", "state"] == state


def test_signatures_and_wrong_licences_do_not_come_through(describe):
    signed = {
        "href": "https://x.example/b4.tif?X-Amz-Signature=abc&X-Amz-Date=1",
        "type": "image/tiff",
        "roles": ["data"],
    }
    licence = {"rel": "license", "href": "https://wrong.example"}
    with provider(catalogue([item("un", assets={"B4": signed}, links=[licence])])) as running:
        describe("stac", running.url, **{"mon-essai": "essai"})
        api = open_catalogue("essai")
        (document,) = api.documents(make_query("mon-essai"), None)
    assert document["assets"]["B4"]["href"] == "https://x.example/b4.tif"
    assert document["properties"]["license"] == "etalab-2.0"
    assert document["links"] == []
