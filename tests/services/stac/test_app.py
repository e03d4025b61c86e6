"""The STAC API: what it answers, what it refuses by name, and that nothing answers without a token."""

import json
import re
from urllib.parse import parse_qsl, urlsplit

import pystac
import pytest
from fastapi.routing import APIRoute

from earthlab.services.stac.answers import LARGEST_BODY
from earthlab.services.stac.app import create_app
from earthlab.services.stac.description import CONFORMANCE
from earthlab.services.stac.store import Store
from earthlab.services.stac.words import SEARCH_WORDS
from earthlab.testing.stac import one_token
from tests.services.stac.conftest import TOKEN, Client

BOUCONNE = [1.2, 43.6, 1.3, 43.7]
GETS = (
    "/",
    "/conformance",
    "/api",
    "/api.html",
    "/queryables",
    "/aggregations",
    "/aggregate",
    "/collections",
    "/collections/theia-n3a",
    "/collections/theia-n3a/queryables",
    "/collections/theia-n3a/aggregations",
    "/collections/theia-n3a/aggregate",
    "/collections/theia-n3a/items",
    "/collections/theia-n3a/items/theia-n3a-bouconne-20180708",
    "/search",
)


def _ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [feature["id"] for feature in answer.json()["features"]]


def _refusal(answer, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"code", "description"}
    assert "Traceback" not in answer.text
    return answer.json()["description"]


def _link(document: dict, rel: str, method: str | None = None) -> dict:
    (found,) = [ln for ln in document["links"] if ln["rel"] == rel and method in {None, ln.get("method")}]
    return found


def test_the_landing_page_is_a_catalogue_that_states_its_conformance(client):
    document = client.get("/").json()
    assert document["conformsTo"] == list(CONFORMANCE) == client.get("/conformance").json()["conformsTo"]
    assert {"https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"} <= set(CONFORMANCE)
    assert pystac.Catalog.from_dict(document).id == "earthlab"
    for rel in ("self", "root", "conformance", "data", "service-desc"):
        assert client.get(_link(document, rel)["href"]).status_code == 200
    assert {_link(document, "search", m)["href"] for m in ("GET", "POST")} == {"http://lab.example:8000/search"}
    assert [ln["href"].rsplit("/")[-1] for ln in document["links"] if ln["rel"] == "child"] == [
        "theia-n3a",
        "simulation-s2-l2a",
    ]


def test_collections_are_stac_collections_with_the_extent_of_their_items(client):
    documents = client.get("/collections").json()["collections"]
    assert [d["id"] for d in documents] == ["theia-n3a", "simulation-s2-l2a"]
    for document in documents:
        collection = pystac.Collection.from_dict(document)
        assert collection.license
        assert collection.providers
        assert client.get(_link(document, "self")["href"]).json() == document
        for item in client.get(_link(document, "items")["href"], params={"limit": 100}).json()["features"]:
            west, south, east, north = collection.extent.spatial.bboxes[0]
            assert west <= item["bbox"][0] <= item["bbox"][2] <= east
            assert south <= item["bbox"][1] <= item["bbox"][3] <= north


def test_items_are_stac_items_whose_links_lead_back(client):
    item = client.get("/collections/theia-n3a/items/theia-n3a-bouconne-20180708").json()
    assert pystac.Item.from_dict(item).collection_id == "theia-n3a"
    assert client.get(_link(item, "self")["href"]).json() == item
    assert client.get(_link(item, "collection")["href"]).json()["id"] == "theia-n3a"


def test_the_description_names_every_parameter_and_route(client):
    answer = client.get("/api")
    assert answer.headers["content-type"].startswith("application/vnd.oai.openapi+json")
    paths = answer.json()["paths"]
    assert set(paths) == {
        "/",
        "/conformance",
        "/api",
        "/api.html",
        "/queryables",
        "/aggregations",
        "/aggregate",
        "/collections",
        "/collections/{collection_id}",
        "/collections/{collection_id}/aggregate",
        "/collections/{collection_id}/aggregations",
        "/collections/{collection_id}/items",
        "/collections/{collection_id}/items/{item_id}",
        "/collections/{collection_id}/queryables",
        "/search",
    }
    words = {parameter["name"] for parameter in paths["/search"]["get"]["parameters"]}
    assert words == set(SEARCH_WORDS)
    for path in ("/search", "/aggregate"):
        body = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(body["properties"]) == {p["name"] for p in paths[path]["get"]["parameters"]}
        assert body["additionalProperties"] is False
    for path, operations in paths.items():
        for operation in operations.values():
            named = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert {"200", "400", "401", "403", "404", "503"} <= set(operation["responses"])


