"""The question: one canonical form, JSON and code that ask it again, and what it refuses."""

import ast
import json

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import earthlab as el
from earthlab.catalog import Query, make_query
from earthlab.catalog.places import resolve_place
from earthlab.catalog.themes import resolve_theme
from earthlab.errors import BadRequest
from earthlab.types import BBox

HOSTILE = st.sampled_from(
    ["'", '"', "'); import os #", "\n", "\\", "\\'", "__import__('os')", "a,b", "é", "</script>", "\u2028", "{x}", " "]
)
IDS = st.text(min_size=1, max_size=8) | HOSTILE
BOXES = st.builds(
    lambda w, e, a, b: BBox(w, min(a, b), e, max(a, b)),
    st.floats(-180, 180), st.floats(-180, 180), st.floats(-90, 90), st.floats(-90, 90),
)  # fmt: skip
POINTS = st.builds(shapely.Point, st.floats(-180, 180), st.floats(-90, 90))
PROPERTIES = st.from_regex(r"[A-Za-z_:][A-Za-z0-9_:.\-]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"created", "updated", "datetime"}
)
VALUES = IDS | st.booleans() | st.floats(-1e6, 1e6)
COMPARISONS = (
    VALUES
    | st.lists(VALUES, min_size=1, max_size=3)
    | st.tuples(st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "in"]), VALUES).map(
        lambda pair: (pair[0], [pair[1]]) if pair[0] == "in" else pair
    )
    | st.lists(st.tuples(st.sampled_from(["<", ">="]), VALUES), min_size=1, max_size=2)
)
PERIODS = st.sampled_from(["2018", "2018-07", "2018-01-01/2019", ("2018", None), "2018-07-08T10:50:00.123456Z/.."])


@st.composite
def questions(draw):
    where = draw(st.sampled_from(["bbox", "geometry", "place", None]))
    places = st.sampled_from(["Bouconne", "toulouse", "34172", "Saint-Denis (Réunion)", "l'Hérault", "Fidji"])
    words = {"bbox": BOXES, "geometry": POINTS, "place": places}
    return make_query(
        *draw(st.lists(IDS, max_size=3)),
        **({where: draw(words[where])} if where else {}),
        time=draw(st.none() | PERIODS),
        ids=draw(st.lists(IDS, max_size=3)),
        max_cloud=draw(st.none() | st.floats(0, 100) | st.integers(0, 100)),
        filter=draw(st.none() | IDS.filter(lambda text: text.strip())),
        limit=draw(st.none() | st.integers(1, 10**9)),
        platform=draw(st.lists(IDS, max_size=2)),
        instrument=draw(st.lists(IDS, max_size=2)),
        where=draw(st.none() | st.dictionaries(PROPERTIES, COMPARISONS, max_size=2)),
    )


def ask(code: str) -> Query:
    """Run the one call of the code with `make_query` in the place of `el.search`; nothing else may be in it."""
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert ast.unparse(call.func) == "el.search"
    names = {ast.unparse(node) for node in ast.walk(call) if isinstance(node, ast.Name | ast.Attribute)}
    assert names <= {"el", "el.search", "el.types", "el.types.BBox"}

    class Door:
        search = staticmethod(make_query)
        types = el.types

    return eval(code, {"__builtins__": {}}, {"el": Door})


@settings(max_examples=200, deadline=None)
@given(questions())
def test_a_question_survives_json_and_code(query):
    assert Query.from_json(query.to_json()) == query
    assert ask(query.to_code()) == query
    assert "\n" not in query.to_code()
    assert Query.from_json(query.to_json()).token == query.token == ask(query.to_code()).token


def test_questions_of_before_the_new_words_keep_their_tokens():
    """Links and shared cubes carry them; computed by the version before platform=, instrument=, where=, theme=."""
    assert make_query("theia-n3a", place="Bouconne", time="2018", max_cloud=40).token == "a8ede15c6d22e080371c"
    assert make_query(bbox=(1, 43, 2, 44), ids=["a", "b"], filter="gsd < 10", limit=5).token == "e9331596b9d4dd2d17f3"


def test_what_is_asked_of_servers_is_one_cql2_text():
    asked = make_query(filter="a = 1 OR b = 2", where={"view:off_nadir": ("<", 10), "x": "y"})
    assert asked.to_cql2() == '(a = 1 OR b = 2) AND "view:off_nadir" < 10 AND "x" = \'y\''
    assert make_query(filter="a = 1").to_cql2() == "a = 1"
    assert make_query(where={"gsd": 10}).to_cql2() == '"gsd" = 10'
    assert make_query().to_cql2() is None


def test_the_code_of_comparisons_reads_as_they_were_typed():
    asked = make_query("c", platform="sentinel-2", instrument=["msi"], where={"a": ("<", 1), "b": [(">", 1), ("<", 5)]})
    assert asked.to_code() == (
        "el.search('c', platform=('sentinel-2',), instrument=('msi',), "
        "where={'a': ('<', 1.0), 'b': [('<', 5.0), ('>', 1.0)]})"
    )


def test_a_theme_is_the_collections_that_have_it():
    asked = make_query(theme="neige")
    assert asked.collections == resolve_theme("neige") != ()
    assert asked.to_code() == "el.search(theme='neige')"
    assert Query.from_json(asked.to_json()) == asked == ask(asked.to_code())
    assert asked.without("theme") == make_query()
    assert asked.without("collections") == make_query()


def test_a_theme_and_a_collection_are_those_that_are_both():
    name = resolve_theme("neige")[0]
    asked = make_query(name, "anything-else", theme="neige")
    assert asked.collections == (name,)
    assert ask(asked.to_code()) == asked == Query.from_json(asked.to_json())
    with pytest.raises(BadRequest, match="theme: none of anything-else has 'neige'; those that have: "):
        make_query("anything-else", theme="neige")


