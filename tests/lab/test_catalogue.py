"""From a page's question to rows, to what a cube would cost, and to the cell that opens it."""

import ast
import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earthlab.catalog import Query, norm_item
from earthlab.cube.words import CubeWords, render_cell
from earthlab.testing.providers import catalogue, fixed, item, json_answer, landing, provider, slow
from earthlab_lab.questions import ROW, parse_question, render_row

BAND = {
    "type": "image/tiff; application=geotiff; profile=cloud-optimized",
    "roles": ["data"],
    "proj:code": "EPSG:32631",
    "proj:shape": [1000, 1000],
    "proj:transform": [10, 0, 500_000, 0, -10, 4_900_000],
    "data_type": "uint16",
}


def scene(name, day="2018-07-08", **properties):
    """A document of an item of two bands, whose files nobody reads."""
    return item(
        name,
        bbox=[3.0, 44.1, 3.13, 44.25],
        geometry={"type": "Polygon", "coordinates": [[[3, 44.1], [3.13, 44.1], [3.1, 44.25], [3, 44.25], [3, 44.1]]]},
        properties={"datetime": f"{day}T10:50:00Z", "eo:cloud_cover": 20, "platform": "sentinel-2a", **properties},
        assets={
            name: {**BAND, "href": f"https://example.org/{name}.tif", "bands": [{"name": name, "eo:common_name": name}]}
            for name in ("red", "nir")
        },
    )


@pytest.fixture
def listening(bare_environment, monkeypatch):
    """Has the lab's catalogue behave so."""

    def listen(running):
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", running.url)
        monkeypatch.setenv("EARTHLAB__CATALOGUE__RETRIES", "1")

    return listen


def test_rows_come_in_parts_and_end_with_their_number(ask, listening):
    with provider(catalogue([scene(f"s{at}", f"2018-07-{at + 1:02}") for at in range(30)], page=20)) as running:
        listening(running)
        lines = ask("POST", "search", {"question": {"collections": ["essai"]}}).lines
    assert sum(len(line.get("rows", ())) for line in lines) == 30
    assert [line["outcome"]["state"] for line in lines if "outcome" in line] == ["answered"]
    assert lines[-1] == {"done": 30}
    row = lines[0]["rows"][0]
    assert (row["endpoint"], row["platform"], row["cloud"]) == ("lab", "sentinel-2a", 20)
    assert row["bbox"] == [3.0, 44.1, 3.13, 44.25]
    assert row["ring"][0] == row["ring"][-1]


def test_a_catalogue_that_is_down_or_talks_nonsense_says_why_in_its_outcome(ask, listening):
    with provider(fixed((503, "text/plain", b"maintenance"))) as running:
        listening(running)
        lines = ask("POST", "search", {"question": {"collections": ["essai"]}}).lines
    outcome = lines[0]["outcome"]
    assert outcome["state"] == "failed"
    assert "503" in outcome["message"]
    assert lines[-1] == {"done": 0}