def test_get_and_post_find_the_same(client):
    shape = {"type": "Point", "coordinates": [1.23, 43.65]}
    for said in (
        {"collections": ["theia-n3a"], "datetime": "2018-07-01T00:00:00Z/2018-08-31T00:00:00Z"},
        {"bbox": BOUCONNE, "limit": 3},
        {"intersects": shape, "collections": ["theia-n3a", "simulation-s2-l2a"], "limit": 50},
        {"ids": ["theia-n3a-bouconne-20180708", "simulation-s2-l2a-20220714"]},
    ):
        query = {
            word: json.dumps(value)
            if word == "intersects"
            else ",".join(map(str, value))
            if isinstance(value, list)
            else value
            for word, value in said.items()
        }
        by_get, by_post = client.get("/search", params=query), client.post("/search", json=said)
        assert _ids(by_get) == _ids(by_post) != []
        assert by_get.json()["numberMatched"] == by_post.json()["numberMatched"]


def test_answers_are_latest_first(client):
    found = client.get("/search?limit=100").json()["features"]
    times = [feature["properties"]["datetime"] for feature in found]
    assert times == sorted(times, reverse=True)
    assert len(times) == 35


@pytest.mark.parametrize("limit", [1, 2, 7, 34, 35, 36])
def test_following_next_by_query_gives_everything_once(client, limit):
    seen, href = [], f"/search?limit={limit}&bbox=1.2,43.6,1.3,43.7"
    while href:
        page = client.get(href).json()
        assert page["numberMatched"] == 35
        assert page["numberReturned"] == len(page["features"]) <= limit
        seen += [feature["id"] for feature in page["features"]]
        href = next((ln["href"] for ln in page["links"] if ln["rel"] == "next"), None)
    assert len(seen) == len(set(seen)) == 35


@pytest.mark.parametrize("limit", [1, 5, 7, 8])
def test_following_next_by_body_gives_everything_once(client, limit):
    seen, body = [], {"collections": ["theia-n3a"], "limit": limit}
    while body:
        page = client.post("/search", json=body).json()
        seen += [feature["id"] for feature in page["features"]]
        following = next((ln for ln in page["links"] if ln["rel"] == "next"), None)
        assert following is None or (following["method"], following["merge"]) == ("POST", False)
        body = following and following["body"]
    assert len(seen) == len(set(seen)) == 7


def test_following_next_within_a_collection_gives_everything_once(client):
    seen, href = [], "/collections/theia-n3a/items?limit=3&datetime=2018-05-01T00:00:00Z/.."
    while href:
        page = client.get(href).json()
        seen += [feature["id"] for feature in page["features"]]
        href = next((ln["href"] for ln in page["links"] if ln["rel"] == "next"), None)
    assert len(seen) == len(set(seen)) == 6


@pytest.mark.parametrize("word", ["offset", "q", "sort", "page", "crs", "aggregations", "filter_lang"])
def test_what_is_not_implemented_is_a_400_that_names_it_and_lists_the_known(client, word):
    known = ", ".join(SEARCH_WORDS)
    for answer in (client.get("/search", params={word: "x"}), client.post("/search", json={word: "x"})):
        said = _refusal(answer, 400)
        assert repr(word) in said
        assert known in said


