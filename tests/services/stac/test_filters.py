"""CQL2: against a plain evaluation in Python, in text and in JSON alike; and how what is not implemented is refused."""

import json
import operator
import re
from datetime import datetime, timedelta

import cql2
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.stac.filters import DEEPEST_PARENTHESES, MOST_TEXT, compile_filter, parse_filter
from earthlab.services.stac.search import parse_search
from earthlab.services.stac.store import Store
from tests.services.stac.made import EPOCH, MADE, text, write_made

MOMENTS = ("datetime", "start_datetime", "end_datetime", "created")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Store:
    return Store(write_made(tmp_path_factory.mktemp("filters")))


def found(store: Store, **said) -> set[str]:
    page = store.find(parse_search({**said, "limit": 1000}))
    assert page.matched == len(page.items)
    return {item["id"] for item in page.items}


def by_text(store: Store, words: str) -> set[str]:
    return found(store, **{"filter": words, "filter-lang": "cql2-text"})


def where(test) -> set[str]:
    return {item["id"] for item in MADE if test(item)}


# A plain evaluation, with None for unknown as SQL has it.

COMPARE = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def value_of(item, operand):
    if isinstance(operand, dict) and "property" in operand:
        name = operand["property"]
        value = item[name] if name in {"id", "collection"} else item["properties"].get(name)
        return datetime.fromisoformat(value) if value and name in MOMENTS else value
    if isinstance(operand, dict) and "timestamp" in operand:
        return datetime.fromisoformat(operand["timestamp"])
    if isinstance(operand, dict):
        values = [value_of(item, arg) for arg in operand["args"]]
        if None in values:
            return None
        if operand["op"] == "casei":
            return values[0].lower()
        return {"+": operator.add, "-": operator.sub, "*": operator.mul}[operand["op"]](*values)
    return operand


def evaluate(item, tree):  # noqa: PLR0911 - one for each kind of condition
    if isinstance(tree, bool):
        return tree
    op, args = tree["op"], tree["args"]
    if op == "not":
        inner = evaluate(item, args[0])
        return None if inner is None else not inner
    if op in {"and", "or"}:
        values, decides = [evaluate(item, arg) for arg in args], op == "or"
        return decides if decides in values else None if None in values else not decides
    if op == "isNull":
        return value_of(item, args[0]) is None
    if op == "in":
        value = value_of(item, args[0])
        return None if value is None else value in args[1]
    values = [value_of(item, arg) for arg in args]
    if None in values:
        return None
    if op == "between":
        return values[1] <= values[0] <= values[2]
    if op == "like":
        parts = re.findall(r"\\.|.", values[1], re.DOTALL)
        signs = {"%": ".*", "_": "."}
        return bool(re.fullmatch("".join(signs.get(p) or re.escape(p[-1]) for p in parts), values[0], re.DOTALL))
    return COMPARE[op](*values)


def prop(name):
    return {"property": name}


_numbers = st.one_of(st.integers(-5, 105), st.floats(-5, 105))
_number_props = st.sampled_from(["eo:cloud_cover", "gsd", "sat:relative_orbit"]).map(prop)
_terms = st.recursive(
    st.one_of(_numbers, _number_props),
    lambda inner: st.builds(
        lambda op, a, b: {"op": op, "args": [a, b]}, st.sampled_from(["+", "-", "*"]), inner, inner
    ),
    max_leaves=3,
)
_texts = st.sampled_from(["sentinel-2a", "SENTINEL-2A", "SPOT_5", "one", "l'autre", "item-004", "", "%", "é"])
_text_props = st.sampled_from(["platform", "collection", "id", "grid:code"]).map(prop)
_text_terms = st.one_of(_text_props, _text_props.map(lambda p: {"op": "casei", "args": [p]}))
_patterns = st.lists(
    st.sampled_from(["%", "_", "\\%", "\\_", "\\\\", "sentinel", "2", "-", "S", "é", "item"]), max_size=4
)
_times = st.integers(-2, 50).map(lambda day: {"timestamp": text(EPOCH + timedelta(days=day))})
_time_props = st.sampled_from(MOMENTS).map(prop)
_comparisons = st.sampled_from(sorted(COMPARE))