def test_a_slow_catalogue_leaves_the_server_free_for_others(ask, listening, jp_fetch, jp_asyncio_loop, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CATALOGUE__PATIENCE", "1")
    with provider(slow(catalogue([scene("s")]), 1.5)) as running:
        listening(running)

        async def both():
            searching = asyncio.ensure_future(
                jp_fetch("earthlab", "search", method="POST", body='{"question": {"collections": ["essai"]}}')
            )
            other = await jp_fetch("earthlab", "places", params={"text": "Toul"})
            return searching.done(), json.loads(other.body), await searching

        early, places, answer = jp_asyncio_loop.run_until_complete(both())
    assert not early
    assert places[0]["label"].startswith("Toulouse")
    assert b'"slow"' in answer.body


HOSTILE = '"); import os; os.system("true") #<script>alert(1)</script>\u202e\n\r\\'


def test_what_a_hostile_catalogue_says_is_text_and_cut_to_a_length_that_can_be_read(ask, listening):
    ring = [[3 + at / 1e5, 44 + (at % 7) / 1e3] for at in range(40_000)]
    documents = [
        scene("s" * 5000, title=HOSTILE * 200),
        {**scene(HOSTILE), "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}},
        {**scene("big"), "properties": {**scene("big")["properties"], "filler": "x" * 10_000_000}},
        {**scene("odd"), "geometry": {"type": "Polygon", "coordinates": "none"}},
    ]
    with provider(catalogue(documents)) as running:
        listening(running)
        lines = ask("POST", "search", {"question": {"collections": ["essai"]}}).lines
    rows = [row for line in lines for row in line.get("rows", ())]
    assert lines[-1]["done"] == len(rows)
    assert len(rows) >= 2
    assert len(json.dumps(lines)) < 50_000
    assert {row["title"] for row in rows} >= {(HOSTILE * 200)[:300]}


@given(
    ring=st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=3, max_size=200),
    title=st.text(max_size=2000),
)
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_a_row_has_its_form_whatever_the_outline(ring, title):
    from jsonschema import Draft202012Validator

    document = scene("s", title=title)
    document["geometry"] = {"type": "Polygon", "coordinates": [[*map(list, ring), list(ring[0])]]}
    Draft202012Validator(ROW).validate(render_row(norm_item(document), "lab"))


def test_the_drawer_is_told_what_there_is_to_choose_and_what_it_costs(ask, listening, monkeypatch):
    monkeypatch.setenv("EARTHLAB_SERVER_MEMORY", str(2**31))
    with provider(catalogue([scene("s1"), scene("s2", "2018-08-01")])) as running:
        listening(running)
        asked = {"question": {"collections": ["essai"]}, "cube": {"bands": ["red"], "resolution": 20}}
        choices = ask("POST", "choices", {**asked, "cube": {}}).said
        plan = ask("POST", "plan", asked).said
        searches = sum(request.path == "/search" for request in running.requests)
    assert choices["items"] == 2
    assert [band["name"] for band in choices["bands"]][:2] == ["red", "nir"]
    assert choices["resolution"] == 10
    assert choices["crs"] == ["EPSG:32631"]
    assert (plan["items"], plan["dates"], plan["limit"]) == (2, 2, 2**31)
    assert plan["bytes"] == 4 * 2 * 500 * 500
    assert [band["name"] for band in plan["bands"]] == ["red"]
    assert searches == 1


def test_a_plan_that_cannot_be_is_refused_with_what_there_is(ask, listening):
    with provider(catalogue([scene("s1")])) as running:
        listening(running)
        refused = ask("POST", "plan", {"question": {"collections": ["essai"]}, "cube": {"bands": ["swir"]}})
        empty = ask("POST", "plan", {"question": {"collections": ["essai"], "ids": ["other"]}, "cube": {}})
    assert (refused.status, refused.said["code"]) == (400, "BadRequest")
    assert "'swir'" in refused.said["message"]
    assert (empty.status, empty.said["code"]) == (404, "NothingFound")


def test_the_cell_is_python_that_asks_the_same_and_carries_the_question(ask):
    question = {"collections": ["theia-n3a"], "time": "2018", "max_cloud": 40.0}
    cube = {"bands": ["red", "nir"], "resolution": 10, "mask": None, "share": True}
    cell = ask("POST", "cell", {"question": question, "cube": cube, "catalogue": "geodes"}).said
    assert cell["code"] == (
        "import earthlab as el\n\n"
        "items = el.search('theia-n3a', time='2018-01-01T00:00:00Z/2018-12-31T23:59:59Z', max_cloud=40.0, "
        "catalog='geodes')\n"
        "cube = el.open(items, bands=['red', 'nir'], resolution=10, mask=None, share=True)\n"
        "cube"
    )
    assert Query.from_json(json.dumps(cell["metadata"]["earthlab"]["query"])) == parse_question(question)


NAMES = st.text(min_size=1, max_size=40) | st.sampled_from([HOSTILE, "'", '"""', "\\", "{x}", "\N{LINE SEPARATOR}"])


@given(
    collections=st.lists(NAMES, max_size=3),
    platforms=st.lists(NAMES, max_size=2),
    bands=st.lists(NAMES, max_size=3),
    mask=NAMES,
    crs=NAMES,
    catalogue_=st.none() | NAMES,
)
def test_nothing_that_anybody_named_escapes_the_literals_of_the_cell(
    collections, platforms, bands, mask, crs, catalogue_
):
    query = Query(collections=tuple(dict.fromkeys(collections)), platform=tuple(dict.fromkeys(platforms)))
    words = CubeWords(bands=tuple(bands), mask=mask, crs=crs)
    tree = ast.parse(render_cell(query, words, catalogue_))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [ast.unparse(call.func) for call in calls] == ["el.search", "el.open"]
    assert [type(node).__name__ for node in tree.body] == ["Import", "Assign", "Assign", "Expr"]
    search, opening = calls
    assert [ast.literal_eval(name) for name in search.args] == list(query.collections)
    keywords = {each.arg: ast.literal_eval(each.value) for each in (*search.keywords, *opening.keywords)}
    assert keywords.get("catalog") == catalogue_
    assert keywords.get("crs") == crs
    assert keywords.get("bands", []) == bands


def test_what_the_drawer_chooses_is_understood_by_the_library():
    words = CubeWords.from_dict({"bands": ["red"], "group_by": "month", "mask": "auto"})
    assert words.to_plan() == {"bands": ("red",), "group_by": "month"}
    assert CubeWords.from_dict({"share": True}).to_open() == {"share": True}
    with pytest.raises(Exception, match="resolutoin"):
        CubeWords.from_dict({"resolutoin": 10})


def test_the_vocabulary_names_what_the_lab_holds_and_says_so_where_it_is_silent(ask, listening):
    with provider(catalogue([scene("s")])) as running:
        listening(running)
        told = ask("GET", "vocabulary").said
    assert told["silent"] is None
    assert "essai" in {each["id"] for each in told["collections"]}
    assert {each["id"] for each in told["poles"]} >= {"theia", "aeris", "odatis", "formater", "pndb"}
    with provider(
        lambda request: json_answer(landing(request.root)) if request.path == "/" else (500, "", b"")
    ) as running:
        listening(running)
        told = ask("GET", "vocabulary").said
    assert "500" in told["silent"]
    assert told["collections"]
