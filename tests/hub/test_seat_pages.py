"""The participants' pages of a real hub."""

import os
import re

from earthlab.hub.accounts import resolve_account
from earthlab.hub.authenticators import COOKIE
from earthlab.hub.layout import resolve_accounts
from earthlab.hub.passes import new_code, seat_user
from tests.hub.participants import code_on


async def test_a_phone_takes_over_by_the_code_that_the_seats_page_shows(people, workshop):
    slug, codes = workshop
    laptop, phone, stranger = await people(), await people(), await people()
    await laptop.enter(codes[0])
    page = await laptop.ask("place", do="transfer")
    code = code_on(page)
    assert page.headers["Cache-Control"] == "no-store"
    assert "<svg" in page.text
    await phone.enter(code)
    assert await phone.name == await laptop.name == f"atelier-{slug}-001"
    assert (await stranger.open(code)).status_code == 403


async def test_a_holder_may_say_a_name_and_leaves_a_device_for_good_by_meaning_it(people, passes, workshop):
    slug, codes = workshop
    ada = await people()
    await ada.enter(codes[0])
    page = await ada.ask("place", do="name", name="Ada <3")
    assert page.status_code == 200
    assert 'value="Ada &lt;3"' in page.text
    assert passes.seats(slug)[0].name == "Ada <3"

    led = await ada.client.get("/hub/logout")
    assert "Quitter cet appareil" in led.text
    assert await ada.name is not None
    secret = ada.cookie(COOKIE)
    await ada.client.post("/hub/logout", data={"_xsrf": re.search(r'name="_xsrf" value="([^"]*)"', led.text)[1]})
    assert ada.cookie(COOKIE) is None
    assert await ada.name is None
    ada.client.cookies.set(COOKIE, secret, domain=ada.client.base_url.host, path="/hub/")
    assert await ada.name is None, "the secret itself is worth nothing any more"


async def test_the_work_of_a_seat_is_kept_in_a_real_account_by_a_code(class_hub, people, workshop):
    slug, codes = workshop
    ada, real = await people(), await people()
    await ada.enter(codes[0])
    seat = resolve_account(f"atelier-{slug}-001", class_hub.layout, resolve_accounts(class_hub.settings))
    (seat.home / "neige.ipynb").write_text("{}")
    os.chown(seat.home / "neige.ipynb", seat.uid, seat.gid)
    page = await ada.ask("garder")
    assert page.headers["Cache-Control"] == "no-store"
    code = code_on(page)

    await real.enter(class_hub.link_for("real"))
    wrong = await real.ask("garder", code=new_code(16))
    assert wrong.status_code == 403
    assert "n’existe pas" in wrong.text
    assert (await real.ask("garder", code=codes[1])).status_code == 403, "a pass is no such code"
    page = await real.ask("garder", code=code.lower())
    assert f"atelier-{slug}" in page.text, page.text
    home = resolve_account("real", class_hub.layout, resolve_accounts(class_hub.settings)).home
    assert (home / f"atelier-{slug}" / "neige.ipynb").read_text() == "{}"
    again = await real.ask("garder", code=code)
    assert again.status_code == 403
    assert "déjà servi" in again.text
    assert await ada.name == seat_user(slug, 1), "the seat stays"
    empty = code_on(await ada.ask("garder"))
    (seat.home / "neige.ipynb").unlink()
    nothing = await real.ask("garder", code=empty)
    assert nothing.status_code == 409
    assert "aucun fichier" in nothing.text


async def test_the_participants_page_is_for_participants(class_hub, people):
    bob = await people()
    assert (await bob.client.get("/hub/place", follow_redirects=False)).status_code == 302
    await bob.enter(class_hub.link_for("bob"))
    assert (await bob.client.get("/hub/place")).status_code == 403
    assert (await bob.client.get("/hub/garder")).status_code == 200
    assert (await bob.client.get("/hub/logout", follow_redirects=False)).headers["Location"] == "/hub/login"
