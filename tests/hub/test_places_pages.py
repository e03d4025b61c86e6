"""The waiting page and the operator's page in a real browser, on a desk and on a phone."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import ARTEFACTS, browser
from tests.hub.small_hub import OPERATOR, SmallHub, small_hub
from tests.patience import PATIENCE

__all__ = ["browser"]

pytestmark = [pytest.mark.lab]

SIZES = {"bureau": {"width": 1280, "height": 900}, "telephone": {"width": 360, "height": 740}}
expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture(scope="module")
def hub() -> Iterator[SmallHub]:
    with small_hub(launch=0.5, words={"HUB__CONCURRENT_STARTS": "1"}) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=SIZES["bureau"], locale="fr-FR")
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    context.close()


def come(hub: SmallHub, names: list[str]) -> None:
    """Let people in front of us, whose browsers nobody looks at."""
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: httpx.get(hub.link_for(name), follow_redirects=True, timeout=120), names))


def photograph(page: Page, name: str) -> None:
    """On a phone, then on a desk again."""
    ARTEFACTS.mkdir(exist_ok=True)
    for size in ("telephone", "bureau"):
        page.set_viewport_size(SIZES[size])
        page.screenshot(path=ARTEFACTS / f"{name}-{size}.png", full_page=True)
        fits = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert fits, f"the page is wider than a {size} shows"


def test_whoever_waits_reads_their_place_and_enters_by_themselves(hub: SmallHub, page: Page) -> None:
    with hub.held_starts():
        come(hub, [f"devant-{n}" for n in range(4)])
        page.goto(hub.link_for("moi"))
        expect(page.locator("#place-fr")).to_have_text(re.compile(r"^Vous êtes \d+e, environ \d+ s$"))
        expect(page.locator("#place-en")).to_have_text(re.compile(r"^You are (2nd|3rd|4th), about \d+ s$"))
        said = page.locator("#rough:visible, #range:visible")
        expect(said).to_have_count(1)
        photograph(page, "file")
        page.locator("#leave").focus()
        assert page.evaluate("document.activeElement.id") == "leave", "the keyboard reaches the way out"
    expect(page.locator("#in")).to_be_visible()
    assert "/user/moi/" in page.url


def test_whoever_leaves_the_queue_is_at_home_and_no_longer_in_it(hub: SmallHub, page: Page) -> None:
    with hub.held_starts():
        come(hub, [f"encore-{n}" for n in range(4)])
        page.goto(hub.link_for("parti"))
        expect(page.locator("#leave")).to_be_visible()
        page.goto(f"{hub.url}/hub/home")
        page.get_by_role("link", name="Voir où il en est").click()
        expect(page.locator("#leave")).to_be_visible()
        page.locator("#leave").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/hub/home")
        expect(page.locator("#start")).to_have_text(re.compile("Ouvrir JupyterLab"))


def test_the_operator_sees_and_sorts_the_seats(hub: SmallHub, page: Page) -> None:
    page.goto(hub.link_for(OPERATOR))
    page.goto(f"{hub.url}/hub/places")
    rows = page.locator("#seats tbody tr")
    assert rows.count() >= 6
    by_name = page.get_by_role("button", name="Personne")
    by_name.focus()
    page.keyboard.press("Enter")
    names = [row.get_attribute("data-name") for row in rows.all()]
    assert names == sorted(names, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])
    expect(page.locator("th[data-key=name]")).to_have_attribute("aria-sort", "ascending")
    page.evaluate("refresh()")
    expect(rows.first).to_have_attribute("data-name", names[0])
    photograph(page, "places")


def test_where_the_lab_is_full_nobody_is_told_a_time_and_where_the_hub_was_away_people_enter_all_the_same(
    page: Page,
) -> None:
    with small_hub(launch=0.5, words={"HUB__SEATS": "1"}) as hub:
        come(hub, ["amina"])
        page.goto(hub.link_for("bruno"))
        expect(page.locator("#full")).to_be_visible()
        expect(page.locator("#place-fr")).to_have_text("Vous êtes en tête de la file")
        expect(page.locator("#range, #rough").locator("visible=true")).to_have_count(0)
        photograph(page, "plein")
        hub.kill()
        hub.start()
        expect(page.locator("#in")).to_be_visible()
