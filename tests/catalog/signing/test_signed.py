"""What travels has no signature, and what has one does not travel."""

import pickle

import cloudpickle
import pytest

from earthlab.catalog.signing import Signed, unsigned
from earthlab.catalog.signing.signed import Hidden
from earthlab.errors import BadRequest

SECRET = "PLANTED-SECRET-7f3a"


@pytest.mark.parametrize(
    ("href", "plain"),
    [
        ("https://a.test/x.tif?se=2026&sig=abc&sp=r&v=2", "https://a.test/x.tif?v=2"),
        ("https://a.test/x.tif?X-Amz-Signature=abc&X-Amz-Date=1", "https://a.test/x.tif"),
        ("https://a.test/x.tif?access_token=abc", "https://a.test/x.tif"),
        ("https://a.test/x.tif?se=sentinel&v=1", "https://a.test/x.tif?se=sentinel&v=1"),
        ("s3://bucket/key.tif", "s3://bucket/key.tif"),
        ("/data/with?mark.tif", "/data/with?mark.tif"),
    ],
)
def test_signatures_that_a_catalogue_left_in_its_addresses_do_not_travel(href, plain):
    assert unsigned(href) == plain


def test_credentials_in_an_address_are_refused_without_being_shown():
    with pytest.raises(BadRequest, match=r"carries a user name or password") as raised:
        unsigned(f"https://user:{SECRET}@a.test/x.tif")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
@pytest.mark.parametrize("thing", [Signed(f"https://a.test/?sig={SECRET}"), Hidden({"X-API-Key": SECRET})])
def test_what_holds_a_secret_shows_none_and_refuses_to_travel(thing, dumps):
    assert SECRET not in f"{thing!r} {thing}"
    with pytest.raises(TypeError, match="travel"):
        dumps(thing)


def test_hidden_headers_are_a_mapping():
    hidden = Hidden({"a": "1", "b": "2"})
    assert {**hidden} == {"a": "1", "b": "2"} == dict(hidden)
    assert len(hidden) == 2
