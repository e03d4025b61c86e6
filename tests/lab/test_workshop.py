"""The workshop's panel: what the real service tells a seat's server and a trainer's, and what becomes of a hand."""

import asyncio
import threading
from concurrent.futures import Future

import pytest
from jsonschema import Draft202012Validator

from earthlab.hub.passes import seat_user
from earthlab.testing.workshops import workshop_now
from earthlab_lab.workshop import WORKSHOP
from tests.patience import PATIENCE
from tests.services.workshops.serving import PREFIX, serve_site

SEAT = seat_user("neige", 1)


@pytest.fixture
def site(tmp_path):
    """The real service with an open workshop, in a loop of its own; `call` has something done there."""
    ready, loop = Future(), asyncio.new_event_loop()
    ending = asyncio.Event()

    async def serve():
        async with serve_site(tmp_path / "lab") as found:
            found.desk.make(workshop_now(title={"fr": "Neige <b>&", "en": "Snow"}))
            found.desk.open("neige")
            ready.set_result(found)
            await ending.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    found = ready.result(PATIENCE)

    def call(work):
        async def do():
            return work(found.desk.rooms.find("neige"))

        return asyncio.run_coroutine_threadsafe(do(), loop).result(PATIENCE)

    yield found, call
    loop.call_soon_threadsafe(ending.set)
    thread.join()
    loop.close()


@pytest.fixture
def panel(ask, site, monkeypatch):
    """A function that gives what the panel shows to somebody; who has a seat has also its variable."""
    served, _ = site

    def read(name, *, seat=False, path="workshop", body=None):
        monkeypatch.setenv("EARTHLAB_SERVICES", served.url + PREFIX.removesuffix("/workshops/"))
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", served.sign_in(name))
        if seat:
            monkeypatch.setenv("EARTHLAB_WORKSHOP", "/srv/ateliers/neige")
        answer = ask("GET" if body is None else "POST", path, body)
        assert f"token-{name}".encode() not in answer.body
        if answer.status == 200 and path == "workshop":
            Draft202012Validator(WORKSHOP).validate(answer.said)
        return answer

    return read


def test_a_seat_sees_its_agenda_its_progress_and_what_the_trainer_said(panel, site):
    _, call = site
    call(lambda room: (room.tell("message", "Pause"), room.tell("cell", "print('<b>')"), room.unlock_next()))
    said = panel(SEAT, seat=True).said
    assert said["rooms"] == []
    seat = said["seat"]
    assert (seat["slug"], seat["number"], seat["title"]) == ("neige", 1, {"fr": "Neige <b>&", "en": "Snow"})
    assert [(each["path"], each["part"]) for each in seat["lessons"]] == [
        ("theia/neige.ipynb", 1),
        ("theia/glacier.ipynb", 2),
    ]
    assert len(seat["cells"]) == sum(each["cells"] for each in seat["lessons"])
    assert (seat["unlocked"], seat["page"]) == (2, "/services/workshops/place")
    assert [each["text"] for each in seat["messages"]] == ["Pause"]
    assert [each["source"] for each in seat["pushed"]] == ["print('<b>')"]


def test_a_hand_raised_in_the_panel_is_on_the_wall(panel, site):
    _, call = site
    raised = panel(SEAT, seat=True, path="workshop/hand", body={"up": True}).said["hand"]
    assert call(lambda room: room.glance(1).standing.hand) == raised is not None
    assert panel(SEAT, seat=True).said["seat"]["hand"] == raised
    assert panel(SEAT, seat=True, path="workshop/hand", body={"up": False}).said == {"hand": None}
    assert call(lambda room: room.glance(1).standing.hand) is None


@pytest.mark.parametrize("body", [{}, {"up": 1}, {"up": "yes"}, {"up": True, "code": "x = 1"}])
def test_nothing_but_the_hand_goes_to_the_service(panel, site, body):
    _, call = site
    assert panel(SEAT, seat=True, path="workshop/hand", body=body).status == 400
    assert call(lambda room: room.glance(1).standing.hand) is None


def test_a_trainer_sees_how_the_room_stands_and_where_its_wall_is(panel, site):
    _, call = site
    call(lambda room: room.raise_hand(2, up=True))
    said = panel("ben").said
    (room,) = said["rooms"]
    assert (said["seat"], room["slug"], room["here"], room["hands"]) == (None, "neige", 1, 1)
    assert room["page"] == "/services/workshops/w/neige/wall"


def test_who_is_at_no_workshop_sees_none_and_has_no_hand(panel):
    assert panel("eve").said == {"seat": None, "rooms": []}
    refused = panel("eve", path="workshop/hand", body={"up": True})
    assert (refused.status, refused.said["code"]) == (403, "NotAllowed")


def test_a_seat_that_is_no_longer_one_is_told_so(panel):
    refused = panel(seat_user("neige", 99), seat=True)
    assert (refused.status, refused.said["code"]) == (403, "NotAllowed")
    assert "no longer part of a workshop" in refused.said["message"]


def test_outside_of_a_lab_there_is_no_workshop(ask):
    assert ask("GET", "workshop").said == {"seat": None, "rooms": []}


def test_a_service_that_is_away_is_said_in_words(panel, ask, monkeypatch):
    panel(SEAT, seat=True)
    monkeypatch.setenv("EARTHLAB_SERVICES", "http://127.0.0.1:9/services")
    refused = ask("GET", "workshop")
    assert (refused.status, refused.said["code"]) == (503, "SetupError")
    assert "The workshops' service does not answer: try again" in refused.said["message"]
