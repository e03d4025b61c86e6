"""What the panel in JupyterLab asks with the token of the user's own server: a seat its place, a trainer the rooms."""

import json

import pytest

from earthlab.hub.handout import write_handout
from earthlab.hub.passes import seat_user
from earthlab.testing.workshops import workshop_now
from tests.services.workshops.serving import serve_site

SEAT = seat_user("neige", 1)


@pytest.fixture
async def site(tmp_path):
    async with serve_site(tmp_path / "lab") as found:
        found.desk.make(workshop_now())
        found.desk.open("neige")
        yield found


@pytest.fixture
def room(site):
    return site.desk.rooms.find("neige")


def own(site, name, groups=()):
    return {"Authorization": f"token {site.sign_in(name, groups)}"}


async def ask(site, path, name=SEAT, groups=(), **body):
    async with site.browser() as client:
        headers = own(site, name, groups)
        return await (client.post(path, headers=headers, **body) if body else client.get(path, headers=headers))


async def test_a_seat_is_told_its_agenda_its_progress_and_what_the_trainer_said(site, room):
    room.tell("message", "Pause à 10 h")
    room.tell("message", "Pour toi", 2)
    room.tell("cell", "print(1)")
    path, cell = room.order[0]
    event = {"seq": 1, "notebook": path, "cell": cell, "state": "done", "error": "", "at": room.now()}
    room.take_post(1, json.dumps({"instance": "0123abcd", "events": [event]}).encode())
    said = (await ask(site, "api/place")).json()
    assert (said["slug"], said["number"], said["title"]["en"]) == ("neige", 1, "Snow of the Pyrenees")
    assert [(each["path"], each["part"]) for each in said["lessons"]] == [
        ("theia/neige.ipynb", 1),
        ("theia/glacier.ipynb", 2),
    ]
    assert sum(each["cells"] for each in said["lessons"]) == len(said["cells"])
    assert (said["cells"][0], said["cells"].count("d"), said["unlocked"]) == ("d", 1, 1)
    assert [each["text"] for each in said["messages"]] == ["Pause à 10 h"]
    assert [each["source"] for each in said["pushed"]] == ["print(1)"]
    assert said["now"] < said["closes"] == room.entry.closes
    assert (said["stage"], said["hand"], said["help"]) == ("open", None, None)


async def test_a_hand_goes_up_and_down_for_the_wall_and_the_page_alike(site, room):
    raised = await ask(site, "api/place/hand", json={"up": True})
    assert raised.json()["hand"] == room.glance(1).standing.hand is not None
    assert (await ask(site, "api/place")).json()["hand"] == raised.json()["hand"]
    assert (await ask(site, "api/place/hand", json={"up": False})).json() == {"hand": None}
    assert room.glance(1).standing.hand is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 50_000, b"[]", b"{}", b'{"up": 1}', b'{"up": "yes"}', b'{"up": true, "x": 1}']
)
async def test_a_hand_is_up_or_down_and_nothing_else(site, room, body):
    refused = await ask(site, "api/place/hand", content=body)
    assert refused.status_code == refused.json()["code"] == 400
    assert room.glance(1).standing.hand is None


async def test_a_hand_that_is_waved_too_fast_is_refused(site, room):
    assert [(await ask(site, "api/place/hand", json={"up": True})).status_code for _ in range(21)][-1] == 429


async def test_a_trainer_is_told_how_the_room_stands_in_counts(site, room):
    room.raise_hand(1, up=True)
    room.raise_hand(2, up=False)
    for name, groups in (("ben", ()), ("anne", ["organisateurs"])):
        (said,) = (await ask(site, "api/rooms", name, groups)).json()["rooms"]
        assert said == {
            "slug": "neige", "title": {"fr": "Neige des Pyrénées", "en": "Snow of the Pyrenees"},
            "closes": room.entry.closes, "here": 2, "hands": 1, "stuck": 0, "finished": 0,
        }  # fmt: skip


@pytest.mark.parametrize("name", [SEAT, seat_user("givre", 1), "anne", "eve", "service:stac"])
async def test_nobody_else_is_told_of_any_room(site, room, name):
    assert (await ask(site, "api/rooms", name)).json() == {"rooms": []}


async def test_a_workshop_that_is_over_or_not_open_yet_has_no_room_to_watch(site, room):
    site.desk.make(workshop_now("givre"))
    assert [each["slug"] for each in (await ask(site, "api/rooms", "ben")).json()["rooms"]] == ["neige"]
    site.desk.end("neige")
    assert (await ask(site, "api/rooms", "ben")).json() == {"rooms": []}


@pytest.mark.parametrize("path", ["api/place", "api/place/hand"])
async def test_who_has_no_seat_has_no_place(site, room, path):
    for name in ("ben", "eve", seat_user("neige", 99), seat_user("givre", 1)):
        refused = await ask(site, path, name, **({"json": {"up": True}} if path.endswith("hand") else {}))
        assert refused.status_code == 403, name


async def test_no_cookie_stands_in_for_the_token(site, room):
    async with site.browser(SEAT) as ada, site.browser("ben") as ben:
        assert (await ada.get("api/place")).status_code == 401
        assert (await ada.post("api/place/hand", json={"up": True})).status_code == 401
        assert (await ben.get("api/rooms")).status_code == 401


async def test_a_seats_server_is_given_all_that_its_workshop_hands_out_and_nobody_else_anything(site, tmp_path):
    site.desk.make(workshop_now("brume"))
    site.desk.open("brume")
    site.desk.passes.revoke("neige", 2)
    given = (await ask(site, "api/handout")).json()
    write_handout(tmp_path / "there", **given)
    assert given["manifest"]["slug"] == "neige"
    assert given["manifest"]["contact"] == "atelier@example.org"
    here = site.desk.material("neige")
    for file in (path.relative_to(here) for path in here.rglob("*.ipynb")):
        assert (tmp_path / "there" / file).read_bytes() == (here / file).read_bytes()
    for name in ("ben", "anne", seat_user("neige", 9), seat_user("neige", 2)):
        assert (await ask(site, "api/handout", name)).status_code == 403


async def test_a_server_that_asks_for_it_too_often_is_refused(site):
    answers = [(await ask(site, "api/handout")).status_code for _ in range(site.service.pace.most + 1)]
    assert (answers[0], answers[-1]) == (200, 429)
