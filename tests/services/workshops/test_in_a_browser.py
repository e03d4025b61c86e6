"""The pages in a real browser: the wall moves by itself and recovers, a hand goes up, a phone has room for all."""

import shutil
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from earthlab.hub.passes import seat_user
from earthlab.testing.workshops import workshop_now
from tests.patience import PATIENCE
from tests.services.workshops.serving import PREFIX, Site, serve_site

pytestmark = pytest.mark.lab
expect.set_options(timeout=1000 * PATIENCE)

_UNNAMED = """
[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]
  .filter((field) => !field.labels.length && !field.ariaLabel).length
"""


@pytest.fixture
async def site(tmp_path):
    async with serve_site(tmp_path / "lab", keep=60) as found:
        found.desk.make(workshop_now(seats=150, pairs=True))
        found.desk.open("neige")
        yield found


@pytest.fixture
async def browser():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "chromium is missing: apt-get install chromium"
    async with async_playwright() as player:
        chromium = await player.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@asynccontextmanager
async def visit(browser: Browser, site: Site, name: str, path: str, *, width: int = 1280, height: int = 720):
    """A page of somebody who is signed in; whatever the browser complains of fails the test."""
    context = await browser.new_context(viewport={"width": width, "height": height}, locale="fr-FR")
    groups = ["organisateurs"] if name == "anne" else []
    cookies = [{"name": n, "value": v, "url": site.url} for n, v in site.browser(name, groups).cookies.items()]
    await context.add_cookies(cookies)
    page, complaints = await context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    await page.goto(f"{site.url}{PREFIX}{path}")
    yield page
    await context.close()
    assert complaints == []


async def fits(page: Page) -> bool:
    return await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


async def test_the_wall_shows_150_seats_on_one_screen_and_moves_by_itself(site, browser):
    room = site.desk.rooms.find("neige")
    room.raise_hand(1, up=True)
    room.raise_hand(1, up=False)
    async with visit(browser, site, "ben", "w/neige/wall") as page:
        tiles = page.locator("#wall button")
        await expect(tiles).to_have_count(150)
        assert await page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")
        room.raise_hand(77, up=True)
        await expect(tiles.first).to_have_attribute("data-seat", "77")
        await expect(page.locator("[data-count=hand]")).to_have_text("1")
        # What was said while the line was cut is there when it is back, by itself.
        for wall in site.service.streams._channels["neige"]._walls:
            wall.put_nowait(None)
        room.raise_hand(78, up=True)
        room.raise_hand(77, up=False)
        await expect(tiles.first).to_have_attribute("data-seat", "78")
        # Two who work in one notebook are one, and a hand of either is theirs.
        store = site.desk.store
        pair = store.accept(store.invite("neige", 77, 78, "theia/neige.ipynb", store.clock() + 600).number)
        room.touch()
        await expect(tiles).to_have_count(149)
        await expect(tiles.first.locator(".number")).to_have_text("77 + 78")
        await tiles.first.click()
        await page.locator("#seat [data-seat=lower]").click()
        await expect(page.locator("[data-count=hand]")).to_have_text("0")
        assert room.stand([78])[0].hand is None
        await page.keyboard.press("Escape")
        store.end_pair(pair.number)
        room.touch()
        await expect(tiles).to_have_count(150)


ONE_SEAT = """rows => {
    take(rows);
    const tile = document.querySelector("#wall button[data-seat='7']"), number = tile.querySelector(".number");
    return {
        cut: number.scrollWidth > number.clientWidth + 1,
        strip: tile.querySelector(".strip").style.background,
        wide: document.documentElement.scrollWidth > window.innerWidth,
    };
}"""
"""What the wall draws of rows, read before the room's own next news replaces them."""


async def test_a_seat_s_number_is_never_cut_and_a_failure_is_hatched(site, browser):
    long = [7, "Jean-Baptiste de la Salle", "dddf........", "active", None, True, "ModuleNotFoundError", "c", 0, 0]
    async with visit(browser, site, "ben", "w/neige/wall") as page:
        await expect(page.locator("#wall button")).to_have_count(150)
        drawn = await page.evaluate(ONE_SEAT, [long])
    assert "repeating-linear-gradient" in drawn["strip"]
    assert not drawn["cut"]
    assert not drawn["wide"]


async def test_a_trainer_speaks_to_all_and_asks_to_help_by_keyboard(site, browser):
    room = site.desk.rooms.find("neige")
    async with visit(browser, site, "ben", "w/neige/wall") as page:
        await expect(page.locator("#wall button")).to_have_count(150)
        await page.locator("[data-open=say]").press("Enter")
        await page.locator("#say-text").fill("Pause de 10 min")
        await page.locator("#say [data-send]").press("Enter")
        await expect(page.locator("#say")).to_be_hidden()
        await page.locator("#wall button[data-seat='5']").press("Enter")
        await page.locator("#seat [data-seat=help]").press("Enter")
        await expect(page.locator("#seat-help")).to_contain_text("pas encore répondu")
        await page.keyboard.press("Escape")
        await expect(page.locator("#seat")).to_be_hidden()
    assert room.answer(5)["messages"][0]["text"] == "Pause de 10 min"
    assert room.answer(5)["help"]["trainer"] == "ben"


async def test_a_participant_raises_a_hand_on_a_phone_and_sees_what_is_said(site, browser):
    room = site.desk.rooms.find("neige")
    async with visit(browser, site, seat_user("neige", 5), "place", width=390, height=800) as page:
        assert await fits(page)
        await page.get_by_role("button", name="Lever la main").click()
        await expect(page.get_by_role("button", name="Main levée")).to_be_visible()
        assert room.stand([5])[0].hand is not None
        room.tell("cell", "import earthlab as el")
        await expect(page.locator("pre")).to_have_text("import earthlab as el")
        await page.locator("[data-copy]").click()
        await expect(page.locator("#copied")).to_contain_text("Copié")
        await page.locator("#together summary").click()
        await expect(page.get_by_role("button", name="Inviter")).to_be_visible()
        assert await fits(page)


@pytest.mark.parametrize("path", ["", "new", "w/neige", "w/neige/wall"])
async def test_every_page_fits_a_phone(site, browser, path):
    async with visit(browser, site, "anne", path, width=390, height=800) as page:
        assert await fits(page)
        assert await page.locator("h1").count() == 1
        assert await page.evaluate(_UNNAMED) == 0
