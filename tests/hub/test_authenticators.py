"""Signing in to a real hub, by passes above all; by links, see test_lab.py."""

import asyncio
import sqlite3
import time

from earthlab.hub.authenticators import COOKIE
from earthlab.hub.passes import new_code, show_code
from tests.hub.participants import NEVER, code_on

HUB_COOKIE = "jupyterhub-hub-login"


async def test_a_pass_signs_in_once_by_one_button_and_opens_the_lab(class_hub, people, workshop):
    slug, codes = workshop
    ada, eve = await people(), await people()
    page = await ada.open(codes[0])
    assert page.status_code == 200
    assert "Neige &amp; eau" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert await ada.name is None, "opening the page claims nothing: previews do it"

    inside = await ada.press(page)
    assert "/user/atelier-" in str(inside.url) or "spawn-pending" in str(inside.url)
    assert codes[0] not in str(inside.url)
    assert await ada.name == f"atelier-{slug}-001"

    for refused in (await eve.open(codes[0]), await eve.ask("login", token=codes[0])):
        assert refused.status_code == 403
        assert "déjà servi" in refused.text
        assert "already used" in refused.text
    assert await eve.name is None


async def test_a_code_may_be_typed_as_people_type_and_a_link_pasted_in_the_same_field(class_hub, people, workshop):
    slug, codes = workshop
    ada, bob = await people(), await people()
    typed = show_code(codes[1]).lower().replace("0", "o").replace("1", "l").replace("-", " ")
    await ada.ask("login", token=f" {typed} ")
    assert await ada.name == f"atelier-{slug}-002"
    await bob.ask("login", token=class_hub.link_for("bob"))
    assert await bob.name == "bob"


async def test_a_form_of_somebody_elses_page_signs_nobody_in(people, passes, workshop):
    slug, codes = workshop
    ada = await people()
    forged = await ada.client.post("/hub/login", data={"token": codes[0]})
    assert forged.status_code == 403
    assert passes.seats(slug)[0].claimed is None


async def test_a_browser_whose_hub_cookie_is_gone_comes_back_to_its_seat(people, workshop):
    slug, codes = workshop
    ada = await people()
    await ada.enter(codes[0])
    held = next(c for c in ada.client.cookies.jar if c.name == COOKIE)
    assert held.path == "/hub/"
    assert held.has_nonstandard_attr("HttpOnly")
    assert held.get_nonstandard_attr("SameSite") == "Lax"
    assert held.expires == NEVER

    for way in ("/hub/home", f"/hub/entree?token={codes[0]}"):
        ada.lose(HUB_COOKIE, "_xsrf", "jupyterhub-session-id")
        assert (await ada.client.get(way)).status_code == 200
        assert ada.cookie(HUB_COOKIE)
        assert await ada.name == f"atelier-{slug}-001"

    ada.lose(COOKIE)
    assert (await ada.open(codes[0])).status_code == 200, "who is in their seat may open their link again"
    assert await ada.name == f"atelier-{slug}-001"


async def test_the_join_link_gives_every_browser_one_seat_and_says_when_none_is_left(people, passes, workshop):
    slug, _ = workshop
    join = passes.join_secret(slug)
    crowd = [await people() for _ in range(5)]
    pages = await asyncio.gather(*(one.enter(join) for one in crowd))
    assert sorted(page.status_code for page in pages) == [200, 200, 200, 200, 409]
    names = sorted([name for one in crowd if (name := await one.name)])
    assert names == [f"atelier-{slug}-{number:03d}" for number in (1, 2, 3, 4)]
    turned_away = next(page for page in pages if page.status_code == 409)
    assert "Toutes les places" in turned_away.text
    assert "All seats" in turned_away.text
    first = next(one for one, page in zip(crowd, pages, strict=True) if page.status_code == 200)
    name = await first.name
    await first.enter(join)
    assert await first.name == name


