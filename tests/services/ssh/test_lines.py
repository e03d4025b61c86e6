"""What the door and the inside of a pod say to each other."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.ssh.lines import Request, parse_mark, parse_request
from earthlab.services.ssh.places import MARK, Terminal, Wish

MARKS = st.text("0123456789abcdef", min_size=32, max_size=32)
COUNTS = st.integers(0, 65535)
TERMINALS = st.builds(
    Terminal, st.text(), st.dictionaries(st.integers(0, 255), st.integers(0, 2**32 - 1)), st.tuples(*[COUNTS] * 4)
)


@given(st.text(), st.text(), st.none() | TERMINALS, st.dictionaries(st.text(), st.text()), MARKS)
def test_a_start_arrives_as_it_was_asked_for(kind, command, terminal, words, mark):
    asked = Request(Wish(kind, command), terminal, {**words, MARK: mark})
    assert parse_request(asked.render()) == asked


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["kind", "command", "terminal", "words"]), inner),
)


@given(JSON.map(json.dumps) | st.text())
def test_anything_else_is_refused_and_breaks_nothing(text):
    with pytest.raises(BadRequest):
        parse_request(text)


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "g" * 32, "0" * 31 + "\n", "A" * 32])
def test_a_mark_is_32_digits(text):
    with pytest.raises(BadRequest, match="32 hexadecimal"):
        parse_mark(text)
