"""Every address asks who it is, every form is one's own, and nothing is loaded from elsewhere or told to strangers."""

import asyncio
import json
import re
import time

import pytest

from earthlab.errors import BadRequest
from earthlab.hub.passes import seat_user
from earthlab.services.workshops.app import forget_due
from earthlab.services.workshops.text import parse_workshop
from earthlab.testing.streams import read_events
from earthlab.testing.workshops import workshop_now
from tests.patience import PATIENCE
from tests.services.workshops.serving import PREFIX, serve_site
from tests.services.workshops.talking import xsrf_of


@pytest.fixture
async def site(tmp_path):
    async with serve_site(tmp_path / "lab") as found:
        yield found


@pytest.fixture
async def room(site):
    site.desk.make(workshop_now())
    site.desk.open("neige")
    return site.desk.rooms.find("neige")


def address_of(pattern: str) -> str:
    """An address that a route's pattern takes."""
    path = pattern.removesuffix("$").removeprefix(PREFIX)
    path = re.sub(r"\(\[a-z0-9-\]\{1,20\}\)", "neige", path)
    path = re.sub(r"\(\[0-9\]\{1,9\}\)", "1", path)
    path = re.sub(r"\(([a-z]+)\|[a-z|]+\)", r"\1", path)
    return path.replace("\\", "")


async def test_no_address_answers_who_is_not_signed_in(site, room):
    assert len(site.routes) >= 18
    async with site.browser() as nobody:
        for pattern in [*site.routes, f"{PREFIX}nowhere$"]:
            path = address_of(pattern)
            assert re.fullmatch(pattern, PREFIX + path), path
            if path.endswith("oauth_callback"):
                assert (await nobody.get(path)).status_code == 400
                continue
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
                answer = await nobody.request(method, path)
                led = answer.status_code == 302 and "/hub/api/oauth2/authorize" in answer.headers["location"]
                assert led or answer.status_code in {401, 403, 405}, (method, path, answer.status_code)
                assert "neige" not in answer.text.replace("/w/neige", "")


async def test_a_token_without_the_scope_opens_nothing(site, room):
    site.sign_in("anne", scopes=("access:services!service=stac",))
    site.sign_in(seat_user("neige", 1), scopes=())
    async with site.browser() as somebody:
        for name, path in (("anne", ""), (seat_user("neige", 1), "api/syllabus"), ("nobody", "api/syllabus")):
            answer = await somebody.get(path, headers={"Authorization": f"token token-{name}"})
            assert answer.status_code in {302, 403}
            assert "Neige" not in answer.text


async def test_every_form_is_one_that_our_page_has_sent(site, room):
    posted = [
        address_of(p)
        for p in site.routes
        if "/do/" in p or "/try/" in p or "open|" in p or p.endswith(("new$", "/edit$", "end)$"))
    ]
    assert len(posted) == 8
    async with site.browser("earthlab") as anne:
        page = await anne.get("")
        for path in posted:
            for forged in ({}, {"_xsrf": "x"}, {"_xsrf": xsrf_of(page.text)[:-2] + "zz"}):
                assert (await anne.post(path, data=forged)).status_code == 403, path
    assert site.desk.store.find("neige").stage == "open"


async def test_pages_load_nothing_from_elsewhere_and_are_kept_nowhere(site, room):
    async with site.browser("anne", ["organisateurs"]) as anne, site.browser(seat_user("neige", 1)) as ada:
        pages = [await anne.get(path) for path in ("", "new", "w/neige", "w/neige/wall", "w/gone", "nowhere")]
        pages.append(await ada.get("place"))
    assert [page.status_code for page in pages] == [200, 200, 200, 200, 403, 404, 200]
    for page in pages:
        assert page.headers["cache-control"] == "no-store"
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        nonce = re.search(r"script-src 'nonce-([^']+)'", policy)[1]
        assert re.findall(r"<(?:script|style)(?![^>]*nonce=\"" + re.escape(nonce) + ")", page.text) == []
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page.text)
        assert ' style="' not in page.text
        assert not re.search(r'\son[a-z]+="', page.text)
        assert '<html lang="fr">' in page.text
        assert 'lang="en"' in page.text


