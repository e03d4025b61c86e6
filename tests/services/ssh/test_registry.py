"""What the door of a cluster asks the hub of users' keys, and tells it of its own."""

import pytest

from earthlab.errors import CatalogueUnavailable
from earthlab.hub.registry import SCOPE
from earthlab.services.ssh.registry import hub_keys
from earthlab.testing.hub_api import Token, serve_hub_api

KEY = {
    "user": "ana",
    "fingerprint": "SHA256:x+/y",
    "line": "ssh-ed25519 AAAA",
    "comment": "portable",
    "added": 1.0,
    "used": None,
}


@pytest.fixture
def hub():
    with serve_hub_api() as found:
        found.tokens |= {"door": Token("ssh", "service", (SCOPE,)), "other": Token("stac", "service", ())}
        found.keys["ana", KEY["fingerprint"]] = dict(KEY)
        yield found


def test_a_key_is_found_by_its_user_and_fingerprint_and_no_other(hub):
    keys = hub_keys(hub.url, "door")
    found = keys.find("ana", KEY["fingerprint"])
    assert (found.user, found.kind, found.added) == ("ana", "ssh-ed25519", 1.0)
    assert keys.find("bob", KEY["fingerprint"]) is None
    assert keys.find("ana", "SHA256:other") is None


def test_a_use_is_noted_and_the_doors_own_key_told(hub):
    keys = hub_keys(hub.url, "door")
    keys.note_use("ana", KEY["fingerprint"])
    assert keys.find("ana", KEY["fingerprint"]).used > 1e9
    keys.announce("ssh-ed25519 BBBB earthlab")
    assert hub.announced == ["ssh-ed25519 BBBB earthlab"]


def test_a_hub_that_refuses_is_silent_or_away_is_told_apart_from_one_that_knows_no_key(hub):
    with pytest.raises(CatalogueUnavailable, match="403"):
        hub_keys(hub.url, "other").find("ana", KEY["fingerprint"])
    hub.silent = True
    with pytest.raises(CatalogueUnavailable, match="503"):
        hub_keys(hub.url, "door").find("ana", KEY["fingerprint"])
    with pytest.raises(CatalogueUnavailable, match="cannot be asked"):
        hub_keys("http://127.0.0.1:9/hub/api", "door").find("ana", KEY["fingerprint"])


def test_the_token_is_not_in_its_repr(hub):
    assert "door" not in repr(hub_keys(hub.url, "door"))
