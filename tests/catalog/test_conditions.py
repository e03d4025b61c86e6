"""What where= asks: one canonical form, CQL2 that another implementation reads alike, and the same answer as its."""

import math
from datetime import UTC, datetime

import cql2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.catalog.conditions import OPERATORS, Condition, parse_where, write_where
from earthlab.errors import BadRequest

NAMES = st.from_regex(r"[A-Za-z_:][A-Za-z0-9_:.\-]{0,12}", fullmatch=True).filter(
    lambda name: (
        name not in {"id", "collection", "datetime", "created", "updated"} and not name.startswith("properties.")
    )
)
TEXTS = st.text(max_size=12) | st.sampled_from(["'", "''", "' OR 1=1 --", '"', "\\", "\n", "%", "é", "); DROP TABLE"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-(2**50), 2**50)
VALUES = TEXTS | NUMBERS | st.booleans()


def document(**properties) -> dict:
    return {"id": "un", "collection": "essai", "properties": properties}


def one(**where) -> Condition:
    (condition,) = parse_where({name.replace("__", ":"): asked for name, asked in where.items()})
    return condition


@pytest.mark.parametrize(
    ("where", "written"),
    [
        ({"gsd": 10}, {"gsd": [["=", 10.0]]}),
        ({"gsd": ("<", 10)}, {"gsd": [["<", 10.0]]}),
        ({"gsd": ["<", 10]}, {"gsd": [["<", 10.0]]}),
        ({"gsd": [(">", 1), ("<=", 10)]}, {"gsd": [["<=", 10.0], [">", 1.0]]}),
        ({"gsd": [10, 20, 10]}, {"gsd": [["in", [10.0, 20.0]]]}),
        ({"platform": {"b", "a"}}, {"platform": [["in", ["a", "b"]]]}),
        ({"platform": ("!=", "a")}, {"platform": [["<>", "a"]]}),
        ({"properties.gsd": ("==", 1)}, {"gsd": [["=", 1.0]]}),
        ({"gsd": None}, {"gsd": [["=", None]]}),
        ({"created": (">", "2024-01-01")}, {"created": [[">", "2024-01-01T00:00:00Z"]]}),
        ({"x": (">", datetime(2024, 1, 1, tzinfo=UTC))}, {"x": [[">", "2024-01-01T00:00:00Z"]]}),
        ({"b": 1, "a": True}, {"a": [["=", True]], "b": [["=", 1.0]]}),
        ({}, {}),
    ],
)
def test_conditions_have_one_form(where, written):
    assert write_where(parse_where(where)) == written
    assert parse_where(written) == parse_where(where)


def test_true_is_not_one():
    assert parse_where({"x": True}) != parse_where({"x": 1})


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({"view:off_nadir": ("<", 10)}, '"view:off_nadir" < 10'),
        ({"a": "it's"}, "\"a\" = 'it''s'"),
        ({"a": [1.5, "x"]}, "\"a\" IN ('x', 1.5)"),
        ({"a": None}, '"a" IS NULL'),
        ({"a": ("<>", None)}, '"a" IS NOT NULL'),
        ({"a": True}, '"a" = TRUE'),
        ({"a": ("like", "S2%")}, "\"a\" LIKE 'S2%'"),
        ({"created": (">=", "2024")}, None),
        ({"created": (">=", "2024-01-01")}, "\"created\" >= TIMESTAMP('2024-01-01T00:00:00Z')"),
    ],
)
def test_conditions_are_cql2(where, text):
    if text is None:
        with pytest.raises(BadRequest, match="time: found '2024'"):
            parse_where(where)
        return
    (condition,) = parse_where(where)
    assert condition.as_cql2() == text
    assert cql2.parse_text(text) is not None


@settings(max_examples=300, deadline=None)
@given(NAMES, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), VALUES)
def test_another_implementation_reads_our_text_as_it_was_meant(name, operator, value):
    (condition,) = parse_where({name: (operator, value)})
    said = cql2.parse_text(condition.as_cql2()).to_json()
    assert said["op"] == operator
    assert said["args"][0] == {"property": name}
    assert said["args"][1] == (value if isinstance(value, str | bool) else float(value))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), NUMBERS | TEXTS, st.data())
