"""Sessions that end at a real hub."""

import asyncio

from earthlab.hub.keys import KeyStore
from earthlab.hub.passes import seat_user
from tests.hub.participants import servers, until
from tests.hub.test_keys import make_key


async def test_a_revoked_seat_is_signed_out_and_its_server_stopped(class_hub, people, passes, workshop):
    slug, codes = workshop
    ada = await people()
    await ada.enter(codes[0])
    user = f"atelier-{slug}-001"
    await until(lambda: ada.client.get(f"/user/{user}/"), lambda page: "Vous êtes dedans" in page.text)
    keys = KeyStore(class_hub.layout.keys)
    keys.add(user, make_key())

    passes.revoke(slug, 1)
    await until(lambda: ada.client.get("/hub/login"), lambda page: "fermé cette place" in page.text)
    assert await ada.name is None
    assert keys.keys(user) == []
    await until(lambda: ada.client.get("/hub/login"), lambda _: passes.sign_outs() == [])
    gone = await ada.client.get(f"/user/{user}/", follow_redirects=False)
    assert "Vous êtes dedans" not in gone.text
    assert not servers(class_hub, user)


async def test_a_server_that_is_still_starting_is_stopped_when_it_can_be(class_hub, people, passes, workshop):
    slug, codes = workshop
    ada = await people()
    await ada.enter(codes[0])
    passes.revoke(slug, 1)
    await until(lambda: ada.client.get("/hub/login"), lambda _: passes.sign_outs() == [])
    assert not servers(class_hub, seat_user(slug, 1))
    assert await ada.name is None


async def test_who_lost_everything_gets_the_seat_back_by_a_new_pass_as_its_server_runs(
    class_hub, people, passes, workshop
):
    slug, codes = workshop
    ada, thief = await people(), await people()
    user = f"atelier-{slug}-001"
    await thief.enter(codes[0])
    await until(lambda: thief.client.get(f"/user/{user}/"), lambda page: "Vous êtes dedans" in page.text)
    xsrf = next(c.value for c in thief.client.cookies.jar if c.name == "_xsrf" and c.path == "/hub/")
    made = await thief.client.post(f"/hub/api/users/{user}/tokens", headers={"X-XSRFToken": xsrf}, json={})
    token = {"Authorization": f"token {made.json()['token']}"}
    assert (await ada.client.get("/hub/api/user", headers=token)).json()["name"] == user

    issued = passes.reissue(slug, 1)
    await ada.enter(issued.code)
    assert await ada.name == user
    assert await thief.name is None
    assert (await thief.client.get("/hub/api/user", headers=token)).status_code == 403
    await asyncio.sleep(1.5)
    assert await ada.name == user, "the sessions that end are the old ones"
    assert servers(class_hub, user)