@pytest.mark.parametrize("path", GETS)
def test_no_route_ignores_an_unknown_parameter(client, path):
    assert "'colour'" in _refusal(client.get(path, params={"colour": "red"}), 400)
    assert "'ids'" in _refusal(client.get("/collections/theia-n3a/items?ids=a"), 400)
    assert "'colour'" in _refusal(client.post("/search?colour=red", json={}), 400)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "limit=1.5",
        "limit=-1",
        "bbox=1,2,3",
        "bbox=a,b,c,d",
        "ids=",
        "datetime=2018",
        "token=x",
        "intersects=7",
        "limit=1&limit=2",
        "bbox=1e999,0,1,1",
    ],
)
def test_a_value_that_is_not_understood_is_a_400_that_names_the_word(client, query):
    assert query.partition("=")[0] in _refusal(client.get(f"/search?{query}"), 400)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"limit": NaN}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_400(client, body):
    assert "bbox, collections" in _refusal(client.post("/search", content=body), 400)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client):
    said = _refusal(client.post("/search", content=b" " * (LARGEST_BODY + 1)), 413)
    assert str(LARGEST_BODY) in said


def test_unknown_names_are_404_with_the_nearest(client):
    assert "Nearest: theia-n3a" in _refusal(client.get("/collections/theia-n3b"), 404)
    assert "Nearest: theia-n3a" in _refusal(client.get("/collections/theia-n3b/items"), 404)
    assert "theia-n3a" in _refusal(client.get("/collections/theia-n3a/items/nothing"), 404)
    assert "Known: /" in _refusal(client.get("/nowhere"), 404)
    assert "DELETE" in _refusal(client.request("DELETE", "/search"), 405)


@pytest.mark.parametrize(
    "text",
    ["' OR 1=1 --", "'; DROP TABLE x; --", "theia-n3a' UNION SELECT * FROM read_csv('/etc/passwd') --", "%", "$table"],
)
def test_attempts_to_write_sql_find_nothing(client, text):
    assert _ids(client.post("/search", json={"ids": [text]})) == []
    assert _ids(client.post("/search", json={"collections": [text]})) == []
    for said in ({"datetime": text}, {"bbox": [text] * 4}, {"limit": text}, {"token": text}):
        _refusal(client.post("/search", json=said), 400)
    assert client.get(f"/collections/{text.replace('/', '%2F')}").status_code == 404


@pytest.mark.parametrize("path", ["/collections/..%2f..%2fetc", "/collections/%00", "/collections/", "/search/"])
def test_odd_paths_find_nothing(client, path):
    assert client.get(path).status_code == 404


def test_the_items_of_a_collection_may_name_it_again_but_no_other(client):
    assert len(_ids(client.get("/collections/theia-n3a/items?collections=theia-n3a"))) == 7
    said = _refusal(client.get("/collections/theia-n3a/items?collections=simulation-s2-l2a"), 400)
    assert "is about theia-n3a only" in said


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "token",
        "token ",
        "Basic abc",
        "token wrong",
        "Bearer wrong",
        f"{TOKEN}",
        f"token {TOKEN}x",
        f"token {TOKEN} {TOKEN}",
        f"token\t{TOKEN}",
    ],
)
def test_no_route_answers_without_a_known_token(store, authorization):
    app = create_app(store, one_token(TOKEN), prefix="/services/stac")
    paths = {(method, route.path) for route in app.routes if isinstance(route, APIRoute) for method in route.methods}
    assert len(paths) == 18
    client = Client(app)
    for method, path in paths | {
        ("GET", "/nowhere"),
        ("OPTIONS", "/services/stac/search"),
        ("HEAD", "/services/stac/"),
    }:
        filled = path.format(collection_id="theia-n3a", item_id="theia-n3a-bouconne-20180708")
        answer = client.request(method, filled, headers={"Authorization": authorization})
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_route_is_one_of_ours(store):
    app = create_app(store, one_token(TOKEN))
    assert all(isinstance(route, APIRoute) for route in app.routes)


def test_bearer_is_as_good_as_token(client):
    assert client.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_links_behind_the_proxy_carry_prefix_host_and_scheme(store):
    client = Client(create_app(store, one_token(TOKEN), prefix="/services/stac/"))
    headers = {"Host": "lab.data-terra.example", "X-Forwarded-Proto": "https,http"}
    root = "https://lab.data-terra.example/services/stac"
    landing = client.get("/services/stac/", headers=headers).json()
    assert _link(landing, "self")["href"] == f"{root}/"
    assert landing == client.get("/services/stac", headers=headers).json()
    for path in ("search?limit=1", "collections", "collections/theia-n3a", "collections/theia-n3a/items?limit=1"):
        text = client.get(f"/services/stac/{path}", headers=headers).text
        hrefs = [ln["href"] for ln in _all_links(json.loads(text))]
        assert hrefs
        assert all(href.startswith(root) for href in hrefs if "github" not in href)