def test_another_implementation_keeps_the_same_documents(operator, asked, data):
    stated = data.draw(NUMBERS if isinstance(asked, int | float) else TEXTS)
    (condition,) = parse_where({"x": (operator, asked)})
    item = {"type": "Feature", "geometry": None, **document(x=float(stated) if isinstance(stated, int) else stated)}
    assert condition.holds(item) == cql2.parse_text(condition.as_cql2()).matches(item)


@pytest.mark.parametrize(
    ("condition", "properties", "holds"),
    [
        (one(gsd=("<", 10)), {"gsd": 5}, True),
        (one(gsd=("<", 10)), {"gsd": "5.0"}, True),
        (one(gsd=("<", 10)), {"gsd": 10}, False),
        (one(gsd=("<", 10)), {}, False),
        (one(gsd=("<>", 10)), {}, False),
        (one(gsd=("<>", 10)), {"gsd": "fine"}, True),
        (one(gsd=("<", 10)), {"gsd": "fine"}, False),
        (one(gsd=1), {"gsd": True}, False),
        (one(gsd=[1, 2]), {"gsd": 2}, True),
        (one(gsd=[1, 2]), {"gsd": 3}, False),
        (one(instruments="msi"), {"instruments": ["msi", "oli"]}, True),
        (one(instruments="sar"), {"instruments": ["msi", "oli"]}, False),
        (one(x=None), {"x": None}, True),
        (one(x=None), {"x": 0}, False),
        (one(x=("<>", None)), {"x": 0}, True),
        (one(id="un"), {}, True),
        (one(collection=["autre"]), {}, False),
        (one(created=(">", "2024-01-01")), {"created": "2024-01-01T01:00:00+02:00"}, False),
        (one(created=(">", "2024-01-01")), {"created": "2024-01-01T00:00:00.5Z"}, True),
        (one(grid__code=("like", "MGRS-31%")), {"grid:code": "MGRS-31TCJ"}, True),
        (one(grid__code=("like", "MGRS-3_TCJ")), {"grid:code": "MGRS-31TCJ"}, True),
        (one(grid__code=("like", "MGRS.3%")), {"grid:code": "MGRS-31TCJ"}, False),
        (one(gsd=("like", "1%")), {"gsd": 10}, False),
        (one(x=("like", r"100\%")), {"x": "100%"}, True),
        (one(x=("like", r"100\%")), {"x": "1000"}, False),
        (one(x=("like", "a%c")), {"x": "a\nb)c"}, True),
    ],
)
def test_documents_are_checked(condition, properties, holds):
    assert condition.holds(document(**properties)) is holds


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ([], "expected properties with what they must be"),
        ("gsd < 10", "expected properties with what they must be"),
        ({3: 1}, "cannot be the name of a property"),
        ({'a" = 1 OR "b': 1}, "cannot be the name of a property"),
        ({"": 1}, "cannot be the name of a property"),
        ({"é": 1}, "cannot be the name of a property"),
        ({"a": ("in", "x")}, "expected a list"),
        ({"a": []}, "expected a list"),
        ({"a": ("<", None)}, "cannot be compared"),
        ({"a": math.nan}, "cannot be compared"),
        ({"a": math.inf}, "cannot be compared"),
        ({"a": 10**400}, "cannot be compared"),
        ({"a": {"op": "<"}}, "cannot be compared"),
        ({"a": ("like", 3)}, "cannot be compared"),
        ({"a": [None]}, "cannot be compared"),
        ({"a": ("~", 3)}, "expected \\(operator, value\\) with one of = <>"),
        ({"a": ("between", 1, 3)}, "expected \\(operator, value\\)"),
        ({"a": ()}, "expected \\(operator, value\\)"),
        ({"created": (">", "hier")}, "time: found 'hier'"),
    ],
)
def test_what_cannot_be_compared_is_refused(where, message):
    with pytest.raises(BadRequest, match=message):
        parse_where(where)


def test_the_operators_are_those_of_cql2():
    assert OPERATORS == ("=", "<>", "<", "<=", ">", ">=", "in", "like")
