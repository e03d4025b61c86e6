"""Two in one notebook: both have said yes, the one named and nobody else is let in, and every end is an end."""

import re
from dataclasses import replace

import pytest

from earthlab.errors import BadRequest
from earthlab.hub.passes import Seat, seat_user
from earthlab.services.workshops.pairing import ANSWER_WITHIN, LONGEST, end_lapsed, has_lapsed, require_pair
from earthlab.services.workshops.rooms import Room
from earthlab.services.workshops.store import Pair
from earthlab.services.workshops.text import parse_workshop, to_toml
from earthlab.testing.workshops import workshop_now
from tests.services.workshops.conftest import LESSONS, TEXT
from tests.services.workshops.serving import serve_site
from tests.services.workshops.talking import xsrf_of

NEIGE = "theia/neige.ipynb"
PAIRED = "seats = 3\npairs = true"
SEATS = {number: Seat(number, seat_user("neige", number), claimed=1.0) for number in (1, 2, 3)}


@pytest.fixture
def room(store):
    store.add(parse_workshop(TEXT.replace("seats = 3", PAIRED)))
    store.open("neige", LESSONS)
    return Room(store.find("neige"), store)


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("seats = 3", PAIRED)])
def test_a_text_says_whether_there_are_pairs_and_says_it_back(text):
    workshop = parse_workshop(text)
    assert workshop.pairs == ("pairs" in text)
    assert parse_workshop(to_toml(workshop)) == workshop


@pytest.mark.parametrize("value", ['"yes"', "1"])
def test_whether_there_are_pairs_is_true_or_false(value):
    with pytest.raises(BadRequest, match=r"pairs: .*found .* expected true or false"):
        parse_workshop(TEXT.replace("seats = 3", f"seats = 3\npairs = {value}"))


def test_an_invitation_is_to_somebody_at_a_seat_and_to_a_notebook_that_is_unlocked(room):
    require_pair(room, 1, 2, NEIGE, SEATS)
    gone = {2: replace(SEATS[2], revoked=2.0), 3: replace(SEATS[3], claimed=None)}
    for guest, seats in ((1, SEATS), (9, SEATS), (2, gone), (3, gone)):
        with pytest.raises(BadRequest, match=f"seat {guest}"):
            require_pair(room, 1, guest, NEIGE, seats)
    for notebook in ("theia/glacier.ipynb", "../x.ipynb", ""):
        with pytest.raises(BadRequest, match="not unlocked"):
            require_pair(room, 1, 2, notebook, SEATS)


def test_no_pairs_where_the_workshop_has_none_or_is_over(room, clock):
    entry = room.entry
    room.entry = replace(entry, workshop=replace(entry.workshop, pairs=False))
    with pytest.raises(BadRequest, match="no pairs"):
        require_pair(room, 1, 2, NEIGE, SEATS)
    room.entry = entry
    clock.now = entry.closes
    with pytest.raises(BadRequest, match="over"):
        require_pair(room, 1, 2, NEIGE, SEATS)


def test_nobody_works_in_two_pairs_at_a_time(store, room, clock):
    until = clock.now + LONGEST
    first = store.invite("neige", 1, 2, NEIGE, until)
    other = store.invite("neige", 3, 2, NEIGE, until)
    with pytest.raises(BadRequest, match="Seat 1 works"):
        store.invite("neige", 1, 3, NEIGE, until)
    assert store.accept(first.number).accepted == clock.now
    for owner, guest in ((2, 3), (3, 1)):
        with pytest.raises(BadRequest, match="already"):
            store.invite("neige", owner, guest, NEIGE, until)
    with pytest.raises(BadRequest, match="already"):
        store.accept(other.number)
    store.end_pair(first.number)
    with pytest.raises(BadRequest, match="ended"):
        store.accept(first.number)
    assert store.accept(other.number).joins(2)
    assert store.pairs("neige", 1) == []


def test_a_server_is_told_whom_it_lets_in(store, room, clock):
    assert room.answer(1)["guests"] == []
    pair = store.invite("neige", 1, 2, NEIGE, clock.now + LONGEST)
    helping = store.ask_help("neige", 1, "ben")
    assert room.answer(1)["guests"] == [seat_user("neige", 2)]
    store.answer_help(helping.number, "yes", clock.now + 60, "code")
    assert room.answer(1)["guests"] == [seat_user("neige", 2), "ben"]
    assert room.answer(2)["guests"] == []
    store.end_pair(pair.number)
    store.end_help(helping.number)
    assert room.answer(1)["guests"] == []


