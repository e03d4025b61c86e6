"""JSON of requests: what is no value that can be written again is refused, not passed on."""

import pytest

from earthlab.services.stac.jsontext import parse_json


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        b"\xff",
        '{"a": NaN}',
        "[Infinity]",
        "[-Infinity]",
        "[1e999]",
        '"\\ud800"',
        '{"\\udfff": 1}',
        "[" * 100_000,
    ],
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [('"\\ud83d\\ude00"', "😀"), (b'{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}), ('"\\u0000"', "\0")],
)
def test_what_is_json_is_read(text, value):
    assert parse_json(text) == value