def _all_links(value) -> list[dict]:
    if isinstance(value, list):
        return [ln for part in value for ln in _all_links(part)]
    if not isinstance(value, dict):
        return []
    return [ln for key, part in value.items() for ln in (part if key == "links" else _all_links(part))]


@pytest.mark.parametrize(
    "host", ["evil.example/x", "a b", "x@evil.example", "evil.example?", '"><script>', "", "a" * 300, "ü"]
)
def test_a_host_that_is_no_host_is_refused(client, host):
    for path in GETS:
        assert "Host header" in _refusal(client.get(path, headers={"Host": host.encode()}), 400)


def test_forwarded_hosts_and_odd_schemes_are_not_believed(client):
    headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "X-Forwarded-Proto": "javascript"}
    document = client.get("/", headers=headers).json()
    assert {urlsplit(ln["href"]).netloc for ln in document["links"]} == {"lab.example:8000"}
    assert {urlsplit(ln["href"]).scheme for ln in document["links"]} == {"http"}


LOW = {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 20]}


def test_filters_in_text_and_json_by_get_and_post_find_the_same(client):
    by_text = _ids(client.get("/search", params={"filter": "eo:cloud_cover <= 20", "limit": 100}))
    asked = {"filter": json.dumps(LOW), "filter-lang": "cql2-json", "limit": 100}
    assert _ids(client.get("/search", params=asked)) == by_text
    assert _ids(client.post("/search", json={"filter": LOW, "limit": 100})) == by_text
    words = {"filter": "eo:cloud_cover <= 20", "filter-lang": "cql2-text", "limit": 100}
    assert _ids(client.post("/search", json=words)) == by_text
    assert _ids(client.post("/search", json={"query": {"eo:cloud_cover": {"lte": 20}}, "limit": 100})) == by_text
    assert 0 < len(by_text) < 35
    within = client.get("/collections/theia-n3a/items", params={"filter": "eo:cloud_cover <= 20"})
    assert _ids(within) == [name for name in by_text if name.startswith("theia")]


def _walk(client, href=None, body=None) -> list[dict]:
    pages = []
    while href or body:
        page = (client.post("/search", json=body) if body else client.get(href)).json()
        pages.append(page)
        following = next((ln for ln in page["links"] if ln["rel"] == "next"), None)
        href, body = (following and not body and following["href"], following and following.get("body"))
    return pages


def test_pages_keep_filter_order_and_fields(client):
    asked = (
        "sortby=-properties.eo:cloud_cover,%2Bid&filter=eo:cloud_cover%3C90&fields=properties.eo:cloud_cover&limit=4"
    )
    by_get = _walk(client, href=f"/search?{asked}")
    body = {
        "sortby": [{"field": "eo:cloud_cover", "direction": "desc"}, {"field": "id", "direction": "asc"}],
        "filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 90]},
        "fields": {"include": ["properties.eo:cloud_cover"]},
        "limit": 4,
    }
    by_post = _walk(client, body=body)
    found = [feature for page in by_get for feature in page["features"]]
    assert found == [feature for page in by_post for feature in page["features"]]
    assert len(found) == by_get[0]["numberMatched"] > 8
    order = [(-feature["properties"]["eo:cloud_cover"], feature["id"]) for feature in found]
    assert order == sorted(order)
    assert {frozenset(feature) for feature in found} == {
        frozenset({"type", "stac_version", "id", "collection", "properties"})
    }


def test_a_page_of_another_order_is_refused(client):
    page = client.get("/search?limit=2&sortby=id").json()
    token = dict(parse_qsl(urlsplit(_link(page, "next")["href"]).query))["token"]
    assert "belongs to another search" in _refusal(client.get(f"/search?limit=2&sortby=-id&token={token}"), 400)
    assert "belongs to another search" in _refusal(client.get(f"/search?limit=2&token={token}"), 400)