async def test_what_people_type_is_text_and_never_markup(site, room):
    evil = "<script>alert(1)</script>\"'&"
    site.desk.passes.rename(seat_user("neige", 1), "<b>x</b>") if site.desk.passes.seat_of(
        seat_user("neige", 1)
    ) else None
    room.tell("message", evil)
    room.tell("cell", evil)
    async with site.browser(seat_user("neige", 1)) as ada, site.browser("anne", ["organisateurs"]) as anne:
        place = (await ada.get("place")).text
        page = await anne.get("new")
        form = await anne.post("new", data={"_xsrf": xsrf_of(page.text), "title_fr": evil, "slug": evil})
    assert form.status_code == 400
    for text in (place, form.text):
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


async def test_an_organiser_makes_a_workshop_by_the_form_alone(site):
    typed = {
        "title_fr": "Atelier", "title_en": "Workshop", "slug": "essai", "seats": "2", "opens": "2030-05-01T09:00",
        "closes": "2030-05-01T17:00", "time_zone": "Europe/Paris", "contact": "a@b.c", "organisers": "anne",
        "trainers": "ben, cleo", "retention_days": "3", "path_1": "start/premiers-pas.ipynb", "part_1": "1",
        "path_2": "theia/neige.ipynb", "part_2": "2", "memory": "512 MiB", "cores": "0,5", "cubes": "",
        "languages": "en, fr", "workers": "",
    }  # fmt: skip
    async with site.browser("anne", ["organisateurs"]) as anne:
        token = xsrf_of((await anne.get("new")).text)
        wrong = await anne.post("new", data={"_xsrf": token, **typed, "closes": "2030-04-01T17:00"})
        assert wrong.status_code == 400
        assert 'value="start/premiers-pas.ipynb"' in wrong.text
        assert "closes: une heure après opens" in wrong.text
        assert (await anne.post("new", data={"_xsrf": token, **typed, "organisers": "ben"})).status_code == 400
        large = await anne.post("new", data={"_xsrf": token, **typed, "workers": "1000"})
        assert large.status_code == 400
        assert "Grappe partagée" in large.text
        made = await anne.post("new", data={"_xsrf": token, **typed})
        assert made.headers["location"] == "/services/workshops/w/essai"
        assert site.desk.store.find("essai").workshop.workers == 0
        changed = await anne.post("w/essai/edit", data={"_xsrf": token, **typed, "seats": "4", "workers": "3"})
        assert changed.status_code == 303
        again = await anne.get("w/essai/edit")
        assert 'value="2030-05-01T09:00"' in again.text
        assert 'name="workers" type="number" value="3"' in again.text
        text = await anne.get("w/essai/toml")
    workshop = site.desk.store.find("essai").workshop
    assert parse_workshop(text.text) == workshop
    assert (workshop.seats, workshop.memory, workshop.cores, workshop.parts) == (4, 512 * 2**20, 0.5, 2)
    assert workshop.workers == 3
    assert workshop.trainers == ("ben", "cleo")
    assert workshop.languages == ("en", "fr")


async def test_only_organisers_make_and_only_named_ones_change(site, room):
    async with site.browser("anne", ["organisateurs"]) as anne, site.browser("eve") as eve:
        assert (await anne.get("w/neige")).status_code == 200
        assert (await eve.get("new")).status_code == 403
        assert (await eve.get("w/neige")).status_code == 403
    async with site.browser("zoe", ["organisateurs"]) as zoe, site.browser("ben") as ben:
        assert (await zoe.get("w/neige")).status_code == 403
        assert (await ben.get("w/neige")).status_code == 403
        assert (await ben.get("w/neige/wall")).status_code == 200
        assert (await ben.get("w/neige/sheet.pdf")).status_code == 403
    site.service.hub_auth.cache.clear()
    async with site.browser("anne") as former:
        assert (await former.get("w/neige")).status_code == 403


async def test_a_seat_says_only_what_is_its_own(site, room):
    cell = room.order[0]
    event = {"seq": 1, "notebook": cell[0], "cell": cell[1], "state": "done", "error": "", "at": time.time()}
    async with site.browser() as client:
        for name, expected in (("anne", 403), (seat_user("other", 1), 403), (seat_user("neige", 9), 403)):
            answer = await client.post("api/events", json={}, headers={"Authorization": f"token {site.sign_in(name)}"})
            assert answer.status_code == expected, name
        own = {"Authorization": f"token {site.sign_in(seat_user('neige', 2))}"}
        told = await client.post("api/events", json={"instance": "0123abcd", "events": [event]}, headers=own)
        assert told.status_code == 200
        leak = await client.post(
            "api/events", json={"instance": "0123abcd", "events": [event | {"source": "1"}]}, headers=own
        )
        assert leak.status_code == 400
        assert (await client.post("api/events", content=b"x" * 70_000, headers=own)).status_code == 413
        cookie = await client.post("api/events", json={"instance": "0123abcd", "events": []})
        assert cookie.status_code == 401
    assert [seat for seat, _ in site.desk.store.events("neige")] == [2]


