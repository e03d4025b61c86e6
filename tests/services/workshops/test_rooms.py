"""A room is what the book says: a new one after a kill is as the old one was, and walls miss nothing."""

import json

import pytest

from earthlab.errors import BadRequest
from earthlab.services.workshops.rooms import Broadcast, Room, Rooms
from tests.services.workshops.conftest import LESSONS

INSTANCE = "0123abcd"


@pytest.fixture
def room(store, workshop):
    store.add(workshop)
    store.open("neige", LESSONS)
    return Room(store.find("neige"), store)


def body(clock, *cells, first=1, state="done", error=""):
    common = {"notebook": "theia/neige.ipynb", "state": state, "error": error, "at": clock.now}
    events = [{"seq": first + n, "cell": cell, **common} for n, cell in enumerate(cells)]
    return json.dumps({"instance": INSTANCE, "events": events}).encode()


def test_after_a_kill_the_room_is_as_it_was(room, store, clock):
    room.take_post(1, body(clock, "c1", "c2"))
    room.take_post(2, body(clock, "c1", state="failed", error="KeyError"))
    room.raise_hand(3, up=True)
    room.tell("message", "Pause")
    room.unlock_next()
    room.reset(1, "theia/neige.ipynb", "c1")
    again = Room(store.find("neige"), store)
    assert again.stand() == room.stand()
    assert again.unlocked == room.unlocked == 2
    assert [again.answer(n) for n in (1, 2, 3)] == [room.answer(n) for n in (1, 2, 3)]


def test_what_a_server_says_twice_in_two_ways_holds_as_it_was_first_said(room, store, clock):
    room.take_post(1, body(clock, "c1"))
    room.take_post(1, body(clock, "c1", state="failed", error="KeyError"))
    assert room.stand([1])[0].cells == "d...."
    assert Room(store.find("neige"), store).stand([1])[0].cells == "d...."


def test_a_post_that_may_not_come_in_leaves_nothing(room, store, clock):
    with pytest.raises(BadRequest):
        room.take_post(1, body(clock, "c1", "c9"))
    assert list(store.events("neige")) == []
    assert room.stand([1])[0].presence == "free"


def test_a_sign_of_life_is_enough_to_be_there(room, clock):
    assert room.take_post(1, body(clock))["accepted"] == 0
    assert room.stand([1])[0].presence != "free"


def test_what_is_told_to_one_is_not_told_to_others(room):
    room.tell("message", "à tous")
    room.tell("message", "à deux", 2)
    assert [m["text"] for m in room.answer(1)["messages"]] == ["à tous"]
    assert [m["text"] for m in room.answer(2)["messages"]] == ["à tous", "à deux"]


@pytest.mark.parametrize("text", ["", "  \n", "x" * 2001])
def test_an_empty_or_endless_message_is_refused(room, text):
    with pytest.raises(BadRequest):
        room.tell("message", text)


def test_a_seat_is_set_back_to_a_checkpoint_or_to_the_beginning(room, clock):
    room.take_post(1, body(clock, "c1", "c2", "c3"))
    clock.now += 1
    room.reset(1, "theia/neige.ipynb", "c1")
    assert room.stand([1])[0].cells == "d...."
    assert room.answer(1)["reset"]["cell"] == "c1"
    clock.now += 1
    room.take_post(1, body(clock, "c2", first=4))
    assert room.stand([1])[0].cells == "dd..."
    clock.now += 1
    room.reset(1, "theia/neige.ipynb", "")
    assert room.stand([1])[0].cells == "....."
    for notebook, cell in (("theia/neige.ipynb", "c2"), ("other.ipynb", "")):
        with pytest.raises(BadRequest, match="checkpoint"):
            room.reset(1, notebook, cell)


def test_parts_are_unlocked_one_by_one_up_to_the_last(room):
    assert room.unlock_next().body == {"part": 2}
    with pytest.raises(BadRequest, match="all 2 parts"):
        room.unlock_next()


def test_a_request_for_help_is_told_until_it_is_answered(room, store):
    asked = store.ask_help("neige", 1, "ben")
    assert room.answer(1)["help"] == {"number": asked.number, "trainer": "ben"}
    store.answer_help(asked.number, "no")
    assert room.answer(1)["help"] is None


def test_a_draft_and_what_is_forgotten_have_no_room(store, workshop):
    store.add(workshop)
    rooms = Rooms(store)
    with pytest.raises(BadRequest, match="draft"):
        rooms.find("neige")
    store.open("neige", LESSONS)
    first = rooms.find("neige")
    assert rooms.find("neige") is first
    store.extend("neige", first.entry.closes + 60)
    assert rooms.find("neige") is first
    assert first.version == 1
    rooms.forget("neige")
    with pytest.raises(BadRequest, match="forgotten"):
        rooms.find("neige")


def data_of(event):
    return json.loads(event.split("data: ")[1])


def test_only_what_has_changed_is_sent_and_numbered_without_holes(room, clock):
    told = Broadcast(room, lambda: {2: "Ada"}, clock)
    whole = data_of(told.change())
    assert [row[:2] for row in whole["seats"]] == [[1, ""], [2, "Ada"], [3, ""]]
    assert told.change() is None
    room.take_post(2, body(clock, "c1"))
    news = data_of(told.change())
    assert news["sequence"] == whole["sequence"] + 1
    assert [row[0] for row in news["seats"]] == [2]
    assert told.change() is None
    room.tell("message", "x")
    assert told.change().startswith("event: room")


def test_silence_shows_by_itself(room, clock):
    told = Broadcast(room, dict, clock)
    room.take_post(1, body(clock, "c1"))
    told.change()
    clock.now += 100
    assert data_of(told.change())["seats"][0][3] == "silent"
