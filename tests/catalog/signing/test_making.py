"""Signers by name: with a key of one's own, for another address, or not at all."""

import pytest

from earthlab.catalog.signing import make_signer
from earthlab.errors import BadRequest, SetupError

SECRET = "PLANTED-SECRET-7f3a"
HREF = "https://s3-data.meso.umontpellier.fr/b/a.tif"


def test_nobody_signs_nothing():
    signer = make_signer("none")
    assert signer.match(HREF)
    assert signer.sign(HREF).href == signer.sign_many([HREF])[HREF].href == HREF


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(BadRequest, match="Nearest: geodes"):
        make_signer("geode")


@pytest.mark.parametrize("name", ["mtd", "geodes", "hydroweb", "earthdata", "s3", "s3-requester-pays"])
def test_without_a_key_it_says_where_to_get_one(name, bare_environment, monkeypatch):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SetupError, match=r"there is no key\. [A-Z]"):
        make_signer(name)


def test_the_broker_needs_its_address(bare_environment):
    with pytest.raises(SetupError, match=r"catalogue\.signing"):
        make_signer("broker", key=SECRET)
    assert make_signer("broker", key=SECRET, url="http://127.0.0.1:8000/services/signing").match(HREF)


@pytest.mark.parametrize("url", ["http://signing.example.org", "ftp://a.test", "https://user:pass@a.test", "a.test"])
def test_a_key_does_not_leave_in_the_open(url):
    with pytest.raises(BadRequest, match="not https") as refused:
        make_signer("broker", key=SECRET, url=url)
    assert SECRET not in str(refused.value)
    assert "pass" not in str(refused.value)


def test_within_a_cluster_the_labs_own_broker_is_told_without_tls_and_nobody_else(monkeypatch):
    monkeypatch.setenv("EARTHLAB_SERVICES", "http://proxy-public/services")
    assert make_signer("broker", key=SECRET, url="http://proxy-public/services/signing").match(HREF)
    for name, url in (
        ("geodes", "http://proxy-public/services/signing"),
        ("broker", "http://proxy-public.example.org/services/signing"),
        ("broker", "http://proxy-public/services-of-others/signing"),
        ("broker", "http://proxy-public/services/@example.org"),
    ):
        with pytest.raises(BadRequest, match="not https"):
            make_signer(name, key=SECRET, url=url)


def test_a_key_of_several_parts_is_given_by_name():
    with pytest.raises(BadRequest, match="access_key, secret_key"):
        make_signer("mtd", key=SECRET)
    assert SECRET not in repr(make_signer("mtd", key={"access_key": SECRET, "secret_key": SECRET}))