async def test_a_server_that_tells_too_often_or_too_much_is_told_to_wait(site, room, monkeypatch):
    own = {"Authorization": f"token {site.sign_in(seat_user('neige', 1))}"}
    empty = {"instance": "0123abcd", "events": []}
    async with site.browser() as client:
        answers = [(await client.post("api/events", json=empty, headers=own)).status_code for _ in range(21)]
        assert answers == [200] * 20 + [429]
        other = {"Authorization": f"token {site.sign_in(seat_user('neige', 2))}"}
        monkeypatch.setattr("earthlab.services.workshops.rooms.MOST_KEPT", 1)
        hands = [{"seq": n, "hand": True, "at": time.time()} for n in (1, 2)]
        body = {"instance": "0123abcd", "events": hands}
        assert (await client.post("api/events", json=body, headers=other)).status_code == 413
    assert list(site.desk.store.events("neige")) == []


async def test_the_hub_being_away_is_no_reason_to_lose_events(site, room):
    own = {"Authorization": f"token {site.sign_in(seat_user('neige', 1))}"}
    site.hub.silent = True
    async with site.browser() as client:
        answer = await client.post("api/events", json={"instance": "0123abcd", "events": []}, headers=own)
        assert answer.status_code >= 500
        site.hub.silent = False
        answer = await client.post("api/events", json={"instance": "0123abcd", "events": []}, headers=own)
        assert answer.status_code == 200


async def test_codes_are_shown_once_and_kept_nowhere(site, room, tmp_path):
    async with site.browser("anne", ["organisateurs"]) as anne:
        token = xsrf_of((await anne.get("w/neige")).text)
        shown = await anne.post("w/neige/reissue", data={"_xsrf": token, "seat": "1"})
        code = re.search(r'id="pass">([A-Z0-9-]+)<', shown.text)[1]
        assert code not in (await anne.get("w/neige")).text
        assert (await anne.get("w/neige/sheet.pdf")).status_code == 400
        assert (await anne.post("w/neige/passes", data={"_xsrf": token})).status_code == 303
        assert (await anne.get("w/neige/sheet.pdf")).content.startswith(b"%PDF")
    for file in (tmp_path / "lab").rglob("*sqlite*"):
        assert code.replace("-", "").encode() not in file.read_bytes().replace(b"-", b"")


async def test_a_workshop_is_forgotten_on_its_day_even_where_the_hub_knows_no_user(site, room):
    room.raise_hand(1, up=True)
    site.desk.store.hasten("neige")
    await forget_due(site.service)
    entry = site.desk.store.find("neige")
    assert entry.stage == "forgotten"
    assert (entry.counts.came, entry.counts.hands) == (1, 1)
    assert list(site.desk.store.events("neige")) == []
    with pytest.raises(BadRequest):
        site.desk.rooms.find("neige")
    assert not site.desk.material("neige").exists()


async def test_where_the_hub_does_not_forget_a_seat_nothing_is_deleted_yet(site, room):
    site.hub.silent = True
    site.desk.store.hasten("neige")
    site.service.hub = type(site.service.hub)("http://127.0.0.1:9/hub/api", "x")
    await forget_due(site.service)
    assert site.desk.store.find("neige").stage == "closed"
    assert site.desk.material("neige").exists()


async def until(enough):
    """Wait, for twenty seconds at most."""
    for _ in range(1000):
        if enough():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("this did not come")


async def read_stream(client, token, told, enough):
    headers = {"Sec-Fetch-Mode": "cors"}
    async with client.stream("GET", "w/neige/stream", params={"_xsrf": token}, headers=headers) as stream:
        assert stream.status_code == 200
        async for kind, said in read_events(stream):
            told.append((time.time(), kind, said))
            if enough():
                return


