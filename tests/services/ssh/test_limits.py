"""When a connection has lasted long enough: by a clock that the test moves."""

import json
import time
from types import SimpleNamespace

import asyncssh
import pytest

from earthlab.errors import AskLess, CatalogueUnavailable
from earthlab.hub.inside import Inside, forget_inside, note_inside
from earthlab.hub.layout import Layout
from earthlab.kernel.identity import Identity
from earthlab.services.book import Book
from earthlab.services.ssh.door import MOST_AT_THE_DOOR, MOST_OF_ONE, SAFEST_KEX, Door, Guest, plan_options
from earthlab.services.ssh.landings import Here, Machine
from earthlab.settings import SshSettings

LIMITS = SshSettings(idle_minutes=10, longest_hours=2, user_sessions=1, sessions=2, user_forwards=2, forwards=3)


@pytest.fixture
def guest(tmp_path):
    layout = Layout(tmp_path, tmp_path / "run", "0123abcd")
    layout.run.mkdir()
    found = Guest(Door(Machine(layout, "unix"), LIMITS, None, Book(tmp_path / "book", "ssh")))
    said = []
    found.conn = SimpleNamespace(show_out=said.append)
    found.sign_in = SimpleNamespace(user="ana", address="192.0.2.1", by="token", tried=["token"], line={})
    found.source = "192.0.2.1"
    found.door.guests.add(found)
    found.said = said
    found.is_in = True
    return found


def test_a_connection_in_use_goes_on(guest):
    guest.look()
    guest.active = time.monotonic() - 9 * 60
    guest.look()
    assert guest.said == []


def test_nothing_for_so_many_minutes_ends_it(guest):
    guest.active = time.monotonic() - 11 * 60
    guest.look()
    assert "Nothing has passed" in guest.said[0]
    guest.touch()
    assert "ana" in guest.door.used


def test_so_many_hours_end_it_whatever_passes(guest):
    guest.began = time.monotonic() - 2.1 * 3600
    guest.touch()
    guest.look()
    assert "longest time" in guest.said[0]


def test_zero_means_for_ever(guest):
    guest.door.limits = SshSettings(idle_minutes=0, longest_hours=0)
    guest.began = guest.active = time.monotonic() - 10**7
    guest.look()
    assert guest.said == []


def test_the_end_of_the_server_ends_it_also_where_another_has_started_since(guest):
    layout = guest.door.ground.layout
    first = Inside(Identity(1, 1), {"A": "1"}, "/")
    note_inside(layout, "ana", first)
    guest.landing = Here(guest.door.ground, "ana", "0" * 32, first)
    guest.look()
    assert guest.said == []
    note_inside(layout, "ana", Inside(Identity(1, 1), {"A": "2"}, "/"))
    guest.look()
    forget_inside(layout, "ana")
    guest.look()
    assert len(guest.said) == 2


def test_before_anybody_has_come_in_the_time_is_the_doors(guest):
    guest.is_in = False
    guest.active = 0
    guest.look()
    assert guest.said == []


async def test_the_hub_is_told_who_is_active_and_a_hub_that_is_away_later(guest):
    told, away, door = [], {"yes"}, guest.door

    async def note_activity(user):
        if away:
            raise CatalogueUnavailable("away")
        told.append(user)

    door.register = SimpleNamespace(servers=SimpleNamespace(note_activity=note_activity))
    door.used.add("bob")
    await door.tell_activity()
    guest.touch()
    assert door.used == {"ana", "bob"}
    away.clear()
    await door.tell_activity()
    assert sorted(told) == ["ana", "bob"]
    assert door.used == set()


def test_sessions_are_counted_by_user_and_in_all_and_forwarded_connections_apart(guest):
    door = guest.door
    door.admit("session", "ana")
    with pytest.raises(AskLess):
        door.admit("session", "ana")
    door.admit("session", "bob")
    with pytest.raises(AskLess):
        door.admit("session", "cid")
    for user in ("ana", "ana", "bob"):
        door.admit("forward", user)
    for user in ("ana", "bob"):
        with pytest.raises(AskLess):
            door.admit("forward", user)
    guest.held["session"] = 1
    guest.leave({"kind": "command"})
    door.admit("session", "cid")
    assert ("session", "ana") not in door.busy


def test_what_a_connection_has_asked_for_and_never_begun_is_given_back_with_it(guest):
    guest._admit("session")
    with pytest.raises(asyncssh.ChannelOpenError):
        guest._admit("session")
    guest._admit("forward")
    guest.connection_lost(None)
    assert guest.door.busy.total() == 0
    guest.leave({"kind": "command"})
    assert guest.door.busy.total() == 0


def test_only_exchanges_that_a_quantum_computer_would_not_break_are_spoken_where_the_operator_says_so(guest):
    key = asyncssh.generate_private_key("ssh-ed25519")
    assert b"curve25519-sha256" in plan_options(guest.door, key).kex_algs
    guest.door.limits = SshSettings(post_quantum=True)
    spoken = set(plan_options(guest.door, key).kex_algs)
    assert b"mlkem768x25519-sha256" in spoken
    assert spoken <= {name.encode() for name in SAFEST_KEX}


def test_one_source_cannot_fill_the_door(guest):
    door = guest.door
    guest.is_in = False
    door.guests |= {_waiting(door, "192.0.2.1") for _ in range(MOST_OF_ONE - 1)}
    assert not door.has_room("192.0.2.1")
    assert door.has_room("192.0.2.2")
    door.guests |= {_waiting(door, f"192.0.2.{number}") for number in range(2, 2 + MOST_AT_THE_DOOR - MOST_OF_ONE)}
    assert not door.has_room("203.0.113.1")
    guest.is_in = True
    assert door.has_room("203.0.113.1")


def _waiting(door, source):
    found = Guest(door)
    found.source = source
    return found


async def test_whose_sign_in_has_become_doubtful_is_ended_and_a_hub_that_is_away_ends_nobody(guest):
    doubts = iter(["", "a token that has ended"])

    async def find_doubt(*, ask):
        assert ask
        return next(doubts)

    guest.sign_in.find_doubt = find_doubt
    await guest.door.check_guests(ask=True)
    assert guest.said == []
    await guest.door.check_guests(ask=True)
    assert "no longer valid" in guest.said[0]
    (line,) = (json.loads(line) for file in guest.door.book.folder.iterdir() for line in file.read_text().splitlines())
    assert (line["kind"], line["why"], line["user"]) == ("ended", "a token that has ended", "ana")

    async def away(*, ask):
        raise CatalogueUnavailable("away")

    guest.sign_in.find_doubt = away
    await guest.door.check_guests(ask=True)
    assert len(guest.said) == 1
