"""Searching catalogues that behave, and above all those that do not."""

import json
import time
from contextlib import contextmanager

import pytest
import shapely

import earthlab as el
from earthlab.catalog import catalogs, collections, make_query, run_query, search
from earthlab.catalog.dialects import open_catalogue
from earthlab.errors import (
    AskLess,
    BadRequest,
    CatalogueUnavailable,
    EarthlabError,
    NotAllowed,
    NothingFound,
)
from earthlab.settings import load_settings
from earthlab.testing.providers import (
    catalogue,
    collection,
    fixed,
    fixed_after_landing,
    item,
    json_answer,
    landing,
    provider,
    silent_provider,
    unreachable_url,
)

HTML = (200, "text/html", b"<html><title>Maintenance</title></html>")


@pytest.fixture(autouse=True)
def impatient(bare_environment, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CATALOGUE__TIMEOUT", "0.5")
    monkeypatch.setenv("EARTHLAB__CATALOGUE__RETRIES", "1")


@contextmanager
def refusal(kind, words, *, within: float = 60.0):
    began = time.monotonic()
    with pytest.raises(EarthlabError, match=words) as caught:
        yield
    assert type(caught.value) is kind
    assert time.monotonic() - began < within


def dated(name: str, day: str, *, cloud: float = 20, west: float = 1.0, of: str = "essai") -> dict:
    return item(
        name,
        collection=of,
        bbox=[west, 43.0, west + 1, 44.0],
        geometry=shapely.box(west, 43.0, west + 1, 44.0).__geo_interface__,
        properties={"datetime": f"{day}T10:50:00Z", "eo:cloud_cover": cloud},
    )


STOCK = [
    dated("juin", "2018-06-08", cloud=80),
    dated("juillet", "2018-07-08", cloud=10),
    dated("aout", "2018-08-08", cloud=30, west=5.0),
    dated("autre", "2019-01-01", of="autre"),
]


def test_the_items_come_in_order_of_time_with_their_question():
    with provider(catalogue(STOCK[::-1], page=1)) as stac:
        found = search("essai", catalog=stac.url)
        assert [i.id for i in found] == ["juin", "juillet", "aout"]
        assert (found.query, found.catalogue) == (make_query("essai"), stac.url)
        assert [i.id for i in search("essai", time="2018-07", catalog=stac.url)] == ["juillet"]
        assert [i.id for i in search("essai", bbox=(5.2, 43, 5.5, 44), catalog=stac.url)] == ["aout"]
        assert [i.id for i in search("essai", ids="juin", catalog=stac.url)] == ["juin"]
        assert len(search(catalog=stac.url)) == 4
        assert len(run_query(make_query("essai", limit=2), catalog=stac.url)) == 2


def test_the_cloud_limit_counts_before_the_limit_of_items():
    with provider(catalogue(STOCK)) as stac:
        assert [i.id for i in search("essai", max_cloud=30, limit=1, catalog=stac.url)] == ["juillet"]


def test_an_item_without_cloud_cover_is_kept():
    unknown = item("un", properties={"datetime": "2018-07-08T10:50:00Z"})
    with provider(catalogue([unknown])) as stac:
        assert len(search("essai", max_cloud=0, catalog=stac.url)) == 1


def test_an_item_without_geometry_is_an_item():
    bare = item("un", geometry=None)
    with provider(fixed_after_search([bare])) as stac:
        assert search(catalog=stac.url)[0].geometry is None


def fixed_after_search(features):
    return fixed_after_landing(json_answer({"type": "FeatureCollection", "features": features, "links": []}))


EMPTY = [
    ({"time": "2020"}, r"time=2020-01-01T00:00:00Z/2020-12-31T23:59:59Z empties the search"),
    ({"bbox": (-10, 43, -9, 44)}, r"bbox=\[-10.0, 43.0, -9.0, 44.0\] empties the search"),
    ({"ids": "absent"}, r"ids=\['absent'\] empties the search"),
    ({"max_cloud": 5}, r"max_cloud=5.0 empties the search"),
    ({"time": "2018-07", "max_cloud": 5}, r"max_cloud=5.0 empties the search"),
    ({"place": "Toulouse", "time": "2018-08"}, r"bbox=Toulouse or time=.* empties the search"),
    ({"place": "Toulouse", "time": "2020"}, r"time=.* empties the search"),
    ({"time": "2020", "max_cloud": 5}, r"time, max_cloud empty the search together. Leave out two"),
]


@pytest.mark.parametrize(("words", "message"), EMPTY)
def test_an_empty_search_names_the_filter_that_emptied_it(words, message):
    with provider(catalogue(STOCK)) as stac, refusal(NothingFound, message):
        search("essai", catalog=stac.url, **words)


def test_an_empty_catalogue_says_that_it_holds_nothing():
    with provider(fixed_after_search([])) as stac, refusal(NothingFound, "holds no item at all.*el.collections"):
        search(time="2018", catalog=stac.url)


def test_an_unknown_collection_is_refused_with_the_nearest():
    with provider(catalogue(STOCK)) as stac, refusal(BadRequest, r"has no collection 'esai'\. Nearest: essai"):
        search("esai", catalog=stac.url)


def test_an_unknown_collection_is_refused_where_the_catalogue_has_no_collection_pages():
    def behave(request):
        root = {**landing(request.root), "conformsTo": [c for c in landing("")["conformsTo"] if "item-search" in c]}
        child = {"rel": "child", "href": f"{request.root}collections/essai", "type": "application/json"}
        root["links"].append(child)
        return json_answer(root) if request.path == "/" else json_answer(collection("essai"))

    with provider(behave) as stac, refusal(BadRequest, r"has no collection 'esai'\. Nearest: essai"):
        search("esai", catalog=stac.url)


MISBEHAVING = [
    pytest.param(fixed(HTML), CatalogueUnavailable, "answered nonsense: expected STAC JSON", id="html"),
    pytest.param(fixed((200, "application/json", b"{")), CatalogueUnavailable, "nonsense", id="half-json"),
    pytest.param(fixed((200, "application/json", b"\xff\xfe")), CatalogueUnavailable, "reached|nonsense", id="bytes"),
    pytest.param(fixed(json_answer({"hello": 1})), CatalogueUnavailable, "nonsense", id="json-not-stac"),
    pytest.param(fixed(json_answer([1, 2])), CatalogueUnavailable, "nonsense", id="json-list"),
    pytest.param(fixed(json_answer(None)), CatalogueUnavailable, "nonsense", id="json-null"),
    pytest.param(fixed(json_answer({"collections": []})), CatalogueUnavailable, "nonsense", id="collection-list"),
    pytest.param(fixed(json_answer(collection("x"))), CatalogueUnavailable, "nonsense|not a STAC API", id="collection"),
    pytest.param(fixed(json_answer({}, 500)), CatalogueUnavailable, "answered 500", id="500"),
    pytest.param(fixed(json_answer({}, 503)), CatalogueUnavailable, "answered 503|cannot be reached", id="503"),
    pytest.param(fixed(json_answer({}, 404)), CatalogueUnavailable, "answered 404", id="404"),
    pytest.param(fixed(json_answer({}, 401)), NotAllowed, r"refuses this sign-in \(401\)", id="401"),
    pytest.param(fixed(json_answer({}, 403)), NotAllowed, r"refuses this sign-in \(403\)", id="403"),
    pytest.param(fixed_after_landing(HTML), CatalogueUnavailable, "nonsense", id="html-later"),
    pytest.param(fixed_after_landing(json_answer({}, 403)), NotAllowed, "403", id="403-later"),
    pytest.param(
        fixed_after_landing(json_answer({"code": "x", "description": "intersects is not implemented"}, 400)),
        BadRequest,
        "refuses the search: intersects is not implemented",
        id="400-with-description",
    ),
    pytest.param(fixed_after_landing(json_answer("x", 400)), BadRequest, "refuses the search", id="400-without"),
    pytest.param(fixed_after_search(["x"]), CatalogueUnavailable, "nonsense|not a STAC Item", id="features-are-text"),
    pytest.param(fixed_after_search([{"id": "un"}]), CatalogueUnavailable, "not a STAC Item", id="item-of-nothing"),
    pytest.param(
        fixed_after_landing(json_answer({"features": "abc", "links": []})),
        CatalogueUnavailable,
        "nonsense",
        id="features-is-text",
    ),
    pytest.param(
        catalogue(STOCK, page=1, next_page=lambda _: 0),
        CatalogueUnavailable,
        "twice: its paging is broken",
        id="endless",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("behave", "kind", "words"), MISBEHAVING)
def test_a_misbehaving_catalogue_ends_in_a_refusal_of_our_own(behave, kind, words):
    with provider(behave) as stac, refusal(kind, words):
        search(catalog=stac.url)


def test_a_catalogue_that_is_down_is_said_to_be():
    with refusal(CatalogueUnavailable, "cannot be reached. Check that the service runs"):
        search(catalog=unreachable_url())


def test_a_host_that_does_not_exist_is_said_not_to_answer():
    with refusal(CatalogueUnavailable, "cannot be reached|did not answer"):
        search(catalog="http://catalogue.invalid/")


def test_a_catalogue_that_never_answers_is_left_after_the_timeout():
    with silent_provider() as stac, refusal(CatalogueUnavailable, r"did not answer within 0.5 s.*TIMEOUT", within=5):
        search(catalog=stac.url)


def test_a_collection_list_that_never_ends_is_left():
    def behave(request):
        link = {"rel": "next", "href": f"{request.root}collections", "type": "application/json"}
        page = {"collections": [collection("essai")], "links": [link]}
        return json_answer(landing(request.root) if request.path == "/" else page)

    with provider(behave) as stac, refusal(CatalogueUnavailable, "listed collection 'essai' twice"):
        collections(catalog=stac.url)


def test_retries_are_bounded():
    with provider(fixed(json_answer({}, 503))) as stac:
        with pytest.raises(CatalogueUnavailable):
            search(catalog=stac.url)
        assert len(stac.requests) == 2


@pytest.mark.parametrize("url", ["catalogue", "file:///etc/passwd", "/etc/passwd", "ftp://x/"])
def test_an_address_that_is_none_is_refused(url):
    with refusal(BadRequest, "expected the .*http"):
        search(catalog=url)


def test_without_any_catalogue_the_way_to_one_is_told():
    with refusal(CatalogueUnavailable, "EARTHLAB__CATALOGUE__URL"):
        search("essai")


def test_a_filter_is_refused_where_the_catalogue_does_not_implement_it():
    with provider(catalogue(STOCK)) as stac, refusal(BadRequest, "does not implement the Filter Extension"):
        search("essai", filter="eo:cloud_cover < 5", catalog=stac.url)


def test_too_many_items_are_refused(monkeypatch):
    monkeypatch.setattr("earthlab.catalog.dialects.documents.MOST_ITEMS", 2)
    with provider(catalogue(STOCK)) as stac, refusal(AskLess, "more than 2 items. Narrow"):
        search("essai", catalog=stac.url)


def authorised(stac) -> set[str | None]:
    return {r.headers.get("Authorization") for r in stac.requests}


def test_the_hubs_token_goes_to_the_labs_catalogue(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "SECRET")
    with provider(catalogue(STOCK)) as stac:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", stac.url)
        search("essai")
        search("essai", catalog=stac.url.rstrip("/"))
        assert authorised(stac) == {"Bearer SECRET"}


def test_the_hubs_token_stays_with_the_hubs_services_though_the_lab_searches_elsewhere(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "SECRET")
    with provider(catalogue(STOCK)) as pgstac:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", pgstac.url)
        monkeypatch.setenv("EARTHLAB_SERVICES", "http://127.0.0.1:8000/services")
        assert len(search("essai")) > 0
        assert authorised(pgstac) == {None}
        monkeypatch.setenv("EARTHLAB_SERVICES", pgstac.url)
        search("essai", ids=["juin"])
        assert "Bearer SECRET" in authorised(pgstac)


def test_the_hubs_token_goes_nowhere_else(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "SECRET")
    with provider(catalogue(STOCK)) as lab, provider(catalogue(STOCK)) as other:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", lab.url)
        search("essai", catalog=other.url)
        assert authorised(other) == {None}


def test_the_hubs_token_does_not_follow_a_link_to_another_host(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "SECRET")
    with provider(catalogue(STOCK)) as other:

        def behave(request):
            return json_answer(landing(request.root, search=f"{other.url}search"))

        with provider(behave) as lab:
            monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", lab.url)
            assert len(search()) == 4
            assert authorised(lab) == {"Bearer SECRET"}
        assert authorised(other) == {None}


def test_neither_token_nor_password_shows_in_a_refusal(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "SECRET")
    with provider(fixed(json_answer({}, 500))) as stac:
        url = stac.url.replace("//", "//user:SECRET@")
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", url)
        with pytest.raises(CatalogueUnavailable) as caught:
            search(catalog=url + "?key=SECRET")
        assert "SECRET" not in str(caught.value)


def test_the_tables_list_what_the_catalogue_holds(monkeypatch):
    with provider(catalogue([dated("un", "2018-07-08", of="theia-n3a"), *STOCK])) as stac:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", stac.url)
        table = collections()
        assert set(table.index[table["where"] == "lab"]) == {"theia-n3a", "essai", "autre"}
        assert table.loc["theia-n3a", ["pole", "licence"]].tolist() == ["theia", "etalab-2.0"]
        assert "theia-n3a" in collections(pole="theia").index
        assert not {"essai", "autre"} & set(collections(pole="theia").index)
        assert "theia-n3a" in collections(theme="Végét").index
        assert catalogs().loc["theia", "in_stock"] == 1
        with refusal(BadRequest, "pole: 'teia' is not known. Nearest: theia"):
            collections(pole="teia")
        with refusal(NothingFound, "theme: no collection has 'scorbut'"):
            collections(theme="scorbut")


def test_one_open_catalogue_answers_many_questions():
    with provider(catalogue(STOCK)) as stac:
        api = open_catalogue(stac.url, load_settings())
        assert api.has_collection("essai")
        assert not api.has_collection("absent")
        assert len(list(api.documents(make_query("essai"), None))) == 3
        json.dumps(api.collections())


def test_what_is_found_can_be_cited():
    with provider(catalogue([dated("un", "2018-07-08", of="theia-n3a"), *STOCK])) as stac:
        lines = el.cite(search(catalog=stac.url)).splitlines()
    assert lines[0].startswith("Collection autre.")
    assert lines[-1].endswith("Licence : etalab-2.0. 1 items.")
    assert "N. Karasiak" in el.cite("theia-n3a")
    with pytest.raises(BadRequest, match="found int without a citation"):
        el.cite(3)