async def test_a_wall_that_comes_back_gets_a_whole_picture_and_others_miss_nothing(site, room):
    async with site.browser("ben") as ben:
        token = xsrf_of((await ben.get("w/neige/wall")).text)
        first, second = [], []
        reading = asyncio.create_task(read_stream(ben, token, first, lambda: len(first) == 4))
        await until(lambda: first)
        room.raise_hand(1, up=True)
        await until(lambda: len(first) >= 2)
        room.raise_hand(2, up=True)
        await read_stream(ben, token, second, lambda: True)
        room.tell("message", "x")
        room.raise_hand(3, up=True)
        await until(lambda: len(first) >= 3)
        room.raise_hand(3, up=False)
        await asyncio.wait_for(reading, PATIENCE)
    numbers = [said["sequence"] for _, _, said in first]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert {row[0] for row in second[0][2]["seats"] if row[4]} == {1, 2}


async def test_a_stream_takes_the_pages_token_and_the_persons_right(site, room):
    async with site.browser("ben") as ben, site.browser("eve") as eve:
        assert (await ben.get("w/neige/stream", headers={"Sec-Fetch-Mode": "cors"})).status_code == 403
        token = xsrf_of((await eve.get("")).text)
        answer = await eve.get("w/neige/stream", params={"_xsrf": token}, headers={"Sec-Fetch-Mode": "cors"})
        assert answer.status_code == 403


async def tell(lines, token, *events):
    """One post over a line that stays open: a client so light that the service is what is measured."""
    reader, writer = lines
    body = json.dumps({"instance": "0123abcd", "events": list(events)})
    head = f"POST {PREFIX}api/events HTTP/1.1\r\nHost: lab\r\nAuthorization: token {token}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    said = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert said.startswith("HTTP/1.1 200"), said
    await reader.readexactly(int(re.search(r"Content-Length: (\d+)", said)[1]))


def latest(told):
    """What the wall shows of each seat by now."""
    return {row[0]: row for _, _, said in told for row in said["seats"]}


async def test_a_full_room_is_on_the_wall_as_it_goes_on(tmp_path):
    seats, seconds = 150, 3
    async with serve_site(tmp_path / "lab", keep=60) as site, site.browser("ben") as ben:
        site.desk.make(workshop_now(seats=seats))
        site.desk.open("neige")
        room, port = site.desk.rooms.find("neige"), int(site.url.rpartition(":")[2])
        tokens = {number: site.sign_in(seat_user("neige", number)) for number in range(1, seats + 1)}
        lines = {number: await asyncio.open_connection("127.0.0.1", port) for number in tokens}
        for number, token in tokens.items():
            # Each server has said that it is there: its token is known.
            await tell(lines[number], token)
        xsrf, told, sent = xsrf_of((await ben.get("w/neige/wall")).text), [], {}
        reading = asyncio.create_task(read_stream(ben, xsrf, told, lambda: False))

        async def play(number: int) -> None:
            await asyncio.sleep(number / seats)
            for n, (notebook, cell) in enumerate(room.order[:seconds]):
                sent[number, n] = time.time()
                event = {"seq": n + 1, "notebook": notebook, "cell": cell, "state": "done", "error": ""}
                await tell(lines[number], tokens[number], event | {"at": sent[number, n]})
                await asyncio.sleep(1)

        await asyncio.gather(*map(play, tokens))
        async with asyncio.timeout(PATIENCE):
            while sum(row[2].count("d") for row in latest(told).values()) < seats * seconds:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        reading.cancel()
        for _, writer in lines.values():
            writer.close()
    seen = {}
    for at, _, said in told:
        for row in said["seats"]:
            for n, state in enumerate(row[2]):
                if state == "d":
                    seen.setdefault((row[0], n), at)
    # How soon is for the benchmark to say: here, nothing is lost.
    assert seen.keys() == sent.keys()
    assert len(sent) == seats * seconds


async def test_the_participants_page_begins_in_the_workshops_first_language(site):
    site.desk.make(workshop_now(languages=("en", "fr")))
    site.desk.open("neige")
    async with site.browser(seat_user("neige", 1)) as ada, site.browser("earthlab") as anne:
        place, organiser = (await ada.get("place")).text, (await anne.get("")).text
    assert '<html lang="en">' in place
    assert 0 < place.index("Raise a hand") < place.index("Lever la main")
    assert place.index("Snow of the Pyrenees") < place.index("Neige des Pyrénées")
    assert '<html lang="fr">' in organiser