def test_a_pair_lapses_with_its_time_its_workshop_and_with_either_holder_of_its_seats(room):
    entry = room.entry
    pair = Pair(1, "neige", 1, 2, NEIGE, asked=100.0, until=7300.0, accepted=110.0)
    assert not has_lapsed(pair, entry, SEATS, 7299.0)
    assert has_lapsed(pair, entry, SEATS, 7300.0)
    assert has_lapsed(pair, replace(entry, closes=5000.0), SEATS, 5000.0)
    assert has_lapsed(pair, replace(entry, stage="closed"), SEATS, 200.0)
    assert has_lapsed(replace(pair, ended=150.0), entry, SEATS, 200.0)
    waiting = replace(pair, accepted=None)
    assert not has_lapsed(waiting, entry, SEATS, 99.0 + ANSWER_WITHIN)
    assert has_lapsed(waiting, entry, SEATS, 100.0 + ANSWER_WITHIN)
    for number in (1, 2):
        for now in (replace(SEATS[number], revoked=150.0), replace(SEATS[number], claimed=150.0)):
            assert has_lapsed(pair, entry, SEATS | {number: now}, 200.0)
    assert has_lapsed(pair, entry, {1: SEATS[1]}, 200.0)


@pytest.fixture
async def site(tmp_path):
    async with serve_site(tmp_path / "lab") as found:
        found.desk.make(workshop_now(pairs=True))
        for each in found.desk.open("neige"):
            found.desk.passes.claim(each.code)
        yield found


async def post(browser, path, **fields):
    page = await browser.get("place")
    return await browser.post(path, data={"_xsrf": xsrf_of(page.text), **fields})


def number_on(page):
    return re.search(r'data-pair="(\d+)"', page.text)[1]


async def test_from_an_invitation_to_its_end_nobody_else_is_let_in(site):
    names = [seat_user("neige", number) for number in (1, 2, 3)]
    async with (
        site.browser(names[0]) as ada,
        site.browser(names[1]) as bob,
        site.browser(names[2]) as eve,
        site.browser("ben") as ben,
    ):
        assert (await post(ada, "place/pair/ask", seat="2", notebook=NEIGE)).status_code == 303
        # Named, and by the owner's own right.
        assert site.hub.shares == {(names[0], names[1])}
        invited = await bob.get("place")
        assert "vous invite" in invited.text
        assert "vous invite" not in (await eve.get("place")).text
        number = number_on(invited)
        for what in ("accept", "end"):
            assert (await post(eve, f"place/pair/{what}", number=number)).status_code == 403
        assert (await post(ada, "place/pair/accept", number=number)).status_code == 403
        assert site.hub.shares == {(names[0], names[1])}

        accepted = await post(bob, "place/pair/accept", number=number)
        assert accepted.headers["location"] == f"/user/{names[0]}/lab/tree/neige/{NEIGE}"
        for page in (await ada.get("place"), await bob.get("place")):
            assert f'href="/user/{names[0]}/lab/tree/neige/{NEIGE}"' in page.text
        assert (await post(eve, "place/pair/ask", seat="1", notebook=NEIGE)).status_code == 400
        wall = await ben.get("w/neige/wall")
        async with ben.stream("GET", "w/neige/stream", params={"_xsrf": xsrf_of(wall.text)}) as stream:
            lines = stream.aiter_lines()
            picture = [await anext(lines) for _ in range(3)][2]
        assert '"pairs": [[1, 2]]' in picture

        assert (await post(bob, "place/pair/end", number=number)).status_code == 303
        assert site.hub.shares == set()
        assert (await post(bob, "place/pair/accept", number=number)).status_code == 400
        assert "data-pair" not in (await ada.get("place")).text


async def test_a_refusal_takes_the_share_back(site):
    async with site.browser(seat_user("neige", 1)) as ada, site.browser(seat_user("neige", 2)) as bob:
        await post(ada, "place/pair/ask", seat="2", notebook=NEIGE)
        await post(bob, "place/pair/end", number=number_on(await bob.get("place")))
        assert site.hub.shares == set()
        assert (await post(ada, "place/pair/ask", seat="2", notebook=NEIGE)).status_code == 303


async def test_a_pair_that_is_over_by_itself_is_ended_at_the_hub(site):
    async with site.browser(seat_user("neige", 1)) as ada, site.browser(seat_user("neige", 2)) as bob:
        await post(ada, "place/pair/ask", seat="2", notebook=NEIGE)
        await post(bob, "place/pair/accept", number=number_on(await bob.get("place")))
    await end_lapsed(site.service)
    assert site.hub.shares
    real = site.desk.store.clock
    site.desk.store.clock = lambda: real() + LONGEST
    await end_lapsed(site.service)
    assert site.hub.shares == set()
    assert site.desk.store.pairs() == []


async def test_where_the_hub_does_not_let_anybody_in_there_is_no_invitation(site):
    async with site.browser(seat_user("neige", 1)) as ada:
        refused = await post(ada, "place/pair/ask", seat="3", notebook=NEIGE)
    assert refused.status_code == 400
    assert "Ouvrez d’abord JupyterLab" in refused.text
    assert site.desk.store.pairs() == []