def call(op, *args):
    return st.tuples(op if isinstance(op, st.SearchStrategy) else st.just(op), *args).map(
        lambda parts: {"op": parts[0], "args": list(parts[1:])}
    )


_conditions = st.recursive(
    st.one_of(
        call(_comparisons, _terms, _terms),
        call(_comparisons, _text_terms, _texts),
        call(_comparisons, _time_props, _times),
        call("between", _number_props, _numbers, _numbers),
        call("in", _text_props, st.lists(_texts, min_size=1, max_size=4)),
        call("in", _number_props, st.lists(_numbers, min_size=1, max_size=4)),
        call("like", _text_terms, _patterns.map("".join)),
        call("isNull", st.one_of(_number_props, _text_props, _time_props, st.just(prop("instruments")))),
        st.booleans(),
    ),
    lambda inner: st.one_of(
        call("not", inner),
        st.builds(
            lambda op, args: {"op": op, "args": args},
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=2, max_size=3),
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_conditions)
def test_a_filter_finds_what_a_plain_evaluation_finds(made, tree):
    wanted = tree if isinstance(tree, dict) else {"op": "and", "args": [tree]}
    assert found(made, filter=wanted) == where(lambda item: evaluate(item, tree) is True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_conditions.filter(lambda tree: not isinstance(tree, bool)))
def test_text_and_json_find_the_same(made, tree):
    words = cql2.parse_json(json.dumps(tree)).to_text()
    again = cql2.parse_text(words).to_json() if _reads_back(words) else None
    if again is not None:
        assert by_text(made, words) == found(made, filter=again)


def _reads_back(words: str) -> bool:
    try:
        cql2.parse_text(words)
    except cql2.ParseError:
        return False
    return words.count("(") <= DEEPEST_PARENTHESES


SHAPE = {"type": "Polygon", "coordinates": [[[-60, -60], [60, -60], [0, 60], [-60, -60]]]}
WKT = "POLYGON((-60 -60, 60 -60, 0 60, -60 -60))"
AREA = shapely.geometry.shape(SHAPE)


@pytest.mark.parametrize(
    ("op", "compare"),
    [
        ("s_intersects", lambda g: g.intersects(AREA)),
        ("s_disjoint", lambda g: g.disjoint(AREA)),
        ("s_within", lambda g: g.within(AREA)),
        ("s_overlaps", lambda g: g.overlaps(AREA)),
        ("s_crosses", lambda g: g.crosses(AREA)),
        ("s_touches", lambda g: g.touches(AREA)),
        ("s_contains", lambda g: g.contains(AREA)),
        ("s_equals", lambda g: g.equals(AREA)),
    ],
)
def test_geometries_are_compared_exactly(made, op, compare):
    expected = where(lambda item: compare(shapely.geometry.shape(item["geometry"])))
    assert found(made, filter={"op": op, "args": [prop("geometry"), SHAPE]}) == expected
    assert by_text(made, f"{op.upper()}(geometry, {WKT})") == expected
    negated = {"op": "not", "args": [{"op": op, "args": [prop("geometry"), SHAPE]}]}
    assert found(made, filter=negated) == where(lambda item: item["id"] not in expected)


def test_a_geometry_may_come_first_and_is_then_the_one_that_contains(made):
    item = MADE[3]
    point = shapely.geometry.mapping(shapely.geometry.shape(item["geometry"]).centroid)
    holding = found(made, filter={"op": "s_contains", "args": [prop("geometry"), point]})
    assert item["id"] in holding
    assert found(made, filter={"op": "s_within", "args": [point, prop("geometry")]}) == holding
    same = {"op": "s_equals", "args": [prop("geometry"), item["geometry"]]}
    assert found(made, filter=same) == {item["id"]}


def test_boxes_are_shapes_too_and_may_cross_the_antimeridian(made):
    box = {"bbox": [150, -80, -150, 80]}
    expected = found(made, bbox=box["bbox"])
    assert found(made, filter={"op": "s_intersects", "args": [prop("geometry"), box]}) == expected != set()


def test_several_shapes_are_joined_as_asked(made):
    east, west = ({"bbox": [0, -90, 180, 90]}, {"bbox": [-180, -90, 0, 90]})
    tests = [{"op": "s_within", "args": [prop("geometry"), side]} for side in (east, west)]
    both = {"op": "or", "args": tests}
    neither = where(lambda item: item["bbox"][0] < 0 < item["bbox"][2])
    assert found(made, filter=both) == where(lambda item: item["id"] not in neither)
    assert found(made, filter={"op": "and", "args": tests}) == set()
    narrowed = {"filter": both, "collections": ["one"], "bbox": [-180, -90, 180, 0]}
    assert found(made, **narrowed) == found(made, filter=both) & found(
        made, collections=["one"], bbox=[-180, -90, 180, 0]
    )


SPAN = (EPOCH + timedelta(days=5), EPOCH + timedelta(days=9))


def times_of(item) -> tuple[datetime, datetime]:
    said = item["properties"]
    begins = said.get("start_datetime") or said["datetime"]
    return datetime.fromisoformat(begins), datetime.fromisoformat(said.get("end_datetime") or begins)


@pytest.mark.parametrize(
    ("op", "compare"),
    [
        ("t_after", lambda a, b, c, d: a > d),
        ("t_before", lambda a, b, c, d: b < c),
        ("t_disjoint", lambda a, b, c, d: b < c or a > d),
        ("t_intersects", lambda a, b, c, d: a <= d and b >= c),
        ("t_during", lambda a, b, c, d: a > c and b < d),
        ("t_contains", lambda a, b, c, d: a < c and b > d),
        ("t_equals", lambda a, b, c, d: (a, b) == (c, d)),
        ("t_starts", lambda a, b, c, d: a == c and b < d),
        ("t_startedBy", lambda a, b, c, d: a == c and b > d),
        ("t_finishes", lambda a, b, c, d: a > c and b == d),
        ("t_finishedBy", lambda a, b, c, d: a < c and b == d),
        ("t_meets", lambda a, b, c, d: b == c),
        ("t_metBy", lambda a, b, c, d: a == d),
        ("t_overlaps", lambda a, b, c, d: a < c < b < d),
        ("t_overlappedBy", lambda a, b, c, d: c < a < d < b),
    ],
)
def test_times_are_compared_as_intervals(made, op, compare):
    interval = {"interval": [text(moment) for moment in SPAN]}
    expected = where(lambda item: compare(*times_of(item), *SPAN))
    assert found(made, filter={"op": op, "args": [prop("datetime"), interval]}) == expected
    words = f"{op.upper()}(datetime, INTERVAL('{interval['interval'][0]}', '{interval['interval'][1]}'))"
    assert by_text(made, words) == expected


def test_intervals_may_be_open_made_of_properties_or_days(made):
    late = where(lambda item: times_of(item)[1] >= SPAN[0])
    assert by_text(made, f"T_INTERSECTS(datetime, INTERVAL('{text(SPAN[0])}', '..'))") == late
    whole = "T_INTERSECTS(datetime, INTERVAL('2020-01-06', '2020-01-06'))"
    assert by_text(made, whole) == by_text(made, "T_INTERSECTS(datetime, DATE('2020-01-06'))")
    of_properties = "T_DURING(INTERVAL(start_datetime, end_datetime), INTERVAL('..', '2020-01-20'))"
    expected = where(lambda item: "start_datetime" in item["properties"] and times_of(item)[1].day < 21)
    assert by_text(made, of_properties) == expected != set()
    assert by_text(made, "T_AFTER(created, TIMESTAMP('2020-02-10T00:00:00Z'))") == where(
        lambda item: item["properties"].get("created", "") > "2020-02-10T00:00:00Z"
    )


def test_a_text_beside_an_instant_is_one(made):
    expected = where(lambda item: (item["properties"]["datetime"] or "") > "2020-01-10T12:00:00Z")
    assert by_text(made, "datetime > '2020-01-10T12:00:00Z'") == expected
    assert by_text(made, "datetime > TIMESTAMP('2020-01-10T12:00:00Z')") == expected


@pytest.mark.parametrize(
    ("op", "compare"),
    [
        ("a_contains", lambda a, b: a >= b),
        ("a_containedBy", lambda a, b: a <= b),
        ("a_equals", lambda a, b: a == b),
        ("a_overlaps", lambda a, b: bool(a & b)),
    ],
)
@pytest.mark.parametrize("names", [["msi"], ["msi", "hrg"], ["none"], ["msi", "none"]])
def test_lists_are_compared_as_sets(made, op, compare, names):
    def test(item):
        said = item["properties"].get("instruments")
        return said is not None and compare(set(said), set(names))

    assert found(made, filter={"op": op, "args": [prop("instruments"), names]}) == where(test)


def test_the_bounds_of_between_may_be_a_list(made):
    listed = found(made, filter={"op": "between", "args": [prop("gsd"), [15, 25]]})
    assert listed == found(made, filter={"op": "between", "args": [prop("gsd"), 15, 25]}) != set()


def test_accents_and_case_may_be_ignored(made):
    plain = where(lambda item: item["properties"].get("platform") == "Pléiades 50%")
    assert by_text(made, "CASEI(ACCENTI(platform)) = CASEI(ACCENTI('PLEIADES 50%'))") == plain != set()
    assert by_text(made, "CASEI(platform) LIKE CASEI('PLÉIADES 50\\%')") == plain


@pytest.mark.parametrize("words", ["gsd / 0 > 1", "gsd % 0 = 0", "gsd div 0 < 1", "(0 - gsd) ^ 0.5 > 0"])
def test_what_cannot_be_computed_holds_for_nothing(made, words):
    assert by_text(made, words) == by_text(made, f"NOT ({words})") == set()


def test_division_and_powers_are_computed(made):
    words = "gsd / 4 = 2.5 AND gsd div 4 = 2 AND gsd % 4 = 2 AND gsd ^ 2 = 100"
    assert by_text(made, words) == by_text(made, "gsd = 10") != set()


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        ({"op": "soundex", "args": [prop("id")]}, "'soundex'"),
        ({"op": "=", "args": [{"op": "avg", "args": [prop("gsd")]}, 1]}, "'avg'"),
        ({"op": "=", "args": [prop("colour"), 1]}, "'colour'"),
        ({"op": "=", "args": [prop("properties.colour"), 1]}, "'properties.colour'"),
        ({"op": "=", "args": [prop("gsd"), "ten"]}, "number with text"),
        ({"op": "=", "args": [prop("datetime"), "yesterday"]}, "'yesterday'"),
        ({"op": "<", "args": [prop("instruments"), "msi"]}, "a_contains"),
        ({"op": "=", "args": [prop("geometry"), "x"]}, "s_intersects"),
        ({"op": "=", "args": [prop("gsd")]}, "'=' has 1 args"),
        ({"op": "=", "args": [prop("gsd"), None]}, "None"),
        ({"op": "=", "args": [prop("gsd"), True]}, "True"),
        ({"op": "=", "args": [prop("gsd"), 10**400]}, "a number that can be compared"),
        ({"op": "=", "args": [prop(7), 1]}, "'7'"),
        ({"op": "=", "args": [{"date": "2020-13-01"}, 1]}, "2020-13-01"),
        ({"op": "not", "args": []}, "'not' has 0 args"),
        ({"op": "and", "args": []}, "one condition or more"),
        ({"op": "and", "args": "x"}, "a list of args"),
        ({"op": "in", "args": [prop("gsd"), []]}, "a list of values"),
        ({"op": "in", "args": [prop("gsd"), 7]}, "a list of values"),
        ({"op": "like", "args": [prop("platform"), prop("id")]}, "'like'"),
        ({"op": "like", "args": [prop("gsd"), "1%"]}, "'like'"),
        ({"op": "like", "args": [prop("platform"), "a\\"]}, "does not end with the sign of escape"),
        ({"op": "casei", "args": [prop("gsd")]}, "'casei'"),
        ({"op": "isNull", "args": [7]}, "a property"),
        ({"op": "a_contains", "args": [prop("platform"), ["x"]]}, "a property that is a list"),
        ({"op": "a_contains", "args": [prop("instruments"), [7]]}, "a list of texts"),
        ({"op": "s_intersects", "args": [prop("geometry"), prop("geometry")]}, "'s_intersects'"),
        ({"op": "s_intersects", "args": [prop("gsd"), SHAPE]}, "'s_intersects'"),
        ({"op": "s_intersects", "args": [prop("geometry"), {"type": "Circle"}]}, "Circle"),
        ({"op": "s_intersects", "args": [prop("geometry"), {"bbox": [1, 2]}]}, "filter: bbox"),
        ({"op": "t_after", "args": [prop("gsd"), {"date": "2020-01-01"}]}, "a timestamp"),
        ({"op": "t_after", "args": [prop("datetime"), {"interval": ["x"]}]}, "an interval"),
        ({"op": "t_after", "args": [prop("datetime"), {"interval": [7, 8]}]}, "a timestamp"),
        ({"op": "t_after", "args": [prop("datetime"), {"timestamp": 7}]}, "RFC 3339"),
        ({"op": "t_after", "args": [prop("datetime"), {"op": "casei", "args": ["x"]}]}, "a timestamp"),
        ({"op": 7, "args": []}, "a comparison"),
        ({"property": "gsd"}, "a comparison"),
        ("gsd", "a comparison"),
        ([], "a comparison"),
        (None, "a comparison"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tree, named):
    with pytest.raises(BadRequest, match=r"^filter: ") as refusal:
        compile_filter({"op": "and", "args": [tree]})
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "gsd =",
        "gsd = 1)",
        "(gsd = 1",
        "gsd LIKE",
        "S_INTERSECTS(geometry, POINT EMPTY)",
        "gsd >= 1e400",
        "'",
        "gsd",
    ],
)
def test_what_is_no_filter_in_text_is_refused(words):
    with pytest.raises(BadRequest, match=r"^filter: "):
        compile_filter(parse_filter(words, "cql2-text"))