def test_a_link_cannot_put_a_theme_on_other_collections():
    text = json.dumps({"theme": "neige", "collections": ["anything-else"]})
    assert Query.from_json(text) == make_query("anything-else")
    assert Query.from_json('{"theme": "not a theme at all", "collections": ["x"]}') == make_query("x")


@given(questions(), questions())
def test_tokens_are_equal_exactly_where_questions_are(one, other):
    assert (one.token == other.token) == (one == other)


def test_the_code_of_a_place_says_the_place():
    assert make_query("theia-n3a", place="bouconne", time="2018").to_code() == (
        "el.search('theia-n3a', time='2018-01-01T00:00:00Z/2018-12-31T23:59:59Z', place='bouconne')"
    )


def test_a_link_cannot_put_a_known_name_on_another_box():
    text = json.dumps({"place": "Bouconne", "bbox": [0, 0, 1, 1]})
    assert Query.from_json(text) == make_query(bbox=(0, 0, 1, 1))


def test_a_link_may_leave_what_can_be_looked_up_to_the_lab():
    assert Query.from_json('{"place": "Bouconne"}') == make_query(place="Bouconne")
    assert Query.from_json('{"theme": "neige"}') == make_query(theme="neige")


def test_one_id_may_be_given_as_text():
    assert make_query(collections="theia-n3a", ids="x") == make_query("theia-n3a", ids=["x"])
    assert make_query("a", "a", collections=["a", "b"]).collections == ("a", "b")


def test_a_feature_a_mapping_and_a_shape_are_the_same_geometry():
    shape = shapely.box(1, 43, 2, 44)
    feature = {"type": "Feature", "properties": {}, "geometry": shape.__geo_interface__}
    assert make_query(geometry=shape) == make_query(geometry=feature) == make_query(geometry=shape.__geo_interface__)


def test_without_a_box_the_place_is_gone_too():
    assert make_query(place="Bouconne", limit=3).without("bbox") == make_query(limit=3)


def test_the_table_escapes_what_was_asked():
    shown = make_query("<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"bbox": (1, 2, 3, 4), "place": "Bouconne"}, "bbox and place were given; they all say where"),
        ({"bbox": (3, 2, 1, 4)}, "west 3.0 is east of east 1.0"),
        ({"place": "Bouconn"}, "not in the lab's gazetteer. Nearest: Bouconne"),
        ({"place": 31}, "place: 31 is not in"),
        ({"time": "2019/2018"}, "before it begins"),
        ({"time": 2018}, "found 2018, expected"),
        ({"max_cloud": 101}, "percentage from 0 to 100"),
        ({"max_cloud": float("nan")}, "percentage"),
        ({"max_cloud": True}, "percentage"),
        ({"max_cloud": "40"}, "percentage"),
        ({"limit": 0}, "whole number of items"),
        ({"limit": 1.5}, "whole number of items"),
        ({"limit": True}, "whole number of items"),
        ({"ids": [3]}, "found 3, expected a name as text"),
        ({"ids": [""]}, "expected a name as text"),
        ({"ids": 3}, "expected text or a list of texts"),
        ({"collections": 3}, "expected text or a list of texts"),
        ({"filter": {"op": "="}}, "expected CQL2 text"),
        ({"filter": " "}, "expected CQL2 text"),
        ({"theme": " "}, "theme: found ' ', expected a word"),
        ({"theme": 3}, "theme: found 3, expected a word"),
        ({"platform": 3}, "platform: found 3, expected text or a list of texts"),
        ({"platform": [""]}, "platform: found ''"),
        ({"instrument": [None]}, "instrument: found None"),
        ({"where": "gsd < 10"}, "where: found 'gsd < 10', expected properties"),
        ({"where": {"x y": 1}}, "where: 'x y' cannot be the name"),
        ({"place": "Saint-Denis"}, "'Saint-Denis' is the name of 4 places"),
        ({"geometry": "POINT (1 2)"}, "not a GeoJSON geometry"),
        ({"geometry": {"type": "Pointe", "coordinates": [1, 2]}}, "not a GeoJSON geometry"),
        ({"geometry": {"type": "Feature", "geometry": None}}, "not a GeoJSON geometry"),
        ({"geometry": shapely.Point()}, "Mend it"),
        ({"geometry": shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])}, "Self-intersection.*make_valid"),
        ({"geometry": shapely.Point(300_000, 4_890_000)}, "outside -180…180"),
        ({"geometry": shapely.Point(float("nan"), 1)}, "geometry|bbox"),
    ],
)
def test_a_word_that_cannot_be_meant_is_refused(words, message):
    with pytest.raises(BadRequest, match=message):
        make_query(**words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "found list, expected an object"),
        ('{"cloud": 3}', "not a document of Query.to_json"),
        ('{"bbox": [1]}', "not a document of Query.to_json"),
        ('{"bbox": 5}', "not a document of Query.to_json"),
        ('{"names": ["x"]}', "not a document of Query.to_json"),
        ('{"time": "x"}', "expected"),
        ('{"where": [1]}', "where: found"),
        ('{"theme": 3}', "theme: found 3"),
        ('{"place": "Bouconn"}', "not in the lab's gazetteer"),
        ('{"where": {"a": [["~", 3]]}}', "where: a in"),
    ],
)
def test_a_text_that_is_no_question_is_refused(text, message):
    with pytest.raises(BadRequest, match=message):
        Query.from_json(text)


@pytest.mark.parametrize("name", ["Bouconne", "bouconne", "  BOUCONNE ", "boúconne"])
def test_places_are_found_whatever_their_accents_and_case(name):
    assert resolve_place(name) == BBox(1.17, 43.60, 1.30, 43.69)
