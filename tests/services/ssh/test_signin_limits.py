"""What wrong tokens and too many keys cost; without waiting for it."""

from dataclasses import replace

import asyncssh
import pytest

from earthlab.errors import NotAllowed
from earthlab.hub.keys import KeyStore
from earthlab.hub.links import GuessLimit
from earthlab.services.doors import Caller
from earthlab.services.ssh import signin
from earthlab.services.ssh.signin import MOST_KEYS, MOST_TOKENS, Refused, Register, SignIn


@pytest.fixture
def register(tmp_path, monkeypatch):
    monkeypatch.setattr(signin, "_PAUSE", 0.0)

    async def authenticate(token):
        return Caller("ana") if token == "good" else None

    return Register(authenticate, None, KeyStore(tmp_path / "keys.sqlite"), GuessLimit(5, 8))


async def test_after_so_many_wrong_tokens_not_even_the_right_one_is_taken(register):
    tries = SignIn(register, "192.0.2.1")
    for _ in range(MOST_TOKENS):
        assert not await tries.check_token("ana", "wrong")
    with pytest.raises(Refused):
        await tries.check_token("ana", "good")
    assert tries.user == ""
    assert tries.line["why"] == "too many tries"


async def test_an_address_that_guesses_waits_and_others_do_not(register):
    for number in range(5):
        assert not await SignIn(register, "192.0.2.1").check_token("ana", f"guess {number}")
    with pytest.raises(Refused):
        await SignIn(register, "192.0.2.1").check_token("ana", "good")
    assert await SignIn(register, "192.0.2.2").check_token("ana", "good")


async def test_a_network_of_one_customer_counts_as_one_address(register):
    for number in range(5):
        assert not await SignIn(register, f"2001:db8::{number}").check_token("ana", "wrong")
    with pytest.raises(Refused):
        await SignIn(register, "2001:db8::ffff").check_token("ana", "good")


async def test_what_has_opened_the_door_is_doubted_later_and_kept_out_of_sight(register):
    way = SignIn(register, "192.0.2.1")
    assert await way.check_token("ana", "good")
    assert "good" not in repr(way)
    assert await way.find_doubt(ask=True) == ""
    answers = iter([None, Caller("bob"), NotAllowed("no scope")])

    async def authenticate(_):
        answer = next(answers)
        if isinstance(answer, NotAllowed):
            raise answer
        return answer

    way.register = replace(register, authenticate=authenticate)
    assert await way.find_doubt(ask=False) == ""
    for why in ("a token that has ended", "a token that has ended", "no scope"):
        assert await way.find_doubt(ask=True) == why


async def test_so_many_keys_may_be_tried_each_as_often_as_the_protocol_wants(register):
    tries = SignIn(register, "192.0.2.1")
    keys = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(MOST_KEYS + 1)]
    for key in keys[:-1]:
        assert not await tries.check_key("ana", key)
        assert not await tries.check_key("ana", key)
    with pytest.raises(Refused):
        await tries.check_key("ana", keys[-1])
    assert len(tries.line["by"]) < 3000


async def test_a_name_that_nobody_has_is_refused_with_the_right_token_too(register):
    assert not await SignIn(register, "192.0.2.1").check_token("a b", "good")


async def test_keys_that_the_hub_must_be_asked_for_are_doubted_only_when_it_is(register):
    asked = []

    class Away:
        def find(self, user, fingerprint):
            asked.append(user)

    way = SignIn(replace(register, keys=Away(), keys_are_near=False), "192.0.2.1", user="ana", by="key SHA256:x")
    assert await way.find_doubt(ask=False) == ""
    assert asked == []
    assert await way.find_doubt(ask=True) == "a key that is not the user's"