def test_filters_are_bounded():
    one = {"op": "isNull", "args": [prop("gsd")]}
    deep = one
    for _ in range(50):
        deep = {"op": "not", "args": [deep]}
    term = prop("gsd")
    for _ in range(50):
        term = {"op": "+", "args": [term, 1]}
    for tree in (deep, {"op": "or", "args": [one] * 600}, {"op": "=", "args": [term, 1]}):
        with pytest.raises(BadRequest, match="nested more than"):
            compile_filter(tree)
    with pytest.raises(BadRequest, match=f"at most {MOST_TEXT}"):
        parse_filter("gsd = 1 OR " * MOST_TEXT, "cql2-text")


@pytest.mark.parametrize("words", ["gsd IN " + "(" * 40, "(" * 40 + "gsd = = 1" + ")" * 40, "')" + "(" * 30])
def test_parentheses_that_take_the_parser_ages_are_refused_before(words):
    with pytest.raises(BadRequest, match="parentheses"):
        parse_filter(words, "cql2-text")


def test_parentheses_within_quotes_do_not_count(made):
    assert by_text(made, f"platform <> '{'(' * 50}' AND \"platform\" = 'SPOT_5'") == by_text(made, "platform='SPOT_5'")


@pytest.mark.parametrize("words", ["x' OR '1'='1", "'; DROP TABLE rows; --", "$f0", "\x00", "é\u202e", '"'])
def test_what_is_said_is_compared_and_never_run(made, words):
    for op in ("=", "like"):
        assert found(made, filter={"op": op, "args": [prop("platform"), words]}) == set()
    assert found(made, filter={"op": "a_contains", "args": [prop("instruments"), [words]]}) == set()
    with pytest.raises(BadRequest, match="no queryable property"):
        compile_filter({"op": "=", "args": [prop(words), 1]})