@pytest.mark.parametrize("path", ["", "/collections/simulation-s2-l2a"])
def test_queryables_are_a_schema_where_the_link_says(client, path):
    link = _link(client.get(path or "/").json(), "http://www.opengis.net/def/rel/ogc/1.0/queryables")
    answer = client.get(link["href"])
    assert answer.headers["content-type"] == link["type"] == "application/schema+json"
    schema = answer.json()
    assert schema["$id"] == link["href"]
    assert {"geometry", "id", "datetime", "eo:cloud_cover"} <= set(schema["properties"])


def test_counts_are_where_the_links_say(client):
    landing = client.get("/").json()
    offered = client.get(_link(landing, "aggregations")["href"]).json()["aggregations"]
    names = [one["name"] for one in offered]
    where = _link(landing, "aggregate", "GET")["href"]
    said = {"aggregations": ",".join(names), "filter": "eo:cloud_cover <= 20"}
    by_get = client.get(where, params=said).json()
    by_post = client.post(where, json={"aggregations": names, "filter": LOW}).json()
    assert by_get == by_post
    assert [one["name"] for one in by_get["aggregations"]] == names
    total = client.get("/search", params={"filter": "eo:cloud_cover <= 20"}).json()["numberMatched"]
    assert by_get["aggregations"][0]["value"] == total
    theia = _link(client.get("/collections/theia-n3a").json(), "aggregate")["href"]
    (counted,) = client.get(theia, params={"aggregations": "collection_frequency"}).json()["aggregations"]
    assert [(bucket["key"], bucket["frequency"]) for bucket in counted["buckets"]] == [("theia-n3a", 7)]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("aggregations", "sum"), ("datetime_frequency_interval", "hour"), ("sortby", "id"), ("limit", 3),
        ("token", "x"), ("filter", "colour = 1"),
    ],
)  # fmt: skip
def test_what_counts_do_not_understand_is_refused_by_name(client, word, value):
    assert word in _refusal(client.get("/aggregate", params={word: value}), 400)
    assert word in _refusal(client.get("/collections/theia-n3a/aggregate", params={word: value}), 400)
    assert word in _refusal(client.post("/aggregate", json={word: value}), 400)


def test_the_description_can_be_read_by_people(client):
    page = client.get("/api.html")
    assert page.headers["content-type"].startswith("text/html")
    assert "GET /collections/{collection_id}/items" in page.text
    assert "<script" not in page.text


@pytest.fixture(scope="module")
def called_from_a_page(store):
    return Client(create_app(store, one_token(TOKEN), origins=("https://carte.example",)))


PREFLIGHT = {
    "Origin": "https://carte.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
    "Authorization": "",
}


def test_a_browser_may_ask_without_a_token_whether_its_page_may_call(called_from_a_page):
    answer = called_from_a_page.request("OPTIONS", "/search", headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://carte.example"
    assert {"GET", "POST"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers


def test_pages_of_known_origins_may_read_and_others_may_not(called_from_a_page, client):
    mine = called_from_a_page.get("/", headers={"Origin": "https://carte.example"})
    assert mine.headers["access-control-allow-origin"] == "https://carte.example"
    for origin in ("https://evil.example", "https://carte.example.evil.example", "null", "http://carte.example"):
        other = called_from_a_page.get("/", headers={"Origin": origin})
        assert "access-control-allow-origin" not in other.headers
        refused = called_from_a_page.request("OPTIONS", "/search", headers={**PREFLIGHT, "Origin": origin})
        assert refused.status_code == 400
    assert "access-control-allow-origin" not in client.get("/", headers={"Origin": "https://carte.example"}).headers


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE", "OPTIONS"])
def test_nothing_but_a_browsers_question_is_answered_without_a_token(called_from_a_page, method):
    headers = {"Origin": "https://carte.example", "Authorization": ""}
    assert called_from_a_page.request(method, "/search", headers=headers).status_code == 401


class _Broken(Store):
    def find(self, search):
        raise RuntimeError("a secret detail")


def test_a_failure_of_our_own_is_a_500_without_its_cause(catalogue):
    answer = Client(create_app(_Broken(catalogue), one_token(TOKEN))).get("/search")
    assert "secret" not in _refusal(answer, 500)
