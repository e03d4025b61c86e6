"""When a connection has lasted long enough: by a clock that the test moves."""

import time
from types import SimpleNamespace

import asyncssh
import pytest

from earthlab.errors import AskLess, CatalogueUnavailable
from earthlab.hub.inside import Inside, forget_inside, note_inside
from earthlab.hub.layout import Layout
from earthlab.kernel.identity import Identity
from earthlab.services.book import Book
from earthlab.services.ssh.door import Door, Guest
from earthlab.settings import SshSettings

LIMITS = SshSettings(idle_minutes=10, longest_hours=2, user_sessions=1, sessions=2)


@pytest.fixture
def guest(tmp_path):
    layout = Layout(tmp_path, tmp_path / "run", "0123abcd")
    layout.run.mkdir()
    found = Guest(Door(layout, "unix", LIMITS, None, Book(tmp_path / "book", "ssh")))
    said = []
    found.conn = SimpleNamespace(disconnect=lambda code, reason: said.append(reason))
    found.sign_in = SimpleNamespace(user="ana", address="192.0.2.1", by="token", tried=["token"], line={})
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
    layout = guest.door.layout
    first = Inside(Identity(1, 1), {"A": "1"}, "/")
    note_inside(layout, "ana", first)
    guest.place = first
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
    told, door = [], guest.door

    async def note_activity(user):
        told.append(user)
        if user == "bob":
            raise CatalogueUnavailable("away")

    door.register = SimpleNamespace(servers=SimpleNamespace(note_activity=note_activity))
    guest.touch()
    door.used.add("bob")
    await door._tell_activity()
    await door._tell_activity()
    assert sorted(told) == ["ana", "bob"]


def test_sessions_are_counted_by_user_and_in_all(guest):
    door = guest.door
    door.admit("ana")
    with pytest.raises(AskLess):
        door.admit("ana")
    door.admit("bob")
    with pytest.raises(AskLess):
        door.admit("cid")
    guest.sessions = 1
    guest.leave(None, {"kind": "command"})
    door.admit("cid")
    assert "ana" not in door.busy


def test_what_a_connection_has_asked_for_and_never_begun_is_given_back_with_it(guest):
    guest._admit("session")
    with pytest.raises(asyncssh.ChannelOpenError):
        guest._admit("session")
    guest.connection_lost(None)
    assert guest.door.busy.total() == 0
    guest.leave(None, {"kind": "command"})
    assert guest.door.busy.total() == 0
