"""Addresses in the one form that rules are compared with: no spelling leads around a rule."""

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.signing.desk import norm_url
from tests.services.signing.conftest import make_rule

GUARDED = make_rule("https://store.example.org/licensed/")


@pytest.mark.parametrize(
    "spelt",
    [
        "https://store.example.org/licensed/a.tif",
        "https://STORE.example.org/licensed/a.tif",
        "https://store.example.org:443/licensed/a.tif",
        "https://store.example.org./licensed/a.tif",
        "https://store.example.org/%6cicensed/a.tif",
        "https://store.example.org/licensed%2Fa.tif",
        "HTTPS://store.example.org/licensed/a.tif",
        "https://store.example.org/licensed/a.tif?X-Amz-Signature=0&X-Amz-Expires=1",
    ],
)
def test_every_spelling_of_a_guarded_address_is_guarded(spelt):
    assert GUARDED.guards(norm_url(spelt))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "licensed/a.tif",
        "ftp://store.example.org/a",
        "http://store.example.org/licensed/a.tif",
        "file:///etc/passwd",
        "https:///a",
        "https://user:word@store.example.org/a",
        "https://store.example.org/open/../licensed/a.tif",
        "https://store.example.org/open/%2e%2e/licensed/a.tif",
        "https://store.example.org/open/%252e%252e/licensed/a.tif",
        "https://store.example.org//licensed/a.tif",
        "https://store.example.org/licensed\\a.tif",
        "https://store.example.org/a\nb",
        "https://store.example.org/a#b",
        "https://store.example.org/a?b=c",
        "https://store.example.org/%ff",
        "https://store.example.org:port/a",
        "https://store.example.org../licensed/a.tif",
        "https://[::1/a",
        "https://[store.example.org]/a",
        "https://st\u2100re.example.org/a",
        "https://stor\u00e9.example.org/a",
        "https://store.example.org/\ud800",
        "https://\ud800/a",
        "https://store%2eexample.org/a",
        "https://store.example.org/open/..;/licensed/a.tif",
        "s3://bucket:9/a",
        "https://[::1/a?b=c",
        "https://store.example.org/" + "a" * 5000,
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(url):
    with pytest.raises(BadRequest):
        norm_url(url)


@given(st.lists(st.sampled_from([*string.ascii_lowercase, *"é _-."]), min_size=1, max_size=12).map("".join), st.data())
def test_however_letters_are_escaped_the_form_is_one(name, data):
    plain = f"https://store.example.org/licensed/x{name}x"
    escaped = "".join(
        "".join(f"%{byte:02{data.draw(st.sampled_from('xX'))}}" for byte in letter.encode())
        if data.draw(st.booleans())
        else quote(letter)
        for letter in f"x{name}x"
    )
    assert norm_url(f"https://store.example.org/licensed/{escaped}") == norm_url(plain.replace(name, quote(name)))