async def test_each_refusal_has_its_own_words(people, passes, workshop):
    slug, codes = workshop
    ada = await people()
    old = passes.join_secret(slug)
    passes.join_secret(slug)
    passes.revoke(slug, 2)
    early = passes.open_seats("tomorrow", 1, NEVER, NEVER + 1)[0].code
    over = passes.open_seats("yesterday", 1, 0, 1)[0].code
    for code, words in (
        (old, "remplacé"),
        (codes[1], "fermé cette place"),
        (early, "pas encore ouvert"),
        (over, "terminé"),
        (new_code(12), "n’existe pas"),
        ("too-short", "n’existe pas"),
    ):
        for page in (await ada.open(code), await ada.ask("login", token=code)):
            assert page.status_code == 403
            assert words in page.text, code
    passes.close("tomorrow")
    passes.close("yesterday")


async def test_a_seat_belongs_to_the_group_of_its_workshop(class_hub, people, workshop):
    slug, codes = workshop
    ada = await people()
    await ada.enter(codes[0])
    with sqlite3.connect(class_hub.layout.database) as db:
        rows = db.execute(
            "SELECT users.name, groups.name FROM user_group_map JOIN users ON users.id = user_id"
            " JOIN groups ON groups.id = group_id WHERE groups.name LIKE 'atelier:%'"
        ).fetchall()
    db.close()
    assert (f"atelier-{slug}-001", f"atelier:{slug}") in rows


async def test_150_people_behind_one_address_each_get_a_seat_within_a_minute(people, passes):
    codes = [issued.code for issued in passes.open_seats("grand", 150, 0, NEVER)]
    crowd = [await people() for _ in codes]
    for one in crowd:
        one.client.follow_redirects = False

    async def arrive(one, code):
        return await one.press(await one.open(code))

    began = time.monotonic()
    answers = await asyncio.gather(*map(arrive, crowd, codes))
    took = time.monotonic() - began
    assert {answer.status_code for answer in answers} == {302}
    assert all(seat.claimed for seat in passes.seats("grand"))
    assert len({one.cookie(COOKIE) for one in crowd}) == 150
    assert took < 60
    print(f"150 passes claimed in {took:.1f} s")
    passes.close("grand")


async def test_the_root_of_the_lab_leads_to_the_field_for_codes(people):
    page = await (await people()).client.get("/")
    assert 'id="token_input"' in page.text


async def test_no_code_is_in_what_the_hub_writes(class_hub, people, passes, workshop):
    slug, codes = workshop
    ada, eve = await people(), await people()
    await ada.enter(codes[0])
    await eve.ask("login", token=codes[0])
    join, guess = passes.join_secret(slug), new_code(12)
    await eve.open(join)
    await eve.open(guess)
    transfer = code_on(await ada.ask("place", do="transfer"))
    await eve.enter(transfer)
    keep = code_on(await ada.ask("garder"))
    said = class_hub.log
    assert "GET /hub/entree" in said
    for code in (*codes, join, guess, transfer, transfer.replace("-", ""), keep, keep.replace("-", "")):
        assert code not in said
    assert ada.cookie(COOKIE) not in said


async def test_guessing_is_answered_for_a_while_only_even_by_a_class_behind_one_address(class_hub, people, workshop):
    _, codes = workshop
    eve, ada, far = await people(), await people(), await people(**{"X-Forwarded-For": "192.0.2.7"})
    answers = [(await eve.open(new_code(12))).status_code for _ in range(301)]
    assert answers[:250] == [403] * 250
    assert answers[-1] == 429
    blocked = await ada.open(codes[0])
    assert blocked.status_code == 429
    assert "attendez une minute" in blocked.text
    link = await ada.client.get(class_hub.link_for("ada"))
    assert link.status_code == 200, "a link is too long to be guessed: a good one goes on working"
    assert (await far.open(codes[1])).status_code == 429, "an address that a client says it has is not believed"
